"""Who a proxy in front signed in: what a browser says of itself never counts, a forged signature neither."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey

import stguard as sg
from stguard import keys
from stguard.app.gateway.proxies import TrustedProxy, reader
from stguard.errors import ConfigurationError
from stguard.sources import headers as module
from stguard.sources.headers import Reader
from stguard.tokens import TokenError
from tests.issuer import Issuer, issuing

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNER = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/mine/50dc6c495c0c9188"
AUDIENCE = "/projects/1/global/backendServices/2"
PROXY = TrustedProxy(secret="only-the-proxy-knows-this")  # noqa: S106  made up


@pytest.fixture(scope="module")
def running() -> Iterator[Issuer]:
    with issuing() as issuer:
        issuer.keys["two"] = ECKey.generate_key("P-256")
        yield issuer


@pytest.fixture
def issuer(running: Issuer) -> Issuer:
    running.asked.clear()
    return running


def read(found: Reader, *values: tuple[str, str | bytes]) -> dict[str, Any] | None:
    sent = [(name.encode(), value.encode() if isinstance(value, str) else value) for name, value in values]
    return asyncio.run(found.claims(sent, now=time.time()))


# --- plain -----------------------------------------------------------------------------------------------------------


def test_what_oauth2_proxy_sends_is_read() -> None:
    source = sg.TrustedHeaders.oauth2_proxy()
    claims = read(
        Reader(source), ("X-Forwarded-User", "u1"), ("x-forwarded-EMAIL", "ann@acme.com"),
        ("X-Forwarded-Groups", "staff, role:admin ,,"), ("X-Forwarded-Preferred-Username", "Änn".encode()),
    )  # fmt: skip
    assert claims == {
        "iss": "trusted-headers", "sub": "u1", "email": "ann@acme.com", "name": "Änn", "groups": ["staff", "role:admin"]
    }  # fmt: skip
    facts = source(claims)
    assert (facts.groups, facts.complete) == (("staff", "role:admin"), ("groups",))


def test_absent_groups_are_unknown_and_empty_ones_are_none() -> None:
    source = sg.TrustedHeaders.oauth2_proxy(request_headers=False)
    user = ("X-Auth-Request-User", "u1")
    absent, empty = read(Reader(source), user), read(Reader(source), user, ("X-Auth-Request-Groups", ""))
    assert absent is not None
    assert empty is not None
    policy = sg.Policy.from_yaml("stguard: 1\nroles: {a: {}}\nassign: [{role: a, group: x}]\npages: {home: {role: a}}")
    for claims, unknown in ((absent, True), (empty, False)):
        facts = source(claims)
        subject = policy.subject(claims, roles=facts.roles, groups=facts.groups, memberships=facts.memberships)
        assert subject is not None
        assert ("groups" in subject.unknown) is unknown


@pytest.mark.parametrize("issuer", ["https://idp.example", "trusted-headers"])
def test_what_a_programs_token_says_is_not_what_the_proxy_said(issuer: str) -> None:
    source = sg.TrustedHeaders(user="x-user", groups="x-groups", roles="x-roles", delimiter=",")
    said = {"iss": issuer, "sub": "eve", "aud": "app", "exp": 2e9, "roles": ["admin"], "groups": ["staff"]}
    assert source(said) == sg.Facts()


@pytest.mark.parametrize("value", ["", " ", "\t"])
def test_without_a_user_nobody_is_signed_in(value: str) -> None:
    found = Reader(sg.TrustedHeaders.oauth2_proxy())
    assert read(found) is None
    assert read(found, ("X-Forwarded-User", value), ("X-Forwarded-Email", "ann@acme.com")) is None
    assert read(found, ("X_Forwarded_User", "u1")) is None


@pytest.mark.parametrize(
    "value", [b"\xff", b"a\x00b", b"a\x7f", "a\u202eb".encode(), "a\xa0".encode(), "\u3000a".encode(), b"a\x85"]
)
def test_a_header_that_is_no_text_is_refused(value: bytes) -> None:
    with pytest.raises(TokenError):
        read(Reader(sg.TrustedHeaders.oauth2_proxy()), ("X-Forwarded-User", value))


# --- an AWS load balancer --------------------------------------------------------------------------------------------


def padded(data: Any) -> str:
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).decode()


def alb(issuer: Issuer, *, key: Any = None, header: dict[str, Any] | None = None, claims: dict[str, Any] | None = None)\
        -> tuple[str, str]:  # fmt: skip
    head = {"typ": "JWT", "alg": "ES256", "kid": "two", "signer": SIGNER, "iss": "https://idp.example", "client": "c",
            "exp": int(time.time()) + 100, **(header or {})}  # fmt: skip
    body = {"sub": "ann", "email": "ann@acme.com", "exp": int(time.time()) + 100, **(claims or {})}
    made = [{k: v for k, v in part.items() if v is not None} for part in (head, body)]
    text = f"{padded(made[0])}.{padded(made[1])}"
    signature = jws.JWSRegistry.algorithms["ES256"].sign(text.encode(), key or issuer.keys["two"])
    return module.ALB_HEADER, f"{text}.{padded(signature)}"


def balancer(issuer: Issuer, **given: Any) -> Reader:
    return Reader(sg.TrustedHeaders.aws_alb(signer=SIGNER, keys_at=issuer.url + "/pem", **given))


@pytest.mark.parametrize("pad", ["", "x", "xx"])
def test_what_a_load_balancer_signs_counts_with_its_padding(issuer: Issuer, pad: str) -> None:
    claims = read(balancer(issuer, client="c"), alb(issuer, claims={"pad": pad}, header={"pad": pad}))
    assert claims == {"iss": "https://idp.example", "sub": "ann", "email": "ann@acme.com", "pad": pad}
    assert read(balancer(issuer)) is None


def test_its_keys_are_fetched_once(issuer: Issuer) -> None:
    found = balancer(issuer)
    for _ in range(3):
        assert read(found, alb(issuer))
    assert issuer.asked == ["/pem/two"]


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({"signer": SIGNER.replace("mine", "evil")}, {}), ({"signer": None}, {}), ({"signer": [SIGNER]}, {}),
        ({"client": "other"}, {}), ({"exp": 1}, {}), ({"exp": None}, {}), ({"alg": "none"}, {}), ({"alg": "HS256"}, {}),
        ({"iss": None}, {}), ({"kid": "../two"}, {}), ({"kid": "two/../two"}, {}), ({"kid": "two?x"}, {}),
        ({"kid": "http://evil.example"}, {}), ({"kid": None}, {}), ({"kid": "t" * 65}, {}), ({"crit": ["signer"]}, {}),
        ({}, {"exp": 1}), ({}, {"sub": None}), ({}, {"sub": ""}), ({}, {"iss": "https://evil.example"}),
    ],
    ids=str,
)  # fmt: skip
def test_what_another_signed_or_for_another_is_refused(
    issuer: Issuer, header: dict[str, Any], claims: dict[str, Any]
) -> None:
    with pytest.raises(TokenError):
        read(balancer(issuer, client="c"), alb(issuer, header=header, claims=claims))
    assert set(issuer.asked) <= {"/pem/two"}


def test_a_signature_of_ones_own_is_refused(issuer: Issuer) -> None:
    with pytest.raises(TokenError, match="signature"):
        read(balancer(issuer), alb(issuer, key=ECKey.generate_key("P-256")))
    name, value = alb(issuer)
    head, _, tail = value.split(".")
    with pytest.raises(TokenError, match="signature"):
        read(balancer(issuer), (name, f"{head}.{padded({'sub': 'root'})}.{tail}"))


def test_made_up_key_names_do_not_have_somebody_asked_for_ever(issuer: Issuer) -> None:
    found = balancer(issuer)
    for number in range(30):
        with pytest.raises(keys.KeysUnavailableError):
            read(found, alb(issuer, header={"kid": f"k{number}"}))
    assert len(issuer.asked) == 10


@pytest.mark.parametrize(
    "given",
    [
        {"signer": ""}, {"signer": "arn:aws:iam::123456789012:role/x"}, {"signer": SIGNER + "\n"},
        {"signer": SIGNER, "keys_at": "http://keys.example"}, {"signer": SIGNER.replace("arn:aws:", "arn:aws-us-gov:")},
    ],
)  # fmt: skip
def test_a_load_balancer_is_named_by_its_arn(given: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        sg.TrustedHeaders.aws_alb(**given)


# --- Google's Identity-Aware Proxy -----------------------------------------------------------------------------------


def iap(issuer: Issuer, *, alg: str = "ES256", key: str = "two", **claims: Any) -> tuple[str, str]:
    made = {"iss": module.IAP_ISSUER, "aud": AUDIENCE, **claims}
    return module.IAP_HEADER, issuer.token(key=key, alg=alg, header={"typ": "JWT"}, **made)


def aware(issuer: Issuer) -> Reader:
    return Reader(sg.TrustedHeaders.google_iap(audience=AUDIENCE, keys_at=issuer.url + "/jwks"))


def test_what_the_identity_aware_proxy_signs_counts(issuer: Issuer) -> None:
    claims = read(aware(issuer), iap(issuer))
    assert claims is not None
    assert (claims["sub"], claims["email"]) == ("ann", "ann@acme.com")
    # A moment of the assertion is none of the sign-in: with it a revocation would end nothing.
    assert not {"iat", "exp"} & set(claims)


@pytest.mark.parametrize(
    "claims", [{"iss": "https://evil.example"}, {"aud": AUDIENCE + "1"}, {"exp": 1}, {"sub": None}]
)
def test_what_it_signed_for_another_is_refused(issuer: Issuer, claims: dict[str, Any]) -> None:
    with pytest.raises(TokenError):
        read(aware(issuer), iap(issuer, **claims))


def test_another_algorithm_is_refused(issuer: Issuer) -> None:
    with pytest.raises(TokenError):
        read(aware(issuer), iap(issuer, alg="RS256", key="one"))


# --- where they count ------------------------------------------------------------------------------------------------


def test_plain_headers_without_a_proof_are_a_mistake() -> None:
    for identity in (sg.TrustedHeaders.oauth2_proxy(), [lambda _: sg.Facts(), sg.TrustedHeaders.oauth2_proxy()]):
        with pytest.raises(ConfigurationError, match="without a proof"):
            reader(identity, None)
        assert reader(identity, PROXY) is not None
    assert reader(sg.TrustedHeaders.google_iap(audience=AUDIENCE), None) is not None
    assert reader(None, None) is reader([lambda _: sg.Facts()], None) is None


def test_two_proxies_that_sign_people_in_are_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match="several"):
        reader([sg.TrustedHeaders.oauth2_proxy(), sg.TrustedHeaders.google_iap(audience=AUDIENCE)], PROXY)


def test_without_the_gateway_they_are_a_mistake(desk: Any) -> None:
    desk.main("sg.configure(identity=sg.TrustedHeaders.oauth2_proxy())")
    at = desk.run("ann")
    assert "TrustedHeaders in configure()" in at.exception[0].message


@pytest.mark.parametrize(
    "given",
    [{"groups": "x-groups"}, {"roles": "x-roles"}, {"groups": "g", "delimiter": ""}, {"user": "x forwarded"},
     {"user": "x_user"}, {"user": ""}, {"issuer": ""}],
)  # fmt: skip
def test_headers_are_named_and_lists_have_a_delimiter(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        sg.TrustedHeaders(**given)
