"""PropelAuth's own client, unmodified, against a server that speaks its protocol and fails in every way."""

from __future__ import annotations

import importlib.util
import json
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

import stguard as sg
from stguard.moments import LocalMoments
from stguard.sources import propelauth as module
from stguard.sources.answers import Answer, Answers
from tests.propelauth.api import ACME, ANN, BEN, GLOBEX, KEY, Api, account, membership, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

AUTH_URL = "https://auth.acme.example"
CLAIMS = {"iss": AUTH_URL, "sub": ANN, "email": "ann@acme.com", "email_verified": True, "iat": 1000}

POLICY = sg.Policy.from_yaml(f"""
stguard: 1
permissions: {{report: [view, export], billing: [view]}}
orgs: {{{ACME}: {{}}, {GLOBEX}: {{}}}}
identity: {{provider: propelauth, permission_names: {{can_view_reports: "report:view"}}}}
roles:
  Member: {{}}
  Admin: {{allow: "report:export"}}
  Owner: {{inherits: Admin, allow: "billing:view"}}
forbid: [{{id: no-guests, permission: "report:view", role: Member, org: {GLOBEX}}}]
pages: {{}}
""")


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with serve(tmp_path_factory.mktemp("propelauth"), host="auth.acme.example") as api:
        yield api


@pytest.fixture
def api(running: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    for name, value in running.environ.items():
        monkeypatch.setenv(name, value)
        monkeypatch.delenv(name.lower(), raising=False)
    module._trust.cache_clear()
    module._client.cache_clear()
    module._ended[0] = LocalMoments()
    module._strangers.clear()
    running.recover()
    running.calls.clear()
    running.accounts = {
        ANN: account(ANN, "ann@acme.com", membership(ACME, "Acme", "Admin"), membership(GLOBEX, "Globex", "Member"))
    }
    return running


@pytest.fixture
def source(api: Api) -> sg.PropelAuth:
    assert api.go.is_set()
    return sg.PropelAuth(AUTH_URL, KEY)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def answers(source: sg.PropelAuth, clock: Clock) -> Answers:
    return Answers(source, clock=clock)


def subject(answer: Answer, claims: Any = CLAIMS) -> sg.Subject:
    facts = answer.facts
    found = POLICY.subject(
        claims,
        roles=facts.roles,
        groups=facts.groups,
        memberships=facts.memberships,
        unknown=facts.unknown,
        complete=facts.complete,
        active_org=facts.active_org,
        impersonator=facts.impersonator,
    )
    assert found is not None
    return found


# --- what it says


def test_orgs_roles_permissions_and_metadata_come_from_the_api(answers: Answers, api: Api) -> None:
    ann = subject(answers.get(CLAIMS))
    assert POLICY.allows(ann, "report:view", org=ACME)
    assert POLICY.allows(ann, "report:export", org=ACME)
    assert not POLICY.allows(ann, "billing:view", org=ACME)
    assert not POLICY.allows(ann, "report:export", org=GLOBEX)
    assert POLICY.decide(ann, "report:view", org=GLOBEX).reason is sg.Reason.FORBIDDEN
    acme = POLICY.membership(ann, ACME)
    assert acme is not None
    assert (acme.name, acme.roles, dict(acme.metadata)) == ("Acme", ("Member", "Admin"), {"color": "#0a7"})
    assert api.calls == [("GET", f"/api/backend/v1/user/{ANN}")]


def test_what_a_session_does_with_the_metadata_reaches_no_other(answers: Answers) -> None:
    ann = subject(answers.get(CLAIMS))
    for _ in range(2):
        acme = POLICY.membership(ann, ACME)
        assert acme is not None
        assert acme.metadata == {"color": "#0a7"}
        acme.metadata["color"] = "red"  # type: ignore[index]


def test_several_roles_at_once_all_count(answers: Answers, api: Api) -> None:
    api.accounts[ANN] = account(
        ANN,
        "ann@acme.com",
        membership(
            ACME,
            "Acme",
            "Member",
            org_role_structure="multi_role",
            inherited_user_roles_plus_current_role=["Member"],
            additional_roles=["Owner"],
        ),
    )
    assert POLICY.allows(subject(answers.get(CLAIMS)), "billing:view", org=ACME)


def test_an_org_without_a_role_is_no_membership(answers: Answers, api: Api) -> None:
    api.accounts[ANN] = account(ANN, "ann@acme.com", membership(ACME, "Acme", None))
    assert POLICY.membership(subject(answers.get(CLAIMS)), ACME) is None


def test_without_an_org_nothing_is_held_and_nothing_is_unknown(answers: Answers, api: Api) -> None:
    api.accounts[ANN] = account(ANN, "ann@acme.com")
    ann = subject(answers.get(CLAIMS))
    assert ann.memberships == {}
    assert "memberships" not in ann.unknown


def test_without_the_source_the_same_sign_in_leaves_the_orgs_unknown() -> None:
    # The twin: what the guard rests on is the answer of the API, never that the token is silent.
    bare = POLICY.subject(CLAIMS)
    assert bare is not None
    assert "memberships" in bare.unknown
    assert not POLICY.allows(bare, "report:view", org=ACME)


def test_the_active_org_and_who_acts_for_somebody_are_of_the_login(answers: Answers, api: Api) -> None:
    login = {**CLAIMS, "org_member_info": {"org_id": GLOBEX}, "impersonator_user_id": BEN}
    assert subject(answers.get(login), login).impersonator == BEN
    assert subject(answers.get(login), login).active_org == GLOBEX
    plain = subject(answers.get(CLAIMS))
    assert (plain.impersonator, plain.active_org) == (None, None)
    assert len(api.calls) == 2


def test_an_account_that_the_api_calls_impersonated_is_told(answers: Answers, api: Api) -> None:
    api.accounts[ANN]["impersonator_user_id"] = BEN
    assert answers.get(CLAIMS).facts.impersonator == BEN


def test_who_signed_in_elsewhere_is_not_asked_about(
    answers: Answers, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    for issuer in ("https://accounts.google.com", AUTH_URL + "/", AUTH_URL.upper(), None, 7, [AUTH_URL]):
        assert answers.get({**CLAIMS, "iss": issuer}).facts == sg.Facts()
    assert api.calls == []
    assert "is not one of PropelAuth" in caplog.text


@pytest.mark.parametrize("sub", ["ann", "", None, 7, "31c41c16-c281-11ee-9602-8a047e3bf33d", "../" + ANN, ANN + "?x=1"])
def test_an_id_that_the_client_would_drop_in_silence_is_unknown(answers: Answers, api: Api, sub: Any) -> None:
    answer = answers.get({**CLAIMS, "sub": sub})
    assert answer.facts.memberships is None
    assert answer.facts.blocked is None
    assert api.calls == []


def test_an_id_in_capitals_is_the_same_person(answers: Answers, api: Api) -> None:
    assert answers.get({**CLAIMS, "sub": ANN.upper()}) is answers.get(CLAIMS)
    assert len(api.calls) == 1


# --- accounts that don't count


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"enabled": False}, "Your account is disabled."),
        ({"locked": True}, "Your account is locked."),
        (None, "Your account no longer exists."),
    ],
)
def test_an_account_that_is_off_counts_as_nobody_from_the_next_call(
    answers: Answers, api: Api, clock: Clock, change: dict[str, Any] | None, sentence: str
) -> None:
    assert answers.get(CLAIMS).facts.blocked is None
    before = api.accounts.pop(ANN)
    if change is not None:
        api.accounts[ANN] = {**before, **change}
    clock.now += 60
    assert answers.get(CLAIMS).facts == sg.Facts(blocked=sentence)
    api.accounts[ANN] = before
    clock.now += 60
    assert answers.get(CLAIMS).facts.blocked is None


def test_who_was_removed_from_an_org_holds_nothing_there_after_the_lifetime(
    answers: Answers, api: Api, clock: Clock
) -> None:
    assert POLICY.allows(subject(answers.get(CLAIMS)), "report:view", org=ACME)
    del api.accounts[ANN]["org_id_to_org_info"][ACME]
    clock.now += 59
    assert POLICY.allows(subject(answers.get(CLAIMS)), "report:view", org=ACME)
    clock.now += 1
    assert not POLICY.allows(subject(answers.get(CLAIMS)), "report:view", org=ACME)


# --- when the API fails


def body(change: Any) -> bytes:
    return json.dumps({**account(ANN, "ann@acme.com", membership(ACME, "Acme", "Admin")), **change}).encode()


UNUSABLE = "the PropelAuth API gave an answer that can't be used"

FAILURES: dict[str, tuple[dict[str, Any], str]] = {
    "401": ({"status": 401}, "the identity source is not set up right"),
    "400": ({"status": 400, "body": b"{}"}, "the identity source is not set up right"),
    "403": ({"status": 403}, "the PropelAuth API did not answer (403)"),
    "429": ({"status": 429}, "the PropelAuth API did not answer: too many requests (429)"),
    "500": ({"status": 500}, "the PropelAuth API did not answer (500)"),
    "502": ({"status": 502}, "the PropelAuth API did not answer (502)"),
    "redirect": ({"status": 302}, "the PropelAuth API did not answer (302)"),
    "cut": ({"cuts": True}, "the PropelAuth API could not be reached"),
    "nobody": ({"body": b"{}"}, "the PropelAuth API answered about somebody else"),
    "another": ({"body": body({"user_id": BEN})}, "the PropelAuth API answered about somebody else"),
    "html": ({"body": b"<html>login</html>"}, UNUSABLE),
    "bytes": ({"body": b"\xff\xfe\x00"}, UNUSABLE),
    "empty": ({"body": b""}, UNUSABLE),
    "a list": ({"body": b"[]"}, UNUSABLE),
    "null": ({"body": b"null"}, UNUSABLE),
    "orgs a list": ({"body": body({"org_id_to_org_info": [1]})}, UNUSABLE),
    "an org a text": ({"body": body({"org_id_to_org_info": {ACME: "Admin"}})}, UNUSABLE),
    "an org lacks": ({"body": body({"org_id_to_org_info": {ACME: {"user_role": "Admin"}}})}, UNUSABLE),
    "another org": ({"body": body({"org_id_to_org_info": {GLOBEX: membership(ACME, "A", "Owner")}})}, UNUSABLE),
    "enabled a text": ({"body": body({"enabled": "true"})}, UNUSABLE),
    "locked nothing": ({"body": body({"locked": None})}, UNUSABLE),
}


@pytest.mark.parametrize("name", FAILURES)
def test_each_failure_denies_with_its_own_reason_and_passes_without_a_restart(
    answers: Answers, api: Api, clock: Clock, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    failure, why = FAILURES[name]
    for attribute, value in failure.items():
        setattr(api, attribute, value)
    answer = answers.get(CLAIMS)
    assert answer.failure == why
    decision = POLICY.decide(subject(answer), "report:view", org=ACME)
    assert decision.reason in {sg.Reason.UNKNOWN, sg.Reason.NOT_A_MEMBER}
    assert why in str(decision.missing) + str(decision.trace)
    assert KEY not in caplog.text + repr(answer)
    assert "propelauth-api" not in caplog.text + repr(answer)
    api.recover()
    clock.now += 10
    assert POLICY.allows(subject(answers.get(CLAIMS)), "report:view", org=ACME)


@pytest.mark.parametrize("name", FAILURES)
def test_the_old_answer_bridges_what_passes_by_itself_and_not_a_refused_key(
    answers: Answers, api: Api, clock: Clock, name: str
) -> None:
    answers.get(CLAIMS)
    for attribute, value in FAILURES[name][0].items():
        setattr(api, attribute, value)
    clock.now += 60
    bridged = POLICY.allows(subject(answers.get(CLAIMS)), "report:view", org=ACME)
    assert bridged is (name not in {"400", "401"})
    clock.now += 540
    assert not POLICY.allows(subject(answers.get(CLAIMS)), "report:view", org=ACME)


@pytest.mark.parametrize(
    "change",
    [{"org_id_to_org_info": None}, {"org_id_to_org_info": {ACME: membership(ACME, "A", "Owner", user_permissions=7)}}],
)
def test_what_the_answer_lacks_is_unknown(answers: Answers, api: Api, change: dict[str, Any]) -> None:
    api.body = body(change)
    assert not POLICY.allows(subject(answers.get(CLAIMS)), "report:view", org=ACME)


def test_a_call_ends_by_itself_at_the_deadline_and_leaves_no_thread(api: Api, clock: Clock) -> None:
    answers = Answers(sg.PropelAuth(AUTH_URL, KEY, deadline=0.3), clock=clock)
    api.go.clear()
    assert "did not answer in time" in str(answers.get(CLAIMS).failure)
    for thread in threading.enumerate():
        if thread.name == "stguard-identity":
            thread.join(20)
            assert not thread.is_alive()
    api.recover()
    clock.now += 10
    assert answers.get(CLAIMS).failure in (None, "the PropelAuth API did not answer in time")
    clock.now += 10
    assert POLICY.allows(subject(Answers(sg.PropelAuth(AUTH_URL, KEY)).get(CLAIMS)), "report:view", org=ACME)


def test_a_wrong_key_is_loud(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    assert api.go.is_set()
    answers = Answers(sg.PropelAuth(AUTH_URL, "wrong-key"))
    assert answers.get(CLAIMS).failure == "the identity source is not set up right"
    loud = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "PropelAuth refuses the API key" in loud[0].getMessage()
    assert "wrong-key" not in caplog.text


def test_nothing_that_answers_in_its_place_is_believed(
    api: Api, source: sg.PropelAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without our certificate among those trusted, the same server is a stranger.
    monkeypatch.delenv("SSL_CERT_FILE")
    module._trust.cache_clear()
    assert Answers(source).get(CLAIMS).failure == "the PropelAuth API could not be reached"
    assert api.calls == []
    module._trust.cache_clear()


# --- signing out everywhere


def test_signing_somebody_out_everywhere_ends_their_logins_here_and_there(
    answers: Answers, api: Api, source: sg.PropelAuth
) -> None:
    ann = subject(answers.get(CLAIMS))
    assert source.logout_everywhere(ann)
    assert ("POST", f"/api/backend/v1/user/{ANN}/logout_all_sessions") in api.calls
    assert answers.get(CLAIMS).facts == sg.Facts(blocked=module.ENDED)
    again = {**CLAIMS, "iat": time.time() + 5}
    assert answers.get(again).facts.blocked is None
    assert answers.get({**CLAIMS, "iat": None}).facts.blocked is not None


def test_it_holds_for_the_source_that_a_rerun_makes_anew(api: Api, source: sg.PropelAuth) -> None:
    source.logout_everywhere(subject(Answers(source).get(CLAIMS)))
    assert Answers(sg.PropelAuth(AUTH_URL, KEY)).get(CLAIMS).facts.blocked == module.ENDED
    assert api.calls[-1][0] == "POST"


def test_a_provider_whose_clock_is_ahead_keeps_no_login(api: Api, source: sg.PropelAuth) -> None:
    ahead = {**CLAIMS, "iat": time.time() + 300}
    answers = Answers(source)
    source.logout_everywhere(subject(answers.get(ahead), ahead))
    assert answers.get(ahead).facts.blocked == module.ENDED
    assert api.calls[-1][0] == "POST"


def test_the_logins_here_end_though_propelauth_can_not_be_told(
    answers: Answers, api: Api, source: sg.PropelAuth
) -> None:
    ann = subject(answers.get(CLAIMS))
    api.status = 503
    with pytest.raises(sg.IdentityError, match="did not answer \\(503\\)") as caught:
        source.logout_everywhere(ann)
    assert caught.value.__cause__ is None
    assert answers.get(CLAIMS).facts.blocked == module.ENDED


def test_who_signed_in_elsewhere_is_not_signed_out(api: Api, source: sg.PropelAuth) -> None:
    google = {**CLAIMS, "iss": "https://accounts.google.com"}
    assert source.logout_everywhere(subject(Answer(sg.Facts()), google)) is False
    assert api.calls == []


# --- settings


def test_it_is_the_same_when_a_rerun_makes_it_anew_and_shows_no_key() -> None:
    assert sg.PropelAuth(AUTH_URL, KEY) == sg.PropelAuth(AUTH_URL + "/", KEY)
    assert hash(sg.PropelAuth(AUTH_URL, KEY)) == hash(sg.PropelAuth(AUTH_URL, KEY))
    assert sg.PropelAuth(AUTH_URL, KEY) != sg.PropelAuth(AUTH_URL, "other")
    assert KEY not in repr(sg.PropelAuth(AUTH_URL, KEY))
    assert sg.PropelAuth(AUTH_URL, KEY).account_url == f"{AUTH_URL}/account"


@pytest.mark.parametrize(
    "address", ["", "auth.acme.example", "http://auth.acme.example", "ftp://x", "https://", "https://x/?a=1", None, 7]
)
def test_an_address_that_can_not_be_one_is_refused(address: Any) -> None:
    with pytest.raises(sg.ConfigurationError, match="auth_url of PropelAuth"):
        sg.PropelAuth(address, KEY)


@pytest.mark.parametrize("key", ["", " ", None, 7])
def test_without_a_key_nothing_begins(key: Any) -> None:
    with pytest.raises(sg.ConfigurationError, match="api_key of PropelAuth is empty"):
        sg.PropelAuth(AUTH_URL, key)


def test_without_the_extra_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(sg.ConfigurationError, match="stguard\\[propelauth\\]"):
        sg.PropelAuth(AUTH_URL, KEY)


def test_the_raw_client_is_made_once(api: Api, source: sg.PropelAuth) -> None:
    assert source.client is sg.PropelAuth(AUTH_URL, KEY).client
    assert api.calls == [("GET", "/api/v1/token_verification_metadata")]
