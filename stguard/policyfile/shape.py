"""The policy language, described once: which keys there are, what may stand under each, and what it means.

The structural check (`structure.py`) and the JSON Schema for editors (`schema.py`) are both made from this.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stguard.providers import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One text.

    Attributes:
        want: what is expected, for messages.
        pattern: what editors check (always less strict than the policy reader); None for anything.
        empty: whether it may be `""`.
        known: the values that the policy reader accepts, for editors to offer; empty for any.
    """

    want: str = "a text"
    pattern: str | None = None
    empty: bool = False
    known: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One of a closed set of words, each with what it means."""

    words: Mapping[str, str]
    kind: str = "word"


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """`true` or `false`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """The version of the language."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """A list of names; one name may stand alone.

    Attributes:
        want: what is expected, for messages.
        least: how many there must be.
        code: of the problem when there are fewer.
    """

    want: str = "a name or a list of names"
    least: int = 0
    code: str = "empty-list"


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A list in which every entry has one shape."""

    of: Shape
    least: int = 0
    code: str = "empty-list"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A mapping from names to values of one shape.

    Attributes:
        of: the shape of the values.
        least: how many entries there must be.
        most: how many there may be; None for any number.
        code: of the problem when the number is wrong.
    """

    of: Shape
    least: int = 0
    most: int | None = None
    code: str = "empty-list"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of a record."""

    shape: Shape
    doc: str
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A mapping with a closed set of keys.

    Attributes:
        what: what it is, for messages: `an assignment`.
        keys: the keys.
        one_of: keys of which exactly one must stand there.
        some_of: keys of which at least one must stand there.
        some_code: of the problem when none of them does.
        hints: ways out for unknown keys that are likely.
    """

    what: str
    keys: Mapping[str, Key]
    one_of: tuple[str, ...] = ()
    some_of: tuple[str, ...] = ()
    some_code: str = "missing-key"
    hints: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A text, a list or a mapping, each with its own shape; None where it is not allowed."""

    text: Text | Word | None = None
    items: Items | Names | None = None
    table: Table | Record | Split | Json | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A mapping that has one shape with a certain key, and another without it."""

    key: str
    long: Record
    short: Record | Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Maybe:
    """The shape, or `null`."""

    of: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Json:
    """Anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """A shape by its name in `DEFINITIONS`, so that shapes may contain themselves."""

    name: str


Shape = Text | Word | Truth | Version | Names | Items | Table | Record | Choice | Split | Maybe | Json | Ref


# Times need a zone; what `datetime` accepts is wider than this only in the date part.
_TIME: Final = Text(
    want='a time with a zone, such as "2026-11-01T00:00:00Z"', pattern="^[0-9].*[Tt ].*([Zz]|[+-][0-9:.]+)$"
)
_DURATION: Final = Text(want="a duration such as `12h`, `30m` or `1h30m`", pattern="^([0-9]+[smhdw])+$")
_REASON: Final = Key(shape=Text(empty=True), doc="Why, for those who read the policy: a ticket, a name.")
_ID: Final = Key(
    shape=Text(want="an id"), doc="A name for this entry in decisions and messages; made from its content when absent."
)
_ORG: Final = Key(shape=Text(want="an org's id"), doc="The org in which it holds.")

_WHO: Final[Mapping[str, Key]] = {
    "email": Key(shape=Text(want="an e-mail"), doc="Whoever has this verified e-mail."),
    "domain": Key(shape=Text(want="a domain"), doc="Whoever has a verified e-mail in this domain."),
    "group": Key(shape=Text(want="a group's name"), doc="Members of this group, by its whole name."),
    "claim": Key(
        shape=Table(of=Text(empty=True), least=1, most=1, code="claim-form"),
        doc="Whoever has this claim with this value: `{department: finance}`.",
    ),
    "sub": Key(shape=Text(want="`provider|sub` or `iss|sub`"), doc="One account: `provider|sub` or `iss|sub`."),
    "everyone": Key(
        shape=Word(words={"signed_in": "Anyone who is signed in."}, kind="word"), doc="Everyone who is signed in."
    ),
}
_WHO_ROLE: Final = Key(shape=Text(want="a role's name"), doc="Whoever holds this role.")

_ANY_NAMES: Final = Names(least=1, code="empty-rule")


def _rule_key(doc: str) -> Key:
    return Key(shape=_ANY_NAMES, doc=doc)


_RULE_KEYS: Final[Mapping[str, Key]] = {
    "role": _rule_key("Who holds any of these roles in the active org."),
    "permission": _rule_key("Who is allowed any of these permissions in the active org."),
    "group": _rule_key("Members of any of these groups."),
    "email": _rule_key("Who has any of these verified e-mails."),
    "domain": _rule_key("Who has a verified e-mail in any of these domains."),
    "claim": Key(
        shape=Table(of=_ANY_NAMES, least=1, code="empty-rule"),
        doc="Who has all of these claims with any of the values.",
    ),
    "org": _rule_key("When any of these orgs is the active one."),
    "any": Key(shape=Items(of=Ref(name="rule"), least=1, code="empty-rule"), doc="One of these rules must hold."),
    "all": Key(shape=Items(of=Ref(name="rule"), least=1, code="empty-rule"), doc="Every one of these rules must hold."),
    "not": Key(shape=Ref(name="rule"), doc="This rule must be false; what is unknown stays unknown."),
}

_RULE_WORDS: Final = Word(
    words={"public": "Anyone, signed in or not.", "signed_in": "Anyone who is signed in."}, kind="rule"
)

_RULE_RECORD: Final = Record(
    what="a rule",
    keys=_RULE_KEYS,
    some_of=tuple(_RULE_KEYS),
    some_code="empty-rule",
    hints={
        "menu": "; the long form is `{rule: ..., menu: hidden}`",
        "on_deny": "; the long form is `{rule: ..., on_deny: lock}`",
        "roles": "; write `role`, for one or for a list",
        "permissions": "; write `permission`, for one or for a list",
    },
)

_RULE: Final = Choice(text=_RULE_WORDS, table=_RULE_RECORD)

DEFINITIONS: Final[Mapping[str, Shape]] = {"rule": _RULE, "rule_keys": _RULE_RECORD}

_PAGE: Final = Choice(
    text=_RULE_WORDS,
    table=Split(
        key="rule",
        long=Record(
            what="the long form of a page",
            keys={
                "rule": Key(shape=Ref(name="rule"), doc="Who may open the page.", required=True),
                "menu": Key(
                    shape=Word(words={"hidden": "Keep it out of the menu.", "shown": "Show it in the menu (default)."}),
                    doc="Whether the menu shows the page to those who may open it.",
                ),
                "on_deny": Key(
                    shape=Word(
                        words={
                            "hide": "Keep it out of the menu and reveal nothing (default).",
                            "lock": "Show it locked, and say what is missing.",
                        }
                    ),
                    doc="What the menu does for those who may not open the page.",
                ),
            },
        ),
        short=Ref(name="rule_keys"),
    ),
)

_CLAIM_PATH: Final = Choice(
    text=Text(want="a claim's exact key"),
    items=Items(of=Text(want="a key"), least=1, code="claim-form"),
    table=Record(
        what="a place in the claims",
        keys={
            "claim": Key(
                shape=Choice(
                    text=Text(want="a claim's exact key"),
                    items=Items(of=Text(want="a key"), least=1, code="claim-form"),
                ),
                doc="The claim: its exact key, or a list of keys as a path.",
                required=True,
            ),
            "split": Key(shape=Text(want="a delimiter"), doc="What stands between values when they come in one text."),
            "field": Key(shape=Text(want="a key"), doc="The key to take from each entry of a list of mappings."),
            "when_true": Key(shape=Text(want="a name"), doc="The name to use for a claim that is `true`."),
        },
    ),
)

_NAME_TABLE: Final = Table(of=Text(want="a name"))

_IDENTITY_KEYS: Final[Mapping[str, Key]] = {
    "provider": Key(
        shape=Text(want="a preset's name, `auto` or `none`", known=("auto", *BY_NAME)),
        doc="`auto`: by issuer; a preset's name; `none`: only what stands here.",
    ),
    "roles": Key(shape=_CLAIM_PATH, doc="The claim that holds roles, instead of the preset's."),
    "groups": Key(shape=_CLAIM_PATH, doc="The claim that holds groups, instead of the preset's."),
    "orgs": Key(shape=_CLAIM_PATH, doc="The claim that holds orgs, instead of the preset's."),
    "role_names": Key(shape=_NAME_TABLE, doc="The provider's name of a role: the policy's."),
    "org_names": Key(shape=_NAME_TABLE, doc="The provider's name of an org: the policy's."),
    "permission_names": Key(shape=_NAME_TABLE, doc="The provider's name of a permission: the policy's."),
    "trust_email": Key(
        shape=Truth(),
        doc="Count an e-mail although the provider does not say that it is verified (Entra ID never says it).",
    ),
    "accept": Key(
        shape=Record(
            what="`accept`",
            keys={
                "iss": Key(shape=Names(least=1), doc="Issuers whose tokens count."),
                "aud": Key(shape=Names(least=1), doc="Audiences whose tokens count."),
            },
        ),
        doc="Tokens of others count as nobody signed in.",
    ),
}

_ASSIGNMENT: Final = Record(
    what="an assignment",
    keys={
        "id": _ID,
        "role": Key(shape=Text(want="a role's name"), doc="The role that is given.", required=True),
        "org": Key(
            shape=Text(want="an org's id"), doc='The org in which it is given; `"*"` for a cross-org role in every org.'
        ),
        **_WHO,
        "from": Key(shape=_TIME, doc="The moment from which it holds."),
        "until": Key(shape=_TIME, doc="The moment from which it no longer holds."),
        "reason": _REASON,
    },
    one_of=tuple(_WHO),
    hints={"user": "; did you mean `email` or `sub`?", "roles": "; write one assignment for each role"},
)

_FORBID: Final = Record(
    what="a forbid",
    keys={
        "id": _ID,
        "permission": Key(shape=Names(), doc="The permissions that are denied."),
        "page": Key(shape=Names(), doc='The pages that are denied; `"*"` for every page of the policy.'),
        "org": _ORG,
        **_WHO,
        "role": _WHO_ROLE,
        "reason": _REASON,
    },
    one_of=(*_WHO, "role"),
    some_of=("permission", "page"),
    some_code="forbid-nothing",
)

_SEPARATION: Final = Record(
    what="a separation",
    keys={
        "id": _ID,
        "roles": Key(
            shape=Names(want="a list of roles", least=2, code="separation-too-few"),
            doc="The roles of which nobody may hold two in one org.",
            required=True,
        ),
        "reason": _REASON,
    },
)

_REVOCATION: Final = Record(
    what="a revocation",
    keys={
        **_WHO,
        "before": Key(shape=_TIME, doc="Logins before this moment no longer count.", required=True),
        "reason": _REASON,
    },
    one_of=tuple(_WHO),
)

_MEMBERSHIP: Final = Record(
    what="a membership",
    keys={
        "org": Key(shape=Text(want="an org's id"), doc="The org.", required=True),
        "name": Key(shape=Text(empty=True), doc="The org's name, for people."),
        "roles": Key(shape=Maybe(of=Names()), doc="Roles held there; null: it could not say."),
        "permissions": Key(shape=Maybe(of=Names()), doc="Permissions held there; null: it could not say."),
    },
)

_TEST: Final = Record(
    what="a test",
    keys={
        "as": Key(
            shape=Choice(text=Word(words={"anonymous": "Nobody is signed in."}), table=Json()),
            doc="The claims as the provider would send them, or `anonymous`.",
            required=True,
        ),
        "name": Key(shape=Text(empty=True), doc="A line to show for this test."),
        "roles": Key(shape=Maybe(of=Names()), doc="Roles that an identity API would return; null: it could not say."),
        "groups": Key(shape=Maybe(of=Names()), doc="Groups that an identity API would return; null: it could not say."),
        "memberships": Key(
            shape=Maybe(of=Items(of=_MEMBERSHIP)),
            doc="Memberships that an identity API would return; null: it could not say.",
        ),
        "org": Key(shape=Text(want="an org's id"), doc="The active org."),
        "at": Key(shape=_TIME, doc="The moment; now when absent."),
        "can": Key(shape=Names(), doc="Permissions that must be allowed."),
        "cannot": Key(shape=Names(), doc="Permissions that must be refused."),
        "sees": Key(shape=Names(), doc="Exactly the pages that must be open, in any order."),
        "not_sees": Key(shape=Names(), doc="Pages that must not be open."),
    },
)

LANGUAGE: Final = Record(
    what="a policy",
    keys={
        "stguard": Key(shape=Version(), doc="The version of the policy language: 1.", required=True),
        "permissions": Key(
            shape=Choice(
                text=Text(want="a permission's name"),
                items=Names(),
                table=Table(of=Names(want="a verb or a list of verbs")),
            ),
            doc="The closed catalogue of permissions: `area: [verbs]`, or a list of whole names.",
        ),
        "orgs": Key(
            shape=Choice(
                text=Word(words={"from_identity": "Org ids are whatever the identity source says."}),
                items=Items(of=Text(want="an org's id"), least=1),
                table=Table(
                    of=Maybe(
                        of=Record(
                            what="an org", keys={"name": Key(shape=Text(empty=True), doc="The org's name, for people.")}
                        )
                    ),
                    least=1,
                ),
            ),
            doc="The orgs of a multi-tenant app; leave it out for a single-tenant app.",
        ),
        "roles": Key(
            shape=Table(
                of=Record(
                    what="a role",
                    keys={
                        "inherits": Key(shape=Names(), doc="Roles whose permissions it has too."),
                        "allow": Key(
                            shape=Names(),
                            doc="Permissions it gives; `*` stands for a whole segment: `report:*`, `*:view`.",
                        ),
                        "cross_org": Key(
                            shape=Truth(), doc='Whether it may be assigned in every org at once, with org `"*"`.'
                        ),
                    },
                )
            ),
            doc="The roles and what each allows. Roles only add.",
        ),
        "identity": Key(
            shape=Record(
                what="`identity`",
                keys={
                    **_IDENTITY_KEYS,
                    "providers": Key(
                        shape=Table(of=Record(what="a provider", keys=_IDENTITY_KEYS)),
                        doc="The same keys for one `[auth.NAME]` section, over the general ones.",
                    ),
                },
            ),
            doc="How claims become roles, groups and orgs.",
        ),
        "assign": Key(shape=Items(of=_ASSIGNMENT), doc="Who gets which role, where, for how long."),
        "forbid": Key(shape=Items(of=_FORBID), doc="What is denied, whatever roles someone holds. Always wins."),
        "separation": Key(shape=Items(of=_SEPARATION), doc="Roles that nobody may hold together in one org."),
        "pages": Key(
            shape=Table(of=_PAGE),
            doc='Who may open which page, by url path; `"*"` for pages not listed. A page without a rule is denied.',
        ),
        "sections": Key(
            shape=Table(of=Ref(name="rule")), doc="A menu section's rule, for each page in it, besides the page's own."
        ),
        "sessions": Key(
            shape=Record(
                what="`sessions`",
                keys={
                    "max_age": Key(shape=_DURATION, doc="How long a login counts."),
                    "idle": Key(shape=_DURATION, doc="How long a login counts without any interaction."),
                    "expire_with_token": Key(shape=Truth(), doc="Whether the token's `exp` ends the login."),
                },
            ),
            doc="How long a login counts.",
        ),
        "revoked": Key(shape=Items(of=_REVOCATION), doc="Sign out everywhere: logins before a moment no longer count."),
        "tests": Key(shape=Items(of=_TEST), doc="Run at each load; a failing test refuses the policy."),
    },
)
"""The whole language: what one policy file is."""
