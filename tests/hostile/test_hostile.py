"""Each attack gets through on the app that is guarded by hand, so it is one; and not on the guarded app."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.hostile import cases, doors, races  # noqa: F401  the first two fill the table
from tests.hostile.arena import Arena, serve
from tests.hostile.table import CASES, FACTS, NOT_ATTACKED, Case
from tests.hostile.twins.routes import SECRET

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


@pytest.fixture(scope="module")
def script() -> Iterator[Arena]:
    with serve("script") as arena:
        yield arena


def test_each_fact_that_lets_an_attack_through_has_a_case_and_each_other_a_reason() -> None:
    assert {fact for case in CASES for fact in case.facts} == FACTS.keys()
    assert not FACTS.keys() & NOT_ATTACKED.keys()
    assert FACTS.keys() | NOT_ATTACKED.keys() == set(range(1, 30))


def test_each_case_names_a_fact_and_has_a_name_of_its_own() -> None:
    assert all(case.facts for case in CASES)
    assert len({case.name for case in CASES}) == len(CASES)


def test_the_race_tells_a_wrong_answer_from_a_right_one() -> None:
    red, blue = races.VERSIONS
    changes = [
        races.Change(red, begun=0, done=1, ends=10),
        races.Change(blue, begun=10, done=11, ends=20),  # from 20 on the file is broken
        races.Change(red, begun=30, done=31),
    ]

    def right(group: str, before: float, after: float, *, read: bool = True) -> set[bool]:
        others = [races.Answer("never", 12, 13, admin=False)] if read else []
        return races.possible(changes, others, races.Answer(group, before, after, admin=False))

    assert right("red", 2, 3) == right("red", 32, 33) == {True}
    assert right("red", 12, 13) == right("red", 21, 22) == {False}
    assert right("red", 9, 10.5) == right("red", 21, 30.5) == {True, False}
    assert right("red", 21, 22, read=False) == {True, False}
    assert right("always", 0, 40) == {True}
    assert right("never", 0, 40) == {False}


@each_case
def test_it_gets_through_on_the_app_that_is_guarded_by_hand(case: Case, naive: Arena) -> None:
    assert case.attack(naive), naive.output


@each_case
def test_it_is_stopped_on_the_guarded_app(case: Case, guarded: Arena) -> None:
    assert not case.attack(guarded), guarded.output


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if not case.gateway and case.attack is not races.attack],  # that one takes its time
    ids=lambda case: case.name,
)
def test_it_is_stopped_by_the_script_alone_without_the_gateway(case: Case, script: Arena) -> None:
    assert not case.attack(script), script.output


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
