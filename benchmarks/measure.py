"""Clocks: what is compared is measured in turns, in one process, and the best of the turns counts."""

from __future__ import annotations

import gc
import statistics
import threading
import tracemalloc
from dataclasses import dataclass
from functools import partial
from time import perf_counter, perf_counter_ns
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.contenders import Contender


@dataclass(kw_only=True)
class Row:
    """What was measured of one engine at one size; times in microseconds unless said."""

    name: str
    requests: int
    load_ms: float
    mean: float = 0.0
    allow: tuple[float, float] = (0.0, 0.0)
    deny: tuple[float, float] = (0.0, 0.0)
    pages: float = 0.0
    memory_mb: float = 0.0
    threads: float = 0.0
    right_in_threads: bool = True


def best(action: Callable[[], Any], *, turns: int) -> float:
    """Return the seconds of the fastest turn."""
    times = []
    for _ in range(turns):
        gc.collect()
        start = perf_counter()
        action()
        times.append(perf_counter() - start)
    return min(times)


def side_by_side(actions: Mapping[str, Callable[[], Any]], *, turns: int) -> dict[str, float]:
    """Return the seconds of the fastest turn of each; the turns alternate, so a busy moment hits all."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(turns):
        for name, action in actions.items():
            gc.collect()
            gc.disable()
            start = perf_counter()
            action()
            times[name].append(perf_counter() - start)
            gc.enable()
    return {name: min(found) for name, found in times.items()}


def _bare_clock() -> float:
    """Return what reading the clock itself takes, in nanoseconds."""
    times = []
    for _ in range(5_000):
        start = perf_counter_ns()
        times.append(perf_counter_ns() - start)
    return statistics.median(times)


def percentiles(engine: Contender, cases: list[Any], *, turns: int) -> tuple[float, float]:
    """Return median and 99th percentile in microseconds, of the turn with the lowest 99th."""
    clock = _bare_clock()
    found = []
    for _ in range(turns):
        times = sorted(engine.timed(cases))
        middle, high = times[len(times) // 2], times[min(len(times) - 1, len(times) * 99 // 100)]
        found.append((max(high - clock, 1) / 1_000, max(middle - clock, 1) / 1_000))
    high_us, middle_us = min(found)
    return middle_us, high_us


def megabytes(build: Callable[[], Any]) -> float:
    """Return what Python holds for a loaded policy; memory of compiled extensions is not seen."""
    gc.collect()
    tracemalloc.start()
    kept = build()
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    return held / 1e6


def rate_of_threads(
    engine: Contender, cases: list[Any], expected: list[bool], *, threads: int = 8
) -> tuple[float, bool]:
    """Return the rate of several threads against that of one, and whether all their answers were right.

    Each thread works for a good part of a second, so that starting threads and switching between them weighs little.
    """
    once = best(lambda: engine.loop(cases), turns=1)
    if once > 0.5:
        cases, expected = cases[:6], expected[:6]
    repeats = max(1, round(0.3 / once))
    answers: list[list[bool]] = []

    def work() -> None:
        try:
            for _ in range(repeats):
                got = engine.loop(cases)
        except Exception:  # noqa: BLE001  an engine that breaks when shared is a finding, not the end of the run
            got = []
        answers.append(got)

    def together(count: int) -> None:
        crew = [threading.Thread(target=work) for _ in range(count)]
        for one in crew:
            one.start()
        for one in crew:
            one.join()

    alone = best(partial(together, 1), turns=2)
    crowd = best(partial(together, threads), turns=2)
    return threads * alone / crowd, all(got == expected for got in answers)
