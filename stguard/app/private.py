"""Every private name of Streamlit that stguard leans on, each in a function of its own.

Read in Streamlit 1.57.0 and 1.67.0. `tests/app/test_private.py` has a test for each that fails when the name goes or
changes its meaning; at run time a missing name raises, and what raises is refused.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import streamlit as st
from streamlit.navigation.page import StreamlitPage
from streamlit.runtime.fragment import MemoryFragmentStorage
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.scriptrunner_utils.script_run_context import in_cached_function as _in_cached_function
from streamlit.runtime.state.common import WidgetMetadata
from streamlit.runtime.state.session_state import SessionState
from streamlit.source_util import page_icon_and_name

from stguard.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streamlit.runtime.scriptrunner_utils.script_run_context import ScriptRunContext

PageT = TypeVar("PageT", bound=StreamlitPage)

_OURS: Final = "_stguard_run"
"""Attribute of the script run context that holds what stguard worked out in this run."""

_WRAPPERS: Final = {
    "streamlit.runtime.fragment": "st.fragment",
    "streamlit.elements.dialog_decorator": "st.dialog",
}
"""Module whose code runs in the function that a decorator returns: the decorator's public name."""

_CALLBACK_CALLERS: Final = frozenset({"streamlit.runtime.state.session_state", "stguard.app.mediation"})


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
    return module in _CALLBACK_CALLERS


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


# --- what is registered ----------------------------------------------------------------------------------------------

Bind = Callable[[Any], Any]
"""Takes what a page registers, returns what shall be registered in its place."""

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and keyword arguments of a call."""

HOOKED: Final = "__stguard_hooked__"
"""Attribute of a method of Streamlit that is already hooked."""


def _hook(owner: type, name: str, *, parameters: Sequence[str], bind: Callable[..., Arguments]) -> None:
    """Put `bind` before a method: it takes the method's arguments and returns those to go on with.

    Raises:
        ConfigurationError: the method is not what it was when it was read.
    """
    method = getattr(owner, name, None)
    if getattr(method, HOOKED, False):
        return
    if not inspect.isfunction(method) or list(inspect.signature(method).parameters)[: len(parameters)] != list(parameters):
        raise ConfigurationError(
            f"this Streamlit ({st.__version__}) has another `{owner.__name__}.{name}` than stguard knows, so guards "
            'would not hold in callbacks and fragments; use a supported version, or configure(hooks="off")'
        )

    @functools.wraps(method)
    def hooked(self: object, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = bind(*args, **kwargs)
        return method(self, *args, **kwargs)

    setattr(hooked, HOOKED, True)
    setattr(owner, name, hooked)


def hook_callbacks(bind: Bind) -> None:
    """Bind each widget's callback as it is registered.

    STREAMLIT 1.57 to 1.67: `SessionState.register_widget(metadata, user_key)` keeps the callbacks in a frozen
    `WidgetMetadata`: `callback`, and `callbacks` by event for components v2.
    """

    def with_bound(metadata: Any, *args: Any, **kwargs: Any) -> Arguments:
        return (_with_bound_callbacks(metadata, bind), *args), kwargs

    _hook(SessionState, "register_widget", parameters=("self", "metadata", "user_key"), bind=with_bound)


def _with_bound_callbacks(metadata: Any, bind: Bind) -> Any:
    if metadata.callback is None and not metadata.callbacks:
        return metadata
    single = metadata.callback and bind(metadata.callback)
    several = metadata.callbacks and {event: bind(each) for event, each in metadata.callbacks.items()}
    return dataclasses.replace(metadata, callback=single, callbacks=several)


def hook_fragments(bind: Bind) -> None:
    """Bind each fragment, dialog and timed rerun as it is stored.

    STREAMLIT 1.57: `MemoryFragmentStorage.set(key, value)`; later `register(key, fragment, ...)`.
    """

    def with_bound(key: str, *args: Any, **kwargs: Any) -> Arguments:
        if args:
            return (key, bind(args[0]), *args[1:]), kwargs
        name = "fragment" if "fragment" in kwargs else "value"
        return (key,), {**kwargs, name: bind(kwargs[name])}

    if "register" in vars(MemoryFragmentStorage):  # a protocol class has a `register` of its own
        _hook(MemoryFragmentStorage, "register", parameters=("self", "key", "fragment"), bind=with_bound)
    else:
        _hook(MemoryFragmentStorage, "set", parameters=("self", "key", "value"), bind=with_bound)


def hook_deferred(bind: Bind) -> None:
    """Bind the function that makes a download's data when it is fetched.

    STREAMLIT 1.57 to 1.67: `MediaFileManager.add_deferred(data_callable, ...)`.
    """

    def with_bound(data_callable: Any, *args: Any, **kwargs: Any) -> Arguments:
        return (bind(data_callable), *args), kwargs

    _hook(MediaFileManager, "add_deferred", parameters=("self", "data_callable"), bind=with_bound)


def hook_lazy_sources(bind: Bind) -> None:
    """Bind the source of a table whose rows are fetched later.

    STREAMLIT 1.67: `DataframeSourceManager.register_source(source, coordinates)`; earlier versions have none.
    """
    try:
        from streamlit.runtime.dataframe_source_manager import DataframeSourceManager  # noqa: PLC0415  absent in 1.57
    except ImportError:
        return

    def with_bound(source: Any, *args: Any, **kwargs: Any) -> Arguments:
        return (bind(source), *args), kwargs

    _hook(DataframeSourceManager, "register_source", parameters=("self", "source"), bind=with_bound)


def bind_registered(ctx: ScriptRunContext, *, callback: Bind, fragment: Bind) -> None:
    """Bind what this session registered before the hooks were there.

    STREAMLIT 1.57 to 1.67: `WStates.widget_metadata` by widget id, `MemoryFragmentStorage._fragments` by key.
    """
    metadata_by_id = ctx.session_state._state._new_widget_state.widget_metadata  # noqa: SLF001
    for key, metadata in list(metadata_by_id.items()):
        metadata_by_id[key] = _with_bound_callbacks(metadata, callback)
    storage = ctx.fragment_storage
    if isinstance(storage, MemoryFragmentStorage):
        for key, stored in list(storage._fragments.items()):  # noqa: SLF001
            storage._fragments[key] = fragment(stored)  # noqa: SLF001


def exercise_hooks(probe: Callable[[], None]) -> None:
    """Register something by each hooked way, so that it can be seen whether the hooks are reached.

    Raises:
        Exception: whatever a way raises that is no longer what it was.
    """
    metadata = WidgetMetadata(
        id="$$STWIDGET-stguard",
        deserializer=lambda value: value,
        serializer=lambda value: value,
        value_type="trigger_value",
        callback=probe,
    )
    SessionState().register_widget(metadata, None)
    storage = MemoryFragmentStorage()
    (storage.register if "register" in vars(MemoryFragmentStorage) else storage.set)("stguard", probe)  # type: ignore[attr-defined]  # of 1.57
    MediaFileManager(MemoryMediaFileStorage("/media")).add_deferred(probe, None, "stguard")  # type: ignore[arg-type]  # never called
