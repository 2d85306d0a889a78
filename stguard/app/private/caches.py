"""Caches: where a name of theirs is gone, `clear` of one scope clears every scope, and caches can't be nested."""

from __future__ import annotations

from typing import Any

from streamlit.runtime.caching import cache_data_api, cache_resource_api, cache_utils


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
