"""Give a role and take it away: one row of `assign` more or less, everything else byte for byte as it was."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from stguard.edits import places
from stguard.edits.errors import EditError
from stguard.errors import nearest, quote
from stguard.model import EVERY_ORG, Who, WhoKind
from stguard.naming import normalise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stguard.edits.places import Mark, Plain
    from stguard.model import Assignment
    from stguard.policy import Policy

Texts = dict[str, str]
"""The files of a policy: name in its folder, text without a byte order mark."""

_KINDS: Final = tuple(kind.value for kind in WhoKind if kind not in (WhoKind.ROLE, WhoKind.EVERYONE))
_EVERYONE: Final = "everyone"
_SIGNED_IN: Final = "signed_in"
_ORDER: Final = ("role", "org", "who", "from", "until", "reason")
_BOM: Final = "\ufeff"


@dataclass(frozen=True, slots=True)
class Person:
    """Say whom an edit is about, as the policy will name them.

    Attributes:
        key: the who-key.
        text: what stands behind it.
        claim: the claim's key, only for `claim`.
    """

    key: str
    text: str
    claim: str | None = None

    @staticmethod
    def read(text: str) -> Person:
        """Read an e-mail, `everyone`, or `KEY:VALUE` with KEY as in a policy and `claim:NAME=VALUE`.

        Raises:
            EditError: it is none of them.
        """
        if text in (_EVERYONE, _SIGNED_IN, f"{_EVERYONE}:{_SIGNED_IN}"):
            return Person(_EVERYONE, _SIGNED_IN)
        key, colon, value = text.partition(":")
        if colon and key in _KINDS:
            if key != WhoKind.CLAIM:
                if value:
                    return Person(key, value)
            else:
                claim, equals, text_of = value.partition("=")
                if claim and equals:
                    return Person(key, text_of, claim)
                raise EditError(f"expected `claim:NAME=VALUE`, got {quote(text)}")
        elif "@" in text.strip("@"):
            return Person(WhoKind.EMAIL, text)
        keys = ", ".join(f"`{each}:…`" for each in _KINDS if each != WhoKind.CLAIM)
        hint = nearest(key, _KINDS) if colon else ""
        raise EditError(f"expected an e-mail, `everyone`, {keys} or `claim:NAME=VALUE`, got {quote(text)}{hint}")

    @property
    def who(self) -> Who:
        """Return the same as policies compare it."""
        same = self.key in (WhoKind.EMAIL, WhoKind.DOMAIN)
        return Who(WhoKind(self.key), normalise(self.text) if same else self.text, self.claim)

    def __str__(self) -> str:
        """Return the who-key as text."""
        return str(Who(WhoKind(self.key), self.text, self.claim))


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Give a role to somebody.

    Attributes:
        person: whom.
        role: role name.
        org: org id; `*` for every org; None in a single-tenant policy.
        since: from when it holds; None for from now on and always.
        until: the moment it ends; None for never.
        reason: a note that stands in the policy.
    """

    person: Person
    role: str
    org: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    reason: str | None = None

    def apply(self, policy: Policy, texts: Mapping[str, str], *, now: float) -> Texts:
        """Return the files that change; none when this very assignment stands there already.

        Raises:
            EditError: a name is unknown, or the time has passed.
        """
        _expect_names(policy, self.role, self.org, granting=True)
        if self.until is not None and self.until.timestamp() <= now:
            raise EditError(f"`until` {quote(_moment(self.until))} is in the past by the clock of this machine")
        if self.until is not None and self.since is not None and self.until <= self.since:
            raise EditError(f"`until` {quote(_moment(self.until))} is not after `from`; it would never hold")
        since, until = (None if at is None else at.timestamp() for at in (self.since, self.until))
        for each in policy.parts.assignments:
            said = (each.who, each.role, each.org, each.since, each.until)
            if said == (self.person.who, self.role, self.org, since, until):
                return {}
        name = _holder(texts)
        old = texts[name].removeprefix(_BOM)
        new = _with_row(old, self._fields())
        row: Plain = {key: _written(value) for key, value in self._fields()}
        before, after = places.plain(old), places.plain(new)
        if before is None or after != {**before, "assign": [*before.get("assign", []), row]}:
            raise EditError(f"{quote(name)} can't be edited without changing other things in it; edit it by hand")
        return {name: _same_mark(texts[name], new)}

    def _fields(self) -> list[tuple[str, str]]:
        person = self.person
        value = places.scalar(person.text)
        if person.claim is not None:
            value = f"{{{places.scalar(person.claim)}: {value}}}"
        fields = {"role": places.scalar(self.role), "who": value}
        if self.org is not None:
            fields["org"] = places.scalar(self.org)
        if self.since is not None:
            fields["from"] = places.scalar(_moment(self.since))
        if self.until is not None:
            fields["until"] = places.scalar(_moment(self.until))
        if self.reason:
            fields["reason"] = places.scalar(self.reason)
        return [(person.key if key == "who" else key, fields[key]) for key in _ORDER if key in fields]


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke:
    """Take a role away from somebody: each assignment that names exactly them, or one of these.

    Attributes:
        person: whom.
        role: role name.
        org: org id, or `*`; None in a single-tenant policy, or where it is given in one org only.
        id: id of the one assignment that goes; None for all.
    """

    person: Person
    role: str
    org: str | None = None
    id: str | None = None

    def apply(self, policy: Policy, texts: Mapping[str, str], *, now: float) -> Texts:
        """Return the files that change.

        Raises:
            EditError: a name is unknown, nothing gives that role to them, or several orgs do.
        """
        del now
        _expect_names(policy, self.role, self.org, granting=False)
        given = [each for each in policy.parts.assignments if each.role == self.role]
        theirs = [each for each in given if each.who == self.person.who]
        orgs = {each.org for each in theirs if self.org is None or each.org == self.org}
        if not orgs:
            where = "" if self.org is None else f" in org {quote(self.org)}"
            hint = nearest(str(self.person.who), [str(each.who) for each in given])
            elsewhere = sorted({str(each.org) for each in theirs})
            if elsewhere and self.org is not None:
                hint = f"; it is given in {', '.join(quote(org) for org in elsewhere)}"
            raise EditError(f"no assignment gives {quote(self.person)} role {quote(self.role)}{where}{hint}")
        if len(orgs) > 1:
            named = ", ".join(quote(org) for org in sorted(str(org) for org in orgs))
            raise EditError(f"{quote(self.person)} has role {quote(self.role)} in {named}; name one with `--org`")
        name, org = _holder(texts), orgs.pop()
        old = texts[name].removeprefix(_BOM)
        new, rows = _without_rows(old, role=self.role, org=org, who=self.person.who, only=self._which(theirs, org))
        before, after = places.plain(old), places.plain(new)
        if before is not None:
            before["assign"] = [row for number, row in enumerate(before["assign"]) if number not in rows]
        if before is None or after != before or not rows:
            raise EditError(f"{quote(name)} can't be edited without changing other things in it; edit it by hand")
        return {name: _same_mark(texts[name], new)}

    def _which(self, theirs: Sequence[Assignment], org: str | None) -> int | None:
        """Return which of the rows that say the same is meant, counted from 0; None for all of them."""
        if self.id is None:
            return None
        ids = [each.id for each in theirs if each.org == org]
        if self.id not in ids:
            raise EditError(f"no such assignment {quote(self.id)}{nearest(self.id, ids)}")
        return ids.index(self.id)


def _expect_names(policy: Policy, role: str, org: str | None, *, granting: bool) -> None:
    if role not in policy.roles:
        raise EditError(f"no role {quote(role)} in the policy{nearest(role, policy.roles)}")
    if org is not None and not policy.multi_tenant:
        raise EditError(f"org {quote(org)} is given, but the policy has no orgs; leave it out")
    if org is None:
        if policy.multi_tenant and granting:
            raise EditError("the policy has orgs, and a role is given in one; name it with `--org`")
    elif not policy.parts.orgs_from_identity and org not in (*policy.orgs, EVERY_ORG):
        raise EditError(f"no org {quote(org)} in the policy{nearest(org, policy.orgs)}")
    if org == EVERY_ORG and granting and not policy.parts.roles[role].cross_org:
        raise EditError(f"role {quote(role)} is not `cross_org`, it can't be given in every org; name an org")


def _moment(at: datetime) -> str:
    text = at.astimezone(UTC).isoformat()
    return text.replace("+00:00", "Z")


def _written(value: str) -> Plain:
    """Return what the reader makes of a value that was just written."""
    return places.plain(f"- {value}\n")[0]


def _same_mark(old: str, new: str) -> str:
    return _BOM + new if old.startswith(_BOM) else new


def _holder(texts: Mapping[str, str]) -> str:
    """Return the file that holds `assign`; without one the file of the roles, which a first row belongs with."""
    roots = {name: places.root(text.removeprefix(_BOM)) for name, text in texts.items()}
    for key in ("assign", "roles", "stguard"):
        for name, found in roots.items():
            if found is not None and places.field(found, key) is not None:
                return name
    return next(iter(texts))


# --- one row more -----------------------------------------------------------------------------------------------------


def _flow(fields: Sequence[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in fields) + "}"


def _with_row(text: str, fields: Sequence[tuple[str, str]]) -> str:
    found = places.root(text)
    if found is None:
        return text
    held = places.field(found, "assign")
    if held is None:
        return _with_section(text, found, f"{_flow(fields)}")
    key, rows = held
    if rows.flow_style:
        return _with_flow_row(text, found, key, rows, _flow(fields))
    if not rows.value:
        return text
    return _with_block_row(text, rows, fields)


def _with_section(text: str, found: Mark, row: str) -> str:
    """Put the section at the end of the file, before a line that ends the document."""
    if found.flow_style:
        where = places.end(found.value[-1][1])
        return f"{text[:where]}, assign: [{row}]{text[where:]}"
    line = places.newline(text)
    indent = " " * found.start_mark.column
    where = _document_end(text)
    before = text[:where]
    gap = "" if not before or before.endswith(("\n", "\r")) else line
    return f"{before}{gap}{indent}assign:{line}{indent}  - {row}{line}{text[where:]}"


def _document_end(text: str) -> int:
    import yaml  # noqa: PLC0415  10 ms that only those pay who read a policy

    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, yaml.DocumentEndEvent) and event.explicit:
            mark: Any = event.start_mark
            return int(mark.index)
    return len(text)


def _with_block_row(text: str, rows: Mark, fields: Sequence[tuple[str, str]]) -> str:
    last = rows.value[-1]
    indent = " " * rows.start_mark.column
    line = places.newline(text)
    if last.flow_style:
        dash = _dash(text, rows, len(rows.value) - 1)
        gap = text[dash + 1 : places.start(last)]
        made = f"{indent}-{gap if gap and not gap.strip(' ') else ' '}{_flow(fields)}"
    else:
        inner = last.start_mark.column
        first = f"{indent}-{' ' * (inner - len(indent) - 1)}"
        made = line.join(
            f"{first if number == 0 else ' ' * inner}{key}: {value}" for number, (key, value) in enumerate(fields)
        )
    where = places.next_line(text, places.end(last))
    if where and text[where - 1] not in "\r\n":
        return f"{text[:where]}{line}{made}{text[where:]}"  # the file has no line break at its end; it gets none
    return f"{text[:where]}{made}{line}{text[where:]}"


def _dash(text: str, rows: Mark, number: int) -> int:
    """Return where the `-` of a row stands."""
    if number == 0:
        return places.start(rows)
    return places.skip(text, places.end(rows.value[number - 1]), until="-")


def _with_flow_row(text: str, found: Mark, key: Mark, rows: Mark, row: str) -> str:
    opening, closing = places.start(rows), places.end(rows) - 1
    line = places.newline(text)
    if not rows.value:
        inside = text[opening + 1 : closing]
        if found.flow_style or inside.strip(" ") or text[places.end(key) : opening].strip(" ") != ":":
            return f"{text[: opening + 1]}{row}{text[opening + 1 :]}"
        indent = " " * (key.start_mark.column + 2)
        where = places.line_end(text, closing)
        rest = text[closing + 1 : where]
        head = text[:opening] if rest.strip() else text[:opening].rstrip(" ")
        gap = "" if rest.endswith(("\n", "\r")) else line
        end = line if gap == "" else ""
        return f"{head}{rest.lstrip(' ') if rest.strip() else rest}{gap}{indent}- {row}{end}{text[where:]}"
    last = rows.value[-1]
    after = places.end(last)
    begins = places.line_start(text, places.start(last))
    comma = places.skip(text, after, until=",]")
    own_line = not text[begins : places.start(last)].strip(" ") and places.line_end(text, after) <= closing
    if not own_line:
        return f"{text[:after]}, {row}{text[after:]}"
    indent = text[begins : places.start(last)]
    if text[comma] == ",":
        where = places.line_end(text, comma)
        return f"{text[:where]}{indent}{row},{line}{text[where:]}"
    where = places.line_end(text, after)
    return f"{text[:after]},{text[after:where]}{indent}{row}{line}{text[where:]}"


# --- rows less --------------------------------------------------------------------------------------------------------


def _without_rows(text: str, *, role: str, org: str | None, who: Who, only: int | None = None) -> tuple[str, set[int]]:
    """Return the text without the rows that say this, or without one of them, and which they were."""
    gone: set[int] = set()
    while True:
        found = places.root(text)
        held = None if found is None else places.field(found, "assign")
        if held is None:
            return text, gone
        key, rows = held
        told = [i for i, row in enumerate(rows.value) if _says(row, role=role, org=org, who=who)]
        if not told or (only is not None and (gone or only >= len(told))):
            return text, gone
        number = told[only or 0]
        # Rows before it are left, so its number among all rows is that among these plus those gone before it.
        original = number
        for each in sorted(gone):
            original += each <= original
        gone.add(original)
        text = _without_flow(text, rows, number) if rows.flow_style else _without_block(text, key, rows, number)


def _says(row: Mark, *, role: str, org: str | None, who: Who) -> bool:
    texts = {key.value: value for key, value in row.value}
    if texts["role"].value != role or (texts["org"].value if "org" in texts else None) != org:
        return False
    for key, value in texts.items():
        if key == WhoKind.CLAIM and isinstance(value.value, list):
            claim, of = value.value[0]
            return who == Who(WhoKind.CLAIM, of.value, claim.value)
        if key in _KINDS or key == _EVERYONE:
            return who == Person(key, value.value).who
    return False


def _without_block(text: str, key: Mark, rows: Mark, number: int) -> str:
    dash = _dash(text, rows, number)
    begins, ends = places.line_start(text, dash), places.next_line(text, places.end(rows.value[number]))
    if len(rows.value) > 1:
        return text[:begins] + text[ends:]
    colon = places.skip(text, places.end(key), until=":") + 1
    return f"{text[:colon]} []{text[colon:begins]}{text[ends:]}"


def _without_flow(text: str, rows: Mark, number: int) -> str:
    row = rows.value[number]
    begins, ends = places.start(row), places.end(row)
    stop = places.skip(text, ends, until=",]")
    comma = text[stop] == ","
    after = stop + 1 if comma else ends
    line = places.line_start(text, begins)
    rest = text[after : places.line_end(text, after)].strip()
    if not text[line:begins].strip(" ") and (not rest or rest.startswith("#")):
        return text[:line] + text[places.line_end(text, after) :]
    if comma:
        while text[after : after + 1] == " ":
            after += 1
        return text[:begins] + text[after:]
    if number:
        before = places.end(rows.value[number - 1])
        if not text[before:begins].strip(", "):
            return text[:before] + text[ends:]
    return text[:begins] + text[ends:]
