"""Masks of attention that a model makes: what a mask excludes is not computed, whatever its form and wherever it comes from.

    python examples/masks.py                                   every form, 2,048 tokens
    python examples/masks.py --form window,blocks --tokens 8192
    python examples/masks.py --fill where --threads 1          masked scores replaced, instead of -inf added to them

Writes dense attention of several heads (MatMul, Div, mask, Softmax, MatMul) as ordinary ONNX files whose graphs compute the mask:

    window      neighbours: 64 tokens to either side
    longformer  the window, and 64 global tokens: their rows and their columns (boolean input [sequence])
    museformer  music in bars: all tokens of one's own bar and of the 1st, 2nd, 4th, 8th, 12th, 16th, 24th and 32nd before it, and of the others the
                token that sums them up (bar numbers [sequence], boolean input [sequence])
    blocks      a tenth of all blocks of 64 x 64, others for each head (boolean input [heads, blocks, blocks])
    packed      documents one after the other in one sequence, each attending to itself (document numbers [sequence])
    pruning     not attention alone: an encoder of 12 layers that after the 3rd, 6th and 9th scores its tokens and drops the worse half of those
                that are left; 8 sequences of an eighth of the tokens

and compares PIT with ONNX Runtime and, where PyTorch is installed, with its scaled_dot_product_attention (SDPA) and FlexAttention (compiled, block
mask made in each run). `live`: share of the dense model's products that the mask leaves, counted by NumPy. `computed`: what PIT computes of them.
`of own dense`: PIT's time for the same model without the mask, times `live`, over its time with the mask: 1 if time were proportional to what is
live. Tokens that are dropped should cost at most 1.1 times their share (0.91 there).
"""

import argparse
import itertools
import os

import numpy as np
from onnx import TensorProto, helper

import contest
import demo
import make_minilm
import pit

WINDOW, GLOBAL, BLOCK, BARS, DOCUMENTS = 64, 64, 64, 64, 12
EARLIER = (1, 2, 4, 8, 12, 16, 24, 32)  # bars back that are read in full
OPSET = 18
DENSE = "no mask"


def pieces(random, tokens, number):
    """The number of the piece that each token is in."""
    starts = random.choice(np.arange(1, tokens), min(number, tokens) - 1, replace=False)
    return np.isin(np.arange(tokens), starts).cumsum()


class Window:
    """A form: its inputs (name -> type, dimensions), data for them, and whether query i reads key j in head h. `live` works on NumPy's and PyTorch's
    arrays of indices alike; `graph` writes the same in ONNX, for positions i [sequence, 1] and j [1, sequence]."""

    inputs = {}

    def given(self, random, tokens, heads):
        return {}

    def live(self, given, h, i, j):
        return abs(i - j) <= WINDOW

    def graph(self, g, i, j):
        return g("LessOrEqual", g("Abs", g("Sub", i, j)), g.constant("window", np.array(WINDOW)))


class Longformer(Window):
    inputs = {"global": (TensorProto.BOOL, ["sequence"])}

    def given(self, random, tokens, heads):
        chosen = random.choice(tokens, min(GLOBAL, tokens), replace=False)
        return {"global": np.isin(np.arange(tokens), chosen)}

    def live(self, given, h, i, j):
        return super().live(given, h, i, j) | given["global"][i] | given["global"][j]

    def graph(self, g, i, j):
        rows, columns = g("Unsqueeze", "global", g.ints(1)), g("Unsqueeze", "global", g.ints(0))
        return g("Or", g("Or", super().graph(g, i, j), rows), columns)


class Museformer:
    inputs = {"bar": (TensorProto.INT64, ["sequence"]), "summary": (TensorProto.BOOL, ["sequence"])}

    def given(self, random, tokens, heads):
        bar = pieces(random, tokens, BARS)
        return {"bar": bar, "summary": np.append(bar[1:] != bar[:-1], True)}

    def live(self, given, h, i, j):
        back, read = given["bar"][i] - given["bar"][j], given["summary"][j]
        for distance in (0, *EARLIER):
            read = read | (back == distance)
        return read

    def graph(self, g, i, j):
        back = g("Sub", g("Unsqueeze", "bar", g.ints(1)), g("Unsqueeze", "bar", g.ints(0)))
        read = g("Unsqueeze", "summary", g.ints(0))
        for distance in (0, *EARLIER):
            read = g("Or", read, g("Equal", back, g.constant(f"back{distance}", np.array(distance))))
        return read


class Blocks:
    inputs = {"blocks": (TensorProto.BOOL, ["heads", "blocks", "blocks"])}

    def given(self, random, tokens, heads):
        n = tokens // BLOCK
        return {"blocks": (random.random((heads, n, n)) < 0.1) | np.eye(n, dtype=bool)}

    def live(self, given, h, i, j):
        return given["blocks"][h, i // BLOCK, j // BLOCK]

    def graph(self, g, i, j):
        wide = g("Unsqueeze", "blocks", g.ints(2, 4))
        wide = g("Expand", wide, g.ints(1, 1, BLOCK, 1, BLOCK))
        size = g("Shape", "q", start=2, end=3)
        return g("Reshape", wide, g("Concat", g("Shape", "blocks", end=1), size, size, axis=0))


class Packed:
    inputs = {"document": (TensorProto.INT64, ["sequence"])}

    def given(self, random, tokens, heads):
        return {"document": pieces(random, tokens, DOCUMENTS)}

    def live(self, given, h, i, j):
        return given["document"][i] == given["document"][j]

    def graph(self, g, i, j):
        return g("Equal", g("Unsqueeze", "document", g.ints(1)), g("Unsqueeze", "document", g.ints(0)))


FORMS = {"window": Window(), "longformer": Longformer(), "museformer": Museformer(), "blocks": Blocks(), "packed": Packed()}
FILLS = ["add", "where"]


class Attention:
    """Attention of q, k, v [batch, heads, sequence, size] under the mask of a form."""

    def __init__(self, form, heads, size, fill):
        self.form, self.heads, self.size, self.fill = form, heads, size, fill

    def model(self, masked=True):
        """Bytes of the ONNX model."""
        g = make_minilm.Writer()
        scores = g("MatMul", "q", g("Transpose", "k", perm=[0, 1, 3, 2]))
        scores = g("Div", scores, g.scalar("sqrt_size", np.sqrt(self.size)))
        if masked:
            scores = self.exclude(g, scores)
        g("MatMul", g("Softmax", scores, axis=-1), "v", name="y")
        shape = ["batch", self.heads, "sequence", self.size]
        inputs = {name: (TensorProto.FLOAT, shape) for name in "qkv"} | (self.form.inputs if masked else {})
        return write(g, inputs, shape)

    def exclude(self, g, scores):
        number = g("Gather", g("Shape", "q"), g.constant("axis", np.array(2)), axis=0)
        positions = g("Range", g.constant("zero", np.array(0)), number, g.constant("one", np.array(1)))
        mask = self.form.graph(g, g("Unsqueeze", positions, g.ints(1)), g("Unsqueeze", positions, g.ints(0)))
        if self.fill == "where":
            return g("Where", mask, scores, g.scalar("minus_infinity", -np.inf))
        return g("Add", scores, g("Where", mask, g.scalar("nothing", 0), g.scalar("minus_infinity", -np.inf)))

    def inputs(self, random, tokens):
        shape = (1, self.heads, tokens, self.size)
        return {name: random.standard_normal(shape, np.float32) for name in "qkv"} | self.form.given(random, tokens, self.heads)

    def mask(self, given, arange, tokens):
        h, i = arange(self.heads), arange(tokens)
        return self.form.live(given, h[:, None, None], i[:, None], i)

    def share(self, given):
        return float(self.mask(given, np.arange, given["q"].shape[2]).mean())

    def torch(self, threads, tokens):
        """PyTorch's ways of computing it; none where it is not installed."""
        torch = contest.pytorch(threads)
        if not torch:
            return {}
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        kept = {name: torch.from_numpy(a) for name, a in self.form.given(np.random.default_rng(0), tokens, self.heads).items()}
        flex, make = torch.compile(flex_attention), torch.compile(create_block_mask)

        def live(b, h, i, j):
            return self.form.live(kept, h, i, j)

        @torch.inference_mode()
        def sdpa(given):
            x = {name: torch.from_numpy(a) for name, a in given.items()}
            mask = self.mask(x, torch.arange, tokens)
            return torch.nn.functional.scaled_dot_product_attention(x["q"], x["k"], x["v"], attn_mask=mask).numpy()

        @torch.no_grad()
        def flexible(given):
            for name, a in kept.items():  # what was compiled reads these
                a.copy_(torch.from_numpy(given[name]))
            blocks = make(live, None, self.heads if self.form is FORMS["blocks"] else None, tokens, tokens, device="cpu")
            return flex(*(torch.from_numpy(given[name]) for name in "qkv"), block_mask=blocks).numpy()

        return {"SDPA": sdpa, "Flex": flexible}


class Pruning(make_minilm.Encoder):
    """MiniLM's encoder, which drops tokens on its way; the mean of those that are left."""

    def __init__(self, width=256, heads=8, inner=1024, layers=12, rounds=3, words=1000):
        config = {"hidden_size": width, "num_attention_heads": heads, "intermediate_size": inner, "num_hidden_layers": layers,
                  "max_position_embeddings": 4096, "layer_norm_eps": 1e-12}  # fmt: skip
        super().__init__(self.random_weights(config, words), config)
        self.words, self.rounds, self.layers_between = words, rounds, layers // (rounds + 1)

    @staticmethod
    def random_weights(config, words):
        random, width, inner = np.random.default_rng(0), config["hidden_size"], config["intermediate_size"]
        rows = {"word": words, "token_type": 2, "position": config["max_position_embeddings"]}
        weights = {f"embeddings.{kind}_embeddings.weight": random.standard_normal((n, width), np.float32) for kind, n in rows.items()}
        linear, norms = {}, ["embeddings.LayerNorm"]
        for i in range(config["num_hidden_layers"]):
            layer = f"encoder.layer.{i}"
            linear |= {f"{layer}.attention.{part}": (width, width) for part in ("self.query", "self.key", "self.value", "output.dense")}
            linear |= {f"{layer}.intermediate.dense": (inner, width), f"{layer}.output.dense": (width, inner), f"{layer}.score": (1, width)}
            norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
        for name, (rows, columns) in linear.items():
            weights[f"{name}.weight"] = random.standard_normal((rows, columns), np.float32) / np.float32(columns**0.5)
            weights[f"{name}.bias"] = np.full(rows, 0.1, np.float32)
        for name in norms:
            weights |= {f"{name}.weight": np.ones(width, np.float32), f"{name}.bias": np.full(width, 0.1, np.float32)}
        return weights

    def model(self, masked=True):
        self.g = make_minilm.Writer()
        self.shapes()
        x, keep = self.embeddings(), self.g("Cast", "attention_mask", to=TensorProto.BOOL)
        for i in range(self.config["num_hidden_layers"]):
            x = self.layer(x, self.additive(keep), f"encoder.layer.{i}")
            drops = (i + 1) // self.layers_between
            if masked and (i + 1) % self.layers_between == 0 and drops <= self.rounds:
                x, keep = self.drop(x, keep, 2**drops, f"encoder.layer.{i}.score")
        self.mean(x, keep)
        ids = {name: (TensorProto.INT64, ["batch", "sequence"]) for name in ("input_ids", "attention_mask", "token_type_ids")}
        return write(self.g, ids, ["batch", self.config["hidden_size"]])

    def additive(self, keep):
        g = self.g
        dead = g("Sub", g.scalar("one", 1), g("Cast", keep, to=TensorProto.FLOAT))
        return g("Unsqueeze", g("Mul", dead, g.scalar("lowest", make_minilm.LOWEST)), g.ints(1, 2))

    def drop(self, x, keep, part, prefix):
        """Of the sequence 1/part is kept: those with the highest scores among those that are still there."""
        g = self.g
        score = g("Squeeze", g("Sigmoid", self.linear(x, prefix)), g.ints(2))
        alive = g("Mul", score, g("Cast", keep, to=TensorProto.FLOAT))
        best = g("TopK", alive, g("Div", self.sequence, g.ints(part)), axis=-1)
        g.nodes[-1].output.append(f"{best}_places")
        threshold = g("ReduceMin", best, g.ints(1), keepdims=1)
        keep = g("And", keep, g("GreaterOrEqual", alive, threshold))
        return g("Mul", x, self.wide(keep)), keep

    def wide(self, keep):
        return self.g("Unsqueeze", self.g("Cast", keep, to=TensorProto.FLOAT), self.g.ints(2))

    def mean(self, x, keep):
        g, m = self.g, self.wide(keep)
        total, count = (g("ReduceSum", v, g.ints(1), keepdims=0) for v in (g("Mul", x, m), m))
        g("Div", total, count, name="y")

    def inputs(self, random, tokens):
        ids = random.integers(0, self.words, (8, tokens // 8))
        return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}

    def share(self, given):
        width, sequence = self.config["hidden_size"], given["input_ids"].shape[1]
        weights, attention = 8 * width**2 + 4 * width * self.config["intermediate_size"], 4 * width * sequence
        left = [(sequence >> n) / sequence for n in range(self.rounds + 1)]
        return sum(part * weights + part**2 * attention for part in left) / len(left) / (weights + attention)

    def torch(self, threads, tokens):
        return {}


def write(g, inputs, shape):
    """The model's bytes; its output is `y`."""
    given = [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()]
    graph = helper.make_graph(g.nodes, "masks", given, [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)], g.initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8).SerializeToString()


def computed(model, samples):
    """Share of the products that PIT computes."""
    live = every = 0
    for given in samples:
        found = model.explain(given, json=True)
        flops = {kind: found[f"{kind}_flops"] for kind in ("weight", "attention")}
        live += sum(found[f"{kind}_flops_live"] * n for kind, n in flops.items())
        every += sum(flops.values())
    return live / every


def works(names, heads, size, fill):
    """name -> what is computed."""
    return {name: Pruning() if name == "pruning" else Attention(FORMS[name], heads, size, fill) for name in names}


def heading(threads):
    print(f"{threads} thread(s), medians in ms")
    print(f"{'form':>10} {'tokens':>6} {'live':>6} {'computed':>8} {'PIT':>9} {'no mask':>9} {'ORT':>9} {'SDPA':>9} {'Flex':>9} {'over best':>9} "
          f"{'of own dense':>12}", flush=True)  # fmt: skip


def line(name, work, tokens, threads, seconds):
    """Measures one form, and prints its line of the table."""
    random = np.random.default_rng(1)
    samples = [work.inputs(random, tokens) for _ in range(3)]
    sparse, dense = (pit.compile(work.model(masked), threads=threads) for masked in (True, False))
    needed, turn = [i.name for i in dense.inputs], itertools.cycle(samples)
    others = {demo.ORT: demo.onnx_runtime(work.model(), threads)} | work.torch(threads, tokens)
    own = {demo.PIT: lambda x: sparse(x)["y"], DENSE: lambda x: dense({n: x[n] for n in needed})["y"]}
    ms = contest.in_turns(own | others, lambda: next(turn), seconds, apart=[DENSE])
    share, best = float(np.mean([work.share(x) for x in samples])), min(ms[n] for n in others)
    times = " ".join(f"{ms.get(n, float('nan')):>9.2f}" for n in (demo.PIT, DENSE, demo.ORT, "SDPA", "Flex"))
    print(f"{name:>10} {tokens:>6} {share:>6.3f} {computed(sparse, samples):>8.3f} {times} {best / ms[demo.PIT]:>8.2f}x "
          f"{share * ms[DENSE] / ms[demo.PIT]:>12.2f}", flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--form", default=",".join([*FORMS, "pruning"]), help="separated by commas")
    parser.add_argument("--tokens", type=int, default=2048, help=f"a multiple of {BLOCK}; 8192 takes some GB")
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--size", type=int, default=64, help="of a head")
    parser.add_argument("--fill", choices=FILLS, default="add", help="how a mask reaches the scores: -inf is added, or Where chooses it")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=3, help="for each line of the table")
    options = parser.parse_args()
    names = options.form.split(",")
    if unknown := set(names) - {*FORMS, "pruning"}:
        parser.error(f"no such form: {', '.join(sorted(unknown))}")
    heading(options.threads)
    for name, work in works(names, options.heads, options.size, options.fill).items():
        line(name, work, options.tokens, options.threads, options.seconds)


if __name__ == "__main__":
    main()
