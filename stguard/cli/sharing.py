"""`stguard publish`, and which policy the commands edit where replicas share one."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from stguard import edits, variables
from stguard.cli.output import Failure, json_option
from stguard.cli.policies import locate, policy_argument
from stguard.errors import ConfigurationError
from stguard.policyfile import source
from stguard.shared.board import SharedBoard
from stguard.shared.link import URL_VARIABLE, Link
from stguard.shared.records import SharedRecords
from stguard.shared.replicas import chosen

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRETS: Final = ("COOKIE_SECRET", variables.COOKIE_SECRET)
"""Environment variables that hold the secret of the replicas."""

PATIENCE: Final = 10.0
"""Seconds to wait for an engine that is slow; one that refuses says so at once."""

NAMED: Final = "policy.yaml"
"""Name of the policy in messages when replicas share none yet."""


@contextmanager
def place(policy: str | None) -> Iterator[edits.Place]:
    """Give the policy that a command edits: the file that is named, else what replicas share, else what is found.

    Args:
        policy: the argument; None when it was left out.
    """
    if policy is not None or not is_shared():
        yield edits.OnDisk(locate(policy))
        return
    with _board() as board:
        posted = board.current()
        names = list(posted.contents) if posted is not None else [NAMED]
        yield edits.OnBoard(board, Path(names[0] if len(names) == 1 else "policies"))


def is_shared() -> bool:
    """Tell whether the environment says where replicas share."""
    return bool(_environ().get(URL_VARIABLE))


def shared_records() -> list[bytes]:
    """Return the audit records that replicas share, oldest first."""
    if not is_shared():
        raise click.UsageError(f"${URL_VARIABLE} is not set: it says where replicas share")
    with _link() as link:
        try:
            return list(SharedRecords(link).lines())
        except link.errors as error:
            raise Failure(f"what replicas share can't be read ({type(error).__name__})") from error


@contextmanager
def _board() -> Iterator[SharedBoard]:
    with _link() as link:
        board = SharedBoard(link)
        if not link.start(patience=PATIENCE):
            raise Failure(f"what replicas share can't be reached at ${URL_VARIABLE}")
        yield board


@contextmanager
def _link() -> Iterator[Link]:
    environ = _environ()
    secret = next((environ[name] for name in SECRETS if environ.get(name)), None)
    if secret is None:
        raise Failure(f"${URL_VARIABLE} is set, so what replicas share is meant; set ${SECRETS[0]} to the app's own")
    try:
        shared = chosen(None, environ=environ)
        assert shared is not None  # noqa: S101  the address is there
        link = Link(shared.url, secret=secret, name=shared.name)
    except ConfigurationError as error:
        raise Failure(str(error)) from error
    try:
        yield link
    finally:
        link.close()


def _environ() -> dict[str, str]:
    return variables.with_dotenv(Path(), os.environ)


@click.command("publish")
@policy_argument
@click.option("--reason", metavar="TEXT", help="Why: a note in the history.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--lock-out", is_flag=True, help="Publish it even if nobody could edit the policy any more.")
@json_option
def publish_command(policy: str | None, reason: str | None, *, yes: bool, lock_out: bool, as_json: bool) -> None:
    """Put the policy in a file or folder in force at all replicas; who gains and loses what is shown first.

    $STGUARD_REDIS_URL and $COOKIE_SECRET say where they share.
    """
    from stguard.cli.edits import make  # noqa: PLC0415  it needs `place` of this module

    path = locate(policy)
    if not is_shared():
        raise click.UsageError(f"${URL_VARIABLE} is not set: it says where replicas share their policy")
    mine = edits.OnDisk(path)
    try:
        texts: dict[str, str | None] = {**edits.Snapshot.take(mine).texts}
        with _board() as board:
            there = edits.OnBoard(board, path)
            gone = {name: None for name in there.contents() if name not in texts}
            told = reason or f"publish {source.shown(path)}"
            make(there, {**gone, **texts}, reason=told, yes=yes, lock_out=lock_out, as_json=as_json)
    except (edits.EditError, edits.FileError) as error:
        raise Failure(str(error)) from error
