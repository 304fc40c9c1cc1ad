"""What the README shows is run: its Python blocks as they stand, its C++ block compared with the example that is compiled."""

import re
import subprocess
import sys

from conftest import ROOT
from test_examples import CONFIG, random_weights

sys.path.insert(0, str(ROOT / "examples"))
import make_minilm  # noqa: E402

README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S)


def test_python_blocks(tmp_path):
    """In order, in one process, in a folder that holds the two models with tiny weights, as the reader's would hold the real ones."""
    config = CONFIG | {"vocab_size": 30522}
    for name, pooled in (("minilm.onnx", True), ("minilm-tokens.onnx", False)):
        model = make_minilm.build(random_weights(config), config, pooled)
        (tmp_path / name).write_bytes(model.SerializeToString())
    code = blocks("python")
    assert code
    done = subprocess.run([sys.executable, "-c", "\n".join(code)], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_cpp_block_is_the_example():
    example = (ROOT / "examples" / "minimal.cpp").read_text()
    (block,) = blocks("cpp")
    assert block in example


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_commands_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"(?<![a-z])make ([a-z][a-z-]*)", README)):
        assert re.search(rf"^{target}:", makefile, re.M), target
