"""Attacks on the tokens of programs, against a real issuer on loopback: none of them names anybody."""

from __future__ import annotations

import asyncio
import base64
import hmac
import importlib.metadata
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from stguard import keys
from stguard.app.gateway import bearers, ledger
from stguard.app.gateway.bearers import Bearers, BearerTokens, UnauthorizedError
from stguard.errors import ConfigurationError
from tests.issuer import AUDIENCE, Issuer, issuing

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(
    tuple(int(part) for part in importlib.metadata.version("streamlit").split(".")[:2]) < (1, 67),
    reason="has no agent API",
)


@pytest.fixture(scope="module")
def running() -> Iterator[Issuer]:
    with issuing() as issuer:
        yield issuer


@pytest.fixture
def issuer(running: Issuer) -> Iterator[Issuer]:
    before = dict(running.keys)
    running.asked.clear()
    yield running
    running.keys, running.answer = before, None
    running.release.set()


@pytest.fixture
def guard(issuer: Issuer) -> Bearers:
    return Bearers(BearerTokens(issuer=issuer.url, audience=AUDIENCE))


def ask(guard: Bearers, *values: str | bytes) -> Any:
    headers = [(b"Authorization", value.encode() if isinstance(value, str) else value) for value in values]
    return asyncio.run(guard.visitor({"type": "http", "headers": headers}))


def refused(guard: Bearers, token: str) -> int:
    with pytest.raises(UnauthorizedError) as error:
        ask(guard, f"Bearer {token}")
    assert token[:20] not in str(error.value) or not token
    if error.value.status == 401:
        assert error.value.challenge == 'Bearer error="invalid_token"'
    return error.value.status


def b64(data: Any) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(issuer: Issuer, payload: bytes, header: bytes | None = None, *, key: str = "two") -> str:
    """Sign bytes as they are, which no library for tokens would."""
    head = header if header is not None else json.dumps({"alg": "ES256", "kid": key, "typ": "at+jwt"}).encode()
    text = f"{b64(head)}.{b64(payload)}"
    algorithm = jws.JWSRegistry.algorithms["ES256"]
    return f"{text}.{b64(algorithm.sign(text.encode(), issuer.keys[key]))}"


# --- what counts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "alg"),
    [("one", "RS256"), ("one", "RS384"), ("one", "RS512"), ("one", "PS256"), ("one", "PS512"), ("two", "ES256")],
)
def test_a_token_names_its_subject(issuer: Issuer, guard: Bearers, key: str, alg: str) -> None:
    visitor = ask(guard, f"Bearer {issuer.token(key=key, alg=alg)}")
    assert (visitor.claims["sub"], visitor.user["is_logged_in"], visitor.login) == ("ann", True, None)


def test_an_ed25519_key_counts(issuer: Issuer, guard: Bearers) -> None:
    issuer.keys["three"] = OKPKey.generate_key("Ed25519")
    assert ask(guard, f"Bearer {issuer.token(key='three', alg='Ed25519')}").claims["sub"] == "ann"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
def test_the_scheme_is_read_in_any_case(issuer: Issuer, guard: Bearers, scheme: str) -> None:
    assert ask(guard, f"{scheme} {issuer.token()}").claims["sub"] == "ann"


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "JWT", None])
def test_the_types_of_an_access_token_count(issuer: Issuer, guard: Bearers, typ: str | None) -> None:
    assert ask(guard, f"Bearer {issuer.token(header={'typ': typ})}").claims["sub"] == "ann"


@pytest.mark.parametrize("aud", [[AUDIENCE], ["other", AUDIENCE]])
def test_one_of_several_audiences_is_enough(issuer: Issuer, guard: Bearers, aud: list[str]) -> None:
    assert ask(guard, f"Bearer {issuer.token(aud=aud)}")


def test_clocks_may_differ_by_the_leeway(issuer: Issuer, guard: Bearers) -> None:
    now = int(time.time())
    assert ask(guard, f"Bearer {issuer.token(exp=now - 5)}")
    assert ask(guard, f"Bearer {issuer.token(nbf=now + 5, iat=now + 5)}")


def test_a_token_without_a_key_name_counts_where_one_key_fits(issuer: Issuer, guard: Bearers) -> None:
    assert ask(guard, f"Bearer {issuer.token(header={'kid': None})}")
    issuer.keys["more"] = RSAKey.generate_key(2048)
    other = Bearers(BearerTokens(issuer=issuer.url, audience=AUDIENCE))
    assert refused(other, issuer.token(header={"kid": None})) == 401


def test_a_claim_can_not_say_what_streamlit_says(issuer: Issuer, guard: Bearers) -> None:
    evil: dict[str, Any] = {"provider": "main", "tokens": {"access": "x"}, "origin": "x", "is_logged_in": False,
            "stguard_sign_in_ended": True}  # fmt: skip
    visitor = ask(guard, f"Bearer {issuer.token(**evil)}")
    assert set(evil) & set(visitor.claims) == {"is_logged_in"}
    assert visitor.user["is_logged_in"] is True


def test_what_a_session_is_bound_to_is_the_same_for_a_renewed_token_and_for_no_other(
    issuer: Issuer, guard: Bearers
) -> None:
    first, again = (ask(guard, f"Bearer {issuer.token()}") for _ in range(2))
    assert first.claims["jti"] != again.claims["jti"]
    assert first.owner == again.owner
    for other in ({"sub": "bob"}, {"email_verified": 1}, {"roles": ["admin"]}, {"email": None}):
        assert ask(guard, f"Bearer {issuer.token(**other)}").owner != first.owner


# --- what doesn't ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "Basic YTpi", "Token x", "Bearer a b", "Bearer \x7f", b"\xff"]
)
def test_what_is_no_bearer_token_is_asked_for_one(guard: Bearers, value: str | bytes) -> None:
    with pytest.raises(UnauthorizedError) as error:
        ask(guard, value)
    assert (error.value.status, error.value.challenge) == (401, "Bearer")


def test_no_header_is_asked_for_a_token(guard: Bearers) -> None:
    with pytest.raises(UnauthorizedError) as error:
        ask(guard)
    assert (error.value.status, error.value.challenge) == (401, "Bearer")


def test_two_headers_are_refused(issuer: Issuer, guard: Bearers) -> None:
    token = f"Bearer {issuer.token()}"
    for pair in ((token, token), (token, "Basic YTpi"), ("", token)):
        with pytest.raises(UnauthorizedError) as error:
            ask(guard, *pair)
        assert (error.value.status, error.value.challenge) == (400, 'Bearer error="invalid_request"')


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
def test_an_unsigned_token_names_nobody(issuer: Issuer, guard: Bearers, alg: str) -> None:
    body = f"{b64({'alg': alg, 'typ': 'at+jwt', 'kid': 'one'})}.{b64(issuer.claims())}."
    assert refused(guard, body) == refused(guard, body + "eA") == 401


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_the_public_key_is_no_secret(issuer: Issuer, guard: Bearers, alg: str) -> None:
    public = issuer.keys["one"]
    for secret in (public.as_pem(private=False), json.dumps(public.as_dict(private=False)).encode(), b"x" * 64):
        text = f"{b64({'alg': alg, 'kid': 'one'})}.{b64(issuer.claims())}"
        made = hmac.digest(secret, text.encode(), "sha" + alg[2:])
        assert refused(guard, f"{text}.{b64(made)}") == 401


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"}, {"iss": None}, {"iss": ["x"]}, {"iss": "{url}/"}, {"iss": "{URL}"},
        {"aud": "https://other.example"}, {"aud": None}, {"aud": []}, {"aud": {AUDIENCE: 1}}, {"aud": [AUDIENCE, 1]},
        {"aud": AUDIENCE + "/"}, {"aud": AUDIENCE.upper()}, {"aud": ""},
        {"exp": None}, {"exp": 0}, {"exp": "4102444800"}, {"exp": True}, {"exp": int(time.time()) - 3600}, {"exp": [1]},
        {"nbf": int(time.time()) + 3600}, {"nbf": "0"}, {"iat": int(time.time()) + 3600}, {"iat": "0"},
        {"sub": None}, {"sub": ""}, {"sub": 1}, {"sub": ["ann"]},
    ],
    ids=lambda claims: next(iter(claims)),  # each process collects them with its own clock
)  # fmt: skip
def test_a_token_of_another_or_for_another_or_for_another_time_names_nobody(
    issuer: Issuer, guard: Bearers, claims: dict[str, Any]
) -> None:
    if isinstance(claims.get("iss"), str):
        claims = {"iss": claims["iss"].format(url=issuer.url, URL=issuer.url.upper())}
    assert refused(guard, issuer.token(**claims)) == 401


@pytest.mark.parametrize("exp", [b"NaN", b"Infinity", b"1e400", b"-Infinity", b"1" * 5000, b"9" * 400])
def test_a_moment_that_is_no_number_never_counts_forever(issuer: Issuer, guard: Bearers, exp: bytes) -> None:
    payload = json.dumps(issuer.claims(exp=777)).encode().replace(b"777", exp)
    assert refused(guard, signed(issuer, payload)) == 401


def test_a_name_that_stands_twice_is_refused(issuer: Issuer, guard: Bearers) -> None:
    payload = json.dumps(issuer.claims()).encode()
    assert ask(guard, f"Bearer {signed(issuer, payload)}")  # our own way of signing is one
    assert refused(guard, signed(issuer, payload[:-1] + b', "sub": "root"}')) == 401
    header = b'{"alg": "none", "kid": "two", "alg": "ES256"}'
    assert refused(guard, signed(issuer, payload, header)) == 401


@pytest.mark.parametrize("payload", [b"", b"[]", b'"x"', b"null", b"{", b"\xff\xfe", b"[" * 100_0, b"{}" * 2])
def test_a_payload_that_is_no_object_is_refused(issuer: Issuer, guard: Bearers, payload: bytes) -> None:
    assert refused(guard, signed(issuer, payload)) == 401


@pytest.mark.parametrize("typ", ["dpop+jwt", "id_token+jwt", "logout+jwt", "secevent+jwt", "JWE", 1, ["at+jwt"], ""])
def test_another_type_of_token_is_refused(issuer: Issuer, guard: Bearers, typ: Any) -> None:
    header = json.dumps({"alg": "ES256", "kid": "two", "typ": typ}).encode()
    assert refused(guard, signed(issuer, json.dumps(issuer.claims()).encode(), header)) == 401


@pytest.mark.parametrize(
    "kid",
    ["", "three", "../one", "one\x00", "ONE", "one ", "' OR 1=1 --", "/dev/null", 1, ["one"], {"a": 1}, "k" * 3000],
    ids=lambda kid: str(kid)[:12],
)
def test_a_key_that_is_not_the_issuers_is_refused(issuer: Issuer, guard: Bearers, kid: Any) -> None:
    header = json.dumps({"alg": "ES256", "kid": kid, "typ": "at+jwt"}).encode()
    assert refused(guard, signed(issuer, json.dumps(issuer.claims()).encode(), header)) == 401


def test_another_key_of_the_same_name_is_refused(issuer: Issuer, guard: Bearers) -> None:
    token = issuer.token()
    assert ask(guard, f"Bearer {token}")
    issuer.keys["one"] = RSAKey.generate_key(2048)
    assert refused(guard, issuer.token()) == 401
    assert ask(guard, f"Bearer {token}")


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
def test_a_key_in_the_token_itself_is_never_used(issuer: Issuer, guard: Bearers, name: str) -> None:
    mine = ECKey.generate_key("P-256")
    value: Any = {
        "jwk": mine.as_dict(private=False), "jku": issuer.url + "/mine", "x5u": issuer.url + "/mine", "x5c": ["AAAA"]
    }[name]  # fmt: skip
    for kid in ("two", "mine", None):
        header = {"alg": "ES256", "typ": "at+jwt", name: value, **({"kid": kid} if kid else {})}
        text = f"{b64(header)}.{b64(issuer.claims())}"
        token = f"{text}.{b64(jws.JWSRegistry.algorithms['ES256'].sign(text.encode(), mine))}"
        assert refused(guard, token) == 401
    assert "/mine" not in issuer.asked


@pytest.mark.parametrize(
    "extra", [{"crit": ["exp"], "exp": 1}, {"b64": False, "crit": ["b64"]}, {"b64": True}, {"crit": []}]
)
def test_a_critical_extension_is_refused(issuer: Issuer, guard: Bearers, extra: dict[str, Any]) -> None:
    header = json.dumps({"alg": "ES256", "kid": "two", **extra}).encode()
    assert refused(guard, signed(issuer, json.dumps(issuer.claims()).encode(), header)) == 401


def test_an_algorithm_that_is_not_the_keys_is_refused(issuer: Issuer, guard: Bearers) -> None:
    payload = json.dumps(issuer.claims()).encode()
    for alg, kid in (("RS256", "two"), ("ES384", "two"), ("EdDSA", "two"), ("ES256", "one"), ("ES256K", "two")):
        header = json.dumps({"alg": alg, "kid": kid, "typ": "at+jwt"}).encode()
        assert refused(guard, signed(issuer, payload, header)) == 401


def test_an_algorithm_that_is_not_allowed_is_refused(issuer: Issuer) -> None:
    guard = Bearers(BearerTokens(issuer=issuer.url, audience=AUDIENCE, algorithms=("ES256",)))
    assert refused(guard, issuer.token()) == 401
    assert ask(guard, f"Bearer {issuer.token(key='two', alg='ES256')}")


def test_what_was_changed_after_signing_is_refused(issuer: Issuer, guard: Bearers) -> None:
    head, _, tail = issuer.token(key="two", alg="ES256").split(".")
    assert refused(guard, f"{head}.{b64(issuer.claims(sub='root'))}.{tail}") == 401
    body = issuer.token(key="two", alg="ES256").rsplit(".", 1)[0]
    # CVE-2022-21449: a signature of zeros; and none, a short one, one of another form.
    for signature in (b"\0" * 64, b"", b"\0", b"\0" * 63, b"\0" * 65, bytes.fromhex("3006020101020101")):
        assert refused(guard, f"{body}.{b64(signature) or '='}") == 401


def test_a_token_of_another_form_is_refused(issuer: Issuer, guard: Bearers) -> None:
    token = issuer.token(key="two", alg="ES256")
    head, body, tail = token.split(".")
    forms = [
        head, f"{head}.{body}", f"{token}.", f".{token}", f"{token}.x.y", f"{head}=.{body}.{tail}", f"{head}..{tail}",
        f"{head}.{body}.{tail}=", "a.b.c", "..", token.replace("-", "+").replace("_", "/") + "/",
        json.dumps({"payload": body, "protected": head, "signature": tail}).replace(" ", ""),
    ]  # fmt: skip
    for form in forms:
        with pytest.raises(UnauthorizedError) as error:
            ask(guard, f"Bearer {form}")
        assert error.value.status == 401


def test_a_huge_token_is_refused_unread(issuer: Issuer, guard: Bearers) -> None:
    assert refused(guard, issuer.token(pad="x" * 20_000)) == 401
    header = json.dumps({"alg": "ES256", "kid": "two", "pad": "x" * 4000}).encode()
    assert refused(guard, signed(issuer, json.dumps(issuer.claims()).encode(), header)) == 401
    assert not issuer.asked


# --- the issuer's keys -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [500, 404, 302, b"", b"garbage", b"{}", b"[]", b'{"keys": {}}', b"[" * 100_000, b"x" * (keys.LARGEST + 1),
     b'{"issuer": "https://evil.example", "jwks_uri": "https://evil.example/jwks"}'],
    ids=lambda answer: str(answer)[:20],
)  # fmt: skip
def test_without_keys_no_token_counts(issuer: Issuer, guard: Bearers, answer: int | bytes) -> None:
    issuer.answer = answer
    assert refused(guard, issuer.token()) == 503


def test_an_issuer_that_is_down_refuses(issuer: Issuer) -> None:
    guard = Bearers(BearerTokens(issuer=issuer.url, audience=AUDIENCE, jwks_uri="http://127.0.0.1:9/jwks"))
    assert refused(guard, issuer.token()) == 503


def test_an_issuer_that_is_slow_is_not_waited_for(
    issuer: Issuer, guard: Bearers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "DEADLINE", 0.05)
    issuer.release.clear()
    assert refused(guard, issuer.token()) == 503


@pytest.mark.parametrize("jwks_uri", ["http://evil.example/jwks", "file:///etc/passwd", "//evil.example", "", 1])
def test_a_discovery_document_leads_to_safe_addresses_only(issuer: Issuer, guard: Bearers, jwks_uri: Any) -> None:
    issuer.answer = json.dumps({"issuer": issuer.url, "jwks_uri": jwks_uri}).encode()
    assert refused(guard, issuer.token()) == 503
    assert issuer.asked == ["/.well-known/openid-configuration"]


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def find(kept: keys.IssuerKeys, kid: str, alg: str = "RS256") -> Any:
    return asyncio.run(kept.find(kid=kid, alg=alg))


def test_keys_are_fetched_once_and_kept(issuer: Issuer) -> None:
    clock = Clock()
    kept = keys.IssuerKeys(issuer=issuer.url, jwks_uri=None, clock=clock)
    assert find(kept, "one")
    assert find(kept, "two", "ES256")
    assert issuer.asked == ["/.well-known/openid-configuration", "/jwks"]
    clock.now += keys.FRESH
    assert find(kept, "one")
    assert issuer.asked[2:] == ["/jwks"]


def test_unknown_key_names_have_the_issuer_asked_at_most_once_a_minute(issuer: Issuer) -> None:
    clock = Clock()
    kept = keys.IssuerKeys(issuer=None, jwks_uri=issuer.url + "/jwks", clock=clock)
    for name in ("a", "b", "c"):
        assert find(kept, name) is None
    assert len(issuer.asked) == 1
    clock.now += keys.BETWEEN
    issuer.keys["new"] = RSAKey.generate_key(2048)
    assert find(kept, "new")
    assert len(issuer.asked) == 2


def test_a_key_that_was_taken_back_no_longer_counts(issuer: Issuer) -> None:
    clock = Clock()
    kept = keys.IssuerKeys(issuer=None, jwks_uri=issuer.url + "/jwks", clock=clock)
    assert find(kept, "one")
    del issuer.keys["one"]
    clock.now += keys.FRESH
    assert find(kept, "one") is None


def test_old_keys_serve_while_the_issuer_is_down_but_not_for_long(issuer: Issuer) -> None:
    clock = Clock()
    kept = keys.IssuerKeys(issuer=None, jwks_uri=issuer.url + "/jwks", clock=clock)
    assert find(kept, "one")
    issuer.answer = 500
    clock.now += keys.FRESH
    assert find(kept, "one")
    with pytest.raises(keys.KeysUnavailableError):
        find(kept, "unknown")
    asked = len(issuer.asked)
    assert asked == 2  # a failure is not repeated at once
    clock.now += keys.STALE - keys.FRESH
    with pytest.raises(keys.KeysUnavailableError):
        find(kept, "one")
    issuer.answer = None
    clock.now += keys.AFTER_FAILURE
    assert find(kept, "one")


def test_many_who_wait_share_one_fetch(issuer: Issuer) -> None:
    kept = keys.IssuerKeys(issuer=None, jwks_uri=issuer.url + "/jwks")

    async def many() -> list[Any]:
        return await asyncio.gather(*(kept.find(kid="one", alg="RS256") for _ in range(20)))

    assert all(asyncio.run(many()))
    assert issuer.asked == ["/jwks"]


def test_keys_that_are_not_for_signing_tokens_are_left_out(issuer: Issuer) -> None:
    public = issuer.keys["one"].as_dict(private=False)
    entries = [
        {**public, "kid": "encrypts", "use": "enc"}, {**public, "kid": "signs", "key_ops": ["sign"]},
        {**public, "kid": "other", "alg": "RS512"}, {"kty": "oct", "k": "AAAA", "kid": "secret"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "tiny"}, {"kty": "EC", "kid": "empty"}, {"kty": ["RSA"]}, "x",
        {**public, "kid": 7}, {**public, "kid": "twice"}, {**public, "kid": "twice"}, {**public, "kid": "good"},
        {"kty": "RSA", "n": public["n"][:171], "e": "AQAB", "kid": "short"}, {"kty": "RSA", "n": 7, "kid": "number"},
    ]  # fmt: skip
    issuer.answer = json.dumps({"keys": entries}).encode()
    kept = keys.IssuerKeys(issuer=None, jwks_uri=issuer.url + "/jwks")
    names = ["encrypts", "signs", "other", "secret", "tiny", "empty", "twice", "short", "number", "good"]
    assert [name for name in names if find(kept, name) is not None] == ["good"]


# --- what an author may write ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"issuer": "http://idp.example"}, "issuer is an https address"),
        ({"issuer": ""}, "issuer is an https address"),
        ({"issuer": "https://user@idp.example"}, "issuer is an https address"),
        ({"jwks_uri": "http://idp.example/jwks"}, "jwks_uri is an https address"),
        ({"audience": ""}, "audience is the name"),
        ({"audience": ()}, "audience is the name"),
        ({"algorithms": ()}, "got none"),
        ({"algorithms": ("HS256",)}, "`HS256` is none of"),
        ({"algorithms": ("none",)}, "`none` is none of"),
        ({"algorithms": ("RS265",)}, "did you mean `RS256`"),
        ({"leeway": 3600}, "leeway is 0 to 300 seconds"),
        ({"leeway": float("nan")}, "leeway is 0 to 300 seconds"),
    ],
)
def test_settings_that_prove_nothing_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        BearerTokens(**{"issuer": "https://idp.example", "audience": AUDIENCE, **wrong})


def test_the_session_of_a_program_is_its_own() -> None:
    kept = ledger.Ledger()
    one = bearers.owner_of({"sub": "ann", "jti": "1", "is_logged_in": True})
    kept.own("session", owner=one)
    kept.give("session", "/media/x.txt")
    assert kept.may_read(one, "x")
    assert not kept.may_read(bearers.owner_of({"sub": "bob", "jti": "1", "is_logged_in": True}), "x")
