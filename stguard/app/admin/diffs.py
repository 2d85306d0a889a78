"""The lines that a change of the policy touches, as they are shown before it is saved or approved."""

from __future__ import annotations

import difflib
import unicodedata
from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    return unicodedata.category(each) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


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
