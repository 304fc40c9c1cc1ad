"""Cases and generators: operators that read between elements, and losses over classes."""

import numpy as np

from .drawing import of
from .spec import case, const, f, given, i

CLASSES = i("b", lo=0, hi=5)

# -- cases -----------------------------------------------------------------------------------------------------------------------------

for op in ("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"):
    for reduction in ("none", "sum", "mean"):
        case(op, f("b", 5), CLASSES, opset=13, reduction=reduction, zero=False)
        case(op, f("b", 5), CLASSES, f(5, lo=0.1), opset=(12, 13), reduction=reduction, ignore_index=2, zero=False)
    case(op, f("b", 5, "m"), i("b", "m", lo=0, hi=5), opset=13, zero=False)
    case(op, f(3, 4), given([-100, 1, 3], np.int64), opset=13, ignore_index=-100, reduction="none")

fixed = dict(skip=("free",))  #: what is resized has known extents
PLACES = "half_pixel pytorch_half_pixel align_corners asymmetric half_pixel_symmetric".split()
for k, place in enumerate(PLACES):
    for mode in ("nearest", "linear", "cubic"):
        case("Resize", f(2, 2, 5, 4), None, None, const([2, 2, 8, 3], np.int64), opset=19, mode=mode, coordinate_transformation_mode=place, **fixed)
    case("Resize", f(1, 2, 6, 5), None, const([1, 1, 2.0, 0.6], np.float32), opset=(13, 18)[k % 2] if k < 4 else 19, mode="linear", coordinate_transformation_mode=place, **fixed)
for rounding in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
    case("Resize", f(1, 1, 7, 4), None, const([1, 1, 0.5, 1.75], np.float32), opset=18, nearest_mode=rounding, **fixed)
case("Resize", f(1, 1, 8, 6), None, const([1, 1, 0.5, 0.5], np.float32), opset=18, mode="linear", antialias=1, reference=True, **fixed)
case("Resize", f(1, 1, 8, 6), None, const([1, 1, 0.6, 1.5], np.float32), opset=18, mode="cubic", exclude_outside=1, cubic_coeff_a=-0.5, **fixed)
case("Resize", f(2, 8, 6), None, const([2.0, 0.5], np.float32), opset=18, axes=[2, 1], mode="linear", reference=True, **fixed)
case("Resize", f(1, 1, 8, 6), None, None, const([4, 9], np.int64), opset=18, axes=[2, 3], keep_aspect_ratio_policy="not_larger", reference=True, **fixed)
case("Resize", f(1, 1, 5, 4), const([0, 0, 0.2, 0.4, 1, 1, 0.9, 1.2], np.float32), None, const([1, 1, 3, 5], np.int64), opset=13, mode="linear",
     coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=7.0, **fixed)  # fmt: skip
case("Resize", f(1, 1, 3, 4), const([1, 1, 2, 3], np.float32), opset=10, **fixed)
case("Resize", f("b", 2, 5, 4), None, const([1, 1, 2, 0.5], np.float32), opset=18, mode="linear", **fixed)
case("Upsample", f(1, 2, 3, 4), opset=7, mode="linear", scales=[1.0, 1.0, 2.0, 2.0], **fixed)
case("Upsample", f(1, 2, 3, 4), const([1, 1, 2, 3], np.float32), opset=9, **fixed)

for corners in (0, 1):
    for mode in ("linear", "nearest"):
        for padding in ("zeros", "border"):
            case("GridSample", f("b", 2, 5, 4), f("b", 3, 6, 2, lo=-1.3, hi=1.3), opset=20, mode=mode, padding_mode=padding, align_corners=corners, at=[dict(b=2), dict(b=1)])
    case("GridSample", f(1, 2, 3, 4, 5), f(1, 2, 3, 2, 3, lo=-1.3, hi=1.3), opset=20, align_corners=corners, reference=True)
    case("AffineGrid", f(2, 2, 3), const([2, 1, 4, 5], np.int64), opset=20, align_corners=corners)
    case("AffineGrid", f(1, 3, 4), const([1, 1, 2, 3, 4], np.int64), opset=20, align_corners=corners)
case("CenterCropPad", f(5, 4, 3), const([3, 7, 3], np.int64), opset=18, exact=True, **fixed)
case("CenterCropPad", f(5, 4, 3), const([8], np.int64), opset=18, axes=[-1], exact=True, **fixed)
case("Col2Im", f(2, 8, 6), const([3, 4], np.int64), const([2, 2], np.int64), opset=18)
case("Col2Im", f(1, 9, 15), const([5, 5], np.int64), const([1, 9], np.int64), opset=18, pads=[0, 1, 0, 7], strides=[2, 1], reference=True)
case("Col2Im", f(1, 4, 4), const([4, 4], np.int64), const([2, 2], np.int64), opset=18, dilations=[2, 2])


# -- generators ------------------------------------------------------------------------------------------------------------------------


@of("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss")
def loss(g):
    s = [g.number(1, 5), g.number(2, 6), *g.shape(0, 2, [1, 2, 3, 5])]
    g.x(s, style="plain")
    ignored = g.attr("ignore_index", (0, 1, -1, 100), 0.5)
    target = g.rng.integers(0, s[1], (s[0], *s[2:]))
    if ignored is not None and g.maybe():
        target = np.where(g.rng.random(target.shape) < 0.3, ignored, target)
    g.add(target.astype(g.type("Tind")))
    if g.maybe():
        g.x([s[1]], style="plain", lo=0.1)
    g.attr("reduction", ("none", "sum", "mean"))
    kept = target != ignored if ignored is not None else np.ones(target.shape, bool)
    if not kept.any():
        g.set(undefined="nothing counts: a mean of nothing")
    if not ((target[kept] >= 0) & (target[kept] < s[1])).all():
        g.set(undefined="classes that do not exist")
    g.set(tolerance=1e-3)


@of("Resize", "Upsample")
def resize(g):
    s = [1, g.number(1, 2), g.number(1, 8), g.number(1, 8)]
    mode = g.attr("mode", ("nearest", "linear"), 0.7) or "nearest"
    g.x(s, g.schema.inputs[0].type_str, style="plain", constant=0.0)
    scales = [1.0, 1.0, g.choose([0.5, 1.0, 2.0, 1.5, 3.0]), g.choose([0.5, 1.0, 2.0, 2.5])]
    if g.single.op == "Upsample":
        scales = [max(v, 1.0) for v in scales]
        if g.since(9):
            g.add(np.array(scales, np.float32), 1.0)
        else:
            g.single.attrs["scales"] = scales
    elif not g.since(11):
        g.add(np.array(scales, np.float32), 1.0)
    else:
        g.add(None if g.since(13) else np.zeros(0, np.float32), 1.0)
        g.add(np.array(scales, np.float32), 1.0)
        g.attr("coordinate_transformation_mode", ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"))
        if mode == "nearest":
            g.attr("nearest_mode", ("round_prefer_floor", "floor", "ceil"))
    if any(int(np.float32(d) * np.float32(v)) == 0 for d, v in zip(s, scales)):
        g.set(undefined="nothing is left")
    g.set(tolerance=1e-3)


@of("GridSample")
def grid_sample(g):
    n, c = g.number(1, 2), g.number(1, 3)
    g.x([n, c, g.number(1, 7), g.number(1, 7)], "T1", style="plain")
    g.x([n, g.number(1, 5), g.number(1, 5), 2], "T2", style="plain", lo=-1.4, hi=1.4)
    g.attr("mode", ("linear", "nearest") if g.since(20) else ("bilinear", "nearest"))
    g.attr("padding_mode", ("zeros", "border"))
    g.flag("align_corners")
    g.set(tolerance=1e-3)


@of("AffineGrid")
def affine_grid(g):
    n, spatial = g.number(1, 3), [g.number(1, 5) for _ in range(g.choose([2, 3]))]
    g.x([n, len(spatial), len(spatial) + 1], "T1", style="plain")
    g.ints([n, g.number(1, 3), *spatial])
    g.flag("align_corners")
    g.set(tolerance=1e-3)


@of("CenterCropPad", exact=True)
def center_crop_pad(g):
    s = g.shape(1, 3, [1, 2, 3, 4, 5, 7])
    axes = g.axes(len(s), 1)
    g.x(s)
    g.ints([g.number(1, 8) for _ in axes])
    g.single.attrs["axes"] = axes


@of("Col2Im")
def col2im(g):
    image, block = [g.number(3, 6), g.number(3, 6)], [g.number(1, 3), g.number(1, 3)]
    strides, dilations, pads = ([g.number(1, 2) for _ in range(2)], [1, 1], [g.number(0, 1) for _ in range(4)])
    counts = [(image[k] + pads[k] + pads[k + 2] - dilations[k] * (block[k] - 1) - 1) // strides[k] + 1 for k in range(2)]
    g.x([g.number(1, 2), g.number(1, 3) * block[0] * block[1], counts[0] * counts[1]], style="plain")
    g.ints(image), g.ints(block)
    g.single.attrs.update(strides=strides, dilations=dilations, pads=pads)
    g.set(tolerance=1e-3)
