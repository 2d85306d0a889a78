"""Caches that never hand one org's value to another: `cache_data`, `cache_resource`.

Streamlit's caches are shared by everybody in the process, and leave arguments that start with `_` out of the key. Here
who asks comes first in the key: the active org or the subject, found out at each call, and the policy's version.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import sys
import threading
import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, ParamSpec, TypeVar, cast, get_args, overload

import streamlit as st

from stguard.app import private
from stguard.app.guard import rule_of
from stguard.app.standing import Standing, standing
from stguard.errors import AccessDenied, ConfigurationError, quote
from stguard.model import Decision, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from datetime import timedelta

P = ParamSpec("P")
R = TypeVar("R")

CacheScope = Literal["org", "subject", "session"]
"""Who shares a value: the active org, one subject in it, one browser session of that subject."""

KEYS_LIMIT: Final = 10_000
"""Most values of one scope that are remembered for `clear`; beyond, `clear` drops those of every scope."""


class _Part(bytes):
    """Be the first part of the key: a digest of fixed length, with what it stands for.

    SECURITY: `bytes`, because Streamlit hashes those as they are, before it looks at `hash_funcs`: a function there
    for `str` that returns a constant would make one org of all.
    """

    scope: _Scope

    @classmethod
    def of(cls, scope: _Scope) -> _Part:
        parts = [scope.kind, scope.org, scope.subject, scope.policy, scope.viewed]
        made = cls(hashlib.sha256(json.dumps(parts).encode()).digest())
        made.scope = scope
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scope:
    """Say for whom a value is: a call with another scope never gets it.

    Attributes:
        kind: what the author chose.
        org: the active org; None in a policy without orgs, or when a subject has none active.
        subject: the subject's id and e-mail; None when the value is the org's.
        policy: the policy's version.
        multi_tenant: whether the policy has orgs.
        viewed: who looks at the app, and as whom; None where nobody looks as somebody else. What is worked out then
            follows from the rights of both.
    """

    kind: CacheScope
    org: str | None
    subject: tuple[str | None, str | None] | None
    policy: str
    multi_tenant: bool
    viewed: tuple[str | None, str | None, str] | None = None


@dataclass(frozen=True, slots=True)
class _Inside:
    """Note that one of our functions is being computed, for whom, and under how many of Streamlit's caches."""

    scope: _Scope
    depth: int | None


_inside: ContextVar[_Inside | None] = ContextVar("stguard_inside_cache", default=None)


@dataclass(slots=True, eq=False)
class _Book:
    """Remember what a function has cached under the policy in force.

    Attributes:
        version: the policy's version.
        keys: Streamlit's keys of the values by scope; None: too many to tell, or unknowable.
    """

    version: str
    keys: dict[bytes, set[str] | None] = field(default_factory=dict)


_lock: Final = threading.Lock()
_books: Final[dict[object, _Book]] = {}
"""By Streamlit's key of the function, which stays the same when a rerun makes the function anew."""


class ScopedCache(Generic[P, R]):
    """Be a cached function: called, it returns the value of who asks, from the cache or computed now."""

    def __init__(
        self,
        function: Callable[P, R],
        decorator: Callable[[Any], Any],
        *,
        name: str,
        scope: CacheScope,
        persists: bool,
    ) -> None:
        """Put Streamlit's cache on a function, with our part first in its key."""
        functools.update_wrapper(self, function)
        self._name = name
        self._scope: CacheScope = scope
        self._persists = persists
        self._cached = decorator(self._keyed(function))
        self._book_key = private.function_key(self._cached) or (name, function.__module__, function.__qualname__)
        # A decorator above copies what stands in `__dict__`, so `clear` is still there below `@sg.requires`.
        self.__dict__.update(clear=self.clear, clear_all=self.clear_all)

    def __repr__(self) -> str:
        """Return what it caches."""
        return f"<{self._name} of {self.__wrapped__}>"  # type: ignore[attr-defined]  # set by update_wrapper

    def __get__(self, instance: object, owner: type | None = None) -> Any:  # noqa: ANN401  as Streamlit's own
        """Be a method when defined in a class."""
        return self if instance is None else functools.update_wrapper(_Bound(self, instance), self, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the value for who asks.

        Raises:
            AccessDenied: nobody is signed in, or no org is active.
            ConfigurationError: outside a script run, or inside a function that is cached for more people.
        """
        return cast("R", self._cached(self._part(), *args, **kwargs))

    def clear(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  arguments of any function
        """Drop what is cached for who asks: with arguments, the value of that call; without, every value.

        Values on disk (`persist`) are dropped for everybody, as those of an earlier process can't be told apart.
        """
        part = self._part()
        if args or kwargs:
            self._cached.clear(part, *args, **kwargs)
            return
        with _lock:
            book = _books.get(self._book_key)
            keys = book.keys.pop(part, set()) if book is not None else set()
        told_apart = keys is not None and not self._persists and self._scope != "session"
        if not told_apart or not all(private.forget(self._cached, key) for key in keys or ()):
            self._cached.clear()

    def clear_all(self) -> None:
        """Drop what is cached for anybody; works outside a script run too."""
        with _lock:
            _books.pop(self._book_key, None)
        self._cached.clear()

    # --- the key

    def _part(self) -> _Part:
        inside = _inside.get()
        if inside is not None and inside.depth is not None and inside.depth == private.cache_depth():
            return _Part.of(self._scope_within(inside))
        if private.in_cached_function() or inside is not None:
            raise ConfigurationError(
                f"@sg.{self._name} on {self._title} is called inside a function under st.cache_data or "
                f"st.cache_resource, whose result is kept for everybody; put @sg.{self._name} on that one too"
            )
        asked = standing()
        part = _Part.of(self._scope_of(asked))
        self._turn(part.scope.policy)
        return part

    def _scope_of(self, asked: Standing) -> _Scope:
        who, org = asked.subject, asked.org
        if who is None:
            raise _refusal(self._name, Reason.NOT_SIGNED_IN, "a sign-in")
        if self._scope == "org" and org is None and asked.policy.multi_tenant:
            raise _refusal(self._name, Reason.NO_ORG, "an active org, chosen with `sg.org_selector()`")
        subject = None if self._scope == "org" else (who.id, who.email)
        if subject == (None, None):
            # SECURITY: without an id, two people would share one key.
            raise _refusal(self._name, Reason.UNKNOWN, "a `sub` or a verified e-mail in the claims")
        policy = asked.policy
        viewer, view = asked.viewer, asked.view
        return _Scope(
            kind=self._scope,
            org=org,
            subject=subject,
            policy=policy.version,
            multi_tenant=policy.multi_tenant,
            viewed=None if viewer is None or view is None else (viewer.id, viewer.email, view.target.id),
        )

    def _scope_within(self, inside: _Inside) -> _Scope:
        """Return the scope inside another cached function of ours: that one's, which must not be wider."""
        outer = inside.scope
        if self._scope != "org" and outer.subject is None:
            raise ConfigurationError(
                f"@sg.{self._name}(scope={self._scope!r}) on {self._title} is called inside a function that is cached "
                f'for the whole org; give that one scope="subject"'
            )
        if self._scope == "org" and outer.org is None and outer.multi_tenant:
            raise _refusal(self._name, Reason.NO_ORG, "an active org, chosen with `sg.org_selector()`")
        return replace(outer, kind=self._scope, subject=None if self._scope == "org" else outer.subject)

    def _turn(self, version: str) -> None:
        """Drop what was cached under another policy: nobody can reach it any more."""
        with _lock:
            book = _books.get(self._book_key)
            if book is not None and book.version == version:
                return
            _books[self._book_key] = _Book(version)
        if book is not None:
            self._cached.clear()

    def _note(self, part: _Part, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Remember under which key a value is about to be kept."""
        key = private.value_key(self._cached, (part, *args), kwargs)
        with _lock:
            book = _books.setdefault(self._book_key, _Book(part.scope.policy))
            keys = book.keys.setdefault(bytes(part), set())
            if key is None or (keys is not None and len(keys) >= KEYS_LIMIT):
                book.keys[bytes(part)] = None
            elif keys is not None:
                keys.add(key)

    # --- what Streamlit caches

    def _keyed(self, function: Callable[P, R]) -> Callable[..., Any]:
        """Return the function with our part as its first argument, and otherwise what Streamlit looks at unchanged."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def keyed_coroutine(part: _Part, /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  as `function`
                self._note(part, args, kwargs)
                with _computing(part.scope):
                    return await cast("Any", function(*args, **kwargs))

            keyed: Any = keyed_coroutine
        else:

            @functools.wraps(function)
            def keyed_function(part: _Part, /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  as `function`
                self._note(part, args, kwargs)
                with _computing(part.scope):
                    return function(*args, **kwargs)

            keyed = keyed_function
        # STREAMLIT 1.57 to 1.67: the names of positional arguments, and so their underscores, come from the signature.
        signature = _signature(function)
        first = inspect.Parameter("stguard_scope", inspect.Parameter.POSITIONAL_ONLY)
        keyed.__signature__ = signature.replace(parameters=[first, *signature.parameters.values()])
        return cast("Callable[..., Any]", keyed)

    @property
    def _title(self) -> str:
        return quote(getattr(self, "__name__", "function"))


class _Bound(Generic[P, R]):
    """Be a cached method of one object."""

    def __init__(self, cache: ScopedCache[P, R], instance: object) -> None:
        self._cache = cache
        self._instance = instance

    def __call__(self, *args: Any, **kwargs: Any) -> R:  # noqa: ANN401  arguments of any function
        """Return the value for who asks."""
        call = cast("Callable[..., R]", self._cache)
        return call(self._instance, *args, **kwargs)

    def clear(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  arguments of any function
        """Drop what is cached for who asks: with arguments for this object, without for every object."""
        if args or kwargs:
            self._cache.clear(self._instance, *args, **kwargs)
        else:
            self._cache.clear()

    def clear_all(self) -> None:
        """Drop what is cached for anybody."""
        self._cache.clear_all()


@contextmanager
def _computing(scope: _Scope) -> Generator[None]:
    token = _inside.set(_Inside(scope, private.cache_depth()))
    try:
        yield
    finally:
        _inside.reset(token)


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    if sys.version_info >= (3, 14):
        from annotationlib import Format  # noqa: PLC0415  there from 3.14 on

        # Annotations that only a type checker can resolve must not be evaluated.
        return inspect.signature(function, annotation_format=Format.STRING)
    return inspect.signature(function)


def _refusal(name: str, reason: Reason, missing: str) -> AccessDenied:
    return AccessDenied(
        Decision(allowed=False, reason=reason, action=f"sg.{name}", org=None, at=time.time(), missing=(missing,))
    )


# --- the decorators --------------------------------------------------------------------------------------------------


class CacheData:
    """Cache what a function returns, for each org by itself; otherwise as `st.cache_data`."""

    def __init__(self) -> None:
        """Carry the name it is used by."""
        self.__name__ = "cache_data"

    @overload
    def __call__(self, func: Callable[P, R]) -> ScopedCache[P, R]: ...
    @overload
    def __call__(
        self,
        *,
        ttl: float | timedelta | str | None = None,
        max_entries: int | None = None,
        max_size: int | str | None = None,
        show_spinner: bool | str = True,
        show_time: bool = False,
        persist: Literal["disk"] | bool | None = None,
        hash_funcs: Mapping[str | type[Any], Callable[[Any], Any]] | None = None,
        scope: CacheScope = "org",
        refresh_mode: Literal["foreground", "background"] | None = None,
    ) -> Callable[[Callable[P, R]], ScopedCache[P, R]]: ...
    def __call__(  # noqa: PLR0913  all parameters of `st.cache_data`
        self,
        func: Callable[P, R] | None = None,
        *,
        ttl: float | timedelta | str | None = None,
        max_entries: int | None = None,
        max_size: int | str | None = None,
        show_spinner: bool | str = True,
        show_time: bool = False,
        persist: Literal["disk"] | bool | None = None,
        hash_funcs: Mapping[str | type[Any], Callable[[Any], Any]] | None = None,
        scope: CacheScope = "org",
        refresh_mode: Literal["foreground", "background"] | None = None,
    ) -> ScopedCache[P, R] | Callable[[Callable[P, R]], ScopedCache[P, R]]:
        """Decorate a function; bare, or called with the parameters of `st.cache_data`.

        The active org (or the subject) is found out at each call and stands in the key with the policy's version, so
        what the function gets by an argument with an underscore, a global or a closure stays within the org. In a
        policy without orgs, everybody who is signed in shares one value. A policy edit drops what was cached.

        Args:
            func: the function, in the bare form.
            ttl: as for `st.cache_data`.
            max_entries: as there; counts the values of all orgs together, as `max_size` does.
            max_size: as there, where this Streamlit has it.
            show_spinner: as there.
            show_time: as there.
            persist: as there.
            hash_funcs: as there; they see the function's arguments, never the org.
            scope: `org` shares values within the active org; `subject` keeps them to one subject, and in each org
                apart; `session` to one browser session of that subject.
            refresh_mode: as there, where this Streamlit has it.

        Raises:
            ConfigurationError: the order of the decorators would let values pass between orgs, or this Streamlit has
                no such parameter.
        """
        options = _given(
            st.cache_data,
            scope,
            ttl=ttl,
            max_entries=max_entries,
            max_size=max_size,
            show_spinner=show_spinner,
            show_time=show_time,
            persist=persist,
            hash_funcs=dict(hash_funcs) if hash_funcs is not None else None,
            refresh_mode=refresh_mode,
        )
        decorator = st.cache_data(**options)

        def decorate(function: Callable[P, R]) -> ScopedCache[P, R]:
            _reject_uncachable(function, name="cache_data")
            return ScopedCache(function, decorator, name="cache_data", scope=scope, persists=bool(persist))

        return decorate if func is None else decorate(func)

    def clear(self) -> None:
        """Drop everything that any function has cached for anybody, `st.cache_data` included."""
        st.cache_data.clear()


class CacheResource:
    """Cache an object that a function makes, one for each org; otherwise as `st.cache_resource`."""

    def __init__(self) -> None:
        """Carry the name it is used by."""
        self.__name__ = "cache_resource"

    @overload
    def __call__(self, func: Callable[P, R]) -> ScopedCache[P, R]: ...
    @overload
    def __call__(
        self,
        *,
        ttl: float | timedelta | str | None = None,
        max_entries: int | None = None,
        show_spinner: bool | str = True,
        show_time: bool = False,
        validate: Callable[[Any], bool] | None = None,
        hash_funcs: Mapping[str | type[Any], Callable[[Any], Any]] | None = None,
        on_release: Callable[[Any], None] | None = None,
        scope: CacheScope = "org",
        refresh_mode: Literal["foreground", "background"] | None = None,
    ) -> Callable[[Callable[P, R]], ScopedCache[P, R]]: ...
    def __call__(  # noqa: PLR0913  all parameters of `st.cache_resource`
        self,
        func: Callable[P, R] | None = None,
        *,
        ttl: float | timedelta | str | None = None,
        max_entries: int | None = None,
        show_spinner: bool | str = True,
        show_time: bool = False,
        validate: Callable[[Any], bool] | None = None,
        hash_funcs: Mapping[str | type[Any], Callable[[Any], Any]] | None = None,
        on_release: Callable[[Any], None] | None = None,
        scope: CacheScope = "org",
        refresh_mode: Literal["foreground", "background"] | None = None,
    ) -> ScopedCache[P, R] | Callable[[Callable[P, R]], ScopedCache[P, R]]:
        """Decorate a function; bare, or called with the parameters of `st.cache_resource`.

        Scopes, the policy's version and errors as for `cache_data`. `max_entries` counts the objects of all orgs
        together; a policy edit releases every object (`on_release`).

        Args:
            func: the function, in the bare form.
            ttl: as for `st.cache_resource`.
            max_entries: as there.
            show_spinner: as there.
            show_time: as there.
            validate: as there.
            hash_funcs: as there; they see the function's arguments, never the org.
            on_release: as there.
            scope: as for `cache_data`.
            refresh_mode: as there, where this Streamlit has it.

        Raises:
            ConfigurationError: as for `cache_data`.
        """
        options = _given(
            st.cache_resource,
            scope,
            ttl=ttl,
            max_entries=max_entries,
            show_spinner=show_spinner,
            show_time=show_time,
            validate=validate,
            hash_funcs=dict(hash_funcs) if hash_funcs is not None else None,
            on_release=on_release,
            refresh_mode=refresh_mode,
        )
        decorator = st.cache_resource(**options)

        def decorate(function: Callable[P, R]) -> ScopedCache[P, R]:
            _reject_uncachable(function, name="cache_resource")
            return ScopedCache(function, decorator, name="cache_resource", scope=scope, persists=False)

        return decorate if func is None else decorate(func)

    def clear(self) -> None:
        """Drop every object that any function has cached for anybody, `st.cache_resource` included."""
        st.cache_resource.clear()


cache_data: Final = CacheData()
cache_resource: Final = CacheResource()


def _given(streamlits: Callable[..., Any], scope: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401  of any type
    """Return the options to hand on to Streamlit's decorator; those it doesn't have must not be asked for."""
    if scope not in get_args(CacheScope):
        way_out = "; for what is the same for everybody use Streamlit's own cache" if scope == "global" else ""
        raise ConfigurationError(f"scope of a cache is `org`, `subject` or `session`, got {quote(scope)}{way_out}")
    known = inspect.signature(streamlits).parameters
    chosen = {name: value for name, value in options.items() if value is not None}
    for name in chosen:
        if name not in known:
            raise ConfigurationError(f"this Streamlit ({st.__version__}) has no {quote(name)} for its caches")
    # SECURITY: Streamlit's own session scope only narrows; our part stands in the key all the same.
    return {**chosen, "scope": "session"} if scope == "session" else chosen


def _reject_uncachable(function: object, *, name: str) -> None:
    """Refuse what would be handed on without asking, or kept under one key for different functions."""
    if rule_of(function) is not None:
        raise ConfigurationError(
            f"@sg.requires below @sg.{name} on {quote(getattr(function, '__name__', 'function'))} is skipped when the "
            f"result is in the cache; the right order is @sg.requires above, @sg.{name} below it"
        )
    inner, seen = function, 0
    while inner is not None and seen < 64:  # noqa: PLR2004  longer than any real chain, so that a cycle ends
        if isinstance(inner, ScopedCache) or private.is_cached(inner):
            raise ConfigurationError(
                f"@sg.{name} stands above another cache; of Streamlit's own, that would hand one org's result to "
                f"another; leave only @sg.{name}"
            )
        inner, seen = getattr(inner, "__wrapped__", None), seen + 1
    if not inspect.isfunction(function):
        kind = type(function).__name__
        raise ConfigurationError(
            f"@sg.{name} caches functions, got {quote(kind)}; put it on a `def`, below @staticmethod or @classmethod"
        )
    if inspect.isasyncgenfunction(function):
        raise ConfigurationError(f"@sg.{name} can't keep an async generator; return a list")
