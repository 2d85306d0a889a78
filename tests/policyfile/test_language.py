from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stguard import policyfile
from stguard.errors import Severity
from stguard.model import (
    AllOf,
    AnyOf,
    Assignment,
    ClaimIs,
    ClaimPath,
    DomainIs,
    EmailIs,
    Forbid,
    GroupIs,
    InlineTest,
    Membership,
    Not,
    OnDeny,
    Page,
    PermissionIs,
    PolicyParts,
    Public,
    Revocation,
    Role,
    RoleIs,
    Separation,
    Sessions,
    SignedIn,
    Who,
    WhoKind,
)

NOW = 1_790_000_000.0

BEGINNER = """\
stguard: 1
roles: {admin: {}}
assign:
  - {role: admin, email: ann@acme.com}
pages:
  home: signed_in
  settings: {role: admin}
"""

FULL = (Path(__file__).parent / "full-example.yaml").read_text(encoding="utf-8")

TWO_ORGS = """\
stguard: 1
permissions: {report: [view, edit]}
orgs: [acme, globex]
roles:
  viewer: {allow: "report:view"}
  editor: {inherits: viewer, allow: "report:edit"}
"""


def parts_of(text: str) -> PolicyParts:
    reading = policyfile.parse([("policy.yaml", text)], now=NOW)
    assert reading.parts is not None, "\n".join(map(str, reading.problems))
    return reading.parts


def codes_of(text: str) -> list[str]:
    return [problem.code for problem in policyfile.parse([("policy.yaml", text)], now=NOW).problems]


def claims_of(test: InlineTest) -> Any:
    return test.claims


def test_a_beginners_policy_loads_without_a_problem() -> None:
    reading = policyfile.parse([("policy.yaml", BEGINNER)], now=NOW)
    assert reading.problems == ()
    assert reading.parts == PolicyParts(
        roles={"admin": Role("admin")},
        assignments=(Assignment("admin:email:ann@acme.com", "admin", None, Who(WhoKind.EMAIL, "ann@acme.com")),),
        pages={"home": Page("home", SignedIn()), "settings": Page("settings", RoleIs(("admin",)))},
    )
    assert not reading.parts.multi_tenant


def test_the_full_example_loads_without_an_error() -> None:
    reading = policyfile.parse([("policy.yaml", FULL)], now=NOW)
    assert [p.code for p in reading.problems] == ["role-unassigned"]
    assert reading.problems[0].severity is Severity.WARNING


def test_the_full_example_has_its_catalogue_orgs_and_roles() -> None:
    parts = parts_of(FULL)
    assert parts.permissions == (
        "report:view", "report:edit", "report:export", "billing:view", "billing:approve", "billing:pay",
        "member:view", "member:invite", "member:remove", "policy:view", "policy:edit",
    )  # fmt: skip
    assert parts.orgs == {"acme": "acme", "globex": "globex"}
    assert parts.multi_tenant
    assert dict(parts.roles) == {
        "viewer": Role("viewer", (), ("report:view",)),
        "analyst": Role("analyst", ("viewer",), ("report:edit", "report:export")),
        "approver": Role("approver", ("viewer",), ("billing:view", "billing:approve")),
        "payer": Role("payer", ("viewer",), ("billing:view", "billing:pay")),
        "org_admin": Role("org_admin", ("analyst",), ("member:view", "member:invite", "member:remove")),
        "support": Role("support", (), ("report:view", "billing:view", "member:view"), cross_org=True),
    }


def test_the_full_example_has_its_assignments_forbids_and_separations() -> None:
    parts = parts_of(FULL)
    assert parts.assignments == (
        Assignment("acme-admin", "org_admin", "acme", Who(WhoKind.EMAIL, "ann@acme.com")),
        Assignment("acme-staff", "viewer", "acme", Who(WhoKind.DOMAIN, "acme.com")),
        Assignment("acme-analysts", "analyst", "acme", Who(WhoKind.GROUP, "acme-analysts")),
        Assignment("globex-pay", "payer", "globex", Who(WhoKind.CLAIM, "finance", "department")),
        Assignment(
            "oncall-42", "support", "*", Who(WhoKind.EMAIL, "sam@vendor.io"), 1793491200.0, 1796083200.0, "TICKET-42"
        ),
    )
    assert parts.forbids == (Forbid("no-contractor-export", Who(WhoKind.GROUP, "contractors"), ("report:export",)),)
    assert parts.separations == (Separation("four-eyes", ("approver", "payer")),)


def test_the_full_example_has_its_pages_and_sections() -> None:
    parts = parts_of(FULL)
    invited = AllOf((PermissionIs(("member:invite",)), Not(GroupIs(("contractors",)))))
    assert dict(parts.pages) == {
        "home": Page("home", SignedIn()),
        "status": Page("status", Public()),
        "reports": Page("reports", PermissionIs(("report:view",))),
        "billing": Page("billing", AnyOf((PermissionIs(("billing:view",)), RoleIs(("org_admin",))))),
        "members": Page("members", invited),
        "beta": Page("beta", RoleIs(("analyst",)), hidden=True, on_deny=OnDeny.LOCK),
    }
    assert parts.sections == {"Admin": RoleIs(("org_admin",))}


def test_the_full_example_has_its_identity_sessions_revocations_and_tests() -> None:
    parts = parts_of(FULL)
    assert parts.identity.provider == "auto"
    assert parts.identity.role_names == {"Admin": "org_admin"}
    assert parts.sessions == Sessions(max_age=43200.0, idle=1800.0)
    assert parts.revocations == (Revocation(Who(WhoKind.EMAIL, "eve@acme.com"), 1795165200.0, "left"),)
    assert len(parts.tests) == 5
    first, second, _, fourth, last = parts.tests
    assert (first.file, first.line, first.column) == ("policy.yaml", 42, 5)
    assert first.claims == {"email": "ann@acme.com", "email_verified": True, "groups": []}
    assert (first.org, first.can, first.cannot) == ("acme", ("member:remove", "report:export"), ("billing:pay",))
    assert first.sees == ("home", "status", "reports", "billing", "members", "beta")
    assert second.sees is None
    assert fourth.at == 1796083200.0
    assert last.claims is None
    assert last.sees == ("status",)


@pytest.mark.parametrize("text", ["no", "yes", "012", "12:30", "1e3", "0x1F", "null", "~", "2026-01-01", "true", "1.0"])
def test_a_scalar_is_the_text_that_stands_in_the_file(text: str) -> None:
    parts = parts_of(
        f"stguard: 1\nroles: {{{text}: {{}}}}\nassign: [{{role: {text}, group: {text}}}]\n"
        f"pages: {{{text}: {{role: {text}}}}}\n"
    )
    assert list(parts.roles) == [text]
    assert parts.assignments[0].who == Who(WhoKind.GROUP, text)
    assert parts.pages[text].rule == RoleIs((text,))


def test_in_claims_of_a_test_unquoted_words_and_numbers_mean_what_they_mean_in_json() -> None:
    parts = parts_of(
        "stguard: 1\ntests:\n"
        '  - {as: {a: true, b: false, c: null, d: 12, e: -1.5e3, f: "true", g: "12",'
        " h: 012, i: yes, j: [1, x], k: ~}, can: []}\n"
    )
    assert claims_of(parts.tests[0]) == {
        "a": True, "b": False, "c": None, "d": 12, "e": -1500.0, "f": "true", "g": "12", "h": "012", "i": "yes",
        "j": [1, "x"], "k": "~",
    }  # fmt: skip


def test_a_number_that_no_machine_holds_stays_text() -> None:
    parts = parts_of(f"stguard: 1\ntests:\n  - {{as: {{n: {'9' * 6000}, e: 1e999}}, can: []}}\n")
    assert claims_of(parts.tests[0]) == {"n": "9" * 6000, "e": float("inf")}


def test_one_name_may_stand_alone_wherever_a_list_is_expected() -> None:
    alone = "stguard: 1\npermissions: report\nroles: {a: {allow: report}, b: {inherits: a}}\n"
    alone += "assign: [{role: b, group: g}]\n"
    parts = parts_of(alone)
    assert parts.permissions[0] == "report"
    assert parts.roles["b"].inherits == ("a",)


def test_duplicates_never_matter() -> None:
    once = parts_of(BEGINNER)
    twice = parts_of(
        BEGINNER.replace("pages:", "  - {email: ann@acme.com, role: admin}\npages:").replace(
            "role: admin}", "role: [admin, admin]}", 0
        )
    )
    assert once == twice


def test_a_made_id_does_not_depend_on_the_position_but_on_the_content() -> None:
    parts = parts_of(
        TWO_ORGS + "assign:\n"
        "  - {role: viewer, org: acme, email: ANN@acme.com}\n"
        "  - {role: viewer, org: globex, claim: {dept: it}}\n"
        '  - {role: editor, org: acme, everyone: signed_in, from: "2026-01-01T00:00:00Z", reason: x}\n'
        'forbid:\n  - {permission: ["report:edit", "report:view"], org: acme, group: g}\n'
    )
    assert [a.id for a in parts.assignments] == [
        "viewer@acme:email:ann@acme.com",
        "viewer@globex:claim:dept=it",
        "editor@acme:signed_in:2026-01-01T00:00:00Z..",
    ]
    assert parts.forbids[0].id == "not report:edit,report:view@acme:group:g"


@pytest.mark.parametrize(
    ("written", "compared"),
    [
        ("Ann@ACME.com", "ann@acme.com"),
        ("\N{FULLWIDTH LATIN CAPITAL LETTER A}nn@acme.com", "ann@acme.com"),
        ("stra\u00dfe@x.de", "strasse@x.de"),
    ],
)
def test_an_email_is_compared_case_folded_and_normalised(written: str, compared: str) -> None:
    parts = parts_of(f"{BEGINNER}sections: {{A: {{email: '{written}'}}}}\n".replace("ann@acme.com", written))
    assert parts.assignments[0].who.value == compared
    assert parts.sections["A"] == EmailIs((compared,))


def test_a_wildcard_stands_for_a_whole_segment_of_the_catalogue() -> None:
    parts = parts_of(
        'stguard: 1\npermissions: ["a:x", "a:y", "b:x", whole, "p::q"]\nroles:\n'
        '  area: {allow: "a:*"}\n  verb: {allow: "*:x"}\n  every: {allow: "*:*"}\n  policy: {allow: "policy:*"}\n'
        '  rest: {allow: [whole, "p::q"]}\nidentity: {roles: roles}\n'
    )
    assert {name: role.allow for name, role in parts.roles.items()} == {
        "area": ("a:x", "a:y"),
        "verb": ("a:x", "b:x"),
        "every": ("a:x", "a:y", "b:x"),
        "policy": ("policy:view", "policy:edit"),
        "rest": ("whole", "p::q"),
    }


def test_the_built_in_permissions_can_be_named_but_not_reached_by_a_verb() -> None:
    parts = parts_of(
        'stguard: 1\npermissions: {a: [view]}\nroles: {r: {allow: ["*:view", "policy:edit"]}}\n'
        "assign: [{role: r, group: g}]\n"
    )
    assert parts.roles["r"].allow == ("a:view", "policy:edit")


def test_orgs_have_names_or_come_from_identity() -> None:
    named = parts_of(
        "stguard: 1\norgs: {acme: {name: Acme Inc}, globex: null, third: , fourth: {}}\nroles: {a: {}}\n"
        "assign: [{role: a, org: acme, group: g}]\npages: {p: {role: a}}\n"
    )
    assert named.orgs == {"acme": "Acme Inc", "globex": "globex", "third": "third", "fourth": "fourth"}
    free = parts_of(
        "stguard: 1\norgs: from_identity\nroles: {a: {}}\nassign: [{role: a, org: any, group: g}]\n"
        "pages: {p: {role: a, org: other}}\n"
    )
    assert free.orgs_from_identity
    assert free.orgs == {}
    assert free.multi_tenant
    assert free.assignments[0].org == "any"


def test_a_forbid_of_every_page_holds_for_the_unlisted_ones_too() -> None:
    parts = parts_of(
        BEGINNER + '  "*": signed_in\nforbid: [{page: "*", group: g}, {page: home, permission: "policy:*", group: g}]\n'
    )
    assert parts.forbids[0].pages == ("home", "settings", "*")
    assert parts.forbids[1].permissions == ("policy:view", "policy:edit")


def test_several_keys_of_a_rule_mean_all_and_several_names_mean_any() -> None:
    parts = parts_of(
        BEGINNER + "sections: {A: {role: [admin, admin], claim: {a: [x, y], b: z}, domain: ACME.com, not: signed_in}}\n"
    )
    assert parts.sections["A"] == AllOf(
        (
            RoleIs(("admin",)),
            AllOf((ClaimIs("a", ("x", "y")), ClaimIs("b", ("z",)))),
            DomainIs(("acme.com",)),
            Not(SignedIn()),
        )
    )


def test_the_keys_of_one_provider_go_over_the_general_ones() -> None:
    parts = parts_of(
        TWO_ORGS + "assign: [{role: editor, org: acme, group: g}]\n"
        "identity:\n"
        "  provider: none\n"
        "  trust_email: true\n"
        "  roles: https://acme.io/roles\n"
        "  groups: [realm_access, groups]\n"
        '  orgs: {claim: [a, b], split: ",", field: name, when_true: acme}\n'
        "  role_names: {Boss: editor}\n"
        "  org_names: {Acme Inc: acme}\n"
        '  permission_names: {can_view: "report:view"}\n'
        "  accept: {iss: https://a, aud: [x, y]}\n"
        "  providers:\n"
        "    okta: {trust_email: false, role_names: {Reader: viewer}, accept: {iss: https://b}}\n"
    )
    general, okta = parts.identity, parts.identity.providers["okta"]
    assert (general.provider, general.trust_email) == ("none", True)
    assert general.roles == ClaimPath(path=("https://acme.io/roles",))
    assert general.groups == ClaimPath(path=("realm_access", "groups"))
    assert general.orgs == ClaimPath(path=("a", "b"), split=",", field="name", when_true="acme")
    assert general.org_names == {"Acme Inc": "acme"}
    assert general.permission_names == {"can_view": "report:view"}
    assert (general.issuers, general.audiences) == (("https://a",), ("x", "y"))
    assert (okta.provider, okta.trust_email, okta.roles) == ("none", False, general.roles)
    assert okta.role_names == {"Reader": "viewer"}
    assert (okta.issuers, okta.audiences) == (("https://b",), ("x", "y"))


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("12h", 43200), ("7d", 604800), ("1h30m", 5400)]
)
def test_a_duration_adds_up_its_parts(text: str, seconds: int) -> None:
    parts = parts_of(BEGINNER + f"sessions: {{max_age: {text}, expire_with_token: true}}\n")
    assert parts.sessions == Sessions(max_age=float(seconds), expire_with_token=True)


def test_what_an_identity_source_would_say_stands_in_a_test() -> None:
    parts = parts_of(
        TWO_ORGS + "assign: [{role: editor, org: acme, group: g}]\ntests:\n"
        "  - {as: {sub: x}, name: a name, roles: viewer, groups: null,"
        " memberships: [{org: acme, roles: [a], permissions: null, name: A}], can: []}\n"
        "  - {as: {sub: x}, roles: , memberships: null, can: []}\n"
    )
    first, second = parts.tests
    assert first.name == "a name"
    assert (first.roles, first.groups) == (("viewer",), None)
    assert first.memberships == (Membership(org="acme", name="A", roles=("a",), permissions=None),)
    assert (second.roles, second.groups, second.memberships) == (None, (), None)


def test_files_of_a_folder_are_merged_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "stguard: 1\nroles: {admin: {}}\nassign: [{role: admin, group: a}]\npages: {home: signed_in}\n"
    )
    (tmp_path / "b.yaml").write_text(
        "roles: {boss: {inherits: admin}}\nassign: [{role: boss, group: b}]\npages: {settings: {role: admin}}\n"
    )
    (tmp_path / ".hidden.yaml").write_text("nonsense")
    (tmp_path / "notes.txt").write_text("nonsense")
    reading = policyfile.load(tmp_path, now=NOW)
    assert reading.parts is not None
    assert list(reading.parts.roles) == ["admin", "boss"]
    assert list(reading.parts.pages) == ["home", "settings"]
    assert len(reading.parts.assignments) == 2


def test_each_file_may_state_the_version_but_not_another_one() -> None:
    good = policyfile.parse([("a", "stguard: 1\n"), ("b", "stguard: 1\nroles: {}\n")], now=NOW)
    bad = policyfile.parse([("a", "stguard: 1\n"), ("b", "stguard: 2\nroles: {}\n")], now=NOW)
    assert good.parts is not None
    assert [(p.file, p.code) for p in bad.problems] == [("b", "unknown-version")]


def test_a_byte_order_mark_is_no_part_of_the_policy(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + BEGINNER.encode())
    assert policyfile.load(path, now=NOW).parts == parts_of(BEGINNER)
    assert policyfile.parse([("p", "\ufeff" + BEGINNER)], now=NOW).parts == parts_of(BEGINNER)


def test_windows_line_ends_count_once() -> None:
    reading = policyfile.parse([("p", (BEGINNER + "colour: red\n").replace("\n", "\r\n"))], now=NOW)
    assert [(p.line, p.column, p.code) for p in reading.problems] == [(8, 1, "unknown-key")]


def test_separated_roles_in_different_orgs_or_periods_are_fine() -> None:
    rules = "separation: [{roles: [viewer, writer]}]\n"
    base = TWO_ORGS.replace("editor: {inherits: viewer,", "writer: {") + rules
    fine = base + (
        "assign:\n  - {role: viewer, org: acme, email: a@x.io}\n  - {role: writer, org: globex, email: a@x.io}\n"
        '  - {role: viewer, org: globex, email: b@x.io, until: "2036-01-01T00:00:00Z", reason: t}\n'
        '  - {role: writer, org: globex, email: b@x.io, from: "2036-01-01T00:00:00Z", reason: t}\n'
        "  - {role: viewer, org: globex, group: g}\n  - {role: writer, org: globex, group: h}\n"
    )
    assert codes_of(fine) == []
    assert codes_of(fine + "  - {role: writer, org: globex, group: g}\n") == ["separation-broken"]
