"""Every private name of Streamlit that stguard leans on, each in a function of its own.

    run       the script run: who calls, for whom, which part of the script is running
    pages     page objects
    hooks     what a page registers, what the browser sends, and the files a session is given
    caches    the caches
    errors    how uncaught exceptions are drawn
    server    the server: its script, its paths, its cookies
    login     signing somebody in without a provider
    users     who opens a connection, handed on

Read in Streamlit 1.57.0 and 1.67.0. `tests/app/test_private.py` has a test for each that fails when the name goes or
changes its meaning, and one that fails when a private name is used anywhere else; at run time a missing name raises,
and what raises is refused.
"""

from streamlit.navigation.page import StreamlitPage
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.runtime.scriptrunner import ScriptRunContext

from stguard.app.private.caches import cache_depth, forget, function_key, is_cached, value_key
from stguard.app.private.errors import already_shown, hook_errors
from stguard.app.private.hooks import (
    HOOKED,
    Probe,
    bind_registered,
    exercise_hooks,
    hook_callbacks,
    hook_deferred,
    hook_fragments,
    hook_input,
    hook_lazy_sources,
    is_click,
    is_momentary,
    pin,
    pinned,
    watch_files,
    widget_key,
)
from stguard.app.private.login import cookie_secret, ensure_cookie_secret, exercise_login, leave_for, set_login
from stguard.app.private.pages import (
    copy_page,
    file_page_name,
    is_complete,
    is_default,
    page_name,
    page_source,
    replace_source,
)
from stguard.app.private.run import (
    asked_page,
    caller,
    context,
    in_cached_function,
    in_callback,
    in_fragment_run,
    in_sidebar,
    is_callback_caller,
    is_fragment_caller,
    keys_of_widgets,
    live_user,
    main_area,
    main_script,
    recall,
    remember,
    run_at,
    run_token,
    running_place,
    script_key,
    session_id,
    wrapper_of,
)
from stguard.app.private.server import (
    browser_token,
    login_cookies,
    route_path,
    script_of,
    served_script,
    sign,
    signed_login,
    unsign,
)
from stguard.app.private.users import (
    SIGN_IN_ENDED,
    SIGN_IN_FAILED,
    handing_on,
    hook_agents,
    hook_users,
    sign_in_ended,
    sign_in_failed,
    user_of,
)

__all__ = [
    "HOOKED",
    "SIGN_IN_ENDED",
    "SIGN_IN_FAILED",
    "Probe",
    "ScriptRunContext",
    "StreamlitPage",
    "WidgetState",
    "already_shown",
    "asked_page",
    "bind_registered",
    "browser_token",
    "cache_depth",
    "caller",
    "context",
    "cookie_secret",
    "copy_page",
    "ensure_cookie_secret",
    "exercise_hooks",
    "exercise_login",
    "file_page_name",
    "forget",
    "function_key",
    "handing_on",
    "hook_agents",
    "hook_callbacks",
    "hook_deferred",
    "hook_errors",
    "hook_fragments",
    "hook_input",
    "hook_lazy_sources",
    "hook_users",
    "in_cached_function",
    "in_callback",
    "in_fragment_run",
    "in_sidebar",
    "is_cached",
    "is_callback_caller",
    "is_click",
    "is_complete",
    "is_default",
    "is_fragment_caller",
    "is_momentary",
    "keys_of_widgets",
    "leave_for",
    "live_user",
    "login_cookies",
    "main_area",
    "main_script",
    "page_name",
    "page_source",
    "pin",
    "pinned",
    "recall",
    "remember",
    "replace_source",
    "route_path",
    "run_at",
    "run_token",
    "running_place",
    "script_key",
    "script_of",
    "served_script",
    "session_id",
    "set_login",
    "sign",
    "sign_in_ended",
    "sign_in_failed",
    "signed_login",
    "unsign",
    "user_of",
    "value_key",
    "watch_files",
    "widget_key",
    "wrapper_of",
]
