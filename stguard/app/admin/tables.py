"""Tables of plain text: a dataframe shows what stands in it, never Markdown or HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def rows(listed: Sequence[Mapping[str, str]]) -> None:
    """Draw a row for each, without the columns in which nothing stands."""
    import pandas as pd  # noqa: PLC0415  Streamlit has it; only this page needs it

    frame = pd.DataFrame(listed)
    st.dataframe(frame[[name for name in frame.columns if frame[name].any()]], hide_index=True, width="stretch")


def matrix(names: Sequence[str], columns: Mapping[str, Sequence[str]]) -> None:
    """Draw a row for each name, which stays in sight where there is no room for all columns."""
    import pandas as pd  # noqa: PLC0415  as above

    st.dataframe(
        pd.DataFrame({"": names, **columns}),
        hide_index=True,
        width="stretch",
        column_config={"": st.column_config.TextColumn(pinned=True)},
    )
