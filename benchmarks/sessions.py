"""What the guard adds to a garbage collection while many sessions are alive: `python -m benchmarks.sessions [N]`.

Streamlit collects everything at the end of each rerun. Two real servers hold N sessions each (1000 when not said), with
`st.navigation` and with `sg.navigation` under the medium policy; a page in each server then measures the collector.
While the sessions are opened Streamlit's own collections are skipped, or opening them would take an hour.
"""

from __future__ import annotations

import json
import statistics
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from benchmarks.served import served
from benchmarks.sizes import SIZES, workload

if TYPE_CHECKING:
    from benchmarks.served import Served

SESSIONS: Final = 1000
TURNS: Final = 7
LIMIT_PERCENT: Final = 10.0

APP: Final = """
import gc
import json
import time
from collections import Counter

import streamlit as st
{imports}

if not hasattr(gc, "really"):
    gc.really, gc.collect = gc.collect, lambda *_: 0

def pressed():
    pass

@st.fragment
def part():
    st.button("In a fragment", on_click=pressed)

def home():
    for number in range(40):
        st.text_input(f"field {{number}}")
    for number in range(20):
        st.button(f"button {{number}}", on_click=pressed)
    part()

def other():
    pass

def collector():
    gc.really()
    start = time.thread_time()
    gc.really(2)
    took = time.thread_time() - start
    kinds = Counter(f"{{type(each).__module__}}.{{type(each).__qualname__}}" for each in gc.get_objects())
    st.text(json.dumps([took, kinds.total(), kinds.most_common(400)]))

pages = [st.Page(home, default=True), st.Page(collector)]
pages += [st.Page(other, title=f"Page {{n}}", url_path=f"page{{n}}") for n in range(100)]
{module}.navigation(pages).run()
"""
PLAIN: Final = APP.format(imports="", module="st")
GUARDED: Final = APP.format(imports="import stguard as sg", module="sg")


@dataclass(slots=True)
class Heap:
    """What the collector took in one server, and what it visited."""

    times: list[float] = field(default_factory=list)
    objects: int = 0
    kinds: dict[str, int] = field(default_factory=dict)

    def measure(self, server: Served, email: str, org: str) -> None:
        """Have a page of the server collect."""
        with server.tab(0, email) as tab:
            drawing = tab.open("collector", query=f"org={org}")
            found: list[Any] = json.loads(next(part.proto.body for part in drawing.parts if part.kind == "text"))
        self.times.append(found[0] * 1000)
        self.objects, self.kinds = found[1], dict(found[2])


def measured(sessions: int) -> tuple[Heap, Heap]:
    """Return the heaps of the plain and of the guarded server, each with that many sessions."""
    work = workload(next(size for size in SIZES if size.name == "medium"), cases=2)
    policy = work.text + "  home: signed_in\n  collector: signed_in\n"
    people = [(email, org) for email, places in work.held.items() for org in places]
    with ExitStack() as stack:
        servers = [stack.enter_context(served(script, policy)) for script in (PLAIN, GUARDED)]
        for number in range(sessions):
            email, org = people[number % len(people)]
            for server in servers:
                tab = stack.enter_context(server.tab(number, email))
                drawing = tab.open(query=f"org={org}")
                assert sum(part.kind == "button" for part in drawing.parts) == 21
                tab.seen.messages.clear()
        heaps = Heap(), Heap()
        for _ in range(TURNS):
            for server, heap in zip(servers, heaps, strict=True):
                heap.measure(server, *people[0])
        return heaps


def main() -> int:
    sessions = int(sys.argv[1]) if len(sys.argv) > 1 else SESSIONS
    plain, guarded = measured(sessions)
    before, after = statistics.median(plain.times), statistics.median(guarded.times)
    time_percent, object_percent = (after / before - 1) * 100, (guarded.objects / plain.objects - 1) * 100
    print(f"{sessions} sessions{'plain':>20}{'guarded':>12}{'added':>10}")
    print(f"{'one collection, ms':<24}{before:12.1f}{after:12.1f}{time_percent:+9.1f}%")
    print(f"{'objects visited':<24}{plain.objects:12}{guarded.objects:12}{object_percent:+9.1f}%")
    more = {kind: count - plain.kinds.get(kind, 0) for kind, count in guarded.kinds.items()}
    for kind, count in sorted(more.items(), key=lambda pair: -pair[1])[:12]:
        print(f"    {count / sessions:8.1f} more of {kind} for each session")
    met = time_percent <= LIMIT_PERCENT
    print(f"target 6: {time_percent:+.1f} % of at most {LIMIT_PERCENT:g} %: {'met' if met else 'NOT met'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
