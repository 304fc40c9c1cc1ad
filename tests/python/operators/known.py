"""Random masked models of which is known how much has to be computed: soundness must not be bought by finding nothing.

Each kind says which tokens anybody reads; the masks' producers, forms, fills and widths are random.
"""

import numpy as np

from .eager import Rejected
from .masked import MaskedGenerator


class Known(MaskedGenerator):
    """`most`: per binding the shares of the products with weights and of attention's products that an ideal analysis leaves (None: says nothing)."""

    def __init__(self, seed, kind):
        super().__init__(seed)
        self.kind = kind
        self.lowest = [-1e9, -1e30, float(np.finfo(np.float32).min), -np.inf]
        if self.dtype != "float32":
            self.dtype = "float32"
        self.optional, self.fixed = set(), set()
        self.net.bindings = [dict(b=2, s=8, t=6), dict(b=3, s=13, t=9)]
        self.net.feeds = [{} for _ in self.net.bindings]
        self.style = "right"
        self.real = [np.zeros((1, 1), bool)]
        while not all(v.any(1).all() for v in self.real):  # where no key is live, all of them count
            self.padding = self.produce((self.symbols()["b"], self.symbols()["s"]))
            self.real = self.values[self.padding]

    def by_values(self, extents):
        raise Rejected  # nothing is known of such a mask

    def fill_value(self):
        return self.pick(self.lowest)

    def rows_share(self):
        return [v.mean() for v in self.real]

    def pairs_share(self):
        """Queries times keys, both real tokens."""
        return [(v.sum(1) ** 2).sum() / (v.shape[0] * v.shape[1] ** 2) for v in self.real]

    def rows(self):
        return self.unsqueeze(self.padding, 2)

    def mean(self, x):
        f = self.as_number(self.rows())
        total = self.op("ReduceSum", self.op("Mul", x, f), self.ints(1), keepdims=0)
        return self.op("Div", total, self.op("Max", self.op("ReduceSum", f, self.ints(1), keepdims=0), self.number(1)))

    def self_attention(self, x):
        heads, d = 2, 4
        q, k, v = (self.heads(self.linear(x, heads * d), heads, d, (1, 3)) for _ in range(3))
        s = self.scale(self.op("MatMul", q, self.swap(k)), d)
        m = self.unsqueeze(self.padding, 1, 2)
        form = self.pick(["where", "not", "add where"])
        low = self.fill_value()
        if form == "where":
            s = self.op("Where", m, s, self.number(low))
        elif form == "not":
            s = self.op("Where", self.op("Not", m), self.number(low), s)
        else:
            s = self.op("Add", s, self.additive_where(m, low))
        return self.joined_heads(self.op("MatMul", self.op("Softmax", s, axis=3), v), heads, d)

    # -- kinds: the outputs, and the shares

    def mean_of_feed_forward(self):
        return [self.mean(self.feed_forward(self.tokens()))], self.rows_share(), None

    def sum_of_normed(self):
        x = self.linear(self.op("LayerNormalization", self.linear(self.tokens(width=8), 8), self.weight(8), self.weight(8), epsilon=1e-3), 8)
        return [self.op("ReduceSum", self.zeroed(x, self.rows()), self.ints(1), keepdims=0)], self.rows_share(), None

    def maximum(self):
        y = self.op("Where", self.rows(), self.linear(self.tokens()), self.number(self.fill_value()))
        return [self.op("ReduceMax", y, self.ints(1), keepdims=0)], self.rows_share(), None

    def first_token(self):
        x = self.op("Tanh", self.feed_forward(self.tokens()))
        return [self.op("Gather", x, self.constant(np.int64(0)), axis=1)], [1 / v.shape[1] for v in self.real], None

    def merged_rows(self):
        x = self.tokens(width=8)
        y = self.linear(self.reshape(x, [(0, 1), 8]), 8)
        back = self.op("Concat", self.shape_of(x, 0), self.shape_of(x, 1), self.ints(8), axis=0)
        return [self.mean(self.op("Reshape", y, back))], self.rows_share(), None

    def turned(self):
        y = self.transpose(self.linear(self.tokens(), 8), 0, 2, 1)
        y = self.op("Mul", y, self.as_number(self.unsqueeze(self.padding, 1)))
        return [self.op("ReduceSum", y, self.ints(2), keepdims=0)], self.rows_share(), None

    def encoder(self):
        x = self.tokens(width=8)
        for _ in range(self.pick([1, 2])):
            x = self.op("Add", x, self.self_attention(x))
            x = self.op("Add", x, self.feed_forward(x))
        return [self.mean(x)], self.rows_share(), self.pairs_share()

    def declared_tokens(self):
        given = self.input(("b", "s"), lambda shape, _: self.patterns(shape), "int64")
        self.padding = self.op("Cast", given, to=9)
        self.real = [v.astype(bool) for v in self.values[self.padding]]
        x = self.tokens(width=8)
        x = self.op("Add", x, self.self_attention(x))
        self.wanted_where = given
        return [self.linear(x, 8)], self.rows_share(), self.pairs_share()

    def attentive_pooling(self):
        x = self.op("Tanh", self.linear(self.tokens(), 8))
        w = self.op("Softmax", self.op("Where", self.rows(), self.linear(x, 1), self.number(-1e30)), axis=1)
        return [self.op("ReduceSum", self.op("Mul", w, x), self.ints(1), keepdims=0)], self.rows_share(), None

    def pooled_by_product(self):
        x = self.linear(self.tokens(), 8)
        return [self.op("MatMul", self.unsqueeze(self.as_number(self.padding), 1), x)], self.rows_share(), None

    def pooled_by_global_maximum(self):
        y = self.op("Where", self.rows(), self.linear(self.tokens(), 8), self.number(-1e9))
        return [self.op("GlobalMaxPool", self.transpose(y, 0, 2, 1))], self.rows_share(), None

    def pooled_by_logsumexp(self):
        y = self.op("Where", self.rows(), self.linear(self.tokens(), 8), self.number(-1e9))
        return [self.op("ReduceLogSumExp", y, self.ints(1), keepdims=0)], self.rows_share(), None

    def gated(self):
        x = self.op("Tanh", self.linear(self.tokens(), 8))
        return [self.mean(self.op("Mul", self.linear(x, 8), self.op("Sigmoid", self.linear(x, 8))))], self.rows_share(), None

    def keys_first(self):
        x = self.tokens(width=8)
        q, k, v = (self.linear(x, 8) for _ in range(3))
        s = self.scale(self.op("MatMul", k, self.swap(q)), 8)
        p = self.op("Softmax", self.op("Where", self.rows(), s, self.number(-1e9)), axis=1)
        return [self.mean(self.op("MatMul", self.swap(p), v))], self.rows_share(), self.pairs_share()

    def written_out(self):
        """Attention whose softmax is written with Exp and ReduceSum."""
        x = self.tokens(width=8)
        q, k, v = (self.linear(x, 8) for _ in range(3))
        s = self.op("Where", self.unsqueeze(self.padding, 1), self.scale(self.op("MatMul", q, self.swap(k)), 8), self.number(-1e9))
        e = self.op("Exp", self.op("Sub", s, self.op("ReduceMax", s, self.ints(2), keepdims=1)))
        p = self.op("Div", e, self.op("ReduceSum", e, self.ints(2), keepdims=1))
        return [self.mean(self.op("MatMul", p, v))], self.rows_share(), self.pairs_share()

    def grouped(self):
        x = self.tokens(width=8)
        q = self.heads(self.linear(x, 8), 2, 4, (1, 3))
        k, v = (self.heads(self.linear(x, 4), 1, 4, (1, 3)) for _ in range(2))
        s = self.op("Where", self.unsqueeze(self.padding, 1, 2), self.scale(self.op("MatMul", q, self.swap(k)), 4), self.number(-1e9))
        return [self.mean(self.joined_heads(self.op("MatMul", self.op("Softmax", s, axis=3), v), 2, 4))], self.rows_share(), self.pairs_share()

    def memory(self):
        """Every query is wanted; keys and values come from a padded memory."""
        x, y = self.input(("b", "t", 8), self.noise), self.tokens(width=8)
        k, v = self.linear(y, 8), self.linear(y, 8)
        s = self.op("Where", self.unsqueeze(self.padding, 1), self.scale(self.op("MatMul", x, self.swap(k)), 8), self.number(-1e9))
        return [self.op("MatMul", self.op("Softmax", s, axis=2), v)], self.rows_share(), self.rows_share()

    def causal_last(self):
        """Of causal attention only the first query is wanted: it sees one key."""
        x = self.tokens(width=8)
        q, k, v = (self.linear(x, 8) for _ in range(3))
        s = self.scale(self.op("MatMul", q, self.swap(k)), 8)
        r = self.range_like(self.extents(x)[1])
        near = self.op("LessOrEqual", self.unsqueeze(r, 0), self.unsqueeze(r, 1))
        p = self.op("Softmax", self.op("Where", near, s, self.number(-1e9)), axis=2)
        y = self.op("Gather", self.op("MatMul", p, v), self.constant(np.int64(0)), axis=1)
        return [y], [1 / v.shape[1] for v in self.real], [1 / v.shape[1] ** 2 for v in self.real]

    def convolution(self):
        """Of a convolution over time, real tokens and their neighbours at most."""
        x = self.op("Mul", self.linear(self.tokens(), 8), self.as_number(self.rows()))
        y = self.op("Conv", self.transpose(x, 0, 2, 1), self.weight(8, 8, 1), kernel_shape=[1])
        return [self.mean(self.linear(self.transpose(y, 0, 2, 1), 8))], self.rows_share(), None

    KINDS = ["mean_of_feed_forward", "sum_of_normed", "maximum", "first_token", "merged_rows", "turned", "encoder", "declared_tokens", "attentive_pooling",
             "pooled_by_product", "pooled_by_global_maximum", "pooled_by_logsumexp", "gated", "keys_first", "written_out", "grouped", "memory", "causal_last",
             "convolution"]  # fmt: skip


def known_net(seed, kind):
    """(net, per binding the most that products with weights take, the same for attention's products or None)."""
    g = Known(seed, kind)
    g.wanted_where = None
    outputs, weights, attention = getattr(g, kind)()
    declared = {o: g.wanted_where for o in outputs} if g.wanted_where else {}
    return g.finish(outputs, declared), weights, attention
