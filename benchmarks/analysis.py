"""Measure what an editor waits for: `python -m benchmarks.analysis`.

The difference between a policy of 5 000 assignments (50 roles, 500 permissions, 100 pages) and the same with one edit,
beside loading that policy, in turns in one run. The target is a second. Without orgs, with 100 and 1 000; with groups
only, with a period for each assignment, with two roles separated before, and with all assignments on one role.
`leftovers` is what changes nothing.
"""

from __future__ import annotations

import random
import re
import sys
from functools import partial
from typing import TYPE_CHECKING

import stguard as sg
from benchmarks.measure import side_by_side
from stguard.analysis import difference, leftovers

if TYPE_CHECKING:
    from collections.abc import Iterator

ASSIGNMENTS = 5_000
ROLES = 50
PERMISSIONS = tuple(f"area{number // 10}:verb{number % 10}" for number in range(500))
PAGES = 100
TURNS = 3
LIMIT = 1.0
AT = 1_800_000_000.0


def text(*, orgs: int) -> str:
    rng = random.Random(1)
    lines = ["stguard: 1", f"permissions: [{', '.join(PERMISSIONS)}]"]
    if orgs:
        lines.append(f"orgs: [{', '.join(f'o{number}' for number in range(orgs))}]")
    lines.append("roles:")
    for number in range(ROLES):
        parent = f"inherits: r{number - 1}, " if number % 5 else ""
        lines.append(f"  r{number}: {{{parent}allow: [{', '.join(rng.sample(PERMISSIONS, 10))}]}}")
    lines.append("assign:")
    for number in range(ASSIGNMENTS):
        place = f", org: o{rng.randrange(orgs)}" if orgs else ""
        who = f"email: u{number}@x{number % 50}.com" if number % 10 else f"group: g{number}"
        lines.append(f"  - {{id: n{number}, role: r{rng.randrange(ROLES)}{place}, {who}}}")
    lines.append('forbid:\n  - {id: f, permission: "area1:verb1", group: contractors}')
    lines.append("pages:")
    lines += [f"  p{number}: {{permission: {PERMISSIONS[number * 5]}}}" for number in range(PAGES)]
    return "\n".join(lines) + "\n"


def edits(base: str, *, orgs: int) -> dict[str, str]:
    place = ", org: o3" if orgs else ""
    return {
        "one assignment more": base.replace("forbid:", f"  - {{id: new, role: r7{place}, email: z@z.com}}\nforbid:"),
        "a role grants more": base.replace(
            "  r4: {inherits: r3, allow: [", "  r4: {inherits: r3, allow: [area0:verb0, "
        ),
        "a forbid is wider": base.replace('permission: "area1:verb1"', 'permission: "area1:*"'),
        "a forbid closes all": base.replace('permission: "area1:verb1"', 'permission: "*:*"'),
        "a page opens to all": base.replace("p3: {permission: area1:verb5}", "p3: signed_in"),
        "two roles separated": separated(base, "r0", "r10"),
    }


def groups(base: str) -> str:
    """Let every assignment name a group."""
    return re.sub(r"email: u(\d+)@\S+}", r"group: g\1}", base)


def periods(base: str) -> str:
    """Let every assignment begin and end at moments of its own."""
    return re.sub(r"  - {id: n(\d+), (.*)}", _period, base)


def _period(found: re.Match[str]) -> str:
    number = int(found[1])
    day = f"{number % 12 + 1:02}-{number // 12 % 28 + 1:02}T{number // 336:02}:00:00Z"
    since, until = f"2030-{day}", f"2031-{day}"
    return f"  - {{id: n{number}, {found[2]}, from: '{since}', until: '{until}', reason: x}}"


def separated(base: str, *roles: str) -> str:
    """Let nobody hold two roles together, in place of those that nobody may hold together before."""
    return f"{re.sub('separation: .*', '', base).rstrip()}\nseparation: [{{id: s, roles: [{', '.join(roles)}]}}]\n"


def one_role(base: str) -> str:
    """Let every assignment give the same role."""
    return re.sub(r"(  - {id: n\d+), role: r\d+", r"\1, role: r4", base)


def policies() -> Iterator[tuple[str, str, int]]:
    """Yield policies with a name for each, and how many orgs they have."""
    for orgs in (0, 100, 1_000):
        yield f"{orgs or 'no'} orgs", text(orgs=orgs), orgs
    yield "groups only", groups(text(orgs=0)), 0
    yield "a period for each", periods(text(orgs=0)), 0
    for orgs in (100, 1_000):
        yield f"a period for each, {orgs} orgs", periods(text(orgs=orgs)), orgs
        yield f"a period for each, {orgs} orgs, separated", separated(periods(text(orgs=orgs)), "r0", "r5"), orgs
    yield "1000 orgs, separated", separated(text(orgs=1_000), "r0", "r5"), 1_000
    yield "one role only", one_role(text(orgs=0)), 0


def main() -> int:
    missed = 0
    for title, base, orgs in policies():
        old = sg.Policy.from_yaml(base, now=AT)
        print(f"{ASSIGNMENTS} assignments, {title}")
        for name, edited in edits(base, orgs=orgs).items():
            new = sg.Policy.from_yaml(edited, now=AT)
            found = difference(old, new)
            times = side_by_side(
                {"difference": partial(difference, old, new), "load": partial(sg.Policy.from_yaml, edited, now=AT)},
                turns=TURNS,
            )
            ok = times["difference"] <= LIMIT
            missed += not ok
            ratio = times["difference"] / times["load"]
            changes = f"+{len(found.gains)} -{len(found.losses)}"
            verdict = "met" if ok else "NOT met"
            print(f"  {name:<22} {times['difference'] * 1000:8.0f} ms  {ratio:6.1f}x loading  {changes:<12} {verdict}")
        took = side_by_side({"leftovers": partial(leftovers, old, at=AT)}, turns=1)["leftovers"]
        print(f"  {'leftovers':<22} {took * 1000:8.0f} ms")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
