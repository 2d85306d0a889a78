"""Whom a question is about, and when: `--as WHO`, `--at T`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from stguard.errors import quote

ANONYMOUS: Final = "anonymous"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Hold whom a question is about.

    Attributes:
        claims: claims as a provider would send them; None for nobody signed in.
        text: as it was given.
        by_email: whether only an e-mail is known.
    """

    claims: dict[str, Any] | None
    text: str
    by_email: bool = False


def asker(_ctx: click.Context, _param: click.Parameter, value: str) -> Asker:
    """Return who is meant by an e-mail, a JSON file of claims, or `anonymous`.

    Raises:
        click.BadParameter: it is none of them.
    """
    if value == ANONYMOUS:
        return Asker(claims=None, text=value)
    try:
        if Path(value).exists() or value.endswith(".json"):
            return Asker(claims=read_claims(Path(value)), text=value)
    except ValueError as error:  # a NUL in the path
        raise click.BadParameter(f"{quote(value)}: {error}") from error
    local, _, domain = value.rpartition("@")
    if not local.strip() or not domain.strip() or not value.isprintable():
        raise click.BadParameter(f"expected an e-mail, a JSON file of claims, or `anonymous`, got {quote(value)}")
    return Asker(claims={"sub": value, "email": value, "email_verified": True}, text=value, by_email=True)


def read_claims(path: Path) -> dict[str, Any]:
    """Return the claims of a JSON file.

    Raises:
        click.BadParameter: it can't be read, or is no JSON object.
    """
    try:
        claims = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise click.BadParameter(f"can't read {quote(path)}: {reason}") from error
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{quote(path)} is not JSON: {str(error).lower()}") from error
    if not isinstance(claims, dict):
        raise click.BadParameter(f"{quote(path)}: expected a JSON object of claims, got {type(claims).__name__}")
    return claims


def moment(_ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime | None:
    """Return the moment that an option names; None when it was left out.

    Raises:
        click.BadParameter: it is no moment.
    """
    try:
        return None if value is None else read_moment(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def read_moment(text: str) -> datetime:
    """Return a moment in UTC from ISO 8601 with a zone.

    Raises:
        ValueError: it is something else; the message says what was expected.
    """
    expected = "expected ISO 8601 with a zone, such as `2026-11-20T09:00:00Z`"
    try:
        read = datetime.fromisoformat(text)
        in_utc = None if read.tzinfo is None else read.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{quote(text)} is out of range; {expected}") from error
    except ValueError as error:
        raise ValueError(f"{quote(text)} is no moment; {expected}") from error
    if in_utc is None:
        raise ValueError(f"{quote(text)} has no time zone; {expected}")
    return in_utc
