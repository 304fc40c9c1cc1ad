"""A model in a process that forks, exits or runs out of something."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from conftest import chain, run_python
from onnx import TensorProto as T, helper as H, numpy_helper as N

import pit


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


@pytest.mark.parametrize("dims", [[1] * 64, [1] * 65, [1] * 130, [1] * 300, [0, 1 << 44]])
def test_outputs_that_numpy_cannot_hold(dims):
    w = T(name="w", data_type=T.FLOAT, dims=dims, float_data=[] if 0 in dims else [1.0])
    graph = H.make_graph([H.make_node("Add", ["x", "w"], ["y"])], "g", [H.make_tensor_value_info("x", T.FLOAT, ["n"])], [H.make_empty_tensor_value_info("y")], [w])
    model = pit.compile(H.make_model(graph, opset_imports=[H.make_opsetid("", 17)], ir_version=8).SerializeToString(), limits=dict(rank=512))
    if len(dims) in (2, 64):
        assert model(x=[1])["y"].shape == tuple(dims)
        return
    with pytest.raises((pit.UnsupportedError, pit.InputError), match="'y'") as caught:
        model(x=[1])
    assert caught.value.tensor == "y"


class TestOwnBuffers:
    @pytest.fixture
    def model(self):
        nodes = [H.make_node("MatMul", ["x", "w"], ["m"]), H.make_node("Relu", ["m"], ["y"]), H.make_node("Erf", ["m"], ["z"]), H.make_node("ReduceSum", ["z"], ["s"], keepdims=0),
                 H.make_node("Identity", ["x"], ["same"]), H.make_node("Transpose", ["y"], ["t"], perm=[1, 0])]  # fmt: skip
        w = N.from_array(np.random.default_rng(0).standard_normal((7, 5), np.float32), "w")
        names = {"y": ["n", 5], "z": ["n", 5], "s": [], "same": ["n", 7], "t": [5, "n"]}
        graph = H.make_graph(nodes, "g", [H.make_tensor_value_info("x", T.FLOAT, ["n", 7])], [H.make_tensor_value_info(k, T.FLOAT, v) for k, v in names.items()], [w])
        return pit.compile(H.make_model(graph, opset_imports=[H.make_opsetid("", 17)], ir_version=8).SerializeToString(), threads=2)

    @pytest.mark.parametrize("n", [0, 1, 3, 37])
    def test_every_output(self, model, n):
        x = np.random.default_rng(n).standard_normal((n, 7), np.float32)
        want = model(x=x)
        out = {name: np.full(array.shape, 7, np.float32) for name, array in want.items()}
        got = model({"x": x}, out=out)
        for name, array in want.items():
            assert got[name] is out[name]
            np.testing.assert_array_equal(out[name], array)
        some = {"z": out["z"] * 0}
        got = model(x=x, out=some)
        assert got["z"] is some["z"] and got["y"] is not out["y"] and list(got) == list(want)
        np.testing.assert_array_equal(some["z"], want["z"])

    def test_nothing_is_written_beside(self, model):
        for n in (1, 3, 5):
            x = np.random.default_rng(n).standard_normal((n, 7), np.float32)
            want, around, out = model(x=x), {}, {}
            for name, array in want.items():
                around[name] = np.full(array.size + 64, 5, np.float32)
                out[name] = around[name][32 : 32 + array.size].reshape(array.shape)
            model(x=x, out=out)
            for name, array in want.items():
                np.testing.assert_array_equal(out[name], array)
                assert (around[name][:32] == 5).all() and (around[name][32 + array.size :] == 5).all(), name

    def test_any_strides(self, model):
        x = np.random.default_rng(0).standard_normal((6, 7), np.float32)
        want = model(x=x)["y"]
        for view in (np.zeros((5, 6), np.float32).T, np.zeros((12, 15), np.float32)[::2, ::3], np.zeros((6, 5), np.float32)[::-1, ::-1]):
            np.testing.assert_array_equal(model(x=x, out={"y": view})["y"], want)
            np.testing.assert_array_equal(view, want)

    def test_outputs_of_a_call(self, model):
        x = np.random.default_rng(0).standard_normal((6, 7), np.float32)
        want = model(x=x)
        for names in (["y"], ["s"], ["t", "y"], ("same",), "z", ["s", "t"]):
            got = model(x=x, outputs=names)
            assert list(got) == [name for name in want if name in ([names] if isinstance(names, str) else names)]
            for name, array in got.items():
                np.testing.assert_array_equal(array, want[name])

    def test_what_nobody_wants_is_not_computed(self):
        nodes = [H.make_node("Relu", ["x"], ["y"]), H.make_node("Gather", ["t", "i"], ["z"])]
        graph = H.make_graph(nodes, "g", [H.make_tensor_value_info("x", T.FLOAT, ["n"]), H.make_tensor_value_info("i", T.INT64, ["m"])],
                             [H.make_tensor_value_info("y", T.FLOAT, ["n"]), H.make_tensor_value_info("z", T.FLOAT, ["m", 3])], [N.from_array(np.ones((4, 3), np.float32), "t")])  # fmt: skip
        model = pit.compile(H.make_model(graph, opset_imports=[H.make_opsetid("", 17)], ir_version=8).SerializeToString())
        with pytest.raises(pit.InputError):
            model(x=[1.0], i=[99])
        np.testing.assert_array_equal(model(x=[1.0], i=[99], outputs=["y"])["y"], [1])

    def test_mistakes(self, model):
        x, good = np.ones((2, 7), np.float32), np.zeros((2, 5), np.float32)
        read_only = good.copy()
        read_only.flags.writeable = False
        overlapping = np.zeros(20, np.float32)
        for out in ({"y": good.astype(np.float64)}, {"y": good[:1]}, {"y": good.T}, {"nothing": good}, {"y": read_only}, {"y": [[0.0] * 5] * 2}, {3: good}, {"y": None}, [good],
                    {"y": good, "z": good}, {"y": overlapping[:10].reshape(2, 5), "z": overlapping[5:15].reshape(2, 5)}, {"same": x}, {"y": np.broadcast_to(np.zeros(5, np.float32), (2, 5))}):  # fmt: skip
            with pytest.raises(pit.InputError):
                model(x=x, out=out)
        for outputs in (["nothing"], [3], 3, [], [("y",)]):
            with pytest.raises(pit.InputError):
                model(x=x, outputs=outputs)
        with pytest.raises(pit.InputError):
            model(x=x, outputs=["z"], out={"y": good})
        np.testing.assert_array_equal(model(x=x, out={"y": good})["y"], model(x=x)["y"])


COMPILE = """
    import logging, sys, numpy as np, pit
    logging.basicConfig(format="%(levelname)s %(message)s", level="INFO", stream=sys.stdout)
    model = pit.compile(open(sys.argv[1], "rb").read(), cache_dir=sys.argv[2], threads=1)
    x = np.random.default_rng(0).standard_normal((5, 64), np.float32)
    print("sum", repr(float(model(x0=x)["x2"].sum())))
    print("cached" if "from the cache" in model.explain() else "generated")
"""


class TestCacheFolder:
    @pytest.fixture
    def model(self, tmp_path):
        (tmp_path / "m.onnx").write_bytes(chain(2))
        return str(tmp_path / "m.onnx")

    @pytest.fixture
    def want(self, model):
        return run_python(COMPILE, model, "none").stdout.split("sum ")[1].split()[0]

    def right(self, done, want):
        assert done.returncode == 0, done.stderr
        assert f"sum {want}" in done.stdout, done.stdout
        return done.stdout

    def test_read_only_from_an_image(self, model, want, tmp_path):
        cache = tmp_path / "cache"
        self.right(run_python(COMPILE, model, str(cache)), want)
        for entry in cache.iterdir():
            entry.chmod(0o644)
        cache.chmod(0o555)
        before = sorted(p.name for p in cache.iterdir())
        try:
            for folder in (tmp_path, *(p for p in tmp_path.parents if "pytest-" in str(p))):
                folder.chmod(0o755)
            nobody = {"user": 65534, "group": 65534} if os.geteuid() == 0 else {}
            done = subprocess.run([sys.executable, "-c", textwrap.dedent(COMPILE), model, str(cache)], capture_output=True, text=True, timeout=120, **nobody)
            out = self.right(done, want)
            assert "WARNING" not in out and "cached" in out, out
            # Another model: nothing can be stored, and that is no reason to complain.
            (tmp_path / "n.onnx").write_bytes(chain(2, kind="Exp"))
            done = subprocess.run([sys.executable, "-c", textwrap.dedent(COMPILE), str(tmp_path / "n.onnx"), str(cache)], capture_output=True, text=True, timeout=120, **nobody)
            assert done.returncode == 0 and "WARNING" not in done.stdout, done.stdout + done.stderr
        finally:
            cache.chmod(0o700)
        if os.geteuid() == 0:
            assert sorted(p.name for p in cache.iterdir()) == before

    def test_full(self, model, want, tmp_path):
        limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n" + textwrap.dedent(COMPILE)
        out = self.right(run_python(limited, model, str(tmp_path / "cache")), want)
        assert "WARNING cannot store generated code" in out and "generated" in out
        assert list((tmp_path / "cache").iterdir()) == []

    def test_shared_by_ten_processes(self, model, want, tmp_path):
        arguments = [sys.executable, "-c", textwrap.dedent(COMPILE), model, str(tmp_path / "cache")]
        processes = [subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(10)]
        for process in processes:
            out, err = process.communicate(timeout=300)
            assert process.returncode == 0 and f"sum {want}" in out and "WARNING" not in out, out + err
        assert "cached" in self.right(run_python(COMPILE, model, str(tmp_path / "cache")), want)
        assert not list((tmp_path / "cache").glob("*.tmp"))

    def test_size_limit_and_what_was_left_behind(self, model, want, tmp_path, monkeypatch):
        cache = tmp_path / "cache"
        cache.mkdir(mode=0o700)
        for name, age in (("old.1.0.tmp", 7200), ("young.2.0.tmp", 60)):
            (cache / name).write_text("x")
            os.utime(cache / name, (time.time() - age,) * 2)
        self.right(run_python(COMPILE, model, str(cache)), want)
        assert not (cache / "old.1.0.tmp").exists() and (cache / "young.2.0.tmp").exists()
        assert len(list(cache.glob("kernels-*"))) > 1
        monkeypatch.setenv("PIT_CACHE_MB", "0")
        (tmp_path / "n.onnx").write_bytes(chain(2, kind="Exp"))
        assert run_python(COMPILE, str(tmp_path / "n.onnx"), str(cache)).returncode == 0
        assert len(list(cache.glob("kernels-*"))) == 1
        monkeypatch.setenv("PIT_CACHE_MB", "lots")
        out = self.right(run_python(COMPILE, model, str(cache)), want)
        assert "WARNING PIT_CACHE_MB" in out

    def test_of_another_cpu(self, model, tmp_path, caplog):
        """Code is found by what it was generated for, and an entry knows what it is."""
        cache, x = tmp_path / "cache", np.random.default_rng(0).standard_normal((5, 64), np.float32)
        want = pit.compile(model, cache_dir=cache, threads=1, cpu="x86-64-v3")(x0=x)["x2"]
        of_one = set(cache.glob("kernels-*"))
        other = pit.compile(model, cache_dir=cache, threads=1, cpu="haswell")
        of_other = set(cache.glob("kernels-*")) - of_one
        assert len(of_one) == len(of_other) and "from the cache" not in other.explain()
        for a in of_one:
            for b in of_other:
                b.write_bytes(a.read_bytes())
        with caplog.at_level("WARNING", "pit"):
            again = pit.compile(model, cache_dir=cache, threads=1, cpu="haswell")
        assert caplog.records and "from the cache" not in again.explain()
        np.testing.assert_allclose(again(x0=x)["x2"], want, rtol=1e-5)

    def test_missing_while_in_use(self, model, want, tmp_path):
        import shutil

        cache = tmp_path / "cache"
        compiled = pit.compile(model, cache_dir=cache, threads=1)
        shutil.rmtree(cache)
        compiled(x0=np.ones((3, 64), np.float32))
        assert "generated" in self.right(run_python(COMPILE, model, str(cache)), want)


class TestManyThings:
    GROWTH = """
        import sys, numpy as np, pit
        def held(): return int(next(l for l in open("/proc/self/status") if l.startswith("VmRSS")).split()[1]) / 1024
        data = open(sys.argv[1], "rb").read()
        {work}
    """

    def test_memory_over_shapes_does_not_grow(self, tmp_path):
        (tmp_path / "m.onnx").write_bytes(chain(3))
        done = run_python(self.GROWTH.format(work="""
        model, sizes = pit.compile(data, threads=2), np.random.default_rng(0).permutation(2000) + 1
        model(x0=np.ones((2000, 64), np.float32))
        for n in sizes[:300]: model(x0=np.ones((n, 64), np.float32))
        before = held()
        for n in sizes[300:]: model(x0=np.ones((n, 64), np.float32))
        print(held() - before)
        """), str(tmp_path / "m.onnx"))  # fmt: skip
        # The C library keeps some blocks of the largest results (0.5 MB each); 5 KB a shape would be 8.5 MB.
        assert float(done.stdout) < 8, done.stdout + done.stderr

    def test_memory_over_compilations_does_not_grow(self, tmp_path):
        (tmp_path / "m.onnx").write_bytes(chain(2))
        done = run_python(self.GROWTH.format(work="""
        def once(n, **options):
            for _ in range(n): pit.compile(data, threads=2, **options)(x0=np.ones((3, 64), np.float32))
        once(20); once(4, cache_dir="none")
        before = held()
        once(100); once(12, cache_dir="none")
        print(held() - before)
        """), str(tmp_path / "m.onnx"))  # fmt: skip
        assert float(done.stdout) < 6, done.stdout + done.stderr

    def test_many_models_of_different_thread_counts_share_their_threads(self, tmp_path):
        (tmp_path / "m.onnx").write_bytes(chain(2))
        done = run_python(self.GROWTH.format(work="""
        import os, threading
        x = np.random.default_rng(0).standard_normal((300, 64), np.float32)
        models = [pit.compile(data, threads=1 + i % 4) for i in range(40)]
        want, wrong = models[0](x0=x)["x2"], []
        def work(start):
            for i in range(40):
                if not np.array_equal(models[(start + 7 * i) % 40](x0=x)["x2"], want): wrong.append(i)
        threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
        for t in threads: t.start()
        for t in threads: t.join()
        assert not wrong
        import time; time.sleep(0.1)
        ours = [t for t in os.listdir("/proc/self/task")]
        print(len(ours))
        """), str(tmp_path / "m.onnx"))  # fmt: skip
        assert int(done.stdout) <= 1 + 3 + 2 * (os.cpu_count() or 1), done.stdout + done.stderr  # NumPy has some, too
