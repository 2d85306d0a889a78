"""What the guard adds to a rerun: `python -m benchmarks.rerun`. Plain `st.navigation` and `sg.navigation` in turns.

Both apps have 100 pages and draw the same 60 widgets, 20 of them with a callback; the time is taken inside the script,
from its first line to its last.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Final

from streamlit.testing.v1 import AppTest

from stguard.testing import as_user

PAGES: Final = 100
TURNS: Final = 60
LIMIT_MS: Final = 1.8
"""5 % of the time in a script with 100 pages, as the target has it."""

APP: Final = """
from time import perf_counter
start = perf_counter()
import streamlit as st
{imports}

def page():
    for number in range(40):
        st.text_input(f"field {{number}}")
    for number in range(20):
        st.button(f"button {{number}}", on_click=print)

def other():
    pass

pages = [st.Page(page, url_path="page0", default=True)]
pages += [st.Page(other, title=f"Page {{n}}", url_path=f"page{{n}}") for n in range(1, {pages})]
ready = perf_counter()
current = {module}.navigation(pages)
listed = perf_counter()
current.run()
st.session_state["times"] = (listed - ready, perf_counter() - start)
"""
POLICY: Final = "\n".join(
    [
        "stguard: 1",
        "permissions: {page_area: [" + ", ".join(f"v{n}" for n in range(PAGES)) + "]}",
        'roles: {viewer: {allow: "page_area:*"}}',
        "assign: [{role: viewer, email: ann@acme.com}]",
        "pages:",
        *(f"  page{n}: {{permission: 'page_area:v{n}'}}" for n in range(PAGES)),
    ]
)
ANN: Final = {"is_logged_in": True, "sub": "1", "email": "ann@acme.com", "email_verified": True, "groups": []}


def app(folder: Path, *, module: str, imports: str) -> AppTest:
    """Return one of the two apps, run once."""
    (folder / "main.py").write_text(APP.format(imports=imports, module=module, pages=PAGES), encoding="utf-8")
    (folder / "policy.yaml").write_text(POLICY, encoding="utf-8")
    made = as_user(AppTest.from_file(str(folder / "main.py"), default_timeout=60), ANN)
    # With secrets, as every app with a sign-in has them: without, each read of `st.user` looks for the files.
    made.secrets["auth"] = {"redirect_uri": "http://localhost/oauth2callback", "cookie_secret": "x" * 32}
    made.run()
    assert not made.exception, made.exception
    return made


def times(made: AppTest) -> tuple[float, float]:
    """Return the milliseconds of the menu and of the whole script in one rerun."""
    menu, whole = made.run().session_state["times"]
    return menu * 1000, whole * 1000


def main() -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        by_hand = app(Path(one), module="st", imports="")
        by_policy = app(Path(two), module="sg", imports="import stguard as sg")
        pairs = [(times(by_hand), times(by_policy)) for _ in range(TURNS)]
    menus = [statistics.median(pair[which][0] for pair in pairs) for which in (0, 1)]
    wholes = [statistics.median(pair[which][1] for pair in pairs) for which in (0, 1)]
    # Pair by pair, so that a busy moment of the machine hits both.
    added = statistics.median(guarded[1] - plain[1] for plain, guarded in pairs)
    print(f"{'':24}{'plain':>10}{'guarded':>10}{'added':>10}")
    print(f"{'menu of 100 pages, ms':24}{menus[0]:10.2f}{menus[1]:10.2f}{menus[1] - menus[0]:10.2f}")
    print(f"{'whole script, ms':24}{wholes[0]:10.2f}{wholes[1]:10.2f}{added:10.2f}")
    met = "met" if added <= LIMIT_MS else "NOT met"
    print(f"target 5: added {added:.2f} ms of {LIMIT_MS} ms, {added / wholes[0]:.0%} of this script: {met}")


if __name__ == "__main__":
    main()
