"""No attribute of an operator is ignored: PIT reads it, or refuses the model.

Walks the schemas of onnx: every operator that PIT has, every version of it, every attribute. An attribute is given a value of a wrong
type: who reads it complains about it, who does not know it refuses it, and who takes it has not looked.
"""

import functools

import numpy as np
import onnx.defs
import pytest
from onnx import helper
from operators.spec import OneNode, standard_operators
from operators.table import CASES

import pit

OLDEST, NEWEST = 7, 28
OPS = sorted(standard_operators())
#: Read by nobody because they say how to train. Everything else that PIT takes without a look may have certain values only.
OF_TRAINING = {("Dropout", "ratio"), ("Dropout", "seed"), ("BatchNormalization", "momentum")}


@functools.cache
def schemas(op):
    """The versions of an operator that models may use, each with the opset to try it in."""
    found = {s.since_version: s for s in onnx.defs.get_all_schemas_with_history() if s.domain == "" and s.name == op}
    starts = sorted(found)
    return [(max(v, OLDEST), found[v]) for k, v in enumerate(starts) if v <= NEWEST and (k + 1 == len(starts) or starts[k + 1] > OLDEST)]


def cases(op):
    return [c for c in CASES if c.op == op]


def refusal(case, opset, name, value):
    """What PIT says to the attribute, or nothing if it takes it. Also what is wrong with the case apart from it counts as nothing."""
    proto = OneNode(case, "static", opset).proto
    node = proto.graph.node[0]
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])
    try:
        pit.compile(proto, cache_dir="none")
    except pit.PitError as e:
        return e if f"'{name}'" in str(e) else None
    return None


def wrong_value(attribute):
    strings = attribute.type in (onnx.defs.OpSchema.AttrType.STRING, onnx.defs.OpSchema.AttrType.STRINGS)
    return 7 if strings else "no number"


@pytest.mark.parametrize("op", OPS)
def test_no_attribute_of_the_standard_is_ignored(op):
    assert schemas(op), f"{op} is not in the standard"
    for opset, schema in schemas(op):
        for name, attribute in schema.attributes.items():
            if (op, name) in OF_TRAINING:
                continue
            value = wrong_value(attribute)
            assert any(refusal(c, opset, name, value) for c in cases(op)), f"{op} in opset {opset}: nobody looks at '{name}'"


@pytest.mark.parametrize("op", OPS)
def test_an_unknown_attribute_is_refused(op):
    case = cases(op)[0]
    for opset in sorted({OLDEST, NEWEST, *(s for s, _ in schemas(op))}):
        said = refusal(case, opset, "mood", "glad")
        assert isinstance(said, pit.UnsupportedError) and op in str(said), f"{op} in opset {opset}: {said}"


#: In opsets that do not have them yet, or any more, and values that are not taken.
REFUSED = [("Clip", 11, "min", 0.0), ("Clip", 13, "max", 1.0), ("Pad", 13, "pads", [1, 1, 1, 1]), ("Slice", 13, "starts", [0]), ("Cast", 19, "saturate", 2),
           ("LayerNormalization", 17, "stash_type", 10), ("TopK", 11, "sorted", 2), ("MaxPool", 12, "storage_order", 3),
           ("BatchNormalization", 7, "spatial", 0), ("QuantizeLinear", 21, "output_dtype", 4), ("DequantizeLinear", 23, "output_dtype", 10),
           ("SpaceToDepth", 28, "mode", "RCD"), ("DepthToSpace", 13, "mode", "crd"), ("Attention", 23, "softmax_precision", 11)]  # fmt: skip


@pytest.mark.parametrize("op, opset, name, value", REFUSED)
def test_a_value_of_no_meaning_is_refused(op, opset, name, value):
    assert refusal(cases(op)[0], opset, name, value)


def test_attributes_of_functions_are_declared():
    relu = helper.make_node("LeakyRelu", ["a"], ["b"])
    relu.attribute.append(onnx.AttributeProto(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT))
    function = helper.make_function("mine", "Leaky", ["a"], ["b"], [relu], [helper.make_opsetid("", 17)], attributes=["slope"])

    def model(**attributes):
        node = helper.make_node("Leaky", ["x"], ["y"], domain="mine", **attributes)
        graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", 1, [3])], [helper.make_empty_tensor_value_info("y")])
        return helper.make_model(graph, functions=[function], opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)])

    pit.compile(model(slope=0.5))
    with pytest.raises(pit.ModelError, match="'Leaky' has no attribute 'slop'"):
        pit.compile(model(slop=0.5))


def test_an_operand_that_nobody_reads_is_refused():
    for op, operands in (("Relu", 2), ("MatMul", 3), ("Softmax", 2), ("LayerNormalization", 4), ("Clip", 4), ("Transpose", 2), ("Pad", 5)):
        case = next(c for c in cases(op) if max(c.opsets) >= 11 and not ("min" in c.attrs or "pads" in c.attrs))
        proto = OneNode(case, "static", 18).proto
        node = proto.graph.node[0]
        node.input.extend([""] * (operands - 1 - len(node.input)) + [proto.graph.input[0].name])
        with pytest.raises(pit.UnsupportedError, match=f"{op} 'it': operand {operands - 1} is not supported"):
            pit.compile(proto)


#: Shape computations are done when the model is compiled; what is no operator is none there either.
NO_SHAPES = [("Squeeze", [[0]], {}, "extent 3, not 1"), ("Unsqueeze", [[0, 0]], {}, "twice"), ("CumSum", [5], {}, "out of range"),
             ("Split", [], dict(axis=1), "out of range"), ("Split", [], dict(num_outputs=2), "outputs"), ("Gather", [3], {}, "out of range"),
             ("Concat", [[1]], dict(axis=1), "out of range"), ("Slice", [[0], [1], [1]], {}, "out of range"), ("Transpose", [], dict(perm=[1]), "perm")]  # fmt: skip


@pytest.mark.parametrize("op, operands, attributes, message", NO_SHAPES)
def test_shape_computations_are_checked(op, operands, attributes, message):
    names = [f"c{k}" for k in range(len(operands))]
    nodes = [helper.make_node("Shape", ["x"], ["s"]), helper.make_node(op, ["s", *names], ["y"], **attributes)]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", 1, ["a", 2, "b"])], [helper.make_empty_tensor_value_info("y")],
                              [onnx.numpy_helper.from_array(np.array(v), n) for n, v in zip(names, operands)])  # fmt: skip
    with pytest.raises(pit.ModelError, match=f"{op}: .*{message}"):
        pit.compile(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8))


@pytest.mark.parametrize("opset, dtype", [(7, np.float32), (7, np.float64), (10, np.bool_), (13, np.bool_)])
def test_the_type_of_a_mask_of_dropout(opset, dtype):
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(np.float32 if dtype == np.bool_ else dtype))
    graph = helper.make_graph([helper.make_node("Dropout", ["x"], ["y", "mask"])], "g", [helper.make_tensor_value_info("x", kind, [3])],
                              [helper.make_empty_tensor_value_info(o) for o in ("y", "mask")])  # fmt: skip
    x = np.array([1, np.nan, 0], helper.tensor_dtype_to_np_dtype(kind))
    got = pit.compile(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8))(x=x)
    assert got["mask"].dtype == dtype and got["mask"].all() and np.array_equal(got["y"], x, equal_nan=True)
