"""The limits on size that CONTRIBUTING names; migrations, which a tool writes, are left out."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "sublet"
MODULE_LINES, FUNCTION_LINES = 500, 60
FORBIDDEN = {"utils", "util", "common", "helpers", "helper", "manager", "base", "misc"}


def modules() -> list[Path]:
    return [path for path in sorted(SOURCE.rglob("*.py")) if "versions" not in path.parts]


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_has_one_subject_and_its_functions_fit_on_a_screen(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MODULE_LINES
    assert path.stem not in FORBIDDEN
    assert {name: length for name, length in functions(path) if length > FUNCTION_LINES} == {}
