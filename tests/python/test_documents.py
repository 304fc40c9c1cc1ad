"""Documents are true: what they link to is there, and each folder of src/ says what lives in it."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "fixtures"))
import inventory  # noqa: E402

DOCUMENTS = [p for p in sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("[a-z]*/**/*.md")) if not {"build", "node_modules"} & set(p.relative_to(ROOT).parts)]
FOLDERS = sorted({p.parent for p in (ROOT / "src").rglob("CMakeLists.txt")} - {ROOT / "src"})


def anchors(text):
    """What GitHub makes of headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    text = re.sub(r"```.*?```|`[^`]*`", "", path.read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.exists(), f"{path.relative_to(ROOT)} links to {target}"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there.read_text()), f"{path.relative_to(ROOT)} links to {target}, but there is no such heading"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_named_exist(path):
    """Paths from the root in backquotes: `src/...`, `tests/...`."""
    for name in re.findall(r"`((?:src|tests|docs|include|cmake|scripts|examples|bench|cli|python)/[\w./-]+)`", path.read_text()):
        assert list(ROOT.glob(name.rstrip("/") + "*")), f"{path.relative_to(ROOT)} names {name}"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_folder_has_a_readme(folder):
    assert (folder / "README.md").exists()


def test_inventory_of_the_fixtures_is_up_to_date():
    """Mended by tests/fixtures/export_models.py --inventory."""
    files, _ = inventory.texts(inventory.read())
    for name, text in files.items():
        assert (ROOT / "tests" / "fixtures" / name).read_text() == text, name
