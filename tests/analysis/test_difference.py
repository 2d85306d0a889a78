"""`diff` is exact: it lists something if and only if some request tells the two policies apart."""

from __future__ import annotations

import itertools
import random
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

import stguard as sg
from stguard.analysis import EntangledError, diagram, difference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stguard.analysis import Difference
    from stguard.model import Subject

AT = 1_800_000_000.0
SINGLE = """
stguard: 1
permissions: {report: [view, edit]}
roles: {viewer: {allow: "report:view"}, editor: {inherits: viewer, allow: "report:edit"}}
assign:
  - {id: ann, role: viewer, email: ann@acme.com}
  - {id: staff, role: editor, group: staff}
pages: {home: signed_in, reports: {permission: "report:view"}}
"""
ORGS = """
stguard: 1
permissions: {report: [view, edit]}
orgs: [acme, globex]
roles: {viewer: {allow: "report:view"}, editor: {inherits: viewer, allow: "report:edit"}, boss: {cross_org: true}}
assign:
  - {id: ann, role: viewer, org: acme, email: ann@acme.com}
  - {id: all-acme, role: viewer, org: acme, domain: acme.com}
pages: {home: signed_in, reports: {permission: "report:view"}}
"""


def diff(old: str, new: str) -> Difference:
    return difference(sg.Policy.from_yaml(old, now=AT), sg.Policy.from_yaml(new, now=AT))


def lines(changes: tuple[Any, ...]) -> list[tuple[str, str | None, str]]:
    return [(each.who, each.org, each.action) for each in changes]


# --- sentences


def test_a_role_that_grants_more_is_the_reason_though_it_is_separated_from_others() -> None:
    apart = SINGLE + "separation: [{id: s, roles: [viewer, clerk]}]\n"
    apart = apart.replace("roles: {", "roles: {clerk: {}, ")
    found = diff(
        apart, apart.replace('viewer: {allow: "report:view"}', 'viewer: {allow: ["report:view", "report:edit"]}')
    )
    assert {each.because for each in found.gains} == {"role `viewer` changed"}


def test_a_policy_differs_from_itself_in_nothing() -> None:
    assert not diff(SINGLE, SINGLE)


def test_an_assignment_more_is_what_its_role_grants_to_whom_it_names() -> None:
    found = diff(SINGLE, SINGLE.replace("pages:", "  - {id: bob, role: editor, email: bob@acme.com}\npages:"))
    assert lines(found.gains) == [
        ("email:bob@acme.com", None, "report:view"),
        ("email:bob@acme.com", None, "report:edit"),
        ("email:bob@acme.com", None, "page:reports"),
    ]
    assert {each.because for each in found.gains} == {"assignment `bob` gives role `editor`"}
    assert found.losses == ()


def test_a_role_that_is_taken_away_but_held_otherwise_is_no_loss() -> None:
    assert not diff(ORGS, ORGS.replace("  - {id: ann, role: viewer, org: acme, email: ann@acme.com}\n", ""))


def test_a_role_that_grants_more_is_a_gain_of_everyone_who_holds_it() -> None:
    found = diff(SINGLE, SINGLE.replace('viewer: {allow: "report:view"}', 'viewer: {allow: "report:*"}'))
    assert lines(found.gains) == [("email:ann@acme.com", None, "report:edit"), ("role:viewer", None, "report:edit")]
    assert {each.because for each in found.gains} == {"role `viewer` changed"}


def test_a_forbid_takes_from_whom_it_names_and_from_whom_that_is_not_known() -> None:
    found = diff(SINGLE, SINGLE + 'forbid: [{id: out, permission: "report:view", group: contractors}]\n')
    assert lines(found.losses) == [
        ("group:contractors", None, "report:view"),
        ("groups unknown", None, "report:view"),
        ("group:contractors", None, "page:reports"),
        ("groups unknown", None, "page:reports"),
    ]
    assert {each.because for each in found.losses} == {"forbid `out` applies now"}


def test_a_page_that_becomes_public_is_gained_by_visitors_only() -> None:
    found = diff(SINGLE, SINGLE.replace("home: signed_in", "home: public"))
    assert lines(found.gains) == [("anonymous", None, "page:home")]


def test_a_page_for_everybody_signed_in_is_one_line_for_all_orgs() -> None:
    found = diff(ORGS, ORGS.replace('reports: {permission: "report:view"}', "reports: signed_in"))
    assert lines(found.gains) == [("signed_in", None, "page:reports")]


def test_an_org_more_is_a_gain_of_those_who_hold_a_role_in_it() -> None:
    found = diff(ORGS.replace("[acme, globex]", "[acme]"), ORGS)
    assert ("role:viewer", "globex", "report:view") in lines(found.gains)
    assert {each.org for each in found.gains} == {"globex"}


def test_a_period_that_ends_later_is_a_gain() -> None:
    until = '{id: ann, role: viewer, email: ann@acme.com, until: "2030-01-01T00:00:00Z", reason: x}'
    one = SINGLE.replace("{id: ann, role: viewer, email: ann@acme.com}", until)
    other = one.replace("2030-01-01", "2030-02-01")
    assert ("email:ann@acme.com", None, "report:view") in lines(diff(one, other).gains)
    assert not diff(one, other).losses
    assert ("email:ann@acme.com", None, "report:view") in lines(diff(other, one).losses)


def test_two_roles_that_may_no_longer_meet_are_lost_together() -> None:
    old = SINGLE.replace("roles: {", 'roles: {payer: {allow: "report:edit"}, ')
    found = diff(old, old + "separation: [{id: eyes, roles: [payer, viewer]}]\n")
    assert ("role:payer and role:viewer", None, "report:view") in lines(found.losses)
    assert {each.because for each in found.losses} == {"the roles that nobody may hold together changed"}


def test_two_roles_that_can_only_meet_in_an_org_are_lost_together_there_only() -> None:
    old = ORGS.replace("[acme, globex]", "[acme]").replace("boss: {", 'boss: {allow: "report:view", ')
    old = old.replace("pages:", "  - {id: boss, role: boss, org: '*', email: bea@boss.io}\npages:")
    found = diff(old, old + "separation: [{id: eyes, roles: [boss, viewer]}]\n")
    assert ("role:boss and role:viewer", "acme", "report:view") in lines(found.losses)
    assert {each.org for each in found.losses} == {"acme"}


def test_a_menu_section_is_told_apart_from_pages() -> None:
    found = diff(SINGLE, SINGLE + "sections: {Admin: {role: editor}}\n")
    assert (found.gains, found.losses) == ((), ())
    assert found.other == (
        "section `Admin` closes for anonymous: the rule of section `Admin` changed",
        *found.other[1:],
    )


def test_what_changes_besides_decisions_is_said_too() -> None:
    found = diff(SINGLE, SINGLE + "sessions: {idle: 30m}\nidentity: {trust_email: true}\n")
    assert found.other == (
        "how claims are read changes: identity.trust_email",
        "how long a login counts changes: sessions",
    )
    assert found


def test_another_name_for_a_role_is_a_gain_of_those_who_bring_that_name() -> None:
    found = diff(SINGLE, SINGLE + "identity: {role_names: {Chief: editor}}\n")
    assert ("role:Chief", None, "report:edit") in lines(found.gains)


def test_rules_that_depend_on_each_other_in_too_many_ways_are_said_so_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagram, "NODES_LIMIT", 2_000)
    pairs = 14
    first = ", ".join(f"{{group: a{number}}}" for number in range(pairs))
    second = ", ".join(f"{{all: [{{group: a{number}}}, {{claim: {{c: b{number}}}}}]}}" for number in range(pairs))
    text = SINGLE.replace("home: signed_in", f"home: {{all: [{{any: [{first}]}}, {{any: [{second}]}}]}}")
    with pytest.raises(EntangledError, match="too entangled"):
        diff(SINGLE, text)


def test_of_facts_that_it_takes_together_every_combination_is_listed() -> None:
    page = "reports: {all: [{group: [staff, board]}, {claim: {team: red}}]}"
    found = diff(SINGLE.replace('reports: {permission: "report:view"}', page), SINGLE.replace("reports: {", "other: {"))
    assert {each.who for each in found.losses} == {
        "group:board and claim:team=red",
        "group:staff and claim:team=red",
    }


@pytest.mark.parametrize("shape", ["{{any: [{}]}}", "{{not: {{not: {{any: [{}]}}}}}}"])
def test_a_rule_that_names_more_groups_than_calls_can_nest_is_worked_out(shape: str) -> None:
    many = shape.format(", ".join(f"{{group: g{number}}}" for number in range(1_300)))
    found = diff(SINGLE.replace("home: signed_in", f"home: {many}"), SINGLE)
    assert lines(found.gains) == [("signed_in", None, "page:home")]
    assert not found.losses


def test_whoever_is_given_a_role_for_a_time_only_is_named_whenever_that_is() -> None:
    rows = "".join(
        f"  - {{id: n{number}, role: viewer, email: u{number}@x.io, from: '{2030 + number}-01-01T00:00:00Z',"
        f" until: '{2031 + number}-01-01T00:00:00Z', reason: x}}\n"
        for number in range(5)
    )
    text = SINGLE.replace("pages:", f"{rows}pages:")
    found = diff(text, text.replace('viewer: {allow: "report:view"}', 'viewer: {allow: "report:*"}'))
    assert {each.who for each in found.gains} == {
        "email:ann@acme.com",
        "role:viewer",
        *(f"email:u{number}@x.io" for number in range(5)),
    }


def test_groups_that_hold_two_roles_at_different_times_are_not_named_together() -> None:
    month = "from: '2030-0{}-01T00:00:00Z', until: '2030-0{}-01T00:00:00Z', reason: x"
    text = f"""
stguard: 1
roles: {{one: {{}}, two: {{}}, none: {{}}}}
assign:
  - {{id: a, role: one, group: first, {month.format(1, 2)}}}
  - {{id: b, role: one, group: both, {month.format(2, 3)}}}
  - {{id: c, role: two, group: at-once, {month.format(2, 3)}}}
  - {{id: d, role: two, group: last, {month.format(3, 4)}}}
pages: {{x: {{all: [{{role: one}}, {{role: two}}]}}}}
"""
    found = diff(text, text.replace("all: [{role: one}, {role: two}]", "role: none"))
    named = {each.who for each in found.losses}
    assert "group:at-once and group:both" in named or "group:both and group:at-once" in named
    assert not [each for each in named if "first" in each and "last" in each]


# --- brute force


class Small:
    """Make small policies at random whose requests can all be asked, one by one."""

    closes: tuple[str, ...] = ("permission: a:b", "permission: a:c", "page: x")

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.orgs = rng.random() < 0.5
        # What an identity provider says of roles and orgs is always asked for: it is there in every policy.
        facts = ["email", "groups", "claim", "sub"]
        self.dimensions = {*rng.sample(facts, 1 if self.orgs else 2), "roles", *(["membership"] if self.orgs else [])}
        self.separated = rng.random() < 0.3

    @property
    def places(self) -> tuple[str | None, ...]:
        return (None, "o") if self.orgs else (None,)

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def who(self) -> str:
        choices = ["everyone: signed_in"]
        if "email" in self.dimensions:
            choices += ["email: a@x.io", "email: b@y.io", "domain: x.io"] * 2
        if "groups" in self.dimensions:
            choices += ["group: g", "group: h"] * 2
        if "claim" in self.dimensions:
            choices += ["claim: {c: v}", "claim: {c: w}"] * 2
        if "sub" in self.dimensions:
            choices += ["sub: 'corp|s'", "sub: 'https://i|s'", "sub: 'https://i|t'"] * 2
        return self.rng.choice(choices)

    def rule(self, depth: int = 2) -> str:
        if depth and self.chance(0.5):
            kind = self.rng.choice(["any", "all", "not"])
            if kind == "not":
                return f"{{not: {self.rule(depth - 1)}}}"
            return f"{{{kind}: [{self.rule(depth - 1)}, {self.rule(depth - 1)}]}}"
        who = self.who()
        atoms = ["{role: r}", "{role: q}", "{permission: 'a:b'}", "{permission: 'a:c'}"]
        if self.orgs:
            atoms.append("{org: o}")
        if not who.startswith(("everyone", "sub")):
            atoms += [f"{{{who}}}"] * 3
        return self.rng.choice(atoms)

    def text(self) -> str:
        rng = self.rng
        grants = ["[]", "'a:b'", "'a:c'", "['a:b', 'a:c']"]
        cross = ", cross_org: true" if self.orgs and self.chance(0.3) else ""
        roles = f"roles: {{r: {{allow: {rng.choice(grants)}}}, q: {{allow: {rng.choice(grants)}{cross}"
        inherits = self.chance(0.3) and not self.separated
        roles += f"{', inherits: r' if inherits else ''}}}, p: {{allow: {rng.choice(grants)}}}}}"
        rows = []
        for number in range(rng.randint(1, 3)):
            role = rng.choice("rqp")
            org = (
                f", org: {'o' if not (cross and role == 'q' and self.chance(0.5)) else repr('*')}" if self.orgs else ""
            )
            until = ", until: '2030-01-01T00:00:00Z'" if self.chance(0.15) else ""
            rows.append(f"  - {{id: n{number}, role: {role}{org}, {self.who()}{until}}}")
        forbids = [
            f"  - {{id: f{number}, {rng.choice(self.closes)}"
            f", {self.who() if self.chance(0.7) else 'role: ' + rng.choice('rq')}"
            f"{', org: o' if self.orgs and self.chance(0.3) else ''}}}"
            for number in range(rng.randint(0, 2))
        ]
        parts = [
            "stguard: 1",
            "permissions: {a: [b, c]}",
            *(["orgs: [o]"] if self.orgs else []),
            roles,
            "assign:",
            *rows,
            *(["forbid:", *forbids] if forbids else []),
            *(["separation: [{id: s, roles: [r, q]}]"] if self.separated and self.chance(0.7) else []),
            f"pages: {{x: {self.rule()}, y: {rng.choice(['public', 'signed_in', self.rule(1)])}}}",
        ]
        return "\n".join(parts) + "\n"

    def policies(self) -> tuple[sg.Policy, sg.Policy]:
        """Return two policies: two of their own, or one and the same with one line written anew."""
        edited = self.chance(0.5)
        while True:
            one, other = self.text(), self.text()
            if edited:
                lines = one.splitlines()
                begins = {line[:9]: line for line in other.splitlines()}
                number = self.rng.randrange(3, len(lines))
                lines[number] = begins.get(lines[number][:9], lines[number])
                other = "\n".join(lines) + "\n"
            try:
                return sg.Policy.from_yaml(one, now=AT), sg.Policy.from_yaml(other, now=AT)
            except sg.PolicyFileError:
                continue  # what the language refuses is no policy

    def people(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Yield everybody: claims, and what an identity source adds."""
        email: list[dict[str, Any]] = [{"email": "z@z.io", "email_verified": True}]
        if "email" in self.dimensions:
            email += [{"email": each, "email_verified": True} for each in ("a@x.io", "b@y.io", "n@x.io")] + [{}]
        groups: list[Any] = [[]]
        if "groups" in self.dimensions:
            groups = [list(each) for each in subsets("gh")]
            groups += [[*each, 7] for each in groups]  # something that can't be read: the rest is unknown
        claim: list[Any] = [[]]
        if "claim" in self.dimensions:
            claim = [list(each) for each in subsets("vw")] + [None]
        subs: list[dict[str, str]] = [{"iss": "https://j", "provider": "other", "sub": "z"}]
        if "sub" in self.dimensions:
            subs = [
                {key: value for key, value in (("iss", iss), ("provider", provider), ("sub", sub)) if value}
                for iss in ("https://i", "https://j", "")
                for provider in ("corp", "other", "")
                for sub in ("s", "t", "z")
            ]
        roles: list[Any] = [[]]
        if "roles" in self.dimensions:
            roles = [list(each) for each in subsets("rqp")]
            roles += [[*each, 7] for each in roles]
        members: list[Any] = [()]
        if "membership" in self.dimensions:
            held = [list(each) for each in subsets("rqp")]
            granted = [list(each) for each in subsets(("a:b", "a:c"))]
            members = [(), None]
            for org in filter(None, self.places):
                said = itertools.product([*held, None], [*granted, None])
                members += [({"org": org, "roles": roles, "permissions": each},) for roles, each in said]
                members += [({"org": org, "roles": roles, "permissions": []}, 7) for roles in held]
        for e, g, c, s, r, m in itertools.product(email, groups, claim, subs, roles, members):
            yield {**e, **s, "groups": g, "roles": r, "c": c}, {"memberships": m}


MOMENTS = ("2030-01-01T00:00:00Z", "2030-02-01T00:00:00Z", "2030-03-01T00:00:00Z", "2030-04-01T00:00:00Z")


class Lasting(Small):
    """Make the same whose assignments begin and end at moments of a few, so that others are there at each."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.dimensions = {"roles", rng.choice(["email", "groups", "claim"])}
        self.orgs = False

    def text(self) -> str:
        return "".join(f"{self._lasting(line)}\n" for line in super().text().splitlines())

    def _lasting(self, line: str) -> str:
        if not line.startswith("  - {id: n") or self.chance(0.3):
            return line
        first, last = sorted(self.rng.sample(range(5), 2))
        until = f", until: '{MOMENTS[last]}'" if last < len(MOMENTS) else ""
        return re.sub(r"(, until: .*)?}$", f", from: '{MOMENTS[first]}'{until}, reason: x}}", line)


class Spread(Lasting):
    """Make the same over two orgs: others are there in each, at each moment, and often two roles are separated."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.dimensions = {"membership", rng.choice(["email", "groups", "claim"])}
        self.orgs = True
        self.separated = self.chance(0.6)

    @property
    def places(self) -> tuple[str | None, ...]:
        return None, "o", "p"

    def text(self) -> str:
        text = super().text().replace(", cross_org: true", "").replace("'*'", "o").replace("orgs: [o]", "orgs: [o, p]")
        return re.sub(r"(?<=, org: )o", lambda _: self.rng.choice("op"), text)


class Closed(Spread):
    """Make the same with forbids that close everything, for people who often are given nothing."""

    closes = ('permission: "*:*"', 'permission: "*:*"', 'permission: "a:*"', "permission: a:b", 'page: "*"')

    def text(self) -> str:
        rows = (line.replace("email: a@x.io", "email: b@y.io").replace("group: h", "group: g").replace("w}", "v}")
                if line.startswith("  - {id: n") and self.chance(0.7) else line
                for line in super().text().splitlines())  # fmt: skip
        return "\n".join(rows) + "\n"


def subsets(names: Any) -> list[tuple[str, ...]]:
    return [each for size in range(len(names) + 1) for each in itertools.combinations(names, size)]


def apart(one: sg.Policy, other: sg.Policy, small: Small) -> set[tuple[str | None, str, bool]]:
    """Return in which org which action is gained (True) or lost by somebody, by asking for everybody."""
    found: set[tuple[str | None, str, bool]] = set()
    moments: tuple[float, ...] = (AT, 1_900_000_000.0)
    if isinstance(small, Lasting):
        moments = (AT, *(datetime.fromisoformat(each).timestamp() for each in MOMENTS))
    everybody: list[tuple[Subject | None, Subject | None]] = [(None, None)]
    everybody += [(one.subject(claims, **added), other.subject(claims, **added)) for claims, added in small.people()]
    for before, after in everybody:
        for at, org in itertools.product(moments, small.places):
            for action in ("a:b", "a:c", "page:x", "page:y", "policy:view"):
                old, new = one.allows(before, action, org=org, at=at), other.allows(after, action, org=org, at=at)
                if old != new:
                    found.add((org, action, new))
    return found


@pytest.mark.parametrize("seed", range(150))
def test_diff_is_empty_if_and_only_if_no_request_tells_the_two_apart(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311  policies are no secret
    small = (Small, Lasting, Spread, Closed, Closed)[seed // 30](rng)
    one, other = small.policies()
    found = difference(one, other)
    listed = {(each.org, each.action, True) for each in found.gains}
    listed |= {(each.org, each.action, False) for each in found.losses}
    expected = apart(one, other, small)
    print(f"{len(listed)} lines for {len(expected)} of the actions and orgs in which somebody is decided otherwise")  # noqa: T201  the figures, with -s
    all_places = {"*": small.places, None: small.places}
    everywhere = {(place, *rest) for org, *rest in listed for place in all_places.get(org, (org,))}
    assert expected <= everywhere
    assert {each for each in listed if each[0] not in all_places} <= expected
    assert {(action, gained) for _, action, gained in listed} == {(action, gained) for _, action, gained in expected}
