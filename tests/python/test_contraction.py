"""pit.matmul, pit.einsum, pit.Contraction, pit.LiveSet and pit.detect against NumPy. A failing case is named by its seed."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import pit

INF = np.float32(np.inf)
ALGEBRAS = {
    "sum": ("C[m,n] += A[m,k] * B[k,n]", 0.0),
    "max-plus": ("C[m,n] max= A[m,k] + B[k,n]", -INF),
    "min-plus": ("C[m,n] min= A[m,k] + B[k,n]", INF),
    "logsumexp": ("C[m,n] logsumexp= A[m,k] + B[k,n]", -INF),
}


TYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def floats(random, *shape, dtype=np.float32):
    return random.standard_normal(shape, dtype=dtype)


def strided(random, x):
    """The same values in another memory: transposed, with gaps, backwards."""
    order = random.permutation(x.ndim)
    y = np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))
    if random.integers(2) and x.ndim:
        wide = np.full((*x.shape[:-1], 2 * x.shape[-1] + 3), np.nan, x.dtype)
        wide[..., 1 : 1 + 2 * x.shape[-1] : 2] = x
        y = wide[..., 1 : 1 + 2 * x.shape[-1] : 2]
    if random.integers(2) and x.ndim:
        y = np.ascontiguousarray(y[::-1])[::-1]
    return y


def sparse(random, x, granularity, density):
    g_rows, g_columns = granularity
    rows, columns = x.shape[-2:]
    live = random.random((*x.shape[:-2], -(-rows // g_rows), -(-columns // g_columns))) < density
    return live, live.repeat(g_rows, -2)[..., :rows, :].repeat(g_columns, -1)[..., :columns]


def reference(name, a, b):
    terms = a.astype(np.float64)[..., :, :, None]
    with np.errstate(all="ignore"):
        terms = terms * b[..., None, :, :] if name == "sum" else terms + b[..., None, :, :]
        if name == "sum":
            return terms.sum(-2)
        if name == "min-plus":
            return terms.min(-2, initial=np.inf)
        top = terms.max(-2, initial=-np.inf)
        if name == "max-plus":
            return top
        shift = np.where(np.isfinite(top), top, 0)
        return shift + np.log(np.exp(terms - shift[..., None, :]).sum(-2))


def assert_near(got, want):
    tolerance = 1e-12 if np.asarray(got).dtype == np.float64 else 2e-5
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


class TestMatmul:
    @TYPES
    @pytest.mark.parametrize("seed", range(40))
    def test_random(self, seed, dtype):
        random = np.random.default_rng(seed)
        m, n, k = (int(random.choice([0, 1, 2, 7, 16, 33, 64, 100])) for _ in range(3))
        lead = [(), (), (2,), (3, 2)][random.integers(4)]
        lead_b = lead if random.integers(2) else ()
        a, b = floats(random, *lead, m, k, dtype=dtype), floats(random, *lead_b, k, n, dtype=dtype)
        granularity = tuple(int(x) for x in random.choice([1, 2, 8, 32], 2))
        live, elements = sparse(random, a, granularity, random.choice([0, 0.1, 0.5, 1]))
        a = a * elements
        want = np.matmul(a.astype(np.float64), b)
        a, b = strided(random, a), strided(random, b)
        dense = pit.matmul(a, b)
        assert dense.shape == want.shape and dense.dtype == dtype
        assert_near(dense, want)
        for keywords in ({"zeros": "detect", "granularity": granularity}, {"zeros": "detect", "granularity": granularity, "b_zeros": "detect"},
                         {"zeros": "detect", "threads": 2}, {"threads": 1}):  # fmt: skip
            np.testing.assert_array_equal(pit.matmul(a, b, **keywords), dense)

    def test_shapes_as_numpy(self):
        random = np.random.default_rng(1)
        for left, right in (((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((5, 2, 3), (3,)), ((5, 2, 3), (5, 3, 4)), ((1, 2, 3), (5, 3, 4)),
                            ((5, 1, 2, 3), (6, 3, 4)), ((2, 3), (5, 3, 4)), ((5, 2, 3), (1, 3, 4)), ((3,), (5, 3, 4))):  # fmt: skip
            a, b = floats(random, *left), floats(random, *right)
            got = pit.matmul(a, b)
            want = np.matmul(a, b)
            assert np.shape(got) == np.shape(want), (left, right)
            assert_near(got, want)

    def test_out_and_report(self):
        random = np.random.default_rng(2)
        a, b, out = floats(random, 64, 32), floats(random, 32, 48), np.full((64, 100), np.nan, np.float32)
        got, report = pit.matmul(a, b, out=out[:, 10:58], report=True)
        assert np.shares_memory(got, out)
        assert_near(out[:, 10:58], a @ b)
        assert np.isnan(out[:, :10]).all() and np.isnan(out[:, 58:]).all()
        assert report["live_fraction"] == 1 and report["rule"] == report["candidates"][0][0]
        assert 0 < report["compute_seconds"] <= report["total_seconds"]

    def test_without_learning_the_choice_stays(self):
        random = np.random.default_rng(5)
        a, b = floats(random, 128, 256), floats(random, 256, 96)
        _, elements = sparse(random, a, (32, 1), 0.1)
        a *= elements
        for learn in (False, True):
            product = pit.Contraction("mk,kn->mn", threads=1, learn=learn)
            calls = [product(a, b, zeros="detect", granularity=(32, 1), report=True) for _ in range(12)]
            for got, report in calls:
                np.testing.assert_array_equal(got, calls[0][0])
                assert learn or report["candidates"] == calls[0][1]["candidates"] and report["rule"] == calls[0][1]["rule"]

    def test_dlpack(self):
        class Foreign:
            def __init__(self, array):
                self.array = array

            def __dlpack__(self, **keywords):
                return self.array.__dlpack__(**keywords)

            def __dlpack_device__(self):
                return self.array.__dlpack_device__()

        random = np.random.default_rng(3)
        a, b = floats(random, 5, 6), floats(random, 6, 7)
        np.testing.assert_array_equal(pit.matmul(Foreign(a), Foreign(b)), pit.matmul(a, b))
        np.testing.assert_array_equal(pit.einsum("mk,kn->mn", Foreign(a), Foreign(b)), pit.matmul(a, b))

    @TYPES
    def test_every_rule_gives_the_same_bits(self, dtype):
        random = np.random.default_rng(4)
        a, b = floats(random, 96, 80, dtype=dtype), floats(random, 80, 72, dtype=dtype)
        _, elements = sparse(random, a, (1, 1), 0.2)
        a *= elements
        dense = pit.matmul(a, b)
        live, wanted = sparse(random, dense, (8, 24), 0.5)
        keywords = {"zeros": "detect", "b_zeros": "detect", "c_live": pit.LiveSet.from_mask(live, (8, 24))}
        _, report = pit.matmul(a, b, report=True, **keywords)
        rules = [rule for rule, _ in report["candidates"]]
        assert len(rules) >= 4
        for rule in rules:
            got, found = pit.matmul(a, b, rule=rule, report=True, **keywords)
            assert found["rule"] == rule
            np.testing.assert_array_equal(got, np.where(wanted, dense, 0), err_msg=rule)

    def test_nan_and_infinity_among_live_elements(self):
        a = np.array([[1, 0, np.nan], [0, 0, np.inf]], np.float32)
        b = np.array([[1, 2], [np.nan, np.inf], [1, -1]], np.float32)
        got = pit.matmul(a, b, zeros="detect", rule="k")
        assert np.isnan(got[0]).all() and got[1, 0] == np.inf and got[1, 1] == -np.inf

    def test_many_threads_at_once(self):
        random = np.random.default_rng(5)
        a, b = floats(random, 128, 64), floats(random, 64, 96)
        want, wrong = pit.matmul(a, b), []

        def work():
            for _ in range(20):
                if not np.array_equal(pit.matmul(a, b, zeros="detect", threads=2), want):
                    wrong.append(1)

        workers = [threading.Thread(target=work) for _ in range(4)]
        for w in workers:
            w.start()
        for w in workers:
            w.join()
        assert not wrong


class TestContraction:
    @TYPES
    @pytest.mark.parametrize("name", ALGEBRAS)
    def test_algebras(self, name, dtype):
        expression, absent = ALGEBRAS[name]
        contraction = pit.Contraction(expression, threads=2)
        for seed in range(8):
            random = np.random.default_rng(seed)
            m, n, k = (int(random.choice([0, 1, 5, 32, 70])) for _ in range(3))
            a, b = floats(random, m, k, dtype=dtype), floats(random, k, n, dtype=dtype)
            granularity = tuple(int(x) for x in random.choice([1, 4, 32], 2))
            _, elements = sparse(random, a, granularity, random.choice([0, 0.2, 1]))
            a[~elements] = absent
            got = contraction(a, b, zeros="detect", granularity=granularity)
            assert_near(got, reference(name, a, b))
            weights = contraction.prepare(b, zeros="detect")
            assert weights.shape == (k, n) and weights.bytes >= 0 and weights.live_fraction == 1
            assert_near(contraction(a, weights, zeros="detect"), got)

    def test_or_and(self):
        random = np.random.default_rng(0)
        a, b = random.random((3, 40, 50)) < 0.05, random.random((3, 50, 20)) < 0.1
        contraction = pit.Contraction("C[b,m,n] or= A[b,m,k] && B[b,k,n]")
        got = contraction(a, b, zeros="detect")
        assert got.dtype == bool
        np.testing.assert_array_equal(got, (a[..., None] & b[:, None]).any(2))

    @pytest.mark.parametrize("expression", ["bmk,bkn->bmn", "bmk,bkn->mbn", "kbm,nbk->bnm", "mk,bkn->bmn", "bmk,kn->bmn", "bmk,bkn->mnb", "ab,bc->ca",
                                            "abij,abjk->abik", "ijk,jkl->il", "i,j->ij", "ij,ij->", "ij,j->i"])  # fmt: skip
    def test_einsum(self, expression):
        random = np.random.default_rng(len(expression))
        left, right = expression.split("->")[0].split(",")
        extent = {letter: int(random.integers(1, 9)) for letter in sorted(set(left + right))}
        a, b = floats(random, *(extent[c] for c in left)), floats(random, *(extent[c] for c in right))
        assert_near(pit.einsum(expression, a, b), np.einsum(expression, a, b))
        assert_near(pit.einsum(expression, strided(random, a), strided(random, b)), np.einsum(expression, a, b))

    @TYPES
    def test_weights(self, dtype):
        random = np.random.default_rng(1)
        w = floats(random, 64, 48, dtype=dtype)
        _, elements = sparse(random, w, (1, 16), 0.25)
        w *= elements
        for expression in ("mk,kn->mn", "mk,kn->nm"):
            contraction = pit.Contraction(expression)
            prepared = contraction.prepare(w, zeros="detect", granularity=(1, 16))
            assert 0.1 < prepared.live_fraction < 0.5 and "64x48" in repr(prepared)
            a = floats(random, 20, 64, dtype=dtype)
            np.testing.assert_array_equal(contraction(a, prepared), contraction(a, w))
            with pytest.raises(pit.InputError, match="'b' is"):
                contraction(a.astype(np.float32 if dtype == np.float64 else np.float64), prepared)

    def test_expression_and_explain(self):
        contraction = pit.Contraction("mk,kn->mn")
        assert contraction.expression == "C[m,n] += A[m,k] * B[k,n]" and contraction.expression in repr(contraction)
        assert "permutable" in contraction.explain()
        found = contraction.explain(json=True)
        assert [a["part"] for a in found["axes"]] == ["m", "n", "k"]
        assert {"matrix": "A", "axis": "k"}.items() <= next(r for r in found["rules"] if r["admitted"] and r["matrix"] == "A" and r["axis"] == "k").items()

    @TYPES
    def test_cpu_and_poison(self, dtype):
        random = np.random.default_rng(2)
        a, b = floats(random, 37, 50, dtype=dtype), floats(random, 50, 29, dtype=dtype)
        want = pit.Contraction("mk,kn->mn")(a, b)
        for options in ({"cpu": "haswell"}, {"poison": True}, {"cache_dir": "none", "threads": 1}):
            np.testing.assert_array_equal(pit.Contraction("mk,kn->mn", **options)(a, b, zeros="detect"), want)

    def test_environment(self):
        code = ("import numpy as np, pit\na = np.arange(1200, dtype=np.float32).reshape(30, 40) % 7\n"
                "print(pit.matmul(a, a.T, zeros='detect', threads=2).sum())")  # fmt: skip
        answers = set()
        for extra in ({}, {"PIT_POISON": "1"}, {"PIT_CPU": "haswell"}):
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | extra, timeout=120)
            assert done.returncode == 0, done.stderr
            answers.add(done.stdout)
        assert len(answers) == 1


class TestLiveSets:
    @TYPES
    def test_detect(self, dtype):
        random = np.random.default_rng(0)
        for granularity in ((1, 1), (32, 1), (1, 64), (3, 5)):
            x = floats(random, 2, 70, 130, dtype=dtype)
            live, elements = sparse(random, x, granularity, 0.3)
            found = pit.detect(strided(random, x * elements), granularity, threads=2)
            np.testing.assert_array_equal(found.mask(), live)
            assert (found.count, found.total, found.shape, found.granularity) == (live.sum(), live.size, (2, 70, 130), granularity)
            assert found.fraction == pytest.approx(live.mean())
            offsets, indices = found.index()
            flat = live.reshape(-1, live.shape[-1])
            for row in range(len(flat)):
                np.testing.assert_array_equal(indices[offsets[row] : offsets[row + 1]], np.flatnonzero(flat[row]))

    def test_known(self):
        random = np.random.default_rng(1)
        x, w = floats(random, 3, 8, 20), floats(random, 20, 12)
        lengths = [5, 0, 8]
        real = np.arange(8) < np.array(lengths)[:, None]
        x[~real] = np.nan  # padding may hold anything: it is not read
        got = pit.matmul(x, w, zeros=pit.LiveSet.from_lengths(lengths, 8, 20))
        assert_near(got, np.where(real[..., None], np.nan_to_num(x) @ w, 0))
        rows = pit.LiveSet.from_rows([3, 1], 8, 20)
        assert rows.mask()[0, :, 0].tolist() == [False, True, False, True] + [False] * 4
        got = pit.matmul(np.nan_to_num(x[2]), w, zeros=rows)
        assert_near(got, np.nan_to_num(x[2]) @ w * rows.mask()[0])

    def test_experts(self):
        random = np.random.default_rng(2)
        tokens, experts = floats(random, 30, 16), random.integers(-1, 4, (30, 2))
        weights = floats(random, 4, 16, 24)
        routed = pit.LiveSet.from_experts(experts, 4, 24)
        got = pit.matmul(tokens, weights, c_live=routed)
        chosen = (experts[None] == np.arange(4)[:, None, None]).any(-1)
        assert_near(got, np.where(chosen[..., None], np.matmul(tokens, weights), 0))

    def test_refused(self):
        good = pit.LiveSet.from_rows([0], 4, 4)
        a = np.zeros((4, 5), np.float32)
        for arguments, tensor in (((lambda: pit.detect(np.zeros(4, np.float32))), "values"), ((lambda: pit.detect(np.zeros((4, 4), np.int64))), "values"),
                                  ((lambda: pit.LiveSet.from_rows([4], 4, 4)), "indices"), ((lambda: pit.LiveSet.from_lengths([5], 4, 4)), "lengths"),
                                  ((lambda: pit.LiveSet.from_experts([7], 4, 4)), "experts"),
                                  ((lambda: pit.LiveSet.from_mask(np.ones((2, 2), bool), rows=5, columns=2)), "mask"),
                                  ((lambda: pit.matmul(a, a.T, zeros=good)), "a"), ((lambda: pit.matmul(a, a.T, zeros="maybe")), "a"),
                                  ((lambda: pit.matmul(a, a.T, c_live="detect")), "c"), ((lambda: pit.matmul(a, a)), "b"),
                                  ((lambda: pit.matmul(a.astype(np.float64), a.T)), "b"), ((lambda: pit.matmul(a.astype(np.int64), a.T)), "a"), ((lambda: pit.matmul([[1.0]], a)), "a"),
                                  ((lambda: pit.matmul(a, a.T, out=np.zeros((4, 5), np.float32))), "c"),
                                  ((lambda: pit.matmul(a, a.T, out=np.zeros((4, 4)))), "c")):  # fmt: skip
            with pytest.raises(pit.InputError) as caught:
                arguments()
            assert caught.value.tensor == tensor, caught.value
        for wrong in (lambda: pit.matmul(a, a.T, zeros="detect", granularity=(0, 1)), lambda: pit.matmul(a, a.T, zeros="detect", granularity=3),
                      lambda: pit.matmul(a, a.T, rule="quick"), lambda: pit.Contraction("mk,kn->mx"), lambda: pit.Contraction("mk,kn->mn", threads=-1),
                      lambda: pit.LiveSet(3)):  # fmt: skip
            with pytest.raises(pit.InputError):
                wrong()
        with pytest.raises(pit.UnsupportedError):
            pit.Contraction("C[m,n] *= A[m,k] + B[k,n]")
        read_only = np.zeros((4, 4), np.float32)
        read_only.flags.writeable = False
        with pytest.raises(pit.InputError) as caught:
            pit.matmul(a, a.T, out=read_only)
        assert caught.value.tensor == "out"


def test_limits():
    limits = pit.measure_limits()
    assert limits.threads == 1 and limits.fma_gflops > 1 and limits.read_gbytes > 0.5 and limits.copy_gbytes > 0.5
