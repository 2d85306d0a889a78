"""`stguard audit`: look through a file of audit records."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from stguard.audit import Event, impersonal
from stguard.cli.output import FINE, FOUND, Failure, count, finish, json_option, print_json
from stguard.cli.policies import load, locate
from stguard.cli.sharing import shared_records
from stguard.cli.who import moment
from stguard.errors import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Line = dict[str, Any]
"""One record as it stands in the file."""

_LOOKED: Final = Event.VIEW_AS.value
"""What was allowed or refused to who only looked at the app as somebody: nothing happened to that person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """Say which records are asked for; None: any."""

    since: datetime | None
    until: datetime | None
    subject: str | None
    org: str | None
    action: str | None
    allowed: bool | None

    def fits(self, line: Line) -> bool:
        at = line["at"]
        return (
            (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
            and all(
                wanted is None or line.get(name) == wanted
                for name, wanted in (("subject", self.subject), ("org", self.org), ("action", self.action))
            )
            and (self.allowed is None or line.get("allowed") is self.allowed)
        )


@click.command("audit")
@click.argument("file", required=False)
@click.option("--shared", is_flag=True, help="The records that replicas share, in place of a file.")
@click.option("--since", callback=moment, metavar="T", help="From this moment on, ISO 8601 with a zone.")
@click.option("--until", callback=moment, metavar="T", help="Before this moment.")
@click.option("--subject", metavar="ID", help="Only of this subject, by id: `iss|sub`.")
@click.option("--org", metavar="ORG", help="Only in this org.")
@click.option("--action", metavar="ACTION", help="Only for this permission or page:NAME.")
@click.option("--allowed/--refused", default=None, help="Only what was allowed, or only what was refused.")
@click.option("--summary", is_flag=True, help="Count who was refused what, in place of each record.")
@click.option("--unused", type=click.IntRange(1), metavar="DAYS", help="List the assignments nobody used for so long.")
@click.option("--policy", metavar="PATH", help="The policy whose assignments --unused lists.")
@json_option
def audit_command(  # noqa: PLR0913  one for each option
    file: str | None,
    since: datetime | None,
    until: datetime | None,
    subject: str | None,
    org: str | None,
    action: str | None,
    policy: str | None,
    unused: int | None,
    *,
    allowed: bool | None,
    shared: bool,
    summary: bool,
    as_json: bool,
) -> None:
    """Show the records in FILE and in the files set aside when it was full, oldest first; or those that replicas share.

    --unused tells by which assignments something was allowed; what only opened the app tells nothing. Exits with 1 when
    lines can't be read, or when --unused finds assignments.
    """
    if unused is not None and (summary or allowed is not None):
        raise click.UsageError("--unused looks at what was allowed; leave --summary, --allowed and --refused out")
    wanted = _Wanted(since=since, until=until, subject=subject, org=org, action=action, allowed=allowed)
    if (file is None) != shared:
        raise click.UsageError("name a file of records, or give --shared")
    lines, damaged = _read(Path(file)) if file is not None else _parsed(shared_records())
    found = [line for line in lines if wanted.fits(line)]
    if unused is not None:
        ids = _unused(found, load(locate(policy), as_json=as_json).parts.assignments, days=unused, begun=lines)
        _print_unused(ids, days=unused, damaged=damaged, as_json=as_json)
        finish(FOUND if ids or damaged else FINE)
    elif as_json:
        records = {"refused": _refused(found)} if summary else {"records": [_plain(line) for line in found]}
        print_json({**records, "damaged": damaged})
    else:
        for text in _summary(found) if summary else map(_text, found):
            click.echo(text)
        _say_damaged(damaged)
    finish(FOUND if damaged else FINE)


def _read(path: Path) -> tuple[list[Line], int]:
    """Return the records of a file and of those set aside, oldest first, and how many lines are none."""
    if not path.is_file():
        raise Failure(f"no file at {quote(path)}")
    aside = [each for each in path.parent.glob(f"{path.name}.*") if re.fullmatch(r"\.[0-9]+", each.suffix)]
    files = [*sorted(aside, key=lambda file: -int(file.suffix[1:])), path]
    return _parsed(raw for each in files for raw in each.read_bytes().splitlines())


def _parsed(told: Iterable[bytes]) -> tuple[list[Line], int]:
    """Return the records, and how many lines are none."""
    read = [_record(raw) for raw in told]
    lines = [line for line in read if line is not None]
    return lines, len(read) - len(lines)


def _record(raw: bytes) -> Line | None:
    try:
        line = json.loads(raw)
        at = datetime.fromisoformat(line["at"])
        return {**line, "at": at} if at.tzinfo is not None and isinstance(line["action"], str) else None
    except (ValueError, TypeError, KeyError):
        return None


def _plain(line: Line) -> Line:
    return {**line, "at": _time(line["at"])}


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _text(line: Line) -> str:
    answer = "allowed" if line.get("allowed") else "refused"
    if line.get("event") == _LOOKED and line.get("impersonator"):
        answer = f"looked: {answer}"  # to somebody who looked at the app as them
    parts = [_time(line["at"]), answer, str(line["action"]), f"to {line.get('subject') or 'a visitor'}"]
    if line.get("org"):
        parts.append(f"in {line['org']}")
    if line.get("impersonator"):
        parts.append(f"as whom {line['impersonator']} acted")
    # What stands in the file came from outside: nothing in it may act on the terminal.
    return " ".join([*parts, f"({line.get('reason')})"]).encode("unicode_escape").decode()


def _refused(lines: Sequence[Line]) -> list[Line]:
    counts = Counter(
        (line.get("subject"), line.get("org"), line["action"], line.get("reason"))
        for line in lines
        if not line.get("allowed") and line.get("event") != _LOOKED
    )
    return [
        {"subject": subject, "org": org, "action": action, "reason": reason, "times": times}
        for (subject, org, action, reason), times in counts.most_common()
    ]


def _summary(lines: Sequence[Line]) -> Iterator[str]:
    refused = _refused(lines)
    people = len({line.get("subject") for line in lines if line.get("event") != _LOOKED})
    yield f"{count(len(lines), 'record')} of {people} subject{'' if people == 1 else 's'}"
    for each in refused:
        place = f" in {each['org']}" if each["org"] else ""
        line = (
            f"{each['times']}x refused {each['action']} to {each['subject'] or 'a visitor'}{place} ({each['reason']})"
        )
        yield line.encode("unicode_escape").decode()


def _unused(lines: Sequence[Line], assignments: Sequence[Any], *, days: int, begun: Sequence[Line]) -> list[str]:
    """Return the ids of the assignments by which nothing was allowed for so many days.

    Raises:
        Failure: the records don't reach back so far.
    """
    limit = datetime.now(UTC) - timedelta(days=days)
    if not begun or begun[0]["at"] > limit:
        raise Failure(f"the records don't reach back {count(days, 'day')}; nothing can be said about what was unused")
    used = {
        grant for line in lines if line["at"] >= limit and line.get("allowed") for grant in line.get("grants") or ()
    }
    return [each.id for each in assignments if used.isdisjoint((each.id, impersonal(each.id)))]


def _print_unused(ids: Sequence[str], *, days: int, damaged: int, as_json: bool) -> None:
    if as_json:
        print_json({"unused": list(ids), "days": days, "damaged": damaged})
        return
    for each in ids:
        click.echo(f"assignment {quote(each)}: nothing was allowed by it for {count(days, 'day')}")
    _say_damaged(damaged)


def _say_damaged(damaged: int) -> None:
    if damaged:
        click.echo(f"{count(damaged, 'line')} can't be read", err=True)
