"""The tab Policy: the text of the policy, what is wrong with it and where, and what it would change.

INVARIANT: a text that was typed is never lost: it stays in the session whatever happens to the file, and is replaced by
the file's only while it is what the file held.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import streamlit as st

from stguard import edits
from stguard.app.admin import changes, guarding
from stguard.app.admin.diffs import difference_of_texts
from stguard.app.admin.guarding import EDIT, editing, insist
from stguard.app.screens import one_line, plain
from stguard.errors import PolicyFileError, Problem, Severity
from stguard.policyfile import shape, source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stguard.app.standing import Standing

TAB: Final = "policy"

_DRAFTS: Final = "stguard_admin_drafts"
_FILE: Final = "stguard_admin_file"
_HEIGHT: Final = 460

# Static text, so that nothing of it can come from anybody.
_STYLE: Final = (
    "<style>[class*='st-key-stguard_admin_text'] textarea"
    "{font-family:'Source Code Pro',monospace;font-size:.85rem;line-height:1.5;white-space:pre;overflow-x:auto}</style>"
)


@dataclass(slots=True, eq=False)
class Draft:
    """Hold the text that somebody edits.

    Attributes:
        file: the file it is for, by its name.
        base: digest of the policy's files when it was opened.
        original: the file's text then.
        text: the text now.
        number: tells the widgets of one text after the other apart.
        checked: the text and the files it was checked with, and what is wrong with it.
    """

    file: str
    base: str
    original: str
    text: str
    number: int
    checked: tuple[str, str, tuple[Problem, ...]] | None = field(default=None, repr=False)

    @property
    def widget(self) -> str:
        """Return the key of the widget that the text is typed into."""
        return f"stguard_admin_text_{self.number}"

    @property
    def touched(self) -> bool:
        """Tell whether it is something else than what the file held."""
        return self.text != self.original


def draw(asked: Standing) -> None:
    """Draw the tab."""
    place = changes.place_of(asked)
    if place is None:
        st.info("The policy of this app is built by its code. There is no file to show.")
        return
    snapshot = _snapshot(place)
    drafts = _drafts()
    names = list(dict.fromkeys([*(snapshot.contents if snapshot is not None else ()), *drafts])) or [place.path.name]
    name = names[0]
    if len(names) > 1:
        chosen = st.selectbox("File", names, key=_FILE, format_func=one_line)
        name = chosen if chosen in names else name
    if not guarding.may_edit(asked):
        if snapshot is not None:
            st.code(_readable(snapshot.texts.get(name, "")), language="yaml", line_numbers=True)
        return
    draft = _draft(drafts, name, snapshot)
    if draft is None:
        st.error("This file is not written as UTF-8 text, so it can't be edited here.", icon=":material/error:")
        return
    _editor(asked, draft, snapshot, place)
    _help()


def _snapshot(place: edits.Place) -> edits.Snapshot | None:
    try:
        snapshot = edits.Snapshot.take(place)
    except (edits.FileError, PolicyFileError) as error:
        st.error(plain(changes.told(error)), icon=":material/error:")
        return None
    if not snapshot.contents:
        st.error(
            "The policy file is gone. The last good version stays in force until the app restarts. To put it back, "
            "save a text here, or bring back a version in the tab History.",
            icon=":material/error:",
        )
    return snapshot


def _drafts() -> dict[str, Draft]:
    drafts = st.session_state.get(_DRAFTS)
    if not isinstance(drafts, dict):
        drafts = st.session_state[_DRAFTS] = {}
    return drafts


def _draft(drafts: dict[str, Draft], name: str, snapshot: edits.Snapshot | None) -> Draft | None:
    """Return the text to edit: the one that was begun, else the file's; None for a file that is no text."""
    draft = drafts.get(name)
    if snapshot is None:
        return draft
    if draft is not None:
        now = snapshot.texts.get(name, "")
        if draft.text == _unix(now):
            draft.original, draft.base = draft.text, snapshot.digest  # saved, or somebody else wrote the same
        if draft.touched or draft.base == snapshot.digest:
            return draft
    text = snapshot.texts.get(name, "")
    if text.encode("utf-8", "ignore").decode() != text:
        return None
    text = _unix(text)
    number = 1 + max((each.number for each in drafts.values()), default=0)
    drafts[name] = Draft(file=name, base=snapshot.digest, original=text, text=text, number=number)
    return drafts[name]


def _unix(text: str) -> str:
    """Return a text with the line ends that a browser's text field has."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _readable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _editor(asked: Standing, draft: Draft, snapshot: edits.Snapshot | None, place: edits.Place) -> None:
    st.html(_STYLE)
    if draft.widget not in st.session_state:
        st.session_state[draft.widget] = draft.text
    text = st.text_area(
        "The policy. Press Ctrl+Enter to check what you typed.",
        key=draft.widget,
        height=_HEIGHT,
        on_change=_typed,
        args=(draft.file,),
    )
    draft.text = text if isinstance(text, str) else draft.text
    if snapshot is not None and draft.base != snapshot.digest:
        _conflict(draft, snapshot)
        return
    found = _problems(draft, snapshot, place)
    errors = [each for each in found if each.severity is Severity.ERROR]
    with st.container(horizontal=True):
        st.button(
            "Show what this changes",
            key="stguard_admin_preview",
            type="primary",
            on_click=_propose,
            args=(draft.file,),
            disabled=bool(errors) or not draft.touched,
            icon=":material/difference:",
        )
        if draft.touched:
            st.button("Throw my changes away", key="stguard_admin_discard", on_click=_discard, args=(draft.file,))
    waiting = changes.pending(TAB)
    if waiting is not None and waiting.text == draft.text:
        changes.draw(asked, waiting, typed=draft.widget)
    if errors:
        st.error(
            f"{len(errors)} thing{'s' if len(errors) > 1 else ''} to mend before this can be saved:",
            icon=":material/error:",
        )
    shown = source.shown(place.path / draft.file if place.is_folder else place.path)
    changes.problems(sorted(found, key=lambda each: each.severity is not Severity.ERROR), text=text, file=shown)
    if not found:
        st.caption(":material/check_circle: Nothing is wrong with this text, and every test in it passes.")


def _conflict(draft: Draft, snapshot: edits.Snapshot) -> None:
    st.warning(
        "Somebody else has changed the policy since you opened it. Your text is still here and nothing is lost. "
        "Look at what they changed, and put it into your text if it should stay.",
        icon=":material/group:",
    )
    theirs = _unix(_readable(snapshot.texts.get(draft.file, "")))
    with st.expander("What they changed", expanded=True):
        st.code(difference_of_texts(draft.original, theirs) or "Nothing in this file.", language="diff")
    with st.container(horizontal=True):
        st.button(
            "Go on with my text", key="stguard_admin_mine", on_click=_go_on, args=(draft.file, snapshot.digest, theirs)
        )
        st.button("Throw my changes away", key="stguard_admin_discard", on_click=_discard, args=(draft.file,))


# --- what the buttons do -------------------------------------------------------------------------------------------


def _typed(file: str) -> None:
    """Keep what was typed. It changes nothing but this session's own text."""
    draft = _drafts().get(file)
    if draft is not None:
        text = st.session_state.get(draft.widget)
        draft.text = text if isinstance(text, str) else draft.text


def _discard(file: str) -> None:
    """Forget the text of this session."""
    draft = _drafts().pop(file, None)
    if draft is not None:
        # A new number, so that the widget begins with the file's text.
        _drafts()[file] = Draft(file=file, base="-", original=draft.text, text=draft.text, number=draft.number)
    changes.drop()


def _go_on(file: str, base: str, theirs: str) -> None:
    """Take the text as an edit of what somebody else wrote meanwhile; the preview shows what it undoes of it."""
    draft = _drafts().get(file)
    if draft is not None:
        draft.base, draft.original = base, theirs


@editing
def _propose(file: str) -> None:
    draft, place = _drafts().get(file), changes.place_of(insist(EDIT))
    if draft is None or place is None:
        return
    _typed(file)
    changes.propose(TAB, f"{one_line(file)} is edited", edit_of(place, file, draft.text),
                    expected=draft.base, text=draft.text)  # fmt: skip


def edit_of(place: edits.Place, file: str, text: str) -> str | dict[str, str | None]:
    """Return the edit that gives a file this text, with the line ends that the file has."""
    if not place.is_folder:
        return text
    before = edits.Snapshot.take(place).texts.get(file, "")
    return {file: text.replace("\n", "\r\n") if "\r\n" in before else text}


# --- what is wrong ---------------------------------------------------------------------------------------------------


def _problems(draft: Draft, snapshot: edits.Snapshot | None, place: edits.Place) -> tuple[Problem, ...]:
    known = draft.checked
    digest = snapshot.digest if snapshot is not None else ""
    if known is not None and known[0] == draft.text and known[1] == digest:
        return known[2]
    contents: dict[str, bytes] = dict(snapshot.contents) if snapshot is not None else {}
    contents[draft.file] = draft.text.encode("utf-8", "replace")
    try:
        found = edits.Snapshot(place, dict(sorted(contents.items()))).policy(now=time.time()).problems
    except PolicyFileError as error:
        found = error.problems
    draft.checked = (draft.text, digest, found)
    return found


# --- help ------------------------------------------------------------------------------------------------------------


def _help() -> None:
    with st.expander("What can stand in a policy", icon=":material/help:"):
        for name, key in shape.LANGUAGE.keys.items():
            lines = [f"**{plain(name)}**: {_doc(key.doc)}"]
            lines += [f"    - {plain(each)}: {_doc(inner.doc)}" for each, inner in _inner(key.shape)]
            st.markdown("- " + "\n".join(lines))


def _doc(text: str) -> str:
    """Return a sentence of ours, whose backticks stand for code."""
    return text.replace("$", "\\$").replace(":", "\\:")


def _inner(of: object) -> Iterator[tuple[str, shape.Key]]:
    """Yield the keys one level below, each once."""
    seen: Mapping[str, shape.Key] = dict(_records(of))
    yield from seen.items()


def _records(of: object) -> Iterator[tuple[str, shape.Key]]:
    match of:
        case shape.Record():
            yield from of.keys.items()
        case shape.Items() | shape.Maybe():
            yield from _records(of.of)
        case shape.Table():
            yield from _records(of.of)
        case shape.Choice():
            for each in (of.items, of.table):
                yield from _records(each)
        case shape.Split():
            yield from _records(of.short)
            yield from _records(of.long)
        case shape.Ref():
            yield from _records(shape.DEFINITIONS[of.name])
        case _:
            return
