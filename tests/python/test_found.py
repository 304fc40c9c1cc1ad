"""Models that once were wrong, crashed or were refused, each the smallest of its kind; random models (test_random_models.py) found most of them."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import pit

MIN = float(np.finfo(np.float32).min)
CPUS = ["native", "x86-64-v3"]


def model(nodes, inputs, outputs, constants=None, opset=17):
    """`nodes`: (op, inputs, output, attributes); `inputs`: name -> (type, dims)."""
    made = [helper.make_node(op, ins.split(), outs.split(), **attributes) for op, ins, outs, attributes in nodes]
    infos = [helper.make_tensor_value_info(n, t, d) for n, (t, d) in inputs.items()]
    graph = helper.make_graph(made, "g", infos, [helper.make_tensor_value_info(o, TensorProto.UNDEFINED, None) for o in outputs],
                              [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()])  # fmt: skip
    for o in graph.output:
        o.ClearField("type")
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9).SerializeToString()


def check(proto, feeds, tolerance=1e-4, **options):
    names = [o.name for o in onnxruntime.InferenceSession(proto, providers=["CPUExecutionProvider"]).get_outputs()]
    want = onnxruntime.InferenceSession(proto, providers=["CPUExecutionProvider"]).run(None, feeds)
    for more in (dict(), dict(sparsity="off"), dict(poison="nan"), dict(poison="large")):
        got = pit.compile(proto, **options, **more)(feeds)
        for name, w in zip(names, want):
            np.testing.assert_allclose(got[name], w, rtol=tolerance, atol=tolerance, err_msg=f"{name} with {more}")


def attention(mask, keys, hidden=8):
    """Q [b,s,8] against K = V [b,keys,8], under a mask that the nodes `mask` make of `m`: `add`, to be added to the scores."""
    return [("Transpose", "k", "kt", dict(perm=[0, 2, 1])), ("MatMul", "q kt", "z", {}), *mask, ("Add", "z add", "zm", {}),
            ("Softmax", "zm", "p", dict(axis=-1)), ("MatMul", "p k", "y", {})]  # fmt: skip


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("keys", [8, 17, 24, 48, 49, 77, 130, 512])
def test_attention_over_fixed_keys(keys, cpu):
    """Live keys may be any number up to the fixed one: a kernel for each width that their panels can have."""
    where = [("Cast", "m", "mb", dict(to=TensorProto.BOOL)), ("Unsqueeze", "mb axis", "mu", {}), ("Where", "mu zero low", "add", {})]
    f = TensorProto.FLOAT
    proto = model(attention(where, keys), dict(q=(f, ["b", "s", 8]), k=(f, ["b", keys, 8]), m=(TensorProto.INT64, ["b", keys])), ["y"],
                  dict(axis=np.array([1]), zero=np.float32(0), low=np.float32(MIN)))  # fmt: skip
    compiled, dense = pit.compile(proto, cpu=cpu), pit.compile(proto, cpu=cpu, sparsity="off")
    rng = np.random.default_rng(keys)
    q, k = rng.standard_normal((2, 9, 8), np.float32), rng.standard_normal((2, keys, 8), np.float32)
    for live in range(keys + 1) if keys < 100 else (0, 1, 15, 16, 17, 33, 64, 100, keys - 1, keys):
        m = np.zeros((2, keys), np.int64)
        m[0, :live] = 1
        m[1, rng.permutation(keys)[:live]] = 1
        feeds = dict(q=q, k=k, m=m)
        np.testing.assert_allclose(compiled(feeds)["y"], dense(feeds)["y"], rtol=1e-4, atol=1e-4, err_msg=f"{live} of {keys} keys live")


def test_softmax_of_attention():
    """One product would be the output of one attention and the scores of another."""
    nodes = [("MatMul", "q k", "z", {}), ("Softmax", "z", "p", dict(axis=-1)), ("MatMul", "p v", "a", {}), ("Softmax", "a", "r", dict(axis=-1)),
             ("MatMul", "r u", "y", {})]  # fmt: skip
    rng = np.random.default_rng(0)
    feeds = {name: rng.standard_normal(dims, np.float32) for name, dims in dict(q=(3, 5, 8), k=(3, 8, 11), v=(3, 11, 7), u=(3, 7, 6)).items()}
    check(model(nodes, {name: (TensorProto.FLOAT, v.shape) for name, v in feeds.items()}, ["y"]), feeds)


@pytest.mark.parametrize("fill", [-1e4, -1e9, -1e30, MIN, -np.inf])
@pytest.mark.parametrize("dims", [["b", 1, "s"], ["b", "s", "s"], [1, "s", "s"]], ids=str)
def test_two_masks_that_are_added(fill, dims):
    """Keys that are masked twice weigh less than those masked once, where no key is left; the second mask comes from outside, as floats."""
    f, rng = TensorProto.FLOAT, np.random.default_rng(0)
    nodes = attention([("Where", "c z low", "w", {}), ("Identity", "a", "add", {})], "s")
    nodes = [(op, ins.replace("z add", "w add"), out, at) for op, ins, out, at in nodes]
    proto = model(nodes, dict(q=(f, ["b", "s", 8]), k=(f, ["b", "s", 8]), a=(f, dims), c=(TensorProto.BOOL, ["b", 1, "s"])), ["y"],
                  dict(low=np.float32(MIN)))  # fmt: skip
    shape = [dict(b=2, s=6).get(d, d) for d in dims]
    a = np.where(rng.random(shape) < 0.5, np.float32(fill), np.float32(0)).astype(np.float32)
    a[..., 0, :] = fill
    if fill == -np.inf:
        a[..., 3] = 0
    c = np.array([[[1, 1, 1, 1, 0, 0]], [[0, 1, 0, 1, 0, 1]]], bool)
    check(proto, dict(q=rng.standard_normal((2, 6, 8), np.float32), k=rng.standard_normal((2, 6, 8), np.float32), a=a, c=c))


def test_masks_of_integers():
    """Additive masks of integers, cast to floats."""
    f, rng = TensorProto.FLOAT, np.random.default_rng(0)
    nodes = attention([("Cast", "m", "mf", dict(to=f)), ("Unsqueeze", "mf axis", "add", {})], "s")
    proto = model(nodes, dict(q=(f, ["b", "s", 8]), k=(f, ["b", "s", 8]), m=(TensorProto.INT32, ["b", "s"])), ["y"], dict(axis=np.array([1])))
    m = np.array([[0, 0, -10000, -10000], [-10000] * 4], np.int32)
    check(proto, dict(q=rng.standard_normal((2, 4, 8), np.float32), k=rng.standard_normal((2, 4, 8), np.float32), m=m))


def test_scores_that_look_like_masks():
    """Numbers just this side and that of what counts as a mask: data, whose differences matter."""
    proto = model([("Softmax", "x", "y", dict(axis=-1))], dict(x=(TensorProto.FLOAT, ["b", "s"])), ["y"])
    check(proto, dict(x=np.array([[-9999, -10001, -9998.5], [-9899, -9901, -9900], [-1000, -999, -20000], [np.nan, 1, 2]], np.float32)))


@pytest.mark.parametrize("to", [TensorProto.UINT8, TensorProto.INT32, TensorProto.FLOAT16])
def test_casts_that_narrow_before_a_condition(to):
    """What is not zero before a cast may be zero after it."""
    f = TensorProto.FLOAT if to != TensorProto.UINT8 else TensorProto.INT64
    nodes = [("Cast", "m", "n", dict(to=to)), ("Cast", "n", "c", dict(to=TensorProto.BOOL)), ("Where", "c x z", "y", {})]
    proto = model(nodes, dict(m=(f, ["n"]), x=(TensorProto.FLOAT, ["n"]), z=(TensorProto.FLOAT, ["n"])), ["y"])
    m = np.array([0, 256, 1, 255]) if f == TensorProto.INT64 else np.array([0, 0.4 if to == TensorProto.INT32 else 1e-9, 1, 2], np.float32)
    check(proto, dict(m=m, x=np.arange(4, dtype=np.float32), z=-np.ones(4, np.float32)))


def test_constants_are_not_shapes():
    """Value numbering: the bytes of a constant may be those of an extent's number."""
    constants = {f"c{i}": np.array(i, np.int32) for i in range(40)}
    nodes = [("Size", "x", "n", {}), ("Cast", "n", "t", dict(to=TensorProto.INT32))]
    nodes += [("Add", f"t c{i}", f"y{i}", {}) for i in range(40)]
    compiled = pit.compile(model(nodes, dict(x=(TensorProto.FLOAT, ["s", "t"])), [f"y{i}" for i in range(40)], constants))
    found = compiled(x=np.zeros((3, 5), np.float32))
    assert [int(found[f"y{i}"]) for i in range(40)] == [15 + i for i in range(40)]


def test_groups_that_would_wait_for_each_other():
    nodes = [("ReduceMax", "x", "a", dict(axes=[0, 2], keepdims=0)), ("Greater", "m zero", "g", {}), ("Cast", "g", "f", dict(to=TensorProto.FLOAT)),
             ("Mul", "a f", "u", {}), ("Mul", "a a", "v", {}), ("Gelu", "v", "w", {}), ("Where", "g w a", "y", {})]  # fmt: skip
    proto = model(nodes, dict(x=(TensorProto.FLOAT, ["b", "t", "s"]), m=(TensorProto.INT64, ["t"])), ["u", "y"], dict(zero=np.array(0)), opset=20)
    proto = onnx_with_axes(proto)
    check(proto, dict(x=np.random.default_rng(0).standard_normal((2, 5, 3), np.float32), m=np.array([1, 0, 1, 1, 0])))


def onnx_with_axes(proto):
    """ReduceMax takes its axes as an operand since opset 18."""
    import onnx

    m = onnx.load_from_string(proto)
    reduce = m.graph.node[0]
    del reduce.attribute[0]
    reduce.input.append("axes")
    m.graph.initializer.append(numpy_helper.from_array(np.array([0, 2]), "axes"))
    return m.SerializeToString()


def test_a_slice_of_what_reads_a_first_row():
    """Demand that is one place of an axis, whose formula says so in pieces."""
    nodes = [("Tanh", "x", "t", {}), ("Gather", "t zero", "first", dict(axis=1)), ("Add", "t first", "z", {}), ("Slice", "z zero one one", "y", {})]
    constants = dict(zero=np.array([0]), one=np.array([1]))
    check(model(nodes, dict(x=(TensorProto.FLOAT, ["b", "t", 4])), ["y"], constants), dict(x=np.ones((2, 3, 4), np.float32)))


@pytest.mark.parametrize("apart", [False, True])
def test_the_same_count_found_twice(apart):
    """Equal nodes that find a count are not one: each defines a symbol, which others may name."""
    nodes = [("NonZero", "m", "i", {}), ("NonZero", "m", "j", {}), ("Transpose", "i", "it", {}), ("Transpose", "j", "jt", {}),
             ("GatherND", "x it", "p", {}), ("GatherND", "x jt", "q", {})]  # fmt: skip
    nodes += [("Neg", "q", "r", {})] if apart else [("Mul", "p q", "r", {})]
    proto = model(nodes, dict(m=(TensorProto.BOOL, ["b", "s"]), x=(TensorProto.FLOAT, ["b", "s", 4])), ["p", "r"])
    check(proto, dict(m=np.array([[1, 0, 1], [0, 0, 1]], bool), x=np.arange(24, dtype=np.float32).reshape(2, 3, 4)))


def test_nan_beside_an_infinite_mask():
    """A maximum of -inf absorbs what is tame, which a sum over nothing but -inf is not: it is NaN."""
    nodes = [("Where", "m x low", "s", {}), ("ReduceMax", "s", "top", dict(axes=[1], keepdims=1)), ("Sub", "s top", "d", {}), ("Exp", "d", "e", {}),
             ("ReduceSum", "e one", "z", dict(keepdims=1)), ("Add", "top z", "y", {})]  # fmt: skip
    proto = model(nodes, dict(m=(TensorProto.BOOL, ["b", "s"]), x=(TensorProto.FLOAT, ["b", "s"])), ["y"], dict(low=np.float32(-np.inf), one=np.array([1])))
    check(proto, dict(m=np.array([[1, 0, 1], [0, 0, 0]], bool), x=np.arange(6, dtype=np.float32).reshape(2, 3)))


def test_equal_masks_of_steps_with_other_rows():
    """Of one token, rows [b s] and rows [s] of each batch position have the same mask, but not the same lists."""
    f, boolean = TensorProto.FLOAT, TensorProto.BOOL
    nodes = [("Unsqueeze", "real two", "r", {}), ("Cast", "r", "rf", dict(to=f)), ("Mul", "rf x", "xm", {}), ("MatMul", "xm w", "h", {}),
             ("Mul", "xm h", "g", {}), ("MatMul", "p g", "y", {}), ("Split", "y sizes", "first z", dict(axis=2)),
             ("ReduceSum", "first one", "t", dict(keepdims=0))]  # fmt: skip
    rng = np.random.default_rng(5)
    proto = model(nodes, dict(x=(f, ["b", "s", 32]), p=(f, ["b", 1, "s"]), real=(boolean, ["b", "s"]), wanted=(boolean, ["b"])), ["t", "z"],
                  dict(two=np.array([2]), one=np.array([1]), sizes=np.array([14, 18]), w=rng.standard_normal((32, 32), np.float32)))  # fmt: skip
    compiled, dense = pit.compile(proto, outputs={"t": "wanted", "z": None}), pit.compile(proto, sparsity="off")
    for b, s in [(4, 1), (1, 4), (3, 5), (7, 1), (2, 1)]:
        feeds = dict(x=rng.standard_normal((b, s, 32), np.float32), p=np.ones((b, 1, s), np.float32), real=rng.random((b, s)) < 0.7,
                     wanted=np.arange(b) % 2 == 1)  # fmt: skip
        got, want = compiled(feeds), dense(feeds)
        np.testing.assert_allclose(got["z"], want["z"], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(got["t"], np.where(feeds["wanted"][:, None], want["t"], 0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("moves", [[], [("Unsqueeze", "y axes", "y1", {}), ("Squeeze", "y1 axes", "y2", {})]], ids=["given", "moved"])
def test_a_quotient_of_zeros_of_given_data(moves):
    """0 / 0 is NaN, also where the divisor is data and the zeros of a small input look like a mask."""
    f = TensorProto.FLOAT
    proto = model([*moves, ("Div", f"x {moves[-1][2] if moves else 'y'}", "z", {})], dict(x=(f, ["n", 1]), y=(f, ["n", "k"])), ["z"], dict(axes=np.array([0])))
    x, y = np.array([[1], [0], [0], [2]], np.float32), np.array([[1, 0, 2], [0, 1, 0], [3, 0, np.inf], [0, 1, 1]], np.float32)
    for options in (dict(), dict(poison="large"), dict(sparsity="off")):
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(pit.compile(proto, **options)(x=x, y=y)["z"], x / y)


@pytest.mark.parametrize("rows", [1, 4, 300])
@pytest.mark.parametrize("chain", ["Where", "Add", "Max", "scalars"])
def test_operators_behind_a_product_bring_many_operands(chain, rows):
    """24 operators may join a product, and each brings operands of its own: more than fit arrays of a fixed length."""
    rng = np.random.default_rng(0)
    for n in (12, 14, 23, 40):
        f, nodes, inputs, constants = TensorProto.FLOAT, [("MatMul", "x w", "t0", {})], dict(x=(TensorProto.FLOAT, ["m", 16])), {}
        constants["w"] = rng.standard_normal((16, 32)).astype(np.float32)
        feeds = dict(x=rng.standard_normal((rows, 16)).astype(np.float32))
        for i in range(n):
            shape = [[], ["m", 32], ["m", 1], [32]][(i if chain != "scalars" else 0) % 4]
            real = [{"m": rows}.get(d, d) for d in shape]
            inputs[f"r{i}"], feeds[f"r{i}"] = (f, shape), rng.standard_normal(real).astype(np.float32)
            if chain == "Where":
                inputs[f"c{i}"], feeds[f"c{i}"] = (TensorProto.BOOL, ["m", 32]), rng.random((rows, 32)) > 0.2
                nodes.append(("Where", f"c{i} t{i} r{i}", f"t{i + 1}", {}))
            else:
                nodes.append(({"scalars": "Mul"}.get(chain, chain), f"t{i} r{i}", f"t{i + 1}", {}))
        check(model(nodes, inputs, [f"t{n}"], constants), feeds)


@pytest.mark.parametrize("op", ["Sum", "Max", "Mean", "Concat"])
def test_an_operator_of_many_operands(op):
    rng, n = np.random.default_rng(0), 70
    inputs = {f"x{i}": (TensorProto.FLOAT, ["a", "b", 2, 3, "c"]) for i in range(n)}
    feeds = {k: rng.standard_normal((3, 2, 2, 3, 2)).astype(np.float32) for k in inputs}
    attributes = dict(axis=1) if op == "Concat" else {}
    check(model([(op, " ".join(inputs), "s", attributes), ("Softmax", "s", "y", dict(axis=-1))], inputs, ["y"]), feeds)


def test_any_number_behind_a_view_of_a_routine():
    """What a mask makes 0 may be any number, and a routine (no formula says what it does) gives all of its numbers."""
    i, f, b = TensorProto.INT64, TensorProto.FLOAT, TensorProto.BOOL
    nodes = [("TopK", "x k", "t i", dict(axis=1)), ("Shape", "like", "s", {}), ("Reshape", "t s", "r", {}),
             ("Cast", "m", "g", dict(to=f)), ("Mul", "g r", "y", {})]  # fmt: skip
    feeds = dict(x=np.array([[0.5, -1, 2]], np.float32), like=np.zeros((1, 1, 2), np.float32), m=np.array([[[True, False]]]))
    proto = model(nodes, dict(x=(f, ["b", 3]), like=(f, ["b", 1, 2]), m=(b, ["b", 1, 2])), ["y"], dict(k=np.array([2])))
    check(proto, feeds)


def test_a_call_that_finds_too_much():
    """What a call has planned for the extents that it found is no other call's."""
    f, i = TensorProto.FLOAT, TensorProto.INT64
    proto = model([("ConstantOfShape", "s", "z", {}), ("Add", "z x", "t", {}), ("Neg", "t", "y", {})], dict(s=(i, [2]), x=(f, [])), ["y"])
    compiled = pit.compile(proto)
    with pytest.raises(pit.InputError, match="rows"):
        compiled(s=np.array([1 << 33, 0]), x=np.float32(2))
    np.testing.assert_array_equal(compiled(s=np.array([2, 3]), x=np.float32(2))["y"], np.full((2, 3), -2, np.float32))


@pytest.mark.parametrize("place", [0, -1, -3])
def test_one_row_of_those_found(place):
    """Where the row lies is known before how much memory it lies in."""
    f, b = TensorProto.FLOAT, TensorProto.BOOL
    nodes = [("NonZero", "m", "i", {}), ("Squeeze", "i zero", "r", {}), ("Gather", "x r", "a", {}), ("MatMul", "a w", "h", {}), ("Gather", "h at", "one", {}),
             ("Add", "h one", "y", {}), ("Relu", "one", "z", {})]  # fmt: skip
    rng = np.random.default_rng(0)
    proto = model(nodes, dict(x=(f, ["n", 8]), m=(b, ["n"])), ["y", "one", "z"], dict(zero=np.array([0]), at=np.array(place), w=rng.standard_normal((8, 6), np.float32)))
    for n in (3, 40):
        check(proto, dict(x=rng.standard_normal((n, 8), np.float32), m=np.arange(n) % 13 < 3))
    with pytest.raises(pit.InputError):
        pit.compile(proto)(x=np.ones((4, 8), np.float32), m=np.zeros(4, bool))


@pytest.mark.parametrize("scaled", [False, True])
def test_attention_over_no_keys(scaled):
    """No columns of scores need no tile, nor is there one."""
    f, rng = TensorProto.FLOAT, np.random.default_rng(0)
    nodes = [("MatMul", "q k", "z", {}), *([("Mul", "z half", "zs", {})] if scaled else []), ("Softmax", "zs" if scaled else "z", "p", dict(axis=-1)),
             ("MatMul", "p v", "y", {})]  # fmt: skip
    proto = model(nodes, dict(q=(f, ["s", 8]), k=(f, [8, 0]), v=(f, [0, 8])), ["y"], dict(half=np.float32(0.5)))
    for rows in (1, 2, 9):
        check(proto, dict(q=rng.standard_normal((rows, 8), np.float32), k=np.zeros((8, 0), np.float32), v=np.zeros((0, 8), np.float32)))


@pytest.mark.parametrize("extents", [[-5, 8], [1 << 62, 8], [1 << 31, 1 << 31]], ids=str)
def test_a_shape_that_no_tensor_has(extents):
    """The error names the operator, as others do, and leaves the model usable."""
    compiled = pit.compile(model([("ConstantOfShape", "s", "y", {})], dict(s=(TensorProto.INT64, [2])), ["y"]))
    with pytest.raises(pit.InputError, match="ConstantOfShape") as caught:
        compiled(s=np.array(extents))
    assert "ConstantOfShape" in caught.value.op
    assert compiled(s=np.array([2, 3]))["y"].shape == (2, 3)


def test_claims_look_at_what_is_stored():
    """A truth inside a group, of which a claim about another result tells."""
    nodes = [("MatMul", "x w", "h", {}), ("Tanh", "h", "t", {}), ("Equal", "n zero", "is", {}), ("Cast", "is", "number", {"to": 7}),
             ("Cast", "number", "truth", {"to": 9}), ("Unsqueeze", "truth axes", "wide", {}), ("Where", "wide h t", "chosen", {}),
             ("Mul", "chosen half", "y", {}), ("Where", "some h nothing", "z", {})]  # fmt: skip
    inputs = {"x": (TensorProto.DOUBLE, ["b", 2, 2]), "n": (TensorProto.INT32, ["b"]), "some": (TensorProto.BOOL, [1, 1, 2])}
    constants = {"w": np.array([[0.2, -0.1], [-0.2, -0.1]]), "zero": np.array(0, np.int32), "axes": np.array([1, 2]), "half": np.array(0.5),
                 "nothing": np.array(0.0)}  # fmt: skip
    proto = model(nodes, inputs, ["y", "z", "t"], constants, opset=18)
    feeds = {"x": np.random.default_rng(0).standard_normal((4, 2, 2)), "n": np.array([0, 1, 0, 2], np.int32), "some": np.array([[[True, False]]])}
    want = dict(zip("yzt", onnxruntime.InferenceSession(proto, providers=["CPUExecutionProvider"]).run(None, feeds)))
    real = (feeds["n"] != 0)[:, None, None]
    for options in (dict(), dict(sparsity="off"), dict(poison="nan"), dict(poison="large")):
        got = pit.compile(proto, outputs={"y": "n", "z": None, "t": "n"}, **options)(feeds)
        for name in "yzt":
            np.testing.assert_allclose(got[name], want[name] if name == "z" else np.where(real, want[name], 0), rtol=1e-4, atol=1e-6)
