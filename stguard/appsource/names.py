"""What an expression in an app's source stands for, as far as that can be read without running it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from stguard.appsource.modules import Assigned, Hidden, Imported, Module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stguard.appsource.modules import Binding, FunctionNode, Scope, SourceFiles

_T = TypeVar("_T")

_LONGEST: Final = 4096
"""Longest text that is put together, in characters; names that double each other must not fill the memory."""

_NESTED_LISTS: Final = 4
"""Lists of names inside lists of names, at most."""

_PATH_CLASSES: Final = {"pathlib.Path", "pathlib.PurePath", "pathlib.PosixPath"}
_PATH_FUNCTIONS: Final = {"os.path.join", "os.path.abspath", "os.path.realpath", "os.path.normpath", "os.fspath"}
_SAME_PATH: Final = {"resolve", "absolute", "as_posix", "joinpath"}


@dataclass(frozen=True, slots=True)
class Outside:
    """Stand for a name of another package: `streamlit.Page`."""

    name: str


@dataclass(frozen=True, slots=True)
class Inside:
    """Stand for an expression or a definition of the app, with the scope in which it stands."""

    node: ast.expr | FunctionNode | ast.ClassDef
    scope: Scope


@dataclass(frozen=True, slots=True)
class Local:
    """Stand for a module or a package folder of the app."""

    path: Path


Meaning = Outside | Inside | Local | None
"""None: only running the app would tell."""


class Names:
    """Resolve names across the files of one app."""

    def __init__(self, files: SourceFiles) -> None:
        """Take the files."""
        self.files = files
        self._known: dict[tuple[str, object], Any] = {}

    def _once(self, kind: str, key: object, work: Callable[[], _T], *, unknown: _T) -> _T:
        """Work something out once: what refers to itself is unknown, and names that double each other cost nothing."""
        if (kind, key) not in self._known:
            self._known[kind, key] = unknown
            self._known[kind, key] = work()
        found: _T = self._known[kind, key]
        return found

    # --- what a name stands for ---------------------------------------------------------------------------------------

    def meanings(self, node: ast.expr, scope: Scope) -> list[Meaning]:
        """Return everything that a name or an attribute may stand for; any other expression stands for itself."""
        if not isinstance(node, (ast.Name, ast.Attribute)):
            return [Inside(node, scope)]
        return self._once("meanings", node, lambda: list(dict.fromkeys(self._meanings(node, scope))), unknown=[None])

    def _meanings(self, node: ast.Name | ast.Attribute, scope: Scope) -> list[Meaning]:
        if isinstance(node, ast.Attribute):
            return [m for owner in self.meanings(node.value, scope) for m in self._member(owner, node.attr)] or [None]
        bindings = scope.lookup(node.id)
        if not bindings:
            return self._from_stars(node.id, scope.module)
        return [meaning for binding in bindings for meaning in self._of_binding(binding, scope.module)]

    def outside(self, node: ast.expr, scope: Scope) -> str | None:
        """Return the name of another package that an expression stands for, as `streamlit.Page`; None for none.

        A name with several meanings (`try: import stguard as sg` with a fallback) has its first outside one.
        """
        return next((m.name for m in self.meanings(node, scope) if isinstance(m, Outside)), None)

    def _of_binding(self, binding: Binding, module: Module) -> list[Meaning]:
        match binding:
            case Assigned(node=ast.Name() | ast.Attribute() as node, scope=scope):
                # An attribute that leads nowhere, as `.parent` of a path, may still be readable as an expression.
                found = self.meanings(node, scope)
                return found if any(found) or isinstance(node, ast.Name) else [Inside(node, scope)]
            case Assigned(node=node, scope=scope):
                return [Inside(node, scope)]
            case Imported():
                return self._of_import(binding, module)
            case Hidden():
                return [None]

    def _of_import(self, imported: Imported, by: Module) -> list[Meaning]:
        path = self.files.locate(imported, by=by)
        if path is not None:
            local = Local(path)
            return [local] if imported.name is None else self._member(local, imported.name)
        if imported.level:
            return [None]
        return [Outside(imported.module if imported.name is None else f"{imported.module}.{imported.name}")]

    def _from_stars(self, name: str, module: Module) -> list[Meaning]:
        for star in module.stars:
            path = self.files.locate(star, by=module)
            if path is None and not star.level and star.module in {"streamlit", "stguard"}:
                return [Outside(f"{star.module}.{name}")]
            found = [] if path is None else self._member(Local(path), name)
            if any(found):
                return found
        return [None]

    def _member(self, owner: Meaning, name: str) -> list[Meaning]:
        match owner:
            case Outside(name=package):
                return [Outside(f"{package}.{name}")]
            case Local(path=path):
                return self._module_member(path, name)
            case Inside(node=ast.ClassDef() as node, scope=scope):
                inner = scope.module.scopes[node]
                bindings = inner.names.get(name, [])
                return [m for b in bindings for m in self._of_binding(b, scope.module)]
            case Inside(node=ast.Constant()) if name == "value":
                return [owner]  # the value of an enum's member
            case _:
                return []

    def _module_member(self, path: Path, name: str) -> list[Meaning]:
        return self._once("member", (path, name), lambda: self._find_member(path, name), unknown=[None])

    def _find_member(self, path: Path, name: str) -> list[Meaning]:
        file = path / "__init__.py" if path.is_dir() else path
        module = self.files.load(file) if file.is_file() else None
        if module is not None:
            if bindings := module.scope.names.get(name):
                return [m for b in bindings for m in self._of_binding(b, module)]
            starred = self._from_stars(name, module)
            if any(starred):
                return starred
        if not path.is_dir():
            return [None]
        below = self.files.locate(Imported(name, None, 1), by=Module(path / "__init__.py", "", []))
        return [None if below is None else Local(below)]

    # --- texts and paths ----------------------------------------------------------------------------------------------

    def _only(self, node: ast.expr, scope: Scope) -> tuple[ast.expr, Scope] | None:
        """Return the one expression that a name stands for; None when it has several values or can't be read."""
        match self.meanings(node, scope):
            case [Inside(node=ast.expr() as only, scope=its_scope)] if only is not node:
                return only, its_scope
            case _:
                return None

    def text(self, node: ast.expr, scope: Scope) -> str | None:
        """Return the text that an expression always is, or None when only running would tell."""
        found = self._once("text", node, lambda: self._text(node, scope), unknown=None)
        return found if found is None or len(found) <= _LONGEST else None

    def _text(self, node: ast.expr, scope: Scope) -> str | None:
        match node:
            case ast.Constant(value=str() as value):
                return value
            case ast.JoinedStr(values=parts):
                return self._together(parts, scope)
            case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
                return self.text(value, scope)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self._together([left, right], scope)
            case ast.Name() | ast.Attribute():
                only = self._only(node, scope)
                return self.text(*only) if only else None
            case _:
                return None

    def _together(self, parts: list[ast.expr], scope: Scope) -> str | None:
        texts = [self.text(part, scope) for part in parts]
        return None if None in texts else "".join(text for text in texts if text is not None)

    def texts(self, node: ast.expr, scope: Scope, depth: int = 0) -> Iterator[tuple[str | None, ast.expr]]:
        """Return each text of a text or list of texts, with the node to point at; None for what can't be read."""
        match node:
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items) if depth < _NESTED_LISTS:
                for item in items:
                    inner = item.value if isinstance(item, ast.Starred) else item
                    for text, _ in self.texts(inner, scope, depth + 1):
                        yield text, inner
            case ast.Name() | ast.Attribute() if (only := self._only(node, scope)) and depth < _NESTED_LISTS:
                for text, _ in self.texts(*only, depth + 1):
                    yield text, node
            case _:
                yield self.text(node, scope), node

    def path(self, node: ast.expr, scope: Scope) -> Path | None:
        """Return the path that an expression always is, or None when only running would tell."""
        found = self._once("path", node, lambda: self._path(node, scope), unknown=None)
        return found if found is None or len(str(found)) <= _LONGEST else None

    def _path(self, node: ast.expr, scope: Scope) -> Path | None:
        match node:
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                return self._joined([left, right], scope)
            case ast.Name(id="__file__"):
                return scope.module.path
            case ast.Attribute(value=owner, attr="parent"):
                inner = self.path(owner, scope)
                return None if inner is None else inner.parent
            case ast.Call(func=ast.Attribute(value=owner, attr=method), args=args) if method in _SAME_PATH and (
                self.path(owner, scope) is not None
            ):
                return self._joined([owner, *args], scope)
            case ast.Call():
                return self._path_call(node, scope)
            case ast.Name() | ast.Attribute() if only := self._only(node, scope):
                return self.path(*only)
            case _:
                text = self.text(node, scope)
                return None if text is None else Path(text)

    def _joined(self, parts: list[ast.expr], scope: Scope) -> Path | None:
        paths = [self.path(part, scope) for part in parts]
        known = [path for path in paths if path is not None]
        return Path(*known) if known and len(known) == len(paths) else None

    def _path_call(self, node: ast.Call, scope: Scope) -> Path | None:
        name = self.outside(node.func, scope)
        if name in _PATH_CLASSES | _PATH_FUNCTIONS:
            return self._joined(node.args, scope)
        if name == "os.path.dirname":
            inner = self._joined(node.args, scope)
            return None if inner is None else inner.parent
        if isinstance(node.func, ast.Name) and node.func.id == "str" and not scope.lookup("str"):
            return self._joined(node.args, scope)
        return None
