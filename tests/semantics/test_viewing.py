"""Who looks at the app as somebody else is never allowed what is refused to them alone, whatever the policy."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from stguard.app.settings import Settings
from stguard.app.standing import Memo, Standing
from stguard.app.viewing import Target, View
from stguard.model import PermissionIs
from stguard.policy import Policy
from tests.semantics import generator
from tests.semantics.generator import orgs_of, render, request
from tests.semantics.naive import EVERYWHERE, catalogue

if TYPE_CHECKING:
    import pytest

    from stguard.app.private import ScriptRunContext
    from stguard.model import Decision, Rule, Subject
    from tests.semantics.naive import Document

NOW = generator.MOMENTS[1].timestamp()

seeds = st.integers(min_value=0, max_value=2**32).map(lambda number: random.Random(f"viewing {number}"))  # noqa: S311
repeatable = settings(
    max_examples=50, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)


class Run:
    """What of a script run is asked for in deciding."""

    main_script_path = "app.py"


def stand(policy: Policy, subject: Subject | None, *, kind: type[Standing] = Standing, **more: Any) -> Standing:
    made = Settings(choice=policy, on_bad_edit="keep", store=policy)
    return kind(cast("ScriptRunContext", Run()), made, policy, subject, Memo(), **more)


def pair(rng: random.Random, document: Document, kind: type[Standing] = Standing) -> tuple[Standing, Standing] | None:
    """Return how somebody stands alone, and how they do who looks at the app as somebody else at random."""
    policy = Policy.from_yaml(render(document), now=NOW)
    people = [request(rng, document) for _ in range(2)]
    viewer, other = (policy.subject(one.claims, **one.facts()) for one in people)
    if viewer is None or other is None or (viewer.id or viewer.email) is None:
        return None
    view = View(Target(id="x", shown="x", make=lambda _: other, needs=()), viewer, at=NOW, page="")
    subject = view.subject(policy, viewer, at=NOW)
    assert subject is not None
    assert set(subject.memberships) <= set(other.memberships)
    return stand(policy, viewer), stand(policy, subject, viewer=viewer, kind=kind)


def answers(asked: Standing, document: Document, org: str | None) -> set[str]:
    """Return everything that is allowed, by each way of asking."""
    policy = asked.policy
    pages = [name for name in document["pages"] if name != EVERYWHERE]
    rules: dict[str, Rule] = {f"rule of {name}": page.rule for name, page in policy.parts.pages.items()}
    rules |= {f"section {name}": rule for name, rule in policy.parts.sections.items()}
    rules |= {f"permission {name}": PermissionIs((name,)) for name in catalogue(document)}
    found = {f"decide {name}" for name, rule in rules.items() if asked.decide(rule, org=org).allowed}
    found |= {f"holds {name}" for name, rule in rules.items() if asked.holds(rule, org=org)}
    found |= {f"pages {name}" for name in asked.pages(org=org)}
    for name in (*pages, "unlisted"):
        found |= {f"page {name}"} if name in pages and asked.page(name, org=org).allowed else set()
        for section in (None, *policy.parts.sections):
            for extra in (None, *list(rules.values())[:3]):
                decision = asked.opens(name, section=section, extra=extra, org=org)
                found |= {f"opens {name} {section} {extra}"} if decision.allowed else set()
    found |= {f"member {name}" for name in orgs_of(document) if asked.is_member(name)}
    assert all(asked.is_member(each.org) for each in asked.memberships())
    return found


@repeatable
@given(seeds)
def test_looking_opens_nothing_that_is_refused_alone(rng: random.Random) -> None:
    """INVARIANT: what is allowed to who looks is allowed to them alone, and to whom they look at the app as."""
    document = generator.policy(rng)
    found = pair(rng, document)
    assume(found is not None)
    assert found is not None
    alone, looking = found
    theirs = replace(looking, viewer=None)
    for org in (None, *orgs_of(document)):
        both = answers(looking, document, org)
        assert both == answers(alone, document, org) & answers(theirs, document, org)


class OneSided(Standing):
    """Wrong on purpose: asks about whom is looked at alone."""

    def both(self, decide: Any) -> Decision:
        decision: Decision = decide(self.subject)
        return decision


def test_the_twin_that_asks_about_one_of_them_is_found_out() -> None:
    def more() -> bool:
        for number in range(200):
            rng = random.Random(f"twin {number}")  # noqa: S311
            document = generator.policy(rng)
            found = pair(rng, document, OneSided)
            for org in (None, *orgs_of(document)) if found is not None else ():
                alone, looking = cast("tuple[Standing, Standing]", found)
                if not answers(looking, document, org) <= answers(alone, document, org):
                    return True
        return False

    assert more()


def test_an_org_of_which_who_looks_is_no_member_is_not_active(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Policy.from_yaml(
        """
stguard: 1
permissions: {report: [view]}
orgs: {acme: {}, globex: {}}
roles: {viewer: {allow: "report:view"}}
assign:
  - {role: viewer, org: acme, email: ada@acme.com}
  - {role: viewer, org: acme, email: vera@acme.com}
  - {role: viewer, org: globex, email: vera@acme.com}
pages: {home: signed_in}
"""
    )
    ada, vera = (
        policy.subject({"sub": name, "email": f"{name}@acme.com", "email_verified": True}) for name in ("ada", "vera")
    )
    looking = stand(policy, vera, viewer=ada)
    assert [each.org for each in looking.memberships()] == ["acme"]
    for wish, active in (("acme", "acme"), ("globex", None)):
        monkeypatch.setattr(Standing, "wish", wish)
        assert looking.org == active
        assert (replace(looking, viewer=None)).org == wish
