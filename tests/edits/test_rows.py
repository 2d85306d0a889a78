"""Edits of `assign` change the one row and nothing else, whatever the file looks like."""

from __future__ import annotations

import difflib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stguard.edits import EditError, Grant, Person, Revoke, places
from stguard.policy import Policy

NOW = datetime(2026, 11, 1, tzinfo=UTC).timestamp()

HEAD = """\
# who may what   (keep me)
stguard:   1
roles:
    viewer:    {}          # looks
    admin:   {inherits:   viewer}
    "no":  {}
    'O''Hara: x': {}
    🚀 pilot: {}
    "012": {}
    12:30: {}
"""
TAIL = "pages:   {home:  signed_in,   'x':  {role: admin}}  # the end\n"

ROLES = ["viewer", "admin", "no", "O'Hara: x", "🚀 pilot", "012", "12:30"]

SHAPES = {
    "rows on one line": "assign:\n  - {role: viewer, email: ann@acme.com}   # ann\n  - {role: admin, group: ops}\n",
    "rows as wide as they like": "assign:\n-    {role: viewer,\n      email: ann@acme.com}\n\n# after\n",
    "rows as blocks": "assign:\n  -   role: viewer\n      email: ann@acme.com # ann\n  # next\n  -   role: admin\n"
    "      group: ops\n",
    "a block text at the end": "assign:\n- role: viewer\n  email: ann@acme.com\n  reason: |\n    a\n     b\n",
    "one list on one line": "assign: [{role: viewer, email: ann@acme.com}, {role: admin, group: ops}]  # all\n",
    "a list over lines": "assign: [\n"
    "    {role: viewer, email: ann@acme.com},   # ann\n    {role: admin, group: ops}  # ops\n]\n",
    "a list over lines with a comma": "assign: [\n"
    "  {role: viewer, email: ann@acme.com},\n  {role: admin, group: ops},  # x\n  ]\n",
    "a list half over lines": "assign: [{role: viewer, email: ann@acme.com}, # ann\n  {role: admin, group: ops}]\n",
    "nobody": "assign: []   # nobody yet\n",
    "nobody over lines": "assign: [\n  # nobody\n]\n",
    "no section": "",
    "one row": "assign:   # one\n  - role: viewer\n    email: ann@acme.com\n",
}


def policy_of(text: str) -> Policy:
    return Policy.from_yaml(text, now=NOW)


def rows_of(text: str) -> list[Any]:
    rows: list[Any] = places.plain(text.removeprefix("\ufeff")).get("assign", [])
    return rows


def rest_of(text: str) -> dict[str, Any]:
    return {key: value for key, value in places.plain(text.removeprefix("\ufeff")).items() if key != "assign"}


def changed_lines(old: str, new: str) -> tuple[list[str], list[str]]:
    lines = list(difflib.ndiff(old.splitlines(keepends=True), new.splitlines(keepends=True)))
    return [x[2:] for x in lines if x.startswith("- ")], [x[2:] for x in lines if x.startswith("+ ")]


def is_part_of(old: str, new: str) -> bool:
    left = iter(new)
    return all(char in left for char in old)


def rest_lines(text: str) -> list[str]:
    """Return the lines before and after the section, and the comments in it."""
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if line.startswith("assign:")), len(lines))
    return lines[: min(first, lines.index(TAIL.strip()))] + [line for line in lines if line.startswith("pages")]


names = st.text(
    st.characters(blacklist_categories=["Cs", "Cc", "Cf", "Cn", "Co", "Zl", "Zp"]), min_size=1, max_size=12
).filter(lambda text: places._WRITABLE.fullmatch(text) is not None)
awkward = st.sampled_from(
    ["no", "y", "012", "12:30", "1e3", "~", "null", "- a", "a: b", "#x", "a #b", "*all", "&x", "!t", "%y", "@at", "`b`",
     "it's", '"q"', "back\\slash", "{x}", "[y]", "a,b", "|", ">", "?", ":", " lead", "trail ", "🦊", "Zoë", "<<", "="]
)  # fmt: skip
texts = names | awkward


def people() -> st.SearchStrategy[Person]:
    return st.one_of(
        st.builds(Person, st.just("group"), texts),
        st.builds(Person, st.just("claim"), texts, texts),
        st.builds(lambda text: Person("sub", f"https://idp.example|{text}x"), texts),
        st.sampled_from([Person("email", "Bob@Acme.com"), Person("domain", "acme.com"), Person.read("everyone")]),
    )


moments = st.datetimes(datetime(2027, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=30, deadline=None)
@given(
    ending=st.sampled_from(["\n", "\r\n", ""]),
    last=st.booleans(),
    person=people(),
    role=st.sampled_from(ROLES),
    until=st.none() | moments,
    reason=st.none() | texts,
)
def test_a_grant_adds_its_row_and_a_revoke_takes_it_and_the_rest_stays_byte_for_byte(
    shape: str,
    ending: str,
    last: bool,  # noqa: FBT001  as hypothesis gives it
    person: Person,
    role: str,
    until: datetime | None,
    reason: str | None,
) -> None:
    text = HEAD + TAIL + SHAPES[shape] if last else HEAD + SHAPES[shape] + TAIL
    text = text.removesuffix("\n") if not ending else text.replace("\n", ending)
    # A block of text that ends with the file, without a line break, can't be followed by anything and stay the same.
    assume(ending or not last or shape != "a block text at the end")
    grant = Grant(person=person, role=role, until=until, reason=reason)
    new = grant.apply(policy_of(text), {"policy.yaml": text}, now=NOW)["policy.yaml"]

    before, after = policy_of(text), policy_of(new)
    assert rest_of(new) == rest_of(text)
    assert rows_of(new)[:-1] == rows_of(text)
    added = after.parts.assignments[-1]
    assert (added.who, added.role, added.reason or None) == (person.who, role, reason or None)
    assert added.until == (None if until is None else until.timestamp())
    assert after.parts.assignments[:-1] == before.parts.assignments

    gone, come = changed_lines(text, new)
    assert len(gone) <= 1, "at most the line that the row hangs on to changes"
    assert len(come) <= len(gone) + max(2, len(grant._fields()))
    assert shape == "nobody" or is_part_of(text, new), "nothing is taken away, comments stay where they are"
    assert ("\r\n" in new) == ("\r\n" in text)
    assert "\n" not in new.replace("\r\n", "") or ending != "\r\n"

    back = Revoke(person=person, role=role).apply(after, {"policy.yaml": new}, now=NOW)["policy.yaml"]
    assert places.plain(back) == {**places.plain(text), "assign": rows_of(text)}
    assert "".join(rest_lines(back)) == "".join(rest_lines(text))


@pytest.mark.parametrize("shape", [name for name, text in SHAPES.items() if "ann@" in text])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_revoking_an_old_row_takes_that_row_alone(shape: str, ending: str) -> None:
    text = (HEAD + SHAPES[shape] + TAIL).replace("\n", ending)
    revoke = Revoke(person=Person.read("ANN@acme.com"), role="viewer")
    new = revoke.apply(policy_of(text), {"policy.yaml": text}, now=NOW)["policy.yaml"]
    assert rest_of(new) == rest_of(text)
    assert rows_of(new) == rows_of(text)[1:]
    assert new.startswith(HEAD.replace("\n", ending))
    assert new.endswith(TAIL.replace("\n", ending))
    for comment in ("# next", "# after", "# ops", "# one", "# all"):
        assert (comment in new) == (comment in text)


def test_a_new_row_takes_the_style_of_its_neighbour() -> None:
    flow = "assign:\n    -  {role: viewer, group: staff}\n"
    block = "assign:\n- role: viewer\n  group: staff\n"
    grant = Grant(person=Person.read("bob@acme.com"), role="admin", reason="T-1: help")
    for rows, line in (
        (flow, '    -  {role: admin, email: bob@acme.com, reason: "T-1: help"}\n'),
        (block, '- role: admin\n  email: bob@acme.com\n  reason: "T-1: help"\n'),
    ):
        text = HEAD + rows + TAIL
        new = grant.apply(policy_of(text), {"policy.yaml": text}, now=NOW)["policy.yaml"]
        assert new == HEAD + rows + line + TAIL


def test_every_duplicate_of_an_assignment_is_revoked() -> None:
    row = "  - {role: viewer, group: staff}\n"
    text = HEAD + "assign:\n" + row + "  - {role: admin, group: staff}\n" + row + row + TAIL
    new = Revoke(person=Person("group", "staff"), role="viewer").apply(policy_of(text), {"p": text}, now=NOW)["p"]
    assert new == HEAD + "assign:\n" + "  - {role: admin, group: staff}\n" + TAIL


def test_in_a_folder_the_file_that_holds_assign_is_edited() -> None:
    folder = {
        "a.yaml": "stguard: 1\nroles: {admin: {}}\n",
        "b.yaml": "assign:\n  - {role: admin, email: ann@acme.com}\n",
        "c.yaml": "pages: {home: signed_in}\n",
    }
    policy = Policy.from_texts(list(folder.items()), now=NOW)
    new = Grant(person=Person.read("bob@acme.com"), role="admin").apply(policy, folder, now=NOW)
    assert new == {"b.yaml": folder["b.yaml"] + "  - {role: admin, email: bob@acme.com}\n"}


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("ann@acme.com", "email:ann@acme.com"),
        ("email:ann@acme.com", "email:ann@acme.com"),
        ("domain:acme.com", "domain:acme.com"),
        ("group:a b", "group:a b"),
        ("claim:https://acme.io/x=y=z", "claim:https://acme.io/x=y=z"),
        ("sub:auth0|1", "sub:auth0|1"),
        ("everyone", "signed_in"),
        ("signed_in", "signed_in"),
    ],
)
def test_whom_an_edit_is_about_is_named_by_a_who_key(text: str, who: str) -> None:
    assert str(Person.read(text)) == who


@pytest.mark.parametrize("text", ["", "ann", "@acme.com", "role:admin", "claim:x", "grup:staff", "group:"])
def test_anything_else_names_nobody(text: str) -> None:
    with pytest.raises(EditError, match="expected"):
        Person.read(text)


ORGS = """\
stguard: 1
orgs: [acme, globex]
roles: {viewer: {}, support: {cross_org: true}}
assign:
  - {role: viewer, org: acme, email: ann@acme.com}
  - {role: viewer, org: globex, email: ann@acme.com}
pages: {home: signed_in}
"""


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (("grant", "viewr", "acme"), "no role `viewr` in the policy; did you mean `viewer`?"),
        (("grant", "viewer", "acmee"), "no org `acmee` in the policy; did you mean `acme`?"),
        (("grant", "viewer", None), "the policy has orgs, and a role is given in one; name it with `--org`"),
        (("grant", "viewer", "*"), "role `viewer` is not `cross_org`, it can't be given in every org; name an org"),
        (
            ("revoke", "viewer", None),
            "`email:ann@acme.com` has role `viewer` in `acme`, `globex`; name one with `--org`",
        ),
        (("revoke", "support", None), "no assignment gives `email:ann@acme.com` role `support`"),
        (("revoke", "viewr", "acme"), "no role `viewr` in the policy; did you mean `viewer`?"),
    ],
)
def test_what_does_not_fit_the_policy_is_said_with_the_nearest_name(
    edit: tuple[str, str, str | None], message: str
) -> None:
    kind, role, org = edit
    made = (Grant if kind == "grant" else Revoke)(person=Person.read("ann@acme.com"), role=role, org=org)
    with pytest.raises(EditError) as refused:
        made.apply(policy_of(ORGS), {"p": ORGS}, now=NOW)
    assert str(refused.value) == message


def test_a_grant_that_has_ended_already_is_refused() -> None:
    past = datetime(2026, 10, 1, tzinfo=UTC)
    grant = Grant(person=Person.read("bob@acme.com"), role="viewer", org="acme", until=past)
    with pytest.raises(EditError, match="`2026-10-01T00:00:00Z` is in the past"):
        grant.apply(policy_of(ORGS), {"p": ORGS}, now=NOW)
    later = datetime(2027, 1, 1, tzinfo=UTC)
    grant = Grant(person=grant.person, role="viewer", org="acme", since=later, until=later)
    with pytest.raises(EditError, match="is not after `from`"):
        grant.apply(policy_of(ORGS), {"p": ORGS}, now=NOW)


def test_what_stands_there_already_is_not_written_again() -> None:
    grant = Grant(person=Person.read("Ann@Acme.com"), role="viewer", org="acme")
    assert grant.apply(policy_of(ORGS), {"p": ORGS}, now=NOW) == {}


@pytest.mark.parametrize("bad", ["a\nb", "a\tb", "\u202eevil", "nul\0", "\u2028"])
def test_text_that_a_policy_can_not_hold_is_refused(bad: str) -> None:
    grant = Grant(person=Person("group", bad), role="viewer", org="acme")
    with pytest.raises(EditError, match="a character that a policy can't hold"):
        grant.apply(policy_of(ORGS), {"p": ORGS}, now=NOW)


@pytest.mark.parametrize(
    "old",
    [
        "{stguard: 1, roles: {a: {}}, pages: {home: signed_in}}",
        "{stguard: 1, roles: {a: {}}, assign: [], pages: {home: signed_in}}\n",
        "--- # start\nstguard: 1\nroles: {a: {}}\npages: {home: signed_in}\n...\n# after\n",
        "  stguard: 1\n  roles: {a: {}}\n  pages: {home: signed_in}\n",
        "\ufeffstguard: 1\nroles: {a: {}}\npages: {home: signed_in}\n",
    ],
)
def test_unusual_files_get_their_first_row(old: str) -> None:
    new = Grant(person=Person.read("bob@acme.com"), role="a").apply(policy_of(old), {"p": old}, now=NOW)["p"]
    assert rest_of(new) == rest_of(old)
    assert len(policy_of(new).parts.assignments) == 1
    assert new.startswith("\ufeff") == old.startswith("\ufeff")


def test_an_edit_that_would_change_anything_else_is_refused() -> None:
    text = (HEAD + TAIL + SHAPES["a block text at the end"]).removesuffix("\n")  # the text gets a line break more
    grant = Grant(person=Person.read("bob@acme.com"), role="viewer")
    with pytest.raises(EditError, match="can't be edited without changing other things in it"):
        grant.apply(policy_of(text), {"policy.yaml": text}, now=NOW)


@pytest.mark.parametrize("layout", ["block", "flow"])
@pytest.mark.parametrize("gone", [0, 1, 2])
def test_of_rows_that_say_the_same_only_the_one_that_is_named_goes(layout: str, gone: int) -> None:
    told = [f'{{id: a{n}, role: viewer, email: ann@acme.com, from: "209{n}-01-01T00:00:00Z"}}' for n in range(3)]
    other = "{role: admin, group: ops}"
    rows = [told[0], other, *told[1:]]
    held = "\n" + "".join(f"  - {row}\n" for row in rows) if layout == "block" else f" [{', '.join(rows)}]\n"
    text = f"{HEAD}assign:{held}{TAIL}"
    revoke = Revoke(person=Person.read("ann@acme.com"), role="viewer", id=f"a{gone}")
    (new,) = revoke.apply(policy_of(text), {"policy.yaml": text}, now=NOW).values()
    ids = [each.id for each in policy_of(new).parts.assignments if each.role == "viewer"]
    assert ids == [f"a{n}" for n in range(3) if n != gone]
    assert len(rows_of(new)) == 3
    assert rest_of(new) == rest_of(text)
    with pytest.raises(EditError, match="did you mean `a0`"):
        Revoke(person=Person.read("ann@acme.com"), role="viewer", id="a00").apply(policy_of(text), {"p": text}, now=NOW)
