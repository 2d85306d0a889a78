"""A text field with the numbers of its lines, in which problems are marked while somebody types.

What is typed comes after a short pause, each time as a whole; the answer marks lines and leaves the text alone. Only
another `number` puts another text into the field. The browser's part is in `textfield.js`, `.css` and `.html`.

SECURITY: those three are static. Text of anybody's goes along as data, and the script makes no HTML of it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import streamlit as st

if TYPE_CHECKING:
    from collections.abc import Callable

_NAME: Final = "stguard.textfield"
_HTML, _CSS, _JS = (Path(__file__).with_suffix(end).read_text(encoding="utf-8") for end in (".html", ".css", ".js"))

_TYPED: Final = "typed"
_MOST: Final = 2**53
"""A browser's numbers are whole below this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Say what is wrong with a line.

    Attributes:
        line: the line, from 1; 0 for one of another file.
        place: what to call the line.
        text: what is wrong, a sentence without Markdown.
        error: whether it keeps the text from being used.
    """

    line: int
    place: str
    text: str
    error: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """Hold what a browser sent.

    Attributes:
        count: how many messages it sent so far, this one included.
        file: the file that the text was said to be of.
        number: of the text that it was typed into.
        base: what that text was said to be based on.
        text: the whole text.
    """

    count: int
    file: str
    number: int
    base: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Say what the field shows.

    Attributes:
        label: what the text is.
        text: the text as it is known here.
        file: the file it is of.
        number: tells one text from the other; the field takes `text` when it is another one.
        base: what it is based on; comes back with what is typed.
        heard: the `count` of what was heard last.
        verdict: what is wrong with the text, in a sentence.
        marks: the same by lines.
    """

    label: str
    text: str
    file: str
    number: int
    base: str
    heard: int
    verdict: str
    marks: tuple[Mark, ...]


def draw(key: str, shown: Shown, *, on_typed: Callable[[], None]) -> None:
    """Draw the field.

    Args:
        key: of the widget.
        shown: what it shows.
        on_typed: called when something was typed; `typed` says what.
    """
    # At each drawing: a component that was registered under one runtime is unknown to the next.
    field = st.components.v2.component(_NAME, html=_HTML, css=_CSS, js=_JS)
    field(key=key, data=asdict(shown), on_typed_change=on_typed)


def draw_waker(key: str) -> None:
    """Draw what is not seen, by which a field that gets no answer asks for the whole page; outside of its fragment.

    STREAMLIT 1.57 to 1.67: a session that is new, after a restart of the server, says nothing to what is sent from a
    fragment that it hasn't drawn, and a browser that connects again doesn't ask for the page by itself.
    """
    waker = st.components.v2.component(f"{_NAME}.waker", js=_JS)
    waker(key=key, data={"wakes": True}, on_woken_change=_nothing)


def _nothing() -> None:
    """Do nothing: the page is drawn anyway."""


def typed(key: str) -> Typed | None:
    """Return what was typed last; None for nothing.

    SECURITY: a browser can send any JSON. What is not as the script sends it counts as nothing.
    """
    state = st.session_state.get(key)
    sent = state.get(_TYPED) if isinstance(state, dict) else None
    match sent:
        case {
            "count": int(count),
            "file": str(file),
            "number": int(number),
            "base": str(base),
            "text": str(text),
        } if 0 < count < _MOST:
            return Typed(count=count, file=file, number=number, base=base, text=unix(text))
        case _:
            return None


def unix(text: str) -> str:
    """Return a text with the line ends that a browser's text field has."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
