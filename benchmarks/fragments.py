"""What the guard adds to a fragment's rerun: `python -m benchmarks.fragments [--quick]`, on real servers, in turns.

Four servers run the same app: two with `st.navigation`, whose difference is the noise, one with `sg.navigation`, and
one with that under `sg.App`, which takes what is loaded at start-up out of Streamlit's collections.
Two clocks: the processor time of the whole server from one rerun to the next, which other programs on the machine
disturb little, and the time from the click to the end of the run, the wire included.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from streamlit.proto.WidgetStates_pb2 import WidgetState

from benchmarks.served import served
from benchmarks.sizes import SIZES, workload
from stguard.store import SETTLED_AFTER

if TYPE_CHECKING:
    from tests.hostile.client import Tab

APP: Final = """
import time
import streamlit as st
{imports}

def pressed():
    pass

@st.fragment
def part():
    for number in range(10):
        st.text_input(f"field {{number}}", on_change=pressed)
    st.button("Press")
    st.text(str(time.process_time()))

def home():
    part()

def other():
    pass

pages = [st.Page(home, default=True)]
pages += [st.Page(other, title=f"Page {{n}}", url_path=f"page{{n}}") for n in range(100)]
{module}.navigation(pages).run()
"""
WARM_UP: Final = 20
PLAIN: Final = APP.format(imports="", module="st")
GUARDED: Final = APP.format(imports="import stguard as sg", module="sg")


@dataclass(slots=True)
class Drawn:
    """A tab with a fragment in it, and what its reruns took."""

    tab: Tab
    fragment: str
    button: str
    spent: float = 0.0
    processor: list[float] = field(default_factory=list)
    clock: list[float] = field(default_factory=list)

    def rerun(self) -> None:
        """Press the button in the fragment; note the milliseconds."""
        start = time.perf_counter()
        drawing = self.tab.run(WidgetState(id=self.button, trigger_value=True), fragment=self.fragment)
        self.clock.append((time.perf_counter() - start) * 1000)
        spent = float(next(part.proto.body for part in drawing.parts if part.kind == "text")) * 1000
        self.processor.append(spent - self.spent)
        self.spent = spent
        self.tab.seen.messages.clear()


def measured(*, turns: int, collects: bool) -> dict[str, Drawn]:
    """Run the three servers and rerun the fragment on each in turns, with Streamlit's collections or without."""
    head = "" if collects else "import gc\ngc.collect = lambda *_: 0\n"
    work = workload(next(size for size in SIZES if size.name == "medium"), cases=2)
    policy = work.text + "  home: signed_in\n"
    email, places = next(iter(work.held.items()))
    found: dict[str, Drawn] = {}
    with ExitStack() as stack:
        for name in ("plain", "plain again", "guarded", "sg.App"):
            script = PLAIN if name.startswith("plain") else GUARDED
            server = stack.enter_context(served(head + script, policy, app=name == "sg.App"))
            tab = stack.enter_context(server.tab(1, email))
            tab.open(query=f"org={next(iter(places))}")
            button = tab.part("Press")
            found[name] = Drawn(tab, button.fragment, button.id)
        time.sleep(SETTLED_AFTER + 0.1)  # until then each look at the policy reads its file
        for _ in range(turns + WARM_UP):
            for name in random.sample(list(found), len(found)):  # so that none always runs after the same one
                found[name].rerun()
    return found


def show(heading: str, times: dict[str, list[float]]) -> tuple[float, float]:
    """Print one clock's figures. Returns what the guard adds, and three standard errors of the noise."""
    pairs = list(zip(*(taken[WARM_UP:] for taken in times.values()), strict=True))
    noise = [again - plain for plain, again, *_ in pairs]
    added = [guarded - (plain + again) / 2 for plain, again, guarded, _ in pairs]
    plain, again, guarded, app = (statistics.median(taken[WARM_UP:]) for taken in times.values())
    figures = f"{plain:9.2f}{again:13.2f}{guarded:9.2f}{app:9.2f}"
    print(f"{heading:<30}{figures}{_with_error(noise):>20}{_with_error(added):>20}")
    return statistics.median(added), 3 * _error(noise)


def _with_error(found: list[float]) -> str:
    return f"{statistics.median(found):+.3f} ± {_error(found):.3f}"


def _error(found: list[float]) -> float:
    """Return the standard error of a median: 1.25 times that of the mean, by the quartiles of a normal distribution."""
    low, _, high = statistics.quantiles(found, n=4)
    return 1.25 * (high - low) / 1.35 / math.sqrt(len(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    turns = 100 if parser.parse_args().quick else 600
    print(
        f"{'ms for one rerun':<30}{'plain':>9}{'plain again':>13}{'guarded':>9}{'sg.App':>9}{'noise':>20}{'added':>20}"
    )
    for what, collects in (("", True), (", no collection", False)):
        found = measured(turns=turns, collects=collects)
        show(f"click to end{what}", {name: drawn.clock for name, drawn in found.items()})
        added, noise = show(f"processor{what}", {name: drawn.processor for name, drawn in found.items()})
        verdict = "nothing measurable" if added <= noise else "measurable"
        print(f"  added {added:.3f} ms of processor time, seen from {noise:.3f} ms: {verdict}")


if __name__ == "__main__":
    main()
