"""Ask and insist, at the moment of use: `requires`, `authorize`, `can`, `explain`, `subject`.

All are one decision: what code demands becomes a rule, `standing` says who asks, the policy decides.
"""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, ParamSpec, TypeVar, cast, get_args, overload

import streamlit as st

from stguard.app import listed, private, screens
from stguard.app.place import demanding, in_steps
from stguard.app.rules import Names, Part, rule_from
from stguard.app.settings import known_settings
from stguard.app.standing import Standing, refused, standing
from stguard.errors import AccessDenied, ConfigurationError, PolicyFileError, quote
from stguard.model import PAGE_ACTION, AllOf, Decision, Rule, Subject

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Mapping, Sequence

P = ParamSpec("P")
R = TypeVar("R")

OnDeny = Literal["stop", "hide", "raise"]
"""What a refused guard does: show the refusal and end the run, draw nothing and return None, raise AccessDenied."""

RULE_ATTRIBUTE: Final = "__stguard_rule__"
"""Attribute of a guarded function that carries its rule to the menu; decorators above copy it along."""

_CACHES: Final = frozenset(
    {
        "cache_data", "cache_resource", "lru_cache", "cache", "cached_property",
        "cached", "cachedmethod", "ttl_cache", "alru_cache", "memoize",
    }
)  # fmt: skip
"""Names of decorators that keep results: of Streamlit, of functools, and of the usual libraries."""

_KEEPS: Final = (functools.cache, functools.lru_cache, functools.cached_property)
"""The ones of functools, which may be imported by another name and aren't seen when the function runs."""


# --- requires --------------------------------------------------------------------------------------------------------


@overload
def requires(
    action: str | None = None,
    *,
    role: Names | None = None,
    permission: Names | None = None,
    org: Names | None = None,
    group: Names | None = None,
    email: Names | None = None,
    any_of: Sequence[Part] | None = None,
    all_of: Sequence[Part] | None = None,
    on_deny: Literal["stop", "raise"] = "stop",
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
@overload
def requires(
    action: str | None = None,
    *,
    role: Names | None = None,
    permission: Names | None = None,
    org: Names | None = None,
    group: Names | None = None,
    email: Names | None = None,
    any_of: Sequence[Part] | None = None,
    all_of: Sequence[Part] | None = None,
    on_deny: Literal["hide"],
) -> Callable[[Callable[P, R]], Callable[P, R | None]]: ...
def requires(  # noqa: PLR0913  one keyword for each thing that can be demanded
    action: str | None = None,
    *,
    role: Names | None = None,
    permission: Names | None = None,
    org: Names | None = None,
    group: Names | None = None,
    email: Names | None = None,
    any_of: Sequence[Part] | None = None,
    all_of: Sequence[Part] | None = None,
    on_deny: OnDeny = "stop",
) -> Callable[[Callable[P, R]], Callable[P, R | None]]:
    """Decorate a function so that it runs only for who may, decided anew at each call.

    For functions, methods, async functions, generators, plain or async, page functions (the menu then obeys the same
    rule), callbacks, and functions under `st.fragment`, `st.dialog` (guard below) or on `st.cache_data`,
    `st.cache_resource` (guard above). Several keywords must all hold; of a list of names any is enough, as in the
    policy file.

    Args:
        action: a permission, or `signed_in`.
        role: a role held in the active org.
        permission: a permission allowed in the active org.
        org: the active org.
        group: a group of the identity provider.
        email: a verified e-mail.
        any_of: demands of which one must hold: permissions, mappings as in the policy file, rules of the model.
        all_of: demands that must all hold.
        on_deny: `stop` shows a refusal and ends the run, `hide` draws nothing and returns None, `raise` raises
            AccessDenied. In a callback nothing is called, and the refusal shows when the page is drawn.

    Raises:
        ConfigurationError: nothing is demanded, a name is not declared in the policy, or the decorators stand in an
            order in which the guard would not hold.
    """
    _reject_bare(action, name="requires")
    if on_deny not in get_args(OnDeny):
        raise ConfigurationError(f"on_deny is `stop`, `hide` or `raise`, got {quote(on_deny)}")
    rule = rule_from(
        action, role=role, permission=permission, org=org, group=group, email=email, any_of=any_of, all_of=all_of
    )
    _check_early(rule)

    def decorate(function: Callable[P, R]) -> Callable[P, R | None]:
        _reject_unguardable(function)
        _reject_wrong_order(function)
        guarded = _wrap(function, rule, on_deny=on_deny)
        inner = rule_of(function)
        whole = rule if inner is None else AllOf((rule, inner))
        setattr(guarded, RULE_ATTRIBUTE, whole)
        ctx = private.context()
        if ctx is not None:
            listed.remember_function(private.script_key(ctx), getattr(function, "__name__", ""), whole)
        return guarded

    return decorate


def rule_of(function: object) -> Rule | None:
    """Return what `requires` demands of a function, through partials, bound methods and well-behaved decorators."""
    seen = 0
    while function is not None and seen < 64:  # noqa: PLR2004  longer than any real chain, so that a cycle ends
        rule = getattr(function, RULE_ATTRIBUTE, None)
        if rule is not None:
            return cast("Rule", rule)
        function = getattr(function, "func", None) or getattr(function, "__wrapped__", None)
        seen += 1
    return None


def _wrap(function: Callable[P, R], rule: Rule, *, on_deny: OnDeny) -> Callable[P, R | None]:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def guarded_coroutine(*args: P.args, **kwargs: P.kwargs) -> Any:  # noqa: ANN401  what it returned before
            if not _admit(rule, on_deny=on_deny, caller=private.caller()):
                return None
            with demanding(rule):
                return await cast("Coroutine[Any, Any, R]", function(*args, **kwargs))

        return cast("Callable[P, R]", guarded_coroutine)

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def guarded_generator(*args: P.args, **kwargs: P.kwargs) -> Generator[Any, Any, Any]:
            # A generator's body runs when it is iterated, so that is when the question is asked.
            if not _admit(rule, on_deny=on_deny, caller=private.caller()):
                return None
            return (yield from in_steps(function(*args, **kwargs), rule))

        return cast("Callable[P, R]", guarded_generator)

    if inspect.isasyncgenfunction(function):
        return cast("Callable[P, R]", _wrap_async_generator(function, rule, on_deny=on_deny))

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R | None:
        if not _admit(rule, on_deny=on_deny, caller=private.caller()):
            return None
        with demanding(rule):
            return function(*args, **kwargs)

    return guarded


def _wrap_async_generator(
    function: Callable[P, AsyncGenerator[Any, Any]], rule: Rule, *, on_deny: OnDeny
) -> Callable[P, AsyncGenerator[Any, Any]]:
    """Do what `in_steps` does for a generator; nothing like `yield from` hands an async one on."""

    @functools.wraps(function)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Any, Any]:
        if not _admit(rule, on_deny=on_deny, caller=private.caller()):
            return
        body = function(*args, **kwargs)
        step: Awaitable[Any] = body.__anext__()
        while True:
            try:
                with demanding(rule):
                    value = await step
            except StopAsyncIteration:
                return
            try:
                sent = yield value
            except GeneratorExit:
                with demanding(rule):
                    await body.aclose()
                raise
            except BaseException as thrown:  # noqa: BLE001  the generator decides about it
                step = body.athrow(thrown)
            else:
                step = body.asend(sent)

    return guarded


def _admit(rule: Rule, *, on_deny: OnDeny, caller: str | None) -> bool:
    """Decide, and carry out a refusal. Returns True to go on, False to return without calling.

    Args:
        rule: what is demanded.
        on_deny: what to do when refused.
        caller: the module that called the guarded function; None for a statement.
    """
    asked = standing()
    decision = asked.decide(rule, org=asked.org)
    asked.report(decision)
    screens.show_notices(asked)
    if decision.allowed:
        return True
    if on_deny == "raise":
        raise AccessDenied(decision)
    if private.in_callback(asked.ctx):
        _refuse_callback(asked, decision, on_deny=on_deny, returns=private.is_callback_caller(caller))
    elif on_deny == "stop":
        in_fragment = private.is_fragment_caller(caller)
        screens.show_refusal(asked, decision, brief=in_fragment or private.in_fragment_run(asked.ctx))
        # A fragment that returns is refused alone and forgotten by Streamlit, unless it is drawn again; `st.stop` would
        # take the rest of the page with it and keep the fragment alive.
        if not in_fragment:
            st.stop()
    return False


def _refuse_callback(asked: Standing, decision: Decision, *, on_deny: OnDeny, returns: bool) -> None:
    """Refuse in a callback, so that the body of the script runs and shows it.

    STREAMLIT 1.67: `st.stop` in a callback leaves a blank page. Returning lets the body run; where other code called
    the guarded function, that code must not go on, and `st.rerun` leaves it.
    """
    if on_deny == "hide":
        return
    text = screens.sentence(asked, decision)
    if private.in_fragment_run(asked.ctx) and returns:
        st.toast(text, icon=screens.LOCK)
        return
    if returns and not asked.memo.navigates:
        st.error(text, icon=screens.LOCK)
        return
    asked.memo.notices.append(text)
    if not returns:
        st.rerun()


# --- the same as a statement, and as a question ----------------------------------------------------------------------


def authorize(  # noqa: PLR0913  one keyword for each thing that can be demanded
    action: str | None = None,
    *,
    role: Names | None = None,
    permission: Names | None = None,
    org: Names | None = None,
    group: Names | None = None,
    email: Names | None = None,
    any_of: Sequence[Part] | None = None,
    all_of: Sequence[Part] | None = None,
    on_deny: Literal["stop", "raise"] = "stop",
) -> None:
    """Go on only for who may; the same as `requires`, as a statement.

    Arguments as for `requires`. In a callback the rest of the callback is skipped and the page shows the refusal.

    Raises:
        AccessDenied: refused, with `on_deny="raise"`.
        ConfigurationError: nothing is demanded, or a name is not declared in the policy.
    """
    if on_deny not in {"stop", "raise"}:
        raise ConfigurationError(f"on_deny of a statement is `stop` or `raise`, got {quote(on_deny)}")
    rule = rule_from(
        action, role=role, permission=permission, org=org, group=group, email=email, any_of=any_of, all_of=all_of
    )
    if not _admit(rule, on_deny=on_deny, caller=None):
        # SECURITY: a refusal leaves by st.stop or st.rerun; should either return, the code after this must not run.
        raise AccessDenied(refused("rule"))


def can(  # noqa: PLR0913  one keyword for each thing that can be asked
    action: str | None = None,
    *,
    page: str | None = None,
    role: Names | None = None,
    permission: Names | None = None,
    group: Names | None = None,
    email: Names | None = None,
    any_of: Sequence[Part] | None = None,
    all_of: Sequence[Part] | None = None,
    org: str | None = None,
) -> bool:
    """Tell whether who asks may do something, now.

    Hiding is no protection: what happens behind the button needs `requires` or `authorize` as well.

    Args:
        action: a permission, `page:NAME`, or `signed_in`.
        page: a page's name. It is asked about as `navigation` lists it, with its section and its function's own
            `requires`. Where no session has built a menu with it since the server started, neither is known; then the
            rule of every section must hold, and what `requires` demands of any function of that name.
        role: a role.
        permission: a permission.
        group: a group of the identity provider.
        email: a verified e-mail.
        any_of: demands of which one must hold, as for `requires`.
        all_of: demands that must all hold, as for `requires`.
        org: the org to ask in; None for the active one.

    Raises:
        ConfigurationError: nothing is asked, or a name is not declared in the policy.
    """
    page, action = _page_of(page, action)
    if page is not None:
        return _explain_page(page, org=org).allowed and _also(
            role=role, permission=permission, group=group, email=email, any_of=any_of, all_of=all_of, org=org
        )
    rule = rule_from(action, role=role, permission=permission, group=group, email=email, any_of=any_of, all_of=all_of)
    asked = standing()
    return asked.holds(rule, org=asked.org if org is None else org)


def explain(  # noqa: PLR0913  one keyword for each thing that can be asked
    action: str | None = None,
    *,
    page: str | None = None,
    role: Names | None = None,
    permission: Names | None = None,
    group: Names | None = None,
    email: Names | None = None,
    any_of: Sequence[Part] | None = None,
    all_of: Sequence[Part] | None = None,
    org: str | None = None,
) -> Decision:
    """Decide as `can` does, with the reason and what is missing. Arguments and errors as for `can`, a page alone.

    The text of a decision names roles and rules: it is for admins and logs, not for who was refused.
    """
    page, action = _page_of(page, action)
    if page is not None:
        if any(given is not None for given in (action, role, permission, group, email, any_of, all_of)):
            raise ConfigurationError("explain takes a page or other demands, got both; ask one after the other")
        return _explain_page(page, org=org)
    rule = rule_from(action, role=role, permission=permission, group=group, email=email, any_of=any_of, all_of=all_of)
    asked = standing()
    return asked.decide(rule, org=asked.org if org is None else org)


def subject() -> Subject | None:
    """Return who asks, with what they hold; None when nobody is signed in."""
    return standing().subject


def _page_of(page: str | None, action: str | None) -> tuple[str | None, str | None]:
    if action is not None and isinstance(action, str) and action.startswith(PAGE_ACTION):
        if page is not None:
            raise ConfigurationError(f"both {quote(action)} and page= given; ask for one page")
        return action.removeprefix(PAGE_ACTION), None
    return page, action


def _explain_page(page: str, *, org: str | None) -> Decision:
    asked = standing()
    return asked.page(page, org=asked.org if org is None else org)


def _also(*, org: str | None, **demands: Any) -> bool:  # noqa: ANN401  the keywords of `can`, typed there
    return all(value is None for value in demands.values()) or can(org=org, **demands)


# --- what can't be guarded -------------------------------------------------------------------------------------------


def _reject_bare(action: object, *, name: str) -> None:
    if callable(action):
        raise ConfigurationError(
            f'@sg.{name} stands without parentheses; write @sg.{name}("area:verb") or role=, group='
        )


def _reject_unguardable(function: object) -> None:
    if isinstance(function, classmethod | property):
        kind = type(function).__name__
        raise ConfigurationError(f"@sg.requires stands above @{kind}; put @{kind} above and @sg.requires below it")
    if inspect.isclass(function):
        raise ConfigurationError("@sg.requires guards functions, got a class; put it on the methods")
    if not callable(function):
        raise ConfigurationError(f"@sg.requires guards functions, got {quote(type(function).__name__)}")


def _reject_wrong_order(function: Callable[..., Any]) -> None:
    """Refuse the orders of decorators in which the guard would not hold.

    STREAMLIT 1.67: `st.fragment` and `st.dialog` call what is below them again without what is above, and
    `st.cache_data` and `st.cache_resource` don't call what is below them on a hit.
    """
    inner: Any = function
    for _ in range(64):
        wrapper = private.wrapper_of(inner)
        if wrapper is not None:
            name = quote(getattr(function, "__name__", "function"))
            raise ConfigurationError(
                f"@sg.requires above @{wrapper} on {name} checks only once, not when the fragment runs again; "
                f"the right order is @{wrapper} above, @sg.requires below it"
            )
        inner = getattr(inner, "__wrapped__", None)
        if inner is None:
            break
    cache = _cache_above(function)
    if cache is not None:
        raise ConfigurationError(
            f"@sg.requires below @{cache} on {quote(getattr(function, '__name__', 'function'))} is skipped when the "
            f"result is in the cache; the right order is @sg.requires above, @{cache} below it"
        )


def _cache_above(function: Callable[..., Any]) -> str | None:
    """Return the cache decorator that the source has above `requires` on a function; None when it has none.

    What the source doesn't show of Streamlit's caches (another name, a call instead of a decorator) is refused when
    the function runs.
    """
    code = getattr(function, "__code__", None)
    if code is None:
        return None
    try:
        written = Path(code.co_filename).stat().st_mtime_ns
    except OSError:
        return None
    known = getattr(function, "__globals__", {})
    return next(
        (name for name in _above_guard(code.co_filename, code.co_firstlineno, written) if _keeps(name, known)), None
    )


def _keeps(name: str, known: Mapping[str, object]) -> bool:
    """Tell whether a decorator keeps results, by its name or by what that stands for in its module."""
    if name.rpartition(".")[2] in _CACHES:
        return True
    first, *rest = name.split(".")
    stands_for = functools.reduce(lambda found, part: getattr(found, part, None), rest, known.get(first))
    return any(stands_for is each for each in _KEEPS)


@functools.lru_cache(maxsize=2048)
def _above_guard(file: str, line: int, _written: int) -> tuple[str, ...]:
    """Return the names of the decorators that stand above `requires` at a line."""
    linecache.checkcache(file)
    lines = linecache.getlines(file)[line - 1 :]
    if not lines or not lines[0].lstrip().startswith("@"):
        return ()
    names = [_decorator_name(node) for node in _decorators(lines)]
    guard = next((at for at, name in enumerate(names) if name.rpartition(".")[2] == "requires"), len(names))
    return tuple(names[:guard])


def _decorators(lines: list[str]) -> list[ast.expr]:
    """Return the decorators at the head of a piece of source, first line first."""
    block = inspect.getblock(lines)
    indent = len(block[0]) - len(block[0].lstrip())
    try:
        tree = ast.parse("".join(line[indent:] if line.strip() else line for line in block))
    except SyntaxError:
        return []
    head = tree.body[0] if tree.body else None
    return head.decorator_list if isinstance(head, ast.FunctionDef | ast.AsyncFunctionDef) else []


def _decorator_name(node: ast.expr) -> str:
    return ast.unparse(node.func if isinstance(node, ast.Call) else node)


def _check_early(rule: Rule) -> None:
    """Check the names in a rule at decoration, where the app's policy is already at hand."""
    ctx = private.context()
    settings = known_settings(ctx) if ctx is not None else None
    if settings is None:
        return
    try:
        policy = settings.policy()
    except PolicyFileError:
        return  # said at the first use
    settings.check(rule, policy=policy)
