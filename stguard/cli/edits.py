"""`stguard grant`, `revoke`, `fmt`, `history`, `restore`: edits of the policy, shown before they are made."""

from __future__ import annotations

import difflib
import getpass
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from stguard import edits
from stguard.cli.differences import NONE, changes
from stguard.cli.output import FINE, FOUND, Failure, count, finish, json_option, print_json, say
from stguard.cli.policies import policy_argument
from stguard.cli.sharing import place
from stguard.cli.who import moment
from stguard.edits.history import KEPT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    Made = str | Mapping[str, str | None] | edits.Edit

_policy_option = click.option("--policy", metavar="POLICY", help="The policy's file or folder.")
_yes_option = click.option("--yes", is_flag=True, help="Don't ask.")
_lock_out_option = click.option(
    "--lock-out", is_flag=True, help="Write it even if nobody could edit the policy any more."
)
_keep_option = click.option(
    "--keep", type=click.IntRange(min=1), default=KEPT, show_default=True, help="How many versions the history keeps."
)


class _Command(click.Command):
    """Turn what goes wrong into one line."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  as click has it
        try:
            return super().invoke(ctx)
        except (edits.EditError, edits.FileError) as error:
            raise Failure(str(error)) from error


def _person(_ctx: click.Context, _param: click.Parameter, value: str) -> edits.Person:
    """Return whom a who-key means."""
    try:
        return edits.Person.read(value)
    except edits.EditError as error:
        raise click.BadParameter(str(error)) from error


def _edit_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (json_option, _keep_option, _lock_out_option, _yes_option, _policy_option):
        command = option(command)
    return command


_who = click.argument("who", callback=_person, metavar="WHO")
_role = click.argument("role", metavar="ROLE")
_org = click.option("--org", metavar="ORG", help='The org; "*" for every one, with a cross_org role.')


@click.command("grant", cls=_Command)
@_who
@_role
@_org
@click.option("--from", "since", callback=moment, metavar="T", help="From when, ISO 8601 with a zone.")
@click.option("--until", callback=moment, metavar="T", help="Until when, ISO 8601 with a zone.")
@click.option("--reason", metavar="TEXT", help="Why: a note in the policy and in its history.")
@_edit_options
def grant_command(  # noqa: PLR0913  one for each option
    who: edits.Person,
    role: str,
    org: str | None,
    since: datetime | None,
    until: datetime | None,
    reason: str | None,
    policy: str | None,
    keep: int,
    *,
    yes: bool,
    lock_out: bool,
    as_json: bool,
) -> None:
    """Give ROLE to WHO: an e-mail, email:…, domain:…, group:…, claim:NAME=VALUE, sub:…, everyone.

    One row is added to the policy's `assign`; comments, order and style of the file stay. Who gains and loses what is
    shown first.
    """
    grant = edits.Grant(person=who, role=role, org=org, since=since, until=until, reason=reason)
    with place(policy) as where:
        make(
            where,
            grant,
            reason=reason or f"grant {role} to {who}",
            keep=keep,
            yes=yes,
            lock_out=lock_out,
            as_json=as_json,
        )


@click.command("revoke", cls=_Command)
@_who
@_role
@_org
@click.option("--id", "name", metavar="ID", help="The one assignment that goes, where several say the same.")
@click.option("--reason", metavar="TEXT", help="Why: a note in the history.")
@_edit_options
def revoke_command(  # noqa: PLR0913  one for each option
    who: edits.Person,
    role: str,
    org: str | None,
    name: str | None,
    reason: str | None,
    policy: str | None,
    keep: int,
    *,
    yes: bool,
    lock_out: bool,
    as_json: bool,
) -> None:
    """Take ROLE away from WHO, named as in the policy.

    The rows of `assign` that say exactly this go; what somebody has through a group, a domain or the identity provider
    stays, and the difference that is shown says so.
    """
    revoke = edits.Revoke(person=who, role=role, org=org, id=name)
    with place(policy) as where:
        make(
            where,
            revoke,
            reason=reason or f"revoke {role} of {who}",
            keep=keep,
            yes=yes,
            lock_out=lock_out,
            as_json=as_json,
        )


@click.command("fmt", cls=_Command)
@policy_argument
@click.option("--check", is_flag=True, help="Only say which files would change; exits with 1 if any.")
@_yes_option
@json_option
def fmt_command(policy: str | None, *, check: bool, yes: bool, as_json: bool) -> None:
    """Lay a policy out: indentation, blank lines, line ends. Order, comments and quotes stay.

    In a terminal the lines that change are shown first; nobody gains or loses anything by it.
    """
    with place(policy) as where:
        outcome = edits.preview(where, edits.Format())
        if outcome.ok and outcome.files and not check:
            expected = None
            if not yes and _can_ask():
                _show_lines(edits.Snapshot.take(where).texts, outcome)
                if not click.confirm("write this?", default=False, err=as_json):
                    say("not written", err=True)
                    finish(FOUND)
                    return
                expected = outcome.before
            outcome = edits.change(where, edits.Format(), author=_author(), reason="fmt", expected=expected)
    if as_json:
        print_json(outcome.as_json())
    else:
        for name in outcome.files:
            say(f"{'would lay out' if check else 'laid out'} {name}")
        if not outcome.files:
            say("nothing to lay out")
    finish(FOUND if check and outcome.files else FINE)


@click.command("history", cls=_Command)
@policy_argument
@json_option
def history_command(policy: str | None, *, as_json: bool) -> None:
    """List the versions of a policy that its edits left, newest first."""
    with place(policy) as where:
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


@click.command("restore", cls=_Command)
@click.argument("version", metavar="VERSION")
@click.option("--reason", metavar="TEXT", help="Why: a note in the history.")
@_edit_options
def restore_command(
    version: str, reason: str | None, policy: str | None, keep: int, *, yes: bool, lock_out: bool, as_json: bool
) -> None:
    """Make the policy what a VERSION of `stguard history` was; who gains and loses what is shown first."""
    with place(policy) as where:
        made = edits.restored(where, version)
        make(where, made, reason=reason or f"restore {version}", keep=keep, yes=yes, lock_out=lock_out, as_json=as_json)


def make(
    where: edits.Place, edit: Made, *, reason: str, keep: int = KEPT, yes: bool, lock_out: bool, as_json: bool
) -> None:
    """Show what an edit does, ask, make it, and end the command.

    Args:
        where: the policy.
        edit: what to do with it.
        reason: why, for the history.
        keep: how many versions the history keeps.
        yes: whether nobody is asked.
        lock_out: whether it is made though nobody could edit the policy any more.
        as_json: whether a document is printed.

    Raises:
        EditError: it can't be made, or locks out and that isn't wanted.
        FileError: a file can't be read or written.
    """
    seen = edits.preview(where, edit)
    if not seen.ok or not seen.files:
        _finish(seen, as_json=as_json)
        return
    if not yes and not _can_ask():
        raise click.UsageError("nobody can be asked here; give --yes to make the edit, or run it in a terminal")
    if not as_json or not yes:
        _show(seen, err=as_json)
    if seen.locks_out is not None and not lock_out:
        raise edits.EditError(f"not written: {seen.locks_out}; give --lock-out if that is meant")
    if not yes and not click.confirm("write this?", default=False, err=as_json):
        say("not written", err=True)
        finish(FOUND)
        return
    # What was shown is what is written: with a question, files that changed meanwhile are looked at again by a person.
    expected = None if yes else seen.before
    made = edits.change(where, edit, author=_author(), reason=reason, expected=expected, confirmed=lock_out, keep=keep)
    _finish(made, as_json=as_json)


def _finish(outcome: edits.Outcome, *, as_json: bool) -> None:
    if as_json:
        print_json(outcome.as_json())
    elif not outcome.ok:
        for problem in outcome.problems:
            say(str(problem), err=True)
        say("not written; the policy would be refused", err=True)
    elif not outcome.written:
        say("nothing to write; that stands in the policy already")
    else:
        say(f"written {', '.join(outcome.files)}; policy {outcome.version}, version {outcome.id} of its history")
    finish(FINE if outcome.ok else FOUND)


def _show(outcome: edits.Outcome, *, err: bool) -> None:
    lines = [*changes(outcome.gains, "gains", "+"), *changes(outcome.losses, "loses", "-"), *outcome.other]
    for line in lines or [NONE]:
        say(line, err=err)
    if outcome.locks_out:
        say(f"warning: {outcome.locks_out}", err=True)


def _show_lines(before: Mapping[str, str], outcome: edits.Outcome) -> None:
    for name, text in outcome.files.items():
        lines = difflib.unified_diff(
            before.get(name, "").splitlines(), (text or "").splitlines(), name, name, "", "", 1
        )
        for line in lines:
            say(_one_line(line), err=True)


def _can_ask() -> bool:
    return sys.stdin.isatty()


def _author() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
