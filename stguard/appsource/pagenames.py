"""How Streamlit makes a page's url path when none is given."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

_FILE_NAME: Final = re.compile(r"([0-9]*)[_ -]*(.*)\.py")

_PICTURE: Final = (
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u24c2\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff"
    "\u3030\u303d\u3297\u3299\U0001f000-\U0001faff][\ufe0f\U0001f3fb-\U0001f3ff]?[\U000e0020-\U000e007f]*"
)
_LEADING_EMOJI: Final = re.compile(
    rf"(?:[\U0001f1e6-\U0001f1ff]{{2}}|[0-9#*]\ufe0f?\u20e3|{_PICTURE}(?:\u200d{_PICTURE})*)[_ -]*(.*)", re.DOTALL
)


def of_file(file_name: str) -> str:
    """Return the url path of a page file: no folder, number prefix, leading emoji or `.py`.

    Source: STREAMLIT 1.67: `streamlit.source_util.page_icon_and_name`. Its catalogue of emoji is not read here, for
    that would import Streamlit; the ranges above contain it, and a test compares the two.

    >>> of_file("2_Monthly report.py")
    'Monthly_report'
    """
    match = _FILE_NAME.search(file_name)
    if match is None:
        return ""
    name = re.sub(r"[_ ]+", "_", match[2]).strip() or match[1]
    emoji = None if name.isascii() else _LEADING_EMOJI.match(name)
    return emoji[1] if emoji else name


def of_url_path(url_path: str) -> str:
    """Return the url path that was given as `url_path=`, cleaned as Streamlit cleans it.

    Source: STREAMLIT 1.67: `streamlit.navigation.page.Page.__init__`.

    >>> of_url_path(" /reports/ ")
    'reports'
    """
    return url_path.strip().strip("/")


def of_title(title: str) -> str:
    """Return the url path that an external link gets from its title.

    Source: STREAMLIT 1.67: `streamlit.navigation.page._sanitize_url_path`.

    >>> of_title("Our  Docs?")
    'our_docs'
    """
    path = re.sub(r"\s+", "_", title.lower())
    path = re.sub(r"[&#?/\\:*\"<>|']", "", path)
    return re.sub(r"_+", "_", path.strip("_"))


def is_link(page: str) -> bool:
    """Tell whether a page given as text is a link to another site and not a file.

    >>> is_link("https://docs.streamlit.io"), is_link("views/home.py")
    (True, False)
    """
    try:
        parts = urlsplit(page)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc)
