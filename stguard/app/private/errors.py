"""How uncaught exceptions are drawn."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING

import streamlit as st
from streamlit import error_util
from streamlit.errors import FragmentHandledException

from stguard.app.private.hooks import HOOKED
from stguard.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable


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
    if getattr(shown, HOOKED, False):
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

    setattr(asked_first, HOOKED, True)
    setattr(error_util, name, asked_first)


def already_shown(error: Exception) -> bool:
    """Tell whether Streamlit has drawn this error, in the fragment that raised it."""
    return isinstance(error, FragmentHandledException)
