"""Which org a person wants to work in. A wish grants nothing: whoever reads it verifies it against the memberships.

From strong to weak: what was asked for last in this session (the selector, `st.session_state["stguard_org"]`, `?org=`
in the address), what this login chose last in any tab, the org that the identity provider calls active, and the only
org there is. The weaker ones count when a session begins; what it began with is then its own, so that two tabs keep two
orgs.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import streamlit as st
from streamlit.errors import StreamlitAPIException

from stguard import lifetime
from stguard.app import replicas

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stguard.model import Subject
    from stguard.policy import Policy

ORG_WISH: Final = "stguard_org"
"""Key in the session state: the org that was asked for last."""

IN_ADDRESS: Final = "org"
"""Name in the address, as in `?org=acme`."""

LIMIT: Final = 100_000
"""Most logins whose choice is remembered; the one that chose longest ago is forgotten first."""

_Login = tuple[str, tuple[str, ...], float]
"""The main script, every form of the subject's id, and the moment the login was made."""

_lock: Final = threading.Lock()
_chosen: Final[dict[_Login, str]] = {}


class Wishes:
    """Keep, for one session, what its wishes came from.

    Attributes:
        address: `?org=` as it was last seen; None for none.
        own: the org that counts where this session asks for none: the one it began with, or had before a link asked
            for another; None for none.
        refused: the last `?org=` that was told to be refused.
        noted: the org that was active when this session last told other tabs about its choice.
        active: the org that was active when a page was last drawn; None for none.
        begun: whether a page was drawn; from then on other tabs change nothing here.
    """

    __slots__ = ("active", "address", "begun", "noted", "own", "refused")

    def __init__(self, *, address: str | None = None) -> None:
        """Start without any."""
        self.address = address
        self.own: str | None = None
        self.refused: str | None = None
        self.noted: str | None = None
        self.active: Active | None = None
        self.begun = False


class Active:
    """Remember an org that was active: its id, its name, and which facts were unknown then."""

    __slots__ = ("name", "org", "unknown")

    def __init__(self, org: str, name: str, unknown: frozenset[str]) -> None:
        """Take what is to be remembered."""
        self.org, self.name, self.unknown = org, name, unknown


def read_address(wishes: Wishes) -> None:
    """Take another `?org=` than the last one seen as what is asked for now; once in a run, before anything else.

    A refused one leaves with its link: whoever goes on from there is back in the org from before.
    """
    address = st.query_params.get(IN_ADDRESS)
    if address == wishes.address:
        return
    wishes.address = address
    if address is not None:
        before = st.session_state.get(ORG_WISH)
        wishes.own = before if isinstance(before, str) else wishes.own
        try:
            st.session_state[ORG_WISH] = address
        except StreamlitAPIException:
            return  # a widget of the author's with this key, already drawn, is what the session asks for
    elif wishes.refused is not None and st.session_state.get(ORG_WISH) == wishes.refused:
        del st.session_state[ORG_WISH]
        wishes.refused = None


def wished(policy: Policy, subject: Subject, *, script: str, wishes: Wishes) -> object:
    """Return the org that this session asks for, or else begins with; unverified; None for none.

    What it begins with is the first of the weaker wishes that is granted: nobody asked for those in this session, so
    one that is not granted leaves the turn to the next.
    """
    wish = st.session_state.get(ORG_WISH)
    if wish is not None:
        return wish
    if wishes.own is None:
        weak = _weak(policy, subject, script=script, begins=not wishes.begun)
        wishes.own = wishes.noted = next((org for org in weak if policy.membership(subject, org) is not None), None)
    return wishes.own


def stamp(wishes: Wishes) -> tuple[object, str | None]:
    """Return what `wished` follows from, to tell whether it may have changed within a run."""
    return st.session_state.get(ORG_WISH), wishes.own


def drop(wishes: Wishes) -> None:
    """Ask for no org any more, so that the session begins anew."""
    wishes.own = wishes.refused = None
    if ORG_WISH in st.session_state:
        del st.session_state[ORG_WISH]


def _weak(policy: Policy, subject: Subject, *, script: str, begins: bool) -> Iterator[str]:
    if begins:
        chosen = _chosen_by(subject, script=script)
        yield from (org for org in (chosen, subject.active_org) if org is not None)
    mine = policy.memberships(subject)
    if len(mine) == 1:
        yield mine[0].org


def remember(subject: Subject, org: str, *, script: str, wishes: Wishes) -> None:
    """Let later sessions of this login begin with an org; only one that was granted may be handed in.

    It lives in this process, and at other replicas where there are some. SECURITY: another person, and another login of
    the same person, never begins with it.
    """
    if wishes.noted == org:
        return
    wishes.noted = org
    login = _login(subject, script=script)
    if login is None:
        return
    with _lock:
        _chosen.pop(login, None)  # the newest stands last
        _chosen[login] = org
        if len(_chosen) > LIMIT:
            del _chosen[next(iter(_chosen))]
    others = replicas.current()
    if others is not None:
        others.choose(login, org)


def _chosen_by(subject: Subject, *, script: str) -> str | None:
    login = _login(subject, script=script)
    if login is None:
        return None
    others = replicas.current()
    if others is not None:
        return others.choice(login)
    with _lock:
        return _chosen.get(login)


def _login(subject: Subject, *, script: str) -> _Login | None:
    """Return what tells this login from all others; None where the claims don't, and nothing is remembered."""
    made = lifetime.made_at(subject)
    return (script, subject.ids, made) if subject.ids and made is not None else None
