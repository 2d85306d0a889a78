"""The people whom a development provider knows: from a policy, or from a file of claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import yaml

from stguard.errors import ConfigurationError, quote
from stguard.model import EMPTY, ClaimIs, GroupIs, RoleIs, Who, WhoKind
from stguard.providers import BY_NAME, GENERIC

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from stguard.model import Assignment, ClaimPath, Claims, PolicyParts

NOT_SENT: Final = frozenset(
    {
        *("iss", "aud", "exp", "nbf", "iat", "auth_time", "nonce", "azp", "acr", "amr", "jti", "sid"),
        *("at_hash", "c_hash", "is_logged_in", "origin", "provider", "tokens"),
    }
)
"""Claims that belong to the token and to Streamlit, not to the person: the provider sets its own."""

EVERY_ORG: Final = "*"
VISITOR: Final = "visitor@example.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Describe somebody to sign in as.

    Attributes:
        sub: the subject identifier that the provider sends.
        name: a name to show.
        email: the e-mail; None when the claims hold none.
        note: what this person is for, in plain words; empty when there is nothing to say.
        claims: everything that the provider sends, `sub` left out.
    """

    sub: str
    name: str
    email: str | None = None
    note: str = ""
    claims: Claims = field(default_factory=dict)


def from_claims(claims: Claims, *, note: str = "") -> Person:
    """Make a person from claims, adding what a login needs: sub, name and, beside an e-mail, `email_verified`.

    Source: OpenID Connect Core 1.0, section 5.1 (standard claims).
    """
    sent = {key: value for key, value in claims.items() if key not in NOT_SENT}
    email = sent.get("email") if isinstance(sent.get("email"), str) else None
    sub = str(sent.pop("sub", None) or email or "someone")
    name = str(sent.get("name") or _readable(email or sub))
    added: dict[str, Any] = {"name": name}
    if email is not None:
        added["email_verified"] = True
    return Person(sub=sub, name=name, email=email, note=note, claims={**added, **sent})


def from_policy(parts: PolicyParts) -> tuple[Person, ...]:
    """Return the people whom a policy names: in its assignments, then in its inline tests, then a visitor.

    Somebody who is named by group, domain or claim only gets an invented e-mail, so that each assignment can be tried.
    A person from an assignment is in no other group than that assignment's, and has no role by claim, both known; an
    inline test's claims stand as they are, since they say what the provider sends.
    """
    tested = _tested_claims(parts)
    found: dict[str, Person] = {}
    for email, assignments in _by_email(parts.assignments).items():
        claims = tested.pop(email, None) or {"email": email, **_known(parts)}
        found[email] = from_claims(claims, note=_note(assignments))
    for email, claims in tested.items():
        found[email] = from_claims(claims, note="from a test of the policy")
    for assignment in parts.assignments:
        if not any(_matches(assignment.who, person, parts=parts) for person in found.values()):
            invented = _invented(assignment, parts=parts)
            if invented is not None:
                found.setdefault(str(invented.email), invented)
    if VISITOR not in found:
        found[VISITOR] = from_claims(
            {"email": VISITOR, "name": "Visitor", **_known(parts)}, note="signed in, nothing assigned"
        )
    return tuple(found.values())


def from_list(entries: Sequence[Claims | Person]) -> tuple[Person, ...]:
    """Return people from a list of claims, one mapping each; what is a person already stays as it is.

    Raises:
        ConfigurationError: an entry is no mapping, has neither `sub` nor `email`, or two share one `sub`.
    """
    people: dict[str, Person] = {}
    for number, entry in enumerate(entries, start=1):
        person = entry if isinstance(entry, Person) else _person(entry, number=number)
        if person.sub in people:
            raise ConfigurationError(
                f"person {number}: {quote(person.sub)} stands there twice; give each its own `sub`"
            )
        people[person.sub] = person
    if not people:
        raise ConfigurationError("nobody to sign in as; name at least one person by `email`")
    return tuple(people.values())


def _person(entry: object, *, number: int) -> Person:
    if not isinstance(entry, Mapping):
        raise ConfigurationError(f"person {number}: expected a mapping of claims, got {quote(entry)}")
    if not (entry.get("sub") or entry.get("email")):
        raise ConfigurationError(f"person {number}: expected `sub` or `email` among the claims, got neither")
    return from_claims({str(key): value for key, value in entry.items()})


def _where(error: yaml.YAMLError | UnicodeDecodeError) -> str:
    """Return in which line reading stopped, and why; empty when that isn't known."""
    if isinstance(error, UnicodeDecodeError):
        return "; save it as UTF-8"
    mark = getattr(error, "problem_mark", None)
    return f": line {mark.line + 1}: {getattr(error, 'problem', None) or 'unreadable'}" if mark else ""


def read(path: Path) -> list[dict[str, Any]]:
    """Read a YAML or JSON file: a list of claims, one mapping for each person.

    Raises:
        ConfigurationError: the file can't be read, or is not such a list.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: neither YAML nor JSON{_where(error)}") from error
    if not isinstance(content, list):
        raise ConfigurationError(f"{path}: expected a list of claims, one mapping for each person")
    try:
        from_list(content)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    return content


def _by_email(assignments: Iterable[Assignment]) -> dict[str, list[Assignment]]:
    found: dict[str, list[Assignment]] = {}
    for assignment in assignments:
        if assignment.who.kind is WhoKind.EMAIL:
            found.setdefault(assignment.who.value, []).append(assignment)
    return found


def _tested_claims(parts: PolicyParts) -> dict[str, Claims]:
    """Return for each e-mail of the inline tests its richest claims, the first of equals."""
    richest: dict[str, Claims] = {}
    for test in parts.tests:
        email = (test.claims or EMPTY).get("email")
        if test.claims is None or not isinstance(email, str):
            continue
        key = email.casefold()
        if key not in richest or len(test.claims) > len(richest[key]):
            richest[key] = test.claims
    return richest


def _note(assignments: Iterable[Assignment]) -> str:
    held = []
    for assignment in assignments:
        place = {None: "", EVERY_ORG: " in every org"}.get(assignment.org, f" in {assignment.org}")
        held.append(f"{assignment.role}{place}")
    return ", ".join(dict.fromkeys(held))


def _invented(assignment: Assignment, *, parts: PolicyParts) -> Person | None:
    who = assignment.who
    slug = "".join(c if c.isalnum() and c.isascii() else "-" for c in who.value.casefold()).strip("-") or "someone"
    claims: dict[str, Any]
    match who.kind:
        case WhoKind.DOMAIN:
            claims = {"email": f"someone@{who.value}", **_known(parts)}
        case WhoKind.GROUP:
            claims = {"email": f"{slug}@example.com", **_known(parts, groups=(who.value,))}
        case WhoKind.CLAIM:
            claims = {"email": f"{slug}@example.com", str(who.claim): who.value, **_known(parts)}
        case _:
            return None
    return from_claims(claims, note=f"{_note([assignment])}, by {who}")


def _matches(who: Who, person: Person, *, parts: PolicyParts) -> bool:
    """Tell whether somebody already stands for this who; only to avoid inventing one, never to decide anything."""
    match who.kind:
        case WhoKind.DOMAIN:
            return person.email is not None and person.email.casefold().endswith(f"@{who.value}")
        case WhoKind.GROUP:
            held = _at(person.claims, path=_path(parts, "groups"))
            return isinstance(held, list) and who.value in held
        case WhoKind.CLAIM:
            held = person.claims.get(str(who.claim))
            return held == who.value or (isinstance(held, list) and who.value in held)
        case _:
            return True


def _known(parts: PolicyParts, *, groups: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return groups and roles where the policy reads them, so that a person without any is known to have none.

    Groups only where the policy asks for them, roles only where it declares some.
    """
    claims: dict[str, Any] = {}
    if groups or _asks_for_groups(parts):
        _put(claims, path=_path(parts, "groups"), value=list(groups))
    if parts.roles:
        _put(claims, path=_path(parts, "roles"), value=[])
    return claims


def _put(claims: dict[str, Any], *, path: tuple[str, ...], value: list[str]) -> None:
    *outer, last = path
    for key in outer:
        claims = claims.setdefault(key, {})
    claims[last] = value


def _path(parts: PolicyParts, fact: str) -> tuple[str, ...]:
    """Return where the policy, or the preset that it names, reads roles or groups."""
    row = BY_NAME.get(parts.identity.provider, GENERIC)  # `auto`: nobody knows the issuer of a development provider
    where: ClaimPath | None = getattr(parts.identity, fact) or getattr(row, fact)
    if where is None:
        return (f"https://example.com/{fact}" if row.namespaced else fact,)
    return where.path


def _asks_for_groups(parts: PolicyParts) -> bool:
    whos = [*(a.who for a in parts.assignments), *(f.who for f in parts.forbids)]
    rules = [*(page.rule for page in parts.pages.values()), *parts.sections.values()]
    return any(who.kind is WhoKind.GROUP for who in whos) or any(_mentions_group(rule) for rule in rules)


def _mentions_group(rule: object) -> bool:
    if isinstance(rule, GroupIs):
        return True
    if isinstance(rule, ClaimIs | RoleIs):
        return False
    inner = getattr(rule, "rules", None) or (getattr(rule, "rule", None),)
    return any(_mentions_group(each) for each in inner if each is not None)


def _at(claims: Claims, *, path: tuple[str, ...]) -> object:
    value: object = claims
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _readable(text: str) -> str:
    """Return a name made from an e-mail or an id.

    >>> _readable("ann.lee@acme.com")
    'Ann Lee'
    """
    words = text.partition("@")[0].replace(".", " ").replace("_", " ").replace("-", " ").split()
    return " ".join(word.capitalize() for word in words) or text
