"""Page objects: their parts, and copies of them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from streamlit.navigation.page import StreamlitPage
from streamlit.source_util import page_icon_and_name

if TYPE_CHECKING:
    from collections.abc import Callable

PageT = TypeVar("PageT", bound=StreamlitPage)

_attributes: Final[dict[bool, tuple[str, ...]]] = {}
"""Names of the attributes of a page and of a link, as the first one had them.

Looking at the `__dict__` of an object makes a dict that the garbage collector visits as long as the object lives; a
session keeps all its pages, so we look at one page in a process.
"""


@functools.lru_cache(maxsize=4096)
def file_page_name(file: str) -> str:
    """Return the url path that Streamlit infers from a file's name, with or without folders before it."""
    return page_icon_and_name(Path(file))[1]


def page_name(page: StreamlitPage) -> str:
    """Return a page's own url path; `url_path` itself is empty for the default page."""
    return page._url_path


def page_source(page: StreamlitPage) -> Path | Callable[[], None] | None:
    """Return the file or the function of a page; None for a link."""
    return page._page


def is_default(page: StreamlitPage) -> bool:
    """Tell whether the author made this the default page, or an earlier `st.navigation` did."""
    return page._default


def copy_page(page: StreamlitPage, kind: type[PageT], **changes: Any) -> PageT:
    """Return a copy of a page as another class.

    STREAMLIT 1.67: `st.navigation` writes `_default` and `_can_be_called` into the page it is given, so each run gets
    its own copies and the author's page objects stay as they are.

    Args:
        page: the page to copy.
        kind: a subclass of Streamlit's page class; its `__init__` isn't run.
        changes: attributes to set on the copy, without the leading underscore: `default`, `visibility`, `icon`,
            `url_path`, `page`.
    """
    made = kind.__new__(kind)
    names = _attributes.get(page.is_external)
    if names is None:
        names = _attributes[page.is_external] = tuple(vars(page))
    for name in names:
        setattr(made, name, getattr(page, name))
    for name, value in changes.items():
        setattr(made, f"_{name}", value)
    made._can_be_called = False
    return made


def replace_source(page: StreamlitPage, source: Callable[[], object]) -> None:
    """Make a page that is about to run show something else instead."""
    page._page = source  # type: ignore[assignment]  # it runs whatever can be called


def is_complete(page: StreamlitPage) -> bool:
    """Tell whether a page was made inside a script run; one made outside lacks its source."""
    return hasattr(page, "_page")
