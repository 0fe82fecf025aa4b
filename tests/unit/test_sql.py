"""SQL is text in files: each file that code names is there, each file and each statement is used."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import coordinator
from coordinator.storage.queries import load

CODE = Path(coordinator.__file__).parent
SQL = CODE / "storage" / "sql"
#: These are run whole, whatever their statements are called.
WHOLE = {"invariants", "doctor"}


@cache
def trees() -> dict[Path, ast.Module]:
    """All that is written in the coordinator."""
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in CODE.rglob("*.py")}


def nodes() -> Iterator[ast.AST]:
    """Each piece of it."""
    for tree in trees().values():
        yield from ast.walk(tree)


def named(node: ast.AST) -> str | None:
    """The file that a call of `queries.load` names."""
    match node:
        case ast.Call(func=ast.Name(id="load") | ast.Attribute(attr="load"), args=[ast.Constant(value=str(name))]):
            return name
    return None


def test_each_file_of_statements_is_used_and_each_that_is_used_is_there() -> None:
    used = {name for node in nodes() if (name := named(node)) is not None}

    assert used == {path.stem for path in SQL.glob("*.sql")}


def test_each_statement_is_used() -> None:
    written = {node.value for node in nodes() if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    # One of several statements is chosen by the rest of its name: f"story_of_{what}".
    begun = tuple(
        first.value
        for node in nodes()
        if isinstance(node, ast.JoinedStr)
        and isinstance(first := node.values[0], ast.Constant)
        and isinstance(first.value, str)
        and re.fullmatch(r"[a-z]\w*_", first.value)
    )
    unused = {
        f"{path.stem}.{name}"
        for path in SQL.glob("*.sql")
        if path.stem not in WHOLE
        for name in load(path.stem)
        if name not in written and not name.startswith(begun)
    }

    assert unused == set()


def test_each_statement_that_code_names_is_there() -> None:
    missing = []
    for path, tree in trees().items():
        files = {
            target.id: name
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign | ast.AnnAssign) and (name := named(node.value or node)) is not None
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            match node:
                case ast.Subscript(value=ast.Name(id=variable), slice=ast.Constant(value=str(statement))):
                    if variable in files and statement not in load(files[variable]):
                        missing.append(f"{path.name}: {variable}[{statement!r}]")
    assert missing == []
