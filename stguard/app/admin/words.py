"""The page's words: actions, reasons and moments as plain English."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from stguard.app.screens import one_line, plain
from stguard.model import EVERY_ORG, PAGE_ACTION, Reason, Who, WhoKind

if TYPE_CHECKING:
    from stguard.model import Decision
    from stguard.policy import Policy

EVERYWHERE: Final = "every organization"

_WHY: Final = {
    Reason.PUBLIC: "It is open to anyone.",
    Reason.SIGNED_IN: "It is open to everyone who is signed in.",
    Reason.GRANTED: "Something they hold allows it.",
    Reason.NOT_SIGNED_IN: "Nobody is signed in.",
    Reason.FORBIDDEN: "It is forbidden to them. A forbid wins over every role.",
    Reason.UNKNOWN: "It is not known whether they may: the sign-in did not bring a fact that is needed, "
    "and what is not known is refused.",
    Reason.NO_ORG: "They are not in an organization, and this is asked inside one.",
    Reason.NOT_A_MEMBER: "They are not a member of this organization.",
    Reason.SEPARATED: "They hold roles that nobody may hold together, so none of these counts.",
    Reason.NOT_GRANTED: "Nothing they hold allows it.",
    Reason.NO_RULE: "The page has no rule, so it is closed to everyone.",
}

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400


def action_shown(action: str) -> str:
    """Return an action as people say it, without Markdown: `page reports`, `report:view`."""
    if action.startswith(PAGE_ACTION):
        name = action.removeprefix(PAGE_ACTION)
        return "any other page" if name == "*" else f"page {one_line(name)}"
    return "something that the app's code asks for" if action == "rule" else one_line(action)


def why(decision: Decision) -> str:
    """Return one sentence for an answer, for admins, as Markdown."""
    said = _WHY[decision.reason]
    return f"{said} ({plain(decision.rule)})" if decision.rule else said


def reason_shown(reason: Reason) -> str:
    """Return one sentence for a reason alone."""
    return _WHY[reason]


def org_shown(policy: Policy, org: str | None) -> str:
    """Return an org's name as it is shown, without Markdown; empty for none."""
    if org is None:
        return ""
    if org == EVERY_ORG:
        return EVERYWHERE
    return one_line((policy.parts.orgs or {}).get(org) or org)


def who_shown(who: Who) -> str:
    """Return whom an assignment means, without Markdown."""
    value = one_line(who.value)
    match who.kind:
        case WhoKind.EMAIL:
            return value
        case WhoKind.DOMAIN:
            return f"everyone at {value}"
        case WhoKind.GROUP:
            return f"group {value}"
        case WhoKind.CLAIM:
            return f"{one_line(who.claim or '')} is {value}"
        case WhoKind.SUB:
            return f"account {value}"
        case WhoKind.ROLE:
            return f"role {value}"
        case WhoKind.EVERYONE:
            return "everyone who is signed in"


def key_shown(who: str) -> str:
    """Return a who-key as the analysis writes it, without Markdown: `email:ann@acme.com` is that e-mail."""
    parts = []
    for each in who.split(" and "):
        kind, _, value = each.partition(":")
        match kind:
            case "email":
                parts.append(value)
            case "domain":
                parts.append(f"everyone at {value}")
            case "signed_in":
                parts.append("everyone who is signed in")
            case "anonymous":
                parts.append("anyone, signed in or not")
            case "sub":
                parts.append(f"account {value}")
            case "role":
                parts.append(f"whoever brings role {value}")
            case "permission":
                parts.append(f"whoever brings permission {value}")
            case "group":
                parts.append(f"group {value}")
            case _:
                parts.append(each)
    return one_line(" and ".join(parts))


def moment_shown(at: float | None) -> str:
    """Return a moment of the policy as a date; empty for none."""
    if at is None:
        return ""
    try:
        moment = datetime.fromtimestamp(at, tz=UTC)
    except (OverflowError, ValueError, OSError):
        return "?"
    return moment.strftime("%Y-%m-%d" if moment.hour == moment.minute == 0 else "%Y-%m-%d %H:%M UTC")


def minute_shown(at: float) -> str:
    """Return a moment to the minute, in UTC."""
    try:
        return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return "?"


def ago(at: float, *, now: float) -> str:
    """Return how long ago something was."""
    seconds = max(0, int(now - at))
    if seconds < _MINUTE:
        return "just now"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min ago"
    if seconds < _DAY:
        return f"{seconds // _HOUR} h ago"
    return f"{seconds // _DAY} days ago"
