"""A private name of Streamlit stands in `stguard/app/private/` and nowhere else in the package."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Final

import pytest
import streamlit as st

import stguard

PACKAGE: Final = Path(stguard.__file__).parent
HOME: Final = PACKAGE / "app" / "private"

PUBLIC: Final = {
    "streamlit": "the documented names, each an attribute of it",
    "streamlit.testing.v1": "documented",
    "streamlit.errors": "what `st.` functions raise; the documentation names it",
    "streamlit.delta_generator": "the type of a container, for annotations",
}
"""Modules of Streamlit that may be imported anywhere, with the reason."""

DOCUMENTED: Final = {"column_config", "components", "connections"}
"""Modules that are used as attributes, as `st.column_config`."""

ELSEWHERE: Final = {
    ("app/gateway/stream.py", "streamlit.proto.AuthRedirect_pb2"): "the messages on the wire are a format, not code",
    ("app/gateway/stream.py", "streamlit.proto.BackMsg_pb2"): "the same",
    ("app/gateway/stream.py", "streamlit.proto.ForwardMsg_pb2"): "the same",
    ("testing.py", "_run"): "before 1.67 an AppTest has no `user`; for tests of apps, it guards nothing",
    ("testing.py", "_user_info"): "the same",
}
"""What stands outside after all: file and name, with the reason."""

MODULE: Final = re.compile(r"streamlit(\.[a-z_0-9]+)+")
NAMED_TUPLE: Final = {"_replace", "_asdict", "_fields", "_make"}
"""What the standard library documents in spite of the underscore."""

BY_NAME: Final = {"getattr", "setattr", "hasattr", "delattr"}


def private_names(source: str) -> set[str]:
    """Return what a module uses of other packages that is not public: modules by path, attributes by name."""
    tree = ast.parse(source)
    own = _defined(tree)
    streamlits = {"streamlit"} | {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "streamlit"
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                found |= {alias.name for alias in node.names if not _is_public(alias.name)}
            case ast.ImportFrom(module=str(module), names=names, level=0):
                found |= {module} if not _is_public(module) else set()
                found |= {f"{module}.{alias.name}" for alias in names if _is_hidden(module, alias.name)}
            case ast.Attribute(value=ast.Name(id=root), attr=name) if root in streamlits:
                found |= {f"streamlit.{name}"} if _is_hidden("streamlit", name) else set()
            case ast.Attribute(attr=name) if _underscored(name) and name not in own:
                found.add(name)
            case ast.Call(func=ast.Name(id=called), args=[_, ast.Constant(value=str(name)), *_]) if called in BY_NAME:
                found |= {name} if _underscored(name) and name not in own else set()
            case ast.Constant(value=str(text)) if MODULE.fullmatch(text) and _is_inner(text):
                found.add(text)  # for importlib, sys.modules, or a logger of theirs
            case _:
                pass
    return found


def _underscored(name: str) -> bool:
    return name.startswith("_") and not name.startswith(("__", "_stguard")) and name not in NAMED_TUPLE


def _is_public(module: str) -> bool:
    parts = module.split(".")
    if parts[0] == "streamlit":
        return module in PUBLIC
    return parts[0] == "stguard" or not any(_underscored(part) for part in parts)


def _is_hidden(module: str, name: str) -> bool:
    """Tell whether a name of a public module is none of its public names."""
    if module.partition(".")[0] != "streamlit":
        return _underscored(name) and module.partition(".")[0] != "stguard"
    if _underscored(name):
        return True
    return module == "streamlit" and _is_inner(f"streamlit.{name}")


def _is_inner(path: str) -> bool:
    """Tell whether a dotted path leads into a module of Streamlit's that isn't documented, such as `st.runtime`."""
    name = path.split(".")[1]
    return path not in PUBLIC and name not in DOCUMENTED and inspect.ismodule(getattr(st, name, None))


def _defined(tree: ast.Module) -> set[str]:
    """Return the names that a module gives to attributes of its own classes."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(body=body):
                for part in body:
                    match part:
                        case (
                            ast.FunctionDef(name=name)
                            | ast.AsyncFunctionDef(name=name)
                            | ast.AnnAssign(target=ast.Name(id=name))
                        ):
                            names.add(name)
                        case ast.Assign(targets=[ast.Name(id=name)]):
                            names.add(name)
                        case _:
                            pass
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                names.add(name)
            case _:
                pass
    return names


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if HOME not in path.parents)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_private_name_is_used_outside_the_folder_for_them(path: Path) -> None:
    file = path.relative_to(PACKAGE).as_posix()
    used = {name for name in private_names(path.read_text(encoding="utf-8")) if (file, name) not in ELSEWHERE}
    assert not used, f"{file} uses {sorted(used)}; give it a function in app/private/, or a reason in the table above"


def test_each_exception_is_still_needed() -> None:
    for file, name in ELSEWHERE:
        assert name in private_names((PACKAGE / file).read_text(encoding="utf-8")), f"{file} no longer uses {name}"


@pytest.mark.parametrize(
    ("source", "used"),
    [
        ("import streamlit.runtime", "streamlit.runtime"),
        ("import streamlit.web.server as s", "streamlit.web.server"),
        ("from streamlit import runtime", "streamlit.runtime"),
        ("from streamlit import _main", "streamlit._main"),
        ("from streamlit.runtime.state import SessionState", "streamlit.runtime.state"),
        ("def f():\n    from streamlit.proto.BackMsg_pb2 import BackMsg", "streamlit.proto.BackMsg_pb2"),
        ("from starlette._utils import get_route_path", "starlette._utils"),
        ("import streamlit as st\nst.runtime.get_instance()", "streamlit.runtime"),
        ("import streamlit as ui\nui._main.write(1)", "streamlit._main"),
        ("ctx._has_script_started", "_has_script_started"),
        ("getattr(page, '_page', None)", "_page"),
        ("hasattr(page, '_page')", "_page"),
        ("import sys\nsys.modules['streamlit.runtime.fragment']", "streamlit.runtime.fragment"),
    ],
)
def test_a_private_name_is_noticed(source: str, used: str) -> None:
    assert private_names(source) == {used}


@pytest.mark.parametrize(
    "source",
    [
        "import streamlit as st\nst.session_state['a'] = st.column_config.NumberColumn()",
        "from streamlit.testing.v1 import AppTest",
        "class A:\n    def __init__(self): self._own = 1\n    def f(self): return self._own",
        "class A:\n    _own: int = 0\ndef f(a): return a._own",
        "from stguard.app.private import context",
        "f'{function.__name__}'",
    ],
)
def test_public_names_and_own_names_are_free(source: str) -> None:
    assert private_names(source) == set()
