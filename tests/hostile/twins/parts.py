"""The pages of both twins, without a guard: what differs is who guards them."""

from __future__ import annotations

import inspect
import time
from typing import TYPE_CHECKING, NoReturn

import pandas as pd
import streamlit as st

from tests.hostile.twins.routes import SECRET, effect

if TYPE_CHECKING:
    from collections.abc import Callable

GLOBEX = "SECRET-of-globex"
ASKED = 10
OF_ORG = {"acme": SECRET, "globex": GLOBEX}
ROWS = pd.DataFrame({"secret": [f"{SECRET}-{row}" for row in range(20_000)]})
HAS_PARALLEL = "parallel" in inspect.signature(st.fragment).parameters
HAS_LAZY = "lazy" in inspect.signature(st.dataframe).parameters

clicker = st.components.v2.component("clicker", html="<button>Click</button>")


def counted() -> int:
    """Be what took long to work out."""
    return time.time_ns()


def home() -> None:
    st.title("Home")
    st.write(f"<<counted {st.cache_data(counted)()}>>")
    st.write(f"<<proxied {st.user.get('proxied')}>>")
    if "go" in st.query_params:
        st.switch_page(st.session_state.pages[st.query_params["go"]])


def vault() -> None:
    """Only for admins: everything here calls back."""
    st.title("Vault")
    st.button("Wipe", on_click=effect, args=("click",))
    with st.form("transfer"):
        st.form_submit_button("Transfer", on_click=effect, args=("form",))
    st.text_input("Note", on_change=effect, args=("change",))
    st.dataframe({"a": [1, 2]}, key="table", on_select=lambda: effect("select"))
    st.download_button("Save", "rows", on_click=effect, args=("download",))
    clicker(
        key="clicker",
        on_pressed_change=lambda: effect("component event"),
        on_state_change=lambda: effect("component state"),
    )


def board() -> None:
    """Only for admins: everything here reruns by itself."""
    st.title("Board")
    figures()
    ticker()
    if HAS_PARALLEL:
        side()
    if st.button("Ask"):
        ask()


@st.fragment
def figures() -> None:
    st.write(f"{SECRET} in a fragment")
    st.button("Recount", on_click=effect, args=("click in a fragment",))
    if st.checkbox("Details"):
        inner()


@st.fragment
def inner() -> None:
    st.write(f"{SECRET} in an inner fragment")


@st.fragment(run_every=3600)
def ticker() -> None:
    st.write(f"{SECRET} every hour")


if HAS_PARALLEL:

    @st.fragment(parallel=True)
    def side() -> None:
        st.write(f"{SECRET} in a parallel fragment")
        st.button("Reload", on_click=effect, args=("click in a parallel fragment",))


@st.dialog("Ask")
def ask() -> None:
    st.write(f"{SECRET} in a dialog")
    st.button("Confirm", on_click=effect, args=("click in a dialog",))


def files() -> None:
    """Only for admins: everything here is fetched later."""
    st.title("Files")
    st.download_button("Export", lambda: f"{SECRET} in a file", "rows.txt")
    st.download_button("Take", f"{SECRET} in a file that lies ready", "rows.txt")
    st.file_uploader("Hand in")
    if HAS_LAZY:
        st.dataframe(ROWS, lazy=True)


def gate(ask: Callable[[], bool]) -> None:
    """Ask several times, and say what was answered when: before and after, by the machine's clock."""
    for _ in range(ASKED):
        before = time.monotonic()
        answer = ask()
        st.write(f"<<asked {before} {time.monotonic()} {answer}>>")


def broken() -> None:
    """For everybody who is signed in."""
    st.title("Broken")
    st.download_button("Break", connect, "rows.txt")
    st.button("Fail", on_click=connect)
    failing()
    connect()


@st.fragment
def failing() -> None:
    if st.checkbox("Fail here"):
        connect()


def connect() -> NoReturn:
    raise RuntimeError(f"connecting to db://app:{SECRET}@db failed")


def from_thread() -> None:
    """Only for admins: another thread of the author's draws here."""
    import threading  # noqa: PLC0415

    from streamlit.runtime.scriptrunner import add_script_run_ctx  # noqa: PLC0415

    st.title("Thread")
    thread = threading.Thread(target=lambda: st.button("Purge", on_click=effect, args=("click from a thread",)))
    add_script_run_ctx(thread).start()
    thread.join()


# What stands above `navigation` in the entry script.


@st.fragment
def headline() -> None:
    st.write(f"{SECRET} in the headline")
    st.button("Refresh")


def header() -> None:
    headline()
    st.button("Tidy", on_click=effect, args=("click above navigation",))
    st.download_button("Handbook", lambda: f"{SECRET} in the handbook", "handbook.txt")
    st.button("Log out", on_click=st.logout)
