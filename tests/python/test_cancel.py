"""Work that is interrupted, cancelled or watched: Ctrl-C, tokens, progress."""

import logging
import sys
import threading
import time

import numpy as np
import pytest
from conftest import chain, run_python

import pit


INTERRUPTED = """
    import sys, time, threading, numpy as np, pit
    from onnx import TensorProto as T, helper as H
    def one(kind, dims, **attributes):
        graph = H.make_graph([H.make_node(kind, ["x"], ["y"], **attributes)], "g", [H.make_tensor_value_info("x", T.FLOAT, dims)], [H.make_empty_tensor_value_info("y")])
        return H.make_model(graph, opset_imports=[H.make_opsetid("", 17)], ir_version=8).SerializeToString()
    import os, signal
    signal.signal(signal.SIGINT, signal.default_int_handler)  # who starts the tests in the background has it ignored
    {setup}
    sent = []
    def send():
        time.sleep({delay})
        sent.append(time.time())
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=send, daemon=True).start()
    try:
        while True:
            {work}
    except KeyboardInterrupt:
        print(time.time() - sent[0])
"""


class TestInterrupt:
    @pytest.mark.parametrize(
        "setup, work",
        [
            ("data = open(sys.argv[1], 'rb').read()", "pit.compile(data, cache_dir='none', threads=1)"),
            ("data = open(sys.argv[1], 'rb').read()", "pit.compile(data, cache_dir='none', threads=2, progress=lambda stage, share: None)"),
            ("m = pit.compile(one('Softmax', ['n', 256])); x = np.ones((200000, 256), np.float32)", "m(x=x)"),
            ("m = pit.compile(one('Softmax', ['n', 256])); x = np.ones((2000, 256), np.float32)", "m.profile(x=x, repeat=100000)"),
            ("m = pit.compile(one('Softmax', ['n', 256])); x = np.ones((2000, 256), np.float32)", "m.explain(x=x)"),
            ("import tempfile; d = tempfile.mkdtemp()", "pit.tune(cache_dir=d)"),
            ("import tempfile; d = tempfile.mkdtemp()", "pit.tune(cache_dir=d, progress=lambda share: None)"),
            ("", "pit.measure_limits(2)"),
            ("a = np.ones((4000, 4000), np.float32)", "pit.matmul(a, a)"),
        ],
        ids=["compile", "compile with progress", "run", "profile", "explain", "tune", "tune with progress", "limits", "matmul"],
    )
    def test_within_a_fifth_of_a_second(self, tmp_path, setup, work):
        (tmp_path / "m.onnx").write_bytes(chain(12, kind="Erf"))
        times = []
        for delay in (1.0, 1.37, 1.6):
            done = run_python(INTERRUPTED.format(setup=setup, work=work, delay=delay), str(tmp_path / "m.onnx"))
            assert done.returncode == 0, done.stderr
            times.append(float(done.stdout))
        assert min(times) < 0.2 and max(times) < 1, times  # other work on the machine delays some


class TestInterruptOfLogging:
    def test_is_not_lost(self):
        class Interrupted(logging.Handler):
            def emit(self, record):
                logger.removeHandler(self)
                raise KeyboardInterrupt

        logger, handler = logging.getLogger("pit"), Interrupted()
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            with pytest.raises(KeyboardInterrupt):
                pit.compile(chain(12, kind="Erf"), cache_dir="none", threads=1)
                time.sleep(1)  # it may be the last one's
        finally:
            logger.setLevel(level)
            logger.removeHandler(handler)


class TestCancel:
    def test_from_another_thread(self):
        model, x = pit.compile(chain(), threads=2), np.ones((200_000, 64), np.float32)
        for work in (lambda token: model(x0=x, cancel=token), lambda token: model.profile(x0=x, repeat=1000, cancel=token),
                     lambda token: [pit.compile(chain(4, 64, kind), cache_dir="none", cancel=token) for kind in ["Erf", "Exp", "Tanh"] * 20],
                     lambda token: pit.matmul(x, np.ones((64, 4000), np.float32), cancel=token)):  # fmt: skip
            token = pit.CancelToken()
            timer = threading.Timer(0.1, token.cancel)
            timer.start()
            with pytest.raises(pit.CancelledError):
                work(token)
                work(token)  # where the first was quicker
                while True:
                    work(token)
            timer.join()
            assert token.cancelled()
        np.testing.assert_array_equal(model(x0=x[:10])["x8"], model(x0=x[:20])["x8"][:10])

    def test_in_a_thread_that_gets_no_signals(self):
        model, x, token, errors = pit.compile(chain(), threads=2), np.ones((400_000, 64), np.float32), pit.CancelToken(), []

        def work():
            try:
                while True:
                    model(x0=x, cancel=token)
            except pit.CancelledError as e:
                errors.append(e)

        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(0.1)
        token.cancel()
        thread.join(5)
        assert not thread.is_alive() and len(errors) == 1

    def test_wrong_tokens(self):
        model = pit.compile(chain(1))
        for token in (3, threading.Event()):
            with pytest.raises(pit.InputError):
                model(x0=np.ones((1, 64), np.float32), cancel=token)
            with pytest.raises(pit.InputError):
                pit.compile(chain(1), cancel=token)


class TestProgress:
    def test_stages_in_order(self, caplog):
        caplog.set_level("INFO", logger="pit")
        seen = []
        pit.compile(chain(2), cache_dir="none", progress=lambda stage, share: seen.append((stage, share)))
        shares, stages = [share for _, share in seen], list(dict.fromkeys(stage for stage, _ in seen))
        assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1
        assert stages == ["read", "simplify", "analyse", "fuse", "schedule", "lower", "generate", "pack", "done"]
        lines = [r.getMessage() for r in caplog.records if r.levelname == "INFO"]
        for stage in stages:
            assert any(f": {stage}" in line and " ms" in line for line in lines), (stage, lines)

    def test_a_progress_that_fails(self, monkeypatch):
        seen = []
        monkeypatch.setattr(sys, "unraisablehook", lambda args: seen.append(args.exc_value))

        def fails(stage, share):
            raise ValueError("no")

        pit.compile(chain(1), progress=fails)
        assert seen and all(isinstance(e, ValueError) for e in seen)

        def ends(stage, share):
            raise SystemExit(3)

        with pytest.raises(SystemExit):
            pit.compile(chain(1), progress=ends)
        with pytest.raises(pit.InputError):
            pit.compile(chain(1), progress=3)
