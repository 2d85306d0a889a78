"""The lines that a change of the policy touches, as they are shown before it is saved or approved."""

from __future__ import annotations

import difflib
import unicodedata
from typing import TYPE_CHECKING, Final

import streamlit as st

if TYPE_CHECKING:
    from collections.abc import Mapping


_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})

_IGNORED: Final = (
    ("\u034f", "\u034f"),
    ("\u115f", "\u1160"),
    ("\u17b4", "\u17b5"),
    ("\u180b", "\u180f"),
    ("\u2800", "\u2800"),
    ("\u3164", "\u3164"),
    ("\ufe00", "\ufe0f"),
    ("\uffa0", "\uffa0"),
    ("\U000e0100", "\U000e01ef"),
)
"""What is drawn as nothing: Unicode's Default_Ignorable_Code_Point, and the blank Braille pattern."""


def difference_of_texts(old: str, new: str, *, most: int | None = 500) -> str:
    """Return the lines that differ, with a few around them; at most so many, None for all."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), "before", "after", lineterm="", n=2)
    return visible("\n".join(list(lines)[:most]))


def visible(text: str) -> str:
    r"""Return a text with what can't be seen written out, such as `\u202e`.

    SECURITY: marks that turn the direction make a line look like another one to who approves it.
    """
    return "".join(each if each in "\n\t" or not _is_unseen(each) else _written_out(each) for each in text)


def _is_unseen(each: str) -> bool:
    if each == " " or each.isascii():
        return not each.isprintable()
    return unicodedata.category(each) in _UNSEEN or any(first <= each <= last for first, last in _IGNORED)


def _written_out(each: str) -> str:
    return f"\\u{ord(each):04x}" if ord(each) <= 0xFFFF else f"\\U{ord(each):08x}"  # noqa: PLR2004  YAML's two forms


def draw(before: Mapping[str, str], files: Mapping[str, str | None]) -> None:
    """Draw every line that changes: who gains and who loses may be too much to list, or not to be told.

    Args:
        before: the texts as they stand, by file.
        files: the new text of each file that changes, None for one that goes away.
    """
    st.caption("The lines that change")
    for name, text in files.items():
        if len(files) > 1 or text is None:
            st.markdown(f"`{visible(name).replace('`', '')}`" + (" goes away" if text is None else ""))
        diff = difference_of_texts(before.get(name, ""), text or "", most=None)
        # SECURITY: wrapped, since what stands far to the right of a long line would not be seen.
        st.code(diff or "Only the ends of lines are written otherwise.", language="diff", wrap_lines=True)
