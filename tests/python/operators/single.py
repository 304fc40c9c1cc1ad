"""Models of one operator, drawn at random: every operator, type and opset that PIT has, on the corners of its operands and attributes.

    python -m operators.single --models 100000                 many, in this order; what was found stands at the end
    python -m operators.single --seed 1234 --models 1          this one, printed
    python -m operators.single --op TopK --models 500          of one operator

(from tests/python). `draw(seed)` makes a model; `judge` asks PIT and ONNX Runtime, and where they disagree the reference evaluator of
onnx, which decides. Models run in a child process, so that a crash or a hang names its seed.
"""

import argparse
import functools
import json
import os
import re
import select
import subprocess
import sys
from collections import Counter

import numpy as np

from . import corners, sampling  # noqa: F401  (fill the table)
from .drawing import GENERATORS, NEWEST, OLDEST, Draw, versions
from .judging import OUTCOMES, judge


@functools.cache
def opsets(op):
    """Those in which the operator is, with every version as often as any other."""
    starts = [s.since_version for s in versions(op)]
    spans = [range(max(a, OLDEST), min(b, NEWEST + 1)) for a, b in zip(starts, [*starts[1:], NEWEST + 1])]
    return [list(s) for s in spans if len(s)]


def draw(seed, op=None):
    """The model that this seed stands for."""
    rng = np.random.default_rng([7919, seed])
    ops = sorted(GENERATORS)
    name = op or ops[seed % len(ops)]
    span = opsets(name)[int(rng.integers(len(opsets(name))))]
    generate, how = GENERATORS[name]
    g = Draw(name, int(span[int(rng.integers(len(span)))]), rng, seed)
    g.single.dims = g.choose(["static", "static", "named", "free"])
    g.single.options = dict(sparsity=g.choose(["auto", "off"]), poison=g.maybe(), threads=1)
    for key, value in how.items():
        setattr(g.single, key, value)
    generate(g)
    if g.type(g.schema.inputs[0].type_str if g.schema.inputs else "T") == np.float16 and not g.single.exact:
        g.single.tolerance = max(g.single.tolerance, 1e-2)
    return g.single


# -- running ---------------------------------------------------------------------------------------------------------------------------


def child(first, count, op):
    """Judges models; a line before each, and one after it."""
    for seed in range(first, first + count):
        print(json.dumps({"begin": seed}), flush=True)
        single = draw(seed, op)
        outcome, why = judge(single)
        print(json.dumps({"seed": seed, "op": single.op, "outcome": outcome, "why": why, "model": str(single)}), flush=True)


def lines(process, patience):
    """What a child prints, line by line, until it ends or says nothing for so long; then it is ended."""
    rest, pipe = b"", process.stdout.fileno()
    while select.select([pipe], [], [], patience)[0]:
        read = os.read(pipe, 1 << 16)
        if not read:
            break
        *whole, rest = (rest + read).split(b"\n")
        yield from whole
    process.kill()
    process.wait()


def run(first, count, op=None, patience=60):
    """The outcomes of these models, each as `child` prints it. A child that dies or is silent for too long is started anew behind it."""
    end = first + count
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    while first < end:
        command = [sys.executable, "-m", "operators.single", "--child", "--seed", str(first), "--models", str(min(end - first, 2000))]
        begun, dead = None, True
        with subprocess.Popen([*command, *(["--op", op] if op else [])], stdout=subprocess.PIPE, cwd=folder) as process:
            for found in map(json.loads, lines(process, patience)):
                dead = "begin" in found
                if dead:
                    begun = found["begin"]
                else:
                    yield found
                    first = found["seed"] + 1
        if dead and begun is None:
            raise RuntimeError(f"the child {' '.join(command)} ended with {process.returncode} before it began")
        if dead:
            model = draw(begun, op)
            yield {"seed": begun, "op": model.op, "outcome": "crash", "why": f"the process ended with {process.returncode}", "model": str(model)}
            first = begun + 1


FAILURES = ("wrong", "crash")


def summary(found, outcomes=OUTCOMES, failures=FAILURES):
    """Counts of outcomes, and the failures one by one."""
    counts = Counter(f["outcome"] for f in found)
    lines = ["  ".join(f"{k}: {counts[k]}" for k in outcomes if counts[k])]
    lines += [f"seed {f['seed']}: {f['outcome']}: {f['model']}\n    {f['why']}" for f in found if f["outcome"] in failures]
    return "\n".join(lines)


def kinds(found):
    """What PIT refuses, what it alone takes, and what ONNX Runtime deviates in, by kind, each with a seed."""
    lines = []
    for outcome in ("PIT refuses", "PIT alone takes", "ONNX Runtime deviates"):
        table = {}
        for f in found:
            if f["outcome"] == outcome:
                table.setdefault((f["op"], re.sub(r"['\[].*|-?\d+", "~", f["why"].split(": ", 2)[-1])[:90]), []).append(f["seed"])
        lines.append(f"\n{outcome}:")
        lines += [f"  {len(seeds):5d}  {op}: {why}   (seed {seeds[0]})" for (op, why), seeds in sorted(table.items(), key=lambda i: (i[0][0], -len(i[1])))]
    return "\n".join(lines)


def command_line(about, child, run, outcomes=OUTCOMES, failures=FAILURES):
    """The programs of this folder that judge models of one operator."""
    parser = argparse.ArgumentParser(description=about.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", type=int, default=2000)
    parser.add_argument("--op")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--kinds", action="store_true", help="also what PIT refuses and what ONNX Runtime deviates in, by kind")
    options = parser.parse_args()
    if options.child:
        return child(options.seed, options.models, options.op)
    found = []
    for f in run(options.seed, options.models, options.op):
        found.append(f)
        if f["outcome"] in failures or options.models == 1:
            print(f"seed {f['seed']}: {f['outcome']}: {f['model']}\n    {f['why']}", flush=True)
    print(summary([f for f in found if f["outcome"] not in failures], outcomes, failures))
    print("failures:", dict(Counter(f["outcome"] for f in found if f["outcome"] in failures)))
    if options.kinds:
        print(kinds(found))
    return int(any(f["outcome"] in failures for f in found))


if __name__ == "__main__":
    sys.exit(command_line(__doc__, child, run))
