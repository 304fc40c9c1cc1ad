"""Random masked models against ONNX Runtime, for as long as one likes.

    python tests/python/random_models.py --hours 2 --jobs 2          from seed 0 on
    python tests/python/random_models.py --seeds 5000:6000           these
    python tests/python/random_models.py --seeds 5017 --show         this one, before it is taken apart

Each block of seeds runs in a process of its own, so that a crash costs one model. A model that fails is taken apart until every operator that is left is
needed; it is printed as a program, and written to --found. Exits with 1 if anything was wrong.
"""

import argparse
import collections
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from operators import net  # noqa: E402
from operators.masked import configs, masked_net  # noqa: E402
from operators.source import program  # noqa: E402

BLOCK = 20


def judged(seed, shrink_seconds):
    """What became of a seed: {"seed", "result": right, refused, wrong, ...}."""
    graph, options = masked_net(seed)
    found = dict(seed=seed, result="right", operators=len(graph.nodes), live=1.0)
    for config in configs(seed):
        try:
            model = net.check(graph, configs=[config], **options)
            if config["sparsity"] == "auto":
                found["live"] = live_share(model, graph.feeds[0])
        except net.Refused as e:
            return dict(found, result="refused", message=str(e))
        except net.Failure as e:
            smallest, message = net.shrink(graph, seconds=shrink_seconds, configs=[config], **options)
            if message is None:
                return dict(found, result="wrong once", message=str(e))
            title = f"seed {seed}: {message.splitlines()[0]}"
            return dict(found, result="wrong", message=message, kind=kind(smallest, message), size=len(smallest.nodes),
                        program=program(smallest, title, config, net.OPSET))  # fmt: skip
    return found


def live_share(model, feeds):
    """Of the steps that PIT runs after its masks, the mean live share."""
    profile = model.profile(feeds, repeat=1, json=True)
    shares = [s["live"] for s in profile["steps"] if s["kind"] in ("rows", "contraction", "attention")]
    return sum(shares) / len(shares) if shares else 1.0


def kind(smallest, message):
    """Failures of one cause often agree in it: what the error says but for names, or else the operators that are left."""
    if net.said(message):
        return net.said(message)
    return " ".join(sorted({n.op for n in smallest.nodes}) + (["declared"] if smallest.declared else []))


def work(first, last, shrink_seconds):
    parent = os.getppid()
    for seed in range(first, last):
        if os.getppid() != parent:  # nobody is listening any more
            return
        print(json.dumps({"begun": seed}), flush=True)
        print(json.dumps(judged(seed, shrink_seconds)), flush=True)


class Block:
    """Some seeds in a process."""

    def __init__(self, first, last, args):
        self.first, self.last, self.at, self.text, self.since = first, last, first, "", time.monotonic()
        command = [sys.executable, "-X", "faulthandler", __file__, "--worker", f"{first}:{last}", "--shrink-seconds", str(args.shrink_seconds)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.errors = b""
        os.set_blocking(self.process.stderr.fileno(), False)

    def results(self):
        self.text += (self.process.stdout.read() or b"").decode()
        self.errors = (self.errors + (self.process.stderr.read() or b""))[-4000:]
        *lines, self.text = self.text.split("\n")
        for line in map(json.loads, lines):
            if "begun" in line:
                self.at, self.since = line["begun"], time.monotonic()
            else:
                yield line

    def ended(self, patience):
        """None, or how it ended: None as well where all is well."""
        code = self.process.poll()
        if code is None and time.monotonic() - self.since > patience:
            self.process.kill()
            self.process.wait()
            return True, f"no answer after {patience:.0f} s"
        if code is None:
            return False, None
        return True, None if code == 0 else f"ended with {code}: {self.errors.decode(errors='replace')}"


class Run:
    def __init__(self, args):
        self.args, self.counts, self.kinds = args, collections.Counter(), {}
        self.live, self.begun, self.printed = [], time.monotonic(), time.monotonic()
        first, _, last = args.seeds.partition(":")
        self.next = int(first)
        self.last = int(last) if last else self.next + 1 if first and args.hours is None else None
        self.until = self.begun + args.hours * 3600 if args.hours is not None else None

    def more(self):
        return (self.last is None or self.next < self.last) and (self.until is None or time.monotonic() < self.until)

    def block(self):
        first = self.next
        self.next = min(first + BLOCK, self.last or first + BLOCK)
        return Block(first, self.next, self.args)

    def __call__(self):
        running = []
        while self.more() or running:
            while self.more() and len(running) < self.args.jobs:
                running.append(self.block())
            for block in list(running):
                over, why = block.ended(self.args.shrink_seconds + 120)
                for result in block.results():
                    self.note(result)
                if over:
                    running.remove(block)
                    if why:
                        self.note(dict(seed=block.at, result="crash", kind="crash", message=why))
                        if block.at + 1 < block.last:
                            running.append(Block(block.at + 1, block.last, self.args))
            self.progress()
            time.sleep(0.1)
        print(self.summary())
        return int(any(self.counts[r] for r in ("wrong", "wrong once", "crash")))

    def note(self, result):
        self.counts[result["result"]] += 1
        if result["result"] == "right":
            self.live.append(result["live"])
            return
        if result["result"] == "refused":
            print(f"seed {result['seed']}: refused: {result['message']}", flush=True)
            return
        print(f"seed {result['seed']}: {result['result']}: {result.get('kind', '')}\n    {result['message']}", flush=True)
        if result["result"] in ("wrong", "crash"):
            self.remember(result)

    def remember(self, result):
        """Keeps the smallest model of each kind."""
        size = result.get("size", 0)
        if result["kind"] in self.kinds and self.kinds[result["kind"]][0] <= size:
            return
        if self.args.found:
            folder = Path(self.args.found)
            folder.mkdir(parents=True, exist_ok=True)
            if result["kind"] in self.kinds:
                self.kinds[result["kind"]][1].unlink(missing_ok=True)
            path = folder / f"{size:02d}-{re.sub('[^A-Za-z0-9]+', '-', result['kind'])[:80]}-{result['seed']}.py"
            path.write_text(result.get("program") or f"# crash of seed {result['seed']}\nraise SystemExit(1)\n")
            self.kinds[result["kind"]] = (size, path)
        else:
            self.kinds[result["kind"]] = (size, None)
            print(result.get("program", ""), flush=True)

    def progress(self):
        if time.monotonic() - self.printed > 30:
            self.printed = time.monotonic()
            print(self.summary(), flush=True)

    def summary(self):
        n = sum(self.counts.values())
        skipping = sum(x < 1 for x in self.live)
        mean = sum(self.live) / max(len(self.live), 1)
        return (f"[{time.monotonic() - self.begun:.0f} s] {n} models up to seed {self.next}: {dict(self.counts)}; {len(self.kinds)} kinds of failures; "
                f"{skipping} of {len(self.live)} right ones skip something, mean live share of steps {mean:.3f}")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0:", help="A:B, A: or A")
    parser.add_argument("--hours", type=float)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--found", help="folder for the smallest failing model of each kind")
    parser.add_argument("--shrink-seconds", type=float, default=60)
    parser.add_argument("--show", action="store_true", help="print the graph of the first seed")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return work(*map(int, args.worker.split(":")), args.shrink_seconds)
    if args.show:
        return print(masked_net(int(args.seeds.split(":")[0]))[0])
    if args.seeds.endswith(":") and args.hours is None:
        parser.error("say --hours, or where the seeds end")
    return Run(args)()


if __name__ == "__main__":
    sys.exit(main())
