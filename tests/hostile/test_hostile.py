"""Each attack gets through on the app that is guarded by hand, so it is one; and not on the guarded app."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.hostile.arena import Arena, serve
from tests.hostile.cases import CASES, Case
from tests.hostile.twins.parts import SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("hostile")]

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture(scope="module")
def naive() -> Iterator[Arena]:
    with serve("naive") as arena:
        yield arena


@pytest.fixture(scope="module")
def guarded() -> Iterator[Arena]:
    with serve("guarded") as arena:
        yield arena


@each_case
def test_it_gets_through_on_the_app_that_is_guarded_by_hand(case: Case, naive: Arena) -> None:
    assert case.attack(naive), naive.output


@each_case
def test_it_is_stopped_on_the_guarded_app(case: Case, guarded: Arena) -> None:
    assert not case.attack(guarded), guarded.output


def test_what_stands_above_navigation_is_guarded_from_the_first_run_of_the_process() -> None:
    with serve("guarded") as arena:
        email = arena.person()
        with arena.tab(email) as tab:
            tab.open()
            handbook = tab.part("Handbook").proto.deferred_file_id
            assert SECRET.encode() in (tab.fetch(handbook) or b"")
            arena.remove(email)
            assert tab.fetch(handbook) is None
            tab.click("Tidy")
            assert not arena.done("click above navigation")


def test_a_refused_callback_shows_a_refusal_and_a_refused_download_says_no_more_than_that(guarded: Arena) -> None:
    email = guarded.person("admin")
    with guarded.tab(email) as tab:
        tab.open("files")
        file_id = tab.part("Export").proto.deferred_file_id
        tab.open("vault")
        guarded.give(email)
        assert tab.fetch(file_id) is None
        said = str(tab.seen.messages[-1])
        assert not any(word in said for word in ("vault", "files", "permission", "role", "policy"))
        assert "You don't have access to this." in tab.click("Wipe")


def test_no_message_of_the_guarded_app_carries_a_traceback(guarded: Arena) -> None:
    with guarded.tab(guarded.person()) as tab:
        assert "Traceback" not in tab.open("broken")
        assert "Something went wrong" in tab.seen
