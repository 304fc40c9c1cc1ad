"""Random masked graphs: every kind of mask on any axis, views in between, whatever reduces or normalises behind, attention in every form.

Three recipes: *one mechanism* (a mask, views, one reader), *layers* (attention, feed-forward, convolutions, norms on padded tokens, then a
pooling), and *anything* (tensors of any rank, masks on any axes).
"""

import numpy as np

from .eager import Rejected
from .routed import Routed

#: What each of them is compiled with.
CONFIGS = [dict(sparsity="auto", threads=1, poison="nan"), dict(sparsity="auto", threads=2, poison="large"), dict(sparsity="auto", threads=1),
           dict(sparsity="off", threads=1)]  # fmt: skip


def configs(seed):
    """A quarter of them for the smaller one of the instruction sets."""
    return [dict(c, cpu="haswell") for c in CONFIGS] if seed % 4 == 3 else CONFIGS


EXTENTS = [2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17]

FIXED = [5, 8, 12, 16, 17, 24, 31, 32, 33, 48, 64, 65, 100, 130]  #: lengths that a model may be exported for


class MaskedGenerator(Routed):
    def __init__(self, seed):
        dice = np.random.default_rng([seed, 1])
        dtype = str(dice.choice(["float32"] * 8 + ["float16", "float64"]))
        bindings, fixed = self.extents_for(dice)
        super().__init__([seed, 2], bindings, dtype, optional=[2], fixed=fixed)

    @staticmethod
    def extents_for(dice):
        """Two ordinary bindings of which no extent agrees, and one of extremes."""
        def two():
            return dice.choice(EXTENTS if dice.random() < 0.85 else [24, 31, 33, 40, 60, 110], 2, replace=False)

        b, s, t = dice.permutation([1, 2, 3])[:2], two(), two()
        while tuple(s) == tuple(t) or tuple(s) == tuple(b) or tuple(t) == tuple(b):
            s, t = two(), two()
        extreme = dict(zip("bst", (int(x) for x in dice.choice([0, 1, 1, 2], 3))))
        bindings = [dict(b=int(b[k]), s=int(s[k]), t=int(t[k])) for k in range(2)] + [extreme]
        fixed = [n for n in "st" if dice.random() < 0.2]
        for n in fixed:
            length = int(dice.choice(FIXED))
            for binding in bindings:
                binding[n] = length
        return bindings, fixed

    # -- growing

    MOVES = [("view", 6), ("unary", 3), ("mask_rows", 6), ("view_of_both", 3), ("one_or_other", 2), ("lowest", 1),
             ("reduced", 3), ("softmax", 3), ("chosen", 1), ("normed", 3), ("summed_up", 1), ("windowed", 2), ("scattered", 1), ("product", 3),
             ("residual", 2), ("gate", 1), ("linear", 4), ("stacked", 4), ("cast_through", 1), ("integers", 1), ("packed", 2), ("mixture", 1), ("gated", 1), ("dropped", 2)]  # fmt: skip
    ON_FILLS = [("view", 4), ("softmax", 6), ("reduced", 4), ("unary", 2), ("chosen", 2), ("windowed", 2), ("weights", 2), ("scattered", 1), ("adjusted", 1), ("packed", 1)]
    LAYERS = [("attend", 7), ("feed_forward", 3), ("normed", 3), ("masked_tokens", 3), ("residual", 3), ("time_convolution", 2), ("shifted", 1),
              ("summed_up", 1), ("gate", 1), ("softmax", 1), ("linear", 1), ("experts", 3), ("unary", 1), ("packed", 1), ("mixture", 2), ("gated", 3), ("dropped", 3)]  # fmt: skip

    def one_of(self, moves):
        names, weights = zip(*moves)
        return str(self.rng.choice(names, p=np.array(weights) / sum(weights)))

    def weights(self, x):
        return self.weights_of(x, self.axis(x))

    def step(self):
        """One more move on something recent."""
        for _ in range(12):
            pool, moves = (self.fills, self.ON_FILLS) if self.fills and self.chance(0.6) else (self.plain, self.MOVES)
            y = self.attempt(lambda: self.keep(getattr(self, self.one_of(moves))(self.recent(pool))))
            if y:
                return y
        return None

    def one_mechanism(self):
        x = self.attempt(lambda: self.keep(self.computed(self.anything())))
        self.require(x)
        for _ in range(self.pick([0, 0, 0, 1])):
            x = self.attempt(lambda: self.keep(self.view(x))) or x
        self.attempt(lambda: self.keep(getattr(self, self.pick(["mask_rows", "mask_rows", "view_of_both", "one_or_other"]))(x)))
        if self.chance(0.5):
            self.attempt(lambda: self.keep(self.weighed(self.recent(self.plain + self.fills))))
        for _ in range(int(self.rng.integers(1, 4))):
            self.step()

    def weighed(self, x):
        """A softmax over what was masked, and with its weights a sum of something."""
        a = self.axis(x)
        p = self.weights_of(x, a)
        self.keep(p)
        y = self.computed_like(self.recent(self.plain)) if self.chance(0.3) else self.input(self.dims_of(self.extents(x)), self.noise)
        return self.op("ReduceSum", self.op("Mul", p, y), self.ints(a), keepdims=int(self.chance(0.5)))

    def layers(self):
        x = self.keep(self.tokens())
        memory = self.tokens("t") if self.chance(0.3) else None
        for _ in range(int(self.rng.integers(1, 4))):
            for _ in range(8):
                move = self.one_of(self.LAYERS)
                more = [memory] if move == "attend" and memory and self.chance(0.6) else []
                y = self.attempt(lambda: self.token_like(getattr(self, move)(x, *more)))
                if y:
                    x = self.keep(y)
                    break
        if self.chance(0.8):
            for _ in range(5):
                if self.attempt(lambda: self.keep(self.pooled(x))):
                    break
        for _ in range(self.pick([0, 0, 1, 2])):
            self.step()

    def token_like(self, y):
        self.require(self.rank(y) == 3 and self.static(self.extents(y)[2]) and not self.filled(y))
        return y

    def anyhow(self):
        for _ in range(self.pick([1, 2])):
            self.attempt(lambda: self.keep(self.computed(self.anything())))
        for _ in range(int(self.rng.integers(2, 8))):
            self.step()
        for _ in range(self.pick([0, 1, 2])):
            self.attempt(lambda: self.keep(self.part_of(self.computed(self.recent(self.plain)))))

    def build(self):
        getattr(self, self.pick(["one_mechanism"] * 5 + ["layers"] * 6 + ["anyhow"] * 3))()
        for _ in range(3):
            if self.plain and self.chance(0.35):  # wanted in part only
                self.attempt(lambda: self.keep(self.part_of(self.recent(self.plain))))
        made = [o for n in self.net.nodes for o in n.outputs]
        self.require(made)
        used = {i for n in self.net.nodes for i in n.inputs}
        ends = [x for x in self.plain + self.fills if x in made and x not in used]
        outputs = ends[-3:] or made[-1:]
        if self.chance(0.25):  # something on the way, too
            outputs.append(self.pick([x for x in made if self.values[x][0].dtype.kind != "O"]))
        if self.dtype == "float16":  # what is rounded to infinity depends on who adds up how
            outputs = [x for x in outputs if not self.filled(x)]
        outputs = [x for x in outputs if not 0 < self.largest(x) < 1e-3]  # nothing but what rounding left
        self.require(outputs)
        return self.finish(outputs, self.declared(outputs))

    def part_of(self, x):
        y = self.zeroed(x, self.mask_on(x, self.axes(x)))
        return self.tamed(self.op("ReduceSum", y, self.ints(*self.axes(y, 2)), keepdims=0)) if self.chance(0.3) else y

    def declared(self, outputs):
        """Sometimes an output is wanted only where an input says so."""
        found = {}
        for o in outputs:
            masks = [m for m, extents in self.given.items() if extents and self.extents(o)[:len(extents)] == extents and not self.type(m).startswith("float")]
            if masks and self.chance(0.5):
                found[o] = self.pick(masks)
        return found


def masked_net(seed):
    """The graph, and how to check it: where ONNX Runtime says NaN because it multiplies NaN by zero, PIT may have left that out."""
    for attempt in range(100):
        g = MaskedGenerator(seed + attempt * 10_000_000)
        try:
            net = g.build()
        except Rejected:
            continue
        return net, dict(lenient=g.lenient)
    raise RuntimeError(f"no graph for seed {seed}")
