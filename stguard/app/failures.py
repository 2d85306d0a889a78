"""Errors that don't leak: what people see of an exception is a sentence with a number; the log has the rest.

SECURITY: the text of an exception names files, tables, addresses, at times values of another org. `contained` stands
around a page; `install` makes Streamlit ask here before it draws what no page caught: callbacks, fragments, dialogs,
the entry script.
"""

from __future__ import annotations

import functools
import logging
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

import streamlit as st

from stguard.app import private, screens
from stguard.app.settings import known_settings
from stguard.app.standing import MEMO_KEY, Memo, Standing, log_once, standing_or_none
from stguard.errors import AccessDenied, StguardError, quote

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from stguard.app.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")

_ICON: Final = ":material/error:"

_LOG: Final = logging.getLogger("stguard")


@contextmanager
def contained(asked: Standing, *, page: str | None = None) -> Generator[None]:
    """Run a page, or a part of one, so that an exception in it shows no more than a sentence with a number.

    A refusal that was raised (`AccessDenied`) shows as a refusal, an error of ours as the page that says that the app
    is not available. The run then ends, as it does after an exception, so that widgets keep their values. What steers
    Streamlit (`st.stop`, `st.rerun`, `st.switch_page`) passes.

    Args:
        asked: who asks.
        page: the page's name, for the log.
    """
    try:
        yield
    except Exception as error:
        if private.already_shown(error) or (shows_details(asked.settings) and not isinstance(error, StguardError)):
            raise
        caught = error
    else:
        return
    # Outside the `except`, so that what ends the run does not carry the exception along.
    _draw(asked, caught, where=f"page {quote(page)}" if page is not None else "a page")
    st.stop()


def contained_call(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | None:
    """Call a callback, or the body of a fragment, so that an exception in it shows no more than a sentence.

    In a callback the sentence stands above the page when that is drawn; in a fragment, in its place. Returns None
    where there was an exception.
    """
    try:
        return function(*args, **kwargs)
    except Exception as error:
        settings = _settings()
        details = settings is None or shows_details(settings)
        if private.already_shown(error) or (details and not isinstance(error, StguardError)):
            raise
        caught = error
    asked = standing_or_none()
    _tell(asked, sentence(asked, caught, where=quote(getattr(function, "__qualname__", "a callback"))))
    return None


@functools.cache
def install() -> None:
    """Make Streamlit ask `show` before it draws an exception that nobody caught; once in a process.

    Raises:
        ConfigurationError: this Streamlit draws them another way.
    """
    private.hook_errors(show)


def show(error: Exception) -> bool:
    """Draw an exception that nobody caught as a sentence, in the session of an app that uses `navigation`.

    Returns:
        Whether it was drawn; False leaves it to Streamlit.
    """
    settings = _settings()
    memo = st.session_state.get(MEMO_KEY) if settings is not None else None
    if settings is None or not isinstance(memo, Memo) or not memo.navigates or shows_details(settings):
        return False
    asked = standing_or_none()
    st.error(sentence(asked, error, where="the app"), icon=_icon(error))
    return True


def sentence(asked: Standing | None, error: Exception, *, where: str) -> str:
    """Return what people are told of an error; what they are not told goes to the log.

    Args:
        asked: who asks; None when that can't be known.
        error: what happened.
        where: where it happened, for the log.
    """
    if isinstance(error, AccessDenied):
        return screens.sentence(asked, error.decision) if asked is not None else screens.NOT_ALLOWED
    if isinstance(error, StguardError):
        log_once(error)
        return screens.UNAVAILABLE
    number = secrets.token_hex(4).upper()
    who = asked.subject.id if asked is not None and asked.subject is not None else "nobody signed in"
    _LOG.error("reference %s: %s failed for %s", number, where, quote(who), exc_info=error)
    return f"Something went wrong. If you ask for help, give this reference: {number}"


def shows_details(settings: Settings) -> bool:
    """Tell whether the author wants to see exceptions as they are, for development."""
    return settings.show_errors is True


def _draw(asked: Standing, error: Exception, *, where: str) -> None:
    if isinstance(error, AccessDenied):
        screens.show_refusal(asked, error.decision)
    elif isinstance(error, StguardError):
        log_once(error)
        screens.show_problem(error)
    else:
        st.error(sentence(asked, error, where=where), icon=_ICON)


def _tell(asked: Standing | None, text: str) -> None:
    ctx = private.context()
    if asked is None or ctx is None or not private.in_callback(ctx):
        st.error(text, icon=_ICON)
    elif private.in_fragment_run(ctx):
        st.toast(text, icon=_ICON)
    elif asked.memo.navigates:
        asked.memo.notices.append(text)
    else:
        st.error(text, icon=_ICON)


def _icon(error: Exception) -> str:
    return screens.LOCK if isinstance(error, AccessDenied) else _ICON


def _settings() -> Settings | None:
    ctx = private.context()
    return known_settings(ctx) if ctx is not None else None
