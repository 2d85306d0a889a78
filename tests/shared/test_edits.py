"""Editing what replicas share is editing a file: previewed, judged, never over somebody else, with a history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stguard import edits
from stguard.shared.replicas import Replicas, Shared
from tests.shared.engine import SECRET, Engine, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stguard.shared.policy import SharedPolicy

POLICY = """\
stguard: 1
# who keeps this file
roles:
  keeper: {allow: "policy:*"}
  viewer: {}
assign:
  - {role: keeper, email: ada@acme.com}   # stays
pages: {reports: {role: viewer}}
"""


@pytest.fixture
def join(engine: Engine, tmp_path: Path) -> Iterator[Callable[[str], SharedPolicy]]:
    made: list[Replicas] = []

    def start(name: str) -> SharedPolicy:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "policy.yaml").write_text(POLICY, encoding="utf-8")
        made.append(Replicas(Shared(url=engine.url), secret=SECRET, folder=folder))
        policy = made[-1].policy(folder / "policy.yaml", on_bad_edit="keep")
        made[-1].link.start(patience=10)
        policy.current()
        return policy

    yield start
    for each in made:
        each.link.close()


def place(policy: SharedPolicy) -> edits.OnBoard:
    return edits.OnBoard(policy.board, policy.path)


def grant(who: str) -> edits.Grant:
    return edits.Grant(person=edits.Person.read(who), role="viewer")


def test_an_edit_at_one_replica_is_in_force_at_the_other_with_its_history(
    join: Callable[[str], SharedPolicy],
) -> None:
    here, there = join("here"), join("there")
    seen = edits.preview(place(here), grant("ann@acme.com"))
    assert [(each.who, each.action) for each in seen.gains] == [("email:ann@acme.com", "page:reports")]
    made = edits.change(place(here), grant("ann@acme.com"), author="ada", reason="TICKET-1", expected=seen.before)
    assert made.written
    until(lambda: there.current().version == made.version)
    versions = edits.history_of(place(there)).versions()
    assert [(each.author, each.reason) for each in versions] == [(None, None), ("ada", "TICKET-1")]
    assert "# stays" in edits.Snapshot.take(place(there)).texts["policy.yaml"]


def test_an_earlier_version_is_brought_back_everywhere(join: Callable[[str], SharedPolicy]) -> None:
    here, there = join("here"), join("there")
    before = here.current().version
    edits.change(place(here), grant("ann@acme.com"), author="ada")
    until(lambda: there.current().version != before)
    first = edits.history_of(place(there)).versions()[0]
    edits.change(place(there), edits.restored(place(there), first.id), author="ada")
    until(lambda: here.current().version == before)


def test_edits_at_two_replicas_at_once_are_both_made(join: Callable[[str], SharedPolicy]) -> None:
    here, there = join("here"), join("there")
    edits.change(place(here), grant("ann@acme.com"), author="ada")
    edits.change(place(there), grant("bob@acme.com"), author="bob")  # perhaps on what was in force before
    until(
        lambda: all(
            f"{who}@acme.com" in edits.Snapshot.take(place(here)).texts["policy.yaml"] for who in ("ann", "bob")
        )
    )


def test_a_text_made_on_an_older_one_is_refused(join: Callable[[str], SharedPolicy]) -> None:
    here, there = join("here"), join("there")
    seen = edits.Snapshot.take(place(there))
    edits.change(place(here), grant("ann@acme.com"), author="ada")
    with pytest.raises(edits.ChangedMeanwhileError):
        edits.change(place(there), POLICY + "# mine\n", author="bob", expected=seen.digest)


def test_without_the_engine_nothing_is_written_and_that_is_said(
    join: Callable[[str], SharedPolicy], engine: Engine
) -> None:
    here = join("here")
    before = here.current().version
    engine.stop()
    with pytest.raises(edits.EditError, match=r"could not be saved|can't be read"):
        edits.change(place(here), grant("ann@acme.com"), author="ada")
    assert here.current().version == before


def test_what_would_not_load_is_not_posted(join: Callable[[str], SharedPolicy]) -> None:
    here = join("here")
    outcome = edits.change(place(here), "stguard: 1\npages: {x: {role: nobody}}\n", author="ada")
    assert not outcome.ok
    assert [each.code for each in outcome.problems if each.severity == "error"] == ["unknown-role"]
    assert here.problems == here.current().problems
