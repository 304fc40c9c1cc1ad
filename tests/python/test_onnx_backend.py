"""The ONNX project's own backend tests: each operator's cases, small models, and models that PyTorch has written (not those that need a download).

    pytest -n 2 tests/python/test_onnx_backend.py       all of them, against the list of what is refused today
    python test_onnx_backend.py                         counts and reasons; exit status 1 if an answer is wrong or an error untyped
    python test_onnx_backend.py --update                the list anew, which may only shrink (--force: in any case)

(from tests/python). `onnx_backend_refusals.json` names the cases that are refused, by reason, and those that are answered only where the small operands
that they feed (axes, shapes, sizes, scales) are constants of the model, as in models that people have. A listed case that passes fails the test until
it is struck from the list.
"""

import argparse
import collections
import functools
import json
import os
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest

import pit

LIST = Path(__file__).with_name("onnx_backend_refusals.json")
KINDS = ("node", "simple", "pytorch-operator", "pytorch-converted")
PARTS = 8
#: Random, or as whoever trains.
RANDOM = ("bernoulli", "dropout_default_mask_ratio", "training_dropout", "training_default")
CONSTANTS = "answered with constants only"


# -- the cases -------------------------------------------------------------------------------------------------------------------------


@functools.cache
def all_cases():
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        cases = [c for kind in KINDS for c in load_model_tests(kind=kind)]
    return {c.name: c for c in cases if not any(word in c.name for word in RANDOM)}


def model_of(case):
    return case.model if case.model is not None else onnx.load(os.path.join(case.model_dir, "model.onnx"))


def array(value, info):
    """A file's value as an array, where it is one."""
    if not info.type.HasField("tensor_type"):
        return None
    return onnx.numpy_helper.to_array(onnx.TensorProto.FromString(value))


def data_of(case, model):
    """Operands and expected results, in the model's order; those of a model in memory come with it."""
    if case.data_sets is not None:
        yield from case.data_sets
        return
    fed = [i for i in model.graph.input if i.name not in {w.name for w in model.graph.initializer}]
    for folder in sorted(Path(case.model_dir).glob("test_data_set_*")):
        read = [
            [array((folder / f"{what}_{k}.pb").read_bytes(), info) for k, info in enumerate(infos) if (folder / f"{what}_{k}.pb").exists()]
            for what, infos in (("input", fed), ("output", model.graph.output))
        ]
        yield read[0], read[1]


def with_constants(model, feeds):
    """The same model with its small integers, and scales, inside, but for the first operand: they are constants in models that are used."""

    def small(v):
        return isinstance(v, np.ndarray) and (v.size <= 64 if v.dtype.kind in "iub" else v.dtype.kind == "f" and v.ndim == 1 and v.size <= 16)

    constant = {k: v for k, v in list(feeds.items())[1:] if small(v)}
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    kept = [i for i in model.graph.input if i.name not in constant]
    del changed.graph.input[:]
    changed.graph.input.extend(kept)
    changed.graph.initializer.extend(onnx.numpy_helper.from_array(v, k) for k, v in constant.items())
    return changed, {k: v for k, v in feeds.items() if k not in constant}


# -- asking and judging ----------------------------------------------------------------------------------------------------------------


def wrong(case, model, got, want):
    for info, w in zip(model.graph.output, want):
        if info.name not in got:
            return f"{info.name} is missing"
        g = np.asarray(got[info.name])
        w = np.asarray(w)
        if g.dtype != w.dtype or g.shape != w.shape:
            return f"{info.name} is {g.dtype}{list(g.shape)}, not {w.dtype}{list(w.shape)}"
        rtol = 2e-3 if w.dtype == np.float16 else case.rtol
        close = np.array_equal(g, w) if w.dtype.kind != "f" else np.allclose(g, w, rtol=rtol, atol=max(case.atol, 1e-6), equal_nan=True)
        if not close:
            return f"{info.name}: {g.ravel()[:6]}, not {w.ravel()[:6]}"
    return None


def ask(case, model, feeds, want, **options):
    """(outcome, why): passed, wrong, refused or error."""
    try:
        got = pit.compile(model, **options)(feeds)
    except (pit.UnsupportedError, pit.InputError) as e:
        return "refused", str(e)
    except Exception as e:  # a ModelError, too: the suite's models are right
        return "error", f"{type(e).__name__}: {e}"
    why = wrong(case, model, got, want)
    return ("wrong", why) if why else ("passed", "")


def judge(case, **options):
    """passed, constants, refused, wrong or error, over all data of the case; and why."""
    model, outcome = model_of(case), "passed"
    for inputs, want in data_of(case, model):
        fed = [i.name for i in model.graph.input if i.name not in {w.name for w in model.graph.initializer}]
        feeds = dict(zip(fed, inputs))
        found, why = ask(case, model, feeds, want, **options)
        if found == "refused":
            constant, rest = with_constants(model, feeds)
            if len(rest) < len(feeds):
                again, _ = second = ask(case, constant, rest, want, **options)
                if again == "passed":
                    outcome = "constants"
                    continue
                if again != "refused":
                    return second
        if found != "passed":
            return found, why
    return outcome, ""


def reason(why):
    """The kind of a refusal: without the names and numbers of the case."""
    known = ((r"operators? .* not supported; 'pit ops'|of domain", "operator"), (r"element type|types?\b.* not supported|type of", "type"), (r"loops|control flow", "control flow"))
    return next((kind for pattern, kind in known if re.search(pattern, why)), "form")


def options_of(cache, sparsity="auto"):
    return dict(cache_dir=str(cache), threads=1, sparsity=sparsity)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache", numbered=True)


@functools.cache
def listed():
    return json.loads(LIST.read_text())


@pytest.mark.parametrize("part", range(PARTS))
def test_onnx_backend(part, cache):
    refused = {name for kind, names in listed().items() if kind != CONSTANTS for name in names}
    constants = set(listed()[CONSTANTS])
    failures = []
    for k, (name, case) in enumerate(all_cases().items()):
        if k % PARTS != part:
            continue
        outcome, why = judge(case, **options_of(cache, "off" if k // PARTS % 2 else "auto"))
        expected = "refused" if name in refused else "constants" if name in constants else "passed"
        if outcome != expected:
            failures.append(f"{name}: {outcome}, not {expected}: {why}")
    assert not failures, "\n".join(failures)


def test_the_list_names_cases():
    """Nothing is listed twice, or that the suite does not have."""
    names = [n for group in listed().values() for n in group]
    assert len(names) == len(set(names))
    assert set(names) <= set(all_cases())


# -- as a program ----------------------------------------------------------------------------------------------------------------------


def written(found):
    table = collections.defaultdict(list)
    for name, (outcome, why) in found.items():
        if outcome in ("refused", "constants"):
            table[CONSTANTS if outcome == "constants" else reason(why)].append(name)
    return {kind: sorted(table[kind]) for kind in sorted(table)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="a regular expression for the cases' names")
    parser.add_argument("--update", action="store_true", help="write the list")
    parser.add_argument("--force", action="store_true", help="even if it grows")
    options = parser.parse_args()
    found = {}
    for name, case in all_cases().items():
        if re.search(options.only, name):
            found[name] = judge(case, **options_of("/tmp/pit-backend-cache"))
            if found[name][0] in ("wrong", "error"):
                print(f"{name}: {': '.join(found[name])}", flush=True)
    reasons = collections.Counter(re.sub(r"'[^']*'|-?\d+", "~", why)[:140] for outcome, why in found.values() if outcome == "refused")
    for why, n in sorted(reasons.items(), key=lambda item: -item[1]):
        print(f"  {n:4d}  {why}")
    counts = collections.Counter(outcome for outcome, _ in found.values())
    print(len(found), "cases:", dict(counts))
    if options.update and not options.only:
        new, old = written(found), listed() if LIST.exists() else {}
        more = {n for names in new.values() for n in names} - {n for names in old.values() for n in names}
        if more and not options.force:
            raise SystemExit(f"the list would grow by {sorted(more)}")
        LIST.write_text(json.dumps(new, indent=1) + "\n")
    return int(any(counts[k] for k in ("wrong", "error")))


if __name__ == "__main__":
    sys.exit(main())
