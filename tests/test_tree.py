"""The shape of the tree: public names, sizes, errors, what the wheel holds."""

import ast
import re
from pathlib import Path

import pytest

import indexer
from indexer import errors

ROOT = Path(__file__).parents[1]
PACKAGES = ("indexer", "api", "onchain")
SOURCES = [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py")) if "migrations" not in path.parts]


def test_public_names_are_sorted_and_there():
    assert indexer.__all__ == sorted(indexer.__all__)
    assert all(hasattr(indexer, name) for name in indexer.__all__)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_one_idea_of_at_most_500_lines_with_a_docstring(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 500
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), "a module says what it is for"


def test_every_error_of_ours_has_a_code_of_its_own_and_stands_in_the_drawn_tree():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.DeaiError)]
    codes = [kind.code for kind in kinds]
    assert len(set(codes)) == len(codes)
    for kind in kinds:
        assert kind.__name__ in errors.__doc__


def test_only_the_clock_reads_time():
    readers = re.compile(r"datetime\.(now|utcnow|today)\(|time\.time\(|date\.today\(")
    found = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.parts[len(ROOT.parts)] == "indexer" and readers.search(path.read_text(encoding="utf-8"))
    ]
    assert found == ["indexer/times.py"]


def test_nothing_of_this_machine_or_of_package_registries_is_in_the_tree():
    words = re.compile(rf"--index\-url|extra-index|registry=http|{re.escape(str(ROOT))}|{re.escape(str(Path.home()))}/")
    names = [*ROOT.glob("*"), *(ROOT / "docs").glob("*"), *(ROOT / ".ci").glob("*"), *SOURCES]
    found = [path.name for path in names if path.is_file() and words.search(path.read_text("utf-8", errors="ignore"))]
    assert found == []
