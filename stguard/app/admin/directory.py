"""The people the page knows: who signed in since the start, and whom the policy names.

Each is somebody the policy can be asked about: a subject made under the policy in force now, not when they were seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from stguard.analysis.people import rule_keys
from stguard.app.screens import one_line
from stguard.app.standing import subject_with
from stguard.claims import ISSUER_FORM
from stguard.model import Who, WhoKind
from stguard.naming import normalise

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stguard.app.recent import Recent, Seen
    from stguard.model import Subject
    from stguard.policy import Policy

LONGEST: Final = 320
"""Longest text taken for an e-mail, in characters: 64 before the `@`, 255 after."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Person:
    """Know one person.

    Attributes:
        key: what the page's widgets call them: the who-key of `who`.
        who: how a policy names them.
        name: a name to show; None when nobody said one.
        seen: what is remembered from their sign-in; None for who has not signed in since the start.
    """

    key: str
    who: Who
    name: str | None = None
    seen: Seen | None = None

    @property
    def label(self) -> str:
        """Return name and e-mail or id, on one line and without Markdown."""
        value = one_line(self.who.value)
        name = one_line(self.name or "")
        return f"{name} · {value}" if name and name != value else value

    @property
    def short(self) -> str:
        """Return the name, else the e-mail or id, on one line and without Markdown."""
        return one_line(self.name or "") or one_line(self.who.value)

    def subject(self, policy: Policy) -> Subject | None:
        """Return them as a policy sees them; None when their account or their token counts as nobody.

        Of who has not signed in only the e-mail or the id is known; groups and roles that the sign-in brings aren't.
        """
        if self.seen is not None:
            return subject_with(self.seen.claims, self.seen.facts, policy)
        return policy.subject(_claims(self.who))


def people(policy: Policy, recent: Recent) -> dict[str, Person]:
    """Return by key whom the page knows: who signed in, the latest first, then whom only the policy names."""
    found: dict[str, Person] = {}
    ids: set[str] = set()
    for seen in recent.people():
        who = Who(WhoKind.EMAIL, seen.email) if seen.email is not None else Who(WhoKind.SUB, seen.key)
        person = Person(key=str(who), who=who, name=seen.name, seen=seen)
        if person.key not in found:
            found[person.key] = person
            ids.add(seen.key)
    named = dict.fromkeys(who for who in _named(policy) if str(who) not in found and who.value not in ids)
    for who in sorted(named, key=str):
        found[str(who)] = Person(key=str(who), who=who)
    return found


def typed(text: str) -> Person | None:
    """Return somebody nobody knows yet by an e-mail that was typed; None for what is none."""
    text = text.strip()
    local, _, domain = text.rpartition("@")
    if not local or not domain or len(text) > LONGEST or not text.isprintable() or any(c.isspace() for c in text):
        return None
    who = Who(WhoKind.EMAIL, normalise(text))
    return Person(key=str(who), who=who)


def _named(policy: Policy) -> Iterator[Who]:
    parts = policy.parts
    given: Sequence[Any] = (*parts.assignments, *parts.forbids, *parts.revocations)
    keys = [each.who for each in given]
    keys += [who for rule in (*(page.rule for page in parts.pages.values()), *parts.sections.values())
             for who in rule_keys(rule)]  # fmt: skip
    yield from (who for who in keys if who.kind in (WhoKind.EMAIL, WhoKind.SUB))


def recorded(subject: str | None, email: str | None) -> dict[str, Any]:
    """Return the claims of somebody of whom only an id, a verified e-mail or both were written down."""
    by_email = {} if email is None else {"email": email, "email_verified": True}
    return by_email if subject is None else {**_claims(Who(WhoKind.SUB, subject)), **by_email}


def _claims(who: Who) -> dict[str, Any]:
    if who.kind is WhoKind.EMAIL:
        return {"sub": who.value, "email": who.value, "email_verified": True}
    prefix, _, sub = who.value.partition("|")
    return {("iss" if ISSUER_FORM.search(prefix) else "provider"): prefix, "sub": sub}
