"""What needs a process of its own: the cost in garbage collection, and the time of an import.

Run as a program it measures the collector: `python -m benchmarks.separate SIZE ENGINE` prints one JSON line.
"""

from __future__ import annotations

import gc
import json
import statistics
import subprocess
import sys
from functools import cache
from time import perf_counter, process_time
from typing import TYPE_CHECKING

from benchmarks.sizes import SIZES, workload

if TYPE_CHECKING:
    from streamlit.testing.v1 import AppTest


def import_ms(statement: str, *, after: str, turns: int) -> float:
    """Return the median milliseconds of an import on top of another, each in a fresh process."""
    code = f"{after}\nimport time\nt = time.perf_counter()\n{statement}\nprint((time.perf_counter() - t) * 1000)"
    times = []
    for _ in range(turns):
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)  # noqa: S603
        times.append(float(done.stdout))
    return statistics.median(times)


def collection_ms(size: str, engine: str) -> tuple[float, float]:
    """Return milliseconds of a full collection without and with the engine's policy in memory."""
    without, loaded, _, _ = _measured(size, engine)
    return without, loaded


def tracked(size: str, engine: str) -> tuple[int, int]:
    """Return how many objects the collector visits without the engine's policy, and how many that adds."""
    _, _, before, after = _measured(size, engine)
    return int(before), int(after - before)


@cache
def _measured(size: str, engine: str) -> tuple[float, float, float, float]:
    command = [sys.executable, "-m", "benchmarks.separate", size, engine]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    without, loaded, before, after = json.loads(done.stdout.splitlines()[-1])
    return without, loaded, before, after


def _session() -> AppTest:
    """Return a Streamlit session of a plain app, so that the heap is that of a process at work."""
    from streamlit.testing.v1 import AppTest as Session  # noqa: PLC0415  only this process pays for it

    def app() -> None:
        import streamlit as st  # noqa: PLC0415  a script of its own

        for number in range(60):
            st.text_input(f"field {number}")
            st.button(f"button {number}")
        st.dataframe({"a": list(range(1_000)), "b": ["x"] * 1_000})

    return Session.from_function(app, default_timeout=60).run()


def _collect() -> float:
    gc.collect()
    start = process_time()  # what others do on the machine in the meantime is no cost of ours
    gc.collect(2)
    return (process_time() - start) * 1_000


def main() -> None:
    size, name = sys.argv[1:]
    from benchmarks import contenders  # noqa: PLC0415  after the arguments are known to be there

    session = _session()
    work = workload(next(one for one in SIZES if one.name == size), cases=500)
    make = next(one for one in contenders.CONTENDERS if one.name == name)
    make(workload(SIZES[0], cases=2))  # what is imported at the first use is no part of the policy
    start = perf_counter()
    make(work)
    turns = 21 if perf_counter() - start < 1 else 3
    without, ratios = [], []
    for _ in range(turns):  # each pair is measured within a moment, for the machine's own speed changes
        without.append(_collect())
        before = len(gc.get_objects())
        engine = make(work)
        cases = engine.ready(work.cases[: max(20, int(engine.share * len(work.cases)))])
        engine.loop(cases)
        ratios.append(_collect() / without[-1])
        after = len(gc.get_objects())
        del engine, cases
    del session
    base = statistics.median(without)
    print(json.dumps([base, base * statistics.median(ratios), before, after]))


if __name__ == "__main__":
    main()
