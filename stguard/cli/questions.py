"""`stguard explain` and `stguard decide`: ask the policy about one request, or about many."""

from __future__ import annotations

import json
import re
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final

import click

from stguard import lifetime
from stguard.cli.output import DENIED, FINE, FOUND, finish, json_option, print_json, say
from stguard.cli.policies import load, locate
from stguard.cli.who import Asker, asker, moment, read_moment
from stguard.errors import ConfigurationError, quote
from stguard.model import Membership, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from stguard.model import Decision, Subject
    from stguard.policy import Policy

_FRACTION: Final = re.compile(r"\.\d+(?=Z$)")
_ONE_OR_TWO: Final = (1, 2)


def policy_and(words: tuple[str, ...], *, noun: str) -> tuple[str | None, str]:
    """Return the policy's path, None when it was left out, and the one other argument."""
    if len(words) not in _ONE_OR_TWO:
        got = "nothing" if not words else f"{len(words)} arguments"
        raise click.UsageError(f"expected [POLICY] {noun}, got {got}")
    return (words[0] if len(words) == len(_ONE_OR_TWO) else None), words[-1]


# --- explain ----------------------------------------------------------------------------------------------------------


@click.command("explain")
@click.argument("words", nargs=-1, metavar="[POLICY] ACTION")
@click.option("--as", "who", callback=asker, required=True, metavar="WHO", help="An e-mail, JSON claims, or anonymous.")
@click.option("--org", metavar="ORG", help="The org to ask in.")
@click.option("--at", callback=moment, metavar="T", help="The moment, ISO 8601 with a zone; without it now.")
@json_option
def explain_command(words: tuple[str, ...], who: Asker, org: str | None, at: datetime | None, *, as_json: bool) -> None:
    """Say whether somebody may do something, why, and what would change it.

    ACTION is a permission such as report:view, or page:NAME. WHO is an e-mail (taken as verified), a JSON file of
    claims as the identity provider sends them, or "anonymous". Exits with 3 when the answer is no.
    """
    given, action = policy_and(words, noun="ACTION")
    policy = load(locate(given), as_json=as_json)
    subject = policy.subject(who.claims)
    try:
        decision = policy.decide(subject, action, org=org, at=at)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        print_json(decision.as_json())
    else:
        for line in _explained(decision, who, subject):
            say(line)
        if subject is not None and not who.by_email and lifetime.ended(policy, subject, at=decision.at):
            say(
                "note: an app refuses this login: by `sessions` or `revoked` it no longer counts, or its claims lack "
                "the `iat`, `auth_time` or `exp` that those need"
            )
    finish(FINE if decision.allowed else DENIED)


def _explained(decision: Decision, who: Asker, subject: Subject | None) -> Iterator[str]:
    facts = decision.as_json()
    yield f"{'allowed' if decision.allowed else 'denied'}: {decision.action}"
    yield f"  who     {who.text}" + ("" if subject is not None else " (nobody signed in)")
    if decision.org is not None:
        yield f"  org     {decision.org}"
    yield f"  at      {_FRACTION.sub('', facts['at'])}"
    yield f"  reason  {decision.reason.value.replace('_', ' ')}"
    if decision.rule is not None:
        yield f"  rule    {decision.rule}"
    if decision.missing:
        yield "what would change it, any one of:" if len(decision.missing) > 1 else "what would change it:"
        yield from (f"  - {line}" for line in decision.missing)
    if decision.trace:
        yield "how:"
        yield from (f"  {line}" for line in decision.trace)
    if who.claims is not None and subject is None:
        yield "note: the policy's `identity` takes these claims for nobody"
    if decision.reason is Reason.NO_ORG and decision.org is None:
        yield "note: no org was asked for; name one with --org"
    if who.by_email:
        yield (
            "note: an e-mail alone does not tell the groups and roles that the identity provider sends; they count as "
            "unknown, so give a JSON file of claims for the whole answer"
        )


# --- decide -----------------------------------------------------------------------------------------------------------


@click.command("decide")
@click.argument("words", nargs=-1, metavar="[POLICY] REQUESTS.jsonl")
@json_option
def decide_command(words: tuple[str, ...], *, as_json: bool) -> None:
    r"""Answer requests in bulk: one JSON line in, one JSON line out, in the same order.

    REQUESTS is a file of JSON lines, or - for standard input. A request: {"claims": {...}|null, "roles": [...],
    "memberships": [{"org", "roles", "permissions"}], "org": str|null, "action": "area:verb"|"page:NAME",
    "at": str|null}; only action is required. A line that can't be read gets {"error": ...}, and the exit code is 1.
    """
    given, requests = policy_and(words, noun="REQUESTS.jsonl")
    policy = load(locate(given), as_json=as_json)
    bad = 0
    with _lines_of(requests) as lines:
        for number, line in enumerate(lines):
            if line.strip():
                answer = _answer(policy, line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line)
                bad += "error" in answer
                print_json(answer, indent=None)
    finish(FOUND if bad else FINE)


@contextmanager
def _lines_of(name: str) -> Iterator[IO[bytes]]:
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        file = open(name, "rb")  # noqa: PTH123, SIM115  a name with a NUL is a ValueError here, like the rest
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise click.UsageError(f"can't read the requests in {quote(name)}: {reason}") from error
    with file:
        yield file


class _BadRequestError(Exception):
    """Say what is wrong with one request."""


def _answer(policy: Policy, line: bytes) -> dict[str, Any]:
    try:
        request = _request(line)
        subject = policy.subject(
            request.get("claims"),
            roles=_names(request, "roles"),
            groups=_names(request, "groups"),
            memberships=_memberships(request),
        )
        at = _text(request, "at")
        decision = policy.decide(
            subject, _action(request), org=_text(request, "org"), at=None if at is None else read_moment(at)
        )
    except (_BadRequestError, ConfigurationError, ValueError) as error:
        return {"error": str(error)}
    return decision.as_json()


_KEYS: Final = ("claims", "roles", "groups", "memberships", "org", "action", "at")


def _request(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _BadRequestError("not UTF-8") from error
    except RecursionError as error:
        raise _BadRequestError("not JSON: nested too deeply") from error
    except ValueError as error:
        raise _BadRequestError(f"not JSON: {str(error).lower()}") from error
    if not isinstance(request, dict):
        raise _BadRequestError(f"expected a JSON object, got {_kind(request)}")
    if unknown := next((key for key in request if key not in _KEYS), None):
        raise _BadRequestError(f"unknown key {quote(unknown)}; expected {', '.join(_KEYS)}")
    if not isinstance(request.get("claims"), dict | None):
        raise _BadRequestError(f"expected an object or null in `claims`, got {_kind(request['claims'])}")
    return request


def _action(request: dict[str, Any]) -> str:
    action = _text(request, "action")
    if action is None:
        raise _BadRequestError("no `action`; expected a permission such as `report:view`, or `page:NAME`")
    return action


def _text(entry: dict[str, Any], key: str) -> str | None:
    value = entry.get(key)
    if value is None or isinstance(value, str):
        return value
    raise _BadRequestError(f"expected text or null in `{key}`, got {_kind(value)}")


def _names(entry: dict[str, Any], key: str) -> tuple[str, ...] | None:
    """Return a list of names; None stands for null, that is: not known."""
    value = entry.get(key, [])
    if value is None:
        return None
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return tuple(value)
    raise _BadRequestError(f"expected a list of texts or null in `{key}`, got {_kind(value)}")


def _memberships(request: dict[str, Any]) -> tuple[Membership, ...] | None:
    value = request.get("memberships", [])
    if value is None:
        return None
    if not isinstance(value, list):
        raise _BadRequestError(f"expected a list or null in `memberships`, got {_kind(value)}")
    return tuple(_membership(entry) for entry in value)


def _membership(entry: object) -> Membership:
    keys = ("org", "name", "roles", "permissions")
    if not isinstance(entry, dict):
        raise _BadRequestError(f"expected an object in `memberships`, got {_kind(entry)}")
    if unknown := next((key for key in entry if key not in keys), None):
        raise _BadRequestError(f"unknown key {quote(unknown)} in `memberships`; expected {', '.join(keys)}")
    org = _text(entry, "org")
    if not org:
        raise _BadRequestError("no `org` in an entry of `memberships`")
    return Membership(
        org=org, name=_text(entry, "name"), roles=_names(entry, "roles"), permissions=_names(entry, "permissions")
    )


def _kind(value: object) -> str:
    """Return JSON's word for the type of a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "an object"
