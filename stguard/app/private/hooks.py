"""Hooks into what a page registers and is given: callbacks, fragments, deferred downloads, lazy tables, files."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import streamlit as st
from streamlit import runtime
from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates
from streamlit.runtime.fragment import MemoryFragmentStorage
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.runtime.state.common import WidgetMetadata, user_key_from_element_id
from streamlit.runtime.state.session_state import SessionState

from stguard.app.private.run import context
from stguard.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FunctionType

    from streamlit.runtime.scriptrunner import ScriptRunContext

# --- what is registered ----------------------------------------------------------------------------------------------

Bind = Callable[[Any], Any]
"""Takes what a page registers, returns what shall be registered in its place."""

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and keyword arguments of a call."""

HOOKED: Final = "__stguard_hooked__"
"""Attribute of a method or function of Streamlit that is already hooked."""


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


# --- what the browser sends ------------------------------------------------------------------------------------------

_PINNED: Final = "$$ID-stguard_pinned-None"
"""Id of a widget that is never drawn, whose metadata holds what is pinned."""

Keep = Callable[[Any, "Sequence[WidgetState]"], "tuple[Sequence[WidgetState], bool]"]
"""Takes what is pinned and what the browser sent; returns what counts, and whether the rest of the rerun does too."""


def pin(ctx: ScriptRunContext, thing: object) -> None:
    """Keep an object for the session, where `st.session_state.clear()` doesn't reach it; None to let it go.

    STREAMLIT 1.57 to 1.67: `WStates.widget_metadata`, which is never pruned, and of which each entry is asked for by
    the id of a widget.
    """
    metadata_by_id = ctx.session_state._state._new_widget_state.widget_metadata
    if thing is None:
        metadata_by_id.pop(_PINNED, None)
    else:
        metadata_by_id[_PINNED] = dataclasses.replace(_metadata(), id=_PINNED, callback_args=(thing,))


def pinned(ctx: ScriptRunContext) -> Any:
    """Return what `pin` has kept for the session; None for nothing."""
    return _pinned_in(ctx.session_state._state)


def _pinned_in(state: SessionState) -> Any:
    metadata = state._new_widget_state.widget_metadata.get(_PINNED)
    return None if metadata is None else (metadata.callback_args or (None,))[0]


def widget_key(widget_id: str) -> str | None:
    """Return the key that a widget's id ends with; None for a widget without one."""
    return user_key_from_element_id(widget_id)


def is_momentary(state: WidgetState) -> bool:
    """Tell whether this is sent once, as a click or a message is, and not kept as the value of a widget."""
    return state.WhichOneof("value") in _MOMENTARY


def is_click(state: WidgetState) -> bool:
    """Tell whether something was clicked or sent; tools also send that nothing was."""
    field = state.WhichOneof("value")
    if field not in _MOMENTARY:
        return False
    value: object = getattr(state, field)
    size = getattr(value, "ByteSize", None)
    return bool(value) if size is None else size() > 0


_MOMENTARY: Final = ("trigger_value", "string_trigger_value", "json_trigger_value", "chat_input_value")


def hook_input(keep: Keep) -> None:
    """Ask `keep` what counts of what the browser sends, before any callback, in a session where something is pinned.

    STREAMLIT 1.57 to 1.67: `SessionState.on_script_will_rerun(widget_states, ...)` puts what was sent into the state
    and calls the callbacks. Later versions give it triggers to repeat as well, by name.

    Raises:
        ConfigurationError: the method is not what it was when it was read.
    """
    method: Any = getattr(SessionState, "on_script_will_rerun", None)
    if getattr(method, HOOKED, False):
        return
    names = [*inspect.signature(method).parameters] if inspect.isfunction(method) else []
    if len(names) < _SELF_AND_SENT or names[0] != "self" or not names[1].endswith("widget_states"):
        raise ConfigurationError(
            f"this Streamlit ({st.__version__}) takes what the browser sends another way than stguard knows; "
            'use a supported version, or configure(hooks="off")'
        )

    @functools.wraps(method)
    def hooked(self: SessionState, *args: Any, **kwargs: Any) -> None:
        before = _pinned_in(self)
        given = args[0] if args else kwargs.get(names[1])
        sent = [] if given is None else list(given.widgets)
        if before is None:
            method(self, *args, **kwargs)
        else:
            kept, goes_on = keep(before, sent)
            rest = {name: each for name, each in kwargs.items() if name != names[1]}
            if not goes_on:
                # SECURITY: what a later version may add is dropped too, unless it is known to hold no input.
                rest = {name: each for name, each in rest.items() if name == "is_history_navigation"}
            method(self, WidgetStates(widgets=kept), *(args[1:] if goes_on else ()), **rest)
        after = _pinned_in(self)
        if after is not None and after is not before:
            # Pinned by a callback: what came along with the click must not reach the script.
            ids = {state.id for state in keep(after, sent)[0]}
            states = self._new_widget_state.states
            for widget_id in [each for each in states if each not in ids]:
                del states[widget_id]

    setattr(hooked, HOOKED, True)
    SessionState.on_script_will_rerun = hooked  # type: ignore[method-assign]


_SELF_AND_SENT: Final = 2


# --- what is registered already, and trying it all -------------------------------------------------------------------


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
        "what the browser sends": _exercise_input,
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


def _exercise_input(probe: Probe) -> None:
    state = SessionState()
    metadata = dataclasses.replace(_metadata(), id=_PINNED, callback_args=(probe,))
    state._new_widget_state.set_widget_metadata(metadata)
    state.on_script_will_rerun(WidgetStates(widgets=[WidgetState(id="$$ID-stguard-None", trigger_value=True)]))
    probe.asked = probe.asked and not state._new_widget_state.states


# --- which files a session is given ----------------------------------------------------------------------------------

WATCHED: Final = "__stguard_watched__"
"""Attribute of a method of Streamlit whose results are already watched."""


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
