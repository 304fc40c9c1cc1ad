"""The smallest masked graphs whose kernels would read what nobody computed, or miss what somebody did; in memory filled with NaN."""

import numpy as np
import pytest
from operators import net
from operators.generate import Generator


class Graph(Generator):
    """Over padded tokens x [b,s,8] and their mask [b,s]."""

    def __init__(self):
        super().__init__(0, bindings=1)
        self.net.bindings[0].update(b=2, s=5, t=3)
        self.mask = self.input(("b", "s"), "int64", lambda shape, _: np.arange(shape[1]) < np.array([[2], [4]]))
        self.live = self.add("Cast", [self.mask], ("b", "s"), to=1)
        self.some = self.input((8,), "bool", lambda *_: np.arange(8) < 5)
        self.columns = self.add("Cast", [self.some], (8,), to=1)

    def tokens(self, *more):
        """Something that is computed, not given: [b,s,...,8]."""
        dims = ("b", "s", *more, 8)
        return self.add("MatMul", [self.input(dims), self.weight(8, 8)], dims)

    def check(self, *outputs):
        self.net.outputs = list(outputs)
        net.check(self.net.pruned(), configs=net.CONFIGS[:1])


def test_rows_whose_elements_were_computed_one_by_one():
    g = Graph()
    y = g.add("ReduceMax", [g.tokens(), g.ints(2)], ("b", "s"), keepdims=0)
    y = g.add("Unsqueeze", [y, g.ints(1)], ("b", 1, "s"))
    y = g.add("Mul", [y, g.add("Unsqueeze", [g.live, g.ints(1)], ("b", 1, "s"))], ("b", 1, "s"))
    g.check(y)


def test_rows_merged_from_several():
    g = Graph()
    x = g.add("Reshape", [g.tokens(), g.ints(0, -1)], ("b", "(s)*8"))
    m = g.add("Unsqueeze", [g.live, g.ints(2)], ("b", "s", 1))
    m = g.add("Reshape", [g.add("Mul", [m, g.constant(np.ones(8, np.float32))], ("b", "s", 8)), g.ints(0, -1)], ("b", "(s)*8"))
    g.check(g.add("Mul", [x, m], ("b", "(s)*8")))


@pytest.mark.parametrize("perm", [[0, 2, 1], [2, 0, 1], [1, 2, 0]], ids=str)
def test_rows_across_those_that_were_computed(perm):
    g = Graph()
    dims = [("b", "s", 8)[p] for p in perm]
    x = g.add("Transpose", [g.tokens()], dims, perm=perm)
    m = g.add("Transpose", [g.add("Unsqueeze", [g.live, g.ints(2)], ("b", "s", 1))], [("b", "s", 1)[p] for p in perm], perm=perm)
    g.check(g.add("Mul", [x, m], dims))


@pytest.mark.parametrize("op", ["Concat", "Add"])
def test_rows_of_parts(op):
    """Parts of a row that are masked each in their own way."""
    g = Graph()
    m = g.add("Unsqueeze", [g.live, g.ints(2)], ("b", "s", 1))
    a = g.add("Tanh", [g.tokens()], ("b", "s", 8))
    b = g.add("Tanh", [g.tokens()], ("b", "s", 8))
    n = g.add("Sub", [g.constant(np.float32(1)), m], ("b", "s", 1))
    if op == "Concat":
        x = g.add("Concat", [a, b], ("b", "s", 16), axis=2)
        wide = g.add("Concat", [g.add("Mul", [m, g.columns], ("b", "s", 8)), g.add("Mul", [n, g.columns], ("b", "s", 8))], ("b", "s", 16), axis=2)
        g.check(g.add("Mul", [x, wide], ("b", "s", 16)))
    else:
        g.check(g.add("Add", [g.add("Mul", [a, m], ("b", "s", 8)), g.add("Mul", [b, n], ("b", "s", 8))], ("b", "s", 8)))


@pytest.mark.parametrize("where", ["rows", "epilogue"])
def test_choices(where):
    """Rows are visited for the columns in which the product is chosen; in the others nobody wants what the choice is from."""
    g = Graph()
    y, x = g.add("Softmax", [g.tokens()], ("b", "s", 8), axis=2), g.tokens()
    x = g.add("Tanh", [x], ("b", "s", 8)) if where == "rows" else x
    z = g.add("Where", [g.some, x, y], ("b", "s", 8))
    g.check(g.add("Mul", [z, g.columns], ("b", "s", 8)))


@pytest.mark.parametrize("operand", ["left", "right"])
def test_products_of_what_was_computed_one_by_one(operand):
    """Elements [b,s,t] of which each is a maximum over 8; the product reads whole rows of them."""
    g = Graph()
    pairs = g.input(("b", "s", "t", 1), "bool", lambda shape, _: np.arange(np.prod(shape)).reshape(shape) % 4 < 1)
    x = g.add("Mul", [g.tokens("t"), g.add("Cast", [pairs], ("b", "s", "t", 1), to=1)], ("b", "s", "t", 8))
    x = g.add("ReduceSum", [x, g.ints(3)], ("b", "s", "t"), keepdims=0)
    if operand == "left":
        g.check(g.add("MatMul", [x, g.input(("b", "t", 8))], ("b", "s", 8)))
    else:
        g.check(g.add("MatMul", [g.input(("b", 4, "s")), x], ("b", 4, "t")))


def test_results_of_one_group_on_different_rows():
    """The second result is not wanted where the first one is; its other operand neither."""
    g = Graph()
    a = g.add("Tanh", [g.tokens()], ("b", "s", 8))
    e = g.tokens()
    y = g.add("Add", [a, e], ("b", "s", 8))
    t = g.add("Mul", [g.add("Transpose", [y], ("b", 8, "s"), perm=[0, 2, 1]), g.add("Unsqueeze", [g.live, g.ints(1)], ("b", 1, "s"))], ("b", 8, "s"))
    g.check(a, t)


@pytest.mark.parametrize("lengths", [(110, 50), (10, 100), (0, 70)], ids=str)
@pytest.mark.parametrize("left", [False, True], ids=["right", "left"])
def test_causal_attention_over_sequences_of_their_own_lengths(lengths, left):
    """The causal mask is one for all of them; the lists of rows and keys that tiles and panels consist of are not."""
    g = Graph()
    g.net.bindings[0]["s"] = 110
    live = np.arange(110) < np.array(lengths)[:, None]
    g.net.feeds[0][g.mask] = (live[:, ::-1] if left else live).astype(np.int64)
    dims, pairs = ("b", 1, "s", 8), (1, 1, "s", "s")
    q, k, v = (g.input(d) for d in (dims, ("b", 1, 8, "s"), dims))
    r = g.add("Range", [g.constant(np.int64(0)), g.add("Squeeze", [g.add("Shape", [g.mask], [1], "int64", start=1)], [], "int64"),
                        g.constant(np.int64(1))], ("s",), "int64")  # fmt: skip
    near = g.add("LessOrEqual", [g.add("Unsqueeze", [r, g.ints(0, 1, 2)], (1, 1, 1, "s"), "int64"),
                                 g.add("Unsqueeze", [r, g.ints(0, 1, 3)], (1, 1, "s", 1), "int64")], pairs, "bool")  # fmt: skip
    s = g.add("Where", [near, g.add("MatMul", [q, k], ("b", 1, "s", "s")), g.constant(np.float32(-1e9))], ("b", 1, "s", "s"))
    o = g.add("MatMul", [g.add("Softmax", [s], ("b", 1, "s", "s"), axis=-1), v], dims)
    g.check(g.add("Mul", [o, g.add("Unsqueeze", [g.live, g.ints(1, 3)], ("b", 1, "s", 1))], dims))
