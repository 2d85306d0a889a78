"""Measure what sharing adds to a decision and a frame: `python -m benchmarks.replicas [--quick]`.

It needs redis-server. Both columns decide the same in one process, in turns: by a policy of this process alone, and by
one that replicas share through a real Redis. Then the engine counts what it is asked while many decisions are made.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import stguard as sg
from benchmarks.gateway import CASES, POLICY, application, serve, settle, start, visitor_owns
from benchmarks.measure import side_by_side
from benchmarks.served import served
from stguard.app import private, replicas, settings
from stguard.shared.replicas import Replicas, Shared
from stguard.store import PolicyStore
from tests.shared.engine import SERVER, Engine, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from stguard.app.settings import Settings
    from stguard.shared.policy import SharedPolicy

SECRET = "the secret of the replicas of this benchmark"  # noqa: S105  made up

LIMIT_US = 15.0
"""What sharing may add to a decision or a frame, in microseconds."""

CLAIMS = {"iss": "https://idp.example", "sub": "1", "email": "ann@acme.com", "email_verified": True}

PAGE = """
import streamlit as st
import stguard as sg

def home():
    st.write("home")

sg.navigation([st.Page(home, default=True)]).run()
"""


def asked(store: PolicyStore | SharedPolicy, times: int) -> None:
    subject = store.current().subject(CLAIMS)
    for _ in range(times):
        assert store.current().allows(subject, "report:view")


def frames(gateways: dict[str, Any], chosen: dict[str, Callable[[], None]], name: str, times: int) -> None:
    chosen[name]()
    asyncio.run(serve(gateways[name], CASES[1], times))


def commands(engine: Engine) -> int:
    with engine.client() as client:
        return int(client.info("stats")["total_commands_processed"])


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    quick = arguments.parse_args().quick
    if not Path(SERVER).exists():
        print(f"{SERVER} is missing; install the package `redis-server`")
        return 0
    folder = Path(tempfile.mkdtemp(prefix="stguard-bench-"))
    engine = Engine(folder)
    engine.start()
    try:
        return measure(engine, folder, quick=quick)
    finally:
        replicas.leave()
        engine.stop()
        shutil.rmtree(folder, ignore_errors=True)


def measure(engine: Engine, folder: Path, *, quick: bool) -> int:
    times, turns = (2_000, 3) if quick else (20_000, 7)
    start(folder)
    visitor_owns("session-0", "/media/file.png")
    joined = Replicas(Shared(url=engine.url), secret=SECRET, folder=folder)
    shared = joined.policy(folder / "policy.yaml", on_bad_edit="keep")
    joined.start()
    alone = PolicyStore(folder / "policy.yaml")
    stores: dict[str, PolicyStore | SharedPolicy] = {"alone": alone, "sharing": shared}
    for store in stores.values():
        store.current()
    settle()
    found = side_by_side({name: functools.partial(asked, store, times) for name, store in stores.items()}, turns=turns)
    print(f"{'microseconds':<52}{'alone':>10}{'sharing':>10}{'adds':>10}")
    worst = row("a decision, with the look at the policy in force", found, times=times)

    script = private.served_script()
    assert script is not None
    plain = settings.settings_at(script)
    given = {
        "alone": lambda: _choose(script, plain, alone, None),
        "sharing": lambda: _choose(script, plain, shared, joined),
    }
    count = times // 10
    gateways = {name: sg.Gateway(functools.partial(application, CASES[1], count)) for name in stores}
    found = side_by_side(
        {name: functools.partial(frames, gateways, given, name, count) for name in stores}, turns=turns
    )
    worst = max(worst, row("gateway, frame in: a click with 10 widgets", found, times=count))
    _choose(script, plain, alone, None)

    until(lambda: joined.seen.waits == 0)
    before, began = commands(engine), time.monotonic()
    asked(shared, times)
    waited = time.monotonic() - began
    during = commands(engine) - before
    time.sleep(5)
    before = commands(engine)
    time.sleep(5)
    quiet = (commands(engine) - before) / 5
    print(
        f"commands to Redis while {times} decisions are made, {waited:.2f} s: {during}; {quiet:.1f} a second when quiet"
    )
    joined.link.close()
    with engine.client() as client:
        client.flushall()
    reruns(engine, times=20 if quick else 200)
    met = worst <= LIMIT_US
    print(f"sharing adds {worst:.2f} µs at most, allowed {LIMIT_US:g}: {'met' if met else 'NOT met'}")
    return 0 if met else 1


def reruns(engine: Engine, *, times: int) -> None:
    """Compare warm reruns of a page on two real servers, and count what Redis is asked meanwhile."""
    with served(PAGE, POLICY, app=True) as one, served(PAGE, POLICY, app=True, shared=engine.url) as other:
        tabs = {"alone": one.tab(1, "ann@acme.com"), "sharing": other.tab(1, "ann@acme.com")}
        for tab in tabs.values():
            for _ in range(5):
                tab.open()
        before, began = commands(engine), time.monotonic()
        for _ in range(times):
            tabs["sharing"].run()
        during, took = commands(engine) - before, time.monotonic() - began

        def rerun(name: str) -> None:
            for _ in range(5):
                tabs[name].run()

        found = side_by_side({name: functools.partial(rerun, name) for name in tabs}, turns=max(3, times // 10))
        row("a warm rerun of a page, over a socket", found, times=5)
        print(
            f"commands to Redis in {times} warm reruns, {took:.1f} s: {during}, the looks of the background among them"
        )
        for tab in tabs.values():
            tab.close()


def _choose(script: str, plain: Settings, store: PolicyStore | SharedPolicy, joined: Replicas | None) -> None:
    settings._by_script[script] = replace(plain, store=store)  # noqa: SLF001  what a process does once, in turns
    replicas._in_force[:] = [] if joined is None else [joined]  # noqa: SLF001  the same


def row(name: str, found: dict[str, float], *, times: int) -> float:
    each = {column: seconds / times * 1e6 for column, seconds in found.items()}
    added = each["sharing"] - each["alone"]
    print(f"{name:<52}{each['alone']:>10.2f}{each['sharing']:>10.2f}{added:>10.2f}")
    return added


if __name__ == "__main__":
    sys.exit(main())
