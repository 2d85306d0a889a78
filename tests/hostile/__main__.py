"""`python -m tests.hostile` prints the table: what is tried, and whether it gets through on either app."""

from __future__ import annotations

import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import streamlit as st

from tests.hostile import cases, doors, races  # noqa: F401  they fill the table
from tests.hostile.arena import Arena, serve
from tests.hostile.table import CASES, Case

WORDS = {True: "through", False: "stopped", None: "error"}


def _try(case: Case, arena: Arena) -> bool | None:
    try:
        return case.attack(arena)
    except Exception:  # noqa: BLE001  the table goes on, and the case counts as failed
        traceback.print_exc()
        return None


def main() -> int:
    """Print the table; 1 where a case doesn't hit the naive app or isn't stopped on the guarded one."""
    wanted = [case for case in CASES if all(word in case.name for word in sys.argv[1:])]
    width = max(len(case.name) for case in wanted)
    # ruff: noqa: T201  printing is what it does
    print(f"Streamlit {st.__version__}\n\n{'case':{width}}  facts    naive    guarded")
    bad = 0
    with serve("naive") as naive, serve("guarded") as guarded, ThreadPoolExecutor(2) as both:
        for case in wanted:
            by_hand, by_us = both.map(partial(_try, case), (naive, guarded))
            bad += by_hand is not True or by_us is not False
            facts = ",".join(map(str, case.facts))
            print(f"{case.name:{width}}  {facts:7}  {WORDS[by_hand]:7}  {WORDS[by_us]}", flush=True)
    print(f"\n{len(wanted)} cases, {len(wanted) - bad} as they should be")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
