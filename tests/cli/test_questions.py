from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run

KEYS = {"allowed", "reason", "rule", "missing", "org", "action", "at"}


# --- explain ----------------------------------------------------------------------------------------------------------


def test_an_allowed_request_exits_with_0(team: Run) -> None:
    ran = team("explain", "page:home", "--as", "vic@acme.com", "--json")
    assert ran.code == 0
    assert set(ran.json) == KEYS
    assert (ran.json["allowed"], ran.json["reason"]) == (True, "signed_in")


def test_a_denied_request_exits_with_3_and_says_what_would_change_it(team: Run) -> None:
    ran = team("explain", "page:settings", "--as", "vic@acme.com", "--at", "2026-11-20T10:00:00+01:00", "--json")
    assert ran.code == 3
    assert set(ran.json) == KEYS
    assert ran.json["allowed"] is False
    assert ran.json["missing"]
    assert (ran.json["org"], ran.json["action"], ran.json["at"]) == (None, "page:settings", "2026-11-20T09:00:00Z")


def test_the_readable_answer_has_reason_and_what_would_change_it(team: Run) -> None:
    ran = team("explain", "page:home", "--as", "anonymous", "--at", "2026-11-20T09:00:00Z")
    assert ran.code == 3
    assert ran.out.splitlines()[:4] == [
        "denied: page:home",
        "  who     anonymous (nobody signed in)",
        "  at      2026-11-20T09:00:00Z",
        "  reason  not signed in",
    ]
    assert "what would change it" in ran.out


def test_one_word_is_the_action_and_two_are_policy_and_action(team: Run) -> None:
    assert team("explain", "page:status", "--as", "anonymous").code == 0
    assert team("explain", "policy.yaml", "page:status", "--as", "anonymous").code == 0
    for words in ([], ["policy.yaml", "page:status", "more"]):
        ran = team("explain", *words, "--as", "anonymous")
        assert ran.code == 2
        assert "expected [POLICY] ACTION, got" in ran.error


def test_an_email_alone_leaves_the_groups_unknown_and_the_answer_says_so(team: Run) -> None:
    ran = team("explain", "report:export", "--as", "ann@acme.com")
    assert ran.code == 3
    assert "  reason  unknown\n" in ran.out
    assert ran.out.splitlines()[-1].startswith("note: an e-mail alone does not tell the groups and roles")


def test_a_file_of_claims_says_everything(team: Run, tmp_path: Path) -> None:
    claims = {"sub": "1", "email": "ann@acme.com", "email_verified": True, "groups": []}
    (tmp_path / "ann.json").write_text(json.dumps(claims), encoding="utf-8-sig")
    ran = team("explain", "report:export", "--as", "ann.json")
    assert ran.code == 0
    assert "note:" not in ran.out


def test_the_org_and_the_moment_count(orgs: Run) -> None:
    assert orgs("explain", "report:view", "--as", "ann@acme.com", "--org", "initech", "--json").json["reason"] == (
        "not_a_member"
    )
    ran = orgs("explain", "page:acme", "--as", "ann@acme.com", "--org", "acme")
    assert ran.code == 0
    assert "  org     acme\n" in ran.out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["report:exprt", "--as", "a@b.c"], "unknown permission `report:exprt`; did you mean `report:export`?"),
        (["page:hme", "--as", "a@b.c"], "unknown page `hme`; did you mean `home`?"),
        (["page:zzz", "--as", "a@b.c"], "unknown page `zzz`; known are `home`, "),
        (["report:*", "--as", "a@b.c"], "unknown permission `report:*`"),
        (["report:view", "--as", "a@b.c", "--org", "acme"], "org `acme` given, but the policy has no `orgs`"),
        (["report:view"], "Missing option '--as'"),
        (["report:view", "--as", "ann"], "expected an e-mail, a JSON file of claims, or `anonymous`, got `ann`"),
        (["report:view", "--as", "@"], "expected an e-mail, a JSON file of claims, or `anonymous`, got `@`"),
        (["report:view", "--as", "gone.json"], "can't read `gone.json`: no such file or directory"),
        (["report:view", "--as", "folder"], "can't read `folder`: is a directory"),
        (["report:view", "--as", "list.json"], "`list.json`: expected a JSON object of claims, got list"),
        (["report:view", "--as", "bad.json"], "`bad.json` is not JSON:"),
        (["report:view", "--as", "deep.json"], "`deep.json` is not JSON:"),
        (["report:view", "--as", "bytes.json"], "`bytes.json` is not JSON:"),
        (["report:view", "--as", "a\0@b"], "expected an e-mail, a JSON file of claims"),
        (["report:view", "--as", "a@b.c", "--at", "noon"], "`noon` is no moment; expected ISO 8601 with a zone"),
        (["report:view", "--as", "a@b.c", "--at", "2026-11-20T09:00"], "`2026-11-20T09:00` has no time zone; expected"),
        (["report:view", "--as", "a@b.c", "--at", "0001-01-01T00:00:00+23:00"], "is out of range; expected ISO 8601"),
        (["report:view", "--as", "a@b.c", "--nonsense"], "No such option"),
    ],
)
def test_a_question_that_makes_no_sense_is_wrong_usage(
    team: Run, tmp_path: Path, args: list[str], message: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "bytes.json").write_bytes(b'"\xff"')
    for more in ([], ["--json"]):
        ran = team("explain", *args, *more)
        assert (ran.code, ran.out) == (2, "")
        assert message in ran.err


# --- decide -----------------------------------------------------------------------------------------------------------

ANN = {"sub": "1", "email": "ann@acme.com", "email_verified": True, "groups": []}


def decide(run: Run, *requests: object, args: tuple[str, ...] = ()) -> tuple[int, list[dict[str, Any]]]:
    lines = [r if isinstance(r, bytes) else json.dumps(r).encode() for r in requests]
    ran = run("decide", "-", *args, stdin=b"\n".join(lines))
    return ran.code, [json.loads(line) for line in ran.out.splitlines()]


def test_each_request_gets_its_line_in_order(orgs: Run) -> None:
    held = [{"org": "initech", "roles": ["viewer"]}]
    code, answers = decide(
        orgs,
        {"claims": ANN, "org": "acme", "action": "report:view", "at": "2026-11-20T09:00:00Z"},
        {"claims": None, "action": "page:home"},
        {"claims": ANN, "org": "initech", "action": "report:view", "memberships": held},
    )
    assert code == 0
    assert [set(answer) for answer in answers] == [KEYS, KEYS, KEYS]
    assert [(answer["action"], answer["org"]) for answer in answers] == [
        ("report:view", "acme"), ("page:home", None), ("report:view", "initech"),
    ]  # fmt: skip
    assert answers[0]["at"] == "2026-11-20T09:00:00Z"
    assert answers[1]["reason"] == "not_signed_in"


def test_what_an_identity_source_adds_counts(team: Run) -> None:
    claims = {"sub": "1", "groups": [], "department": "it"}
    asked = {"claims": claims, "action": "report:view"}
    _, answers = decide(
        team, asked, asked | {"roles": ["viewer"]}, asked | {"roles": None}, asked | {"groups": ["staff"]}
    )
    assert [answer["allowed"] for answer in answers] == [False, True, False, True]
    assert answers[2]["reason"] == "unknown"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "not JSON: expecting property name"),
        (b"\xff", "not UTF-8"),
        (b"{}\0", "not JSON: extra data"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "expected a JSON object, got a list"),
        (b"1" * 5000, "not JSON: "),
        (b"{}", "no `action`; expected a permission such as `report:view`, or `page:NAME`"),
        (b'{"action": 3}', "expected text or null in `action`, got a number"),
        (b'{"action": "report:view", "claim": {}}', "unknown key `claim`; expected claims, roles"),
        (b'{"action": "report:view", "claims": []}', "expected an object or null in `claims`, got a list"),
        (b'{"action": "report:view", "roles": "x"}', "expected a list of texts or null in `roles`, got text"),
        (b'{"action": "report:view", "memberships": {}}', "expected a list or null in `memberships`, got an object"),
        (b'{"action": "report:view", "memberships": [1]}', "expected an object in `memberships`, got a number"),
        (b'{"action": "report:view", "memberships": [{}]}', "no `org` in an entry of `memberships`"),
        (
            b'{"action": "report:view", "memberships": [{"org": "a", "role": []}]}',
            "unknown key `role` in `memberships`",
        ),
        (b'{"action": "report:view", "at": true}', "expected text or null in `at`, got true or false"),
        (b'{"action": "report:view", "at": "noon"}', "`noon` is no moment; expected ISO 8601 with a zone"),
        (b'{"action": "report:view", "org": "acme"}', "org `acme` given, but the policy has no `orgs`"),
        (b'{"action": "report:exprt"}', "unknown permission `report:exprt`; did you mean `report:export`?"),
        (b'{"action": "page:x"}', "unknown page `x`"),
    ],
)
def test_a_line_that_can_not_be_read_gets_an_error_in_its_place(team: Run, line: bytes, message: str) -> None:
    good = {"claims": None, "action": "page:status"}
    code, (first, error, last) = decide(team, good, line, good)
    assert code == 1
    assert first["allowed"]
    assert last["allowed"]
    assert set(error) == {"error"}
    assert message in error["error"]


def test_blank_lines_are_skipped_and_a_byte_order_mark_is_not_content(team: Run) -> None:
    good = json.dumps({"claims": None, "action": "page:status"}).encode()
    code, answers = decide(team, b"\xef\xbb\xbf" + good, b"", b"  \r", good + b"\r")
    assert code == 0
    assert len(answers) == 2


def test_claims_of_absurd_shapes_get_an_answer(team: Run) -> None:
    shapes = [
        {},
        {"sub": 1},
        {"sub": {"a": []}},
        {"groups": "\ud800"},
        {"email": ["a"]},
        {"iss": [[[]]]},
        {"\ud800": 1},
    ]
    code, answers = decide(team, *({"claims": claims, "action": "report:export"} for claims in shapes))
    assert code == 0
    assert [answer["allowed"] for answer in answers] == [False] * len(shapes)


def test_requests_come_from_a_file_too(team: Run, tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text('{"action": "page:status"}\n')
    for args in (["r.jsonl"], ["policy.yaml", "r.jsonl"], ["r.jsonl", "--json"]):
        ran = team("decide", *args)
        assert ran.code == 0
        assert ran.json["allowed"] is True


@pytest.mark.parametrize("name", ["gone.jsonl", ".", "a\0b"])
def test_requests_that_can_not_be_opened_are_wrong_usage(team: Run, name: str) -> None:
    ran = team("decide", "policy.yaml", name)
    assert (ran.code, ran.out) == (2, "")
    assert "can't read the requests" in ran.error


def test_no_requests_are_wrong_usage(team: Run) -> None:
    assert team("decide").code == 2


def test_a_question_in_no_org_says_which_org_would_do_and_how_to_name_it(orgs: Run, tmp_path: Path) -> None:
    claims = {"email": "ann@acme.com", "email_verified": True, "department": "sales"}
    (tmp_path / "ann.json").write_text(json.dumps(claims))
    ran = orgs("explain", "report:view", "--as", "ann.json")
    assert ran.code == 3
    assert "  - org `acme` as the active one\n" in ran.out
    assert "note: no org was asked for; name one with --org\n" in ran.out
