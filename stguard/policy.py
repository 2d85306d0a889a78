"""A policy as programs use it: load it, make a subject, ask.

The engine decides and `reasons` says why; this module loads, checks the names that code passes in, and reads the clock.
"""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Any, Final

from stguard import engine, reasons
from stguard.claims import Vocabulary, subject_from
from stguard.errors import ConfigurationError, PolicyFileError, Problem, Severity, nearest_or_known, quote
from stguard.model import (
    BUILT_IN_PERMISSIONS,
    EMPTY,
    EVERY_ORG,
    PAGE_ACTION,
    AllOf,
    AnyOf,
    ClaimIs,
    DomainIs,
    EmailIs,
    Membership,
    Not,
    OrgIs,
    PermissionIs,
    PolicyParts,
    RoleIs,
    Rule,
    Subject,
    Who,
)
from stguard.naming import normalise

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from stguard.model import Decision

EARLIEST: Final = -62135596800.0
"""The first moment a datetime can hold, 0001-01-01, in Unix seconds."""

LATEST: Final = 253402300799.0
"""The last second a datetime can hold, 9999-12-31, in Unix seconds."""

DEFAULT_PAGE: Final = "*"
"""The name under which a policy gives the rule of pages not listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """Report one inline test.

    Attributes:
        file: where it stands.
        line: where it stands, counted from 1.
        column: where it stands, counted from 1.
        name: a line to show.
        ok: whether everything stated came out.
        message: what came out differently; empty when ok.
    """

    __test__ = False  # pytest would take the name for a test class

    file: str
    line: int
    column: int
    name: str
    ok: bool
    message: str


class Policy:
    """Answer who may do what, under one policy that never changes.

    Attributes:
        parts: everything that was read, names checked.
        problems: the warnings of the load.
    """

    __slots__ = ("_index", "_tables", "_version", "_vocabulary", "parts", "problems")

    def __init__(self, parts: PolicyParts, *, problems: Iterable[Problem] = ()) -> None:
        """Compile parts whose names are already checked, as `stguard.policyfile` returns them."""
        self.parts = parts
        self.problems = tuple(problems)
        self._tables = engine.compile_tables(parts)
        self._index = self._tables.permission_index
        self._version: str | None = None
        self._vocabulary = Vocabulary(
            roles=frozenset(parts.roles),
            cross_org=frozenset(role.name for role in parts.roles.values() if role.cross_org),
            permissions=frozenset(parts.permissions).difference(BUILT_IN_PERMISSIONS),
            orgs=None if parts.orgs_from_identity or parts.orgs is None else frozenset(parts.orgs),
            multi_tenant=parts.multi_tenant,
        )

    def __repr__(self) -> str:
        """Return the version and the sizes."""
        return f"<Policy {self.version}: {len(self.roles)} roles, {len(self.page_names)} pages>"

    # --- loading

    @classmethod
    def load(cls, path: str | Path, *, now: float | None = None) -> Policy:
        """Load a policy file, or the `*.yaml` files of a folder, and run its inline tests.

        Args:
            path: the file or folder.
            now: the moment for warnings and for tests without `at`, Unix seconds; None is now.

        Raises:
            PolicyFileError: with every problem, when there is an error or a test fails.
        """
        from stguard import policyfile  # noqa: PLC0415  importing stguard must not load the YAML library

        now = time.time() if now is None else now
        return cls._of(policyfile.load(path, now=now), now=now)

    @classmethod
    def from_yaml(cls, text: str, *, name: str = "policy.yaml", now: float | None = None) -> Policy:
        """Read a policy from text; `name` stands for the file in messages. Otherwise as `load`."""
        return cls.from_texts([(name, text)], now=now)

    @classmethod
    def from_texts(cls, texts: Sequence[tuple[str, str]], *, now: float | None = None) -> Policy:
        """Read a policy from the texts of a folder's files, each with the name for messages. Otherwise as `load`."""
        from stguard import policyfile  # noqa: PLC0415  importing stguard must not load the YAML library

        now = time.time() if now is None else now
        return cls._of(policyfile.parse(texts, now=now), now=now)

    @classmethod
    def _of(cls, reading: Any, *, now: float) -> Policy:  # noqa: ANN401  a Reading, whose module is loaded late
        if reading.parts is None:
            raise PolicyFileError(reading.problems)
        policy = cls(reading.parts, problems=reading.problems)
        failed = [
            Problem(
                file=result.file,
                line=result.line,
                column=result.column,
                severity=Severity.ERROR,
                code="failing-test",
                message=f"test {quote(result.name)} fails: {result.message}",
            )
            for result in run_tests(policy, now=now)
            if not result.ok
        ]
        if failed:
            raise PolicyFileError([*reading.problems, *failed])
        return policy

    # --- what it declares

    @property
    def version(self) -> str:
        """Return a hash of the meaning: order, comments, ids, notes and tests don't count."""
        if self._version is None:
            self._version = hashlib.sha256(_meaning(self.parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return self._version

    @property
    def tables(self) -> engine.Tables:
        """Return the compiled form, for modules of stguard that ask the engine themselves."""
        return self._tables

    @property
    def multi_tenant(self) -> bool:
        """Tell whether questions are asked in an org."""
        return self._tables.multi_tenant

    @property
    def permissions(self) -> tuple[str, ...]:
        """Return the catalogue, the built-in permissions last."""
        return self.parts.permissions

    @property
    def roles(self) -> tuple[str, ...]:
        """Return the role names in file order."""
        return self._tables.role_names

    @property
    def orgs(self) -> tuple[str, ...]:
        """Return the declared org ids; empty for a single-tenant app and with `orgs: from_identity`."""
        return tuple(self.parts.orgs or ())

    @property
    def page_names(self) -> tuple[str, ...]:
        """Return the listed pages in file order, without `*`."""
        return tuple(name for name in self.parts.pages if name != DEFAULT_PAGE)

    # --- who asks

    def subject(
        self,
        claims: object,
        *,
        roles: Iterable[str] | None = (),
        groups: Iterable[str] | None = (),
        memberships: Iterable[Membership | Mapping[str, Any]] | None = (),
        unknown: Mapping[str, str] = EMPTY,
        complete: Collection[str] = (),
        active_org: str | None = None,
        impersonator: str | None = None,
    ) -> Subject | None:
        """Make the subject that claims stand for.

        Args:
            claims: a mapping as `st.user` holds it; None, an empty one or one that isn't a mapping is nobody.
            roles: role names an identity source adds; None when it could not say.
            groups: group names it adds; None when it could not say.
            memberships: memberships it adds; None when it could not say.
            unknown: which of `roles`, `groups`, `memberships` it could not say in full, and why in plain words; what
                it gave counts.
            complete: which of these it answers for in full, so that claims that lack them leave nothing unknown.
            active_org: the org it says is active, by its id there; a wish. None for none.
            impersonator: id of whoever acts as this person; None for nobody.

        Returns:
            The subject, or None for nobody signed in. Never raises for what claims or sources hold.
        """
        return subject_from(
            claims,
            identity=self.parts.identity,
            vocabulary=self._vocabulary,
            roles=roles,
            groups=groups,
            memberships=memberships,
            unknown=unknown,
            complete=complete,
            active_org=active_org,
            impersonator=impersonator,
        )

    def memberships(self, subject: Subject | None, *, at: datetime | float | None = None) -> tuple[Membership, ...]:
        """Return the orgs in which the subject is a member at that moment, with the roles held there.

        In file order; by id with `orgs: from_identity`, where the orgs of a `cross_org` role can't be listed.
        """
        if subject is None or not self.multi_tenant:
            return ()
        moment = _moment(at)
        orgs: Iterable[str]
        if self.parts.orgs_from_identity:
            certain = engine.holdings_of(self._tables, subject).certain
            orgs = sorted({org for org in (*subject.memberships, *certain) if org is not None and org != EVERY_ORG})
        else:
            orgs = self.orgs
        found = (self._membership(subject, org, at=moment) for org in orgs)
        return tuple(membership for membership in found if membership is not None)

    def membership(
        self, subject: Subject | None, org: str | None, *, at: datetime | float | None = None
    ) -> Membership | None:
        """Return the subject's membership in an org, or None where there is none now. A wish that can't be is None."""
        if subject is None or not self.multi_tenant or not isinstance(org, str) or org in ("", EVERY_ORG):
            return None
        if not self.parts.orgs_from_identity and org not in (self.parts.orgs or {}):
            return None
        return self._membership(subject, org, at=_moment(at))

    def _membership(self, subject: Subject, org: str, *, at: float) -> Membership | None:
        view = engine.view_of(self._tables, subject, org=org, at=at)
        if view.org != org:
            return None
        given = subject.memberships.get(org)
        declared = (self.parts.orgs or {}).get(org)
        return Membership(
            org=org,
            name=(declared if declared != org else None) or (given.name if given else None) or declared,
            roles=tuple(self.roles[role] for role in engine.bits(view.direct)),
            permissions=given.permissions if given else (),
            # A copy: what one session does with it must not reach another that was given the same answer.
            metadata=copy.deepcopy(given.metadata) if given and given.metadata else {},
        )

    # --- questions

    def allows(
        self, subject: Subject | None, action: str, *, org: str | None = None, at: datetime | float | None = None
    ) -> bool:
        """Tell whether the subject may do something. The hot path: one look-up for whoever has asked before.

        Args:
            subject: who asks, from `subject`; None for nobody signed in.
            action: a permission, or `page:NAME`.
            org: the active org; None for none. An org the subject isn't a member of counts as none.
            at: an aware datetime or Unix seconds; None is now.

        Raises:
            ConfigurationError: for a permission, page or org that the policy does not declare.
        """
        if at is None and type(subject) is Subject and type(action) is str and (org is None or type(org) is str):
            view = subject.views.get(org)
            if view is not None and view.tables is self._tables and view.timeless:
                number = self._index.get(action)
                if number is not None:
                    answer: bool = view.allowed[number >> 3] >> (number & 7) & 1 == 1
                    return answer
        return self._allows(subject, action, org=org, at=at)

    def _allows(self, subject: Subject | None, action: str, *, org: str | None, at: datetime | float | None) -> bool:
        view = self._view(subject, org=org, at=_moment(at))
        number = self._index.get(action) if isinstance(action, str) else None
        if number is not None:
            return view.allowed[number >> 3] >> (number & 7) & 1 == 1
        page = self._page_asked(action)
        return engine.page_value(page, view, rule=self._page_rule(page)) == engine.TRUE

    def decide(
        self, subject: Subject | None, action: str, *, org: str | None = None, at: datetime | float | None = None
    ) -> Decision:
        """Decide as `allows` does, with the reason, what is missing, and the steps. Arguments and errors as there."""
        moment = _moment(at)
        view = self._view(subject, org=org, at=moment)
        if isinstance(action, str) and action in self._index:
            return _asked_in(reasons.permission(view, action, at=moment), org)
        page = self._page_asked(action)
        return _asked_in(reasons.page(view, page, rule=self._page_rule(page), at=moment), org)

    def pages(
        self, subject: Subject | None, *, org: str | None = None, at: datetime | float | None = None
    ) -> tuple[str, ...]:
        """Return the listed pages that the subject may open, in file order, those kept out of the menu included."""
        if at is None and type(subject) is Subject and (org is None or type(org) is str):
            view = subject.views.get(org)
            if view is not None and view.tables is self._tables and view.timeless and view.open_pages is not None:
                found: tuple[str, ...] = view.open_pages
                return found
        return engine.open_pages(self._view(subject, org=org, at=_moment(at)))

    def opens(
        self,
        subject: Subject | None,
        page: str,
        *,
        section: str | None = None,
        extra: Rule | None = None,
        org: str | None = None,
        at: datetime | float | None = None,
    ) -> Decision:
        """Decide about a page as a menu asks: the policy's rule, its section's and the code's must all hold.

        Args:
            subject: who asks; None for nobody signed in.
            page: the page's name, listed in the policy or not; without any rule it is denied.
            section: the title of the menu section it stands in; None for none.
            extra: what the code demands, checked by `rule`; None for nothing.
            org: the active org; None for none.
            at: an aware datetime or Unix seconds; None is now.
        """
        moment = _moment(at)
        view = self._view(subject, org=org, at=moment)
        rules = [rule for rule in (self._page_rule(page), extra) if rule is not None]
        by_section = self.parts.sections.get(section) if section is not None else None
        if rules and by_section is not None:
            rules.append(by_section)
        whole = None if not rules else rules[0] if len(rules) == 1 else AllOf(tuple(rules))
        return _asked_in(reasons.page(view, page, rule=whole, at=moment), org)

    def holds(
        self, subject: Subject | None, rule: Rule, *, org: str | None = None, at: datetime | float | None = None
    ) -> bool:
        """Tell whether a rule from code, checked by `rule`, holds."""
        return engine.rule_value(rule, self._view(subject, org=org, at=_moment(at))) == engine.TRUE

    def explain(
        self, subject: Subject | None, rule: Rule, *, org: str | None = None, at: datetime | float | None = None
    ) -> Decision:
        """Decide a rule from code, checked by `rule`, with the reason, what is missing, and the steps."""
        moment = _moment(at)
        return _asked_in(reasons.rule(self._view(subject, org=org, at=moment), rule, at=moment), org)

    def rule(self, rule: Rule) -> Rule:  # noqa: C901  one branch for each kind of rule
        """Check the names in a rule from code, and return it with e-mails and domains normalised.

        Raises:
            ConfigurationError: for a name that the policy does not declare, or a rule without any name.
        """
        match rule:
            case AnyOf(rules) | AllOf(rules):
                if not rules:
                    raise ConfigurationError("a rule without parts would hold for everyone or for nobody; state some")
                return type(rule)(tuple(self.rule(part) for part in rules))
            case Not(part):
                return Not(self.rule(part))
            case ClaimIs(_, values):
                _some(values, "claim")
            case PermissionIs(names):
                self._declared(_some(names, "permission"), self.permissions, "permission")
            case RoleIs(names):
                self._declared(_some(names, "role"), self.roles, "role")
            case OrgIs(names):
                if not self.multi_tenant:
                    raise ConfigurationError("org given, but the policy has no `orgs`; add `orgs:` or leave org out")
                _some(names, "org")
                if not self.parts.orgs_from_identity:
                    self._declared(names, self.orgs, "org")
            case EmailIs(names) | DomainIs(names):
                return type(rule)(tuple(normalise(name) for name in _some(names, "e-mail or domain")))
            case _:
                _some(getattr(rule, "names", ("any",)), "group")
        return rule

    # --- checks on what code passes in

    def _view(self, subject: Subject | None, *, org: str | None, at: float) -> engine.View:
        if subject is not None and not isinstance(subject, Subject):
            raise ConfigurationError(
                f"expected a subject or None, got {type(subject).__name__}; make one with `policy.subject(claims)`"
            )
        if org is not None:
            self._check_org(org)
        return engine.view_of(self._tables, subject, org=org, at=at)

    def _check_org(self, org: object) -> None:
        if not isinstance(org, str) or not org or org == EVERY_ORG:
            raise ConfigurationError(f"expected an org id or None, got {quote(repr(org))}")
        if not self.multi_tenant:
            raise ConfigurationError(
                f"org {quote(org)} given, but the policy has no `orgs`; add `orgs:` or leave it out"
            )
        if not self.parts.orgs_from_identity and org not in (self.parts.orgs or {}):
            raise ConfigurationError(f"unknown org {quote(org)}{nearest_or_known(org, self.orgs)}")

    def _page_asked(self, action: object) -> str:
        if not isinstance(action, str):
            raise ConfigurationError(f"expected a permission or `page:NAME`, got {quote(repr(action))}")
        if not action.startswith(PAGE_ACTION):
            raise ConfigurationError(f"unknown permission {quote(action)}{nearest_or_known(action, self.permissions)}")
        page = action.removeprefix(PAGE_ACTION)
        if page == DEFAULT_PAGE or (page not in self.parts.pages and DEFAULT_PAGE not in self.parts.pages):
            raise ConfigurationError(f"unknown page {quote(page)}{nearest_or_known(page, self.page_names)}")
        return page

    def _page_rule(self, page: str) -> Rule | None:
        entry = self.parts.pages.get(page) or self.parts.pages.get(DEFAULT_PAGE)
        return None if entry is None else entry.rule

    @staticmethod
    def _declared(names: Iterable[str], known: Iterable[str], kind: str) -> None:
        known = tuple(known)
        for name in names:
            if name not in known:
                raise ConfigurationError(f"unknown {kind} {quote(name)}{nearest_or_known(name, known)}")


def _some(names: tuple[str, ...] | str, kind: str) -> tuple[str, ...]:
    # SECURITY: a plain text would be asked for as a piece of what it is compared with: `me` is in `acme`.
    if not names or isinstance(names, str) or not all(isinstance(name, str) and name for name in names):
        raise ConfigurationError(f"a rule names no {kind}; state at least one, as text")
    return names


def _asked_in(decision: Decision, org: str | None) -> Decision:
    return decision if decision.org == org else replace(decision, org=org)


def _moment(at: datetime | float | None) -> float:
    """Return a moment as Unix seconds; None is now.

    Raises:
        ConfigurationError: for a datetime without a zone, or what is no moment at all.
    """
    if at is None:
        return time.time()
    if isinstance(at, datetime):
        if at.tzinfo is None or at.utcoffset() is None:
            raise ConfigurationError(f"`at` has no time zone: {quote(at.isoformat())}; add one, such as `tzinfo=UTC`")
        at = at.timestamp()
    if isinstance(at, bool) or not isinstance(at, int | float) or not EARLIEST <= at <= LATEST:
        raise ConfigurationError(f"expected an aware datetime or Unix seconds, got {quote(repr(at))}")
    return float(at)


# --- inline tests ---


def run_tests(policy: Policy, *, now: float | None = None) -> tuple[TestResult, ...]:
    """Run the inline tests of a policy.

    Args:
        policy: the policy.
        now: the moment for tests without `at`, Unix seconds; None is now.
    """
    now = time.time() if now is None else now
    results = []
    for test in policy.parts.tests:
        at = now if test.at is None else test.at
        subject = policy.subject(test.claims, roles=test.roles, groups=test.groups, memberships=test.memberships)
        wrong = [
            f"can {quote(name)} expected, but refused: {_short(policy.decide(subject, name, org=test.org, at=at))}"
            for name in test.can
            if not policy.allows(subject, name, org=test.org, at=at)
        ]
        wrong += [
            f"cannot {quote(name)} expected, but allowed: {_short(policy.decide(subject, name, org=test.org, at=at))}"
            for name in test.cannot
            if policy.allows(subject, name, org=test.org, at=at)
        ]
        pages = policy.pages(subject, org=test.org, at=at)
        if test.sees is not None:
            wrong += [
                f"sees {quote(name)} expected, but it is closed: "
                + _short(policy.decide(subject, PAGE_ACTION + name, org=test.org, at=at))
                for name in test.sees
                if name not in pages
            ]
            wrong += [f"sees {quote(name)} too, not stated" for name in pages if name not in test.sees]
        wrong += [f"not_sees {quote(name)} expected, but it is open" for name in test.not_sees if name in pages]
        results.append(
            TestResult(
                file=test.file,
                line=test.line,
                column=test.column,
                name=test.name,
                ok=not wrong,
                message="; ".join(wrong),
            )
        )
    return tuple(results)


def _short(decision: Decision) -> str:
    return decision.reason.value + (f" by {decision.rule}" if decision.rule else "") + _hint(decision.missing)


def _hint(missing: tuple[str, ...]) -> str:
    """Return what a test most likely lacks: the mark of a verified e-mail is easily forgotten in its claims."""
    if not missing or missing == ("to sign in",):
        return ""
    hint = next((each for each in missing if each.startswith("to know the email: ")), missing[0])
    wanted, _, why = hint.partition(": ")
    return f", because {why}" if wanted.startswith("to know ") and why else f", missing {hint}"


# --- meaning ---


def _meaning(parts: PolicyParts) -> str:
    """Return a text that is equal for two policies exactly when they were written to mean the same."""
    return json.dumps(
        {
            "permissions": sorted(parts.permissions),
            "orgs": sorted(parts.orgs) if parts.orgs is not None else None,
            "orgs_from_identity": parts.orgs_from_identity,
            "roles": {
                r.name: [sorted(set(r.inherits)), sorted(set(r.allow)), r.cross_org] for r in parts.roles.values()
            },
            "assign": _unordered(
                [a.role, a.org, _who(a.who), -inf if a.since is None else a.since, inf if a.until is None else a.until]
                for a in parts.assignments
            ),
            "forbid": _unordered(
                [_who(f.who), f.org, sorted(set(f.permissions)), sorted(set(f.pages))] for f in parts.forbids
            ),
            "separation": _unordered(sorted(set(s.roles)) for s in parts.separations),
            "pages": {p.name: [_canonical(p.rule), p.hidden, p.on_deny.value] for p in parts.pages.values()},
            "sections": {title: _canonical(rule) for title, rule in parts.sections.items()},
            "identity": _plain(parts.identity),
            "sessions": _plain(parts.sessions),
            "revoked": _unordered([_who(r.who), r.before] for r in parts.revocations),
        },
        sort_keys=True,
    )


def _unordered(entries: Iterable[object]) -> list[str]:
    return sorted({json.dumps(entry) for entry in entries})


def _who(who: Who) -> list[str | None]:
    return [who.kind.value, who.claim, who.value]


def _plain(value: object) -> object:
    """Return data classes and mappings as plain dictionaries, sequences as lists."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, tuple) else value


def _canonical(rule: Rule) -> list[Any]:
    match rule:
        case AnyOf(rules) | AllOf(rules):
            return [type(rule).__name__, *_unordered(_canonical(part) for part in rules)]
        case Not(part):
            return ["Not", _canonical(part)]
        case ClaimIs(claim, values):
            return ["ClaimIs", claim, *sorted(set(values))]
        case _:
            return [type(rule).__name__, *sorted(set(getattr(rule, "names", ())))]
