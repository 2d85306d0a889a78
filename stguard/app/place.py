"""To which page the running code belongs, so that what it registers can be bound to that page's rule."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from stguard.app import private
from stguard.model import AllOf, Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from stguard.app.private import ScriptRunContext

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Say to which page the code that runs belongs.

    Attributes:
        page: the page's name; None for the entry script.
        section: the menu section it stands in.
        extra: what `@requires` on the page itself demands; None for nothing.
        inner: what `@requires` around the running code demands besides; None for nothing.
        free: whether the code is stguard's own, which needs no permission: the sign-in page, a refusal, the menu.
    """

    page: str | None = None
    section: str | None = None
    extra: Rule | None = None
    inner: Rule | None = None
    free: bool = False


ENTRY_SCRIPT: Final = Place()
OURS: Final = Place(free=True)

_place: ContextVar[Place | None] = ContextVar("stguard_place", default=None)


@contextmanager
def at(place: Place) -> Generator[None]:
    """Run code that belongs to a place."""
    before = _place.get() or ENTRY_SCRIPT
    _place.set(place)
    _tell_threads(place)
    try:
        yield
    finally:
        # Not back to nothing, which stands for a thread of the author's: what follows is the entry script's own.
        _place.set(before)
        if before is not ENTRY_SCRIPT:
            _tell_threads(before)


@contextmanager
def demanding(rule: Rule) -> Generator[None]:
    """Run code that a `@requires` guards: what it registers is bound to that rule too."""
    ctx = private.context()
    here = ENTRY_SCRIPT if ctx is None else here_in(ctx)
    place = replace(here, inner=rule if here.inner is None else AllOf((here.inner, rule)))
    token = _place.set(place)
    _tell_threads(place)
    try:
        yield
    finally:
        _place.reset(token)
        _tell_threads(here)


def in_steps(body: Generator[Any, Any, R], rule: Rule) -> Generator[Any, Any, R]:
    """Run a generator as `yield from` does, with each of its steps `demanding` a rule.

    Between two steps the code that iterates runs, which the rule doesn't guard.
    """
    step: Callable[[], Any] = body.__next__
    while True:
        try:
            with demanding(rule):
                value = step()
        except StopIteration as end:
            return cast("R", end.value)
        try:
            sent = yield value
        except GeneratorExit:
            with demanding(rule):
                body.close()
            raise
        except BaseException as thrown:  # noqa: BLE001  the generator decides about it, as in `yield from`
            step = partial(body.throw, thrown)
        else:
            step = partial(body.send, sent)


def _tell_threads(place: Place) -> None:
    ctx = private.context()
    if ctx is not None and not private.in_callback(ctx):
        private.run_at(ctx, place)


def here_in(ctx: ScriptRunContext) -> Place:
    """Return the place of the running code.

    SECURITY: a thread that the author started has no context of its own; what it registers belongs to the page that
    runs, not to the entry script, whose rule is weaker.
    """
    place = _place.get()
    if place is not None:
        return place
    running = private.running_place(ctx)
    return ENTRY_SCRIPT if running is None or running.free else cast("Place", running)
