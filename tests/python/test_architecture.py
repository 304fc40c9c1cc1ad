"""Links go one way: a folder of src/ includes only itself and what its library links, all of which stands before it in PIT_FOLDERS."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ORDER = re.search(r"set\(PIT_FOLDERS ([^)]*)\)", (ROOT / "CMakeLists.txt").read_text()).group(1).split()


def library(folder):
    return "pit_" + folder.replace("/", "_")


def linked(folder):
    """What the folder's library links, directly."""
    text = (ROOT / "src" / folder / "CMakeLists.txt").read_text()
    calls = re.findall(r"pit_add_library\((\w+)([^)]*)\)", text)
    names = {library(f): f for f in ORDER}
    return {names[w] for name, rest in calls for w in rest.split() if w in names and name == library(folder)}


def reachable(folder):
    found, todo = set(), {folder}
    while todo:
        at = todo.pop()
        found.add(at)
        todo |= linked(at) - found
    return found


def folder_of(path):
    """The folder of src/ that a file (or what an include names) belongs to: the longest that fits."""
    return max((f for f in ORDER if str(path).startswith(f + "/")), key=len, default=None)


def test_every_folder_is_in_the_order():
    found = {str(p.parent.relative_to(ROOT / "src")) for p in (ROOT / "src").glob("*/CMakeLists.txt")}
    found |= {str(p.parent.relative_to(ROOT / "src")) for p in (ROOT / "src/frontend").glob("*/CMakeLists.txt")}
    assert found == set(ORDER)


@pytest.mark.parametrize("folder", ORDER)
def test_links_go_one_way(folder):
    assert linked(folder) <= set(ORDER[: ORDER.index(folder)])


@pytest.mark.parametrize("folder", ORDER)
def test_includes_follow_links(folder):
    allowed, wrong = reachable(folder), []
    for path in sorted((ROOT / "src" / folder).rglob("*")):
        if path.suffix not in (".h", ".cpp") or folder_of(path.relative_to(ROOT / "src")) != folder:
            continue
        for included in re.findall(r'^#include "([^"]+)"', path.read_text(), re.M):
            other = folder_of(included)
            if other is not None and other not in allowed:
                wrong.append(f"{path.relative_to(ROOT)} includes {included}, but {library(folder)} does not link {library(other)}")
    assert not wrong, "\n".join(wrong)


def test_the_picture_shows_the_links():
    """ARCHITECTURE.md has a line per folder with what it links."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for folder in ORDER:
        line = re.search(rf"^    {re.escape(folder)} +<- *(.*)$", text, re.M)
        assert line, f"ARCHITECTURE.md has no line for {folder}"
        assert set(line.group(1).split()) == linked(folder), folder
