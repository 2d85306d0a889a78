"""Read an app from its main script: pages, menus and what code asks for."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from stguard.appsource import hazards, pagenames
from stguard.appsource.findings import AppSource, Asked, DeclaredPage, Demand, NavigationCall, Place, Unread
from stguard.appsource.modules import FunctionNode, SourceFiles
from stguard.appsource.names import Inside, Names
from stguard.errors import Problem, Severity, quote
from stguard.model import PAGE_ACTION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stguard.appsource.modules import Addition, Imported, Module, Scope

_NAVIGATIONS: Final = {"streamlit.navigation": False, "stguard.navigation": True}
_PAGE_CLASSES: Final = {"streamlit.Page", "streamlit.navigation.page.Page", "streamlit.navigation.page.StreamlitPage"}
_OWN_PAGES: Final = {"stguard.admin_page"}
_LOGOUT_PAGE: Final = "stguard.logout_page"
_LOGOUT_NAME: Final = "logout"
"""Its url path where the app gives it none."""
_APPS: Final = {"streamlit.App", "streamlit.starlette.App", "stguard.App"}
_VERBS: Final = {"stguard.requires", "stguard.authorize", "stguard.can", "stguard.explain"}
_REQUIRES: Final = "stguard.requires"
_RERUN_ALONE: Final = {
    "streamlit.fragment", "streamlit.dialog", "streamlit.experimental_fragment", "streamlit.experimental_dialog",
}  # fmt: skip
_ASKED_BY_KEY: Final = {kind.value: kind for kind in Asked}
_RULE_LISTS: Final = {"any", "all", "any_of", "all_of"}
_FREE_CONDITIONS: Final = {"email", "domain", "claim"}
"""Conditions whose values no policy declares."""
_NOT_CONDITIONS: Final = {"on_deny", "at"}
_WORD_RULES: Final = {"public", "signed_in"}


def read(main: Path) -> AppSource:
    """Return what an app's source declares and asks for, from its main script on, without running any of it.

    Local imports and page files are followed. What only running the app would tell is noted in `unread`, never
    guessed. A file that can't be read or parsed is a problem and the rest is read all the same.
    """
    reader = _Reader(main)
    reader.follow()
    return reader.result()


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """One expression that stands for a page in a menu."""

    node: ast.expr
    scope: Scope
    section: str | None


class _Reader:
    def __init__(self, main: Path) -> None:
        self.main = main
        self.files = SourceFiles(main)
        self.names = Names(self.files)
        self.visited: list[Module] = []
        self.menu: dict[ast.expr, tuple[DeclaredPage, ...]] = {}
        self.other: dict[ast.expr, tuple[DeclaredPage, ...]] = {}
        self.entered: set[tuple[ast.expr, str | None]] = set()
        self.navigations: list[NavigationCall] = []
        self.demands: list[Demand] = []
        self.unread: dict[Place, Unread] = {}
        self.problems: list[Problem] = []

    def follow(self) -> None:
        self.files.load(self.main)
        while self.files.unvisited:
            module = self.files.unvisited.pop(0)
            self.visited.append(module)
            try:
                self._visit(module)
            except RecursionError:
                place = Place(file=module.file, line=1, column=1)
                message = "nested too deeply to be read as a Streamlit app"
                self.problems.append(place.problem(Severity.ERROR, "invalid-python", message))

        self.problems += hazards.unstopped_logins(self.visited, self.names)

    def result(self) -> AppSource:
        pages = [page for found in (self.menu, self.other) for pages in found.values() for page in pages]
        self._pages_folder(pages)
        return AppSource(
            main=self.files.file_name(self.main.resolve()),
            files=tuple(module.file for module in self.visited),
            pages=tuple(pages),
            demands=tuple(sorted(self.demands, key=lambda d: (d.place, d.kind, d.name))),
            navigations=tuple(sorted(self.navigations, key=lambda n: n.place)),
            unread=tuple(sorted(self.unread.values(), key=lambda u: u.place)),
            imports_stguard=any(_imports_stguard(module) for module in self.visited),
            problems=tuple(sorted({*self.files.problems, *self.problems})),
        )

    # --- following ----------------------------------------------------------------------------------------------------

    def _visit(self, module: Module) -> None:
        for imported in module.imports:
            self._follow_import(imported, module)
        for function, scope in module.functions:
            self._check_decorators(function, scope)
        for call, scope in module.calls:
            self._visit_call(call, scope)

    def _visit_call(self, call: ast.Call, scope: Scope) -> None:
        name = self.names.outside(call.func, scope)
        self._check_cache_call(call, scope)
        if name in _NAVIGATIONS:
            self._navigation(call, scope, guarded=_NAVIGATIONS[name])
        elif name in _PAGE_CLASSES:
            if call not in self.menu:
                self.other[call] = tuple(self._page_call(call, scope, None))
        elif name in _VERBS:
            self._demands(call, scope, name.removeprefix("stguard."))
        elif name in _APPS and call.args:
            path = self.names.path(call.args[0], scope)
            if path is not None and (file := self.files.root / path).is_file():
                self.files.load(file)

    def _follow_import(self, imported: Imported, module: Module) -> None:
        path = self.files.locate(imported, by=module)
        if path is None:
            return
        packages = [p for p in path.parents if p != self.files.root and p.is_relative_to(self.files.root)]
        wanted = [package / "__init__.py" for package in packages]
        wanted.append(path / "__init__.py" if path.is_dir() else path)
        if imported.name is not None and path.is_dir():
            wanted += [path / f"{imported.name}.py", path / imported.name / "__init__.py"]
        for file in wanted:
            if file.is_file():
                self.files.load(file)

    # --- notes --------------------------------------------------------------------------------------------------------

    def _note(self, what: str, node: ast.expr, scope: Scope, *, matters: bool = True) -> None:
        place = scope.module.place(node)
        text = " ".join(ast.unparse(node).split())
        self.unread.setdefault(place, Unread(what=what, text=text, place=place, matters=matters))

    def _problem(self, node: ast.expr, scope: Scope, code: str, message: str) -> None:
        self.problems.append(scope.module.place(node).problem(Severity.ERROR, code, message))

    # --- menus and pages ----------------------------------------------------------------------------------------------

    def _navigation(self, call: ast.Call, scope: Scope, *, guarded: bool) -> None:
        given = call.args[0] if call.args else _keyword(call, "pages")
        before = len(self.unread)
        self.entered = set()
        sections: dict[str, None] = {}
        for entry in self._entries(given, scope, None) if given else ():
            self.menu[entry.node] = tuple(self._pages(entry.node, entry.scope, entry.section))
            self.other.pop(entry.node, None)
            if entry.section:
                sections[entry.section] = None
        place = scope.module.place(call.func)
        self.navigations.append(
            NavigationCall(
                place=place,
                text=ast.unparse(call.func),
                line_text=scope.module.lines[place.line - 1],
                guarded=guarded,
                sections=tuple(sections),
                complete=given is not None and len(self.unread) == before,
            )
        )

    def _entries(self, node: ast.expr, scope: Scope, section: str | None) -> Iterator[_Entry]:
        """Yield the page expressions in what a menu is made from: lists, mappings of sections, variables of both."""
        match node:
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
                for item in items:
                    if isinstance(item, ast.Starred):
                        yield from self._entries(item.value, scope, section)
                    else:
                        yield _Entry(item, scope, section)
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    yield from self._entries(value, scope, self._title(key, scope, section))
            case ast.BinOp(left=left, op=ast.Add() | ast.BitOr(), right=right):
                yield from self._entries(left, scope, section)
                yield from self._entries(right, scope, section)
            case ast.IfExp(body=one, orelse=other):
                yield from self._entries(one, scope, section)
                yield from self._entries(other, scope, section)
            case ast.Call(func=ast.Name(id="list" | "tuple" | "dict"), args=[inner], keywords=[]):
                yield from self._entries(inner, scope, section)
            case ast.Name() | ast.Attribute() | ast.Call():
                yield from self._entries_behind(node, scope, section)
            case _:
                self._note("the pages of the menu", node, scope)

    def _entries_behind(
        self, node: ast.Name | ast.Attribute | ast.Call, scope: Scope, section: str | None
    ) -> Iterator[_Entry]:
        called = isinstance(node, ast.Call)
        for meaning in self.names.meanings(node.func if isinstance(node, ast.Call) else node, scope):
            match meaning:
                case Inside(node=ast.FunctionDef() as function, scope=outer) if called:
                    inner = outer.module.scopes[function]
                    for value in _returned(function):
                        if self._first_time(value, section):
                            yield from self._entries(value, inner, section)
                case Inside(node=ast.expr() as value, scope=its_scope) if not called:
                    if self._first_time(value, section):
                        yield from self._entries(value, its_scope, section)
                case _:
                    self._note("the pages of the menu", node, scope)
        if isinstance(node, ast.Name):
            for addition in scope.module.additions.get(node.id, ()):
                yield from self._added(addition, section)

    def _first_time(self, node: ast.expr, section: str | None) -> bool:
        """Tell whether a value is met for the first time in this menu: `pages = pages + [...]` leads to itself."""
        if (node, section) in self.entered:
            return False
        self.entered.add((node, section))
        return True

    def _added(self, addition: Addition, section: str | None) -> Iterator[_Entry]:
        title = self._title(addition.section, addition.scope, section)
        if not self._first_time(addition.node, title):
            return
        if addition.several:
            yield from self._entries(addition.node, addition.scope, title)
        else:
            yield _Entry(addition.node, addition.scope, title)

    def _title(self, key: ast.expr | None, scope: Scope, section: str | None) -> str | None:
        if key is None:
            return section
        title = self.names.text(key, scope)
        if title is None:
            self._note("the title of a menu section", key, scope)
        return title or None

    def _pages(self, node: ast.expr, scope: Scope, section: str | None) -> Iterator[DeclaredPage]:
        """Yield the page or pages that one entry of a menu may stand for."""
        if isinstance(node, ast.IfExp):
            yield from self._pages(node.body, scope, section)
            yield from self._pages(node.orelse, scope, section)
        elif isinstance(node, (ast.Name, ast.Attribute)):
            yield from self._pages_behind(node, scope, section)
        elif isinstance(node, ast.Call) and self.names.outside(node.func, scope) in _PAGE_CLASSES:
            self.other.pop(node, None)
            self.menu.setdefault(node, ())
            yield from self._page_call(node, scope, section)
        elif isinstance(node, ast.Call) and self.names.outside(node.func, scope) == _LOGOUT_PAGE:
            name = self._url_path(node, scope)
            if name is not None:
                place = scope.module.place(node)
                yield DeclaredPage(name=name or _LOGOUT_NAME, place=place, section=section, hidden=True)
        elif not self._is_no_page(node, scope):
            yield from self._from_source(node, scope, DeclaredPage(name="", place=scope.module.place(node)), section)

    def _is_no_page(self, node: ast.expr, scope: Scope) -> bool:
        """Tell whether an entry is nothing to name in a policy: None, or a page that stguard itself brings."""
        if isinstance(node, ast.Call):
            return self.names.outside(node.func, scope) in _OWN_PAGES
        return isinstance(node, ast.Constant) and node.value is None

    def _pages_behind(
        self, node: ast.Name | ast.Attribute, scope: Scope, section: str | None
    ) -> Iterator[DeclaredPage]:
        for meaning in self.names.meanings(node, scope):
            match meaning:
                case Inside(node=ast.FunctionDef() as function, scope=outer):
                    yield self._function_page(function, outer, scope.module.place(node), section)
                case Inside(node=ast.expr() as value, scope=its_scope):
                    if value is not node and self._first_time(value, section):
                        yield from self._pages(value, its_scope, section)
                case _:
                    self._note("a page of the menu", node, scope)

    def _page_call(self, call: ast.Call, scope: Scope, section: str | None) -> Iterator[DeclaredPage]:
        source = call.args[0] if call.args else _keyword(call, "page")
        if source is None or any(keyword.arg is None for keyword in call.keywords):
            self._note("a page", call, scope)
            return
        name = self._url_path(call, scope)
        if name is None:
            return
        visibility = _keyword(call, "visibility")
        hidden = visibility is not None and self.names.text(visibility, scope) == "hidden"
        declared = DeclaredPage(name=name, place=scope.module.place(call), section=section, hidden=hidden)
        title = _keyword(call, "title")
        if (link := self.names.text(source, scope)) is not None and pagenames.is_link(link):
            text = (self.names.text(title, scope) if title else None) or ""
            yield replace(declared, name=name or pagenames.of_title(text), external=True)
            return
        yield from self._from_source(source, scope, declared, section)

    def _url_path(self, call: ast.Call, scope: Scope) -> str | None:
        """Return the name that `url_path` gives a page, empty for none; None, and noted, when only running tells it."""
        given = _keyword(call, "url_path")
        if given is None or (isinstance(given, ast.Constant) and given.value is None):
            return ""
        text = self.names.text(given, scope)
        if text is None:
            self._note("the url path of a page", given, scope)
            return None
        return pagenames.of_url_path(text)

    def _from_source(
        self, source: ast.expr, scope: Scope, declared: DeclaredPage, section: str | None
    ) -> Iterator[DeclaredPage]:
        """Complete a page with what runs it: a file, a function, a lambda."""
        declared = replace(declared, section=section)
        functions = self._functions(source, scope)
        if functions:
            for function, outer in functions:
                found = self._function_page(function, outer, declared.place, section)
                yield replace(found, name=declared.name or found.name, hidden=declared.hidden)
            return
        path = self.names.path(source, scope)
        if path is not None:
            yield from self._file_page(path, source, scope, declared)
        elif declared.name:
            yield replace(declared, function=" ".join(ast.unparse(source).split()))
        elif isinstance(source, ast.Lambda):
            yield replace(declared, name="<lambda>", function="<lambda>")
        else:
            self._note("the source of a page", source, scope)

    def _functions(self, source: ast.expr, scope: Scope) -> list[tuple[FunctionNode, Scope]]:
        if not isinstance(source, (ast.Name, ast.Attribute)):
            return []
        return [
            (meaning.node, meaning.scope)
            for meaning in self.names.meanings(source, scope)
            if isinstance(meaning, Inside) and isinstance(meaning.node, FunctionNode)
        ]

    def _function_page(self, function: FunctionNode, outer: Scope, place: Place, section: str | None) -> DeclaredPage:
        decorators = [self._decorator(node, outer) for node in function.decorator_list]
        return DeclaredPage(
            name=function.name,
            place=place,
            section=section,
            function=function.name,
            guarded=_REQUIRES in decorators,
        )

    def _file_page(self, path: Path, source: ast.expr, scope: Scope, declared: DeclaredPage) -> Iterator[DeclaredPage]:
        if "\0" in str(path):
            self._problem(source, scope, "missing-page-file", f"page file {quote(path)} holds a NUL byte")
            return
        file = (self.files.root / path).resolve()
        yield replace(declared, name=declared.name or pagenames.of_file(file.name), path=file)
        if file.is_file():
            self.files.load(file)
        else:
            message = f"page file {quote(path.as_posix())} does not exist beside the main script"
            self._problem(source, scope, "missing-page-file", message)

    def _pages_folder(self, pages: list[DeclaredPage]) -> None:
        # STREAMLIT 1.57-1.67: these files run as pages of their own, without the main script, until some session has
        # called `st.navigation`.
        folder = self.files.root / "pages"
        try:
            files = sorted(f for f in folder.glob("*.py") if not f.name.startswith(".") and f.name != "__init__.py")
        except OSError:
            return
        if not files:
            return
        place = Place(file=self.files.file_name(files[0]), line=1, column=1)
        message = (
            f"the folder {quote('pages')} beside the main script is not empty; Streamlit runs its files without the "
            "main script and its guards, so move them to another folder such as `views`"
        )
        self.problems.append(place.problem(Severity.ERROR, "pages-folder", message))
        if not self.navigations:
            main = self.main.resolve()
            pages += [
                DeclaredPage(
                    name=pagenames.of_file(file.name),
                    place=Place(file=self.files.file_name(file), line=1, column=1),
                    path=file,
                )
                for file in (main, *files)
            ]

    # --- decorators ---------------------------------------------------------------------------------------------------

    def _decorator(self, node: ast.expr, scope: Scope) -> str | None:
        return self.names.outside(node.func if isinstance(node, ast.Call) else node, scope)

    def _check_decorators(self, function: FunctionNode, scope: Scope) -> None:
        named = [(node, self._decorator(node, scope)) for node in function.decorator_list]
        for node, name in named:
            if name in hazards.CACHES:
                cache = hazards.Cache(node, scope, name)
                self.problems += hazards.cached_subjects(cache, function, scope, self.names)
        for position, (node, name) in enumerate(named):
            if name != _REQUIRES:
                continue
            written = f"@{_called(node)}"
            if not isinstance(node, ast.Call):
                message = f"{quote(written)} on {quote(function.name)} asks for nothing; name a permission or a role"
                self._problem(node, scope, "empty-requirement", message)
            for above, its_name in named[:position]:
                if its_name in hazards.CACHES:
                    other = quote(f"@{_called(above)}")
                    why = f"a cached answer is given without asking; put {other} below it"
                    self._order(node, scope, function, f"stands below {other}, so {why}")
            for below, its_name in named[position + 1 :]:
                if its_name in _RERUN_ALONE:
                    other = quote(f"@{_called(below)}")
                    why = f"it is not asked when that runs again alone; put {other} above it"
                    self._order(node, scope, function, f"stands above {other}, so {why}")

    def _check_cache_call(self, call: ast.Call, scope: Scope) -> None:
        """Check a function that is cached by a call: `st.cache_data(load)`, `st.cache_data(ttl=60)(load)`."""
        name = self._decorator(call.func, scope)
        if name in hazards.CACHES:
            cache = hazards.Cache(call.func, scope, name)
            for function, outer in self._functions(call.args[0], scope) if call.args else ():
                self.problems += hazards.cached_subjects(cache, function, outer, self.names)

    def _order(self, node: ast.expr, scope: Scope, function: FunctionNode, finding: str) -> None:
        message = f"{quote(f'@{_called(node)}')} on {quote(function.name)} {finding}"
        self._problem(node, scope, "decorator-order", message)

    # --- what code asks for -------------------------------------------------------------------------------------------

    def _demands(self, call: ast.Call, scope: Scope, verb: str) -> None:
        asked = 0
        for argument in call.args[:1]:
            if isinstance(argument, ast.Starred):
                self._note(f"the arguments of {verb}", argument, scope)
            else:
                self._ask(Asked.PERMISSION, argument, scope, verb)
            asked += 1
        for keyword in call.keywords:
            if keyword.arg is None:
                self._note(f"the arguments of {verb}", keyword.value, scope)
                asked += 1
            elif keyword.arg not in _NOT_CONDITIONS:
                # In `can` and `explain` the org is where the question is asked, not a condition.
                asked += keyword.arg != "org" or verb in {"requires", "authorize"}
                self._condition(keyword.arg, keyword.value, scope, verb)
        if not asked:
            message = f"{quote(ast.unparse(call.func))} asks for nothing; name a permission or a role"
            self._problem(call, scope, "empty-requirement", message)

    def _condition(self, key: str, value: ast.expr, scope: Scope, verb: str) -> None:
        if isinstance(value, ast.Constant) and value.value is None:
            return
        if key in _ASKED_BY_KEY:
            self._ask(_ASKED_BY_KEY[key], value, scope, verb)
        elif key in _RULE_LISTS:
            self._rules(value, scope, verb)
        elif key in {"not", "not_"}:
            self._rule(value, scope, verb)
        elif key not in _FREE_CONDITIONS:
            message = f"unknown condition {quote(key)} in {quote(verb)}"
            self._problem(value, scope, "unknown-condition", message)

    def _ask(self, kind: Asked, value: ast.expr, scope: Scope, verb: str) -> None:
        for text, node in self.names.texts(value, scope):
            if kind is Asked.PERMISSION and text in _WORD_RULES:
                continue
            if text is None:
                what = f"the {kind.value} that {verb} asks for"
                self._note(what, node, scope, matters=kind is not Asked.ORG)
            elif kind is Asked.PERMISSION and text.startswith(PAGE_ACTION):
                self._demand(Asked.PAGE, text.removeprefix(PAGE_ACTION), verb, scope.module.place(node))
            else:
                self._demand(kind, text, verb, scope.module.place(node))

    def _demand(self, kind: Asked, name: str, verb: str, place: Place) -> None:
        self.demands.append(Demand(kind=kind, name=name, verb=verb, place=place))

    def _rules(self, value: ast.expr, scope: Scope, verb: str) -> None:
        items = value.elts if isinstance(value, (ast.List, ast.Tuple, ast.Set)) else [value]
        for item in items:
            self._rule(item, scope, verb)

    def _rule(self, node: ast.expr, scope: Scope, verb: str) -> None:
        """Read one rule in code: a mapping as the policy has it, or a word, or a permission."""
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                name = self.names.text(key, scope) if key else None
                if name is None:
                    self._note(f"a condition of {verb}", key or value, scope)
                else:
                    self._condition(name, value, scope, verb)
        else:
            self._ask(Asked.PERMISSION, node, scope, verb)


def _imports_stguard(module: Module) -> bool:
    return any(i.module.partition(".")[0] == "stguard" and not i.level for i in module.imports)


def _called(node: ast.expr) -> str:
    return ast.unparse(node.func if isinstance(node, ast.Call) else node)


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def _returned(function: ast.FunctionDef) -> Iterator[ast.expr]:
    """Yield what a function returns, without the functions inside it."""
    pending: list[ast.AST] = list(function.body)
    while pending:
        node = pending.pop(0)
        if isinstance(node, ast.Return) and node.value is not None:
            yield node.value
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            pending.extend(ast.iter_child_nodes(node))
