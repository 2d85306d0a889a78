"""Ask again when it runs: callbacks, fragments, dialogs, timed reruns, deferred downloads, lazy tables.

Streamlit calls what a page registered without running the page, so a guard in the page does not hold for it. While a
page runs under `navigation`, whatever it registers is bound to its rule and to the person who registered it, and the
question is asked again at the moment of use. What stands above `navigation` in the entry script belongs to the entry
script, whose rule is `signed_in` unless the policy gives the script's own name another.
"""

from __future__ import annotations

import functools
import logging
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from stguard.app import private, screens
from stguard.app.settings import Settings, known_settings
from stguard.app.standing import Memo, Standing, session_memo, standing
from stguard.errors import AccessDenied, ConfigurationError, StguardError
from stguard.model import AllOf, Decision, Reason, Rule, SignedIn, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from pathlib import Path

    from stguard.policy import Policy

_LOG: Final = logging.getLogger("stguard")

_SIGNED_IN: Final = SignedIn()

_MARK: Final = "__stguard_mediated__"
"""Attribute of what is already bound, so that nothing is bound twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Say to which page the code that runs belongs.

    Attributes:
        page: the page's name; None for the entry script.
        section: the menu section it stands in.
        demand: what `@requires` on the page and around the running code demands; None for nothing.
        free: whether the code is stguard's own, which needs no permission: the sign-in page, a refusal.
    """

    page: str | None = None
    section: str | None = None
    demand: Rule | None = None
    free: bool = False


ENTRY_SCRIPT: Final = Place()
OURS: Final = Place(free=True)

_place: ContextVar[Place | None] = ContextVar("stguard_place", default=None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Binding:
    """Bind what is registered to its place and to who registered it.

    Attributes:
        place: whose code it is.
        subject: who was signed in; None for nobody.
        org: the org that was active.
        settings: the app's settings.
        script: the main script.
        memo: what the session remembers.
        user: the session's live claims, which Streamlit empties at sign-out.
        signed_in: whether there were any.
    """

    place: Place
    subject: Subject | None
    org: str | None
    settings: Settings
    script: Path
    memo: Memo
    user: Mapping[str, object]
    signed_in: bool

    def decide(self, policy: Policy, subject: Subject | None, *, org: str | None) -> Decision:
        """Decide whether it may run for somebody."""
        place = self.place
        demand = None if place.demand is None else self.settings.check(place.demand, policy=policy)
        if place.page is not None:
            return policy.opens(subject, place.page, section=place.section, extra=demand, org=org)
        name = private.file_page_name(self.script.name)
        rule = policy.parts.pages[name].rule if name in policy.parts.pages else _SIGNED_IN
        return policy.explain(subject, rule if demand is None else AllOf((rule, demand)), org=org)


# --- where the running code belongs ----------------------------------------------------------------------------------


@contextmanager
def at(place: Place) -> Generator[None]:
    """Run code that belongs to a place."""
    token = _place.set(place)
    try:
        yield
    finally:
        _place.reset(token)


@contextmanager
def demanding(rule: Rule) -> Generator[None]:
    """Run code that a `@requires` guards: what it registers is bound to that rule too."""
    here = _place.get() or ENTRY_SCRIPT
    demand = rule if here.demand is None else AllOf((here.demand, rule))
    with at(replace(here, demand=demand)):
        yield


def _binding() -> Binding | None:
    """Return what binds the code that is registering something now; None where stguard guards nothing."""
    ctx = private.context()
    place = _place.get()
    if ctx is None or (place is not None and place.free):
        return None
    settings = known_settings(ctx)
    if settings is None or settings.hooks == "off":
        return None
    try:
        asked = standing()
    except StguardError:
        # Access can't be checked: what is bound to nobody and no policy is refused when it runs.
        subject, org = None, None
    else:
        subject, org = asked.subject, asked.org
    user = private.live_user(ctx)
    return Binding(
        place=place or ENTRY_SCRIPT,
        subject=subject,
        org=org,
        settings=settings,
        script=private.main_script(ctx),
        memo=session_memo(),
        user=user,
        signed_in=bool(user),
    )


# --- asking again ----------------------------------------------------------------------------------------------------


def _may_run(binding: Binding) -> bool:
    """Ask again, in a script run; a refusal is told when the page is drawn."""
    if binding.place.page is None and not binding.memo.navigates:
        return True  # an app without `navigation` guards by `@requires` alone
    try:
        asked = standing()
        decision = binding.decide(asked.policy, asked.subject, org=asked.org)
    except StguardError:
        _LOG.exception("access could not be checked; refused")
        return False
    if not _same_person(binding.subject, asked.subject):
        # SECURITY: what one person registered never runs for another, nor after sign-out.
        _LOG.info("refused what was registered for somebody else")
        return False
    if not decision.allowed:
        asked.report(decision)
        asked.memo.notices.append(screens.sentence(asked, decision))
    return decision.allowed


def _refused_outside(binding: Binding) -> Decision | None:
    """Ask again outside a script run, about who registered it. Returns the refusal, or None to go on."""
    if binding.place.page is None and not binding.memo.navigates:
        return None
    policy = binding.settings.policy()
    signed_out = binding.signed_in and not binding.user
    if signed_out:
        # SECURITY: `st.logout` empties the session's claims; what was registered before is gone for good.
        return replace(binding.decide(policy, None, org=None), allowed=False, reason=Reason.NOT_SIGNED_IN)
    decision = binding.decide(policy, binding.subject, org=binding.org)
    return None if decision.allowed else decision


def _same_person(one: Subject | None, other: Subject | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.ids == other.ids and one.email == other.email


# --- what is bound ---------------------------------------------------------------------------------------------------


def callback(function: Callable[..., Any]) -> Callable[..., Any]:
    """Bind a widget's callback: refused, it isn't called, and the page shows the refusal."""
    binding = _bindable(function)
    if binding is None:
        return function

    @functools.wraps(function)
    def asked_again(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  what the callback takes
        if not _may_run(binding):
            return None
        with at(binding.place):
            return function(*args, **kwargs)

    setattr(asked_again, _MARK, True)
    return asked_again


def fragment(function: Callable[[], Any]) -> Callable[[], Any]:
    """Bind a fragment, a dialog or a timed rerun: refused, a full rerun takes its place, and that refuses."""
    binding = _bindable(function)
    if binding is None:
        return function

    def asked_again() -> Any:  # noqa: ANN401  what the fragment returns
        if _may_run(binding):
            with at(binding.place):
                return function()
        if binding.place.page is None and binding.subject is None:
            return None  # nobody is signed in: the sign-in page is there already
        return st.rerun()

    setattr(asked_again, _MARK, True)
    return asked_again


def deferred(function: Callable[[], Any]) -> Callable[[], Any]:
    """Bind a download whose data is made when it is fetched, outside any script run."""
    binding = _bindable(function)
    if binding is None:
        return function

    def asked_again() -> Any:  # noqa: ANN401  the data
        refused = _refused_outside(binding)
        if refused is not None:
            raise AccessDenied(refused)
        return function()

    setattr(asked_again, _MARK, True)
    return asked_again


class LazySource:
    """Bind the source of a table whose rows are fetched later, outside any script run."""

    def __init__(self, source: Any, binding: Binding) -> None:  # noqa: ANN401  Streamlit's protocol
        """Take the source and what binds it."""
        self._source = source
        self._binding = binding

    def load_rows(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  Streamlit's protocol
        """Load rows for who registered the table, if they still may see it."""
        refused = _refused_outside(self._binding)
        if refused is not None:
            raise AccessDenied(refused)
        return self._source.load_rows(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  Streamlit's protocol
        """Be the source in everything else."""
        return getattr(self._source, name)


def lazy_source(source: Any) -> Any:  # noqa: ANN401  Streamlit's protocol
    """Bind the source of a lazy table."""
    binding = None if isinstance(source, LazySource) else _binding()
    return source if binding is None else LazySource(source, binding)


def _bindable(function: object) -> Binding | None:
    if isinstance(function, _Probe):
        function.reached += 1
        return None
    return None if getattr(function, _MARK, False) is True else _binding()


# --- the hooks -------------------------------------------------------------------------------------------------------


class _Probe:
    """Be registered at start-up by each hooked way, and count how many hooks were reached."""

    def __init__(self) -> None:
        self.reached = 0

    def __call__(self) -> None:
        """Do nothing; never called."""


_WAYS: Final = 3
"""How many ways `private.exercise_hooks` registers by."""


@functools.cache
def _fit() -> str | None:
    """Install the hooks once in a process, try them, and return what doesn't fit; None when all do."""
    try:
        private.hook_callbacks(callback)
        private.hook_fragments(fragment)
        private.hook_deferred(deferred)
        private.hook_lazy_sources(lazy_source)
        probe = _Probe()
        private.exercise_hooks(probe)
    except ConfigurationError as error:
        return str(error)
    except Exception:  # noqa: BLE001  whatever it is, the hooks can't be relied on
        _LOG.exception("the hooks into Streamlit could not be tried")
        return f"the hooks into this Streamlit could not be tried{_WAY_OUT}"
    return None if probe.reached == _WAYS else f"the hooks into this Streamlit are not reached{_WAY_OUT}"


_WAY_OUT: Final = '; use a version that stguard supports, or configure(hooks="off") and guard each callback by hand'


def mediate(asked: Standing) -> None:
    """Make sure that what this session registers is asked about again when it runs.

    Raises:
        ConfigurationError: the hooks don't fit this version of Streamlit, and are required.
    """
    if asked.settings.hooks == "off":
        _warn_off()
        return
    unfit = _fit()
    if unfit is not None:
        raise ConfigurationError(unfit)
    if not asked.memo.navigates:
        # What stands above the first `navigation` in this session was registered before anybody knew of it.
        with at(ENTRY_SCRIPT):
            private.bind_registered(asked.ctx, callback=callback, fragment=fragment)


@functools.cache
def _warn_off() -> None:
    _LOG.warning('hooks="off": callbacks, fragments and downloads without @sg.requires run without being asked about')
