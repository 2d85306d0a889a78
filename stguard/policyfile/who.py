"""Whom an entry means: exactly one of the keys `email`, `domain`, `group`, `claim`, `sub`, `role`, `everyone`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stguard.errors import quote
from stguard.model import Who, WhoKind
from stguard.naming import is_public_mail_domain, normalise
from stguard.policyfile.node import CONTENT, FIELDS, KEY_POS, POS, QUOTED

if TYPE_CHECKING:
    from stguard.policyfile.draft import Draft
    from stguard.policyfile.node import Node

_KINDS: Final = {kind.value: kind for kind in WhoKind}


class People:
    """Read whom entries mean, each text once."""

    def __init__(self, *, draft: Draft) -> None:
        """Take what the policy declares."""
        self._draft = draft
        self._known: dict[tuple[str, str], tuple[Who, str] | None] = {}

    def read(self, fields: dict[str, Node], *, what: str, but: str = "") -> tuple[Who, str] | None:
        """Return whom an entry means, and the same as text; None when there is no usable key.

        Args:
            fields: the keys of the entry.
            what: what the entry is, for messages.
            but: a key that means something else in this entry.
        """
        found: Node | None = None
        name = ""
        for key, value in fields.items():
            if key in _KINDS and key != but:
                if found is not None:
                    return None
                found, name = value, key
        if found is None or found[CONTENT] is None:
            return None
        if found[0] > QUOTED:
            return self._claim(found)
        known = (name, found[CONTENT])
        # A problem is reported at each place, so only what is fine is remembered.
        read = self._known.get(known)
        if read is None:
            who = self._text(name, node=found, what=what)
            if who is None:
                return None
            read = self._known[known] = (who, str(who))
        return read

    def _text(self, name: str, *, node: Node, what: str) -> Who | None:
        text: str = node[CONTENT]
        ledger = self._draft.ledger
        match _KINDS[name]:
            case WhoKind.EMAIL:
                value = email(node, draft=self._draft)
            case WhoKind.DOMAIN:
                value = domain(node, draft=self._draft)
                if value and is_public_mail_domain(value) and what == "assignment":
                    message = f"anybody may open a mailbox in {quote(value)}; name e-mails instead"
                    ledger.warning(node[POS], code="public-mail-domain", message=message)
                    return Who(WhoKind.DOMAIN, value)
            case WhoKind.SUB:
                value = text if all(text.rpartition("|")) else None
                if value is None:
                    message = f"expected `provider|sub` or `iss|sub`, got {quote(text)}"
                    ledger.error(node[POS], code="sub-form", message=message)
            case WhoKind.ROLE:
                value = text if text in self._draft.roles.names else None
                if value is None:
                    self._draft.roles.unknown(node, where=f"a {what}")
            case WhoKind.GROUP | WhoKind.EVERYONE | WhoKind.CLAIM:
                value = text
        return None if value is None else Who(_KINDS[name], value)

    def _claim(self, node: Node) -> tuple[Who, str] | None:
        if node[0] != FIELDS or len(node[CONTENT]) != 1:
            return None
        claim, value = next(iter(node[CONTENT].items()))
        if value[0] > QUOTED:
            return None
        who = Who(WhoKind.CLAIM, value[CONTENT], claim)
        return who, str(who)


def email(node: Node, *, draft: Draft) -> str | None:
    """Return the normalised e-mail in a node, or None when that was reported."""
    text: str = node[CONTENT]
    value = normalise(text)
    local, _, host = value.rpartition("@")
    if local and host and value.split() == [value]:
        return value
    hint = "; for everyone in a domain write `domain`" if text.startswith("@") or "@" not in text else ""
    message = f"expected an e-mail such as `ann@acme.com`, got {quote(text)}{hint}"
    draft.ledger.error(node[POS], code="email-form", message=message)
    return None


def domain(node: Node, *, draft: Draft) -> str | None:
    """Return the normalised domain in a node, or None when that was reported."""
    text: str = node[CONTENT]
    value = normalise(text)
    if value and "@" not in value and not value.startswith((".", "*")) and value.split() == [value]:
        return value
    hint = ""
    if text.startswith("@") and text.count("@") == 1:
        hint = f"; write {quote(text[1:])}"
    elif text.startswith((".", "*")):
        hint = f"; write {quote(text.lstrip('.*'))}: subdomains are named one by one"
    elif "@" in text:
        hint = "; for one person write `email`"
    message = f"expected a domain such as `acme.com`, got {quote(text)}{hint}"
    draft.ledger.error(node[POS], code="domain-form", message=message)
    return None


def label(kind: str, *, fields: dict[str, Node]) -> str:
    """Return how messages name an entry: by its id when it has one."""
    node = fields.get("id")
    return f"{kind} {quote(node[CONTENT])}" if node is not None and node[CONTENT] else f"a{_n(kind)} {kind}"


def _n(word: str) -> str:
    return "n" if word[0] in "aeiou" else ""


class Ids:
    """Keep the ids of assignments, forbids and separations apart: a decision names the one that decided."""

    def __init__(self, *, draft: Draft) -> None:
        """Start with none."""
        self._draft = draft
        self._places: dict[str, int] = {}

    def given(self, fields: dict[str, Node]) -> str | None:
        """Return the id that an entry states, or None without a usable one."""
        node = fields.get("id")
        if node is None or not node[CONTENT]:
            return None
        text: str = node[CONTENT]
        if text in self._places:
            taken = self._draft.ledger.line(self._places[text], seen_from=node[KEY_POS])
            message = f"id {quote(text)} is taken in {taken}; choose another, or leave it out"
            self._draft.ledger.error(node[KEY_POS], code="duplicate-id", message=message)
            return None
        self._places[text] = node[POS]
        return text
