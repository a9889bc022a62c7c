"""Ceilings on files and functions (CONTRIBUTING.md), and what no file may hold."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("crypto", "protocol", "node", "admin_ui")
MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 60
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_module_is_short_and_says_what_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert len(text.splitlines()) <= MAX_FILE_LINES
    assert ast.get_docstring(tree) or not tree.body, "a module that holds something says what"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{node.name} has {length} lines"


def text_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    paths = (ROOT / name for name in listing.stdout.split("\0") if name)
    return [
        path for path in paths if path.is_file() and not path.is_symlink() and b"\0" not in path.read_bytes()[:8192]
    ]


def test_no_file_names_a_folder_of_the_machine_it_was_written_on() -> None:
    """Such a path works on one machine only, and says who sat at it."""
    folder = re.compile(r"(?<![\w.*/-])/(?:home|root|Users|work|opt)/[\w.-]+")
    found = {
        f"{named(path)}: {hit}"
        for path in text_files()
        for hit in folder.findall(path.read_text(encoding="utf-8", errors="replace"))
    }
    assert not found


def test_no_unfinished_marks() -> None:
    """What is not done is an issue, not a comment."""
    mark = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    found = {named(path) for path in MODULES if mark.search(path.read_text(encoding="utf-8"))}
    assert not found


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    """A skipped test is a promise nobody keeps."""
    mark = re.compile(r"pytest\.(?:mark\.)?(?:skip|xfail|importorskip)")
    found = [
        named(p) for p in (ROOT / "tests").rglob("*.py") if p != Path(__file__) and mark.search(p.read_text("utf-8"))
    ]
    assert not found
