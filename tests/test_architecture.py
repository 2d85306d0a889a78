"""The folder listing is the architecture: each module imports only from lower floors."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import stguard

PACKAGE = Path(stguard.__file__).parent

FLOOR = {
    "errors": 0,
    "files": 0,
    "model": 0,
    "naming": 0,
    "providers": 0,
    "moments": 0,
    "tally": 0,
    "claims": 1,
    "diagnosis": 1,
    "environment": 1,
    "engine": 1,
    "reasons": 1,
    "policyfile": 1,
    "policy": 1,
    "lifetime": 1,
    "analysis": 1,
    "appsource": 1,
    "tokens": 1,
    "keys": 1,
    "store": 2,
    "audit": 2,
    "variables": 2,
    "sources": 2,
    "shared": 2,
    "remote": 2,
    "accounts": 2,
    "edits": 3,
    "testing": 3,
    "policytests": 3,
    "app": 4,
    "cli": 4,
    "dev": 4,
    "demo": 4,
    "__init__": 5,
    "__main__": 5,
}
"""Who may import whom: a module's own floor or a lower one."""

BELOW_THE_ROOF = frozenset(name for name, floor in FLOOR.items() if floor < FLOOR["app"])

SAME_FLOOR = {
    "keys": {"tokens"},
    "engine": {"claims"},
    "reasons": {"engine", "claims"},
    "lifetime": {"engine"},
    "analysis": {"claims", "engine", "policy"},
    "policy": {"claims", "engine", "reasons", "policyfile"},
    "diagnosis": {"claims", "environment", "policy"},
    "cli": {"dev", "demo", "app"},
    "demo": {"dev", "app"},
    "testing": {"policytests"},
    "model": {"errors"},
    "files": {"errors"},
    "providers": {"model"},
    "dev": {"app"},
    "remote": {"shared"},
}
"""Imports within a floor that are meant."""


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "demo" not in path.relative_to(PACKAGE).parts[:-1])


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0].removesuffix(".py")


def imports(path: Path) -> set[tuple[str, bool]]:
    """Return the modules a file imports, and whether only for type checking."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guarded = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {(alias.name, node in guarded) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "stguard":
                found |= {(f"stguard.{alias.name}", node in guarded) for alias in node.names}
            else:
                found.add((node.module, node in guarded))
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_its_own_floor_or_a_lower_one(path: Path) -> None:
    mine = room(path)
    for name, only_types in imports(path):
        if not name.startswith("stguard.") or only_types or mine in {"__init__", "__main__"}:
            continue
        theirs = name.split(".")[1]
        if theirs not in FLOOR or theirs == mine:
            continue
        lower = FLOOR[theirs] < FLOOR[mine]
        assert lower or theirs in SAME_FLOOR.get(mine, set()), f"{mine} (floor {FLOOR[mine]}) imports {theirs}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_streamlit_is_imported_by_the_roof_only(path: Path) -> None:
    if room(path) in BELOW_THE_ROOF:
        assert not {name for name, types in imports(path) if name.split(".")[0] == "streamlit" and not types}


def test_every_room_has_a_floor() -> None:
    rooms = {room(path) for path in modules()}
    assert rooms <= set(FLOOR), f"without a floor: {sorted(rooms - set(FLOOR))}"
