"""The files of an app, the names in them and where its imports lead, read without running anything."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stguard.appsource.findings import Place
from stguard.errors import Problem, Severity, quote

if TYPE_CHECKING:
    from pathlib import Path

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

_LINE_END: Final = re.compile(r"\r\n|\r|\n")

_NEVER_LOCAL: Final = ("stguard", "streamlit")
"""Packages that are what they say, even when a folder of that name stands beside the script."""

_LIST_METHODS: Final = {"append": False, "extend": True, "update": True}
"""Methods that add pages to a list or mapping, and whether their argument holds several."""


@dataclass(frozen=True, slots=True)
class Imported:
    """Bind a name to a module, or to a name in one."""

    module: str
    name: str | None
    level: int


@dataclass(frozen=True, slots=True, eq=False)
class Assigned:
    """Bind a name to an expression, or to a function or class definition, with the scope in which it stands."""

    node: ast.expr | FunctionNode | ast.ClassDef
    scope: Scope


@dataclass(frozen=True, slots=True)
class Hidden:
    """Bind a name to something that only running tells: a parameter, a loop variable."""


Binding = Imported | Assigned | Hidden


@dataclass(frozen=True, slots=True, eq=False)
class Addition:
    """Note that something was put into a list or mapping after it was made.

    Attributes:
        section: the key it was put under; None for none.
        node: what was put there.
        several: whether `node` is itself a list or mapping of them.
        scope: where it stands.
    """

    section: ast.expr | None
    node: ast.expr
    several: bool
    scope: Scope


@dataclass(slots=True, eq=False)
class Scope:
    """Hold the names of one module, class, function or comprehension."""

    module: Module
    parent: Scope | None = None
    is_class: bool = False
    names: dict[str, list[Binding]] = field(default_factory=dict)
    elsewhere: dict[str, Scope] = field(default_factory=dict)
    """Names declared `global` or `nonlocal` here, with the scope they belong to."""

    def bind(self, name: str, binding: Binding) -> None:
        """Add one more thing that a name stands for."""
        owner = self.elsewhere.get(name, self)
        owner.names.setdefault(name, []).append(binding)

    def lookup(self, name: str) -> list[Binding]:
        """Return what a name stands for here, from the nearest scope that binds it; empty for none."""
        scope: Scope | None = self
        while scope is not None:
            # Python's rule: the names of a class body are not visible in the functions inside it.
            if name in scope.names and (scope is self or not scope.is_class):
                return scope.names[name]
            scope = scope.parent
        return []


@dataclass(slots=True, eq=False)
class Module:
    """Hold one parsed file.

    Attributes:
        path: where it is, resolved.
        file: how messages name it.
        lines: its text.
        scope: its global names.
        scopes: the scope of each function and class in it.
        stars: modules of which it imports everything.
        imports: every import in it, for following.
        calls: every call in it, with its scope, in the order of the text.
        functions: every function in it, with the scope it stands in.
        additions: what was put into lists and mappings after they were made, by the variable's name.
        body: its statements.
    """

    path: Path
    file: str
    lines: list[str]
    scope: Scope = field(init=False)
    scopes: dict[ast.AST, Scope] = field(default_factory=dict)
    stars: list[Imported] = field(default_factory=list)
    imports: list[Imported] = field(default_factory=list)
    calls: list[tuple[ast.Call, Scope]] = field(default_factory=list)
    functions: list[tuple[FunctionNode, Scope]] = field(default_factory=list)
    additions: dict[str, list[Addition]] = field(default_factory=dict)
    body: list[ast.stmt] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Give the module its global scope."""
        self.scope = Scope(self)

    def place(self, node: ast.expr | ast.stmt) -> Place:
        """Return where a node of this module stands; `ast` counts columns in bytes of UTF-8, a place in characters."""
        before = self.lines[node.lineno - 1].encode("utf-8", "surrogatepass")[: node.col_offset]
        return Place(file=self.file, line=node.lineno, column=len(before.decode("utf-8", "replace")) + 1)


class SourceFiles:
    """Find, read and keep the files of one app."""

    def __init__(self, main: Path) -> None:
        """Take the main script as it was given."""
        self._given = main
        self.root = main.resolve().parent
        self.modules: dict[Path, Module | None] = {}
        self.unvisited: list[Module] = []
        self.problems: list[Problem] = []

    def file_name(self, path: Path) -> str:
        """Return how messages name a file: as the main script was given, when it stands below the same folder."""
        given = self._given.parent
        if given.resolve() == self.root and path.is_relative_to(self.root):
            return (given / path.relative_to(self.root)).as_posix()
        return path.as_posix()

    def load(self, path: Path) -> Module | None:
        """Return a parsed file, or None after noting why it can't be read."""
        path = path.resolve()
        if path not in self.modules:
            try:
                self.modules[path] = module = _parse(path, self.file_name(path))
            except _UnreadableError as error:
                self.modules[path] = None
                self.problems.append(error.problem)
            else:
                self.unvisited.append(module)
        return self.modules[path]

    def locate(self, imported: Imported, *, by: Module) -> Path | None:
        """Return the file or folder that an import's module names, or None when it isn't one of the app's own."""
        if imported.level:
            base = by.path.parent
            for _ in range(imported.level - 1):
                base = base.parent
        elif imported.module.partition(".")[0] in _NEVER_LOCAL:
            return None
        else:
            base = self.root
        parts = imported.module.split(".") if imported.module else []
        return _module_path(base, parts)


def _module_path(base: Path, parts: list[str]) -> Path | None:
    # Streamlit puts the folder of the main script on the import path.
    target = base.joinpath(*parts)
    if parts and target.with_name(target.name + ".py").is_file() and not (target / "__init__.py").is_file():
        return target.with_name(target.name + ".py")
    return target if target.is_dir() else None


class _UnreadableError(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


def _parse(path: Path, file: str) -> Module:
    def unreadable(code: str, message: str, *, line: int = 1, column: int = 1) -> _UnreadableError:
        place = Place(file=file, line=max(line, 1), column=max(column, 1))
        return _UnreadableError(place.problem(Severity.ERROR, code, message))

    try:
        raw = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise unreadable("unreadable-file", f"can't read the file: {reason.lower()}") from error
    if b"\0" in raw:
        line = raw[: raw.index(b"\0")].count(b"\n") + 1
        raise unreadable("invalid-python", "a NUL byte; expected Python source", line=line)
    try:
        text = raw.decode(tokenize.detect_encoding(io.BytesIO(raw).readline)[0])
        with warnings.catch_warnings():
            # A doubtful escape in the app's text is the author's own affair.
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
        module = Module(path=path, file=file, lines=_LINE_END.split(text), body=tree.body)
        _Collector(module).visit(tree)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise unreadable("invalid-python", f"not {error.encoding} text; expected Python source", line=line) from error
    except SyntaxError as error:
        message = f"can't be read as Python: {quote(error.msg)}"
        raise unreadable("invalid-python", message, line=error.lineno or 1, column=error.offset or 1) from error
    except (RecursionError, MemoryError) as error:
        raise unreadable("invalid-python", "nested too deeply to be read as Python") from error
    return module


class _Collector(ast.NodeVisitor):
    """Note scopes, bindings, imports and calls of one module in one walk."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.scope = module.scope

    def _inside(self, scope: Scope, nodes: list[ast.AST]) -> None:
        outer, self.scope = self.scope, scope
        for node in nodes:
            self.visit(node)
        self.scope = outer

    def _new_scope(self, node: ast.AST, *, is_class: bool = False) -> Scope:
        self.module.scopes[node] = Scope(self.module, self.scope, is_class)
        return self.module.scopes[node]

    # definitions

    def _visit_function(self, node: FunctionNode) -> None:
        self.scope.bind(node.name, Assigned(node, self.scope))
        self.module.functions.append((node, self.scope))
        for part in [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]:
            self.visit(part)
        self._inside(self._with_parameters(node), list(node.body))

    def _with_parameters(self, node: FunctionNode | ast.Lambda) -> Scope:
        scope = self._new_scope(node)
        args = node.args
        for arg in [*args.posonlyargs, *args.args, *args.kwonlyargs, *filter(None, [args.vararg, args.kwarg])]:
            scope.bind(arg.arg, Hidden())
        return scope

    visit_FunctionDef = _visit_function  # noqa: N815  the name that NodeVisitor looks for
    visit_AsyncFunctionDef = _visit_function  # noqa: N815  the same

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._inside(self._with_parameters(node), [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.scope.bind(node.name, Assigned(node, self.scope))
        for part in [*node.decorator_list, *node.bases, *node.keywords]:
            self.visit(part)
        self._inside(self._new_scope(node, is_class=True), list(node.body))

    def _visit_comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        self._inside(self._new_scope(node), list(ast.iter_child_nodes(node)))

    visit_ListComp = _visit_comprehension  # noqa: N815
    visit_SetComp = _visit_comprehension  # noqa: N815
    visit_GeneratorExp = _visit_comprehension  # noqa: N815
    visit_DictComp = _visit_comprehension  # noqa: N815

    # bindings

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            whole = Imported(alias.name, None, 0)
            self.module.imports.append(whole)
            first = Imported(alias.name.partition(".")[0], None, 0)
            self.scope.bind(alias.asname or first.module, whole if alias.asname else first)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                everything = Imported(node.module or "", None, node.level)
                self.module.stars.append(everything)
                self.module.imports.append(everything)
                continue
            imported = Imported(node.module or "", alias.name, node.level)
            self.module.imports.append(imported)
            self.scope.bind(alias.asname or alias.name, imported)

    def visit_Global(self, node: ast.Global) -> None:
        self.scope.elsewhere.update(dict.fromkeys(node.names, self.module.scope))

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        if self.scope.parent is not None:
            self.scope.elsewhere.update(dict.fromkeys(node.names, self.scope.parent))

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self._assign(target, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
            self._assign(node.target, node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.visit(node.value)
        self._assign(node.target, node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self._assign(node.target, node.value)

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        match target, value:
            case ast.Name(id=name), _:
                self.scope.bind(name, Assigned(value, self.scope))
            case ast.Tuple(elts=targets) | ast.List(elts=targets), ast.Tuple(elts=values) | ast.List(elts=values) if (
                len(targets) == len(values) and not any(isinstance(e, ast.Starred) for e in [*targets, *values])
            ):
                for one, its_value in zip(targets, values, strict=True):
                    self._assign(one, its_value)
            case ast.Subscript(value=ast.Name(id=name), slice=key), _:
                self._add(name, Addition(key, value, several=True, scope=self.scope))
            case _:
                self.visit(target)

    def _add(self, name: str, addition: Addition) -> None:
        self.module.additions.setdefault(name, []).append(addition)

    def visit_Name(self, node: ast.Name) -> None:
        # Reached for targets that `_assign` could not pair with a value: loops, `with`, unpacking.
        if isinstance(node.ctx, ast.Store):
            self.scope.bind(node.id, Hidden())

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self.scope.bind(node.name, Hidden())
        self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        if node.name:
            self.scope.bind(node.name, Hidden())
        self.generic_visit(node)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        if node.name:
            self.scope.bind(node.name, Hidden())

    def visit_BinOp(self, node: ast.BinOp) -> None:
        # A long sum is a deep tree to the left; walking down without recursion reads one of any length.
        below: ast.expr = node
        while isinstance(below, ast.BinOp):
            self.visit(below.right)
            below = below.left
        self.visit(below)

    # calls

    def visit_Call(self, node: ast.Call) -> None:
        self.module.calls.append((node, self.scope))
        self._note_addition(node)
        self.generic_visit(node)

    def _note_addition(self, node: ast.Call) -> None:
        match node:
            case ast.Call(func=ast.Attribute(value=receiver, attr="insert"), args=[_, added]):
                several = False
            case ast.Call(func=ast.Attribute(value=receiver, attr=method), args=[added]) if method in _LIST_METHODS:
                several = _LIST_METHODS[method]
            case _:
                return
        match receiver:
            case ast.Name(id=name):
                self._add(name, Addition(None, added, several, self.scope))
            case (
                ast.Subscript(value=ast.Name(id=name), slice=key)
                | ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="setdefault"), args=[key, *_])
            ):
                self._add(name, Addition(key, added, several, self.scope))
            case _:
                return
