"""Ask again when it runs: callbacks, fragments, dialogs, timed reruns, deferred downloads, lazy tables.

Streamlit calls what a page registered without running the page, so a guard in the page does not hold for it. While a
page runs under `navigation`, whatever it registers is bound to its rule and to the person who registered it, and the
question is asked again at the moment of use. What stands above `navigation` in the entry script belongs to the entry
script, whose rule is `signed_in` unless the policy gives the script's own name another.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import streamlit as st

from stguard.app import failures, private, screens, viewing, wishes
from stguard.app.place import ENTRY_SCRIPT, Place, at, here_in
from stguard.app.settings import Settings, known_settings
from stguard.app.standing import (
    Memo,
    Standing,
    live_user,
    log_once,
    refused,
    session_memo,
    standing,
    subject_of,
    this_run,
)
from stguard.errors import ConfigurationError, StguardError, quote
from stguard.model import Claims, Decision, SignedIn, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stguard.app.private import ScriptRunContext
    from stguard.policy import Policy

_LOG: Final = logging.getLogger("stguard")

_SIGNED_IN: Final = SignedIn()


class NotGivenError(PermissionError):
    """Tell Streamlit that what is fetched later is not given; its text may reach who asked."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Binding:
    """Bind what is registered to its place and to who registered it.

    Attributes:
        place: whose code it is.
        claims: the claims of who was signed in; None for nobody.
        subject: who that was; None for nobody, or when it couldn't be known.
        org: the org that was active.
        settings: the app's settings; None when there were none yet.
        script: the path of the main script.
        memo: what the session remembers.
        user: the session's live claims, which Streamlit empties at sign-out.
    """

    place: Place
    claims: Claims | None
    subject: Subject | None
    org: str | None
    settings: Settings | None
    script: str
    memo: Memo
    user: Mapping[str, object]

    @property
    def unguarded(self) -> bool:
        """Whether it is code of an entry script without `navigation`, which guards by `@requires` alone."""
        return self.place.page is None and not self.memo.navigates

    def decide(self, settings: Settings, policy: Policy, subject: Subject | None, *, org: str | None) -> Decision:
        """Decide whether it may run for somebody: its page, and what `@requires` around it demands."""
        place = self.place
        extra = None if place.extra is None else settings.check(place.extra, policy=policy)
        name = place.page if place.page is not None else private.file_page_name(self.script)
        if place.page is None and name not in policy.parts.pages:
            decision = policy.explain(subject, _SIGNED_IN, org=org)
        else:
            decision = policy.opens(subject, name, section=place.section, extra=extra, org=org)
        if not decision.allowed or place.inner is None:
            return decision
        return policy.explain(subject, settings.check(place.inner, policy=policy), org=org)


def _binding() -> Binding | None:
    """Return what binds the code that is registering something now; None where stguard guards nothing."""
    ctx = private.context()
    if ctx is None:
        return None
    place = here_in(ctx)
    settings = known_settings(ctx)
    if place.free or (settings is not None and settings.hooks == "off"):
        return None
    try:
        run = this_run(ctx)
    except StguardError:
        return _bound_to(ctx, place, settings)
    # A page that draws many widgets is asked about once in a run, and the garbage collector visits one object for all.
    circumstances = (place, settings, wishes.stamp(run.memo.wishes))
    bound = run.bound
    if bound is None or bound[0] != circumstances:
        # Not read back: a parallel fragment, which other rules guard, may have put its own there.
        bound = run.bound = (circumstances, _bound_to(ctx, place, settings))
    return cast("Binding", bound[1])


def _bound_to(ctx: ScriptRunContext, place: Place, settings: Settings | None) -> Binding:
    claims: Claims | None
    try:
        asked = standing()
    except StguardError:
        # Access can't be checked: what is bound to nobody is refused when it runs.
        claims, subject, org = None, None, None
    else:
        claims, subject, org = asked.claims, asked.subject, asked.org
    return Binding(
        place=place,
        claims=claims,
        subject=subject,
        org=org,
        settings=settings,
        script=private.script_key(ctx),
        memo=session_memo(),
        user=live_user(ctx),
    )


# --- asking again ----------------------------------------------------------------------------------------------------


def _may_run(binding: Binding) -> bool:
    """Ask again, in a script run; a refusal is told when the page is drawn."""
    if binding.unguarded:
        return True
    try:
        asked = standing()
        decision = asked.both(lambda who: binding.decide(asked.settings, asked.policy, who, org=asked.org))
    except StguardError as error:
        log_once(error)
        return False
    if not _same_person(binding.subject, asked.subject):
        # SECURITY: what one person registered never runs for another, nor after sign-out.
        _LOG.info("refused what was registered for somebody else")
        return False
    if decision.allowed and asked.org != binding.org:
        # SECURITY: what was drawn for one org must not run with the rights held in another; the browser may send the
        # click and another org in one message.
        _tell(asked, ORG_CHANGED)
        return False
    if not decision.allowed:
        asked.report(decision)
        _tell(asked, screens.sentence(asked, decision))
    return decision.allowed


def _tell(asked: Standing, sentence: str) -> None:
    if private.in_callback(asked.ctx) and private.in_fragment_run(asked.ctx):
        st.toast(sentence, icon=screens.LOCK)  # the page, which shows the notices, isn't drawn in this run
    else:
        asked.memo.notices.append(sentence)


ORG_CHANGED: Final = "The organization has changed. Please try again."


def _refused_outside(binding: Binding) -> Decision | None:
    """Ask again outside a script run, about who registered it. Returns the refusal, or None to go on.

    The subject is made anew under the policy in force: what was revoked or renamed meanwhile counts.
    """
    if binding.unguarded:
        return None
    settings = binding.settings
    if settings is None or binding.memo.view is not None:
        return refused("download")  # outside a run it isn't known as whom the app is looked at
    policy = settings.policy()
    subject = None
    # SECURITY: `st.logout` empties the session's claims; what was registered before is gone for good.
    if binding.claims is not None and binding.user:
        subject = subject_of(binding.claims, settings, policy, binding.memo)
    decision = binding.decide(settings, policy, subject, org=binding.org)
    if not _same_person(binding.subject, subject):
        return decision if not decision.allowed else refused("download")
    return None if decision.allowed else decision


def _insist_outside(binding: Binding) -> None:
    """Ask again outside a script run.

    Raises:
        NotGivenError: they may not, or no longer, or access can't be checked.
    """
    try:
        denied = _refused_outside(binding)
    except Exception as error:
        # Not the error itself: Streamlit 1.57 shows its text to who asked, and it may name rules and files.
        _LOG.exception("access could not be checked; refused")
        raise NotGivenError(screens.UNAVAILABLE) from error
    if denied is not None:
        _LOG.info("refused what is fetched later: %s", denied.reason.value)
        raise NotGivenError(screens.NOT_ALLOWED)


def _contained(binding: Binding, function: Callable[[], Any]) -> Any:  # noqa: ANN401  what the function returns
    """Call what is made outside a script run, so that an exception in it tells no more than a number.

    STREAMLIT 1.57: the text of the exception reaches who asked; later versions keep it.
    """
    try:
        return function()
    except Exception as error:
        if binding.unguarded or (binding.settings is not None and failures.shows_details(binding.settings)):
            raise
        told = failures.sentence(None, error, where=quote(getattr(function, "__qualname__", "a download")))
    raise NotGivenError(told)


def _same_person(one: Subject | None, other: Subject | None) -> bool:
    if one is None or other is None:
        return one is other
    if one.ids or other.ids or one.email or other.email:
        return one.ids == other.ids and one.email == other.email
    return one.claims == other.claims


# --- what is bound ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Bound:
    """What stands in the place of a function that was registered.

    An object of two slots and not a closure, whose function, cells and dict the garbage collector visits one by one.
    """

    function: Callable[..., Any]
    binding: Binding


class _Callback(_Bound):
    __slots__ = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  what the callback takes
        if session_memo().view is not None:
            return None  # SECURITY: nothing that would call it gets so far; should a way be found, it ends here
        if self.binding.unguarded:
            return self.function(*args, **kwargs)
        if not _may_run(self.binding):
            return None
        with at(self.binding.place):
            return failures.contained_call(self.function, *args, **kwargs)


class _Fragment(_Bound):
    __slots__ = ()

    def __call__(self) -> Any:  # noqa: ANN401  what the fragment returns
        if _may_run(self.binding):
            screens.say_not_heard(session_memo().view)
            with at(self.binding.place):
                return self.function()
        if self.binding.place.page is None and self.binding.subject is None:
            return None  # nobody is signed in: the sign-in page is there already
        return st.rerun()


class _Deferred(_Bound):
    __slots__ = ()

    def __call__(self) -> Any:  # noqa: ANN401  the data
        _insist_outside(self.binding)
        return _contained(self.binding, self.function)


def _bind(function: Callable[..., Any], kind: type[_Callback | _Fragment | _Deferred]) -> Callable[..., Any]:
    if isinstance(function, private.Probe):
        return function.bound
    # Signing in and out needs no permission, and signing out must never be refused.
    if isinstance(function, _Bound) or function in (st.login, st.logout):
        return function
    binding = _binding()
    return function if binding is None else kind(function, binding)


def callback(function: Callable[..., Any]) -> Callable[..., Any]:
    """Bind a widget's callback: refused, it isn't called, and the page shows the refusal."""
    return _bind(function, _Callback)


def fragment(function: Callable[[], Any]) -> Callable[[], Any]:
    """Bind a fragment, a dialog or a timed rerun: refused, a full rerun takes its place, and that refuses."""
    return _bind(function, _Fragment)


def deferred(function: Callable[[], Any]) -> Callable[[], Any]:
    """Bind a download whose data is made when it is fetched, outside any script run."""
    return _bind(function, _Deferred)


class LazySource:
    """Bind the source of a table whose rows are fetched later, outside any script run."""

    def __init__(self, source: Any, binding: Binding) -> None:  # noqa: ANN401  Streamlit's protocol
        """Take the source and what binds it."""
        self._source = source
        self._binding = binding

    def load_rows(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  Streamlit's protocol
        """Load rows for who registered the table, if they still may see it."""
        _insist_outside(self._binding)
        return self._source.load_rows(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  Streamlit's protocol
        """Be the source in everything else."""
        return getattr(self._source, name)


def lazy_source(source: Any) -> Any:  # noqa: ANN401  Streamlit's protocol
    """Bind the source of a lazy table."""
    if isinstance(source, private.Probe):
        return source.bound
    binding = None if isinstance(source, LazySource) else _binding()
    return source if binding is None else LazySource(source, binding)


# --- the hooks -------------------------------------------------------------------------------------------------------


@functools.cache
def _unfit() -> str | None:
    """Install the hooks once in a process, try them, and return what doesn't fit; None when all do."""
    try:
        private.hook_callbacks(callback)
        private.hook_fragments(fragment)
        private.hook_deferred(deferred)
        private.hook_lazy_sources(lazy_source)
        private.hook_input(viewing.keep)
        missed = private.exercise_hooks()
    except ConfigurationError as error:
        return str(error)
    except Exception:  # noqa: BLE001  whatever it is, the hooks can't be relied on
        _LOG.exception("the hooks into Streamlit could not be tried")
        return f"the hooks into this Streamlit ({st.__version__}) could not be tried{_WAY_OUT}"
    if missed:
        return f"the hooks into this Streamlit ({st.__version__}) are not reached by {', '.join(missed)}{_WAY_OUT}"
    return None


def known_unfit() -> bool:
    """Tell whether the hooks were tried in this process and don't fit; False before a first menu has tried them."""
    return _unfit.cache_info().currsize > 0 and _unfit() is not None


_WAY_OUT: Final = '; use a version that stguard supports, or configure(hooks="off") and guard each callback by hand'


def mediate(ctx: ScriptRunContext) -> None:
    """Make sure that what this session registers is asked about again when it runs; before anything else is asked.

    Raises:
        ConfigurationError: the hooks don't fit this version of Streamlit, and are required.
    """
    settings, memo = known_settings(ctx), session_memo()
    if settings is not None and settings.hooks == "off":
        _warn_off()
    else:
        unfit = _unfit()
        if unfit is not None:
            raise ConfigurationError(unfit)
        if not memo.navigates:
            # What stands above the first `navigation` in this session was registered before anybody knew of it.
            with at(ENTRY_SCRIPT):
                private.bind_registered(
                    ctx, callback=callback, fragment=fragment, deferred=deferred, lazy_source=lazy_source
                )
    memo.navigates = True


@functools.cache
def _warn_off() -> None:
    _LOG.warning('hooks="off": callbacks, fragments and downloads without @sg.requires run without being asked about')
