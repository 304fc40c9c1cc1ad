"""PIT's main job: real sentences through a real model, and nothing computed for the padding.

    python examples/demo.py [--threads N] [--seconds S] [--json FILE]

Writes MiniLM as an ordinary ONNX file (make_minilm.py), embeds the paragraphs of Python's documentation with PIT, with PIT told to
treat everything as dense, and with ONNX Runtime, and compares time and results. Then it answers three questions with the best passages.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

import contest
import make_minilm
import text

PIT, DENSE, ORT = "PIT", "PIT dense", "ONNX Runtime"
QUERIES = ("how do I open a file for writing?", "what happens when an exception is not caught?", "how can I format a number with two decimals?")


def heading(line):
    print(f"\n{line}\n{'-' * len(line)}")


def onnx_runtime(model, threads):
    """ONNX Runtime of a file or a model's bytes, at its best settings: as many threads as PIT, all graph optimisations (fusing the graph with
    onnxruntime.transformers first makes no difference here), and worker threads that stop spinning when a run ends, because they
    would take the next contestant's core."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"])
    return lambda batch: session.run(None, batch)[0]


def timed(make):
    before = time.perf_counter()
    return make(), time.perf_counter() - before


def model_files(directory):
    """The two models, written when they are missing or older than the script that writes them."""
    paths = [directory / "minilm.onnx", directory / "minilm-tokens.onnx"]
    script = Path(make_minilm.__file__).stat().st_mtime
    if not all(p.exists() and p.stat().st_mtime > script for p in [*paths, directory / "minilm.onnx.data"]):
        print(f"Writing the models into {directory} ...")
        make_minilm.make(directory)
    return paths


def control_seconds(model, batches):
    """Seconds per batch that detection and mask programs take, by the profile's clock."""
    totals = []
    for batch in batches:
        steps = model.profile(batch, repeat=3, json=True)["steps"]
        totals.append(sum(step["seconds"] for step in steps if step["kind"] in ("control", "mask", "detect")))
    return float(np.median(totals))


def show_table(times, real, padded):
    print(f"{'':<20}{'time':>9}{'real tokens/s':>16}{'padded tokens/s':>18}{'speed':>9}")
    base = contest.typical(times[ORT])
    for name in (ORT, DENSE, PIT):
        seconds = contest.typical(times[name])
        print(f"{name:<20}{seconds:>7.2f} s{real / seconds:>16,.0f}{padded / seconds:>18,.0f}{base / seconds:>8.2f}x")


def embed_everything(pit, path, tokenizer, passages, arguments, report):
    """The comparison; returns PIT's model and embeddings."""
    model, compile_seconds = timed(lambda: pit.compile(path, threads=arguments.threads))
    dense, _ = timed(lambda: pit.compile(path, threads=arguments.threads, sparsity="off"))
    session, load_seconds = timed(lambda: onnx_runtime(path, arguments.threads))
    batches = text.batches(tokenizer, [t for _, t in passages])
    real = sum(int(b["attention_mask"].sum()) for b in batches)
    padded = sum(b["attention_mask"].size for b in batches)
    heading("Embedding them all")
    print(f"{len(passages):,} paragraphs in {len(batches)} batches of up to 32, in the order in which they come, padded to the longest:")
    print(f"{real:,} real tokens, {padded:,} with padding ({100 - 100 * real / padded:.0f} % padding). {arguments.threads} threads each.")
    print(f"PIT compiled the model in {compile_seconds:.2f} s; ONNX Runtime loaded it in {load_seconds:.2f} s.")
    contestants = {PIT: lambda b: model(b)["sentence_embedding"], DENSE: lambda b: dense(b)["sentence_embedding"], ORT: session}
    times, results = contest.contest(contestants, batches, "embedding", arguments.seconds)
    print()
    show_table(times, real, padded)
    speedup, dense_speed = contest.ratio(times[ORT], times[PIT]), contest.ratio(times[ORT], times[DENSE])
    print(f"\nSide by side on each batch (medians): PIT is {speedup:.2f}x as fast as ONNX Runtime, with sparsity off {dense_speed:.2f}x.")
    differences = {f"{a} / {b}": contest.largest_difference(results[a], results[b]) for a, b in ((PIT, ORT), (PIT, DENSE), (DENSE, ORT))}
    print("Largest difference between embeddings: " + ", ".join(f"{k} {v:.1e}" for k, v in differences.items()) + ".")
    control = control_seconds(model, batches[:: max(1, len(batches) // 8)])
    share = control * len(batches) / contest.typical(times[PIT])
    print(f"Finding out what to skip (detection and mask programs) took {control * 1e3:.2f} ms a batch, {100 * share:.1f} % of PIT's time.")
    sample = batches[len(batches) // 2]
    found = model.explain(sample, json=True)
    live = {"tokens": float(sample["attention_mask"].mean()), "weights": found["weight_flops_live"], "attention": found["attention_flops_live"]}
    print(f"In a batch from the middle, {100 * live['tokens']:.1f} % of the tokens are real; PIT computed {100 * live['weights']:.1f} % of the "
          f"products with weights and {100 * live['attention']:.1f} % of attention.")
    report |= {
        "passages": len(passages), "batches": len(batches), "real_tokens": real, "padded_tokens": padded, "threads": arguments.threads,
        "rounds": len(times[PIT]), "compile_seconds": compile_seconds, "seconds": {k: contest.typical(v) for k, v in times.items()},
        "speedup": speedup, "dense_speedup": dense_speed, "differences": differences, "control_seconds_per_batch": control, "live": live,
    }  # fmt: skip
    return model, np.concatenate(results[PIT])


def padding_costs_nothing(model, report):
    """The same batch with and without padding."""
    ragged = text.synthetic(np.linspace(16, 128, 32).round().astype(int))
    full = text.synthetic([128] * 32)
    share = 1 - ragged["attention_mask"].mean()
    # One pair is one batch here, so that the two are measured next to each other.
    runs = {"ragged": lambda _: model(ragged)["sentence_embedding"], "full": lambda _: model(full)["sentence_embedding"]}
    times, _ = contest.contest(runs, [ragged] * 7, "padding against none")
    relative = contest.ratio(times["ragged"], times["full"])
    print(f"\nA batch of 32 x 128 tokens of which {100 * share:.0f} % are padding takes {relative:.2f} of the time of the same without padding.")
    report |= {"padding_share": float(share), "padding_relative_time": relative}


def declared_output(pit, path, tokenizer, passages, arguments, report):
    """The second model returns every token's vector. Which of them matter only the caller knows, and can say."""
    heading("Every token's vector")
    whole = pit.compile(path, threads=arguments.threads)
    declared = pit.compile(path, threads=arguments.threads, outputs={"last_hidden_state": "attention_mask"})
    batches = text.batches(tokenizer, [t for _, t in passages[: 32 * 4]])
    runs = {"whole": lambda b: whole(b)["last_hidden_state"], "declared": lambda b: declared(b)["last_hidden_state"],
            ORT: onnx_runtime(path, arguments.threads)}  # fmt: skip
    times, results = contest.contest(runs, batches, "tokens")
    masks = [b["attention_mask"][..., None] for b in batches]
    difference = contest.largest_difference([r * m for r, m in zip(results[ORT], masks)], results["declared"])
    faster = {name: contest.ratio(times[ORT], times[name]) for name in ("whole", "declared")}
    print("minilm-tokens.onnx returns last_hidden_state, padding included, so every row of it has to be computed: "
          f"{faster['whole']:.2f}x as fast as ONNX Runtime.")
    print('Told outputs={"last_hidden_state": "attention_mask"}, PIT computes real tokens only: '
          f"{faster['declared']:.2f}x; largest difference {difference:.1e}.")
    report["tokens"] = {"speedup_whole": faster["whole"], "speedup_declared": faster["declared"], "difference": difference}


def answer(model, tokenizer, passages, embeddings, report):
    heading("Asking questions")
    queries = model(text.encode(tokenizer, QUERIES))["sentence_embedding"]
    report["answers"] = {}
    for query, scores in zip(QUERIES, queries @ embeddings.T):
        print(f"{query}")
        best = {}  # the documentation repeats some paragraphs under several topics
        for i in np.argsort(-scores):
            best.setdefault(passages[i][1], i)
            if len(best) == 2:
                break
        for passage, i in best.items():
            shown = passage if len(passage) <= 200 else passage[:197] + "..."
            print(f"   {scores[i]:.2f}  [{passages[i][0]}] {shown}")
        report["answers"][query] = list(best)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="for every contestant (default: this process's CPUs)")
    parser.add_argument("--seconds", type=float, default=45, help="repeat the measurement while it fits into so many seconds (default: 45)")
    parser.add_argument("--directory", type=Path, default=Path(__file__).parent.parent / "build" / "demo", help="where the models go")
    parser.add_argument("--json", type=Path, help="also write the figures into this file")
    arguments = parser.parse_args()

    import pit

    print(f"PIT {pit.__version__}: an unmodified ONNX model in, padding never computed.")
    pooled, tokens = model_files(arguments.directory)
    tokenizer = text.load_tokenizer(make_minilm.model_directory() / "tokenizer.json")
    passages = text.paragraphs()
    report = {}
    model, embeddings = embed_everything(pit, pooled, tokenizer, passages, arguments, report)
    padding_costs_nothing(model, report)
    declared_output(pit, tokens, tokenizer, passages, arguments, report)
    answer(model, tokenizer, passages, embeddings, report)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
