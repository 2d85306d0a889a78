"""What goes wrong whatever the policy says: a login that the script runs past, a cache that keeps a person's answer."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stguard.appsource.names import Inside
from stguard.errors import Severity, quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stguard.appsource.modules import FunctionNode, Module, Scope
    from stguard.appsource.names import Names
    from stguard.errors import Problem

CACHES: Final = {
    "streamlit.cache_data", "streamlit.cache_resource", "stguard.cache_data", "stguard.cache_resource",
}  # fmt: skip

_LOGIN: Final = "streamlit.login"
_STOPS: Final = {"streamlit.stop", "streamlit.rerun", "streamlit.switch_page", "streamlit.logout", "sys.exit"}
_INERT: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Pass)

_ASKS: Final = {
    "stguard.subject", "stguard.org", "stguard.can", "stguard.explain", "stguard.authorize", "stguard.requires",
    "stguard.state", "stguard.org_selector",
}  # fmt: skip
"""Names of stguard whose answer is one person's."""

_USER: Final = {
    "streamlit.user", "streamlit.experimental_user", "streamlit.context.cookies", "streamlit.context.headers",
}  # fmt: skip
"""Names of Streamlit that hold who is signed in."""


# --- a login that the script runs past -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Called:
    """Note a call that is a statement of its own.

    Attributes:
        call: the call.
        scope: where it stands.
        later: the statements that run after it, nearest block first, to the end of its function or module.
        function: the function it stands in; None for the module.
    """

    call: ast.Call
    scope: Scope
    later: tuple[Sequence[ast.stmt], ...]
    function: FunctionNode | None


def unstopped_logins(modules: Iterable[Module], names: Names) -> Iterator[Problem]:
    """Yield each bare `st.login()` after which the script goes on for who isn't signed in.

    Fine are a login that `st.stop` or the like follows, one that nothing follows, and one in a callback.
    """
    called = [call for module in modules for call in _calls(module.body, module.scope, (), None)]
    pending = [(call, call) for call in called if names.outside(call.call.func, call.scope) == _LOGIN]
    seen: set[tuple[ast.Call, FunctionNode]] = set()
    while pending:
        login, at = pending.pop()
        end = _end(at, names)
        if end is None:
            message = (
                f"the script goes on after {quote(ast.unparse(login.call))}, for who is not signed in; "
                "put `st.stop()` below it"
            )
            yield login.scope.module.place(login.call).problem(Severity.WARNING, "login-without-stop", message)
        elif end and at.function is not None and (login.call, at.function) not in seen:
            # Back to whoever calls the function as a statement; one that is only handed on is a callback or a page.
            seen.add((login.call, at.function))
            pending += [(login, caller) for caller in called if _calls_function(caller, at.function, names)]


def _calls(
    block: Sequence[ast.stmt], scope: Scope, outer: tuple[Sequence[ast.stmt], ...], function: FunctionNode | None
) -> Iterator[_Called]:
    for position, statement in enumerate(block):
        later = (block[position + 1 :], *outer)
        match statement:
            case ast.Expr(value=ast.Call() as call):
                yield _Called(call, scope, later, function)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from _calls(statement.body, scope.module.scopes[statement], (), statement)
            case ast.ClassDef():
                yield from _calls(statement.body, scope.module.scopes[statement], later, function)
            case _:
                for inner in _blocks(statement):
                    yield from _calls(inner, scope, later, function)


def _blocks(statement: ast.stmt) -> Iterator[Sequence[ast.stmt]]:
    """Yield the blocks inside a statement: of `if`, loops, `with`, `try`, `match`."""
    for name in ("body", "orelse", "finalbody"):
        yield getattr(statement, name, [])
    for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
        yield part.body


def _end(at: _Called, names: Names) -> bool | None:
    """Tell how it goes on after a call: False when the run stops, True when the function ends, None when code runs."""
    follows = False
    for block in at.later:
        for statement in block:
            match statement:
                case ast.Raise():
                    return False
                case ast.Expr(value=ast.Call(func=func)) if names.outside(func, at.scope) in _STOPS:
                    return False
                case ast.Return(value=None | ast.Constant()):
                    return None if follows else True
                case _:
                    follows = follows or not isinstance(statement, _INERT)
    return None if follows else True


def _calls_function(at: _Called, function: FunctionNode, names: Names) -> bool:
    found = names.meanings(at.call.func, at.scope)
    return any(isinstance(meaning, Inside) and meaning.node is function for meaning in found)


# --- a cache that keeps a person's answer ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Cache:
    """Describe what caches a function.

    Attributes:
        node: the decorator, or what is called with the function.
        scope: where that stands.
        name: what it is: one of `CACHES`.
    """

    node: ast.expr
    scope: Scope
    name: str

    @property
    def written(self) -> str:
        """Return its name as the app writes it."""
        return ast.unparse(self.node.func if isinstance(self.node, ast.Call) else self.node)

    def keeps_to_subject(self, names: Names) -> bool:
        """Tell whether each subject has values of its own."""
        keywords = self.node.keywords if isinstance(self.node, ast.Call) else []
        scope = next((keyword.value for keyword in keywords if keyword.arg == "scope"), None)
        ours = self.name.startswith("stguard.")
        return ours and scope is not None and names.text(scope, self.scope) in {"subject", "session"}


def cached_subjects(cache: Cache, function: FunctionNode, outer: Scope, names: Names) -> Iterator[Problem]:
    """Yield each place in a cached function where it reads who asks, itself or through a function of the app.

    Args:
        cache: what caches it.
        function: the cached function.
        outer: the scope it is defined in.
        names: the app's names.
    """
    own = cache.keeps_to_subject(names)
    reads = _ASKS if own else _ASKS | _USER
    scope = outer.module.scopes[function]
    told: set[tuple[int, int]] = set()
    for node, its_scope in _expressions(function.body, scope):
        where = (node.lineno, node.col_offset)
        found = None if where in told else _read(node, its_scope, names, reads, {function})
        if found is None:
            continue
        told.add(where)
        written = ast.unparse(node)
        through = "" if written.startswith(found) else f" through {quote(written)}"
        everybody = "everybody in the org" if cache.name.startswith("stguard.") else "everybody"
        why = "which is refused in a cached function" if own else f"and its result is kept for {everybody}"
        message = (
            f"{quote(function.name)} under {quote(f'@{cache.written}')} reads {quote(found)}{through}, {why}; "
            "read it outside and hand it in as an argument"
        )
        yield its_scope.module.place(node).problem(Severity.ERROR, "cached-subject", message)


def _read(node: ast.expr, scope: Scope, names: Names, reads: set[str], seen: set[ast.AST]) -> str | None:
    """Return the text of what an expression reads about who asks; None for nothing."""
    for meaning in names.meanings(node, scope):
        if isinstance(meaning, Inside):
            found = _read_inside(meaning, names, reads, seen)
        else:
            outside = getattr(meaning, "name", None)
            found = _text(node, outside, reads) if isinstance(outside, str) else None
        if found is not None:
            return found
    return None


def _text(node: ast.expr, outside: str, reads: set[str]) -> str | None:
    known = next((read for read in reads if outside == read or outside.startswith(f"{read}.")), None)
    if known is None:
        return None
    # As it is written, when it is written there: `sg.subject`, `st.user` of `st.user.email`.
    written = ast.unparse(node).removesuffix(outside.removeprefix(known) or "\0")
    return written if written.endswith(known.rpartition(".")[2]) else known


def _read_inside(meaning: Inside, names: Names, reads: set[str], seen: set[ast.AST]) -> str | None:
    """Look into a function of the app, or into the value of one of its variables."""
    node, scope = meaning.node, meaning.scope
    if node in seen or isinstance(node, ast.ClassDef):
        return None
    seen.add(node)
    if isinstance(node, ast.expr):
        inside = list(_expressions([node], scope))
    else:
        decorators = _expressions(node.decorator_list, scope)
        inside = [*decorators, *_expressions(node.body, scope.module.scopes[node])]
    found = (_read(inner, its_scope, names, reads, seen) for inner, its_scope in inside if inner is not node)
    return next((text for text in found if text is not None), None)


def _expressions(nodes: Iterable[ast.AST], scope: Scope) -> Iterator[tuple[ast.Name | ast.Attribute, Scope]]:
    """Yield every name and attribute that is read, outermost first, each with its scope."""
    pending = [(node, scope) for node in nodes][::-1]
    while pending:
        node, here = pending.pop()
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node, here
        inner = here.module.scopes.get(node, here)
        pending += [(child, inner) for child in ast.iter_child_nodes(node)][::-1]
