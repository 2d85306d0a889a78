"""What was tried to be let in by, and is not: each test is an attempt that once succeeded."""

from __future__ import annotations

import os
import stat
import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from stguard.errors import ConfigurationError, PolicyFileError
from stguard.model import GroupIs, Not, OrgIs, Reason, RoleIs
from stguard.policy import Policy
from stguard.store import PolicyStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ANN = {"iss": "https://idp.example", "sub": "1", "email": "ann@acme.com", "email_verified": True, "groups": []}


def policy(text: str) -> Policy:
    return Policy.from_yaml("stguard: 1\n" + text)


def ann(**more: Any) -> dict[str, Any]:
    return {**ANN, "roles": [], **more}


# --- forbids ---------------------------------------------------------------------------------------------------------


def test_a_forbid_of_every_page_closes_pages_that_are_not_listed_too() -> None:
    made = policy('pages: {home: signed_in, "*": signed_in}\nforbid: [{id: all, page: "*", email: ann@acme.com}]\n')
    subject = made.subject(ann())
    for page in ("home", "never-listed"):
        assert not made.allows(subject, f"page:{page}")
        assert made.decide(subject, f"page:{page}").rule == "all"
    assert made.allows(made.subject(ann(email="bob@acme.com")), "page:never-listed")


def test_a_forbid_of_every_page_closes_pages_that_only_code_gives_a_rule() -> None:
    made = policy('roles: {admin: {}}\npages: {home: public}\nforbid: [{page: "*", email: ann@acme.com}]\n')
    subject = made.subject(ann(roles=["admin"]))
    assert not made.opens(subject, "in-code", extra=made.rule(RoleIs(("admin",))))
    other = made.subject(ann(email="bob@acme.com", roles=["admin"]))
    assert made.opens(other, "in-code", extra=made.rule(RoleIs(("admin",))))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{permission: "report:view", claim: {a: "b=c"}}', '{permission: "report:view", claim: {"a=b": c}}'),
        (
            '{id: "not report:view:claim:a=b=c", permission: "report:view", group: g}',
            '{permission: "report:view", claim: {"a=b": c}}',
        ),
    ],
)
def test_a_forbid_is_not_lost_to_another_whose_id_reads_alike(one: str, other: str) -> None:
    made = policy(
        "permissions: {report: [view]}\nroles: {viewer: {allow: 'report:view'}}\n"
        f"assign: [{{role: viewer, everyone: signed_in}}]\nforbid:\n  - {one}\n  - {other}\n"
    )
    assert len(made.parts.forbids) == 2
    assert not made.allows(made.subject(ann(a="z", **{"a=b": "c"})), "report:view")


def test_a_separation_is_not_lost_to_another_with_the_id_made_of_it() -> None:
    made = policy(
        "roles: {a: {}, b: {}, c: {}, d: {}}\nassign: [{role: a, group: g1}, {role: b, group: g2}]\n"
        'separation: [{id: "separate a,b", roles: [c, d]}, {roles: [a, b]}]\npages: {home: {role: a}}\n'
    )
    assert not made.allows(made.subject(ann(groups=["g1", "g2"])), "page:home")


def test_a_policy_file_that_is_not_read_because_of_its_ending_is_reported(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("stguard: 1\npages: {home: signed_in}\n", encoding="utf-8")
    (tmp_path / "forbids.yml").write_text("forbid: [{page: home, group: contractors}]\n", encoding="utf-8")
    assert [problem.code for problem in Policy.load(tmp_path).problems] == ["not-read"]


@pytest.mark.parametrize("character", ["\x85", "\u2028", "\u2029", "\u202e", "\u2066"])
def test_nothing_hides_in_a_comment(character: str) -> None:
    with pytest.raises(PolicyFileError, match="is not allowed in a policy"):
        policy(
            "roles: {admin: {}}\nassign:\n  - {role: admin, email: ann@acme.com}\n"
            f"  # harmless{character}  - {{role: admin, email: eve@evil.com}}\npages: {{home: {{role: admin}}}}\n"
        )


# --- separation ------------------------------------------------------------------------------------------------------


def test_what_is_held_only_through_a_separated_role_lifts_no_not() -> None:
    made = policy(
        "roles: {base: {}, admin: {inherits: base}, auditor: {}}\nseparation: [{roles: [admin, auditor]}]\n"
        "pages: {newcomers: {not: {role: base}}}\n"
    )
    subject = made.subject(ann(roles=["admin", "auditor"]))
    assert not made.allows(subject, "page:newcomers")
    assert not made.holds(subject, made.rule(Not(RoleIs(("base",)))))
    assert made.decide(subject, "page:newcomers").allowed is False


def test_what_is_held_only_through_a_separated_role_lifts_no_forbid() -> None:
    made = policy(
        "permissions: {report: [view]}\n"
        "roles: {base: {}, admin: {inherits: base}, auditor: {}, viewer: {allow: 'report:view'}}\n"
        "separation: [{roles: [admin, auditor]}]\nforbid: [{permission: 'report:view', role: base}]\n"
    )
    assert not made.allows(made.subject(ann(roles=["admin", "auditor", "viewer"])), "report:view")


def test_roles_that_separation_drops_make_nobody_a_member() -> None:
    made = policy(
        "orgs: [acme]\nroles: {approver: {}, payer: {}}\nseparation: [{id: four-eyes, roles: [approver, payer]}]\n"
        "assign: [{role: approver, org: acme, group: g1}, {role: payer, org: acme, group: g2}]\n"
        "pages: {board: {org: acme}}\n"
    )
    subject = made.subject(ann(groups=["g1", "g2"]))
    decision = made.decide(subject, "page:board", org="acme")
    assert (decision.allowed, decision.reason) == (False, Reason.SEPARATED)
    assert made.membership(subject, "acme") is None
    assert made.allows(made.subject(ann(groups=["g1"])), "page:board", org="acme")


# --- orgs ------------------------------------------------------------------------------------------------------------

ANY_ORG = (
    "orgs: from_identity\npermissions: {report: [view]}\n"
    "roles: {viewer: {allow: 'report:view'}, support: {cross_org: true, allow: 'report:view'}}\n"
    "assign: [{role: support, org: '*', email: sam@vendor.io}]\n"
)


@pytest.mark.parametrize("org", ["*", ""])
def test_no_identity_source_makes_anybody_a_member_of_every_org(org: str) -> None:
    made = policy(ANY_ORG)
    subject = made.subject(ann(), memberships=[{"org": org, "roles": ["viewer"]}])
    assert made.memberships(subject) == ()
    assert made.membership(subject, org) is None
    with pytest.raises(ConfigurationError):
        made.allows(subject, "report:view", org=org)


def test_the_org_of_cross_org_assignments_is_no_org_to_be_active_in() -> None:
    made = policy(ANY_ORG)
    sam = made.subject(ann(email="sam@vendor.io"))
    assert made.membership(sam, "*") is None
    assert made.allows(sam, "report:view", org="anywhere")


def test_a_rule_that_holds_a_plain_text_is_refused_since_it_would_match_pieces_of_it() -> None:
    made = policy(ANY_ORG)
    for rule in (OrgIs("acme"), GroupIs("acme")):  # type: ignore[arg-type]  # what an author without a type checker writes
        with pytest.raises(ConfigurationError):
            made.rule(rule)


def test_views_of_very_long_org_ids_are_not_kept() -> None:
    made = policy(ANY_ORG)
    subject = made.subject(ann())
    assert subject is not None
    assert made.membership(subject, "x" * 100_000) is None
    assert not any(isinstance(key, str) for key in subject.views)


@pytest.mark.parametrize("org", [["acme"], {"acme": 1}, 5, b"acme", list])
def test_an_org_of_another_type_is_the_same_error_whether_or_not_somebody_asked_before(org: Any) -> None:
    made = policy(ANY_ORG)
    subject = made.subject(ann(), memberships=[{"org": "acme", "roles": ["viewer"]}])
    for _ in range(2):
        with pytest.raises(ConfigurationError):
            made.allows(subject, "report:view", org=org)
        with pytest.raises(ConfigurationError):
            made.pages(subject, org=org)
        with pytest.raises(ConfigurationError):
            made.allows(subject, [org], org="acme")  # type: ignore[arg-type]  # the attack
        assert made.allows(subject, "report:view", org="acme")


# --- claims and sources ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [False, None, 0, "", "0", "false", "False", "no"])
def test_a_mapping_that_denies_a_role_gives_it_in_no_spelling(value: object) -> None:
    made = policy("roles: {admin: {}}\npages: {home: {role: admin}}\n")
    assert not made.allows(made.subject(ann(roles={"admin": value})), "page:home")


@pytest.mark.parametrize("key", ["inherited_user_roles_plus_current_role", "additional_roles"])
@pytest.mark.parametrize("value", ["contractor", {"contractor": {}}, 5])
def test_roles_of_an_org_in_an_unusable_form_lift_no_forbid(key: str, value: object) -> None:
    made = policy(
        "identity: {provider: propelauth}\norgs: [acme]\npermissions: {report: [view]}\n"
        "roles: {viewer: {allow: 'report:view'}, contractor: {}}\n"
        "forbid: [{permission: 'report:view', role: contractor}]\n"
    )
    entry = {"user_role": "viewer", "user_permissions": []}
    fine = made.subject(ann(org_id_to_org_member_info={"acme": {**entry, key: ["viewer"]}}))
    assert made.allows(fine, "report:view", org="acme")
    odd = made.subject(ann(org_id_to_org_member_info={"acme": {**entry, key: value}}))
    assert made.decide(odd, "report:view", org="acme").reason is Reason.UNKNOWN


def test_a_source_that_fails_while_it_is_read_leaves_the_facts_unknown() -> None:
    made = policy("orgs: [acme]\nroles: {viewer: {}}\npages: {home: {not: {role: viewer}}}\n")

    def failing() -> Iterator[Any]:
        yield {"org": "acme", "roles": []}
        raise TimeoutError

    subject = made.subject(ann(), roles=failing(), groups=failing(), memberships=failing())
    assert subject is not None
    assert {"roles", "groups", "memberships"} <= subject.unknown.keys()
    assert not made.allows(subject, "page:home", org="acme")


# --- time ------------------------------------------------------------------------------------------------------------

EDGES = [
    datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
]


@pytest.mark.parametrize("at", EDGES)
def test_a_moment_that_utc_does_not_have_is_refused_by_every_question(at: datetime) -> None:
    made = policy("roles: {admin: {}}\npages: {home: {role: admin}}\n")
    subject = made.subject(ann())
    for ask in (made.allows, made.decide):
        with pytest.raises(ConfigurationError):
            ask(subject, "page:home", at=at)


@pytest.mark.parametrize("at", EDGES)
def test_a_moment_that_utc_does_not_have_is_a_problem_of_the_file(at: datetime) -> None:
    with pytest.raises(PolicyFileError, match="expected a time"):
        policy(f"pages: {{home: signed_in}}\ntests: [{{as: anonymous, at: '{at.isoformat()}', sees: home}}]\n")


def test_a_view_that_was_kept_answers_for_no_moment_beyond_its_edges() -> None:
    made = policy(
        "roles: {v: {}}\npages: {home: {role: v}}\nassign:\n"
        "  - {role: v, email: ann@acme.com, from: '2026-01-01T00:00:00Z', until: '2026-01-02T00:00:00Z', reason: r}\n"
        "  - {role: v, group: g, from: '2026-01-02T00:00:00Z', until: '2026-01-02T00:00:01Z', reason: r}\n"
    )
    subject = made.subject(ann())
    first = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    moments = [first + edge + off for edge in (0, 86400, 86401) for off in (-1, -1e-6, 0, 1e-6, 1)]
    for at in [*moments, *reversed(moments), *moments[::2], *moments[1::2]]:
        fresh = made.allows(made.subject(ann()), "page:home", at=at)
        assert made.allows(subject, "page:home", at=at) is fresh is (first <= at < first + 86400)


# --- the policy in force ---------------------------------------------------------------------------------------------

GOOD = "stguard: 1\nroles: {admin: {}}\nassign: [{role: admin, email: ann@acme.com}]\npages: {home: {role: admin}}\n"


def opens_for_ann(store: PolicyStore) -> bool:
    made = store.current()
    return made.allows(made.subject(ann()), "page:home")


def test_an_edit_is_seen_though_length_time_and_file_stay_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stguard.store.SETTLED_AFTER", 0.0)
    path = tmp_path / "policy.yaml"
    path.write_text(GOOD, encoding="utf-8")
    store = PolicyStore(path)
    assert opens_for_ann(store)
    stamp = path.stat()
    while path.stat().st_ctime_ns == stamp.st_ctime_ns:
        with path.open("r+", encoding="utf-8") as file:
            file.write(GOOD.replace("ann@", "bob@"))
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert not opens_for_ann(store)


def test_an_editors_lock_file_hides_no_edit(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(GOOD, encoding="utf-8")
    (tmp_path / ".#policy.yaml").symlink_to("ann@host.1:2")
    (tmp_path / "gone.yml").symlink_to("nowhere")
    store = PolicyStore(tmp_path)
    assert opens_for_ann(store)
    (tmp_path / "policy.yaml").write_text(GOOD.replace("ann@", "robert@"), encoding="utf-8")
    assert not opens_for_ann(store)


def test_half_of_one_edit_and_half_of_another_never_rule_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assign = "assign: [{role: admin, everyone: signed_in}]\n"
    forbid = "forbid: [{page: home, everyone: signed_in}]\n"
    for version, (first, second) in {"1": (assign, forbid), "2": (forbid, assign)}.items():
        folder = tmp_path / version
        folder.mkdir()
        (folder / "a.yaml").write_text(first, encoding="utf-8")
        (folder / "b.yaml").write_text(second, encoding="utf-8")
        (folder / "c.yaml").write_text(
            "stguard: 1\nroles: {admin: {}}\npages: {home: {role: admin}}\n", encoding="utf-8"
        )
    link = tmp_path / "policies"
    link.symlink_to("1")

    def swap(version: str) -> None:
        (tmp_path / "new").symlink_to(version)
        (tmp_path / "new").replace(link)

    from stguard.policyfile import source  # noqa: PLC0415  only this test looks there

    read, swaps = source.content, iter("2121212121")

    def read_and_swap(path: Path, **more: Any) -> bytes | None:
        data = read(path, **more)
        if path.name == "a.yaml" and (version := next(swaps, None)) is not None:
            swap(version)
        return data

    monkeypatch.setattr(source, "content", read_and_swap)
    with pytest.raises(PolicyFileError, match="change while they are read"):
        PolicyStore(link).current()
    store = PolicyStore(link)
    for _ in range(8):
        try:
            assert not opens_for_ann(store)
        except PolicyFileError:
            continue
    assert not opens_for_ann(store)


def test_whatever_a_bad_edit_makes_the_reader_do_the_last_good_policy_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(GOOD, encoding="utf-8")
    keeps, denies = PolicyStore(path), PolicyStore(path, on_bad_edit="deny")
    assert opens_for_ann(keeps)
    assert opens_for_ann(denies)

    def fail(_path: object) -> Policy:
        raise RecursionError

    monkeypatch.setattr(Policy, "load", fail)
    path.write_text(GOOD + "# an edit\n", encoding="utf-8")
    assert opens_for_ann(keeps)
    with pytest.raises(PolicyFileError, match="RecursionError"):
        denies.current()


def test_a_policy_that_became_a_pipe_does_not_hold_everybody_up(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(GOOD, encoding="utf-8")
    store = PolicyStore(path)
    assert opens_for_ann(store)
    path.unlink()
    os.mkfifo(path)
    assert stat.S_ISFIFO(path.stat().st_mode)
    found: list[bool] = []
    asking = threading.Thread(target=lambda: found.append(opens_for_ann(store)), daemon=True)
    asking.start()
    asking.join(30)
    assert found == [True]
