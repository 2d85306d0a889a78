"""Replicas in one process, each with a connection of its own to a real Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stguard.shared.link import Link
from tests.shared.engine import SECRET, Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Replica = "Callable[..., Link]"


@pytest.fixture
def replica(engine: Engine) -> Iterator[Callable[..., Link]]:
    """Make a connection as one replica has it; it is closed at the end. Start it when its parts are there."""
    made: list[Link] = []

    def make(**options: Any) -> Link:
        link = Link(**{"url": engine.url, "secret": SECRET, "every": 0.05, "deadline": 0.5, **options})
        made.append(link)
        return link

    yield make
    for link in made:
        link.close()
