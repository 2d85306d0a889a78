"""Every private name of Streamlit that stguard leans on, each in a function of its own.

Read in Streamlit 1.57.0 and 1.67.0. `tests/app/test_private.py` has a test for each that fails when the name goes or
changes its meaning; at run time a missing name raises, and what raises is refused.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from streamlit.navigation.page import StreamlitPage
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.scriptrunner_utils.script_run_context import in_cached_function as _in_cached_function
from streamlit.source_util import page_icon_and_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streamlit.runtime.scriptrunner_utils.script_run_context import ScriptRunContext

PageT = TypeVar("PageT", bound=StreamlitPage)

_OURS: Final = "_stguard_run"
"""Attribute of the script run context that holds what stguard worked out in this run."""

_WRAPPERS: Final = {
    "streamlit.runtime.fragment": "st.fragment",
    "streamlit.elements.dialog_decorator": "st.dialog",
}
"""Module whose code runs in the function that a decorator returns: the decorator's public name."""

_CALLBACK_CALLER: Final = "streamlit.runtime.state.session_state"


# --- the run ---------------------------------------------------------------------------------------------------------


def context() -> ScriptRunContext | None:
    """Return the script run this thread belongs to; None outside a script run."""
    return get_script_run_ctx(suppress_warning=True)


def main_script(ctx: ScriptRunContext) -> Path:
    """Return the path of the script that `streamlit run` started."""
    return Path(ctx.main_script_path)


def script_key(ctx: ScriptRunContext) -> str:
    """Return the same as text, to look settings up by; asked for at each check."""
    return ctx.main_script_path


def run_token(ctx: ScriptRunContext) -> object:
    """Return an object that is another one in each run (`ScriptRunContext.reset` makes a new dict)."""
    return ctx.cursors


def live_user(ctx: ScriptRunContext) -> Mapping[str, object]:
    """Return the dict that `st.user` copies from; `st.logout` empties it in the middle of a run."""
    return ctx.user_info


def recall(ctx: ScriptRunContext) -> object:
    """Return what `remember` left on this context; None when nothing."""
    return getattr(ctx, _OURS, None)


def remember(ctx: ScriptRunContext, value: object) -> None:
    """Leave an object on the context, which lives as long as the thread that runs the script."""
    setattr(ctx, _OURS, value)


def in_callback(ctx: ScriptRunContext) -> bool:
    """Tell whether a widget's callback is running: the script body has not been reached yet."""
    return not ctx._has_script_started  # noqa: SLF001


def in_fragment_run(ctx: ScriptRunContext) -> bool:
    """Tell whether this run runs fragments only, without the script body."""
    return bool(ctx.fragment_ids_this_run)


def in_cached_function() -> bool:
    """Tell whether the code runs inside a function under `st.cache_data` or `st.cache_resource`."""
    return _in_cached_function.get()


def asked_page(ctx: ScriptRunContext) -> str:
    """Return the url path that the browser asked for; empty for the root and for a click in the menu."""
    manager = ctx.pages_manager
    if manager.intended_page_script_hash:
        return ""
    return manager.intended_page_name or ""


# --- who calls, who wraps --------------------------------------------------------------------------------------------


def caller() -> str | None:
    """Return the name of the module that called the function which calls this."""
    name = sys._getframe(2).f_globals.get("__name__")  # noqa: SLF001
    return name if isinstance(name, str) else None


def is_fragment_caller(module: str | None) -> bool:
    """Tell whether Streamlit's fragment or dialog machinery is that module."""
    return module in _WRAPPERS


def is_callback_caller(module: str | None) -> bool:
    """Tell whether the module is the one from which Streamlit calls the callbacks of widgets."""
    return module == _CALLBACK_CALLER


def wrapper_of(function: object) -> str | None:
    """Return `st.fragment` or `st.dialog` when the function came out of that decorator; None else."""
    namespace = getattr(function, "__globals__", None)
    return _WRAPPERS.get(namespace.get("__name__", "")) if isinstance(namespace, dict) else None


# --- pages -----------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4096)
def file_page_name(file: str) -> str:
    """Return the url path that Streamlit infers from a file's name, with or without folders before it."""
    return page_icon_and_name(Path(file))[1]


def page_name(page: StreamlitPage) -> str:
    """Return a page's own url path; `url_path` itself is empty for the default page."""
    return page._url_path  # noqa: SLF001


def page_source(page: StreamlitPage) -> Path | Callable[[], None] | None:
    """Return the file or the function of a page; None for a link."""
    return page._page  # noqa: SLF001


def is_default(page: StreamlitPage) -> bool:
    """Tell whether the author made this the default page, or an earlier `st.navigation` did."""
    return page._default  # noqa: SLF001


def copy_page(page: StreamlitPage, kind: type[PageT], **changes: Any) -> PageT:  # noqa: ANN401
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
    made.__dict__.update(page.__dict__)
    made.__dict__.update({f"_{name}": value for name, value in changes.items()})
    made.__dict__["_can_be_called"] = False
    return made


def replace_source(page: StreamlitPage, source: Callable[[], object]) -> None:
    """Make a page that is about to run show something else instead."""
    page.__dict__["_page"] = source


def is_complete(page: StreamlitPage) -> bool:
    """Tell whether a page was made inside a script run; one made outside lacks its source."""
    return "_page" in page.__dict__
