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
from typing import TYPE_CHECKING, Any, Final, TypeGuard, TypeVar

import streamlit as st
from streamlit import runtime
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
    from types import FunctionType

    from streamlit.runtime.scriptrunner_utils.script_run_context import ScriptRunContext

PageT = TypeVar("PageT", bound=StreamlitPage)

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


# --- pages -----------------------------------------------------------------------------------------------------------


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


def _takes(method: object, parameters: Sequence[str]) -> TypeGuard[FunctionType]:
    """Tell whether a method is a plain function whose first parameters have these names."""
    return inspect.isfunction(method) and [*inspect.signature(method).parameters][: len(parameters)] == [*parameters]


def _hook(owner: type, name: str, *, parameters: Sequence[str], bind: Callable[..., Arguments]) -> None:
    """Put `bind` before a method: it takes the method's arguments and returns those to go on with.

    Raises:
        ConfigurationError: the method is not what it was when it was read.
    """
    method = getattr(owner, name, None)
    if getattr(method, HOOKED, False):
        return
    if not _takes(method, parameters):
        raise ConfigurationError(
            f"this Streamlit ({st.__version__}) has another `{owner.__name__}.{name}` than stguard knows, so guards "
            'would not hold in callbacks and fragments; use a supported version, or configure(hooks="off")'
        )

    @functools.wraps(method)
    def hooked(self: object, *args: object, **kwargs: object) -> object:
        given, named = bind(*args, **kwargs)
        return method(self, *given, **named)

    setattr(hooked, HOOKED, True)
    setattr(owner, name, hooked)


def hook_callbacks(bind: Bind) -> None:
    """Bind each widget's callback as it is registered.

    STREAMLIT 1.57 to 1.67: `SessionState.register_widget(metadata, user_key)` keeps the callbacks in a frozen
    `WidgetMetadata`: `callback`, and `callbacks` by event for components v2.
    """

    def with_bound(metadata: WidgetMetadata[Any], *args: object, **kwargs: object) -> Arguments:
        return (_with_bound_callbacks(metadata, bind), *args), kwargs

    _hook(SessionState, "register_widget", parameters=("self", "metadata", "user_key"), bind=with_bound)


def _with_bound_callbacks(metadata: WidgetMetadata[Any], bind: Bind) -> WidgetMetadata[Any]:
    if metadata.callback is None and not metadata.callbacks:
        return metadata
    # A callable may be false, such as a list of a class of its own.
    single = None if metadata.callback is None else bind(metadata.callback)
    several = metadata.callbacks and {event: bind(each) for event, each in metadata.callbacks.items()}
    return dataclasses.replace(metadata, callback=single, callbacks=several)


def hook_fragments(bind: Bind) -> None:
    """Bind each fragment, dialog and timed rerun as it is stored.

    STREAMLIT 1.57: `MemoryFragmentStorage.set(key, value)`; later `register(key, fragment, ...)`.
    """

    def with_bound(key: str, *args: object, **kwargs: object) -> Arguments:
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

    def with_bound(data_callable: object, *args: object, **kwargs: object) -> Arguments:
        return (bind(data_callable), *args), kwargs

    _hook(MediaFileManager, "add_deferred", parameters=("self", "data_callable"), bind=with_bound)


def hook_lazy_sources(bind: Bind) -> None:
    """Bind the source of a table whose rows are fetched later.

    STREAMLIT 1.67: `DataframeSourceManager.register_source(source, coordinates)`; earlier versions have none.
    """
    try:
        from streamlit.runtime.dataframe_source_manager import DataframeSourceManager
    except ImportError:
        return

    def with_bound(source: object, *args: object, **kwargs: object) -> Arguments:
        return (bind(source), *args), kwargs

    _hook(DataframeSourceManager, "register_source", parameters=("self", "source"), bind=with_bound)


def bind_registered(
    ctx: ScriptRunContext, *, callback: Bind, fragment: Bind, deferred: Bind, lazy_source: Bind
) -> None:
    """Bind what this session registered before the hooks were there.

    STREAMLIT 1.57 to 1.67: `WStates.widget_metadata` by widget id; `MemoryFragmentStorage._fragments` by key;
    `MediaFileManager._deferred_callables` by file id, of which `_files_by_session_and_coord` says the session; in 1.67
    `DataframeSourceManager._sources` by id.
    """
    metadata_by_id = ctx.session_state._state._new_widget_state.widget_metadata
    for key, metadata in list(metadata_by_id.items()):
        metadata_by_id[key] = _with_bound_callbacks(metadata, callback)
    storage: Any = ctx.fragment_storage
    for key, stored in list(storage._fragments.items()):
        storage._fragments[key] = fragment(stored)
    if not runtime.exists():
        return
    files = runtime.get_instance().media_file_mgr
    with files._lock:
        for file_id in files._files_by_session_and_coord.get(ctx.session_id, {}).values():
            entry = files._deferred_callables.get(file_id)
            if entry is not None:
                entry["callable"] = deferred(entry["callable"])
    tables: Any = getattr(runtime.get_instance(), "dataframe_source_mgr", None)
    if tables is not None:
        with tables._lock:
            for key, entry in list(tables._sources.items()):
                if entry.session_id == ctx.session_id:
                    tables._sources[key] = dataclasses.replace(entry, source=lazy_source(entry.source))


class Probe:
    """Be registered with Streamlit in place of something of a page's; a hook that is reached puts `bound` there.

    Attributes:
        asked: whether what ran was what the hook had put there.
    """

    def __init__(self) -> None:
        """Start as something that didn't run."""
        self.asked = False

    def __call__(self) -> bytes:
        """Run as a page's own code does where no hook is reached."""
        return b""

    def bound(self) -> bytes:
        """Run as what a hook puts there does."""
        self.asked = True
        return b""


def exercise_hooks() -> list[str]:
    """Register something by each hooked way, have Streamlit run it, and return the ways on which no hook was reached.

    Needs a script run. What is registered here goes to objects of its own, and is forgotten.

    Raises:
        Exception: whatever a way raises that is no longer what it was.
    """
    ways: dict[str, Callable[[Probe], None]] = {
        "callbacks": _exercise_callback,
        "callbacks by event": _exercise_callbacks_by_event,
        "fragments": _exercise_fragment,
        "deferred downloads": _exercise_deferred,
        "lazy tables": _exercise_lazy_source,
    }
    missed = []
    for name, exercise in ways.items():
        probe = Probe()
        exercise(probe)
        if not probe.asked:
            missed.append(name)
    return missed


def _metadata(
    *, callback: Callable[..., Any] | None = None, callbacks: dict[str, Any] | None = None
) -> WidgetMetadata[Any]:
    return WidgetMetadata(
        id="$$ID-stguard-None",
        deserializer=lambda value: value,
        serializer=lambda value: value,
        value_type="json_trigger_value",
        callback=callback,
        callbacks=callbacks,
    )


def _exercise_callback(probe: Probe) -> None:
    state = SessionState()
    state.register_widget(_metadata(callback=probe), None)
    state._new_widget_state.call_callback("$$ID-stguard-None")


def _exercise_callbacks_by_event(probe: Probe) -> None:
    state = SessionState()
    state.register_widget(_metadata(callbacks={"event": probe}), None)
    stored = state._new_widget_state.widget_metadata["$$ID-stguard-None"].callbacks
    (stored or {})["event"]()


def _exercise_fragment(probe: Probe) -> None:
    storage: Any = MemoryFragmentStorage()
    if "register" in vars(MemoryFragmentStorage):
        storage.register("stguard", probe)
        storage.lookup("stguard")()
    else:
        storage.set("stguard", probe)
        storage.get("stguard")()


def _exercise_deferred(probe: Probe) -> None:
    files = MediaFileManager(MemoryMediaFileStorage("/media"))
    files.execute_deferred(files.add_deferred(probe, None, "stguard"))


def _exercise_lazy_source(probe: Probe) -> None:
    try:
        from streamlit.runtime.dataframe_source_manager import DataframeSourceManager
    except ImportError:
        probe.asked = True
        return
    entry: Any = DataframeSourceManager().register_source(probe, "stguard")  # type: ignore[arg-type]  # never loaded from
    entry.source()


# --- what the server knows -------------------------------------------------------------------------------------------

WATCHED: Final = "__stguard_watched__"
"""Attribute of a method of Streamlit whose results are already watched."""


def login_cookies() -> tuple[str, str]:
    """Return what the names of the cookies of a login are, or begin with before `_` and a number: claims and tokens."""
    from streamlit.web.server.starlette.starlette_server_config import (
        TOKENS_COOKIE_NAME,
        USER_COOKIE_NAME,
    )

    return USER_COOKIE_NAME, TOKENS_COOKIE_NAME


def signed_login(cookies: Mapping[str, str]) -> bytes | None:
    """Return the payload of the login cookie, put together and verified; None without one that is valid.

    STREAMLIT 1.57 to 1.67: `starlette_websocket._get_signed_cookie_with_chunks(cookies, name)`; the payload is the JSON
    of the claims with `origin`, `provider` and `is_logged_in`.
    """
    from streamlit.web.server.starlette.starlette_websocket import _get_signed_cookie_with_chunks

    return _get_signed_cookie_with_chunks(dict(cookies), login_cookies()[0])


def browser_token(cookies: Mapping[str, str]) -> bytes | None:
    """Return the random bytes in the cookie against request forgery, one value in each browser; None without it.

    STREAMLIT 1.57 to 1.67: the cookie's text is another at each answer (`2|mask|masked|time`), the bytes are not.
    """
    from streamlit.web.server.starlette.starlette_app_utils import decode_xsrf_token_string
    from streamlit.web.server.starlette.starlette_server_config import XSRF_COOKIE_NAME

    return decode_xsrf_token_string(cookies.get(XSRF_COOKIE_NAME, ""))[0] or None


def sign(name: str, value: str) -> str:
    """Return a text signed for one cookie name with Streamlit's cookie secret."""
    from streamlit.web.server.server_util import get_cookie_secret
    from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

    return create_signed_value(get_cookie_secret(), name, value).decode("ascii")


def unsign(name: str, signed: str, *, seconds: float) -> str | None:
    """Return what `sign` signed; None when it was something else, or longer ago than that many seconds."""
    from streamlit.web.server.server_util import get_cookie_secret
    from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value

    value = decode_signed_value(get_cookie_secret(), name, signed, max_age_days=seconds / 86400)
    return None if value is None else value.decode()


def route_path(scope: Mapping[str, Any]) -> str:
    """Return the path that Starlette's router matches: the request's without the mount before it.

    Read in Starlette 1.0; what decides here must read a path exactly as what serves it.
    """
    from starlette._utils import get_route_path

    return get_route_path(scope)  # type: ignore[arg-type]  # a scope is any mutable mapping to them


def served_script() -> str | None:
    """Return the main script of the server in this process, as `script_key` has it; None before there is a server."""
    if not runtime.exists():
        return None
    return runtime.get_instance()._main_script_path


def script_of(app: object) -> Path:
    """Return the main script of an `st.App`, as it was found when the app was made.

    STREAMLIT 1.57 to 1.67: `App._resolve_script_path()`.
    """
    found: Path = app._resolve_script_path()  # type: ignore[attr-defined]
    return found


def _watch(name: str, *, parameters: Sequence[str], seen: Callable[..., None]) -> None:
    """Call `seen(result, *arguments)` after each call of a method of `MediaFileManager`.

    Raises:
        ConfigurationError: the method is not what it was when it was read.
    """
    method = getattr(MediaFileManager, name, None)
    if getattr(method, WATCHED, False):
        return
    if not _takes(method, parameters):
        raise ConfigurationError(
            f"this Streamlit ({st.__version__}) has another `MediaFileManager.{name}` than stguard knows, so files "
            "could not be kept to the sessions they were made for; use a supported version"
        )

    @functools.wraps(method)
    def watched(self: object, *args: object, **kwargs: object) -> object:
        result = method(self, *args, **kwargs)
        seen(result, *args)
        return result

    setattr(watched, WATCHED, True)
    setattr(MediaFileManager, name, watched)


def watch_files(*, made: Callable[[str, str], None], fetched: Callable[[str, str], None]) -> None:
    """Watch which session is given which file.

    STREAMLIT 1.57 to 1.67: `MediaFileManager.add(path_or_data, ...)` returns the address of a file for the session
    whose script calls it, `add_deferred(data_callable, ...)` the id under which a file can be asked for later, and
    `execute_deferred(file_id)` makes that one and returns its address.

    Args:
        made: called with a session's id and an address, or the id of a file that is made later.
        fetched: called with the id of such a file and the address it was made at.

    Raises:
        ConfigurationError: one of the three is not what it was when it was read.
    """

    def seen_made(result: str, *_args: object) -> None:
        ctx = context()
        if ctx is not None:
            made(ctx.session_id, result)

    def seen_fetched(result: str, file_id: str, *_args: object) -> None:
        fetched(file_id, result)

    _watch("add", parameters=("self", "path_or_data", "mimetype"), seen=seen_made)
    _watch("add_deferred", parameters=("self", "data_callable"), seen=seen_made)
    _watch("execute_deferred", parameters=("self", "file_id"), seen=seen_fetched)
