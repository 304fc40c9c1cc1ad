"""Mixtures of experts as exporters write them: a loop over experts, each with NonZero, Gather and ScatterND, whose rows only a run tells."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto as T
from onnx import helper as H
from onnx import numpy_helper as N

import pit

D = 16


def loop_form(experts, layers=1, top=2, hidden=24):
    """x [t, D] -> y: per layer a router and a loop over experts. `bias` [E], an input, is added to the router's scores."""
    rng = np.random.default_rng(0)
    nodes, constants = [], [("two", np.array([top])), ("first", np.array(0)), ("axis", np.array([1]))]

    def add(op, inputs, outputs, **attributes):
        nodes.append(H.make_node(op, inputs.split(), outputs.split(), **attributes))

    def weight(name, *shape):
        constants.append((name, (rng.standard_normal(shape) / shape[0] ** 0.5).astype(np.float32)))

    x = "x"
    for layer in range(layers):
        p = f"l{layer}"
        weight(p + "router", D, experts)
        add("MatMul", f"{x} {p}router", p + "s")
        add("Add", f"{p}s bias", p + "sb")
        add("Softmax", p + "sb", p + "p", axis=-1)
        add("TopK", f"{p}p two", f"{p}w {p}e", axis=-1)
        add("Shape", x, p + "shape")
        add("ConstantOfShape", p + "shape", p + "a0")
        for e in range(experts):
            q = f"{p}e{e}"
            constants.append((q + "n", np.array(e)))
            weight(q + "u", D, hidden)
            weight(q + "d", hidden, D)
            add("Equal", f"{p}e {q}n", q + "q")
            add("NonZero", q + "q", q + "z")
            add("Transpose", q + "z", q + "t", perm=[1, 0])
            add("GatherND", f"{p}w {q}t", q + "g")
            add("Gather", f"{q}t first", q + "k", axis=1)
            add("Gather", f"{x} {q}k", q + "x")
            add("MatMul", f"{q}x {q}u", q + "h")
            add("Relu", q + "h", q + "r")
            add("MatMul", f"{q}r {q}d", q + "o")
            add("Unsqueeze", f"{q}g axis", q + "gg")
            add("Mul", f"{q}o {q}gg", q + "v")
            add("Unsqueeze", f"{q}k axis", q + "kk")
            add("ScatterND", f"{p}a{e} {q}kk {q}v", f"{p}a{e + 1}", reduction="add")
        add("Add", f"{x} {p}a{experts}", p + "y")
        x = p + "y"
    outputs = [H.make_empty_tensor_value_info(o) for o in (x, "l0e0k", "l0e1o")]
    inputs = [H.make_tensor_value_info("x", T.FLOAT, ["t", D]), H.make_tensor_value_info("bias", T.FLOAT, [experts])]
    graph = H.make_graph(nodes, "experts", inputs, outputs, [N.from_array(v, k) for k, v in constants])
    return H.make_model(graph, opset_imports=[H.make_opsetid("", 18)], ir_version=10).SerializeToString(), [o.name for o in outputs]


def answers(proto, feeds):
    return onnxruntime.InferenceSession(proto, providers=["CPUExecutionProvider"]).run(None, feeds)


def tokens(seed, t, experts, favourite=None):
    bias = np.zeros(experts, np.float32)
    if favourite is not None:
        bias[favourite] = 100
    return dict(x=np.random.default_rng(seed).standard_normal((t, D)).astype(np.float32), bias=bias)


@pytest.mark.parametrize("options", [dict(), dict(sparsity="off"), dict(poison="nan"), dict(poison="large", threads=1)], ids=str)
@pytest.mark.parametrize("layers", [1, 3])
def test_the_loop_over_experts(layers, options):
    proto, names = loop_form(4, layers)
    model = pit.compile(proto, **options)
    for t, favourite in [(7, None), (1, 0), (0, None), (33, 1), (64, None), (7, 3)]:  # all to one (and another), none to others
        feeds = tokens(t, t, 4, favourite)
        got = model(feeds)
        for name, want in zip(names, answers(proto, feeds)):
            np.testing.assert_allclose(got[name], want, rtol=1e-4, atol=1e-5, err_msg=f"{name} of {t} tokens")


def test_memory_of_the_caller():
    """The shape of an output that a run finds is compared when it is known, and then nothing is written elsewhere."""
    proto, names = loop_form(3)
    model, feeds = pit.compile(proto), tokens(5, 9, 3)
    want = dict(zip(names, answers(proto, feeds)))
    rows = len(want["l0e0k"])
    given = {"l0y": np.zeros((9, D), np.float32), "l0e0k": np.full(rows, -1), "l0e1o": np.zeros((len(want["l0e1o"]), 2 * D), np.float32)[:, ::2]}
    got = model(feeds, out=given)
    for name in names:
        np.testing.assert_allclose(given[name], want[name], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(got[name], want[name], rtol=1e-4, atol=1e-5)
    wrong = np.full(rows + 1, -1)
    with pytest.raises(pit.InputError, match="l0e0k.*shape"):
        model(feeds, out={"l0e0k": wrong})
    assert (wrong == -1).all()
    with pytest.raises(pit.InputError, match="rank 1"):
        model(feeds, out={"l0e0k": np.zeros((rows, 1), np.int64)})


def test_some_outputs_only():
    proto, names = loop_form(3, 2)
    model, feeds = pit.compile(proto, poison=True), tokens(5, 9, 3)
    for name, want in zip(names, answers(proto, feeds)):
        got = model(feeds, outputs=[name])
        assert list(got) == [name]
        np.testing.assert_allclose(got[name], want, rtol=1e-4, atol=1e-5)


def test_many_routings_at_once():
    proto, names = loop_form(4, 2)
    model = pit.compile(proto, threads=2)
    feeds = [tokens(seed, 3 + 5 * seed, 4, seed % 5 if seed % 5 < 4 else None) for seed in range(8)]
    want = [answers(proto, f)[0] for f in feeds]
    wrong = []

    def work(k):
        for _ in range(20):
            got = model(feeds[k])[names[0]]
            if not np.allclose(got, want[k], rtol=1e-4, atol=1e-5):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_explain_and_profile_know_what_the_run_finds():
    proto, _ = loop_form(3, 2)
    model, feeds = pit.compile(proto), tokens(5, 9, 3)
    rows = model(feeds, outputs=["l0e0k"])["l0e0k"]
    assert "finds     l0e0z.count\n" in model.explain()
    assert f"finds     l0e0z.count = {len(rows)}\n" in model.explain(feeds)
    text = model.profile(feeds)
    assert "ScatterND" in text
    assert "the inputs given" in model.dump("schedules", feeds)


def test_padding_and_a_count():
    """Masks of padding above what is packed: rows that are kept, then dead ones of what is made of them."""
    nodes = [H.make_node("MatMul", ["x", "w"], ["h"]), H.make_node("NonZero", ["m"], ["z"]), H.make_node("Squeeze", ["z", "axis"], ["i"]),
             H.make_node("Gather", ["h", "i"], ["g"]), H.make_node("MatMul", ["g", "w"], ["g2"]), H.make_node("Gather", ["n", "i"], ["ni"]),
             H.make_node("Cast", ["ni"], ["nf"], to=T.FLOAT), H.make_node("Unsqueeze", ["nf", "one"], ["nu"]), H.make_node("Mul", ["g2", "nu"], ["y"])]  # fmt: skip
    constants = [N.from_array(np.eye(D, dtype=np.float32), "w"), N.from_array(np.array([0]), "axis"), N.from_array(np.array([1]), "one")]
    inputs = [H.make_tensor_value_info("x", T.FLOAT, ["t", D]), H.make_tensor_value_info("m", T.INT64, ["t"]), H.make_tensor_value_info("n", T.INT64, ["t"])]
    graph = H.make_graph(nodes, "packed", inputs, [H.make_empty_tensor_value_info("y")], constants)
    proto = H.make_model(graph, opset_imports=[H.make_opsetid("", 17)], ir_version=9).SerializeToString()
    rng = np.random.default_rng(0)
    for options in (dict(), dict(poison="nan"), dict(sparsity="off")):
        model = pit.compile(proto, **options)
        for t in (1, 5, 40):
            feeds = dict(x=rng.standard_normal((t, D)).astype(np.float32), m=rng.integers(0, 2, t), n=rng.integers(0, 2, t))
            np.testing.assert_allclose(model(feeds)["y"], answers(proto, feeds)[0], rtol=1e-5, atol=1e-6)


# -- the dense forms: each expert of each token, weighed by gates that are zero for most


WIDE = 64  #: so that a gate decides about enough to be worth a look
GATES = {
    "one_hot": "OneHot chosen count zero_one axis=-1 -> hot; Unsqueeze best two -> each; Mul hot each -> of; ReduceSum of one keepdims=0 -> gates",
    "equal": "Unsqueeze chosen two -> c; Equal c numbers -> e; Cast e to=1 -> hot; Unsqueeze best two -> each; Mul hot each -> of; ReduceSum of one keepdims=0 -> gates",
    "scattered": "Shape p -> s; Expand zero s -> none; ScatterElements none chosen best axis=1 -> gates",
    "masked": "Shape p -> s; Expand low s -> none; ScatterElements none chosen best axis=1 -> masked; Softmax masked axis=-1 -> gates",
    "where": "ReduceMin best last keepdims=1 -> least; Less p least -> out; Where out zero p -> gates",
}


def dense_form(form, experts=4, top=2, mask=False, stacked=False):
    rng = np.random.default_rng(3)
    constants = dict(top=np.array([top]), count=np.array(experts), zero_one=np.array([0, 1], np.float32), zero=np.float32(0), low=np.float32(-np.inf),
                     one=np.array([1]), two=np.array([2]), last=np.array([-1]), numbers=np.arange(experts))  # fmt: skip
    constants["router"] = rng.standard_normal((WIDE, experts)).astype(np.float32)
    text = "MatMul x router -> scores; Softmax scores axis=-1 -> p; TopK p top axis=-1 -> best chosen; " + GATES[form]
    weights = [rng.standard_normal((experts, WIDE, 40)).astype(np.float32), rng.standard_normal((experts, 40, WIDE)).astype(np.float32)]
    if stacked:
        constants |= dict(up=weights[0], down=weights[1], first=np.array([0]))
        text += "; Unsqueeze x first -> wide; MatMul wide up -> h; Relu h -> a; MatMul a down -> o; Transpose gates perm=1,0 -> t; Unsqueeze t two -> g"
        text += "; Mul o g -> v; ReduceSum v first keepdims=0 -> y"
    else:
        for e in range(experts):
            constants |= {f"up{e}": weights[0][e], f"down{e}": weights[1][e], f"n{e}": np.array([e])}
            text += f"; MatMul x up{e} -> h{e}; Relu h{e} -> a{e}; MatMul a{e} down{e} -> o{e}; Gather gates n{e} axis=1 -> g{e}; Mul o{e} g{e} -> v{e}"
        text += "; Sum " + " ".join(f"v{e}" for e in range(experts)) + " -> y"
    nodes = []
    for line in text.split("; "):
        call, outputs = line.split(" -> ")
        op, *operands = call.split()
        attributes = dict(o.split("=") for o in operands if "=" in o)
        attributes = {k: [int(i) for i in v.split(",")] if "," in v else int(v) for k, v in attributes.items()}
        nodes.append(H.make_node(op, [o for o in operands if "=" not in o], outputs.split(), **attributes))
    inputs = [H.make_tensor_value_info("x", T.FLOAT, ["t", WIDE])]
    inputs += [H.make_tensor_value_info("mask", T.INT64, ["t"])] if mask else []
    graph = H.make_graph(nodes, "dense", inputs, [H.make_empty_tensor_value_info("y")], [N.from_array(np.asarray(v), k) for k, v in constants.items()])
    return H.make_model(graph, opset_imports=[H.make_opsetid("", 18)], ir_version=10).SerializeToString()


@pytest.mark.parametrize("options", [dict(), dict(sparsity="off"), dict(poison="nan"), dict(poison="large", cpu="haswell"), dict(threads=1)], ids=str)
@pytest.mark.parametrize("stacked", [False, True], ids=["apart", "stacked"])
@pytest.mark.parametrize("form", GATES)
def test_the_dense_forms(form, stacked, options):
    rng = np.random.default_rng(5)
    for experts, top in [(4, 2), (3, 1), (2, 2)]:
        proto = dense_form(form, experts, top, stacked=stacked)
        model = pit.compile(proto, **options)
        for t in (1, 17, 0, 40):
            feeds = dict(x=rng.standard_normal((t, WIDE)).astype(np.float32))
            if t > 1:
                feeds["x"][1::2] = feeds["x"][:1]  # all of these to the same experts
            np.testing.assert_allclose(model(feeds)["y"], answers(proto, feeds)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", GATES)
def test_the_dense_forms_compute_routed_rows(form):
    model = pit.compile(dense_form(form, 4, 1))
    said = model.explain(dict(x=np.random.default_rng(6).standard_normal((64, WIDE)).astype(np.float32)), json=True)
    assert said["weight_flops_live"] < 0.4, said["weight_flops_live"]  # a quarter, and the router
    experts = [s for s in said["live_sets"] if "found_in" in s and s["steps"] >= 2]
    assert len(experts) == 4 and len({s["formula"] for s in experts}) == 4  # which expert, too
    assert abs(sum(s["live_fraction"] for s in experts) - 1) < 1e-6
    assert all(s["behind_step"] > 0 for s in experts)


@pytest.mark.parametrize("options", [dict(), dict(poison="nan"), dict(poison="large")], ids=str)
def test_tokens_of_no_interest_reach_no_expert(options):
    proto, rng = dense_form("scattered", mask=True), np.random.default_rng(7)
    model = pit.compile(proto, outputs={"y": "mask"}, **options)
    feeds = dict(x=rng.standard_normal((30, WIDE)).astype(np.float32), mask=rng.integers(0, 2, 30))
    want = answers(proto, feeds)[0] * (feeds["mask"] != 0)[:, None]
    np.testing.assert_allclose(model(feeds)["y"], want, rtol=1e-4, atol=1e-5)
    said = [model.explain(dict(feeds, mask=m), json=True)["weight_flops_live"] for m in (np.ones(30, np.int64), feeds["mask"])]
    assert said[1] < 0.7 * said[0], said


@pytest.mark.parametrize("options", [dict(), dict(poison="nan"), dict(poison="large")], ids=str)
def test_sums_over_experts_grow_in_their_place(options):
    """But not where somebody else reads what a sum was before."""
    proto, rng = onnx.load_from_string(dense_form("equal", 3)), np.random.default_rng(9)
    middle = [n.output[0] for n in proto.graph.node if n.op_type == "Mul"][-1]
    models = [dense_form("equal", 3)]
    for wanted in ([middle], ["y", middle]):
        del proto.graph.output[:]
        proto.graph.output.extend(H.make_empty_tensor_value_info(n) for n in wanted)
        models.append(proto.SerializeToString())
    proto.graph.node.append(H.make_node("Add", ["y", middle], ["z"]))
    proto.graph.output.append(H.make_empty_tensor_value_info("z"))
    models.append(proto.SerializeToString())
    for k, model in enumerate(models):
        compiled = pit.compile(model, **options)
        assert ("in its place" in compiled.dump("groups")) == (k != 1)
        for t in (1, 30):
            feeds = dict(x=rng.standard_normal((t, WIDE)).astype(np.float32))
            for name, want in zip([o.name for o in compiled.outputs], answers(model, feeds)):
                np.testing.assert_allclose(compiled(feeds)[name], want, rtol=1e-4, atol=1e-5)


def test_dense_forms_of_many_threads_at_once():
    proto = dense_form("equal")
    model, rng = pit.compile(proto, threads=2), np.random.default_rng(8)
    feeds = [dict(x=rng.standard_normal((int(t), WIDE)).astype(np.float32)) for t in rng.integers(1, 50, 24)]
    want = [model(f)["y"] for f in feeds]
    with ThreadPoolExecutor(4) as pool:
        for w, y in zip(want * 3, pool.map(lambda f: model(f)["y"], feeds * 3)):
            np.testing.assert_array_equal(y, w)


# -- the operator of ONNX Runtime


def mixture(weights, router, activation="relu", k=2, rank3=False, **attributes):
    """One MoE node; `weights`: by operand 2 ... 7, None where absent."""
    names = [f"w{i}" if w is not None else "" for i, w in enumerate(weights)]
    node = H.make_node("MoE", ["x", "r", *names], ["y"], domain="com.microsoft", k=k, activation_type=activation, **attributes)
    inputs = [H.make_tensor_value_info("x", T.FLOAT, ["b", "s", D] if rank3 else ["t", D]), H.make_tensor_value_info("r", T.FLOAT, ["rows", router])]
    graph = H.make_graph([node], "moe", inputs, [H.make_empty_tensor_value_info("y")], [N.from_array(w, n) for w, n in zip(weights, names) if n])
    return H.make_model(graph, opset_imports=[H.make_opsetid("", 18), H.make_opsetid("com.microsoft", 1)], ir_version=10).SerializeToString()


def some_weights(experts, inner, fused=False):
    rng, rows = np.random.default_rng(1), 2 * inner if fused else inner
    shapes = [(experts, rows, D), (experts, rows), (experts, D, inner), (experts, D)]
    return [rng.standard_normal(s).astype(np.float32) * 0.3 for s in shapes]


def routed(rows, experts, rank3=False):
    rng = np.random.default_rng(rows)
    x = rng.standard_normal((3, rows // 3, D) if rank3 else (rows, D)).astype(np.float32)
    return dict(x=x, r=rng.standard_normal((rows, experts)).astype(np.float32))


@pytest.mark.parametrize("options", [dict(), dict(sparsity="off"), dict(poison="nan")], ids=str)
@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "identity", "swiglu"])
def test_the_operator(activation, options):
    fused = dict(swiglu_fusion=1) if activation == "swiglu" else {}
    weights = some_weights(4, 24, bool(fused))
    for k, norm, biased, rank3, more in [(1, 0, False, False, {}), (2, 1, True, True, {}), (4, 1, True, False, dict(activation_alpha=1.702, activation_beta=1.0))]:
        given = weights if biased else [weights[0], None, weights[2]]
        proto = mixture(given, 4, activation, k, rank3, normalize_routing_weights=norm, **fused, **(more if fused else {}))
        feeds = routed(36, 4, rank3)
        np.testing.assert_allclose(pit.compile(proto, **options)(feeds)["y"], answers(proto, feeds)[0], rtol=1e-4, atol=1e-5)


def test_three_ways_to_store_the_gate():
    weights = some_weights(3, 8, True)
    feeds = routed(12, 3)
    mixed = mixture(weights, 3, "swiglu", swiglu_fusion=1, swiglu_limit=0.5)
    order = [*range(0, 16, 2), *range(1, 16, 2)]
    halves = [np.ascontiguousarray(weights[0][:, order]), np.ascontiguousarray(weights[1][:, order]), *weights[2:]]
    apart = [np.ascontiguousarray(w) for w in (halves[0][:, :8], halves[1][:, :8], *weights[2:], halves[0][:, 8:], halves[1][:, 8:])]
    want = answers(mixed, feeds)[0]
    for proto in (mixed, mixture(halves, 3, "swiglu", swiglu_fusion=2, swiglu_limit=0.5), mixture(apart, 3, "swiglu", swiglu_limit=0.5)):
        np.testing.assert_allclose(pit.compile(proto)(feeds)["y"], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("change, message", [
    (dict(k=5), "5 experts, but there are 4"), (dict(activation="tanh"), "activation_type"), (dict(use_sparse_mixer=1), "use_sparse_mixer"),
    (dict(mood="glad"), "mood"), (dict(normalize_routing_weights="no number"), "normalize_routing_weights"), (dict(swiglu_limit="no number"), "swiglu_limit"),
    (dict(activation_alpha="no number"), "activation_alpha"), (dict(activation_beta="no number"), "activation_beta"),
    (dict(swiglu_fusion="no number"), "swiglu_fusion"), (dict(activation="swiglu"), "gate's weights"), (dict(router=3), "scores 3 experts, but there are weights of 4"),
])  # fmt: skip
def test_what_the_operator_refuses(change, message):
    with pytest.raises((pit.ModelError, pit.UnsupportedError), match=message):
        pit.compile(mixture(some_weights(4, 24), **(dict(router=4) | change)))


def test_weights_that_do_not_fit_each_other():
    weights = some_weights(4, 24)
    weights[2] = weights[2][:3]
    with pytest.raises(pit.ModelError, match="dimension 0 must be 4, but is 3"):
        pit.compile(mixture(weights, 4))


@pytest.mark.parametrize("rank3", [False, True])
def test_a_router_for_other_rows(rank3):
    """Fewer rows than there are tokens would do, if nobody looked: the rest would get no expert."""
    model = pit.compile(mixture(some_weights(4, 24), 4, rank3=rank3))
    for rows in (0, 9, 15):
        with pytest.raises(pit.InputError, match="12"):
            model(routed(12, 4, rank3) | dict(r=np.zeros((rows, 4), np.float32)))
    assert model(routed(12, 4, rank3))["y"].shape[-1] == D
