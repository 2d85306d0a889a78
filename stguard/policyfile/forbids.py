"""Forbids: what is denied to whom, whatever roles they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stguard.errors import quote
from stguard.model import Forbid
from stguard.policyfile.names import texts
from stguard.policyfile.node import CONTENT, POS
from stguard.policyfile.who import label

if TYPE_CHECKING:
    from stguard.policyfile.draft import Draft
    from stguard.policyfile.node import Node
    from stguard.policyfile.who import Ids, People

_EVERY_PAGE: Final = "*"


def read_forbids(draft: Draft, *, people: People, ids: Ids) -> tuple[Forbid, ...]:
    """Read the entries of `forbid`."""
    found: dict[object, Forbid] = {}
    entries = draft.sections.items("forbid")
    stated = [ids.given(node[CONTENT]) if "id" in node[CONTENT] else None for node in entries]
    for node, given in zip(entries, stated, strict=True):
        forbid = _read(node, draft=draft, people=people, stated=given)
        if forbid is not None:
            # SECURITY: by what they say, not by id: two made of different keys may read alike, and none may be lost.
            said = (forbid.who, frozenset(forbid.permissions), frozenset(forbid.pages), forbid.org)
            found.setdefault(given or said, forbid)
    return tuple(found.values())


def _read(node: Node, *, draft: Draft, people: People, stated: str | None) -> Forbid | None:
    fields: dict[str, Node] = node[CONTENT]
    where = label("forbid", fields=fields)
    named: list[str] = []
    permissions: dict[str, None] = {}
    for permission in texts(fields.get("permission")):
        named.append(permission[CONTENT])
        permissions.update(dict.fromkeys(draft.permissions.expand(permission, where=where)))
    pages: dict[str, None] = {}
    for page in texts(fields.get("page")):
        named.append(f"page:{page[CONTENT]}")
        pages.update(dict.fromkeys(_pages(page, draft=draft, where=where)))
    org = draft.org(fields.get("org"), where=where)
    who = people.read(fields, what="forbid")
    if not named and any(key in fields and fields[key][CONTENT] is not None for key in ("permission", "page")):
        message = f"{where} names no permission and no page; remove it, or name one"
        draft.ledger.error(node[POS], code="forbid-nothing", message=message)
    if who is None or not (permissions or pages):
        return None
    reason = fields.get("reason")
    made = f"not {','.join(sorted(set(named)))}{f'@{org}' if org else ''}:{who[1]}"
    return Forbid(
        stated or made, who[0], tuple(permissions), tuple(pages), org, None if reason is None else reason[CONTENT]
    )


def _pages(node: Node, *, draft: Draft, where: str) -> tuple[str, ...]:
    """Return the listed pages that a name in a forbid stands for; `*` for each, the rule of unlisted ones too."""
    text: str = node[CONTENT]
    if text == _EVERY_PAGE and draft.pages.names:
        return tuple(dict.fromkeys((*draft.pages.names, _EVERY_PAGE)))
    if text in draft.pages.names:
        return (text,)
    if text == _EVERY_PAGE and not draft.pages.open:
        message = f"{where} names every page, but the policy has no `pages`"
        draft.ledger.error(node[POS], code="forbid-nothing", message=message)
    elif "*" in text and text != _EVERY_PAGE:
        message = f"wildcard {quote(text)} in {where}: pages are named one by one, or all of them with `*`"
        draft.ledger.error(node[POS], code="wildcard-part", message=message)
    else:
        draft.pages.unknown(node, where=where)
    return ()
