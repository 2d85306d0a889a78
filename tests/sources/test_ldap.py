"""Groups from a real directory: nobody is looked up by what isn't verified, and what isn't known stays unknown."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stguard as sg
from stguard.app.standing import subject_with
from stguard.sources import ldap as module
from stguard.sources.answers import Answer, Answers
from stguard.sources.ldap import DISABLED, UNLISTED
from tests.sources.slapd import BASE, PASSWORD, READER, SMALL, Directory, cn, group, person, serving, uid

if TYPE_CHECKING:
    from collections.abc import Iterator

BRANCHES = "ou=branches,dc=acme,dc=com"
TWINS = "ou=twins,dc=acme,dc=com"
CROWD = "ou=crowd,dc=acme,dc=com"
CHAIN = "ou=chain,dc=acme,dc=com"
ODD = 'we*rd (x) \\ y, "z" + ü'

POLICY = sg.Policy.from_yaml("""
stguard: 1
permissions: {report: [view, export]}
roles: {viewer: {allow: "report:view"}, exporter: {allow: "report:export"}}
assign:
  - {role: viewer, group: staff}
  - {role: exporter, group: everyone}
forbid: [{permission: "report:*", group: contractors}]
pages: {}
""")


def unit(dn: str) -> str:
    return f"dn: {dn}\nobjectClass: organizationalUnit\nou: {dn.partition(',')[0].removeprefix('ou=')}\n\n"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    with serving(tmp_path_factory.mktemp("slapd")) as made:
        made.add(person("ann") + person("ben") + person("cy", mail="cy@acme.com") + person("zoë", mail="zoe@acme.com"))
        made.add(person("off", "userAccountControl: 514") + person("on", "userAccountControl: 512"))
        made.add(person("locked", "nsAccountLock: TRUE") + person("odd", "userAccountControl: -2147483136"))
        escaped = 'uid=we\\2ard \\28x\\29 \\\\ y\\, \\"z\\" \\+ ü,' + BASE
        made.add(f"dn: {escaped}\nobjectClass: inetOrgPerson\nuid: {ODD}\ncn: x\nsn: x\nmail: odd.one@acme.com\n\n")
        made.add(group("staff", uid("ann"), uid("on"), uid("zoë"), escaped) + group("everyone", cn("staff")))
        made.add(group("loop", cn("everyone"), cn("ring")) + group("ring", cn("loop")))
        made.add(group("contractors", uid("ben")) + group("Ärzte", uid("zoë")))
        made.add(f"dn: cn=unique,{BASE}\nobjectClass: groupOfUniqueNames\nuniqueMember: {uid('cy')}\n\n")
        made.add(unit(TWINS) + person("t1", mail="twin@acme.com", under=TWINS)
                 + person("t2", mail="twin@acme.com", under=TWINS))  # fmt: skip
        made.add(unit(BRANCHES) + person("ann", under=BRANCHES) + group("staff", f"uid=ann,{BRANCHES}", under=BRANCHES))
        made.add(f"dn: ou=far,{BRANCHES}\nobjectClass: referral\nobjectClass: extensibleObject\nou: far\n"
                 f"ref: ldap://127.0.0.1:1/ou=far,dc=acme,dc=com\n\n")  # fmt: skip
        made.add(unit(CROWD) + person("ann", under=CROWD)
                 + "".join(group(f"g{n}", f"uid=ann,{CROWD}", under=CROWD) for n in range(8)))  # fmt: skip
        made.add(unit(CHAIN) + person("ann", under=CHAIN) + group("c0", f"uid=ann,{CHAIN}", under=CHAIN)
                 + "".join(group(f"c{n + 1}", f"cn=c{n},{CHAIN}", under=CHAIN) for n in range(12)))  # fmt: skip
        yield made


def claims(name: str = "ann", **more: Any) -> dict[str, Any]:
    return {"iss": "https://idp.example", "sub": name, "email": f"{name}@acme.com", "email_verified": True, **more}


def source(directory: Directory, base: str = BASE, **options: Any) -> sg.Ldap:
    given = {"bind_dn": READER, "bind_password": PASSWORD, **options}
    return sg.Ldap(given.pop("url", directory.url), base, **given)


def groups(directory: Directory, who: dict[str, Any], base: str = BASE, **options: Any) -> set[str]:
    facts = source(directory, base, **options)(who)
    assert facts.unknown == {}, facts
    assert facts.complete == ("groups",)
    assert facts.groups is not None
    return set(facts.groups)


def unknown(directory: Directory, who: dict[str, Any], base: str = BASE, **options: Any) -> str:
    facts = source(directory, base, **options)(who)
    assert facts.complete == ()
    return facts.unknown["groups"]


# --- what it finds


def test_groups_and_the_groups_that_list_them_are_found(directory: Directory) -> None:
    assert groups(directory, claims()) == {"staff", "everyone", "loop", "ring"}
    assert groups(directory, claims(), nested=False) == {"staff"}
    assert groups(directory, claims("cy")) == {"unique"}


def test_the_policy_gives_roles_by_group_and_a_forbid_holds(directory: Directory) -> None:
    ann = subject_with(claims(), source(directory)(claims()), POLICY)
    assert POLICY.allows(ann, "report:view")
    assert POLICY.allows(ann, "report:export")
    ben = subject_with(claims("ben"), source(directory)(claims("ben")), POLICY)
    assert POLICY.decide(ben, "report:view").reason is sg.Reason.FORBIDDEN


def test_who_is_in_no_group_is_in_none(directory: Directory) -> None:
    assert groups(directory, claims("odd")) == set()


def test_groups_may_be_named_by_their_whole_dn(directory: Directory) -> None:
    assert groups(directory, claims(), group_name="dn", nested=False) == {cn("staff")}


def test_names_in_any_script_are_found(directory: Directory) -> None:
    assert groups(directory, claims("zoë", email="zoe@acme.com"), nested=False) == {"staff", "Ärzte"}
    assert groups(directory, claims("zoë"), user_dn="uid={sub}," + BASE, nested=False) == {"staff", "Ärzte"}


def test_people_are_found_by_their_dn_or_by_another_claim(directory: Directory) -> None:
    assert groups(directory, claims(), user_dn="uid={sub}," + BASE, nested=False) == {"staff"}
    assert groups(directory, claims(), user_filter="(&(objectClass=person)(uid={sub}))", nested=False) == {"staff"}


@pytest.mark.parametrize("way", [{"user_filter": "(uid={sub})"}, {"user_dn": "uid={sub}," + BASE}])
def test_what_means_something_in_a_filter_or_a_dn_is_only_text(directory: Directory, way: dict[str, str]) -> None:
    assert groups(directory, claims(sub=ODD), nested=False, **way) == {"staff"}


@pytest.mark.parametrize("way", [{"user_filter": "(uid={sub})"}, {"user_dn": "uid={sub}," + BASE}])
@pytest.mark.parametrize(
    "text",
    ["*", "*)(uid=*", "an*", "ann)(|(uid=*", "ann\\2a", "a\\6en", f"ann,{BASE}", "ann+cn=x", "#616e6e", " ann", "ann "],
)
def test_nobody_finds_somebody_else(directory: Directory, way: dict[str, str], text: str) -> None:
    facts = source(directory, **way)(claims(sub=text))
    assert not facts.groups or text.strip() == "ann"  # blanks at the ends mean nothing to a directory (RFC 4518)


def test_without_escaping_a_star_would_find_somebody(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_in_filter", lambda text: text)
    assert groups(directory, claims(sub="an*"), user_filter="(uid={sub})", nested=False) == {"staff"}


@given(st.text(min_size=1, max_size=12))
def test_what_is_escaped_says_the_same_text(text: str) -> None:
    def read(escaped: str) -> bytes:
        out, rest = b"", escaped
        while rest:
            if rest[0] == "\\":
                out, rest = out + bytes([int(rest[1:3], 16)]), rest[3:]
            else:
                out, rest = out + rest[0].encode(), rest[1:]
        return out

    if text.isprintable():
        for escaped in (module._in_filter(text), module._in_dn(text)):
            assert not set(escaped) & set('*()\0,+"<>;= #')
            assert read(escaped) == text.encode()


# --- who isn't looked up


@pytest.mark.parametrize(
    "change",
    [
        {"email_verified": False},
        {"email_verified": None},
        {"email_verified": "true"},
        {"email_verified": 1},
        {"email": None},
        {"email": ["ann@acme.com"]},
        {"email": "ann"},
        {"email": "ann\N{FULLWIDTH COMMERCIAL AT}acme.com"},
        {"email": "ann@acme.com\n"},
    ],
    ids=str,
)
def test_an_email_that_is_not_verified_looks_nobody_up(directory: Directory, change: dict[str, Any]) -> None:
    assert "nothing verified" in unknown(directory, claims(**change))


def test_an_email_counts_without_that_where_the_provider_is_trusted(directory: Directory) -> None:
    assert "staff" in groups(directory, claims(email_verified=None), trust_email=True)


def test_two_people_with_one_email_are_nobody_in_particular(directory: Directory) -> None:
    assert "several people" in unknown(directory, claims("twin"), TWINS)


def test_somebody_whom_the_directory_does_not_list_is_what_the_author_says(directory: Directory) -> None:
    eve = claims("eve")
    assert "doesn't list" in unknown(directory, eve)
    assert source(directory, unlisted="blocked")(eve).blocked == UNLISTED
    assert groups(directory, eve, unlisted="empty") == set()
    assert "doesn't list" in unknown(directory, eve, user_dn="uid={sub}," + BASE)


@pytest.mark.parametrize(("name", "blocked"), [("off", DISABLED), ("locked", DISABLED), ("on", None), ("odd", None)])
def test_an_account_that_is_switched_off_is_nobody(directory: Directory, name: str, blocked: str | None) -> None:
    assert source(directory)(claims(name)).blocked == blocked


def test_active_directory_must_say_whether_an_account_is_disabled(directory: Directory) -> None:
    options = {"bind_dn": READER, "bind_password": PASSWORD, "user_filter": "(mail={email})"}
    windows = sg.Ldap.active_directory(directory.url, BASE, **options)
    assert windows(claims("off")).blocked == DISABLED
    with pytest.raises(sg.IdentityError, match="whether the account is disabled"):
        windows(claims("ann"))
    assert windows._group_filter == "(&(objectClass=group)(member:1.2.840.113556.1.4.1941:={dn}))"


# --- what isn't all there is


def test_a_size_limit_of_the_server_leaves_the_rest_unknown(directory: Directory) -> None:
    facts = source(directory, CROWD, bind_dn=SMALL)(claims())
    assert facts.unknown == {"groups": "the directory lists too many to read all"}
    assert groups(directory, claims(), CROWD) == {f"g{n}" for n in range(8)}


def test_our_own_limit_leaves_the_rest_unknown(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GROUPS_LIMIT", 5)
    assert "too many" in unknown(directory, claims(), CROWD)


def test_pages_are_put_together(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAGE", 3)
    assert groups(directory, claims(), CROWD) == {f"g{n}" for n in range(8)}


def test_a_chain_of_groups_that_is_too_long_leaves_the_rest_unknown(directory: Directory) -> None:
    facts = source(directory, CHAIN)(claims())
    assert "too many" in facts.unknown["groups"]
    assert facts.groups is not None
    assert "c9" in facts.groups


def test_what_stands_on_another_server_is_not_asked_and_unknown(directory: Directory) -> None:
    assert "another server" in unknown(directory, claims(), BRANCHES)
    assert groups(directory, claims(), BRANCHES, ignore_referrals=True) == {"staff"}


def test_groups_that_show_no_name_leave_the_rest_unknown(directory: Directory) -> None:
    assert "without a name" in unknown(directory, claims(), group_name="displayName")


# --- when it can't be asked


def ask(found: sg.Ldap, caplog: pytest.LogCaptureFixture) -> Answer:
    with caplog.at_level(logging.WARNING, logger="stguard"):
        said = Answers(found).get(claims())
    assert said.failure is not None
    assert PASSWORD not in caplog.text
    subject = subject_with({**claims(), "groups": ["staff"]}, said.facts, POLICY)
    assert not POLICY.allows(subject, "report:view")
    return said


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"bind_password": "wrong"}, "refuses the bind_dn or the bind_password"),
        ({"bind_dn": "cn=nobody,dc=acme,dc=com"}, "refuses the bind_dn or the bind_password"),
        ({"group_base": "ou=nowhere,dc=acme,dc=com"}, "see base, group_base"),
        ({"user_filter": "(mail={email}"}, "can't be read"),
        ({"bind_dn": None, "bind_password": None}, "see base, group_base"),
    ],
    ids=["password", "account", "base", "filter", "anonymous"],
)
def test_what_somebody_must_set_up_is_said_loudly(
    directory: Directory, caplog: pytest.LogCaptureFixture, options: dict[str, Any], told: str
) -> None:
    ask(source(directory, **options), caplog)
    assert told in caplog.text
    assert any(record.levelno == logging.ERROR for record in caplog.records)


def test_a_server_that_is_down_leaves_the_groups_unknown(
    directory: Directory, caplog: pytest.LogCaptureFixture
) -> None:
    said = ask(source(directory, url="ldap://127.0.0.1:9"), caplog)
    assert said.failure == "the directory could not be reached, or did not answer in time"


def test_a_server_that_does_not_answer_is_given_up(directory: Directory) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        slow = source(directory, url=f"ldap://127.0.0.1:{silent.getsockname()[1]}", deadline=1.0)
        with pytest.raises(sg.IdentityError, match="in time"):
            slow(claims())


@pytest.mark.parametrize("start_tls", [False, True])
def test_tls_works_with_a_certificate_that_is_trusted(directory: Directory, *, start_tls: bool) -> None:
    url = f"ldap://localhost:{directory.port}" if start_tls else directory.tls_url
    assert "staff" in groups(directory, claims(), url=url, ca_file=directory.ca_file, start_tls=start_tls or None)


@pytest.mark.parametrize("start_tls", [False, True])
def test_a_certificate_that_nobody_trusts_is_refused_before_the_password_is_sent(
    directory: Directory, caplog: pytest.LogCaptureFixture, *, start_tls: bool
) -> None:
    url = f"ldap://localhost:{directory.port}" if start_tls else directory.tls_url
    ask(source(directory, url=url, start_tls=start_tls or None), caplog)
    assert "certificate is not trusted" in caplog.text


def test_the_certificate_of_another_host_is_refused(directory: Directory, caplog: pytest.LogCaptureFixture) -> None:
    url = f"ldaps://127.0.0.1:{directory.tls_port}"
    ask(source(directory, url=url, ca_file=directory.ca_file), caplog)
    assert "of another host" in caplog.text


# --- what is refused where it is written


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "http://ldap.acme.com"},
        {"url": "ldap://"},
        {"url": "ldaps://ldap.acme.com/dc=acme"},
        {"url": "ldap://ldap.acme.com", "start_tls": False},
        {"base": ""},
        {"bind_password": ""},
        {"bind_password": None},
        {"bind_dn": None},
        {"user_filter": "(mail=ann@acme.com)"},
        {"group_filter": "(objectClass=group)"},
        {"group_filter": "(member={user})"},
        {"unlisted": "allow"},
        {"ca_file": "/nowhere.pem"},
    ],
    ids=str,
)
def test_what_can_not_be_is_refused(wrong: dict[str, Any]) -> None:
    given = {"url": "ldaps://ldap.acme.com", "base": BASE, "bind_dn": READER, "bind_password": PASSWORD, **wrong}
    with pytest.raises(sg.ConfigurationError) as error:
        sg.Ldap(**given)
    assert PASSWORD not in str(error.value)


def test_ldap_to_another_machine_starts_tls() -> None:
    assert sg.Ldap("ldap://ldap.acme.com", BASE)._start_tls
    assert not sg.Ldap("ldap://localhost", BASE)._start_tls


def test_a_rerun_that_makes_it_anew_keeps_what_is_known_and_shows_no_password() -> None:
    one = sg.Ldap("ldaps://ldap.acme.com", BASE, bind_dn=READER, bind_password=PASSWORD)
    assert one == sg.Ldap("ldaps://ldap.acme.com", BASE, bind_dn=READER, bind_password=PASSWORD)
    assert one != sg.Ldap("ldaps://ldap.acme.com", BASE, bind_dn=READER, bind_password="other")  # noqa: S106
    assert PASSWORD not in repr(one)
    assert one.key(claims(iat=1)) == one.key(claims(iat=2)) != one.key(claims("ben"))
