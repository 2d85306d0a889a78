"""`stguard diff` and `stguard who`: what a policy means for everybody, and what an edit of it changes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stguard.analysis import Change, EntangledError, Holder, difference, holders
from stguard.cli.output import FINE, FOUND, Failure, finish, json_option, print_json, say
from stguard.cli.policies import load, locate
from stguard.cli.questions import policy_and
from stguard.errors import ConfigurationError
from stguard.model import EVERY_ORG

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NONE = "nothing that anybody may do changes"


@click.command("diff")
@click.argument("old")
@click.argument("new")
@json_option
def diff_command(old: str, new: str, *, as_json: bool) -> None:
    """Say exactly who gains and who loses which permission and page from policy OLD to policy NEW.

    Nothing is sampled: what is not listed does not change for anybody, in any org, at any moment. Exits with 1 when
    there is a difference.
    """
    before, after = load(Path(old), as_json=as_json), load(Path(new), as_json=as_json)
    try:
        found = difference(before, after)
    except EntangledError as error:
        raise Failure(str(error)) from error
    if as_json:
        document: dict[str, object] = {
            "gains": [change.as_json() for change in found.gains],
            "losses": [change.as_json() for change in found.losses],
        }
        if found.other:
            document["other"] = list(found.other)
        print_json(document)
    else:
        for line in (*changes(found.gains, "gains", "+"), *changes(found.losses, "loses", "-"), *found.other):
            say(line)
        if not found:
            say(NONE)
    finish(FOUND if found else FINE)


def changes(found: Sequence[Change], verb: str, sign: str) -> Iterator[str]:
    """Yield a line for each who, org and cause, with all that changes there."""
    by_who: dict[tuple[str, str | None, str], list[str]] = {}
    for change in found:
        by_who.setdefault((change.who, change.org, change.because), []).append(change.action)
    for (who, org, because), actions in by_who.items():
        yield f"{sign} {who}{_place(org)} {verb} {', '.join(actions)} ({because})"


def _place(org: str | None) -> str:
    return "" if org is None else " in every org" if org == EVERY_ORG else f" in {org}"


@click.command("who")
@click.argument("words", nargs=-1, metavar="[POLICY] ACTION")
@click.option("--org", metavar="ORG", help="Only in this org; without it in every one.")
@json_option
def who_command(words: tuple[str, ...], org: str | None, *, as_json: bool) -> None:
    """Say who may do ACTION now: by assignment, by role, by group.

    ACTION is a permission such as report:view, or page:NAME.
    """
    given, action = policy_and(words, noun="ACTION")
    policy = load(locate(given), as_json=as_json)
    try:
        policy.decide(None, action, org=org)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    try:
        found = holders(policy, action, org=org, at=time.time())
    except EntangledError as error:
        raise Failure(str(error)) from error
    if as_json:
        print_json({"allowed": [holder.as_json() for holder in found]})
    else:
        for line in _holders(found):
            say(line)
    finish(FINE)


def _holders(found: Sequence[Holder]) -> Iterator[str]:
    if not found:
        yield "nobody"
    for holder in found:
        yield f"{holder.who}{_place(holder.org)} ({holder.because})"
