"""Who may use the admin page: `policy:view` to see it, `policy:edit` to change anything.

The policy is one for all orgs: whoever edits it edits every org. So both are asked without an org, which in a
multi-tenant app only a `cross_org` role answers; a role held in one org, however powerful there, opens nothing here.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final, ParamSpec

from stguard.app.standing import Standing, refused, standing
from stguard.errors import AccessDenied
from stguard.model import PermissionIs

if TYPE_CHECKING:
    from collections.abc import Callable

    from stguard.model import Decision

P = ParamSpec("P")

VIEW: Final = PermissionIs(("policy:view",))
EDIT: Final = PermissionIs(("policy:edit",))


def may_view(asked: Standing) -> Decision:
    """Decide whether who asks may see the page."""
    return asked.decide(VIEW, org=None)


def may_edit(asked: Standing) -> bool:
    """Tell whether who asks may change the policy; whoever may not see it, or looks as somebody else, may not."""
    return asked.viewer is None and asked.holds(VIEW, org=None) and asked.holds(EDIT, org=None)


def insist(rule: PermissionIs) -> Standing:
    """Return who asks, now, if they may.

    Raises:
        AccessDenied: they may not.
    """
    asked = standing()
    for each in dict.fromkeys((VIEW, rule)):
        decision = asked.decide(each, org=None)
        asked.report(decision)
        if not decision.allowed:
            raise AccessDenied(decision)
    if rule == EDIT and asked.viewer is not None:
        raise AccessDenied(refused(EDIT.names[0]))  # nothing can be done by looking
    return asked


def editing(action: Callable[P, None]) -> Callable[P, None]:
    """Let a callback run only for who may edit the policy at the moment it is called.

    SECURITY: a browser can send any click it was ever shown; the button that isn't drawn any more protects nothing.
    """

    @functools.wraps(action)
    def asked_again(*args: P.args, **kwargs: P.kwargs) -> None:
        insist(EDIT)
        action(*args, **kwargs)

    return asked_again
