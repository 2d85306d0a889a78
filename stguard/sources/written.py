"""What a source said, as JSON, for other replicas to read: whole and exactly, or not at all."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, Final

from stguard.model import Facts, Membership

_LISTS: Final = ("roles", "groups")
_TEXTS: Final = ("blocked", "active_org", "impersonator")


def written(facts: Facts) -> str | None:
    """Return facts as JSON; None for those that would not be the same when they are read again.

    SECURITY: a source may give anything, and what JSON makes of it may count for more or less than it did.
    """
    try:
        memberships = facts.memberships
        if memberships is not None and not all(isinstance(each, Membership) for each in memberships):
            return None
        document = {each.name: getattr(facts, each.name) for each in fields(facts)}
        document["memberships"] = memberships and [
            {each.name: getattr(entry, each.name) for each in fields(entry)} for entry in memberships
        ]
        document["unknown"], document["claims"] = dict(facts.unknown), dict(facts.claims)
        text = json.dumps(document, allow_nan=False)
        return text if read(text) == facts else None
    except Exception:  # noqa: BLE001  whatever a source put in there, it stays in this process
        return None


def read(text: str | bytes) -> Facts | None:
    """Return facts that were written; None for anything else."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.keys() != {each.name for each in fields(Facts)}:
        return None
    memberships = document["memberships"]
    if memberships is not None:
        if not isinstance(memberships, list):
            return None
        entries = [_membership(each) for each in memberships]
        memberships = tuple(each for each in entries if each is not None)
        if len(memberships) != len(entries):
            return None
    fits = (
        all(_is_list(document[name]) for name in _LISTS)
        and all(document[name] is None or isinstance(document[name], str) for name in _TEXTS)
        and _is_list(document["complete"], optional=False)
        and all(isinstance(document[name], dict) for name in ("unknown", "claims"))
        and all(isinstance(why, str) for why in document["unknown"].values())
    )
    if not fits:
        return None
    lists = {name: _tuple(document[name]) for name in (*_LISTS, "complete")}
    return Facts(**{**document, **lists, "memberships": memberships})


def _membership(entry: Any) -> Membership | None:  # noqa: ANN401  anything JSON has
    if not isinstance(entry, dict) or entry.keys() != {each.name for each in fields(Membership)}:
        return None
    fits = (
        isinstance(entry["org"], str)
        and (entry["name"] is None or isinstance(entry["name"], str))
        and _is_list(entry["roles"])
        and _is_list(entry["permissions"])
        and isinstance(entry["metadata"], dict)
    )
    lists = {name: _tuple(entry[name]) for name in ("roles", "permissions")}
    return Membership(**{**entry, **lists}) if fits else None


def _is_list(values: Any, *, optional: bool = True) -> bool:  # noqa: ANN401  anything JSON has
    if values is None:
        return optional
    return isinstance(values, list) and all(isinstance(each, str) for each in values)


def _tuple(values: Any) -> Any:  # noqa: ANN401  anything JSON has
    return tuple(values) if isinstance(values, list) else values
