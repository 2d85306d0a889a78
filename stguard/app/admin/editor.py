"""The tab Policy: the text of the policy, what is wrong with it and where, and what it would change.

INVARIANT: a text that was typed is never lost: it stays in the session whatever happens to the file, and is replaced by
the file's only while it is what the file held.
"""

from __future__ import annotations

import functools
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import streamlit as st

from stguard import edits
from stguard.app.admin import changes, guarding, textfield
from stguard.app.admin.diffs import difference_of_texts
from stguard.app.admin.guarding import EDIT, editing, insist
from stguard.app.admin.textfield import Mark, Shown, unix
from stguard.app.screens import one_line, plain
from stguard.app.standing import Standing, standing
from stguard.errors import PolicyFileError, Problem, Severity
from stguard.policyfile import shape, source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

TAB: Final = "policy"

FIELD: Final = "stguard_admin_text"
"""Key of the field that the text is typed into."""

_WAKER: Final = "stguard_admin_text_waker"
_DRAFTS: Final = "stguard_admin_drafts"
_FILE: Final = "stguard_admin_file"
_HEARD: Final = "stguard_admin_heard"
_BEFORE: Final = 8
"""Most texts that are remembered of a file that others change again and again."""


@dataclass(slots=True, eq=False)
class Draft:
    """Hold the text that somebody edits.

    Attributes:
        file: the file it is for, by its name.
        base: digest of the policy's files when it was opened.
        original: the file's text then.
        text: the text now.
        number: tells the texts that the field holds one after the other apart, also from those of other sessions.
        before: the text that this one has replaced since the file has changed; None for none.
        checked: the text and the files it was checked with, and what is wrong with it.
    """

    file: str
    base: str
    original: str
    text: str
    number: int = field(default_factory=lambda: secrets.randbits(48))
    before: Draft | None = field(default=None, repr=False)
    checked: tuple[str, str, tuple[Problem, ...]] | None = field(default=None, repr=False)

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


def _snapshot_or_none(place: edits.Place) -> edits.Snapshot | None:
    try:
        return edits.Snapshot.take(place)
    except (edits.FileError, PolicyFileError):
        return None


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
        if draft.text == unix(now):
            draft.original, draft.base = draft.text, snapshot.digest  # saved, or somebody else wrote the same
        if draft.touched or draft.base == snapshot.digest:
            return draft
    text = snapshot.texts.get(name, "")
    if text.encode("utf-8", "ignore").decode() != text:
        return None
    text = unix(text)
    if draft is not None and len(list(_befores(draft))) >= _BEFORE:
        draft.before = None
    drafts[name] = Draft(file=name, base=snapshot.digest, original=text, text=text, before=draft)
    return drafts[name]


def _befores(draft: Draft) -> Iterator[Draft]:
    """Yield the texts that a text has replaced since the file has changed, the last first."""
    each = draft.before
    while each is not None:
        yield each
        each = each.before


def _readable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _editor(asked: Standing, draft: Draft, snapshot: edits.Snapshot | None, place: edits.Place) -> None:
    found = _problems(draft, snapshot, place)
    _field(draft.file, _looks(draft, snapshot, found))
    textfield.draw_waker(_WAKER)
    if snapshot is not None and draft.base != snapshot.digest:
        _conflict(draft, snapshot)
        return
    with st.container(horizontal=True):
        st.button(
            "Show what this changes",
            key="stguard_admin_preview",
            type="primary",
            on_click=_propose,
            args=(draft.file,),
            disabled=_has_errors(found) or not draft.touched,
            icon=":material/difference:",
        )
        if draft.touched:
            st.button("Throw my changes away", key="stguard_admin_discard", on_click=_discard, args=(draft.file,))
    if _is_proposed(draft) and (waiting := changes.pending(TAB)) is not None:
        changes.draw(asked, waiting, typed=functools.partial(_text_now, draft.file))


@st.fragment
def _field(file: str, looked: tuple[object, ...]) -> None:
    """Draw the text with what is wrong at its lines; alone again after each pause in typing.

    Args:
        file: the file the text is of.
        looked: what the rest of the tab was drawn for; when that has changed, everything is drawn again.
    """
    asked = standing()
    draft, place = _drafts().get(file), changes.place_of(asked)
    if draft is None or place is None or not guarding.may_edit(asked):
        st.rerun()
    snapshot = _snapshot_or_none(place)
    found = _problems(draft, snapshot, place)
    shown = Shown(
        label="The policy. It is checked while you type.",
        text=draft.text,
        file=file,
        number=draft.number,
        base=draft.base,
        heard=st.session_state.get(_HEARD, 0),
        verdict=_verdict(found),
        marks=_marks(found, file=source.shown(place.path / file if place.is_folder else place.path)),
    )
    textfield.draw(FIELD, shown, on_typed=_typed)
    if _resume(draft, place, snapshot) or _looks(draft, snapshot, found) != looked:
        st.rerun()


def _looks(draft: Draft, snapshot: edits.Snapshot | None, found: Sequence[Problem]) -> tuple[object, ...]:
    """Return everything that the tab is drawn for, but for the field."""
    digest = snapshot.digest if snapshot is not None else None
    return digest, draft.base, draft.touched, _has_errors(found), _is_proposed(draft)


def _is_proposed(draft: Draft) -> bool:
    """Tell whether what a text changes is shown just now."""
    waiting = changes.pending(TAB)
    return waiting is not None and waiting.text == draft.text


def _has_errors(found: Sequence[Problem]) -> bool:
    return any(each.severity is Severity.ERROR for each in found)


def _verdict(found: Sequence[Problem]) -> str:
    if not found:
        return "Nothing is wrong with this text, and every test in it passes."
    errors = sum(each.severity is Severity.ERROR for each in found)
    only = f" The first {changes.GROUPS} are shown." if len(found) > changes.GROUPS else ""
    if errors:
        return f"{errors} thing{'s' if errors > 1 else ''} to mend before this can be saved.{only}"
    return f"{len(found)} thing{'s' if len(found) > 1 else ''} to look at; this can be saved all the same.{only}"


def _marks(found: Sequence[Problem], *, file: str) -> tuple[Mark, ...]:
    """Return what is wrong for the field, errors first; `file` is the name that its own problems have."""
    ordered = sorted(found, key=lambda each: each.severity is not Severity.ERROR)
    return tuple(_mark(each, here=each.file == file) for each in ordered[: changes.GROUPS])


def _mark(problem: Problem, *, here: bool) -> Mark:
    file = one_line(problem.file.rpartition("/")[2])
    return Mark(
        line=problem.line if here else 0,
        place=f"Line {problem.line}" if here else f"{file}, line {problem.line}",
        text=one_line(changes.sentence(problem.message)),
        error=problem.severity is Severity.ERROR,
    )


def _conflict(draft: Draft, snapshot: edits.Snapshot) -> None:
    st.warning(
        "Somebody else has changed the policy since you opened it. Your text is still here and nothing is lost. "
        "Look at what they changed, and put it into your text if it should stay.",
        icon=":material/group:",
    )
    theirs = unix(_readable(snapshot.texts.get(draft.file, "")))
    with st.expander("What they changed", expanded=True):
        st.code(difference_of_texts(draft.original, theirs) or "Nothing in this file.", language="diff")
    with st.container(horizontal=True):
        st.button(
            "Go on with my text", key="stguard_admin_mine", on_click=_go_on, args=(draft.file, snapshot.digest, theirs)
        )
        st.button("Throw my changes away", key="stguard_admin_discard", on_click=_discard, args=(draft.file,))


# --- what the buttons do -------------------------------------------------------------------------------------------


@editing
def _typed() -> None:
    """Keep what was typed. It changes nothing but this session's own text."""
    typed = textfield.typed(FIELD)
    if typed is None or typed.count <= st.session_state.get(_HEARD, 0):
        return
    st.session_state[_HEARD] = typed.count
    for name, draft in _drafts().items():
        if draft.number == typed.number:
            draft.text = typed.text
            return
        before = next((each for each in _befores(draft) if each.number == typed.number), None)
        if before is not None and before.text != typed.text:
            # Typed before the browser knew that the file has changed: both are shown.
            before.text = typed.text
            _drafts()[name] = before
            return


def _resume(draft: Draft, place: edits.Place, snapshot: edits.Snapshot | None) -> bool:
    """Go on with a text that the browser still has of a session that is gone, after a restart of the server."""
    typed = textfield.typed(FIELD)
    if typed is None or _HEARD in st.session_state:
        return False
    st.session_state[_HEARD] = typed.count
    if snapshot is None or (typed.file != draft.file and typed.file not in snapshot.contents):
        return False
    original = unix(snapshot.texts.get(typed.file, ""))
    if typed.text == original:
        return False
    if typed.base != snapshot.digest:  # what somebody else saved meanwhile is shown first, as in a session that goes on
        original = _text_then(place, typed.file, typed.base)
    _drafts()[typed.file] = Draft(
        file=typed.file, base=typed.base, original=original, text=typed.text, number=typed.number
    )
    return typed.file == draft.file


def _text_then(place: edits.Place, file: str, base: str) -> str:
    """Return what a file was in a version of the history; nothing when that isn't known any more."""
    try:
        history = edits.history_of(place)
        held = history.contents(history.find(base)).get(file, b"")
    except (edits.EditError, edits.FileError):
        return ""
    return unix(held.decode("utf-8", "replace"))


def _text_now(file: str) -> str | None:
    """Return the text of a file with what comes along with the click."""
    _typed()
    draft = _drafts().get(file)
    return draft.text if draft is not None else None


def _discard(file: str) -> None:
    """Forget the text of this session."""
    draft = _drafts().pop(file, None)
    if draft is not None:
        # A new number, so that the field takes the file's text.
        _drafts()[file] = Draft(file=file, base="-", original=draft.text, text=draft.text)
    changes.drop()


def _go_on(file: str, base: str, theirs: str) -> None:
    """Take the text as an edit of what somebody else wrote meanwhile; the preview shows what it undoes of it."""
    draft = _drafts().get(file)
    if draft is not None:
        draft.base, draft.original = base, theirs


@editing
def _propose(file: str) -> None:
    _typed()
    draft, place = _drafts().get(file), changes.place_of(insist(EDIT))
    if draft is None or place is None:
        return
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
