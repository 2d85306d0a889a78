"""The file of local accounts: YAML to accounts, or to every problem with its place."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from stguard import naming
from stguard.accounts import passwords
from stguard.errors import quote
from stguard.policyfile import source
from stguard.policyfile.ledger import Ledger
from stguard.policyfile.moments import Moments
from stguard.policyfile.node import FIELDS, SPOILT
from stguard.policyfile.reader import Blemishes, read
from stguard.policyfile.shape import Key, Names, Record, Table, Text, Truth
from stguard.policyfile.structure import Structure, check_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stguard.errors import Problem
    from stguard.policyfile.node import Node

ISSUER: Final = "urn:stguard:accounts"
"""The `iss` of who signed in with a local account."""

PROVIDER: Final = "local_accounts"
"""Their `provider`. Streamlit takes no section `[auth.NAME]` with an underscore, so that none can have this name."""

FINGERPRINT: Final = "account_version"
"""The claim that tells whether an account is still what it was at sign-in."""

NAME_LIMIT: Final = 128
"""Most characters of a user name."""

_ID: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")
_TIME: Final = Text(want='a time with a zone, such as "2027-01-01T00:00:00Z"')

_ACCOUNT: Final = Record(
    what="an account",
    keys={
        "id": Key(shape=Text(want="an id"), doc="Who this is, for ever: `sub` in policies.", required=True),
        "password": Key(
            shape=Text(want="an Argon2id hash"), doc="The hash that `stguard accounts passwd` writes.", required=True
        ),
        "name": Key(shape=Text(want="a name"), doc="A name to show."),
        "email": Key(shape=Text(want="an e-mail"), doc="An e-mail; it counts only when verified."),
        "email_verified": Key(shape=Truth(), doc="Whether you know that the e-mail is theirs."),
        "groups": Key(shape=Names(), doc="Their groups, as a provider would send them."),
        "roles": Key(shape=Names(), doc="Their roles, as a provider would send them."),
        "disabled": Key(shape=Truth(), doc="Whether nobody may sign in with it."),
        "until": Key(shape=_TIME, doc="The moment from which nobody may sign in with it."),
        "enabled_at": Key(shape=_TIME, doc="When it was last enabled; a change ends earlier logins."),
    },
    hints={
        "user": "; the user name is the key above the account",
        "username": "; the user name is the key above the account",
        "sub": "; did you mean `id`?",
        "hash": "; did you mean `password`?",
        "role": "; did you mean `roles`?",
        "group": "; did you mean `groups`?",
    },
)

_FILE: Final = Record(
    what="a file of accounts",
    keys={"accounts": Key(shape=Table(of=_ACCOUNT), doc="The accounts, by user name.", required=True)},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Hold one account.

    Attributes:
        user: what its owner types, as it stands in the file.
        id: who this is; another account of the same user name has another one.
        password: the hash of the password.
        name: a name to show; None for none.
        email: an e-mail; None for none.
        email_verified: whether the operator says that the e-mail is theirs.
        groups: their groups.
        roles: their roles.
        disabled: whether nobody may sign in with it.
        until: Unix seconds from which nobody may sign in with it; None for no end.
        enabled_at: Unix seconds at which it was last enabled; None for not known.
    """

    user: str
    id: str
    password: str = field(repr=False)
    name: str | None = None
    email: str | None = None
    email_verified: bool = False
    groups: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    disabled: bool = False
    until: float | None = None
    enabled_at: float | None = None

    def counts(self, *, at: float) -> bool:
        """Tell whether somebody may be signed in with it, at a moment in Unix seconds."""
        return not self.disabled and (self.until is None or at < self.until)

    @property
    def fingerprint(self) -> str:
        """What changes with everything about the account; whether it is disabled is asked for by itself.

        SECURITY: it stands in a claim that its owner can read. It is made of the salted hash of the password, not of
        the password: whoever holds it can try no guesses with it without the file.
        """
        facts: list[Any] = [self.user, self.id, self.password, self.name, self.email, self.email_verified]
        facts += [self.groups, self.roles, self.until, self.enabled_at]
        return hashlib.blake2b(json.dumps(facts).encode("ascii"), digest_size=16, person=b"stguard-account").hexdigest()

    def claims(self, *, at: float, login: str) -> dict[str, Any]:
        """Return the claims of a login, as a provider would send them.

        Source: OpenID Connect Core 1.0, sections 2 and 5.1.

        Args:
            at: the moment, Unix seconds.
            login: tells this login from every other.
        """
        claims: dict[str, Any] = {"iss": ISSUER, "sub": self.id, "name": self.name or self.user}
        claims |= {"preferred_username": self.user}
        if self.email is not None:
            claims |= {"email": self.email, "email_verified": self.email_verified}
        claims |= {"groups": list(self.groups), "roles": list(self.roles)}
        claims |= {"iat": int(at), "auth_time": int(at), "sid": login, FINGERPRINT: self.fingerprint}
        return claims | {"provider": PROVIDER}


@dataclass(frozen=True, slots=True)
class Accounts:
    """Hold the accounts of one file.

    Attributes:
        by_user: by user name in the form in which it is compared.
        by_id: by id.
    """

    by_user: Mapping[str, Account] = field(default_factory=dict)
    by_id: Mapping[str, Account] = field(default_factory=dict)

    @staticmethod
    def of(accounts: Iterable[Account]) -> Accounts:
        """Return accounts as they are looked up."""
        listed = tuple(accounts)
        return Accounts({comparable(each.user): each for each in listed}, {each.id: each for each in listed})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Hold what a file became.

    Attributes:
        accounts: None when a problem is an error.
        problems: errors and warnings, sorted by line and column.
    """

    accounts: Accounts | None
    problems: tuple[Problem, ...]


def comparable(user: str) -> str:
    """Return a user name in the form in which it is compared."""
    return naming.normalise(user.strip())


def user_problem(user: str) -> str | None:
    """Return why a text can't be a user name; None when it can."""
    if not 0 < len(user) <= NAME_LIMIT or user != user.strip() or not user.isprintable():
        return f"expected a user name of 1 to {NAME_LIMIT} characters without blanks around it, got {quote(user)}"
    if any(unicodedata.category(character) in {"Cf", "Co", "Cn"} for character in user):
        return f"expected a user name that can be seen as it is, got {quote(user)}"
    return None


def parse(name: str, data: bytes | str) -> Reading:
    """Read a file of accounts.

    Never raises for what stands in it: that becomes problems.

    Args:
        name: what problems call the file.
        data: its content.
    """
    ledger, blemishes = Ledger(), Blemishes()
    if not isinstance(data, str) and len(data) > source.SIZE_LIMIT:
        source.refuse_size(name, ledger=ledger)
        return Reading(accounts=None, problems=ledger.problems())
    text, base, decodable = source.register(name, data, ledger=ledger)
    if not text.strip():
        ledger.error(base, code="empty-file", message="expected `accounts:`, got an empty file; write `accounts: {}`")
        return Reading(accounts=None, problems=ledger.problems())
    document = read(
        text, base=base, ledger=ledger, blemishes=blemishes, decodable=decodable, scrubbed=source.MARKER in text
    )
    root = document.root
    found: list[Account] = []
    if root is not None and _check()(root, Structure(ledger=ledger, blemishes=blemishes)):
        table = root[2].get("accounts")
        if table is not None and table[0] == FIELDS:
            found = _accounts(table[2], ledger=ledger)
    elif root is None:
        ledger.error(base, code="missing-key", message="expected `accounts:`, got nothing; write `accounts: {}`")
    accounts = None if ledger.refused or not document.complete else Accounts.of(found)
    return Reading(accounts=accounts, problems=ledger.problems())


@cache
def _check() -> Any:  # noqa: ANN401  the form of a check, which only a type checker knows
    return check_of(_FILE, label="a file of accounts")


def _accounts(table: Mapping[str, Node], *, ledger: Ledger) -> list[Account]:
    found = []
    moments = Moments(ledger=ledger)
    users: dict[str, int] = {}
    ids: dict[str, int] = {}
    for user, node in table.items():
        if why := user_problem(user):
            ledger.error(node[3], code="user-form", message=why)
        first = users.setdefault(comparable(user), node[3])
        if first != node[3]:
            line = ledger.place(first)[1]
            message = f"user name {quote(user)} is that of line {line}: names are compared without case; choose another"
            ledger.error(node[3], code="duplicate-user", message=message)
        if node[0] != FIELDS:
            continue
        account = _account(user, node[2], ids=ids, ledger=ledger, moments=moments)
        if account is not None:
            found.append(account)
    return found


def _account(
    user: str, content: Mapping[str, Node], *, ids: dict[str, int], ledger: Ledger, moments: Moments
) -> Account | None:
    """Return one account; None when something in it was reported."""
    mark, password, email = content.get("id"), content.get("password"), content.get("email")
    if any(node[0] == SPOILT for node in content.values()) or mark is None or password is None:
        return None
    if not _ID.fullmatch(mark[2]):
        message = f"expected an id of 16 to 64 letters, digits, `-` and `_`, got {quote(mark[2])}"
        ledger.error(mark[1], code="id-form", message=message)
    first = ids.setdefault(mark[2], mark[1])
    if first != mark[1]:
        # SECURITY: a copied account would be its owner for every rule that names the id.
        message = f"the id {quote(mark[2])} stands in line {ledger.place(first)[1]} too; each account has its own"
        ledger.error(mark[1], code="duplicate-id", message=message)
    try:
        passwords.parameters(password[2])
    except ValueError as error:
        ledger.error(password[1], code="password-hash", message=str(error))
    verified = _truth(content.get("email_verified"))
    if email is not None and not naming.email_domain(naming.normalise(email[2])):
        ledger.error(email[1], code="email-form", message=f"expected an e-mail with `@`, got {quote(email[2])}")
    if verified and email is None:
        node = content["email_verified"]
        message = "`email_verified` without `email`; add the e-mail, or remove the key"
        ledger.error(node[3], code="email-missing", message=message)
    until, enabled_at = (moments.time(content.get(key)) for key in ("until", "enabled_at"))
    return Account(
        user=user,
        id=mark[2],
        password=password[2],
        name=_text(content.get("name")),
        email=_text(email),
        email_verified=verified,
        groups=_names(content.get("groups")),
        roles=_names(content.get("roles")),
        disabled=_truth(content.get("disabled")),
        until=until,
        enabled_at=enabled_at,
    )


def _text(node: Node | None) -> str | None:
    return None if node is None else str(node[2])


def _truth(node: Node | None) -> bool:
    return node is not None and node[2] == "true"


def _names(node: Node | None) -> tuple[str, ...]:
    if node is None:
        return ()
    if isinstance(node[2], str):
        return (node[2],)
    return tuple(str(item[2]) for item in node[2] if item[0] != SPOILT)
