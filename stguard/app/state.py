"""Session state of the active org: `state`, used as `st.session_state` is.

Values belong to one subject in one org. When either changes, what was kept is dropped: `sweep` does so at each run, and
each access does it again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from stguard.app.standing import Standing, standing
from stguard.app.wishes import Wishes, drop
from stguard.errors import AccessDenied, quote
from stguard.model import Decision, Reason

if TYPE_CHECKING:
    from stguard.model import Subject

STATE_KEY: Final = "_stguard_state"
"""Key in Streamlit's session state under which the values of the active org stand."""

_Owner = tuple[tuple[str, ...], str | None, tuple[str, ...] | None, str | None]
"""Every form of the subject's id, the verified e-mail, the ids of who looks at the app as them, the org."""


class _Kept:
    """Hold the values of one owner in one session."""

    __slots__ = ("owner", "values")

    def __init__(self, owner: _Owner) -> None:
        """Start without values."""
        self.owner = owner
        self.values: dict[str, Any] = {}


class State(MutableMapping[str, Any]):
    """Keep values for the active org in this session, by attribute or by key.

    A switch of org, a sign-out, another sign-in or the loss of the membership drops them; so does the end of the
    session. In a policy without orgs they belong to the subject.

    Every access raises AccessDenied when nobody is signed in or no org is active, and ConfigurationError outside a
    script run or inside a cached function. Values of widgets with a `key` stand in `st.session_state`, not here.
    """

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401  what the author put there
        """Return a value; KeyError when there is none."""
        values = _values()
        if key not in values:
            raise KeyError(_missing(key))
        return values[key]

    def __setitem__(self, key: str, value: Any) -> None:  # noqa: ANN401  whatever the author keeps
        """Keep a value."""
        _values()[key] = value

    def __delitem__(self, key: str) -> None:
        """Drop a value; KeyError when there is none."""
        values = _values()
        if key not in values:
            raise KeyError(_missing(key))
        del values[key]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys as they are now."""
        return iter(tuple(_values()))

    def __len__(self) -> int:
        """Count the values."""
        return len(_values())

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  what the author put there
        """Return a value; AttributeError when there is none."""
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)  # asked by Python and its tools, not by the author
        values = _values()
        if name not in values:
            raise AttributeError(_missing(name))
        return values[name]

    def __setattr__(self, name: str, value: Any) -> None:  # noqa: ANN401  whatever the author keeps
        """Keep a value."""
        _values()[name] = value

    def __delattr__(self, name: str) -> None:
        """Drop a value; AttributeError when there is none."""
        values = _values()
        if name not in values:
            raise AttributeError(_missing(name))
        del values[name]

    def __repr__(self) -> str:
        """Say what it is; the values are not shown, as nobody may be there to see them."""
        return "<stguard.state>"

    def to_dict(self) -> dict[str, Any]:
        """Return a copy of all values."""
        return dict(_values())


state: Final = State()


def sweep(asked: Standing) -> None:
    """Drop what is kept for somebody else, or for another org, than who asks now.

    At sign-out and at another sign-in this is also the org that was wished for and what was worked out about the
    person. A wish for an org that the subject no longer is in stays: it keeps any other org from becoming active.
    """
    kept = _kept()
    if kept is None:
        if asked.subject is not None:
            st.session_state[STATE_KEY] = _Kept(_owner(asked, asked.subject))
        return
    if asked.subject is None:
        del st.session_state[STATE_KEY]
        _forget_person(asked)
        return
    owner = _owner(asked, asked.subject)
    if kept.owner == owner:
        return
    if kept.owner[:3] != owner[:3]:
        _forget_person(asked)
        owner = _owner(asked, asked.subject)
    st.session_state[STATE_KEY] = _Kept(owner)


def _forget_person(asked: Standing) -> None:
    drop(asked.memo.wishes)
    asked.memo.notices, asked.memo.news = [], []
    address = asked.memo.wishes.address  # it was asked for by whoever was here before
    asked.memo.wishes = Wishes(address=address)
    if asked.subject is None:
        asked.memo.known = asked.memo.asked = None


def _values() -> dict[str, Any]:
    asked = standing()
    sweep(asked)
    if asked.subject is None:
        raise _refusal(Reason.NOT_SIGNED_IN, "a sign-in")
    if asked.policy.multi_tenant and asked.org is None:
        raise _refusal(Reason.NO_ORG, "an active org, chosen with `sg.org_selector()`")
    kept = _kept()
    assert kept is not None  # noqa: S101  `sweep` has just made it
    return kept.values


def _kept() -> _Kept | None:
    kept = st.session_state.get(STATE_KEY)
    return kept if isinstance(kept, _Kept) else None


def _owner(asked: Standing, subject: Subject) -> _Owner:
    return subject.ids, subject.email, None if asked.viewer is None else asked.viewer.ids, asked.org


def _missing(key: object) -> str:
    return f"sg.state has no {quote(key)}; set it first, or use `.get`"


def _refusal(reason: Reason, missing: str) -> AccessDenied:
    return AccessDenied(
        Decision(allowed=False, reason=reason, action="sg.state", org=None, at=time.time(), missing=(missing,))
    )
