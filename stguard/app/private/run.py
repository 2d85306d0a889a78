"""The script run: who calls, for whom, and which part of the script is running."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import streamlit as st
from streamlit.proto.RootContainer_pb2 import RootContainer
from streamlit.runtime.scriptrunner import ScriptRunContext, get_script_run_ctx
from streamlit.runtime.scriptrunner_utils.script_run_context import in_cached_function as _in_cached_function

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streamlit.delta_generator import DeltaGenerator

_OURS: Final = "_stguard_run"
"""Attribute of the script run context that holds what stguard worked out in this run."""

_PLACE: Final = "_stguard_place"
"""Attribute of the script run context that holds the page that runs."""

_WRAPPERS: Final = {
    "streamlit.runtime.fragment": "st.fragment",
    "streamlit.elements.dialog_decorator": "st.dialog",
}
"""Module whose code runs in the function that a decorator returns: the decorator's public name."""

_CALLBACK_CALLERS: Final = frozenset(
    {"streamlit.runtime.state.session_state", "stguard.app.mediation", "stguard.app.failures"}
)


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


def session_id(ctx: ScriptRunContext) -> str:
    """Return the id of the browser session; who knows it can upload to it, so it is nothing to show or log."""
    return ctx.session_id


def run_token(ctx: ScriptRunContext) -> object:
    """Return an object that is another one in each run (`ScriptRunContext.reset` makes a new dict)."""
    return ctx.cursors


def live_user(ctx: ScriptRunContext) -> Mapping[str, object]:
    """Return the dict that `st.user` copies from; `st.logout` empties it in the middle of a run."""
    return ctx.user_info


def keys_of_widgets(ctx: ScriptRunContext, names: Iterable[str]) -> tuple[str, ...]:
    """Return those of these keys of the session state that belong to a widget, so that the browser writes them.

    STREAMLIT 1.57 to 1.67: `SessionState._key_id_mapper`, in which `register_widget` notes each key.
    """
    mapper = ctx.session_state._state._key_id_mapper
    return tuple(name for name in names if name in mapper)


def recall(ctx: ScriptRunContext) -> object:
    """Return what `remember` left on this context; None when nothing."""
    return getattr(ctx, _OURS, None)


def remember(ctx: ScriptRunContext, value: object) -> None:
    """Leave an object on the context, which lives as long as the thread that runs the script."""
    setattr(ctx, _OURS, value)


def running_place(ctx: ScriptRunContext) -> Any:
    """Return the page that runs in this run, as `run_at` left it; None before one does."""
    token, place = getattr(ctx, _PLACE, (None, None))
    return place if token is run_token(ctx) else None


def run_at(ctx: ScriptRunContext, place: object) -> None:
    """Leave the page that runs, for the rest of the run, where every thread of the run finds it."""
    setattr(ctx, _PLACE, (run_token(ctx), place))


def in_callback(ctx: ScriptRunContext) -> bool:
    """Tell whether a widget's callback is running: the script body has not been reached yet."""
    return not ctx._has_script_started


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


def main_area() -> DeltaGenerator:
    """Return the app's main area, to draw there whatever container the script is in.

    STREAMLIT 1.57 to 1.67: `st._main`; as the innermost `with`, it is where `st.write` draws.
    """
    return st._main


def in_sidebar(area: DeltaGenerator) -> bool:
    """Tell whether a container is the sidebar, or one in it.

    STREAMLIT 1.57 to 1.67: `DeltaGenerator._root_container`.
    """
    return area._root_container == RootContainer.SIDEBAR


# --- who calls, who wraps --------------------------------------------------------------------------------------------


def caller() -> str | None:
    """Return the name of the module that called the function which calls this."""
    name = sys._getframe(2).f_globals.get("__name__")
    return name if isinstance(name, str) else None


def is_fragment_caller(module: str | None) -> bool:
    """Tell whether Streamlit's fragment or dialog machinery is that module."""
    return module in _WRAPPERS


def is_callback_caller(module: str | None) -> bool:
    """Tell whether the module is the one from which Streamlit calls the callbacks of widgets."""
    return module in _CALLBACK_CALLERS


def wrapper_of(function: object) -> str | None:
    """Return `st.fragment` or `st.dialog` when the function came out of that decorator; None else."""
    namespace = getattr(function, "__globals__", None)
    return _WRAPPERS.get(namespace.get("__name__", "")) if isinstance(namespace, dict) else None
