"""Measure four replicas on this machine: `python -m tests.cluster [--quick]`.

Prints how long edits take until they are in force everywhere, what is asked of identity sources, what goes wrong
while replicas are killed, and what a thousand users cost in Redis. Ends with 1 when a decision was wrong, an edit was
lost, or an edit took a second or longer.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from stguard.shared.board import BoardError
from tests.cluster.cluster import POLICY, Cluster, running
from tests.cluster.load import Load, Seen, check, grant
from tests.shared.engine import Engine, until

if TYPE_CHECKING:
    from redis import Redis

    from tests.hostile.client import Tab

LIMIT = 1.0
"""Seconds within which an edit is to be in force everywhere, for 99 of 100."""

DEMOTED = POLICY.replace("  - {role: viewer, email: ann@acme.com}\n", "")


def say(what: str, figure: str) -> None:
    print(f"{what:<78}{figure:>22}", flush=True)  # noqa: T201  it is what this is for


def edits(cluster: Cluster, *, times: int) -> float:
    """Measure the seconds from the call that saves until the last replica has shown it on a page."""
    tabs = [cluster.tab("ann", at=each) for each in cluster.replicas]
    for tab in tabs:
        tab.open("reports")
    took = []
    with ThreadPoolExecutor(len(tabs)) as pool:
        for number in range(times):
            wanted = bool(number % 2)
            text = f"# {number}\n{POLICY if wanted else DEMOTED}"
            began = time.monotonic()
            waiting = [pool.submit(_seen, tab, wanted=wanted) for tab in tabs]
            cluster.edit(text)
            took.append(max(each.result() for each in waiting) - began)
    for tab in tabs:
        tab.close()
    cluster.edit(POLICY)
    took.sort()
    p50, p99 = statistics.median(took), took[min(len(took) - 1, int(len(took) * 0.99))]
    say(f"an edit in force on all {len(tabs)} replicas, as their pages show ({times} edits), p50", f"{p50:.3f} s")
    say("  p99", f"{p99:.3f} s")
    return p99


def _seen(tab: Tab, *, wanted: bool) -> float:
    while ("the reports" in tab.open("reports")) is not wanted:
        pass
    return time.monotonic()


def people(cluster: Cluster, *, times: int) -> None:
    """Measure what people cost: each signs in anew, and comes to each replica once."""
    with cluster.engine.client() as client:
        client.config_resetstat()
        time.sleep(10)
        quiet = client.info()
        quiet = {
            key: quiet[key] for key in ("total_commands_processed", "total_net_input_bytes", "total_net_output_bytes")
        }
        before, asked = client.info(), len(cluster.source.asked)
        keys = client.dbsize()
        began = time.monotonic()
        for number in range(times):
            with cluster.tab(f"user{number}", at=cluster.replicas[number % len(cluster.replicas)]) as tab:
                tab.open()
        until(lambda: client.hlen("{stguard}:seen") >= times)
        seconds = time.monotonic() - began
        after = client.info()
        say(f"identity calls for {times} people, each at one replica", str(len(cluster.source.asked) - asked))
        say(f"  sign-ins known to Redis, of {times}", str(client.hlen("{stguard}:seen")))
        per = 1000 / times
        say("memory in Redis for 1000 people who are active", f"{memory(client, 'seen') * per / 1e6:.2f} MB")
        answers = [int(client.memory_usage(key) or 0) for key in client.scan_iter("{stguard}:answer:*", count=1000)]
        told = sum(answers) / max(1, len(answers)) * 1000
        say("  for what a source said about 1000 people, up to `stale`", f"{told / 1e6:.2f} MB")
        for key, name in (("total_commands_processed", "commands"), ("total_net_input_bytes", "bytes in"),
                          ("total_net_output_bytes", "bytes out")):  # fmt: skip
            idle = quiet[key] / 10
            said = (after[key] - before[key] - idle * seconds) * per
            say(
                f"{name}, 1000 people (beside {idle:.0f} a second from {len(cluster.replicas)} quiet replicas)",
                f"{said:,.0f}",
            )
        assert client.dbsize() >= keys
        asked = len(cluster.source.asked)
        for number in range(20):
            everywhere(cluster, f"user{number}")
        asked = len(cluster.source.asked) - asked
        say(f"identity calls for 20 people, each at all {len(cluster.replicas)} replicas within the minute", str(asked))
        assert asked == 20
        browsers = [cluster.browser(f"user{number}", at=cluster.replicas[0]) for number in range(100)]
        for browser in browsers:
            browser.get("/auth/logout")
        until(lambda: client.hlen("{stguard}:ended") >= 100)
        say("memory in Redis for 1000 sign-outs (kept 31 days)", f"{memory(client, 'ended') * 10 / 1e6:.2f} MB")


def everywhere(cluster: Cluster, name: str) -> None:
    """Open the app with one login at each replica."""
    browser = cluster.browser(name)
    for each in cluster.replicas:
        with cluster.tab_of(cluster.browser_at(each, of=browser)) as tab:
            tab.open()


def memory(client: Redis, table: str) -> int:
    """Return the bytes of the keys of a table."""
    keys = [f"{{stguard}}:{table}{each}" for each in ("", ":order", ":ends")]
    return sum(int(client.memory_usage(key, samples=0) or 0) for key in keys)


def kills(cluster: Cluster, *, sticky: bool, rounds: int) -> bool:
    """Kill replicas while tabs ask for pages and two editors edit."""
    cluster.serve(sticky=sticky)
    pause, took = threading.Event(), []
    with Load(cluster, threads=2) as seen, ThreadPoolExecutor(2) as pool:
        name = "sticky" if sticky else "spread"
        editing = [
            pool.submit(grant, cluster, seen, editor=f"{name}{n}", times=rounds * 10, pause=lambda: pause.wait(0.1))
            for n in range(2)
        ]
        for number in range(rounds):
            each = cluster.replicas[number % len(cluster.replicas)]
            each.kill()
            began = time.monotonic()
            each.start()
            each.wait()
            took.append(time.monotonic() - began)
        for done in editing:
            done.result()
    check(cluster, seen)
    report(name, seen, rounds=rounds)
    say("  a replica starts, under this load", f"{statistics.median(took):.1f} s")
    return not seen.wrong and not seen.lost


def report(name: str, seen: Seen, *, rounds: int) -> None:
    say(f"{name}: pages while {rounds} replicas were killed and started again", str(seen.loaded))
    say("  wrong decisions", str(len(seen.wrong)))
    say(f"  lost edits, of {len(seen.saved)}", str(len(seen.lost)))
    say("  pages or connections that broke with their replica", str(seen.failed))


def waits(cluster: Cluster) -> None:
    """Measure the longest that a page or who saves waits while the engine hangs."""
    with cluster.tab("ann") as tab:
        tab.open("reports")
        cluster.engine.freeze()
        try:
            took = []
            began = time.monotonic()
            while time.monotonic() - began < 5:
                at = time.monotonic()
                tab.open("reports")
                took.append(time.monotonic() - at)
            say("the slowest page while Redis hangs for 5 s", f"{max(took):.3f} s")
            at = time.monotonic()
            try:
                cluster.edit(DEMOTED)
            except BoardError:
                say("who saves meanwhile is told so after", f"{time.monotonic() - at:.2f} s")
        finally:
            cluster.engine.thaw()


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    quick = arguments.parse_args().quick
    folder = Path(tempfile.mkdtemp(prefix="stguard-redis-"))
    engine = Engine(folder)
    engine.start()
    try:
        with running(engine) as cluster:
            p99 = edits(cluster, times=20 if quick else 120)
            people(cluster, times=50 if quick else 1000)
            waits(cluster)
            good = [kills(cluster, sticky=sticky, rounds=2 if quick else 6) for sticky in (True, False)]
    finally:
        engine.stop()
        shutil.rmtree(folder, ignore_errors=True)
    met = p99 < LIMIT and all(good)
    say(f"nothing wrong, nothing lost, p99 below {LIMIT:g} s", "met" if met else "NOT met")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
