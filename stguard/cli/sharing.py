"""Which policy the commands edit, and which audit they read, where replicas share one."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from stguard import edits, variables
from stguard.cli.output import Failure
from stguard.cli.policies import locate
from stguard.errors import ConfigurationError
from stguard.shared.board import SharedBoard
from stguard.shared.link import URL_VARIABLE, Link
from stguard.shared.records import SharedRecords
from stguard.shared.replicas import chosen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stguard.audit import Sink

SECRETS: Final = ("COOKIE_SECRET", variables.COOKIE_SECRET)
"""Environment variables that hold the secret of the replicas."""

PATIENCE: Final = 10.0
"""Seconds to wait for an engine that is slow; one that refuses says so at once."""

NAMED: Final = "policy.yaml"
"""Name of the policy in messages when replicas share none yet."""


class Edited(NamedTuple):
    """Say what a command edits.

    Attributes:
        where: the policy.
        records: takes the audit records that replicas share; None for a policy that they don't share.
    """

    where: edits.Place
    records: Sink | None


@contextmanager
def place(policy: str | None) -> Iterator[Edited]:
    """Give the policy that a command edits: the file that is named, else what replicas share, else what is found.

    Args:
        policy: the argument; None when it was left out.
    """
    if policy is not None or not is_shared():
        yield Edited(edits.OnDisk(locate(policy)), None)
        return
    with board() as (shared, records):
        posted = shared.current()
        names = list(posted.contents) if posted is not None else [NAMED]
        yield Edited(edits.OnBoard(shared, Path(names[0] if len(names) == 1 else "policies")), records)


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
def board() -> Iterator[tuple[SharedBoard, Sink]]:
    """Give what replicas share: their policy, and what takes their audit records."""
    with _link() as link:
        shared = SharedBoard(link)
        if not link.start(patience=PATIENCE):
            raise Failure(f"what replicas share can't be reached at ${URL_VARIABLE}")
        yield shared, SharedRecords(link)


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
