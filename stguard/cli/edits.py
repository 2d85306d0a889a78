"""`stguard grant`, `revoke`, `fmt`, `history`, `restore`, `publish`: edits, shown before they are made."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import click

from stguard import edits
from stguard.cli.output import FINE, FOUND, count, finish, json_option, print_json, say
from stguard.cli.policies import locate, policy_argument
from stguard.cli.sharing import Edited, board, is_shared, place
from stguard.cli.who import moment
from stguard.cli.writing import How, WritingCommand, author, can_ask, is_wanted, locking_out, make, telling, writing
from stguard.policyfile import source
from stguard.shared.link import URL_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_policy_option = click.option("--policy", metavar="POLICY", help="The policy's file or folder.")


def _person(_ctx: click.Context, _param: click.Parameter, value: str) -> edits.Person:
    """Return whom a who-key means."""
    try:
        return edits.Person.read(value)
    except edits.EditError as error:
        raise click.BadParameter(str(error)) from error


_who = click.argument("who", callback=_person, metavar="WHO")
_role = click.argument("role", metavar="ROLE")
_org = click.option("--org", metavar="ORG", help='The org; "*" for every one, with a cross_org role.')


@click.command("grant", cls=WritingCommand)
@_who
@_role
@_org
@click.option("--from", "since", callback=moment, metavar="T", help="From when, ISO 8601 with a zone.")
@click.option("--until", callback=moment, metavar="T", help="Until when, ISO 8601 with a zone.")
@click.option("--reason", metavar="TEXT", help="Why: a note in the policy and in its history.")
@_policy_option
@locking_out
@writing
def grant_command(
    who: edits.Person,
    role: str,
    org: str | None,
    since: datetime | None,
    until: datetime | None,
    reason: str | None,
    policy: str | None,
    *,
    how: How,
) -> None:
    """Give ROLE to WHO: an e-mail, email:…, domain:…, group:…, claim:NAME=VALUE, sub:…, everyone.

    One row is added to the policy's `assign`; comments, order and style of the file stay. Who gains and loses what is
    shown first.
    """
    grant = edits.Grant(person=who, role=role, org=org, since=since, until=until, reason=reason)
    with place(policy) as edited:
        make(edited, grant, reason=reason or f"grant {role} to {who}", how=how)


@click.command("revoke", cls=WritingCommand)
@_who
@_role
@_org
@click.option("--id", "name", metavar="ID", help="The one assignment that goes, where several say the same.")
@click.option("--reason", metavar="TEXT", help="Why: a note in the history.")
@_policy_option
@locking_out
@writing
def revoke_command(
    who: edits.Person,
    role: str,
    org: str | None,
    name: str | None,
    reason: str | None,
    policy: str | None,
    *,
    how: How,
) -> None:
    """Take ROLE away from WHO, named as in the policy.

    The rows of `assign` that say exactly this go; what somebody has through a group, a domain or the identity provider
    stays, and the difference that is shown says so.
    """
    revoke = edits.Revoke(person=who, role=role, org=org, id=name)
    with place(policy) as edited:
        make(edited, revoke, reason=reason or f"revoke {role} of {who}", how=how)


@click.command("fmt", cls=WritingCommand)
@policy_argument
@click.option("--check", is_flag=True, help="Only say which files would change; exits with 1 if any.")
@writing
def fmt_command(policy: str | None, *, check: bool, how: How) -> None:
    """Lay a policy out: indentation, blank lines, line ends. Order, comments and quotes stay.

    In a terminal the lines that change are shown first; nobody gains or loses anything by it.
    """
    with place(policy) as edited:
        outcome = edits.preview(edited.where, edits.Format())
        if outcome.ok and outcome.files and not check:
            expected = None
            if not how.yes and can_ask():
                _show_lines(edits.Snapshot.take(edited.where).texts, outcome)
                if not is_wanted(how):
                    return
                expected = outcome.before
            with telling(edited, how) as trail:
                outcome = edits.change(
                    edited.where,
                    edits.Format(),
                    author=author(),
                    reason="fmt",
                    expected=expected,
                    keep=how.keep,
                    trail=trail,
                )
    if how.as_json:
        print_json(outcome.as_json())
    else:
        for name in outcome.files:
            say(f"{'would lay out' if check else 'laid out'} {name}")
        if not outcome.files:
            say("nothing to lay out")
    finish(FOUND if check and outcome.files else FINE)


@click.command("history", cls=WritingCommand)
@policy_argument
@json_option
def history_command(policy: str | None, *, as_json: bool) -> None:
    """List the versions of a policy that its edits left, newest first."""
    with place(policy) as (where, _):
        history = edits.history_of(where)
        versions = history.versions()[::-1]
    if history.damaged:
        lines = count(history.damaged, "line")
        say(f"warning: {lines} of the history can't be read and is passed over: {history.place}", err=True)
    if as_json:
        print_json({"versions": [version.as_json() for version in versions]})
    else:
        for version in versions:
            told = version.as_json()
            author = version.author if version.author is not None else "(found on the disk)"
            author += f" (approved by {version.approver})" if version.approver is not None else ""
            say(f"{version.id}  {told['time']}  {_one_line(author)}  {_one_line(version.reason or '')}".rstrip())
        if not versions:
            say("no versions yet; the first edit by `stguard grant`, `revoke` or `fmt` begins the history")
    finish(FINE)


@click.command("restore", cls=WritingCommand)
@click.argument("version", metavar="VERSION")
@click.option("--reason", metavar="TEXT", help="Why: a note in the history.")
@_policy_option
@locking_out
@writing
def restore_command(version: str, reason: str | None, policy: str | None, *, how: How) -> None:
    """Make the policy what a VERSION of `stguard history` was; who gains and loses what is shown first."""
    with place(policy) as edited:
        made = edits.restored(edited.where, version)
        make(edited, made, reason=reason or f"restore {version}", how=how)


@click.command("publish", cls=WritingCommand)
@policy_argument
@click.option("--reason", metavar="TEXT", help="Why: a note in the history.")
@locking_out
@writing
def publish_command(policy: str | None, reason: str | None, *, how: How) -> None:
    """Put the policy in a file or folder in force at all replicas; who gains and loses what is shown first.

    $STGUARD_REDIS_URL and $COOKIE_SECRET say where they share.
    """
    path = locate(policy)
    if not is_shared():
        raise click.UsageError(f"${URL_VARIABLE} is not set: it says where replicas share their policy")
    texts: dict[str, str | None] = {**edits.Snapshot.take(edits.OnDisk(path)).texts}
    with board() as (shared, records):
        there = edits.OnBoard(shared, path)
        gone = {name: None for name in there.contents() if name not in texts}
        told = reason or f"publish {source.shown(path)}"
        make(Edited(there, records), {**gone, **texts}, reason=told, how=how)


def _show_lines(before: Mapping[str, str], outcome: edits.Outcome) -> None:
    for name, text in outcome.files.items():
        lines = difflib.unified_diff(
            before.get(name, "").splitlines(), (text or "").splitlines(), name, name, "", "", 1
        )
        for line in lines:
            say(_one_line(line), err=True)


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
