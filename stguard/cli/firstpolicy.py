"""The text of the commented policy that an app starts with."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SCHEMA_NAME: Final = "stguard.schema.json"
"""The schema's file name beside the policy."""

EXAMPLE_PAGES: Final = ("home", "reports", "settings")
EXAMPLE_PERMISSIONS: Final = ("report:view", "report:export")

# What YAML, or an editor's YAML, would read as something other than text is quoted.
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_NOT_TEXT: Final = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})

_TEMPLATE: Final = """\
# yaml-language-server: $schema=./{schema}
# Who may open which page and do what. After an edit: `stguard check`. To ask: `stguard explain ACTION --as WHO`.
stguard: 1

# What a role can allow. A name that is not listed here is an error everywhere, in code too.
# In code: @sg.requires({permission}) on a function, or `if sg.can({permission}):` around a button.
permissions: {permissions}

# Roles only add. Whoever holds a role also holds what it inherits.
roles:
  viewer: {viewer}
  admin: {admin}
{more_roles}
# Who gets which role, by one of: email, domain, group, claim, sub. E-mails count only when verified.
assign:
  - {{id: first-admin, role: admin, email: ann@example.com}}      # put your own e-mail here, and in `tests`
  - {{id: staff, role: viewer, domain: example.com}}
# - {{id: analysts, role: viewer, group: analysts}}               # a group that the identity provider sends
# - {{id: audit, role: viewer, email: sam@vendor.example, until: "2030-01-01T00:00:00Z", reason: TICKET-42}}

# The only deny. It wins over every role, and it also applies when the groups are not known.
# forbid:
#   - {{id: no-contractors, permission: {permission}, group: contractors}}

# Pages by their url path. A page without a rule is denied.
# Rules: public, signed_in, {{role: admin}}, {{permission: {permission}}}, {{any: [...]}}, {{all: [...]}}, {{not: ...}}
pages:
{pages}

# One app for several customers: list them, and give each assignment its `org: acme`.
# orgs: [acme, globex]

# Run at each load; a policy whose test fails is refused, and the last good one stays in force.
tests:
  - {{as: {{email: ann@example.com, email_verified: true}}, can: {permission}, sees: {all_pages}}}
  - {{as: {{email: bob@example.com, email_verified: true}}, cannot: {cannot}, sees: {all_pages_but_admin}}}
  - {{as: {{email: eve@elsewhere.example, email_verified: true}}, cannot: {cannot}, sees: [{first}]}}
  - {{as: anonymous, sees: []}}
"""


def text(
    *, pages: Sequence[str] = EXAMPLE_PAGES, permissions: Sequence[str] = EXAMPLE_PERMISSIONS, roles: Sequence[str] = ()
) -> str:
    """Return a policy that loads, with passing tests: the first page for who is signed in, the others for viewers.

    Args:
        pages: url paths, the default page first; at least one.
        permissions: permissions that the app asks for; at least one.
        roles: roles that the app asks for, besides `viewer` and `admin`.
    """
    viewed = [name for name in permissions if name.endswith(":view")]
    names = [_quoted(page) for page in pages]
    for_admins = [_quoted(page) for page in pages[1:] if page in _ADMIN_PAGES]
    others = [name for name in permissions if name not in viewed]
    rules = ["signed_in", *("{role: admin}" if name in for_admins else "{role: viewer}" for name in names[1:])]
    return _TEMPLATE.format(
        schema=SCHEMA_NAME,
        permission=_quoted((others or permissions)[0]),
        permissions=_list(_quoted(name) for name in permissions),
        viewer=f"{{allow: {_list(map(_quoted, viewed))}}}" if viewed else "{}",
        admin=_admin(others),
        more_roles="".join(f"  {_quoted(role)}: {{}}\n" for role in roles if role not in {"viewer", "admin"}),
        pages="\n".join(f"  {name}: {rule}" for name, rule in zip(names, rules, strict=True)),
        cannot=_quoted((others or ["policy:edit"])[0]),
        first=names[0],
        all_pages=_list(names),
        all_pages_but_admin=_list(name for name in names if name not in for_admins),
    )


_ADMIN_PAGES: Final = frozenset({"admin", "settings", "members", "users", "administration", "policy"})


def _admin(others: Sequence[str]) -> str:
    return f"{{inherits: viewer, allow: {_list([*map(_quoted, others), _quoted('policy:*')])}}}"


def _list(names: Iterable[str]) -> str:
    return f"[{', '.join(names)}]"


def _quoted(name: str) -> str:
    """Return a name as a YAML scalar."""
    if _PLAIN.fullmatch(name) and name.lower() not in _NOT_TEXT:
        return name
    return json.dumps(name, ensure_ascii=False)
