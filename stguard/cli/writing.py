"""How commands write: show what an edit does, ask, make it, tell the audit."""

from __future__ import annotations

import functools
import getpass
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from stguard import edits
from stguard.audit import AUDIT_VARIABLE, Trail, trail_to
from stguard.cli.differences import NONE, changes
from stguard.cli.output import FINE, FOUND, Failure, finish, json_option, print_json, say
from stguard.edits.history import HISTORY_VARIABLE, KEPT
from stguard.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from stguard.audit import Sink
    from stguard.cli.sharing import Edited

    Made = str | Mapping[str, str | None] | edits.Edit


class WritingCommand(click.Command):
    """Turn what goes wrong into one line."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  as click has it
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (edits.EditError, edits.FileError) as error:
            raise Failure(str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """Say how a command writes.

    Attributes:
        keep: how many versions the history keeps.
        audit: file of audit records that is told; None for none.
        yes: whether nobody is asked.
        as_json: whether a document is printed.
        lock_out: whether it is written though nobody could edit the policy any more.
    """

    keep: int
    audit: str | None
    yes: bool
    as_json: bool
    lock_out: bool = False


_OPTIONS: Final = (
    json_option,
    click.option(
        "--audit",
        metavar="FILE",
        envvar=AUDIT_VARIABLE,
        show_envvar=True,
        help="File of audit records that is told of the edit.",
    ),
    click.option(
        "--keep",
        type=click.IntRange(min=1),
        default=KEPT,
        show_default=True,
        envvar=HISTORY_VARIABLE,
        show_envvar=True,
        help="How many versions the history keeps.",
    ),
    click.option("--yes", is_flag=True, help="Don't ask."),
)
_LOCK_OUT: Final = click.option(
    "--lock-out", is_flag=True, help="Write it even if nobody could edit the policy any more."
)


def writing(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of those that write, as one argument `how`."""

    @functools.wraps(command)
    def run(*, keep: int, audit: str | None, yes: bool, as_json: bool, lock_out: bool = False, **others: Any) -> None:  # noqa: ANN401  the command's own
        how = How(keep=keep, audit=audit, yes=yes, as_json=as_json, lock_out=lock_out)
        command(how=how, **others)

    given: Callable[..., None] = run
    for option in _OPTIONS:
        given = option(given)
    return given


def locking_out(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that stands under `writing` the option to lock everybody out."""
    return _LOCK_OUT(command)


def make(edited: Edited, edit: Made, *, reason: str, how: How) -> None:
    """Show what an edit does, ask, make it, and end the command.

    Args:
        edited: the policy.
        edit: what to do with it.
        reason: why, for the history.
        how: how it is written.

    Raises:
        EditError: it can't be made, or locks out and that isn't wanted.
        FileError: a file can't be read or written.
    """
    with telling(edited, how) as trail:
        seen = edits.preview(edited.where, edit)
        if not seen.ok or not seen.files:
            _finish(seen, how)
            return
        if not how.yes and not can_ask():
            raise click.UsageError("nobody can be asked here; give --yes to make the edit, or run it in a terminal")
        if not how.as_json or not how.yes:
            _show(seen, err=how.as_json)
        if seen.locks_out is not None and not how.lock_out:
            raise edits.EditError(f"not written: {seen.locks_out}; give --lock-out if that is meant")
        if not is_wanted(how):
            return
        # What was shown is what is written: with a question, files that changed meanwhile are looked at again.
        made = edits.change(
            edited.where,
            edit,
            author=author(),
            reason=reason,
            expected=None if how.yes else seen.before,
            confirmed=how.lock_out,
            keep=how.keep,
            trail=trail,
        )
    _finish(made, how)


@contextmanager
def telling(edited: Edited, how: How) -> Iterator[Trail | None]:
    """Give a trail for one edit; None where nobody is told. What could not be told is said at the end."""
    trail = _trail(how.audit, edited.records)
    yield trail
    if trail is not None:
        trail.flush()
        if trail.counts.failed:
            say("warning: the edit was made, and the audit could not be told of it", err=True)


def _trail(audit: str | None, records: Sink | None) -> Trail | None:
    if audit is None:
        return None if records is None else Trail(records)
    try:
        return trail_to(audit, also=records)
    except ConfigurationError as error:
        raise Failure(str(error)) from error


def is_wanted(how: How) -> bool:
    """Ask whether to write, unless that is settled; without it the command has ended."""
    if how.yes or click.confirm("write this?", default=False, err=how.as_json):
        return True
    say("not written", err=True)
    finish(FOUND)
    return False


def _finish(outcome: edits.Outcome, how: How) -> None:
    if how.as_json:
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


def can_ask() -> bool:
    """Tell whether there is somebody to ask."""
    return sys.stdin.isatty()


def author() -> str:
    """Return who edits: the user of the machine."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"
