"""Decide (the policy decision point, PDP): one policy, one subject, one moment, one answer.

Pure and total: no clock, no I/O, no lock, and whatever the claims hold there is an answer. A policy is compiled once
into `Tables`; what one subject holds in one org is worked out once into a `View`, kept with the subject; a question is
then one look-up.

Truth has three values (Kleene, Introduction to Metamathematics, 1952, section 64), as numbers: 0 false, 1 unknown,
2 true. `all` is the minimum, `any` the maximum, `not` is 2 minus the value. Only 2 allows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from stguard.claims import ISSUER_FORM, claim_texts
from stguard.model import (
    EVERY_ORG,
    AllOf,
    AnyOf,
    ClaimIs,
    DomainIs,
    EmailIs,
    GroupIs,
    Not,
    OrgIs,
    PermissionIs,
    PolicyParts,
    Public,
    RoleIs,
    Rule,
    SignedIn,
    Subject,
    Who,
    WhoKind,
)
from stguard.naming import email_domain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

FALSE: Final = 0
UNKNOWN: Final = 1
TRUE: Final = 2

VIEWS_LIMIT: Final = 2048
"""Most views kept for one subject; a client that names ever new orgs must not fill the memory."""

ORG_LENGTH_LIMIT: Final = 256
"""Longest org id of which a view is kept, for the same reason: with `orgs: from_identity` a client may name any."""

EVERY_PAGE: Final = "*"
"""In `pages`, the rule of pages not listed; in a forbid, every page."""

Row = tuple[int, str | None, float, float, str]
"""One assignment: role number, org (`*`, or None in a single-tenant policy), since, until (Unix seconds, infinite where
open), id. A plain tuple, since the garbage collector stops walking tuples of texts and numbers."""


class Block(NamedTuple):
    """One forbid as the tables keep it.

    Attributes:
        id: the forbid's id.
        who: whom.
        org: only there; None everywhere.
        permissions: bit set of permission numbers.
        pages: page names.
    """

    id: str
    who: Who
    org: str | None
    permissions: int
    pages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tables:
    """Hold a policy compiled for look-up. Bit sets are integers: bit i stands for role or permission number i.

    Attributes:
        parts: the policy it was made of.
        multi_tenant: whether questions are asked in an org.
        permission_index: permission name to number.
        permission_names: number to name.
        role_index: role name to number.
        role_names: number to name.
        holds: by role number, the roles that holding it holds: itself and all it inherits.
        grants: by role number, the permissions that holding it grants.
        cross_org: the roles that may hold in every org.
        rows: by the who-key as text pairs, the assignments that name it.
        claims: the claims that assignments ask for.
        doubtful: by fact that may be unknown, then by org: the assignments that then can't be decided.
        blocks: the forbids, sorted by id.
        separations: id and bit set of roles, sorted by id.
        all_roles: every role.
        all_permissions: every permission.
        nobody: the view of nobody signed in, once it was asked for.
    """

    parts: PolicyParts
    multi_tenant: bool
    permission_index: dict[str, int]
    permission_names: tuple[str, ...]
    role_index: dict[str, int]
    role_names: tuple[str, ...]
    holds: tuple[int, ...]
    grants: tuple[int, ...]
    cross_org: int
    rows: dict[tuple[str, str], tuple[Row, ...]]
    claims: tuple[str, ...]
    doubtful: dict[str, dict[str | None, tuple[Row, ...]]]
    blocks: tuple[Block, ...]
    separations: tuple[tuple[str, int], ...]
    all_roles: int
    all_permissions: int
    nobody: list[View] = field(default_factory=list, repr=False)


def bits(mask: int) -> Iterator[int]:
    """Yield the numbers of a bit set, smallest first."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


# --- compiling ---


def compile_tables(parts: PolicyParts) -> Tables:
    """Compile a policy whose names are already checked and whose inheritance has no cycle."""
    permission_index = {name: number for number, name in enumerate(parts.permissions)}
    role_index = {name: number for number, name in enumerate(parts.roles)}
    holds, grants = _inherit(parts, role_index=role_index, permission_index=permission_index)
    rows: dict[tuple[str, str], list[Row]] = {}
    doubtful: dict[str, dict[str | None, list[Row]]] = {}
    for assignment in parts.assignments:
        who = assignment.who
        row = (
            role_index[assignment.role],
            assignment.org,
            -inf if assignment.since is None else assignment.since,
            inf if assignment.until is None else assignment.until,
            assignment.id,
        )
        rows.setdefault(_key(who), []).append(row)
        doubtful.setdefault(fact_of(who), {}).setdefault(assignment.org, []).append(row)
    return Tables(
        parts=parts,
        multi_tenant=parts.multi_tenant,
        permission_index=permission_index,
        permission_names=parts.permissions,
        role_index=role_index,
        role_names=tuple(parts.roles),
        holds=holds,
        grants=grants,
        cross_org=_mask(role_index[role.name] for role in parts.roles.values() if role.cross_org),
        rows={key: tuple(found) for key, found in rows.items()},
        claims=tuple(sorted({a.who.claim for a in parts.assignments if a.who.claim is not None})),
        doubtful={fact: {org: tuple(r) for org, r in by.items()} for fact, by in doubtful.items()},
        blocks=tuple(
            Block(
                forbid.id,
                forbid.who,
                forbid.org,
                _mask(permission_index[name] for name in forbid.permissions),
                forbid.pages,
            )
            for forbid in sorted(parts.forbids, key=lambda forbid: forbid.id)
        ),
        separations=tuple(
            (separation.id, _mask(role_index[name] for name in separation.roles))
            for separation in sorted(parts.separations, key=lambda separation: separation.id)
        ),
        all_roles=(1 << len(role_index)) - 1,
        all_permissions=(1 << len(permission_index)) - 1,
    )


def _mask(numbers: Iterable[int]) -> int:
    """Return the bit set of some numbers; by bytes, since `|=` on a growing integer is quadratic."""
    known = tuple(numbers)
    found = bytearray((max(known, default=0) >> 3) + 1)
    for number in known:
        found[number >> 3] |= 1 << (number & 7)
    return int.from_bytes(found, "little")


def _numbers(index: Mapping[str, int], names: Iterable[str]) -> int:
    """Return the bit set of the names that the policy knows; a subject may have been made under another policy."""
    return _mask(index[name] for name in names if name in index)


def _inherit(
    parts: PolicyParts, *, role_index: Mapping[str, int], permission_index: Mapping[str, int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return by role number what holding it holds and grants, parents before children, without recursion."""
    holds: dict[str, int] = {}
    grants: dict[str, int] = {}
    waiting = list(parts.roles)
    while waiting:
        role = parts.roles[waiting[-1]]
        missing = [parent for parent in role.inherits if parent not in holds]
        if role.name in holds or not missing:
            waiting.pop()
        else:
            waiting.extend(missing)
            continue
        held = 1 << role_index[role.name]
        granted = _mask(permission_index[name] for name in role.allow)
        for parent in role.inherits:
            held |= holds[parent]
            granted |= grants[parent]
        holds[role.name], grants[role.name] = held, granted
    return tuple(holds[name] for name in parts.roles), tuple(grants[name] for name in parts.roles)


def _key(who: Who) -> tuple[str, str]:
    return (f"claim:{who.claim}" if who.kind is WhoKind.CLAIM else who.kind.value, who.value)


def fact_of(who: Who) -> str:
    """Return the fact about the subject that this who-key needs, as `Subject.unknown` names it."""
    match who.kind:
        case WhoKind.EMAIL | WhoKind.DOMAIN:
            return "email"
        case WhoKind.GROUP:
            return "groups"
        case WhoKind.CLAIM:
            return f"claim:{who.claim}"
        case WhoKind.SUB:
            return "sub:issuer" if ISSUER_FORM.search(who.value.partition("|")[0]) else "sub:provider"
        case WhoKind.ROLE:
            return "roles"
        case WhoKind.EVERYONE:
            return "nothing"


# --- what one subject holds ---


class Holdings:
    """The assignments that name one subject, and those that might, by org. Worked out once for each subject."""

    __slots__ = ("certain", "cross", "doubts", "tables")

    def __init__(self, tables: Tables, subject: Subject) -> None:
        """Look up every who-key that is known of the subject."""
        self.tables = tables
        self.certain: dict[str | None, list[Row]] = {}
        self.doubts = [fact for fact in ("email", "groups", "sub:issuer", "sub:provider") if fact in subject.unknown]
        keys = [("everyone", "signed_in")]
        if subject.email is not None:
            keys += [("email", subject.email), ("domain", email_domain(subject.email))]
        keys += [("sub", identifier) for identifier in subject.ids]
        rows = tables.rows
        if "groups" in tables.doubtful:
            keys += [("group", group) for group in subject.groups]
        for claim in tables.claims:
            values = claim_texts(subject.claims, claim)
            if values is None:
                self.doubts.append(f"claim:{claim}")
            else:
                keys += [(f"claim:{claim}", value) for value in values]
        for key in keys:
            for row in rows.get(key, ()):
                self.certain.setdefault(row[1], []).append(row)
        self.doubts = [fact for fact in self.doubts if fact in tables.doubtful]
        self.cross = _numbers(tables.role_index, subject.roles)
        if tables.multi_tenant:
            self.cross &= tables.cross_org


class View:
    """What one subject holds in one org, or without one, for as long as no assignment begins or ends.

    Attributes:
        tables: the policy it was worked out under.
        subject: whose it is; None for nobody signed in.
        asked: the org that was asked for.
        org: the org that counts; None for none.
        since: Unix seconds from which it holds.
        until: Unix seconds at which it ends.
        timeless: whether it holds at every moment.
        roles: roles held, those they inherit included.
        maybe_roles: roles that might be held, for all that is known.
        granted: permissions that roles or the identity source grant.
        maybe_granted: permissions that might be granted.
        forbidden: permissions that a forbid denies.
        maybe_forbidden: permissions that a forbid might deny.
        allowed: one bit for each permission, as bytes: the answer.
        maybe: permissions of unknown value.
        separated: roles that were held but don't count, because another was held too.
        direct: numbers of the roles held by themselves, not through another.
    """

    __slots__ = (
        "allowed",
        "allowed_mask",
        "asked",
        "direct",
        "forbidden",
        "granted",
        "maybe",
        "maybe_forbidden",
        "maybe_granted",
        "maybe_roles",
        "open_pages",
        "org",
        "roles",
        "separated",
        "since",
        "subject",
        "tables",
        "timeless",
        "until",
    )

    def __init__(self, tables: Tables, subject: Subject | None, *, asked: str | None) -> None:
        """Start with nothing known; `view_of` fills it in."""
        self.tables = tables
        self.subject = subject
        self.asked = asked
        self.org: str | None = None
        self.since, self.until, self.timeless = -inf, inf, True
        self.roles, self.maybe_roles, self.separated, self.direct = 0, tables.all_roles, 0, 0
        self.granted, self.maybe_granted = 0, tables.all_permissions
        self.forbidden, self.maybe_forbidden = 0, tables.all_permissions
        self.allowed_mask, self.maybe = 0, tables.all_permissions
        self.allowed = bytes((len(tables.permission_names) >> 3) + 1)
        self.open_pages: tuple[str, ...] | None = None


def view_of(tables: Tables, subject: Subject | None, *, org: str | None, at: float) -> View:
    """Return what the subject holds at a moment in an org, worked out or remembered.

    An org counts only if the subject is a member there at that moment; otherwise it is as with no active org.
    """
    if subject is None:
        if not tables.nobody:
            tables.nobody.append(View(tables, None, asked=None))
        return tables.nobody[0]
    view = subject.views.get(org)
    if isinstance(view, View) and view.tables is tables and view.since <= at < view.until:
        return view
    view = _work_out(tables, subject, org=org, at=at)
    if org is None or len(org) <= ORG_LENGTH_LIMIT:
        if len(subject.views) >= VIEWS_LIMIT:
            subject.views.clear()
        subject.views[org] = view
    return view


def holdings_of(tables: Tables, subject: Subject) -> Holdings:
    """Return the assignments that name a subject, worked out or remembered."""
    found = subject.views.get(Holdings)
    if isinstance(found, Holdings) and found.tables is tables:
        return found
    found = Holdings(tables, subject)
    subject.views[Holdings] = found
    return found


def _work_out(tables: Tables, subject: Subject, *, org: str | None, at: float) -> View:
    view = View(tables, subject, asked=org)
    holdings = holdings_of(tables, subject)
    here = [None] if not tables.multi_tenant else [EVERY_ORG] if org is None else [org, EVERY_ORG]
    direct = holdings.cross
    for place in here:
        direct |= _at(holdings.certain.get(place, ()), view, at=at)
    maybe = 0
    for fact in holdings.doubts:
        for place in here:
            maybe |= _at(tables.doubtful[fact].get(place, ()), view, at=at)
    if "roles" in subject.unknown:
        maybe |= tables.cross_org if tables.multi_tenant else tables.all_roles
    membership = subject.memberships.get(org) if org is not None and tables.multi_tenant else None
    if membership is not None:
        direct |= _numbers(tables.role_index, membership.roles or ())
    _settle_roles(view, direct=direct)
    # A role that separation drops makes nobody a member: only what counts does.
    member = not tables.multi_tenant or (org is not None and bool(membership is not None or view.direct))
    if not member or (tables.multi_tenant and ("memberships" in subject.unknown or f"roles:{org}" in subject.unknown)):
        maybe = tables.all_roles
    view.org = org if member else None
    view.maybe_roles = (_closure(tables, maybe) | view.separated) & ~view.roles
    _settle_grants(view, member=member)
    _settle_forbids(view)
    view.timeless = view.since == -inf and view.until == inf
    return view


def _at(rows: Sequence[Row], view: View, *, at: float) -> int:
    """Return the roles of the assignments in force at a moment, and narrow the view to where that stays so."""
    found = 0
    for role, _, since, until, _ in rows:
        if since <= at < until:
            found |= 1 << role
        for edge in (since, until):
            if view.since < edge <= at:
                view.since = edge
            elif at < edge < view.until:
                view.until = edge
    return found


def _closure(tables: Tables, roles: int) -> int:
    """Return the roles that holding some roles holds: themselves and all they inherit."""
    found = 0
    for role in bits(roles):
        found |= tables.holds[role]
    return found


def _settle_roles(view: View, *, direct: int) -> None:
    """Tell what is held and counts from what is held but for separation."""
    tables = view.tables
    held = _closure(tables, direct)
    dropped = 0
    for _, together in tables.separations:
        # Two bits or more: the roles of this set are held together.
        if (held & together) & ((held & together) - 1):
            dropped |= _mask(role for role in range(len(tables.holds)) if tables.holds[role] & together)
    view.direct = direct & ~dropped
    view.roles = _closure(tables, view.direct)
    # SECURITY: a dropped role turns unknown, not false, and what is held only through it does too, so that dropping it
    # can't lift a forbid or a `not`.
    view.separated = _closure(tables, direct & dropped) & ~view.roles


def _settle_grants(view: View, *, member: bool) -> None:
    tables, subject = view.tables, view.subject
    granted = maybe = 0
    for role in bits(view.direct):
        granted |= tables.grants[role]
    if member:
        for role in bits(view.maybe_roles):
            maybe |= tables.grants[role]
    else:
        maybe = tables.all_permissions
    if subject is not None and view.org is not None:
        membership = subject.memberships.get(view.org)
        if membership is not None:
            granted |= _numbers(tables.permission_index, membership.permissions or ())
        if "memberships" in subject.unknown or f"permissions:{view.org}" in subject.unknown:
            maybe = tables.all_permissions
    view.granted, view.maybe_granted = granted, maybe & ~granted


def _settle_forbids(view: View) -> None:
    forbidden = maybe = 0
    for block in view.tables.blocks:
        value = block_value(block, view)
        if value == TRUE:
            forbidden |= block.permissions
        elif value == UNKNOWN:
            maybe |= block.permissions
    view.forbidden, view.maybe_forbidden = forbidden, maybe & ~forbidden
    allowed = view.granted & ~forbidden & ~maybe
    view.allowed_mask = allowed
    view.allowed = allowed.to_bytes((len(view.tables.permission_names) >> 3) + 1, "little")
    view.maybe = (view.granted | view.maybe_granted) & ~forbidden & ~allowed


# --- conditions ---


def block_value(block: Block, view: View) -> int:
    """Return whether a forbid applies: its who-condition and its org, if given."""
    if view.subject is None:
        return UNKNOWN
    value = who_value(block.who, view)
    return value if block.org is None else min(value, org_value((block.org,), view))


def who_value(who: Who, view: View) -> int:
    """Return whether a who-key names the subject of a view. With nobody signed in it is unknown."""
    subject = view.subject
    if subject is None:
        return UNKNOWN
    match who.kind:
        case WhoKind.EVERYONE:
            return TRUE
        case WhoKind.EMAIL:
            return _among(subject.email, (who.value,))
        case WhoKind.DOMAIN:
            return _among(None if subject.email is None else email_domain(subject.email), (who.value,))
        case WhoKind.GROUP:
            return _group(subject, (who.value,))
        case WhoKind.SUB:
            if who.value in subject.ids:
                return TRUE
            return UNKNOWN if fact_of(who) in subject.unknown else FALSE
        case WhoKind.CLAIM:
            return _claim(subject, who.claim or "", (who.value,))
        case WhoKind.ROLE:
            return _role(view, 1 << view.tables.role_index[who.value])


def org_value(orgs: Sequence[str], view: View) -> int:
    """Return whether one of these orgs is the active one; unknown without an active one."""
    return _among(view.org, orgs)


def _among(value: str | None, names: Sequence[str]) -> int:
    if value is None:
        return UNKNOWN
    return TRUE if value in names else FALSE


def _group(subject: Subject, names: Sequence[str]) -> int:
    if any(name in subject.groups for name in names):
        return TRUE
    return UNKNOWN if "groups" in subject.unknown else FALSE


def _claim(subject: Subject, claim: str, names: Sequence[str]) -> int:
    found = claim_texts(subject.claims, claim)
    if found is None:
        return UNKNOWN
    return TRUE if any(name in found for name in names) else FALSE


def _role(view: View, mask: int) -> int:
    if view.roles & mask:
        return TRUE
    return UNKNOWN if view.maybe_roles & mask else FALSE


def permission_value(view: View, number: int) -> int:
    """Return whether a permission is granted and not forbidden."""
    if view.allowed_mask >> number & 1:
        return TRUE
    return UNKNOWN if view.maybe >> number & 1 else FALSE


def rule_value(rule: Rule, view: View) -> int:  # noqa: C901, PLR0911, PLR0912  one branch for each kind of rule
    """Return whether a rule holds for a view: 0 false, 1 unknown, 2 true."""
    subject = view.subject
    match rule:
        case Public():
            return TRUE
        case SignedIn():
            return FALSE if subject is None else TRUE
        case AnyOf(rules):
            return max(rule_value(part, view) for part in rules)
        case AllOf(rules):
            return min(rule_value(part, view) for part in rules)
        case Not(part):
            return TRUE - rule_value(part, view)
    if subject is None:
        return UNKNOWN
    tables = view.tables
    match rule:
        case PermissionIs(names):
            return max(permission_value(view, tables.permission_index[name]) for name in names)
        case RoleIs(names):
            return max(_role(view, 1 << tables.role_index[name]) for name in names)
        case GroupIs(names):
            return _group(subject, names)
        case EmailIs(names):
            return _among(subject.email, names)
        case DomainIs(names):
            return _among(None if subject.email is None else email_domain(subject.email), names)
        case OrgIs(names):
            return org_value(names, view)
        case ClaimIs(claim, values):
            return _claim(subject, claim, values)


def page_value(name: str, view: View, *, rule: Rule | None) -> int:
    """Return whether a page is open: its rule holds and no forbid names it. Without a rule it is closed."""
    if rule is None:
        return FALSE
    value = rule_value(rule, view)
    if value:
        for block in blocks_of(name, view):
            value = min(value, TRUE - block_value(block, view))
    return value


def blocks_of(page: str, view: View) -> Iterator[Block]:
    """Yield the forbids that name a page; one that names every page names those not listed too."""
    listed = page in view.tables.parts.pages
    for block in view.tables.blocks:
        if page in block.pages or (not listed and EVERY_PAGE in block.pages):
            yield block


def open_pages(view: View) -> tuple[str, ...]:
    """Return the listed pages that are open, in file order."""
    if view.open_pages is None:
        pages = view.tables.parts.pages
        view.open_pages = tuple(
            name
            for name, page in pages.items()
            if name != EVERY_PAGE and page_value(name, view, rule=page.rule) == TRUE
        )
    return view.open_pages
