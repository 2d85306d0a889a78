"""Whether the app can serve guarded pages: for readiness probes, and in detail for who may know.

What has a state (the policy, the identity sources, the audit) is a `State`; more of them can be given to
`Gateway.watch`. Nothing in here waits, or asks anybody.
"""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Protocol

from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prometheus_client.core import Metric

HEALTH_PAGE: Final = "health"
"""The page of the policy whose rule is that of the details; without one nobody reads them."""


class Status(StrEnum):
    """Say whether guarded pages can be served, for anybody to read. Closed."""

    OK = "ok"
    """They can."""
    STARTING = "starting"
    """No policy is known before the main script has run."""
    NO_POLICY = "no_policy"
    """No policy ever loaded: everything is refused."""
    BAD_EDIT = "bad_edit"
    """The last edit of the policy is bad, and `on_bad_edit` refuses everything."""
    OUTDATED = "outdated"
    """The policy that replicas share has not been seen for too long: everything is refused."""
    UNSUPPORTED = "unsupported"
    """The hooks don't fit this version of Streamlit: no guarded page is served."""


class State(Protocol):
    """Be one part of the app whose state an operator wants to see."""

    @property
    def name(self) -> str:
        """Under which the details hold it."""

    def status(self) -> Status:
        """Return whether it lets guarded pages be served. Never waits, never raises."""

    def details(self) -> object:
        """Return what JSON can hold, for who may read the page `health`; nothing secret, nothing of a person."""

    def metrics(self) -> Iterable[Metric]:
        """Yield metric families named `stguard_…`, read when somebody asks.

        SECURITY: a label holds a word of a closed set, never anything of a person, an org or a request.
        """


def status_of(states: Iterable[State]) -> Status:
    """Return what keeps guarded pages from being served, the first there is; OK when nothing does."""
    return next((found for each in states if (found := each.status()) is not Status.OK), Status.OK)


def answer(states: Sequence[State], *, detailed: bool) -> JSONResponse:
    """Return the answer to who asks for the health.

    Args:
        states: of the app's parts, what matters most first.
        detailed: whether who asks may know more than the status.
    """
    status = status_of(states)
    content: dict[str, Any] = {"status": status.value}
    if detailed:
        content |= {each.name: each.details() for each in states}
    code = HTTPStatus.OK if status is Status.OK else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse(content, status_code=code, headers={"cache-control": "no-store"})
