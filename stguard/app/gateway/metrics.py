"""What stguard counts, as Prometheus reads it: put together when somebody asks, and by whom is the policy's to say.

Nothing of the process's default registry is in it: what an app counts by itself is the app's to serve.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from stguard.app.gateway.health import Status, status_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.core import Metric

    from stguard.app.gateway.health import State

METRICS_PAGE: Final = "metrics"
"""The page of the policy whose rule is that of the server's metrics and stguard's; without one nobody reads them."""


def is_installed() -> bool:
    """Tell whether the extra `metrics` is installed."""
    return importlib.util.find_spec("prometheus_client") is not None


class _Collector:
    """Read the counts that exist already, in place of counting twice."""

    def __init__(self, states: Sequence[State]) -> None:
        self._states: Final = states

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415  an extra

        status = status_of(self._states)
        family = GaugeMetricFamily("stguard_status", "1 for the status that the health has now.", labels=["status"])
        for each in Status:
            family.add_metric([each.value], each is status)
        yield family
        for state in self._states:
            yield from state.metrics()


def answer(states: Sequence[State], *, accept: str) -> Response:
    """Return the metrics in the format that a scraper accepts; the extra `metrics` is installed.

    Args:
        states: of the app's parts.
        accept: value of the header `Accept`.
    """
    from prometheus_client import CollectorRegistry  # noqa: PLC0415  an extra
    from prometheus_client.exposition import choose_encoder  # noqa: PLC0415  the same

    registry = CollectorRegistry()
    registry.register(_Collector(states))
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # the library compares what is no version
        encode, content_type = choose_encoder("")
    return Response(encode(registry), headers={"content-type": content_type, "cache-control": "no-store"})
