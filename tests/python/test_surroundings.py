"""A model in a process that forks, exits, is interrupted or runs out of something."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from onnx import TensorProto as T, helper as H, numpy_helper as N

import pit


def chain(layers=8, width=64, kind="Softmax"):
    """Matrix products with something behind each, as bytes."""
    r = np.random.default_rng(0)
    nodes, weights = [], []
    for i in range(layers):
        nodes += [H.make_node("MatMul", [f"x{i}", f"w{i}"], [f"h{i}"]), H.make_node(kind, [f"h{i}"], [f"x{i + 1}"])]
        weights.append(N.from_array(r.standard_normal((width, width), np.float32) / 8, f"w{i}"))
    graph = H.make_graph(nodes, "g", [H.make_tensor_value_info("x0", T.FLOAT, ["n", width])], [H.make_tensor_value_info(f"x{layers}", T.FLOAT, ["n", width])], weights)
    return H.make_model(graph, opset_imports=[H.make_opsetid("", 17)], ir_version=8).SerializeToString()


def wait_for_child(pid, seconds=60):
    end = time.time() + seconds
    while time.time() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hangs"


def in_a_child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
    return pid


def run_python(code, *arguments):
    return subprocess.run([sys.executable, "-c", textwrap.dedent(code), *arguments], capture_output=True, text=True, timeout=120)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
class TestFork:
    x = np.random.default_rng(1).standard_normal((512, 64), np.float32)

    def test_what_the_parent_has_used(self):
        model = pit.compile(chain(), threads=2)
        want = model(x0=self.x)["x8"]

        def work():
            for _ in range(5):
                np.testing.assert_array_equal(model(x0=self.x)["x8"], want)

        for _ in range(20):
            pid = in_a_child(work)
            work()
            assert wait_for_child(pid) == 0

    def test_what_the_parent_has_only_compiled_and_compiling_in_the_child(self):
        model = pit.compile(chain(), threads=2)

        def work():
            np.testing.assert_array_equal(model(x0=self.x)["x8"], pit.compile(chain(), threads=2)(x0=self.x)["x8"])

        assert wait_for_child(in_a_child(work)) == 0
        work()

    def test_while_other_threads_run_and_compile(self):
        model, stop = pit.compile(chain(), threads=2), threading.Event()
        want = model(x0=self.x)["x8"]

        def busy_running():
            while not stop.is_set():
                model(x0=self.x[: np.random.randint(1, 512)])

        def busy_compiling():
            while not stop.is_set():
                pit.compile(chain(2, kind=str(np.random.choice(["Exp", "Tanh", "Erf"]))), threads=2, cache_dir="none")

        def work():
            np.testing.assert_array_equal(model(x0=self.x)["x8"], want)
            pit.compile(chain(1, kind="Exp"), threads=2, cache_dir="none")(x0=self.x)
            pit.matmul(self.x, self.x.T, threads=2)

        others = [threading.Thread(target=f) for f in (busy_running, busy_compiling)]
        for other in others:
            other.start()
        try:
            results = [wait_for_child(in_a_child(work)) for _ in range(15)]
        finally:
            stop.set()
            for other in others:
                other.join()
        assert results == [0] * 15

    def test_children_of_children(self):
        model = pit.compile(chain(), threads=2)
        model(x0=self.x)

        def work():
            model(x0=self.x)
            assert wait_for_child(in_a_child(lambda: model(x0=self.x))) == 0

        assert wait_for_child(in_a_child(work)) == 0


class TestExit:
    """The interpreter ends while a thread is in the library."""

    BUSY = """
        import resource, sys, threading, time, numpy as np, pit
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        data = open(sys.argv[1], "rb").read()
        model, x = pit.compile(data, threads=2), np.ones((4000, 64), np.float32)
        def work():
            while True: {work}
        for _ in range(2): threading.Thread(target=work, daemon=True).start()
        time.sleep(float(sys.argv[2]))
    """

    @pytest.mark.parametrize("work", ["pit.compile(data, cache_dir='none', threads=2)", "model(x0=x)", "model.profile(x0=x)", "model.explain(x0=x)",
                                      "pit.compile(data, cache_dir='/proc/none')", "pit.matmul(x, x.T)"])  # fmt: skip
    def test_while_a_daemon_thread_works(self, tmp_path, work):
        (tmp_path / "m.onnx").write_bytes(chain(4, kind="Erf"))
        for delay in (0.2, 0.33):
            done = run_python(self.BUSY.format(work=work), str(tmp_path / "m.onnx"), str(delay))
            assert done.returncode == 0, done.stderr


class TestMemory:
    def external(self, folder, weights, nodes, inputs, outputs):
        tensors, offset = [], 0
        with open(folder / "weights", "wb") as f:
            for name, array in weights.items():
                t = T(name=name, data_type=T.FLOAT, dims=array.shape, data_location=T.EXTERNAL)
                for key, value in (("location", "weights"), ("offset", str(offset)), ("length", str(array.nbytes))):
                    t.external_data.add(key=key, value=value)
                tensors.append(t)
                f.write(array.tobytes())
                offset = f.tell()
        model = H.make_model(H.make_graph(nodes, "g", inputs, outputs, tensors), opset_imports=[H.make_opsetid("", 17)], ir_version=8)
        (folder / "model.onnx").write_bytes(model.SerializeToString())
        return folder / "model.onnx"

    def table(self, folder, rows=40_000):
        table = np.random.default_rng(0).standard_normal((rows, 512), np.float32)
        return table, self.external(folder, {"t": table}, [H.make_node("Gather", ["t", "i"], ["e"])], [H.make_tensor_value_info("i", T.INT64, ["n"])],
                                    [H.make_tensor_value_info("e", T.FLOAT, ["n", 512])])  # fmt: skip

    GROWTH = """
        import sys, numpy as np, pit
        def held(): return int(next(l for l in open("/proc/self/status") if l.startswith("VmRSS")).split()[1]) / 1024
        before = held()
        model = pit.compile(sys.argv[1], threads=1)
        model({name: np.zeros([1 if not isinstance(d, int) else d for d in dims], dtype) for name, dtype, dims in model.inputs})
        print(held() - before)
    """

    def test_tables_stay_in_the_file(self, tmp_path):
        self.table(tmp_path)
        done = run_python(self.GROWTH, str(tmp_path / "model.onnx"))
        assert float(done.stdout) < 30, done.stdout + done.stderr  # the table has 82 MB

    @pytest.mark.parametrize("place", ["external", "inline", "inline, not aligned"])
    def test_packed_weights_are_held_once(self, tmp_path, place):
        weights = {f"w{i}": np.random.default_rng(i).standard_normal((1024, 1024), np.float32) for i in range(20)}
        nodes = [H.make_node("MatMul", [f"x{i}", f"w{i}"], [f"x{i + 1}"]) for i in range(20)]
        inputs, outputs = [H.make_tensor_value_info("x0", T.FLOAT, ["n", 1024])], [H.make_tensor_value_info("x20", T.FLOAT, ["n", 1024])]
        if place == "external":
            self.external(tmp_path, weights, nodes, inputs, outputs)
        else:
            graph = H.make_graph(nodes, "g" * (2 if "not" in place else 1), inputs, outputs, [N.from_array(w, name) for name, w in weights.items()])
            (tmp_path / "model.onnx").write_bytes(H.make_model(graph, opset_imports=[H.make_opsetid("", 17)], ir_version=8).SerializeToString())
        done = run_python(self.GROWTH, str(tmp_path / "model.onnx"))
        assert float(done.stdout) < 84 * 1.4, done.stdout + done.stderr  # 84 MB of weights

    @pytest.mark.parametrize("damage", ["truncated", "overwritten"])
    def test_a_weight_file_that_changes_is_an_error(self, tmp_path, damage):
        table, path = self.table(tmp_path, 4000)
        model = pit.compile(path)
        np.testing.assert_array_equal(model(i=[3, 3999])["e"], table[[3, 3999]])
        with open(tmp_path / "weights", "r+b") as f:
            if damage == "truncated":
                f.truncate(0)
            else:
                f.write(bytes(4096))
        with pytest.raises(pit.ModelError, match="weights.*compile"):
            model(i=[3])

    def test_a_weight_file_may_be_replaced_or_removed(self, tmp_path):
        table, path = self.table(tmp_path, 4000)
        model = pit.compile(path)
        (tmp_path / "other").write_bytes(bytes(100))
        os.replace(tmp_path / "other", tmp_path / "weights")
        np.testing.assert_array_equal(model(i=[3, 3999])["e"], table[[3, 3999]])
        (tmp_path / "weights").unlink()
        np.testing.assert_array_equal(model(i=[3, 7])["e"], table[[3, 7]])


class TestHubCache:
    """Model and weights are symbolic links into one folder."""

    def layout(self, top, blob_folder="blobs"):
        w = np.random.default_rng(0).standard_normal((64, 32)).astype(np.float32)
        TestMemory().external(top, {"w": w}, [H.make_node("MatMul", ["x", "w"], ["y"])], [H.make_tensor_value_info("x", T.FLOAT, ["n", 64])],
                              [H.make_tensor_value_info("y", T.FLOAT, ["n", 32])])  # fmt: skip
        snapshot, blobs = top / "snapshots" / "a" / "onnx", top / "blobs"
        snapshot.mkdir(parents=True), blobs.mkdir()
        (top / "model.onnx").rename(blobs / "1f")
        (top / "weights").rename(top / blob_folder / "2e")
        (snapshot / "model.onnx").symlink_to("../../../blobs/1f")
        return w, snapshot, top

    def test_is_followed(self, tmp_path):
        w, snapshot, _ = self.layout(tmp_path)
        (snapshot / "weights").symlink_to("../../../blobs/2e")
        np.testing.assert_allclose(pit.compile(snapshot / "model.onnx")(x=np.ones((1, 64), np.float32))["y"][0], w.sum(0), rtol=1e-4)

    def test_weights_beside_the_file_behind_the_link(self, tmp_path):
        w, snapshot, top = self.layout(tmp_path)
        (top / "blobs" / "2e").rename(top / "blobs" / "weights")
        np.testing.assert_allclose(pit.compile(snapshot / "model.onnx")(x=np.ones((1, 64), np.float32))["y"][0], w.sum(0), rtol=1e-4)

    def test_nothing_elsewhere(self, tmp_path):
        _, snapshot, _ = self.layout(tmp_path, blob_folder=".")
        (snapshot / "weights").symlink_to("../../../2e")
        with pytest.raises(pit.ModelError, match="leaves"):
            pit.compile(snapshot / "model.onnx")


@pytest.mark.parametrize("dims", [[1] * 64, [1] * 65, [1] * 130, [1] * 300, [0, 1 << 62]])
def test_outputs_that_numpy_cannot_hold(dims):
    w = T(name="w", data_type=T.FLOAT, dims=dims, float_data=[] if 0 in dims else [1.0])
    graph = H.make_graph([H.make_node("Add", ["x", "w"], ["y"])], "g", [H.make_tensor_value_info("x", T.FLOAT, ["n"])], [H.make_empty_tensor_value_info("y")], [w])
    model = pit.compile(H.make_model(graph, opset_imports=[H.make_opsetid("", 17)], ir_version=8).SerializeToString())
    if len(dims) == 64:
        assert model(x=[1])["y"].shape == tuple(dims)
        return
    with pytest.raises((pit.UnsupportedError, pit.InputError), match="'y'") as caught:
        model(x=[1])
    assert caught.value.tensor == "y"
