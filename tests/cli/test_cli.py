"""The program `pit`: what it computes, what it prints, and its exit codes."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
MODEL = FIXTURES / "bert-dynamo.onnx"
OK, USAGE, MODEL_ERROR, UNSUPPORTED, INPUT_ERROR = 0, 2, 3, 4, 5


@pytest.fixture
def pit(request, tmp_path):
    program = Path(request.config.getoption("--pit")).resolve()

    def run(*arguments, code=OK):
        done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, cwd=tmp_path, timeout=120,
                              env=os.environ | {"PIT_CACHE_DIR": str(tmp_path / "cache")})  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        if code not in (OK, USAGE):
            assert done.stdout == "" and done.stderr.startswith("pit: ") and done.stderr.count("\n") == 1
        return done

    return run


@pytest.fixture
def case(tmp_path):
    """Arguments for the first recorded case of the model, and ONNX Runtime's answer."""
    data = np.load(FIXTURES / "bert-dynamo.npz")
    arguments = []
    for key in data.files:
        if key.startswith("case0.in."):
            name = key[len("case0.in."):]
            np.save(tmp_path / f"{name}.npy", data[key])
            arguments += ["--input", f"{name}={name}.npy"]
    return arguments, data["case0.out.last_hidden_state"]


def close(got, want):
    return got.shape == want.shape and got.dtype == want.dtype and np.abs(got - want).max() <= 2e-4 * np.abs(want).max()


class TestRun:
    def test_answers(self, pit, case, tmp_path):
        arguments, want = case
        done = pit("run", MODEL, *arguments, "--output-dir", "a/b")
        assert close(np.load(tmp_path / "a/b/last_hidden_state.npy"), want)
        assert "last_hidden_state" in done.stdout and "a/b/last_hidden_state.npy" in done.stdout and done.stderr == ""
        assert [p.name for p in (tmp_path / "a/b").iterdir()] == ["last_hidden_state.npy"], "no temporary file is left"

    def test_sparsity_off_and_threads(self, pit, case, tmp_path):
        arguments, want = case
        pit("run", "--sparsity", "off", "--threads", 1, MODEL, *arguments, "--output-dir", "out")
        pit("run", "--threads", 0, MODEL, *arguments, "--output-dir", "out")
        assert close(np.load(tmp_path / "out/last_hidden_state.npy"), want)

    def test_declared_output(self, pit, case, tmp_path):
        arguments, want = case
        pit("run", *arguments, "--output", "last_hidden_state=attention_mask", MODEL, "--output-dir", "out")
        got, real = np.load(tmp_path / "out/last_hidden_state.npy"), np.load(tmp_path / "attention_mask.npy") != 0
        assert close(got[real], want[real]) and not got[~real].any()

    def test_column_major_file(self, pit, case, tmp_path):
        arguments, want = case
        ids = np.load(tmp_path / "input_ids.npy")
        np.save(tmp_path / "input_ids.npy", np.asfortranarray(ids))
        pit("run", MODEL, *arguments, "--output-dir", "out")
        assert close(np.load(tmp_path / "out/last_hidden_state.npy"), want)

    def test_lengths(self, pit, tmp_path):
        pit("run", MODEL, "--lengths", "7,3,1", "--output-dir", "out")
        assert np.load(tmp_path / "out/last_hidden_state.npy").shape == (3, 7, 24)


class TestReports:
    def test_explain(self, pit, case):
        assert "Softmax" in pit("explain", MODEL).stdout
        assert json.loads(pit("explain", MODEL, "--json").stdout)

    def test_explain_with_inputs(self, pit, case):
        arguments, _ = case
        found = json.loads(pit("explain", MODEL, *arguments, "--json").stdout)
        assert 0 < found["weight_flops_live"] <= 1 and 0 < found["attention_flops_live"] < 1
        assert pit("explain", MODEL, *arguments).stdout

    def test_explain_with_lengths(self, pit):
        model = FIXTURES / "bert-embedding-script.onnx"
        found = json.loads(pit("explain", "--lengths", "8,4,4", model, "--json").stdout)
        assert found["weight_flops_live"] == pytest.approx(16 / 24, abs=0.01)
        assert found["attention_flops_live"] == pytest.approx((64 + 16 + 16) / (3 * 64), abs=0.01)

    def test_dump(self, pit):
        found = pit("explain", MODEL, "--dump=graph,groups").stdout
        assert [line.split(":")[0] for line in found.splitlines() if line.startswith("# ")] == ["# graph", "# groups"]
        assert "the inputs given" in pit("explain", MODEL, "--lengths", "8,4", "--dump", "schedules").stdout
        assert "vfmadd" in pit("explain", "--dump", "asm", MODEL).stdout
        assert "'schedules'" in pit("explain", MODEL, "--dump", "graph,tree", code=INPUT_ERROR).stderr
        assert pit("explain", MODEL, "--dump", "graph", "--json", code=USAGE).stderr
        assert "--dump groups" in pit("explain", "--help").stdout

    def test_profile(self, pit, case, tmp_path):
        arguments, _ = case
        assert "MatMul" in pit("profile", MODEL, *arguments, "--repeat", 2, "--trace", "trace.json").stdout
        assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
        assert json.loads(pit("profile", MODEL, "--lengths", "5,2", "--json").stdout)

    def test_ops(self, pit):
        table = pit("ops").stdout
        for name in ("MatMul", "Softmax", "Gather", "LayerNormalization"):
            assert name in table
        assert json.loads(pit("ops", "--json").stdout)

    def test_help_and_version(self, pit):
        assert "Examples:" in pit("--help").stdout and "Exit codes" in pit("--help").stdout
        for command in ("explain", "run", "profile", "ops"):
            assert "Usage" in pit(command, "--help").stdout
        assert pit("--version").stdout.startswith("pit 0.")


class TestExitCodes:
    def test_usage(self, pit):
        for arguments in ([], ["fly"], ["explain"], ["run", MODEL], ["explain", MODEL, "--fly"], ["explain", MODEL, "--threads", "-1"],
                          ["explain", MODEL, "--input", "input_ids"], ["explain", MODEL, "--sparsity", "maybe"],
                          ["explain", MODEL, "--lengths", "many"], ["explain", MODEL, "--lengths", "-1"]):  # fmt: skip
            assert pit(*arguments, code=USAGE).stderr

    def test_model(self, pit, tmp_path):
        assert "nothing.onnx" in pit("explain", "nothing.onnx", code=MODEL_ERROR).stderr
        (tmp_path / "half.onnx").write_bytes(MODEL.read_bytes()[:20000])
        pit("explain", "half.onnx", code=MODEL_ERROR)

    def test_limits(self, pit):
        assert "the limit 'rank' of 1" in pit("explain", MODEL, "--limit", "rank=1", code=MODEL_ERROR).stderr
        assert "operators" in pit("explain", MODEL, "--limit", "ranks=1", code=INPUT_ERROR).stderr
        assert "no whole number" in pit("explain", MODEL, "--limit", "rank=many", code=USAGE).stderr
        pit("explain", MODEL, "--limit", "rank=8", "--limit", "nesting=2")

    def test_unsupported(self, pit, tmp_path):
        whole = MODEL.read_bytes()
        assert whole.count(b"\x22\x07Softmax") == 2  # the operator's name, a field of a node
        (tmp_path / "strange.onnx").write_bytes(whole.replace(b"\x22\x07Softmax", b"\x22\x07Hardmux"))
        assert "Hardmux" in pit("explain", "strange.onnx", code=UNSUPPORTED).stderr

    def test_inputs(self, pit, case, tmp_path):
        arguments, _ = case
        out = ["--output-dir", "out"]
        assert "attention_mask" in pit("run", MODEL, "--input", "input_ids=input_ids.npy", "--input", "token_type_ids=token_type_ids.npy", *out,
                                       code=INPUT_ERROR).stderr  # fmt: skip
        assert "strange" in pit("run", MODEL, *arguments, "--input", "strange=input_ids.npy", *out, code=INPUT_ERROR).stderr
        assert "nothing.npy" in pit("run", MODEL, "--input", "input_ids=nothing.npy", *out, code=INPUT_ERROR).stderr
        assert "logits" in pit("run", MODEL, *arguments, "--output", "logits", *out, code=INPUT_ERROR).stderr
        np.save(tmp_path / "input_ids.npy", np.load(tmp_path / "input_ids.npy").astype(np.int32))
        assert "input_ids" in pit("run", MODEL, *arguments, *out, code=INPUT_ERROR).stderr
        assert not (tmp_path / "out").exists()

    def test_unwritable_output(self, pit, case, tmp_path):
        (tmp_path / "file").write_text("")
        pit("run", MODEL, *case[0], "--output-dir", "file", code=INPUT_ERROR)

    @pytest.mark.parametrize("damage", [lambda b: b[:0], lambda b: b[:6], lambda b: b[:9], lambda b: b[:60], lambda b: b[:-1], lambda b: b + b"\0",
                                        lambda b: b.replace(b"'<i8'", b"'<u8'"), lambda b: b.replace(b"'<i8'", b"'|O' "),
                                        lambda b: b.replace(b"fortran_order", b"fortran_ordre"), lambda b: b[:6] + b"\x09" + b[7:],
                                        lambda b: b.replace(b"(3, 11)", b"(3, -1)"), lambda b: b.replace(b"(3, 11)", b"3, 11, "),
                                        lambda b: b[:8] + b"\xff\xff" + b[10:]])  # fmt: skip
    def test_damaged_npy(self, pit, case, tmp_path, damage):
        whole = (tmp_path / "input_ids.npy").read_bytes()
        assert damage(whole) != whole
        (tmp_path / "input_ids.npy").write_bytes(damage(whole))
        assert "input_ids.npy" in pit("run", MODEL, *case[0], "--output-dir", "out", code=INPUT_ERROR).stderr

    def test_full_disk(self, pit, request):
        program = Path(request.config.getoption("--pit")).resolve()
        if not os.path.exists("/dev/full"):
            pytest.skip("no /dev/full")
        with open("/dev/full", "w") as full:
            assert subprocess.run([program, "ops"], stdout=full, stderr=subprocess.DEVNULL, timeout=60).returncode != OK


class TestBench:
    def test_matmul(self, pit):
        case = ["--m", 96, "--n", 80, "--k", 128, "--granularity", "32x1", "--zeros", 0.9, "--threads", 1, "--repeat", 3]
        found = json.loads(pit("bench", "matmul", *case, "--json").stdout)
        for key in ("sparse_ms", "dense_ms", "limit_ms", "detect_share", "live_fraction", "rule", "max_abs_diff", "speedup", "candidates", "limit",
                    "threads", "cpu"):  # fmt: skip
            assert key in found, key
        assert found["max_abs_diff"] == 0 and found["live_fraction"] in (pytest.approx(0.1, abs=0.01), 1)
        assert all(c["predicted_ms"] > 0 for c in found["candidates"])
        text = pit("bench", "matmul", *case).stdout
        assert "limit" in text and "candidates" in text

    @pytest.mark.parametrize("arguments", [
        ["--b-granularity", "1x64", "--b-zeros", 0.75, "--zeros", 0.9], ["--dynamic-b", "--b-zeros", 0.5], ["--c-granularity", "8x24", "--c-zeros", 0.8],
        ["--algebra", "max-plus", "--zeros", 0.9], ["--algebra", "or-and", "--zeros", 0.9], ["--rule", "k", "--zeros", 0.5, "--candidates"],
        ["--threads", 2, "--granularity", "1x64", "--zeros", 1],
    ])  # fmt: skip
    def test_cases(self, pit, arguments):
        found = json.loads(pit("bench", "matmul", "--m", 64, "--n", 96, "--k", 128, "--repeat", 2, "--json", *arguments).stdout)
        assert found["max_abs_diff"] == 0
        if "--rule" in arguments:
            assert found["rule"].startswith("k ") and all(c["measured_ms"] > 0 for c in found["candidates"])

    def test_detect(self, pit):
        found = json.loads(pit("bench", "detect", "--rows", 300, "--columns", 500, "--granularity", "32x1", "--zeros", 0.7, "--repeat", 2, "--json").stdout)
        assert found["correct"] and found["gbytes"] > 0
        assert "GB/s" in pit("bench", "detect", "--rows", 300, "--columns", 500, "--repeat", 1).stdout

    def test_limits_and_usage(self, pit):
        assert json.loads(pit("limits", "--json").stdout)["fma_gflops"] > 1
        for command in (["bench"], ["bench", "matmul"], ["bench", "detect"], ["tune"], ["limits"]):
            assert "Example" in pit(*command, "--help").stdout
        for wrong in (["bench"], ["bench", "matmul", "--zeros", 2], ["bench", "matmul", "--granularity", "32"], ["bench", "matmul", "--granularity", "0x1"],
                      ["bench", "matmul", "--m", 0], ["bench", "matmul", "--algebra", "plus"]):  # fmt: skip
            assert pit(*wrong, code=USAGE).stderr
        assert "quick" in pit("bench", "matmul", "--m", 8, "--n", 8, "--k", 8, "--rule", "quick", code=INPUT_ERROR).stderr
