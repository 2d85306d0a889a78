"""What code demands, as a rule: the keywords of `requires` and its kin become the rule type of the policy."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, get_args

from stguard.errors import ConfigurationError, nearest, quote
from stguard.model import (
    PAGE_ACTION,
    AllOf,
    AnyOf,
    ClaimIs,
    DomainIs,
    EmailIs,
    GroupIs,
    Not,
    OrgIs,
    PermissionIs,
    Public,
    RoleIs,
    Rule,
    SignedIn,
)
from stguard.naming import normalise

Names = str | Collection[str]
"""One name, or several of which any is enough."""

Part = str | Mapping[str, Any] | Rule
"""A piece of `any_of` or `all_of`: a permission, a mapping as in the policy file, or a rule of the model."""

_RULE_TYPES: Final = get_args(Rule)

_KEYS: Final = ("role", "permission", "group", "email", "domain", "claim", "org", "any", "all", "not")


def rule_from(
    action: str | None = None,
    *,
    role: Names | None = None,
    permission: Names | None = None,
    org: Names | None = None,
    group: Names | None = None,
    email: Names | None = None,
    any_of: Sequence[Part] | None = None,
    all_of: Sequence[Part] | None = None,
) -> Rule:
    """Return the rule that demands everything that is given.

    SECURITY: what is given but empty is an error, never a rule that lets anyone in.

    Raises:
        ConfigurationError: nothing is demanded, or something that is no rule.
    """
    parts: list[Rule] = []
    if action is not None:
        parts.append(_from_action(action))
    given = {"role": role, "permission": permission, "org": org, "group": group, "email": email}
    parts += [_from_names(key, names) for key, names in given.items() if names is not None]
    if any_of is not None:
        parts.append(AnyOf(_from_parts("any_of", any_of)))
    if all_of is not None:
        parts.append(AllOf(_from_parts("all_of", all_of)))
    if not parts:
        raise ConfigurationError(
            "a guard must demand something, got nothing (or only None); "
            'give a permission such as "report:view", or role=, group=, any_of='
        )
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def _from_action(action: object) -> Rule:
    if not isinstance(action, str):
        raise ConfigurationError(f"a permission is a text such as `report:view`, got {quote(type(action).__name__)}")
    if action == "signed_in":
        return SignedIn()
    if action.startswith(PAGE_ACTION):
        raise ConfigurationError(f"{quote(action)} asks for a page, a guard demands a permission; use can(page=...)")
    return PermissionIs((_name("permission", action),))


def _from_parts(keyword: str, parts: object) -> tuple[Rule, ...]:
    if isinstance(parts, str | Mapping) or not isinstance(parts, Sequence):
        raise ConfigurationError(f"{keyword} takes a list, got {quote(type(parts).__name__)}")
    if not parts:
        raise ConfigurationError(f"{keyword} is empty; list at least one demand")
    return tuple(_from_part(part) for part in parts)


def _from_part(part: object) -> Rule:
    if isinstance(part, _RULE_TYPES):
        return _refuse_public(part)
    if isinstance(part, str):
        return _refuse_public(Public()) if part == "public" else _from_action(part)
    if isinstance(part, Mapping):
        return _from_mapping(part)
    raise ConfigurationError(
        f"a demand is a permission or a mapping such as {{role: admin}}, got {quote(type(part).__name__)}"
    )


def _from_mapping(part: Mapping[Any, Any]) -> Rule:
    if not part:
        raise ConfigurationError("an empty mapping demands nothing; name a role, a permission or another demand in it")
    rules = tuple(_from_key(key, value) for key, value in part.items())
    return rules[0] if len(rules) == 1 else AllOf(rules)


def _from_key(key: object, value: object) -> Rule:
    if not isinstance(key, str) or key not in _KEYS:
        raise ConfigurationError(f"unknown key {quote(key)} in a demand{nearest(str(key), _KEYS)}")
    match key:
        case "any":
            return AnyOf(_from_parts(key, value))
        case "all":
            return AllOf(_from_parts(key, value))
        case "not":
            return Not(_from_part(value))
        case "claim":
            return _from_claims(value)
        case _:
            return _from_names(key, value)


def _from_claims(value: object) -> Rule:
    if not isinstance(value, Mapping) or not value:
        raise ConfigurationError("`claim` takes a mapping of claim to value, such as {department: finance}")
    rules = tuple(ClaimIs(_name("claim", claim), _names("claim", values)) for claim, values in value.items())
    return rules[0] if len(rules) == 1 else AllOf(rules)


def _from_names(key: str, value: object) -> Rule:
    names = _names(key, value)
    match key:
        case "role":
            return RoleIs(names)
        case "permission":
            return PermissionIs(names)
        case "group":
            return GroupIs(names)
        case "org":
            return OrgIs(names)
        case "email":
            return EmailIs(tuple(normalise(name) for name in names))
        case _:
            return DomainIs(tuple(normalise(name) for name in names))


def _names(key: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (_name(key, value),)
    if not isinstance(value, Sequence | set | frozenset):
        raise ConfigurationError(f"`{key}` takes a name or a list of names, got {quote(type(value).__name__)}")
    if not value:
        raise ConfigurationError(f"`{key}` is empty; name at least one")
    # One order for equal sets: rules are compared and cached.
    return tuple(_name(key, name) for name in (value if isinstance(value, Sequence) else sorted(value, key=str)))


def _name(key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"`{key}` takes names, got {quote(repr(value))}")
    return value


def _refuse_public(rule: Rule) -> Rule:
    match rule:
        case Public():
            raise ConfigurationError("`public` in a guard lets anyone in; leave the guard out instead")
        case AnyOf(rules) | AllOf(rules):
            if not rules:
                raise ConfigurationError("an empty list of demands demands nothing; list at least one")
            for part in rules:
                _refuse_public(part)
        case Not(part):
            _refuse_public(part)
        case _:
            pass
    return rule
