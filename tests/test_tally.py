"""Counts of what happened."""

from __future__ import annotations

import sys
import threading

from stguard.tally import BOUNDS, Stopwatch, Tallies, Tally


def test_a_tally_counts_exactly_in_many_threads_and_while_it_is_read() -> None:
    tally = Tally()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=lambda: [tally.add() for _ in range(20_000)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        seen = [tally.value() for _ in range(1000)]
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert seen == sorted(seen)
    assert tally.value() == tally.value() == 80_000


def test_kinds_are_counted_apart_and_known_ones_before_they_happen() -> None:
    tallies = Tallies(["a"])
    tallies.add("b")
    tallies.add("b")
    assert tallies.values() == tallies.values() == {"a": 0, "b": 2}


def test_durations_are_counted_by_the_bound_that_they_do_not_pass() -> None:
    watch = Stopwatch()
    for seconds in (0.0, 0.005, 0.006, 10.0, 11.0):
        watch.add(seconds)
    found = watch.durations()
    assert dict(zip((*BOUNDS, "longer"), found.counts, strict=True)) == dict.fromkeys((*BOUNDS, "longer"), 0) | {
        0.005: 2,
        0.01: 1,
        10.0: 1,
        "longer": 1,
    }
    assert found.total == 21.011
