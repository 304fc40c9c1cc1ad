"""Mixtures of experts: each token goes to the few experts that a router chooses in the run, and only these rows are computed.

    python examples/experts.py [--model mixtral|switch|all] [--threads N] [--tokens 4,128,1024] [--seconds S]

Writes one layer with random weights as ordinary ONNX files in the forms that exporters write:

    loop      a loop over experts with NonZero, Gather and ScatterND (torch.onnx, of models that index)
    operator  the operator MoE of ONNX Runtime (domain com.microsoft)
    dense     every expert for every token, weighed by gates of which most are zero

and compares PIT with ONNX Runtime on each, and with PyTorch's loop where PyTorch is installed. `of dense` is the rate, in FLOPs of routed rows
per second, over that of PIT's dense product of as many rows and the same weights' shapes.
"""

import argparse
import os

import numpy as np
from onnx import TensorProto, helper, numpy_helper

import contest
import demo
import pit

#: experts, how many each token goes to, width, inner width
MODELS = {"mixtral": (8, 2, 512, 1792), "switch": (64, 1, 768, 3072)}
FORMS = ["loop", "operator", "dense"]


class Layer:
    """A layer's weights, and the same layer in each form. Input `x` [tokens, width], output `y`."""

    def __init__(self, experts, top, width, inner, seed=0):
        random = np.random.default_rng(seed)
        self.experts, self.top, self.width, self.inner = experts, top, width, inner
        self.router = random.standard_normal((width, experts), np.float32) / np.float32(width**0.5)
        self.up = random.standard_normal((experts, inner, width), np.float32) / np.float32(width**0.5)
        self.down = random.standard_normal((experts, width, inner), np.float32) / np.float32(inner**0.5)

    def flops(self, tokens):
        return tokens * self.top * 2 * 2 * self.width * self.inner

    def model(self, form):
        """Bytes of the ONNX model."""
        self.nodes, self.constants = [], {"router": self.router}
        self.add("MatMul", "x router", "scores")
        getattr(self, form)()
        tensors = [numpy_helper.from_array(np.asarray(v, order="C"), k) for k, v in self.constants.items()]
        shape = ["tokens", self.width]
        graph = helper.make_graph(self.nodes, form, [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)], tensors)  # fmt: skip
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()

    def add(self, op, inputs, outputs, **attributes):
        self.nodes.append(helper.make_node(op, ["" if i == "-" else i for i in inputs.split()], outputs.split(), **attributes))

    def route(self):
        self.constants |= {"top": np.array([self.top]), "last": np.array([-1])}
        self.add("Softmax", "scores", "p", axis=-1)
        self.add("TopK", "p top", "best chosen", axis=-1)
        self.add("ReduceSum", "best last", "total")
        self.add("Div", "best total", "gates")

    def expert(self, x, e, result):
        self.constants |= {f"up{e}": self.up[e].T, f"down{e}": self.down[e].T}
        self.add("MatMul", f"{x} up{e}", f"h{e}")
        self.add("Sigmoid", f"h{e}", f"s{e}")
        self.add("Mul", f"h{e} s{e}", f"a{e}")
        self.add("MatMul", f"a{e} down{e}", result)

    def operator(self):
        self.constants |= {"up": self.up, "down": self.down}
        self.add("MoE", "x scores up - down", "y", domain="com.microsoft", k=self.top, activation_type="silu", normalize_routing_weights=1)

    def loop(self):
        self.route()
        self.constants |= {"zero": np.array(0), "one": np.array([1])}
        self.add("Shape", "x", "shape")
        self.add("ConstantOfShape", "shape", "y0")
        for e in range(self.experts):
            self.constants[f"n{e}"] = np.array(e)
            self.add("Equal", f"chosen n{e}", f"is{e}")
            self.add("NonZero", f"is{e}", f"where{e}")
            self.add("Transpose", f"where{e}", f"at{e}", perm=[1, 0])
            self.add("Gather", f"where{e} zero", f"row{e}", axis=0)
            self.add("Gather", f"x row{e}", f"x{e}", axis=0)
            self.expert(f"x{e}", e, f"o{e}")
            self.add("GatherND", f"gates at{e}", f"flat{e}")
            self.add("Unsqueeze", f"flat{e} one", f"gate{e}")
            self.add("Mul", f"o{e} gate{e}", f"v{e}")
            self.add("Unsqueeze", f"row{e} one", f"rows{e}")
            y = "y" if e + 1 == self.experts else f"y{e + 1}"
            self.add("ScatterND", f"y{e} rows{e} v{e}", y, reduction="add")

    def dense(self):
        self.route()
        self.constants |= {"two": np.array([2]), "one": np.array([1]), "values": np.array([0, 1], np.float32), "n": np.array([self.experts])}
        self.add("OneHot", "chosen n values", "hot", axis=-1)  # [tokens, top, experts]
        self.add("Unsqueeze", "gates two", "wide")
        self.add("Mul", "hot wide", "each")
        self.add("ReduceSum", "each one", "gate", keepdims=0)  # [tokens, experts]
        for e in range(self.experts):
            self.constants[f"n{e}"] = np.array([e])
            self.expert("x", e, f"o{e}")
            self.add("Gather", f"gate n{e}", f"gate{e}", axis=1)
            self.add("Mul", f"o{e} gate{e}", f"v{e}")
        self.add("Sum", " ".join(f"v{e}" for e in range(self.experts)), "y")

    def torch(self, threads):
        """The loop as people write it in PyTorch; nothing where it is not installed."""
        torch = contest.pytorch(threads)
        if not torch:
            return None
        router, up, down = (torch.from_numpy(np.ascontiguousarray(w)) for w in (self.router, self.up.transpose(0, 2, 1), self.down.transpose(0, 2, 1)))

        @torch.inference_mode()
        def run(x):
            x = torch.from_numpy(x)
            best, chosen = torch.topk(torch.softmax(x @ router, -1), self.top, -1)
            gates, y = best / best.sum(-1, keepdim=True), torch.zeros_like(x)
            for e in range(self.experts):
                row, slot = torch.where(chosen == e)
                if len(row):
                    y.index_add_(0, row, (torch.nn.functional.silu(x[row] @ up[e]) @ down[e]) * gates[row, slot, None])
            return y.numpy()

        return run


def dense_rate(layer, tokens, threads, seconds):
    """FLOPs per second of PIT's dense products of the rows that an expert gets on average."""
    rows, names = max(1, tokens * layer.top // layer.experts), range(layer.experts)
    nodes = [n for e in names for n in (helper.make_node("MatMul", ["x", f"u{e}"], [f"h{e}"]), helper.make_node("MatMul", [f"h{e}", f"d{e}"], [f"y{e}"]))]
    tensors = [numpy_helper.from_array(np.ascontiguousarray(w[e].T), f"{n}{e}") for n, w in (("u", layer.up), ("d", layer.down)) for e in names]
    graph = helper.make_graph(nodes, "dense", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", layer.width])],
                              [helper.make_tensor_value_info(f"y{e}", TensorProto.FLOAT, None) for e in names], tensors)  # fmt: skip
    model = pit.compile(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8).SerializeToString(), threads=threads)
    x = np.random.default_rng(0).standard_normal((rows, layer.width), np.float32)
    ms = contest.in_turns({"dense": lambda x: model(x=x)}, lambda: x, seconds)["dense"]
    return layer.experts * rows * 4 * layer.width * layer.inner / ms


def table(name, layer, tokens, threads, seconds, forms=FORMS):
    """Prints a line per form and number of tokens."""
    torch, random = layer.torch(threads), np.random.default_rng(1)
    print(f"\n{name}-like: {layer.experts} experts, top {layer.top}, {layer.width} -> {layer.inner}; {threads} thread(s), medians in ms")
    print(f"{'form':>9} {'tokens':>7} {'PIT':>9} {'ORT':>9} {'PyTorch':>9} {'over best':>10} {'of dense':>9}", flush=True)
    for form in forms:
        model = layer.model(form)
        compiled, ort = pit.compile(model, threads=threads), demo.onnx_runtime(model, threads)
        for t in tokens:
            contestants = {demo.PIT: lambda x: compiled(x=x)["y"], demo.ORT: lambda x: ort({"x": x})} | ({"PyTorch": torch} if torch else {})
            ms = contest.in_turns(contestants, lambda t=t: random.standard_normal((t, layer.width), np.float32), seconds)
            best = min(v for k, v in ms.items() if k != demo.PIT)
            share = layer.flops(t) / ms[demo.PIT] / dense_rate(layer, t, threads, seconds / 3)
            print(f"{form:>9} {t:>7} {ms[demo.PIT]:>9.3f} {ms[demo.ORT]:>9.3f} {ms.get('PyTorch', float('nan')):>9.3f} "
                  f"{best / ms[demo.PIT]:>9.2f}x {share:>9.2f}", flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=[*MODELS, "all"], default="mixtral")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--tokens", default="4,128,1024", help="separated by commas")
    parser.add_argument("--seconds", type=float, default=1.5, help="for each line of the table")
    options = parser.parse_args()
    for name in MODELS if options.model == "all" else [options.model]:
        table(name, Layer(*MODELS[name]), [int(t) for t in options.tokens.split(",")], options.threads, options.seconds)


if __name__ == "__main__":
    main()
