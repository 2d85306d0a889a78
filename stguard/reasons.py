"""Say why: turn a view and a question into a decision with its reason, what is missing, and the steps.

The engine has already answered; nothing here changes an answer. Words are for admins and logs.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice, product
from typing import TYPE_CHECKING, Final

from stguard.engine import (
    FALSE,
    TRUE,
    UNKNOWN,
    View,
    bits,
    block_value,
    blocks_of,
    fact_of,
    holdings_of,
    page_value,
    permission_value,
    rule_value,
    view_of,
)
from stguard.errors import quote
from stguard.model import (
    EVERY_ORG,
    PAGE_ACTION,
    AllOf,
    AnyOf,
    ClaimIs,
    Decision,
    DomainIs,
    EmailIs,
    GroupIs,
    Not,
    OrgIs,
    PermissionIs,
    Public,
    Reason,
    RoleIs,
    Rule,
    SignedIn,
    Who,
    WhoKind,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stguard.engine import Block

WAYS_LIMIT: Final = 64
"""Most ways followed at each step of a rule; a rule with more is still decided exactly."""

SHOWN_LIMIT: Final = 8
"""Most things listed as missing."""

Way = tuple[str, ...]
"""Things that together would change an answer."""

WORDS: Final = {TRUE: "yes", UNKNOWN: "unknown", FALSE: "no"}

BLAME: Final = (
    Reason.NOT_SIGNED_IN,
    Reason.FORBIDDEN,
    Reason.SEPARATED,
    Reason.NO_ORG,
    Reason.NOT_A_MEMBER,
    Reason.UNKNOWN,
    Reason.NO_RULE,
    Reason.NOT_GRANTED,
)
"""Which reason is told when several parts of a rule fail: the one that someone can act on first."""

Cause = tuple[Reason, str | None]


# --- the three questions ---


def permission(view: View, name: str, *, at: float) -> Decision:
    """Decide and explain a permission."""
    return _decision(view, PermissionIs((name,)), action=name, at=at)


def page(view: View, name: str, *, rule: Rule | None, at: float) -> Decision:
    """Decide and explain a page. Without a rule it is denied."""
    action = PAGE_ACTION + name
    if rule is None:
        return Decision(
            allowed=False,
            reason=Reason.NOT_SIGNED_IN if view.subject is None else Reason.NO_RULE,
            action=action,
            org=view.asked,
            at=at,
            missing=("a rule for the page in the policy",),
            trace=(*_opening(view, at=at), f"page {quote(name)} has no rule: no"),
        )
    blocks = list(blocks_of(name, view))
    return _decision(view, rule, action=action, at=at, page=name, blocks=blocks)


def rule(view: View, asked: Rule, *, at: float) -> Decision:
    """Decide and explain a rule that code asks for."""
    return _decision(view, asked, action=in_words(asked), at=at)


def _decision(
    view: View, asked: Rule, *, action: str, at: float, page: str | None = None, blocks: Sequence[Block] = ()
) -> Decision:
    value = rule_value(asked, view) if page is None else page_value(page, view, rule=asked)
    trace = [*_opening(view, at=at), *_steps(view, asked, depth=0)]
    trace += [_block_step(view, block) for block in blocks]
    if value == TRUE:
        reason, decided = _credit(view, asked, at=at)
        missing: tuple[str, ...] = ()
        if decided is None and page is not None:
            decided = PAGE_ACTION + page
    else:
        reason, decided = _blame_page(view, asked, blocks=blocks)
        missing = _missing(view, asked, blocks=blocks, at=at)
    trace.append(f"{'allowed' if value == TRUE else 'refused'}: {reason.value}" + (f" by {decided}" if decided else ""))
    return Decision(
        allowed=value == TRUE,
        reason=reason,
        action=action,
        org=view.asked,
        at=at,
        rule=decided,
        missing=missing,
        trace=tuple(trace),
    )


# --- why it is allowed ---


def _credit(view: View, asked: Rule, *, at: float) -> Cause:
    """Return why a rule that is true holds, and the id of the assignment that made it so."""
    match asked:
        case Public():
            return Reason.PUBLIC, None
        case SignedIn():
            return Reason.SIGNED_IN, None
        case PermissionIs(names):
            number = next(
                view.tables.permission_index[name]
                for name in names
                if permission_value(view, view.tables.permission_index[name]) == TRUE
            )
            return Reason.GRANTED, _granting(view, number, at=at)
        case RoleIs(names):
            mask = sum(1 << view.tables.role_index[name] for name in set(names))
            return Reason.GRANTED, _assigning(view, mask, at=at)
        case AnyOf(rules):
            causes = [_credit(view, part, at=at) for part in rules if rule_value(part, view) == TRUE]
            return min(causes, key=lambda cause: (_OPENNESS.index(cause[0]), cause[1] is None))
        case AllOf(rules):
            causes = [_credit(view, part, at=at) for part in rules]
            return max(causes, key=lambda cause: (_OPENNESS.index(cause[0]), cause[1] is not None))
        case _:
            return Reason.GRANTED, None


_OPENNESS: Final = (Reason.PUBLIC, Reason.SIGNED_IN, Reason.GRANTED)


def _granting(view: View, number: int, *, at: float) -> str | None:
    mask = sum(1 << role for role in bits(view.direct) if view.tables.grants[role] >> number & 1)
    return _assigning(view, mask, at=at, exact=True)


def _assigning(view: View, mask: int, *, at: float, exact: bool = False) -> str | None:
    """Return the first id, in the order of ids, of the assignments that give one of some roles here and now."""
    if view.subject is None:
        return None
    certain = holdings_of(view.tables, view.subject).certain
    ids = [
        row[4]
        for org in ({view.org, EVERY_ORG} if view.tables.multi_tenant else {None})
        for row in certain.get(org, ())
        if row[2] <= at < row[3] and ((1 << row[0]) if exact else view.tables.holds[row[0]]) & mask
    ]
    return min(ids, default=None)


# --- why it is refused ---


def _blame_page(view: View, asked: Rule, *, blocks: Sequence[Block]) -> Cause:
    if view.subject is None:
        return Reason.NOT_SIGNED_IN, None
    for block in blocks:
        if block_value(block, view) == TRUE:
            return Reason.FORBIDDEN, block.id
    if rule_value(asked, view) != TRUE:
        return _blame(view, asked)
    block = next(block for block in blocks if block_value(block, view) == UNKNOWN)
    return _no_fact(view, org_matters=block.org is not None or block.who.kind is WhoKind.ROLE), block.id


def _blame(view: View, asked: Rule) -> Cause:
    """Return why a rule that isn't true fails, for somebody who is signed in."""
    match asked:
        case AnyOf(rules):
            return _worst(_blame(view, part) for part in rules)
        case AllOf(rules):
            least = min(rule_value(part, view) for part in rules)
            return _worst(_blame(view, part) for part in rules if rule_value(part, view) == least)
        case PermissionIs(names):
            return _worst(_blame_permission(view, view.tables.permission_index[name]) for name in names)
        case RoleIs(names):
            return _worst(_blame_role(view, view.tables.role_index[name]) for name in names)
        case OrgIs():
            return (_no_fact(view, org_matters=True) if view.org is None else Reason.NOT_GRANTED), None
        case _:
            if rule_value(asked, view) == FALSE:
                return Reason.NOT_GRANTED, None
            return _no_fact(view, org_matters=_asks_in_org(asked)), None


def _worst(causes: Iterable[Cause]) -> Cause:
    return min(causes, key=lambda cause: (BLAME.index(cause[0]), cause[1] or ""))


def _asks_in_org(asked: Rule) -> bool:
    match asked:
        case AnyOf(rules) | AllOf(rules):
            return any(_asks_in_org(part) for part in rules)
        case Not(part):
            return _asks_in_org(part)
        case _:
            return isinstance(asked, PermissionIs | RoleIs | OrgIs)


def _no_fact(view: View, *, org_matters: bool) -> Reason:
    if org_matters and view.tables.multi_tenant and view.org is None:
        if view.asked is not None and view.separated:
            return Reason.SEPARATED
        if view.asked is None:
            return Reason.NO_ORG
        return Reason.UNKNOWN if any(_may_hold(view)) else Reason.NOT_A_MEMBER
    return Reason.UNKNOWN


def _may_hold(view: View) -> Iterator[str]:
    """Yield the facts that aren't known and by which the subject might hold a role in the org that is asked for."""
    subject = view.subject
    if subject is None:
        return
    if "memberships" in subject.unknown:
        yield "memberships"
    for fact in holdings_of(view.tables, subject).doubts:
        rows = view.tables.doubtful[fact]
        there = (row for org in (view.asked, EVERY_ORG) for row in rows.get(org, ()))
        if any(since < view.until and view.since < until for _, _, since, until, _ in there):
            yield fact


def _blame_permission(view: View, number: int) -> Cause:
    mask = 1 << number
    for block in view.tables.blocks:
        if block.permissions & mask and block_value(block, view) == TRUE:
            return Reason.FORBIDDEN, block.id
    if view.granted & mask:
        block = next(b for b in view.tables.blocks if b.permissions & mask and block_value(b, view) == UNKNOWN)
        return _no_fact(view, org_matters=block.org is not None or block.who.kind is WhoKind.ROLE), block.id
    for role in bits(view.separated):
        if view.tables.grants[role] & mask:
            return Reason.SEPARATED, _separating(view, role)
    if view.tables.multi_tenant and view.org is None:
        return _no_fact(view, org_matters=True), None
    return (Reason.UNKNOWN if view.maybe_granted & mask else Reason.NOT_GRANTED), None


def _blame_role(view: View, number: int) -> Cause:
    if view.separated >> number & 1:
        return Reason.SEPARATED, _separating(view, number)
    if view.maybe_roles >> number & 1:
        return _no_fact(view, org_matters=True), None
    return Reason.NOT_GRANTED, None


def _separating(view: View, role: int) -> str | None:
    """Return the id of the separation that made a role not count."""
    held = view.separated | view.roles
    for identifier, together in view.tables.separations:
        if (held & together).bit_count() > 1 and view.tables.holds[role] & together:
            return identifier
    return next((i for i, together in view.tables.separations if (held & together).bit_count() > 1), None)


# --- what would change it ---


def _missing(view: View, asked: Rule, *, blocks: Sequence[Block], at: float) -> tuple[str, ...]:
    if view.subject is None:
        return ("to sign in",)
    if view.asked is None and (elsewhere := _orgs_allowing(view, asked, blocks=blocks, at=at)):
        return tuple(_active(org) for org in elsewhere[:SHOWN_LIMIT])
    lifted = [_lift(view, block) for block in blocks if block_value(block, view) != FALSE]
    ways = _together([_to_true(view, asked, at=at), *lifted])
    if not ways:
        return ("a change of the policy",)
    shortest = min(len(way) for way in ways)
    listed = dict.fromkeys(" and ".join(way) for way in ways if len(way) == shortest)
    return tuple(islice(listed, SHOWN_LIMIT))


def _together(parts: Sequence[Sequence[Way]]) -> list[Way]:
    """Return the ways that take one way of each part."""
    found = islice(product(*(part[:WAYS_LIMIT] for part in parts)), WAYS_LIMIT)
    return [tuple(dict.fromkeys(step for way in chosen for step in way)) for chosen in found]


def _to_true(view: View, asked: Rule, *, at: float) -> list[Way]:
    if rule_value(asked, view) == TRUE:
        return [()]
    match asked:
        case AnyOf(rules):
            return [way for part in rules for way in _to_true(view, part, at=at)][:WAYS_LIMIT]
        case AllOf(rules):
            return _together([_to_true(view, part, at=at) for part in rules])
        case Not(part):
            return _to_false(view, part, at=at)
        case PermissionIs(names):
            return [way for name in names for way in _to_permission(view, name, at=at)][:WAYS_LIMIT]
        case RoleIs(names):
            return [way for name in names for way in _to_role(view, view.tables.role_index[name])]
        case OrgIs(names):
            return [(_active(name),) for name in names]
        case _:
            return _to_fact(view, asked)


def _to_fact(view: View, asked: Rule) -> list[Way]:
    unknown = view.subject.unknown if view.subject is not None else {}
    match asked:
        case GroupIs(names):
            known = [(f"to know the groups: {unknown['groups']}",)] if "groups" in unknown else []
            return [*known, *((f"group {quote(name)}",) for name in names)]
        case EmailIs(names):
            known = [(f"a verified e-mail: {unknown['email']}",)] if "email" in unknown else []
            return [*known, *((f"e-mail {quote(name)}",) for name in names)]
        case DomainIs(names):
            known = [(f"a verified e-mail: {unknown['email']}",)] if "email" in unknown else []
            return [*known, *((f"an e-mail in {quote(name)}",) for name in names)]
        case ClaimIs(claim, values):
            return [(f"claim {quote(claim)} with {quote(value)}",) for value in values]
        case _:
            return [("to sign in",)]


def _to_false(view: View, asked: Rule, *, at: float) -> list[Way]:
    if rule_value(asked, view) == FALSE:
        return [()]
    match asked:
        case Public() | SignedIn():
            return []
        case AnyOf(rules):
            return _together([_to_false(view, part, at=at) for part in rules])
        case AllOf(rules):
            return [way for part in rules for way in _to_false(view, part, at=at)][:WAYS_LIMIT]
        case Not(part):
            return _to_true(view, part, at=at)
        case RoleIs(names) if view.tables.multi_tenant and view.org is None:
            return [(f"an active org, to know the role {quote(name)} there",) for name in names]
        case _:
            return [(_unlike(view, asked),)]


def _unlike(view: View, asked: Rule) -> str:
    unknown = view.subject.unknown if view.subject is not None else {}
    fact = _FACT.get(type(asked), "")
    if rule_value(asked, view) == UNKNOWN and fact in unknown:
        return f"to know the {'e-mail' if fact == 'email' else fact}: {unknown[fact]}"
    return f"not {in_words(asked)}"


_FACT: Final[dict[type, str]] = {GroupIs: "groups", EmailIs: "email", DomainIs: "email", RoleIs: "roles"}


def _to_role(view: View, number: int) -> list[Way]:
    tables = view.tables
    if view.separated >> number & 1:
        return [(_unseparated(view, number),)]
    ways: list[Way] = [(f"role {quote(tables.role_names[number])}{_place(view, number)}",)]
    return ways + _to_know(view, number)


def _to_know(view: View, number: int) -> list[Way]:
    """Return what would have to be known, when a role might be held for all that is known."""
    subject = view.subject
    if subject is None or not view.maybe_roles >> number & 1:
        return []
    place = view.org or view.asked
    if place is None and view.tables.multi_tenant:
        return []
    facts = ["memberships", f"roles:{place}"] if view.tables.multi_tenant else []
    if not view.tables.multi_tenant or view.tables.cross_org:
        facts.append("roles")
    mask = 1 << number
    for fact in holdings_of(view.tables, subject).doubts:
        rows = view.tables.doubtful[fact]
        if any(view.tables.holds[row[0]] & mask for org in (place, EVERY_ORG) for row in rows.get(org, ())):
            facts.append(fact)
    return [(f"to know the {fact.partition(':')[0]}: {_why(view, fact)}",) for fact in facts if _why(view, fact)]


def _why(view: View, fact: str) -> str:
    if view.subject is not None and fact in view.subject.unknown:
        return view.subject.unknown[fact]
    return f"the identity provider sent no usable {quote(fact[6:])}" if fact.startswith("claim:") else ""


def _place(view: View, number: int) -> str:
    if not view.tables.multi_tenant:
        return ""
    org = view.org or view.asked
    if org is not None:
        return f" in org {quote(org)}"
    return " in every org" if view.tables.cross_org >> number & 1 else " in an org, and that org as the active one"


def _unseparated(view: View, number: int) -> str:
    identifier = _separating(view, number)
    together = dict(view.tables.separations).get(identifier or "", 0)
    names = [quote(view.tables.role_names[role]) for role in bits(together & (view.separated | view.roles))]
    return f"to hold only one of the roles {', '.join(names)}"


def _to_permission(view: View, name: str, *, at: float) -> list[Way]:
    tables = view.tables
    number = tables.permission_index[name]
    mask = 1 << number
    if permission_value(view, number) == TRUE:
        return [()]
    blocks = [b for b in tables.blocks if b.permissions & mask and block_value(b, view) != FALSE]
    lifted = [_lift(view, block) for block in blocks]
    if view.granted & mask:
        return _together(lifted)
    elsewhere: list[Way] = [(_active(org),) for org in _orgs_allowing(view, PermissionIs((name,)), blocks=(), at=at)]
    granting = [role for role in range(len(tables.grants)) if tables.grants[role] & mask]
    among = sum(1 << role for role in granting)
    # A role that inherits another one that would do is never the least that is missing.
    least = [role for role in granting if not tables.holds[role] & among & ~(1 << role)]
    if tables.multi_tenant and view.org is None and view.asked is None:
        everywhere = [role for role in least if tables.cross_org >> role & 1]
        least = everywhere if everywhere or elsewhere else least
    ways = [way for role in least for way in _to_role(view, role)][:WAYS_LIMIT]
    ways = sorted(dict.fromkeys(ways), key=lambda way: way[0].startswith("to know"))
    return elsewhere + (_together([ways, *lifted]) if ways else [])


def _orgs_allowing(view: View, asked: Rule, *, blocks: Sequence[Block], at: float) -> list[str]:
    """Return the orgs of the subject in which the rule holds and nothing blocks it, where no org is active."""
    subject = view.subject
    if subject is None or not view.tables.multi_tenant or view.org is not None:
        return []
    orgs = {*subject.memberships, *(org for org in holdings_of(view.tables, subject).certain if org not in (None, "*"))}
    listed = sorted(org for org in orgs if isinstance(org, str))[:WAYS_LIMIT]
    views = ((org, view_of(view.tables, subject, org=org, at=at)) for org in listed)
    return [
        org
        for org, other in views
        if rule_value(asked, other) == TRUE and all(block_value(block, other) == FALSE for block in blocks)
    ]


def _active(org: str) -> str:
    return f"org {quote(org)} as the active one"


def _lift(view: View, block: Block) -> list[Way]:
    """Return what would make a forbid not apply."""
    if block_value(block, view) == TRUE or view.subject is None:
        return [(f"not {_who_in_words(block.who)} (forbid {quote(block.id)})",)]
    if view.tables.multi_tenant and view.org is None and (block.org is not None or block.who.kind is WhoKind.ROLE):
        return [(f"an active org where forbid {quote(block.id)} doesn't apply",)]
    fact = fact_of(block.who)
    why = _why(view, fact) or "it could not be known"
    return [(f"to know the {fact.partition(':')[0]}: {why}",)]


# --- words ---


def _who_in_words(who: Who) -> str:
    match who.kind:
        case WhoKind.EVERYONE:
            return "to be signed in"
        case WhoKind.CLAIM:
            return f"to have claim {quote(who.claim)} with {quote(who.value)}"
        case WhoKind.GROUP:
            return f"to be in group {quote(who.value)}"
        case WhoKind.ROLE:
            return f"to hold role {quote(who.value)}"
        case WhoKind.DOMAIN:
            return f"to have an e-mail in {quote(who.value)}"
        case WhoKind.EMAIL | WhoKind.SUB:
            return f"to be {quote(who.value)}"


def in_words(asked: Rule) -> str:
    """Return a rule as one line: `role admin`, `any(permission report:view, group staff)`."""
    match asked:
        case Public():
            return "public"
        case SignedIn():
            return "signed_in"
        case AnyOf(rules):
            return f"any({', '.join(in_words(part) for part in rules)})"
        case AllOf(rules):
            return f"all({', '.join(in_words(part) for part in rules)})"
        case Not(part):
            return f"not({in_words(part)})"
        case ClaimIs(claim, values):
            return f"claim {claim}: {' or '.join(values)}"
        case RoleIs(names) | PermissionIs(names) | GroupIs(names) | EmailIs(names) | DomainIs(names) | OrgIs(names):
            return f"{_KIND[type(asked)]} {' or '.join(names)}"


_KIND: Final[dict[type, str]] = {
    RoleIs: "role",
    PermissionIs: "permission",
    GroupIs: "group",
    EmailIs: "email",
    DomainIs: "domain",
    OrgIs: "org",
}


def _opening(view: View, *, at: float) -> list[str]:
    moment = datetime.fromtimestamp(at, tz=UTC).isoformat(timespec="seconds")
    if view.subject is None:
        return [f"at {moment}: nobody is signed in"]
    lines = [f"at {moment}: subject {quote(view.subject.id) if view.subject.id else 'without an id'}"]
    if view.tables.multi_tenant:
        if view.org is not None:
            lines.append(f"active org {quote(view.org)}")
        elif view.asked is not None:
            lines.append(f"org {quote(view.asked)} doesn't count: the subject is not a member there")
        else:
            lines.append("no active org")
    names = view.tables.role_names
    held = ", ".join(quote(names[role]) for role in islice(bits(view.direct), SHOWN_LIMIT)) or "none"
    lines.append(f"roles held: {held}")
    if view.separated:
        lines.append("held but not counting: " + ", ".join(quote(names[role]) for role in bits(view.separated)))
    lines += [f"unknown: {why}" for fact, why in view.subject.unknown.items() if not fact.startswith("sub:")]
    return lines


def _steps(view: View, asked: Rule, *, depth: int) -> list[str]:
    indent = "  " * depth
    value = WORDS[rule_value(asked, view)]
    match asked:
        case AnyOf(rules) | AllOf(rules):
            word = "any" if isinstance(asked, AnyOf) else "all"
            return [f"{indent}{word}: {value}", *(s for part in rules for s in _steps(view, part, depth=depth + 1))]
        case Not(part):
            return [f"{indent}not: {value}", *_steps(view, part, depth=depth + 1)]
        case PermissionIs(names):
            lines = [f"{indent}{in_words(asked)}: {value}"]
            for name in names if view.subject is not None else ():
                mask = 1 << view.tables.permission_index[name]
                granted = TRUE if view.granted & mask else UNKNOWN if view.maybe_granted & mask else FALSE
                lines.append(f"{indent}  {quote(name)} granted: {WORDS[granted]}")
                lines += [indent + "  " + _block_step(view, b) for b in view.tables.blocks if b.permissions & mask]
            return lines
        case _:
            return [f"{indent}{in_words(asked)}: {value}"]


def _block_step(view: View, block: Block) -> str:
    return f"forbid {quote(block.id)} applies: {WORDS[block_value(block, view)]}"
