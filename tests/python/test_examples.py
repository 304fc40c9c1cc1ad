"""The examples: what make_minilm.py writes means what it should, and the demo's parts do what they say. With tiny random weights, so
that neither the real model nor its package is needed."""

import json
import math
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import ROOT, assert_close

import pit

sys.path.insert(0, str(ROOT / "examples"))
import contest  # noqa: E402
import demo  # noqa: E402
import experts  # noqa: E402
import make_minilm  # noqa: E402
import masks  # noqa: E402
import text  # noqa: E402
import values  # noqa: E402

CONFIG = {"hidden_size": 24, "num_attention_heads": 3, "num_hidden_layers": 2, "intermediate_size": 40, "max_position_embeddings": 40,
          "type_vocab_size": 2, "vocab_size": 50, "layer_norm_eps": 1e-12}  # fmt: skip


def random_weights(config=CONFIG, seed=0):
    generator = np.random.default_rng(seed)
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    shapes = {
        "embeddings.word_embeddings": (config["vocab_size"], hidden),
        "embeddings.position_embeddings": (config["max_position_embeddings"], hidden),
        "embeddings.token_type_embeddings": (config["type_vocab_size"], hidden),
    }
    norms = ["embeddings.LayerNorm"]
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        shapes |= {f"{layer}.attention.self.{n}": (hidden, hidden) for n in ("query", "key", "value")}
        shapes |= {f"{layer}.attention.output.dense": (hidden, hidden), f"{layer}.intermediate.dense": (inner, hidden),
                   f"{layer}.output.dense": (hidden, inner)}  # fmt: skip
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    weights = {}
    for name, shape in shapes.items():
        weights[f"{name}.weight"] = generator.normal(0, 0.3, shape).astype(np.float32)
        weights[f"{name}.bias"] = generator.normal(0, 0.1, shape[0]).astype(np.float32)
    for name in norms:
        weights[f"{name}.weight"] = generator.normal(1, 0.1, hidden).astype(np.float32)
        weights[f"{name}.bias"] = generator.normal(0, 0.1, hidden).astype(np.float32)
    return weights


def reference(weights, config, batch):
    """BERT, pooling and normalisation in float64, written from the papers' formulas: (hidden state, sentence embedding)."""
    w = {k: v.astype(np.float64) for k, v in weights.items()}
    mask, heads = batch["attention_mask"].astype(np.float64), config["num_attention_heads"]
    erf = np.vectorize(math.erf)

    def linear(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + config["layer_norm_eps"]) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def embed(kind, ids):
        return w[f"embeddings.{kind}_embeddings.weight"][ids]

    b, s = mask.shape
    x = embed("word", batch["input_ids"]) + embed("token_type", batch["token_type_ids"]) + embed("position", np.arange(s))
    x = norm(x, "embeddings.LayerNorm")
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        q, k, v = (linear(x, f"{layer}.attention.self.{n}").reshape(b, s, heads, -1).swapaxes(1, 2) for n in ("query", "key", "value"))
        scores = np.where(mask[:, None, None, :] > 0, q @ k.swapaxes(2, 3) / math.sqrt(q.shape[-1]), -np.inf)
        p = np.exp(scores - scores.max(-1, keepdims=True))
        context = (p / p.sum(-1, keepdims=True) @ v).swapaxes(1, 2).reshape(b, s, -1)
        x = norm(linear(context, f"{layer}.attention.output.dense") + x, f"{layer}.attention.output.LayerNorm")
        y = linear(x, f"{layer}.intermediate.dense")
        x = norm(linear(y * (1 + erf(y / math.sqrt(2))) / 2, f"{layer}.output.dense") + x, f"{layer}.output.LayerNorm")
    mean = (x * mask[..., None]).sum(1) / mask.sum(1)[:, None]
    return x, mean / np.linalg.norm(mean, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def batch():
    return text.synthetic([17, 9, 1, 17, 4], vocabulary=2000) | {}


@pytest.fixture(scope="module")
def small_batch(batch):
    return batch | {"input_ids": batch["input_ids"] % CONFIG["vocab_size"]}


@pytest.mark.parametrize("pooled", [True, False])
class TestMiniLM:
    def want(self, batch, pooled):
        hidden, embedding = reference(random_weights(), CONFIG, batch)
        return (embedding if pooled else hidden).astype(np.float32)

    def test_is_valid(self, pooled):
        model = make_minilm.build(random_weights(), CONFIG, pooled)
        onnx.checker.check_model(model, full_check=True)
        assert [o.name for o in model.graph.output] == ["sentence_embedding" if pooled else "last_hidden_state"]

    def test_onnx_runtime_agrees_with_the_formulas(self, pooled, small_batch):
        model = make_minilm.build(random_weights(), CONFIG, pooled)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        assert_close(session.run(None, small_batch)[0], self.want(small_batch, pooled), 1e-5)

    @pytest.mark.parametrize("sparsity", ["auto", "off"])
    def test_pit_agrees_with_the_formulas(self, pooled, small_batch, sparsity):
        model = pit.compile(make_minilm.build(random_weights(), CONFIG, pooled), sparsity=sparsity)
        (got,) = model(small_batch).values()
        assert_close(got, self.want(small_batch, pooled), 1e-5)


def test_every_row_of_the_sentence_model_is_real(small_batch):
    model = pit.compile(make_minilm.build(random_weights(), CONFIG, pooled=True))
    found = model.explain(small_batch, json=True)
    mask = small_batch["attention_mask"]
    assert found["weight_flops_live"] == pytest.approx(mask.mean(), rel=1e-6)
    assert found["attention_flops_live"] == pytest.approx((mask.sum(1) ** 2).sum() / (mask.size * mask.shape[1]), rel=1e-6)
    steps = model.profile(small_batch, repeat=1, json=True)["steps"]
    shares = [step["live"] for step in steps if step["kind"] in ("contraction", "attention")]
    assert len(shares) == 7 * CONFIG["num_hidden_layers"], "per layer six products with weights, and attention"
    assert shares == pytest.approx([mask.mean()] * len(shares), rel=1e-6), "no step computes a padded row"


def test_weights_are_written_once(tmp_path):
    models = [make_minilm.build(random_weights(), CONFIG, pooled) for pooled in (True, False)]
    make_minilm.move_weights(models, tmp_path / "weights.data")
    for i, model in enumerate(models):
        (tmp_path / f"{i}.onnx").write_bytes(model.SerializeToString())
        onnx.checker.check_model(str(tmp_path / f"{i}.onnx"))
    large = [w for w in random_weights().values() if w.nbytes >= 1024]
    assert (tmp_path / "weights.data").stat().st_size < sum(w.nbytes + 4096 for w in large)


def test_paragraphs():
    found = text.paragraphs()
    assert len(found) > 500 and all(len(words.split()) >= 20 for _, words in found)
    assert found == text.paragraphs()
    assert any("exception" in words for _, words in found)


class TestContest:
    def test_everybody_meets_every_batch(self, capsys):
        seen = {"a": [], "b": []}
        batches = [{"x": np.full(3, i)} for i in range(5)]
        contestants = {name: (lambda batch, log=log: log.append(int(batch["x"][0])) or batch["x"]) for name, log in seen.items()}
        times, results = contest.contest(contestants, batches)
        for name in seen:
            assert seen[name][-5:] == list(range(5)) and times[name].shape == (1, 5) and (times[name] > 0).all()
            assert [int(r[0]) for r in results[name]] == list(range(5))
        assert capsys.readouterr().err.count("100 %") == 1

    def test_estimates(self):
        times = np.array([[1.0, 2.0], [3.0, 2.0], [2.0, 9.0]])
        assert contest.typical(times) == 4.0
        assert contest.ratio(times * 3, times) == 3.0
        assert contest.largest_difference([np.zeros(2)], [np.array([1.0, -4.0])]) == 4.0


def test_demo_report(monkeypatch, tmp_path, capsys):
    """The whole demo on a tiny model, and a tokenizer that makes ids out of the lengths of words."""
    pytest.importorskip("tokenizers")
    directory = tmp_path / "models"
    directory.mkdir()
    for name, pooled in (("minilm.onnx", True), ("minilm-tokens.onnx", False)):
        config = CONFIG | {"max_position_embeddings": 256}
        model = make_minilm.build(random_weights(config), config, pooled)
        (directory / name).write_bytes(model.SerializeToString())
    (directory / "minilm.onnx.data").touch()

    class Words:
        def encode_batch(self, texts):
            rows = [[len(word) % 50 for word in t.split()][:40] for t in texts]
            longest = max(map(len, rows))

            class Encoding:
                def __init__(self, row):
                    self.ids = row + [0] * (longest - len(row))
                    self.attention_mask = [1] * len(row) + [0] * (longest - len(row))
                    self.type_ids = [0] * longest

            return [Encoding(row) for row in rows]

    everything, ids = text.paragraphs(), text.synthetic
    monkeypatch.setattr(text, "paragraphs", lambda: everything[:70])
    monkeypatch.setattr(text, "synthetic", lambda lengths: ids(lengths) | {"input_ids": ids(lengths)["input_ids"] % 50})
    monkeypatch.setattr(text, "load_tokenizer", lambda path: Words())
    monkeypatch.setattr(make_minilm, "model_directory", lambda: tmp_path)
    monkeypatch.setattr(sys, "argv", ["demo.py", "--seconds", "0", "--directory", str(directory), "--json", str(tmp_path / "report.json")])
    demo.main()
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["passages"] == 70 and report["batches"] == 3 and len(report["answers"]) == 3
    assert max(report["differences"].values()) < 1e-4 and report["tokens"]["difference"] < 1e-3
    assert report["real_tokens"] < report["padded_tokens"] and report["control_seconds_per_batch"] >= 0
    out = capsys.readouterr().out
    assert "as fast as ONNX Runtime" in out and "how do I open a file" in out


@pytest.mark.parametrize("pruned", [0, 0.9])
def test_values(tmp_path, pruned):
    """The block of values.py is what it says, all contestants agree (compare() checks that), and PIT leaves zeros out."""
    model, make = values.block(alive=0.03, pruned=pruned, width=96, inner=768)
    path = tmp_path / "block.onnx"
    path.write_bytes(model)
    x = make(64)
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in onnx.load(path).graph.initializer}
    hidden = x @ constants["w1"] + constants["b1"]
    assert 0.005 < (hidden > 0).mean() < 0.15
    assert ((constants["w2"] == 0).mean() > 0.8) == (pruned > 0)
    ms, rule = values.compare(path, lambda: make(64), threads=1, seconds=0)
    assert all(t > 0 for t in ms.values())
    assert rule.split()[0] in ("k", "element", "stream", "B.k", "Bt.k", "both")


def mixture(layer, x):
    """The layer's formulas in float64."""
    scores = x.astype(np.float64) @ layer.router
    p = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    y = np.zeros(x.shape)
    for t, row in enumerate(p):
        best = np.argsort(-row)[: layer.top]
        for e in best:
            h = layer.up[e] @ x[t].astype(np.float64)
            y[t] += row[e] / row[best].sum() * (layer.down[e] @ (h / (1 + np.exp(-h))))
    return y


@pytest.mark.parametrize("form", experts.FORMS)
def test_forms_of_a_mixture_of_experts(form):
    layer = experts.Layer(5, 2, 12, 20)
    model = layer.model(form)
    compiled, ort = pit.compile(model), demo.onnx_runtime(model, 1)
    for tokens in (1, 4, 33):
        x = np.random.default_rng(tokens).standard_normal((tokens, 12), np.float32)
        want = mixture(layer, x)
        np.testing.assert_allclose(compiled(x=x)["y"], want, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(ort({"x": x}), want, rtol=1e-3, atol=1e-4)


def test_the_table_of_experts(capsys):
    experts.table("tiny", experts.Layer(3, 1, 8, 12), [1, 9], threads=1, seconds=0.01)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 + 2 * len(experts.FORMS) and lines[1].startswith("tiny-like: 3 experts, top 1")


@pytest.mark.parametrize("fill", masks.FILLS)
@pytest.mark.parametrize("form", masks.FORMS)
def test_forms_of_masks(form, fill):
    """The graph's mask is the predicate's, and PIT computes little more than what it leaves."""
    work, tokens = masks.Attention(masks.FORMS[form], 2, 8, fill), 256
    model = work.model()
    compiled, ort = pit.compile(model), demo.onnx_runtime(model, 1)
    x = work.inputs(np.random.default_rng(0), tokens)
    scores = np.where(work.mask(x, np.arange, tokens), x["q"].astype(np.float64) @ x["k"].swapaxes(2, 3) / 8**0.5, -np.inf)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    want = p / p.sum(-1, keepdims=True) @ x["v"]
    np.testing.assert_allclose(compiled(x)["y"], want, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(ort(x), want, rtol=1e-3, atol=1e-4)
    assert work.share(x) < 0.8 and masks.computed(compiled, [x]) < work.share(x) + 0.1


def test_tokens_that_are_dropped():
    work = masks.Pruning(width=16, heads=2, inner=24, layers=4, rounds=3, words=50)
    model = work.model()
    compiled, ort = pit.compile(model), demo.onnx_runtime(model, 1)
    x = work.inputs(np.random.default_rng(0), 256)
    np.testing.assert_allclose(compiled(x)["y"], ort(x), rtol=1e-3, atol=1e-4)
    whole = pit.compile(work.model(masked=False))(x)["y"]
    assert np.abs(compiled(x)["y"] - whole).max() > 0.01, "dropping tokens makes a difference"
    assert masks.computed(compiled, [x]) < work.share(x) + 0.1


def test_the_table_of_masks(capsys):
    masks.heading(threads=1)
    for name, work in masks.works(["window", "pruning"], heads=2, size=8, fill="add").items():
        masks.line(name, work, tokens=128, threads=1, seconds=0.01)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines[2:]] == ["window", "pruning"] and float(lines[2][2]) == pytest.approx(0.75, abs=0.01)
