"""Products against a stack of constant matrices (experts, heads): each is the product with its matrix alone, bit for bit."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import pit

RNG = np.random.default_rng(0)
E, B = 4, 2
#: How x lies, and how the mask of its rows does.
FORMS = {"e": (["e", "t", "k"], ["e", "t", 1]), "shared": (["t", "k"], ["t", 1]), "be": (["b", "e", "t", "k"], ["b", 1, "t", 1]),
         "b1": (["b", 1, "t", "k"], ["b", 1, "t", 1])}  # fmt: skip


def floats(*shape):
    return RNG.standard_normal(shape, dtype=np.float32)


def blocks(w):
    w = w.copy()
    for k in range(0, w.shape[0], 8):
        for n in range(0, w.shape[1], 32):
            if RNG.random() < 0.8:
                w[k : k + 8, n : n + 32] = 0
    return w


PRUNED = {
    "rows": lambda w: w * (RNG.random((w.shape[0], 1)) < 0.3),
    "blocks": blocks,
    "elements": lambda w: w * (RNG.random(w.shape) < 0.05),
    "all": lambda w: w * 0,
    "nothing": lambda w: w,
}
STACKS = {"dense": ["nothing"] * E, "one of them": ["nothing", "blocks", "nothing", "nothing"], "each in its way": ["rows", "blocks", "nothing", "all"],
          "elements": ["elements", "elements", "all", "elements"], "rows": ["rows"] * E, "blocks": ["blocks"] * E}  # fmt: skip


def stack(kinds, k, n):
    return np.stack([PRUNED[kind](floats(k, n)).astype(np.float32) for kind in kinds])


def info(name, dims, dtype=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, dtype, dims)


def saved(nodes, inputs, constants, outputs):
    outputs = [info(o, None) for o in outputs]
    for o in outputs:
        o.ClearField("type")
    graph = helper.make_graph(nodes, "g", inputs, outputs, [numpy_helper.from_array(v, name) for name, v in constants.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def chain(tag, bias, rectified, masked):
    """y = relu(where(mask, relu(x), 0) @ w + bias), as far as there is any of it."""
    nodes, last = [], f"x{tag}"

    def add(op, *inputs):
        nonlocal last
        name = f"v{len(nodes)}{tag}"
        nodes.append(helper.make_node(op, [last if i is None else i for i in inputs], [name]))
        last = name

    if rectified:
        add("Relu", None)
    if masked:
        add("Where", f"mask{tag}", None, "zero")
    add("MatMul", None, f"w{tag}")
    if bias is not None:
        add("Add", None, f"bias{tag}")
        add("Relu", None)
    nodes[-1].output[0] = f"y{tag}"
    return nodes


def model(dims, mask_dims, w, bias=None, rectified=False, masked=False):
    inputs = [info("x", dims)] + ([info("mask", mask_dims, TensorProto.BOOL)] if masked else [])
    constants = dict(w=w, zero=np.float32(0), **({} if bias is None else {"bias": bias}))
    return saved(chain("", bias, rectified, masked), inputs, constants, ["y"])


def apart(w, bias, rectified, masked):
    """The same with each matrix of its own."""
    nodes, inputs, constants = [], [], dict(zero=np.float32(0))
    for e in range(E):
        nodes += chain(f"{e}", bias, rectified, masked)
        inputs += [info(f"x{e}", ["t", w.shape[1]])] + ([info(f"mask{e}", ["t", 1], TensorProto.BOOL)] if masked else [])
        constants[f"w{e}"] = w[e]
        if bias is not None:
            constants[f"bias{e}"] = bias[e]
    return saved(nodes, inputs, constants, [f"y{e}" for e in range(E)])


def dims_of(form, k):
    return [[k if d == "k" else E if d == "e" else d for d in dims] for dims in FORMS[form]]


def rows_for(x, e, dims):
    """What the product with matrix e reads of x or of the mask, as rows."""
    if len(dims) == 2:
        return x
    axis = len(dims) - 3
    own = x.take(e if dims[axis] == E else 0, axis)
    return np.ascontiguousarray(own.reshape(-1, x.shape[-1]))


def check(form, w, t, bias=None, rectified=False, masked=False, calls=2, **options):
    dims, mask_dims = dims_of(form, w.shape[1])
    shape, mask_shape = ([dict(b=B, t=t).get(d, d) for d in ds] for ds in (dims, mask_dims))
    x = floats(*shape)
    if rectified:
        x -= np.float32(1.3)  # a tenth is left
    feeds, own = dict(x=x), {}
    if masked:
        feeds["mask"] = RNG.random(mask_shape) < 0.6
    for e in range(E):
        own[f"x{e}"] = rows_for(x, e, dims)
        if masked:
            own[f"mask{e}"] = rows_for(feeds["mask"], e, mask_dims)
    stacked = pit.compile(model(dims, mask_dims, w, bias, rectified, masked), **options)
    results = pit.compile(apart(w, bias, rectified, masked), **options)(own)
    want = np.stack([results[f"y{e}"].reshape(*([B] if "b" in dims else []), t, w.shape[2]) for e in range(E)], axis=-3)
    for _ in range(calls):  # what was learned from one call may choose another way for the next
        got = stacked(feeds)["y"]
        assert got.shape == want.shape
        assert np.array_equal(got.view(np.int32), want.view(np.int32)), f"differs at {np.argwhere(got != want)[:5]}"
    return stacked


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("stacked", STACKS)
def test_equal_to_single_products(stacked, form):
    """Extents round those of tiles and vectors."""
    for i, (k, n, t) in enumerate([(1, 1, 1), (7, 17, 5), (33, 48, 13), (70, 97, 3), (64, 130, 33), (129, 5, 8)]):
        check(form, stack(STACKS[stacked], k, n), t, cpu=["native", "x86-64-v3"][i % 2], sparsity="off" if i == 3 else "auto", threads=2)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("stacked", ["dense", "each in its way", "elements"])
def test_with_epilogues_and_padded_rows(stacked, form):
    for i, (k, n, t) in enumerate([(7, 17, 5), (64, 97, 33)]):
        w, bias = stack(STACKS[stacked], k, n), floats(E, 1, n)
        for masked in (False, True):
            for rectified in (False, True):
                check(form, w, t, bias, rectified, masked, poison=["nan", "large"][(i + rectified) % 2], threads=1 + masked)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("stacked", ["dense", "each in its way", "elements", "blocks"])
def test_large_enough_that_rules_differ(stacked, form):
    w = stack(STACKS[stacked], 320, 400)
    for t, rectified in ((1, False), (6, True), (120, False), (120, True)):
        check(form, w, t, rectified=rectified, calls=12, threads=2)


def test_packed_once_and_said():
    w = stack(STACKS["dense"], 64, 96)
    compiled = check("e", w, 4)
    assert "constant: packed when the model is compiled, 4 matrices" in compiled.dump("groups")
    assert compiled.explain(json=True)["packed_bytes"] >= w.nbytes
    compiled = check("b1", stack(STACKS["blocks"], 64, 96), 4)
    assert "4 x m 8, n 96, k 64" in compiled.dump("schedules", x=floats(B, 1, 4, 64))


def test_no_matrices_and_no_rows():
    for w in (np.zeros((0, 8, 16), np.float32), np.zeros((3, 0, 16), np.float32), np.zeros((3, 8, 0), np.float32)):
        e, k, n = w.shape
        compiled = pit.compile(model([e, "t", k], None, w))
        assert np.array_equal(compiled(x=np.ones((e, 2, k), np.float32))["y"], np.zeros((e, 2, n), np.float32))


def test_slices_and_transposes_of_a_stack():
    """The matrices lie as views of the constant say: transposed, the stack's axis last and backwards, from some place on."""
    w = floats(3, 16, E + 2)  # n, k, e
    nodes = [helper.make_node("Slice", ["w", "from", "to", "axes", "steps"], ["cut"]), helper.make_node("Transpose", ["cut"], ["wt"], perm=[2, 1, 0]),
             helper.make_node("MatMul", ["x", "wt"], ["y"])]  # fmt: skip
    constants = dict(w=w, to=np.array([0]), axes=np.array([2]), steps=np.array([-1]))
    constants["from"] = np.array([E])
    x = floats(E, 5, 16)
    got = pit.compile(saved(nodes, [info("x", [E, "t", 16])], constants, ["y"]))(x=x)["y"]
    np.testing.assert_allclose(got, x @ w[:, :, E:0:-1].transpose(2, 1, 0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("which", ["k", "v", "both"])
@pytest.mark.parametrize("per_head", [False, True])
def test_attention_with_constant_keys_or_values(which, per_head):
    """A constant per head is the attention's to pack; one for all heads makes an ordinary product."""
    heads, s, d = 3, 11, 8
    lead = [heads] if per_head else []
    values = dict(k=floats(*lead, d, s), v=floats(*lead, s, d))
    constants = {name: v for name, v in values.items() if which in (name, "both")}
    feeds = dict(q=floats(heads, 5, d), **{name: v for name, v in values.items() if name not in constants})
    nodes = [helper.make_node("MatMul", ["q", "k"], ["z"]), helper.make_node("Softmax", ["z"], ["p"], axis=-1), helper.make_node("MatMul", ["p", "v"], ["y"])]
    inputs = [info(name, [heads, "t", d] if name == "q" else list(v.shape)) for name, v in feeds.items()]
    compiled = pit.compile(saved(nodes, inputs, constants, ["y"]), poison="nan")
    z = feeds["q"] @ values["k"]
    p = np.exp(z - z.max(-1, keepdims=True))
    np.testing.assert_allclose(compiled(feeds)["y"], p / p.sum(-1, keepdims=True) @ values["v"], rtol=1e-4, atol=1e-4)
    assert ("attention" in [step["kind"] for step in compiled.profile(feeds, json=True)["steps"]]) == per_head
