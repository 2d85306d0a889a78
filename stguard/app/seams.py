"""Private names of Streamlit behind its caches and its display of errors, each in a function of its own.

Read in Streamlit 1.57.0 and 1.67.0. Where a name of the caches is gone, `clear` of one scope clears every scope and a
cached function inside another is refused; where the display of errors is gone, `hook_errors` says so.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Final

import streamlit as st
from streamlit import error_util
from streamlit.errors import FragmentHandledException
from streamlit.runtime.caching import cache_data_api, cache_resource_api, cache_utils

from stguard.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

_HOOKED: Final = "__stguard_hooked__"


# --- caches ----------------------------------------------------------------------------------------------------------


def cache_depth() -> int | None:
    """Return how many of Streamlit's cached functions are running inside each other here; None when unknowable.

    STREAMLIT 1.57: `_cached_message_stack` is a list of the thread; 1.67: a context variable with a tuple.
    """
    depth = 0
    for module, name in (
        (cache_data_api, "CACHE_DATA_MESSAGE_REPLAY_CTX"),
        (cache_resource_api, "CACHE_RESOURCE_MESSAGE_REPLAY_CTX"),
    ):
        stack: Any = getattr(getattr(module, name, None), "_cached_message_stack", None)
        stack = stack.get() if hasattr(stack, "get") else stack
        if not isinstance(stack, list | tuple):
            return None
        depth += len(stack)
    return depth


def is_cached(function: object) -> bool:
    """Tell whether `st.cache_data` or `st.cache_resource` made this."""
    return isinstance(function, cache_utils.CachedFunc)


def function_key(cached: object) -> str | None:
    """Return the text by which Streamlit keeps the cache of a function; None when unknowable."""
    key = getattr(cached, "_function_key", None)
    return key if isinstance(key, str) else None


def value_key(
    cached: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> str | None:
    """Return the text under which a call's value is kept; None when unknowable."""
    try:
        info = cached._info
        key: object = cache_utils._make_value_key(
            cache_type=info.cache_type,
            func=info.func,
            func_args=args,
            func_kwargs=kwargs,
            hash_funcs=info.hash_funcs,
        )
    except (AttributeError, TypeError):
        return None
    return key if isinstance(key, str) else None


def forget(cached: Any, key: str) -> bool:
    """Drop one value from a function's cache. Returns whether that could be done."""
    try:
        cached._info.get_function_cache(cached._function_key).clear(key=key)
    except (AttributeError, TypeError):
        return False
    return True


# --- errors ----------------------------------------------------------------------------------------------------------


def hook_errors(show: Callable[[Exception], bool]) -> None:
    """Ask `show` before Streamlit draws an uncaught exception: True when it has drawn something itself.

    Everything that the runner runs ends there: the script, callbacks, fragments, dialogs. Streamlit's log and the
    app's own `on_script_error` are asked before, as ever.

    STREAMLIT 1.57: `error_util._show_exception(ex)`; later `error_util.show_uncaught_app_exception(ex)`.

    Raises:
        ConfigurationError: neither is there.
    """
    name = next((n for n in ("show_uncaught_app_exception", "_show_exception") if hasattr(error_util, n)), None)
    shown = getattr(error_util, name, None) if name is not None else None
    if getattr(shown, _HOOKED, False):
        return
    if name is None or not inspect.isfunction(shown) or list(inspect.signature(shown).parameters) != ["ex"]:
        raise ConfigurationError(
            f"this Streamlit ({st.__version__}) draws errors another way than stguard knows; use a supported version, "
            'or set `client.showErrorDetails = "none"`'
        )

    @functools.wraps(shown)
    def asked_first(ex: BaseException) -> None:
        if not isinstance(ex, Exception) or not show(ex):
            shown(ex)

    setattr(asked_first, _HOOKED, True)
    setattr(error_util, name, asked_first)


def already_shown(error: Exception) -> bool:
    """Tell whether Streamlit has drawn this error, in the fragment that raised it."""
    return isinstance(error, FragmentHandledException)
