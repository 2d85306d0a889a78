"""Inline tests: claims as JSON means them, and what somebody with them can, can't and sees."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from stguard.errors import quote
from stguard.model import InlineTest, Membership
from stguard.policyfile.names import texts
from stguard.policyfile.node import CONTENT, FIELDS, ITEMS, PLAIN, POS, SPOILT, is_nothing
from stguard.policyfile.who import label

if TYPE_CHECKING:
    from stguard.policyfile.draft import Draft
    from stguard.policyfile.node import Node

_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,999})(?:\.[0-9]{1,999})?(?:[eE][+-]?[0-9]{1,9})?")
"""Numbers as RFC 8259, section 6, writes them; longer ones than anybody means stay text."""

_WORDS: Final[dict[str, Any]] = {"true": True, "false": False, "null": None, "": None}


def read_tests(draft: Draft) -> tuple[InlineTest, ...]:
    """Read the entries of `tests`."""
    found = [_read(node, draft=draft) for node in draft.sections.items("tests")]
    return tuple(test for test in found if test is not None)


def _read(node: Node, *, draft: Draft) -> InlineTest | None:
    fields: dict[str, Node] = node[CONTENT]
    where = _where(fields)
    states = [key for key in ("can", "cannot", "sees", "not_sees") if key in fields]
    if not states and node[POS] not in draft.blemishes.holes:
        message = f"{where} checks nothing; add `can`, `cannot`, `sees` or `not_sees`"
        draft.ledger.warning(node[POS], code="empty-test", message=message)
    can, cannot = (_permissions(fields.get(key), draft=draft, where=where) for key in ("can", "cannot"))
    sees, not_sees = (_pages(fields.get(key), draft=draft, where=where) for key in ("sees", "not_sees"))
    org = draft.org(fields.get("org"), where=where)
    at = draft.moments.time(fields.get("at"))
    memberships = _memberships(fields.get("memberships"), draft=draft, where=where)
    subject = fields.get("as")
    if subject is None or subject[0] == SPOILT:
        return None
    claims = json_value(subject) if subject[0] == FIELDS else None
    file, line, column = draft.ledger.place(node[POS])
    return InlineTest(
        name=_name(fields, claims=claims, org=org),
        file=file,
        line=line,
        column=column,
        claims=claims,
        roles=_stated(fields.get("roles")),
        groups=_stated(fields.get("groups")),
        memberships=memberships,
        org=org,
        at=at,
        can=can,
        cannot=cannot,
        sees=sees if "sees" in fields else None,
        not_sees=not_sees,
    )


def _where(fields: dict[str, Node]) -> str:
    name = fields.get("name")
    return f"test {quote(name[CONTENT])}" if name is not None and name[CONTENT] else label("test", fields={})


def _name(fields: dict[str, Node], *, claims: Any, org: str | None) -> str:  # noqa: ANN401  claims are of any shape
    """Return the name that stands there, or one that says who asks where and when."""
    given = fields.get("name")
    if given is not None and given[CONTENT]:
        return str(given[CONTENT])
    who = "anonymous"
    if claims is not None:
        who = next((str(claims[key]) for key in ("email", "name", "sub") if claims.get(key)), "somebody")
    at = fields.get("at")
    when = f" at {at[CONTENT]}" if at is not None and at[CONTENT] else ""
    return f"{who}{f' in {org}' if org else ''}{when}"


def _permissions(node: Node | None, *, draft: Draft, where: str) -> tuple[str, ...]:
    names = [draft.permissions.name(name, where=where) for name in texts(node)]
    return tuple(dict.fromkeys(name for name in names if name is not None))


def _pages(node: Node | None, *, draft: Draft, where: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for page in texts(node):
        if page[CONTENT] in draft.pages.names and page[CONTENT] != "*":
            found[page[CONTENT]] = None
        else:
            draft.pages.unknown(page, where=where)
    return tuple(found)


def _stated(node: Node | None) -> tuple[str, ...] | None:
    """Return names that an identity source would give: nothing when not stated, None when it could not say."""
    if node is not None and is_nothing(node):
        return None
    return tuple(dict.fromkeys(name[CONTENT] for name in texts(node)))


def _memberships(node: Node | None, *, draft: Draft, where: str) -> tuple[Membership, ...] | None:
    if node is None or node[0] != ITEMS:
        return None if node is not None and is_nothing(node) else ()
    found: list[Membership] = []
    for entry in node[CONTENT]:
        fields = entry[CONTENT] if entry[0] == FIELDS else {}
        org, name = fields.get("org"), fields.get("name")
        if draft.multi_tenant is False and org is not None:
            draft.org(org, where=where)
        if org is not None and org[CONTENT] is not None:
            found.append(
                Membership(
                    org=org[CONTENT],
                    name=None if name is None else name[CONTENT],
                    roles=_stated(fields.get("roles")),
                    permissions=_stated(fields.get("permissions")),
                )
            )
    return tuple(found)


def json_value(node: Node) -> Any:  # noqa: ANN401  JSON
    """Return what a node means in JSON: unquoted `true`, `false`, `null` and numbers are no text."""
    kind, content = node[0], node[CONTENT]
    if kind == FIELDS:
        return {key: json_value(value) for key, value in content.items()}
    if kind == ITEMS:
        return [json_value(item) for item in content]
    if kind != PLAIN:
        return content
    if content in _WORDS:
        return _WORDS[content]
    return json.loads(content) if _NUMBER.fullmatch(content) else content
