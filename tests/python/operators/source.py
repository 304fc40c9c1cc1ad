"""A net as a program of its own: what is left of a random graph when it has been taken apart."""

import numpy as np

PROGRAM = '''# {title}
import sys

import numpy as np
import onnxruntime
import pit
from numpy import array, bool_, float16, float32, float64, inf, int32, int64, int8, nan, uint8  # noqa: F401
from onnx import TensorProto, ValueInfoProto, helper, numpy_helper

nodes = [
{nodes}
]
inputs = [
{inputs}
]
constants = {{
{constants}
}}
feeds = [
{feeds}
]
outputs = {outputs}
declared = {declared}

graph = helper.make_graph(nodes, "found", inputs, [ValueInfoProto(name=o) for o in outputs],
                          [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", {opset})], ir_version=10).SerializeToString()
plain = onnxruntime.SessionOptions()
plain.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
session = onnxruntime.InferenceSession(model, plain, providers=["CPUExecutionProvider"])
bad = False
for options in ({config}, dict(sparsity="off", threads=1)):
    compiled = pit.compile(model, outputs=declared or None, **options)
    for feed in feeds:
        got = compiled(feed)
        for name, want in zip(outputs, session.run(None, feed)):
            if declared and declared[name]:
                mask = feed[declared[name]] != 0
                want = np.where(mask.reshape(mask.shape + (1,) * (want.ndim - mask.ndim)), want, 0)
            right = got[name].shape == want.shape and np.allclose(got[name], want, rtol={tolerance}, atol={tolerance}, equal_nan=True)
            print(options, name, "right" if right else f"WRONG\\npit\\n{{got[name]}}\\nonnxruntime\\n{{want}}")
            bad = bad or not right
sys.exit(int(bad))
'''


def literal(value):
    value = np.asarray(value)
    if value.size == 0:
        return f"np.zeros({list(value.shape)}, {value.dtype.name})"
    with np.printoptions(threshold=10**9, linewidth=160, floatmode="unique"):
        text = repr(value.tolist()) if value.dtype.kind != "f" else np.array2string(value, separator=", ")
    return f"array({text}, {'bool_' if value.dtype == bool else value.dtype.name})"


def program(net, title, config, opset, tolerance=1e-3):
    """Runnable text; exits with 1 where PIT and ONNX Runtime differ."""
    def declaration(name):
        dtype, dims = net.types[name]
        dims = [d if isinstance(d, int) or d.isidentifier() else None for d in dims]
        return f'    helper.make_tensor_value_info("{name}", helper.np_dtype_to_tensor_dtype(np.dtype("{dtype}")), {dims}),'

    def node(n):
        attrs = "".join(f", {k}={v!r}" for k, v in n.attrs.items())
        return f'    helper.make_node("{n.op}", {n.inputs}, {n.outputs}{attrs}),'

    return PROGRAM.format(
        title=title.replace("\n", " "), nodes="\n".join(map(node, net.nodes)), inputs="\n".join(map(declaration, net.inputs)),
        constants="\n".join(f'    "{k}": {literal(v)},' for k, v in net.constants.items()),
        feeds="\n".join("    {" + ", ".join(f'"{k}": {literal(v)}' for k, v in f.items()) + "}," for f in net.feeds),
        outputs=net.outputs, declared=net.wanted(), config="dict(" + ", ".join(f"{k}={v!r}" for k, v in config.items()) + ")", opset=opset,
        tolerance=tolerance)  # fmt: skip
