"""One server with local accounts for the tests of a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.accounts.servers import Server, serving

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("local")) as running:
        yield running
