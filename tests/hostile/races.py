"""Many sessions ask while the rules change: each answer is one that rules in force at that moment give."""

from __future__ import annotations

import itertools
import json
import math
import re
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from tests.hostile import arena as place
from tests.hostile.arena import PAGES
from tests.hostile.client import Tab
from tests.hostile.table import case
from tests.hostile.twins.parts import ASKED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hostile.arena import Arena

SESSIONS: Final = 200
PAUSE: Final = 0.1
"""Seconds for which one state of the file lasts."""

PATIENCE: Final = 120.0
"""Seconds that a busy machine may take until all have their answers."""

PIECES: Final = 4
"""How many pieces a file that is written in place comes in."""

MINE: Final = ("red", "blue", "always", "never")
VERSIONS: Final = (frozenset({"red", "always"}), frozenset({"blue", "always"}))
"""The groups that are admins by one version and by the other."""

ANSWER: Final = re.compile(r"<<asked (\S+) (\S+) (True|False)>>")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer that a page got: in which group, between which moments, and what."""

    group: str
    before: float
    after: float
    admin: bool


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the rules.

    Attributes:
        admins: the groups that are admins by it.
        begun: the moment from which it may hold.
        done: the moment from which it must.
        ends: the moment at which its file is gone: another is in its place, or it is written over.
    """

    admins: frozenset[str]
    begun: float
    done: float
    ends: float = math.inf


@dataclass(frozen=True, slots=True)
class Figures:
    """What a race came to.

    Attributes:
        answers: how many there were.
        missing: how many there should have been besides.
        changes: how often the rules changed.
        bad: how often a file was there that must not be adopted: half of one, or one with an error.
        decisive: how many answers fell into the time of one version alone.
        wrong: how many no version gives that was in force at that moment.
        seconds: how long it took.
    """

    answers: int
    missing: int
    changes: int
    bad: int
    decisive: int
    wrong: int
    seconds: float


def rules_text(arena: Arena, admins: frozenset[str]) -> str:
    """Return rules as JSON, which YAML is too: no part of them from the beginning on is a whole file."""
    if arena.kind == "naive":
        return json.dumps({f"group:{name}": {"acme": ["viewer", *(["admin"] * (name in admins))]} for name in MINE})
    assign = [{"role": "admin", "org": "acme", "group": name} for name in sorted(admins)]
    return json.dumps(
        {
            "stguard": 1,
            "permissions": {"vault": ["use"]},
            "orgs": {"acme": {}},
            "roles": {"viewer": {}, "admin": {"inherits": "viewer"}},
            "assign": [*assign, *({"role": "viewer", "org": "acme", "group": name} for name in MINE)],
            "pages": dict.fromkeys(PAGES, "signed_in"),
        }
    )


class Writer(threading.Thread):
    """Change the rules until it is told to stop, one way after the other."""

    def __init__(self, arena: Arena) -> None:
        super().__init__()
        self.over: Final = threading.Event()
        self.changes: Final[list[Change]] = []
        self.bad = 0
        self._path = arena.folder / arena.rules
        self._arena = arena
        self._last = VERSIONS[1]
        self._replace()

    def run(self) -> None:
        for change in itertools.cycle((self._replace, self._rewrite, self._replace, self._replace_by_nonsense)):
            if self.over.wait(PAUSE):
                return
            change()

    def _next(self) -> str:
        self._last = VERSIONS[self._last is VERSIONS[0]]
        return rules_text(self._arena, self._last)

    def _gone(self, moment: float) -> None:
        if self.changes and self.changes[-1].ends == math.inf:
            self.changes[-1] = replace(self.changes[-1], ends=moment)

    def _replace(self) -> None:
        """Put a whole file in the place of the other, as an operator should."""
        text = self._next()
        begun = time.monotonic()
        place.replace(self._path, text)
        self._gone(begun)
        self.changes.append(Change(self._last, begun, time.monotonic()))

    def _rewrite(self) -> None:
        """Write over the file, piece by piece, as an editor may."""
        text = self._next()
        begun = time.monotonic()
        with self._path.open("w", encoding="utf-8") as file:
            self._gone(begun)
            for start in range(0, len(text), len(text) // PIECES + 1):
                self.bad += 1
                self.over.wait(PAUSE / PIECES)
                file.write(text[start : start + len(text) // PIECES + 1])
                file.flush()
        self.changes.append(Change(self._last, begun, time.monotonic()))

    def _replace_by_nonsense(self) -> None:
        """Put a file there that makes everybody an admin, and has an error at its end."""
        self.bad += 1
        begun = time.monotonic()
        place.replace(self._path, rules_text(self._arena, frozenset(MINE))[:-1])
        self._gone(begun)


def possible(changes: list[Change], answers: list[Answer], one: Answer) -> set[bool]:
    """Return the answers that are right: those of each version that may have been in force while it was asked.

    A version is in force until the next one must hold. While the file is bad the last good one goes on; that is the
    last one that was read, so that one which nobody asked under before its file was gone may never have been it.
    """
    at = max(index for index, change in enumerate(changes) if change.begun <= one.after)
    right = set()
    while True:
        change = changes[at]
        right.add(one.group in change.admins)
        held = change.done <= one.before
        was_read = any(change.done <= other.before and other.after <= change.ends for other in answers)
        is_whole = one.after <= change.ends
        if at == 0 or (held and (was_read or is_whole)):
            return right
        at -= 1


def race(arena: Arena) -> Figures:
    """Have all sessions ask at once while the rules change."""
    began = time.monotonic()
    with ExitStack() as stack:
        stack.callback(arena.write_people)
        writer = Writer(arena)
        tabs = [
            (group, stack.enter_context(Tab(arena.browser(arena.stranger(), groups=[group]))))
            for group, _ in zip(itertools.cycle(MINE), range(SESSIONS), strict=False)
        ]
        writer.start()
        try:
            answers = list(_ask_all(tabs))
        finally:
            writer.over.set()
            writer.join()
    rights = [possible(writer.changes, answers, answer) for answer in answers]
    return Figures(
        answers=len(answers),
        missing=SESSIONS * ASKED - len(answers),
        changes=len(writer.changes),
        bad=writer.bad,
        decisive=sum(len(right) == 1 for right in rights),
        wrong=sum(answer.admin not in right for answer, right in zip(answers, rights, strict=True)),
        seconds=round(time.monotonic() - began, 1),
    )


def _ask_all(tabs: list[tuple[str, Tab]]) -> Iterator[Answer]:
    for _, tab in tabs:
        tab.start("gate")
    for group, tab in tabs:
        for part in tab.finish(patience=PATIENCE).parts:
            if part.kind == "markdown" and (found := ANSWER.search(part.proto.body)):
                yield Answer(group, float(found[1]), float(found[2]), found[3] == "True")


@case(f"{SESSIONS} sessions while the rules change, are rewritten in place, are broken: a wrong decision or none", 1)
def attack(arena: Arena) -> bool:
    figures = race(arena)
    print(f"{arena.kind}: {figures}")  # noqa: T201  pytest keeps it, the table shows it
    assert figures.decisive > SESSIONS, figures  # else it would say nothing
    return bool(figures.wrong or figures.missing)
