"""How claims become a subject: the `identity` section, and the limits of `sessions`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stguard.errors import quote
from stguard.model import ClaimPath, Identity, Sessions
from stguard.policyfile.names import texts
from stguard.policyfile.node import CONTENT, FIELDS, ITEMS, KEY_POS, POS, QUOTED
from stguard.providers import BY_NAME, EDITABLE, meant

if TYPE_CHECKING:
    from collections.abc import Callable

    from stguard.policyfile.draft import Draft
    from stguard.policyfile.node import Node


def read_identity(draft: Draft) -> Identity:
    """Read `identity`, with the general keys merged into each provider's."""
    fields = draft.sections.table("identity")
    general = Identity(**_settings(fields, draft=draft, where="`identity`"))
    providers: dict[str, Identity] = {}
    listed = fields.get("providers")
    if listed is not None and listed[0] == FIELDS:
        for name, node in listed[CONTENT].items():
            if node[0] == FIELDS:
                own = _settings(node[CONTENT], draft=draft, where=f"provider {quote(name)}")
                providers[name] = replace(general, **own)
    return replace(general, providers=providers) if providers else general


def _settings(fields: dict[str, Node], *, draft: Draft, where: str) -> dict[str, Any]:
    """Return the keys of `Identity` that stand there."""
    found: dict[str, Any] = {}
    provider, trust = fields.get("provider"), fields.get("trust_email")
    if provider is not None and provider[0] <= QUOTED:
        found["provider"] = provider[CONTENT]
        _check_preset(provider, draft=draft, where=where)
    if trust is not None and trust[CONTENT] is not None:
        found["trust_email"] = trust[CONTENT] == "true"
    for key in ("roles", "groups", "orgs"):
        node = fields.get(key)
        path = _path(node)
        if node is not None and path is not None:
            found[key] = path
            _check_editable(node, path, draft=draft, where=f"{quote(key)} of {where}")
    _refuse_orgs(fields, draft=draft, where=where)

    checks: dict[str, Callable[..., str | None]] = {
        "role_names": lambda node, *, where: _role(node, draft=draft, where=where),
        "org_names": lambda node, *, where: draft.org(node, where=where) if draft.multi_tenant else None,
        "permission_names": draft.permissions.name,
    }
    for key, check in checks.items():
        node = fields.get(key)
        if node is not None and node[0] == FIELDS:
            found[key] = _names(node, check=check, where=f"{quote(key)} of {where}")
    return found | _accepted(fields.get("accept"))


def _accepted(node: Node | None) -> dict[str, tuple[str, ...]]:
    """Return whose tokens count. What can't be read is left out: the policy is refused then."""
    if node is None or node[0] != FIELDS:
        return {}
    keys = {"iss": "issuers", "aud": "audiences"}
    listed = {key: tuple(dict.fromkeys(name[CONTENT] for name in texts(node[CONTENT].get(key)))) for key in keys}
    return {keys[key]: names for key, names in listed.items() if names}


def _role(node: Node, *, draft: Draft, where: str) -> str | None:
    if node[CONTENT] in draft.roles.names:
        return str(node[CONTENT])
    draft.roles.unknown(node, where=where)
    return None


def _check_preset(node: Node, *, draft: Draft, where: str) -> None:
    known = {"auto", *BY_NAME}
    if node[CONTENT] not in known:
        other = meant(node[CONTENT])
        hint = f"; did you mean {quote(other)}?" if other else draft.ledger.nearest(node[CONTENT], known)
        names = ", ".join(sorted(known))
        way_out = hint or f", expected one of {names}; write `generic`, and say where roles and groups stand"
        message = f"unknown provider {quote(node[CONTENT])} in {where}{way_out}"
        draft.ledger.error(node[POS], code="unknown-provider", message=message)


def _check_editable(node: Node, path: ClaimPath, *, draft: Draft, where: str) -> None:
    if path.path[0] in EDITABLE:
        # SECURITY: whoever signs in would write their own roles there.
        message = f"users can write {quote(path.path[0])} themselves, and {where} reads it; name another claim"
        draft.ledger.warning(node[POS], code="editable-claim", message=message)


def _refuse_orgs(fields: dict[str, Node], *, draft: Draft, where: str) -> None:
    if draft.multi_tenant is not False:
        return
    for key in ("orgs", "org_names"):
        if key in fields:
            message = f"{quote(key)} in {where}, but the policy has no orgs; remove it, or declare `orgs`"
            draft.ledger.error(fields[key][KEY_POS], code="org-given", message=message)


def _names(node: Node, *, check: Callable[..., str | None], where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for theirs, ours in node[CONTENT].items():
        if ours[0] <= QUOTED:
            name = check(ours, where=where)
            if name is not None:
                found[theirs] = name
    return found


def _path(node: Node | None) -> ClaimPath | None:
    """Return where a fact stands in the claims, or None when that is not said or was reported."""
    if node is None:
        return None
    if node[0] <= QUOTED:
        return ClaimPath(path=(node[CONTENT],))
    if node[0] == ITEMS:
        keys = tuple(item[CONTENT] for item in node[CONTENT])
        return None if None in keys else ClaimPath(path=keys)
    if node[0] != FIELDS:
        return None
    fields = node[CONTENT]
    path = _path(fields.get("claim"))
    own = {key: fields[key][CONTENT] for key in ("split", "field", "when_true") if key in fields}
    return None if path is None else replace(path, **own)


def read_sessions(draft: Draft) -> Sessions:
    """Read `sessions`."""
    fields = draft.sections.table("sessions")
    expire = fields.get("expire_with_token")
    return Sessions(
        max_age=draft.moments.duration(fields.get("max_age")),
        idle=draft.moments.duration(fields.get("idle")),
        expire_with_token=expire is not None and expire[CONTENT] == "true",
    )
