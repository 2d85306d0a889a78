"""The table of attacks: each gets through on the app that is guarded by hand, and not on the guarded one.

A case returns True when it got through: something was done, or shown, that who asks has no right to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hostile.arena import Arena


@dataclass(frozen=True, slots=True)
class Case:
    """One attack.

    Attributes:
        name: what is tried, as the table says it.
        facts: the numbers of the facts about Streamlit that it uses.
        attack: tries it and tells whether it got through.
        gateway: whether only the gateway stops it; what the script's own guard stops is stopped without the gateway.
    """

    name: str
    facts: tuple[int, ...]
    attack: Callable[[Arena], bool]
    gateway: bool


CASES: Final[list[Case]] = []

FACTS: Final[dict[int, str]] = {
    1: "callbacks run before the script",
    2: "a callback stays callable for the life of the session, after signing out too",
    3: "a fragment reruns alone, without the script and the page",
    4: "`st.stop` keeps fragments alive",
    5: "a check above `st.fragment` is made once",
    6: "deferred downloads and rows of lazy tables are made outside any run, without `st.user`",
    7: "`st.stop` in a callback leaves a blank page",
    8: "a hidden page is reachable by address, hash and `st.switch_page`",
    9: "a folder `pages` is served without the script until somebody has called `st.navigation`",
    10: "an uncaught exception shows its message and paths to the visitor",
    12: "`st.user` is made once for a connection, from a cookie that nothing ends",
    16: "an identity header that the browser sent itself counts",
    17: "a sign-in returns to the root; who builds a way back builds a redirect",
    21: "what a browser sends for a widget, and its address, is what it likes",
    22: "caches are shared by everybody, and leave out arguments with an underscore",
    23: "files are served without a cookie, uploads trust the id of a session",
    24: "frames and routes for developers answer anybody who is connected",
    25: "routes of the author's own stand beside Streamlit's, with whatever checks they have themselves",
}
"""What Streamlit does that lets an attack through, by the number that the cases name."""

NOT_ATTACKED: Final[dict[int, str]] = {
    11: "how long a rerun takes",
    13: "which claims arrive: a missing one is unknown and opens nothing, which the tests of claims show",
    14: "how claims are written: read as data, which the tests of claims show",
    15: "how long reading `st.user` takes",
    18: "a cookie too large for the server opens nothing",
    19: "which settings reach the provider: the author's to set, none comes from a visitor",
    20: "names of providers and tenants: a sign-in fails, none gets through",
    26: "with another cookie secret on each server a sign-in fails, none gets through",
    27: "which environment variables count: the operator's to set",
    28: "which version has what",
    29: "how tests set `st.user`; nothing of it is served",
}
"""Why the other facts have no case."""


def case(
    name: str, *facts: int, given: bool = True, gateway: bool = False
) -> Callable[[Callable[[Arena], bool]], Callable[[Arena], bool]]:
    """Add an attack to the table, where this Streamlit has what it attacks."""

    def add(attack: Callable[[Arena], bool]) -> Callable[[Arena], bool]:
        if given:
            CASES.append(Case(name, facts, attack, gateway))
        return attack

    return add
