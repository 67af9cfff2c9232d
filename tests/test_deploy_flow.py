"""docs/deploy-flow.md lists every rule of the create-VM flow: its places in the code and its tests exist, and no rule
of admission is missing from it.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "deploy-flow.md"
REFERENCE = re.compile(r"`([\w./-]+\.(?:py|toml)):(\w+)`")
"""As in `planners/fitting.py:why_not`."""


def rows() -> list[str]:
    """The lines of its tables that tell of a rule."""
    lines = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
    return [line for line in lines if not line.startswith(("| rule |", "| --- |"))]


@cache
def names_in(path: str) -> frozenset[str]:
    """What a module defines at its top or in its classes: functions, classes and constants."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return frozenset(found)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.split("|")[1].strip()[:60])
def test_a_rule_names_its_place_and_its_test_and_both_exist(row: str) -> None:
    references = REFERENCE.findall(row)
    for path, name in references:
        assert (ROOT / path).is_file(), f"{path} is not there"
        assert name in names_in(path), f"{path} has no {name}"
    assert any(not path.startswith("tests/") for path, _ in references), f"no place in the code: {row}"
    assert any(path.startswith("tests/") and name.startswith("test_") for path, name in references), f"no test: {row}"


def refusing(path: Path) -> list[str]:
    """The functions of a module that refuse: those with a `raise` of their own."""
    found = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and any(isinstance(inner, ast.Raise) for inner in ast.walk(node)):
            found.append(node.name)
    return found


@pytest.mark.parametrize(
    "path", sorted((ROOT / "engine/core/admission").glob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_every_rule_of_admission_is_in_the_list(path: Path) -> None:
    listed = {name for where, name in REFERENCE.findall(DOCUMENT.read_text()) if where == str(path.relative_to(ROOT))}
    assert set(refusing(path)) <= listed
