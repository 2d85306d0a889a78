"""Measure stguard and its peers side by side: `python -m benchmarks [--quick]`.

Ratios between columns of one run say something; the times themselves are those of this machine at this moment.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import yaml

from benchmarks import measure, separate
from benchmarks.contenders import CONTENDERS, HandWritten, IndexedByHand, Stguard
from benchmarks.measure import Row, best, side_by_side
from benchmarks.sizes import SIZES, Size, Workload, workload

if TYPE_CHECKING:
    from benchmarks.contenders import Contender

HEADINGS = (
    ("engine", 28),
    ("load ms", 10),
    ("allow p50", 11),
    ("p99", 10),
    ("deny p50", 11),
    ("p99", 10),
    ("pages µs", 12),
    ("MB", 8),
    ("gc", 8),
    ("8 threads", 10),
    ("requests", 9),
)


class Targets:
    """The targets, each with what was measured."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.missed = 0

    def add(self, number: int, what: str, measured: float, limit: float, *, at_least: bool = False) -> None:
        met = measured >= limit if at_least else measured <= limit
        self.missed += not met
        sign = "≥" if at_least else "≤"
        self.lines.append(f"  {number}. {what:<72} {measured:8.2f}  {sign} {limit:<6g} {'met' if met else 'NOT met'}")


def agreed(engines: list[Any], work: Workload) -> dict[str, list[Any]]:
    """Return the requests each engine gets, after it answered every one of them as the others do."""
    given = {}
    for engine in engines:
        part = work.cases[: max(30, int(len(work.cases) * engine.share))]
        ready = engine.ready(part)
        answers = engine.loop(ready)
        wrong = [case for case, answer in zip(part, answers, strict=True) if answer is not case.allowed]
        if wrong:
            raise SystemExit(f"{engine.name} answers {wrong[0]} differently")
        given[engine.name] = ready
    by_hand = HandWritten(work)
    for number in range(2):
        expected = set(by_hand.pages(by_hand.ready(work.cases)[number]))
        for engine in filter(partial(lists_pages, work.size), engines):
            if set(engine.pages(given[engine.name][number])) != expected:
                raise SystemExit(f"{engine.name} lists other pages for {work.cases[number]}")
    return given


def lists_pages(size: Size, engine: Contender) -> bool:
    """Whether the engine is asked for whole page lists: at a millisecond a page, not for a thousand of them."""
    return engine.share == 1 or size.pages < 1_000


def rows(size: Size, *, quick: bool) -> tuple[list[Row], Workload]:
    """Measure every engine at one size."""
    work = workload(size, cases=600 if quick else 2_000)
    turns = 3 if quick else 7
    engines: list[Contender] = []
    found: list[Row] = []
    for make in CONTENDERS:
        start = perf_counter()
        engine = make(work)
        first = perf_counter() - start
        again = best(partial(make, work), turns=turns) if first < 1 else first
        engines.append(engine)
        found.append(Row(name=engine.name, requests=0, load_ms=min(first, again) * 1_000))
    given = agreed(engines, work)
    loops = {engine.name: partial(engine.loop, given[engine.name]) for engine in engines}
    fast = {engine.name: loops.pop(engine.name) for engine in engines if engine.share == 1}
    means = side_by_side(fast, turns=turns * 3) | side_by_side(loops, turns=2)
    lists_of = {engine.name: 1 if engine.share < 1 else 100 for engine in engines}
    listing = {
        engine.name: partial(_lists, engine, given[engine.name][: lists_of[engine.name]])
        for engine in filter(partial(lists_pages, size), engines)
    }
    lists = side_by_side(listing, turns=3)
    for engine, row in zip(engines, found, strict=True):
        cases = given[engine.name]
        row.requests = len(cases)
        row.mean = means[engine.name] / len(cases) * 1e6
        row.deny = measure.percentiles(engine, cases[0::2], turns=turns if engine.share == 1 else 1)
        row.allow = measure.percentiles(engine, cases[1::2], turns=turns if engine.share == 1 else 1)
        row.pages = lists.get(engine.name, 0) / lists_of[engine.name] * 1e6
        expected = [case.allowed for case in work.cases[: len(cases)]]
        row.threads, row.right_in_threads = measure.rate_of_threads(engine, cases, expected)
        row.memory_mb = measure.megabytes(partial(type(engine), work))
    return found, work


def _lists(engine: Contender, cases: list[Any]) -> list[list[str]]:
    return [engine.pages(one) for one in cases]


def show(size: Size, found: list[Row], collections: dict[str, tuple[float, float]]) -> None:
    print(f"\n{size.name}: {size.roles} roles, {size.permissions} permissions, {size.orgs} orgs, {size.pages} pages")
    print("".join(f"{text:<{width}}" if not i else f"{text:>{width}}" for i, (text, width) in enumerate(HEADINGS)))
    for row in found:
        without, loaded = collections.get(row.name, (0.0, 0.0))
        cells = [
            f"{row.load_ms:.1f}",
            *(f"{value:.2f}" if value < 1_000 else f"{value:.0f}" for value in (*row.allow, *row.deny)),
            "-" if not row.pages else f"{row.pages:.1f}" if row.pages < 1_000 else f"{row.pages:.0f}",
            f"{row.memory_mb:.1f}",
            f"{(loaded / without - 1) * 100:+.0f}%" if without else "",
            f"{row.threads:.2f}{'' if row.right_in_threads else ' !'}",
            str(row.requests),
        ]
        line = "".join(f"{cell:>{width}}" for cell, (_, width) in zip(cells, HEADINGS[1:], strict=True))
        print(f"{row.name:<28}{line}")


def judge(size: Size, found: list[Row], work: Workload, targets: Targets, *, turns: int) -> None:
    """Hold one size against the targets."""
    ours, by_hand = found[0], found[1]
    indexed = next(row for row in found if row.name == IndexedByHand.name)
    targets.add(1, f"{size.name}: decision / hand-written dict", ours.mean / by_hand.mean, 5)
    for what, (middle, high) in {"allow": ours.allow, "deny": ours.deny}.items():
        targets.add(1, f"{size.name}: {what}, p99 / p50", high / middle, 4)
    targets.add(2, f"{size.name}: page list / hand-written loop", ours.pages / by_hand.pages, 1)
    targets.add(2, f"{size.name}: page list / indexed by role", ours.pages / indexed.pages, 3)
    times = side_by_side({"ours": lambda: Stguard(work), "bare": lambda: bare_load(work.text)}, turns=turns)
    targets.add(3, f"{size.name}: load / bare yaml.load(CSafeLoader)", times["ours"] / times["bare"], 1.5)
    targets.add(4, f"{size.name}: rate of 8 threads / one", ours.threads, 0.6, at_least=True)
    targets.add(4, f"{size.name}: wrong answers in threads", float(not ours.right_in_threads), 0)


def bare_load(text: str) -> object:
    return yaml.load(text, Loader=yaml.CSafeLoader)


def flat(all_rows: dict[str, list[Row]], targets: Targets) -> None:
    """Hold the decision at the largest size against the smallest, beside the same of the dict."""
    first, last = next(iter(all_rows.values())), next(reversed(all_rows.values()))
    growth, of_dict = last[0].mean / first[0].mean, last[1].mean / first[1].mean
    targets.add(1, "decision from smallest to largest size, against the dict's own growth", growth / of_dict, 2)
    targets.add(1, "decision: allow / deny at the largest size", last[0].allow[0] / last[0].deny[0], 2)


def first_touch(work: Workload) -> str:
    """Say what a subject costs that nobody has asked about yet: once per login, org and edit."""
    engine = Stguard(work)
    emails = list(work.held)[:200]
    start = perf_counter()
    subjects = [engine.subject(email) for email in emails]
    made = (perf_counter() - start) / len(emails) * 1e6
    action = work.cases[0].permission
    start = perf_counter()
    for email, subject in zip(emails, subjects, strict=True):
        engine.policy.allows(subject, action, org=next(iter(work.held[email])))
    asked = (perf_counter() - start) / len(emails) * 1e6
    return f"claims to subject {made:.0f} µs, first decision of a subject in an org {asked:.0f} µs"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer turns and requests: half a minute")
    quick = parser.parse_args().quick
    targets = Targets()
    turns = 3 if quick else 9
    all_rows: dict[str, list[Row]] = {}
    print(f"Python {sys.version.split()[0]}; times in µs unless said; ratios count, times depend on the machine")
    print("The slow engines get fewer requests, as the last column says.")
    print("gc: a full collection with the policy in memory, against one without.")
    print("`!`: wrong answers or errors when threads share it. `-`: not asked, it would take minutes.")
    for size in SIZES:
        found, work = rows(size, quick=quick)
        all_rows[size.name] = found
        measured = [row.name for row in found if not quick or row.name == Stguard.name]
        collections = {name: separate.collection_ms(size.name, name) for name in measured}
        show(size, found, collections)
        print(f"  {first_touch(work)}")
        judge(size, found, work, targets, turns=turns)
        if size.name == "medium":
            without, loaded = collections[Stguard.name]
            targets.add(6, "medium: added to a full collection, percent", (loaded / without - 1) * 100, 10)
            before, added = separate.tracked(size.name, Stguard.name)
            print(
                f"  objects that the collector visits: {before} of a session, {added} of stguard's policy and subjects"
            )
            targets.add(6, "medium: added to the objects that the collector visits, percent", added / before * 100, 10)
    flat(all_rows, targets)
    ours = separate.import_ms("import stguard", after="import streamlit", turns=turns)
    targets.add(7, "import stguard on top of Streamlit, ms", ours, 15)
    whole = separate.import_ms("import stguard; stguard.Policy", after="import streamlit", turns=turns)
    print(f"\nimport stguard {ours:.1f} ms on top of Streamlit, with the first use of Policy {whole:.1f} ms")
    print("\nTargets" + (" (quick run: noisy)" if quick else ""))
    print("\n".join(sorted(targets.lines)))
    print(f"\n{targets.missed} not met" if targets.missed else "\nall met")


if __name__ == "__main__":
    main()
