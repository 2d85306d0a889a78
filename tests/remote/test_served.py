"""A real server whose policy is published: what is published is in force without a restart, once it is proved."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.app.test_gateway import Browser, Server, serving
from tests.remote.publisher import Publisher, publishing
from tests.remote.test_signature import Signer
from tests.shared.engine import until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.server

POLICY = b"stguard: 1\npages: {home: signed_in, health: public}\n"
SHUT = b"stguard: 1\npages: {home: signed_in, health: signed_in}\n"

APP = """
    import stguard as sg

    app = sg.App('main.py', policy=sg.PolicyUrl({url!r}, public_key={key!r}, cafile={cafile!r}, every=0.1))
"""


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer()


@pytest.fixture(scope="module")
def publisher(tmp_path_factory: pytest.TempPathFactory, signer: Signer) -> Iterator[Publisher]:
    with publishing(tmp_path_factory.mktemp("publisher")) as made:
        made.publish(POLICY, signer.sign(POLICY))
        yield made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, publisher: Publisher, signer: Signer) -> Iterator[Server]:
    app = APP.format(url=publisher.url, key=signer.public, cafile=publisher.cafile)
    with serving(tmp_path_factory.mktemp("published"), app, options="") as running:
        yield running


def details(server: Server) -> dict[str, object]:
    answer: dict[str, object] = json.loads(Browser(server).get("/_stguard/health").body)
    return answer


def test_what_is_published_is_in_force_without_a_restart(server: Server, publisher: Publisher, signer: Signer) -> None:
    assert "policy" in details(server)
    publisher.publish(SHUT, Signer().sign(SHUT, comment=b"timestamp:1900000000"))
    until(lambda: "policy" in details(server) and details(server)["policy"]["last_edit_bad"])  # type: ignore[index]
    publisher.publish(SHUT, signer.sign(SHUT, comment=b"timestamp:1800000000"))
    until(lambda: "policy" not in details(server))
