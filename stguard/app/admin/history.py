"""The tab History: who changed the policy, when and why, what that did, and the way back."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import streamlit as st

from stguard import edits
from stguard.analysis import Difference, EntangledError, difference
from stguard.analysis.appearance import ONLY_WRITTEN, appearance
from stguard.app.admin import changes, directory, guarding, tables, words
from stguard.app.admin.diffs import difference_of_texts
from stguard.app.admin.guarding import EDIT, editing, insist
from stguard.app.screens import one_line, plain
from stguard.errors import PolicyFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stguard.app.standing import Standing
    from stguard.edits import Version

TAB: Final = "history"
SHOWN: Final = 50
"""Most versions listed, the latest first."""

_VERSION: Final = "stguard_admin_version"


def draw(asked: Standing) -> None:
    """Draw the tab."""
    place = changes.place_of(asked)
    if place is None:
        st.info("The policy of this app is built by its code. Its history is that of the code.")
        return
    waiting = changes.pending(TAB)
    if waiting is not None:
        changes.draw(asked, waiting)
    try:
        history = edits.history_of(place)
        versions = tuple(reversed(history.versions()))
    except edits.FileError as error:
        st.error(plain(changes.told(error)), icon=":material/error:")
        return
    if history.damaged:
        st.warning(f"{history.damaged} entries of the history can't be read and are left out.")
    if not versions:
        st.info("Nothing has been changed here yet. The first change begins the history.", icon=":material/history:")
        return
    # SECURITY: with the account, since a name is what people call themselves.
    names = {person.seen.key: person.label for person in directory.people(asked.policy, asked.settings.recent).values()
             if person.seen is not None}  # fmt: skip
    shown = versions[:SHOWN]
    tables.rows(
        [
            {
                "When": words.minute_shown(each.time),
                "Who": _author(each, names),
                "Why": one_line(each.reason or ""),
                "Version": each.id,
            }
            for each in shown
        ]
    )
    if len(versions) > SHOWN:
        st.caption(f"{len(versions) - SHOWN} older ones: `stguard history` lists them on the command line.")
    number = st.selectbox(
        "Look at a version",
        range(len(shown)),
        index=None,
        key=_VERSION,
        format_func=lambda at: f"{words.minute_shown(shown[at].time)} · {_author(shown[at], names)} · {shown[at].id}",
        placeholder="A version",
    )
    if isinstance(number, int) and 0 <= number < len(shown):
        _version(asked, history, shown[number], versions, latest=number == 0)


def _author(each: Version, names: dict[str, str]) -> str:
    if each.author is None:
        return "edited outside this page"
    who = names.get(each.author) or one_line(each.author)
    if each.approver is None:
        return who
    return f"{who}, approved by {names.get(each.approver) or one_line(each.approver)}"


def _version(
    asked: Standing, history: edits.History, each: Version, versions: Sequence[Version], *, latest: bool
) -> None:
    before = next((one for one in versions if one.id == each.previous), None)
    place = changes.place_of(asked)
    found = None
    try:
        contents = history.contents(each)
        older = history.contents(before) if before is not None else None
        if before is not None and place is not None:
            found = _found(place, before.id, each.id)
    except (edits.EditError, edits.FileError) as error:
        st.error(plain(changes.told(error)), icon=":material/error:")
        return
    except EntangledError:
        pass  # it can be brought back all the same: a text of lines that changed is below
    if older is None:
        st.caption("This is the oldest version that is kept.")
    else:
        if found is None:
            st.caption("Who gained and who lost can't be told: one of the two has errors, or rules too entangled.")
        else:
            changes.effects(asked, found.gains, found.losses, found.other)
        with st.expander("The lines that changed"):
            for name in dict.fromkeys((*older, *contents)):
                diff = difference_of_texts(
                    *(text.get(name, b"").decode("utf-8", "replace") for text in (older, contents))
                )
                if diff:
                    st.code(diff, language="diff")
    if guarding.may_edit(asked) and not latest:
        st.button(
            "Bring this version back",
            key="stguard_admin_restore",
            on_click=_propose,
            args=(each.id,),
            icon=":material/restore:",
        )


@editing
def _propose(version: str) -> None:
    place = changes.place_of(insist(EDIT))
    if place is None:
        return
    try:
        edit = edits.restored(place, version)
    except (edits.EditError, edits.FileError) as error:
        changes.say(changes.told(error))
        return
    changes.propose(TAB, f"Version {version} comes back", edit)


@lru_cache(maxsize=16)
def _found(place: edits.OnDisk | edits.OnBoard, before: str, after: str) -> Difference | None:
    """Return who gained and who lost between two versions; None where one of them has errors.

    Raises:
        EditError: one of them is damaged or gone.
        FileError: the history can't be read.
        EntangledError: their rules can't be worked out.
    """
    history = edits.history_of(place)
    try:
        old, new = (
            edits.Snapshot(place, history.contents(history.find(each))).policy(now=time.time())
            for each in (before, after)
        )
    except PolicyFileError:
        return None
    found = difference(old, new)
    shown = appearance(old, new)
    silent = not (found.gains or found.losses or found.other or shown)
    return replace(found, other=(ONLY_WRITTEN,) if silent else (*found.other, *shown))
