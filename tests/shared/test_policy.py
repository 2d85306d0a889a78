"""The shared policy in force: begun by the files beside the app, judged by each replica, refused when it is too old."""

from __future__ import annotations

import json
import logging
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from stguard.errors import ConfigurationError, PolicyFileError
from stguard.policyfile.source import version_id
from stguard.shared.link import Contact
from stguard.shared.policy import KEPT_AS
from stguard.shared.replicas import Replicas, Shared, chosen
from stguard.tally import Readings
from tests.shared.engine import SECRET, Engine, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stguard.shared.policy import SharedPolicy

GOOD = "stguard: 1\npages: {home: signed_in}\n"
BETTER = "stguard: 1\npages: {home: signed_in, reports: public}\n"
BAD = "stguard: 1\npages: {home: {role: nobody}}\n"

Join = "Callable[..., SharedPolicy]"


@pytest.fixture
def join(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., SharedPolicy]]:
    """Start a replica with a folder of its own and return its policy; `text` is the file beside the app."""
    made: list[Replicas] = []
    monkeypatch.delenv("STGUARD_STATE", raising=False)

    def start(name: str, text: str = GOOD, **options: Any) -> SharedPolicy:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "policy.yaml").write_text(text, encoding="utf-8")
        replicas = Replicas(Shared(url=engine.url, **options.pop("shared", {})), secret=SECRET, folder=folder)
        made.append(replicas)
        policy = replicas.policy(folder / "policy.yaml", **{"on_bad_edit": "keep", **options})
        replicas.link.start(patience=10)
        return policy

    yield start
    for each in made:
        each.link.close()


def post(policy: SharedPolicy, text: str) -> None:
    """Put a text in force for all, as an editor does who looked at what is in force."""
    before, contents = policy.board.current(), {"policy.yaml": text.encode()}
    expected = "" if before is None else before.id
    policy.board.save(contents, version_id(contents), expected=expected, entries=[], keep=5)


def kept(policy: SharedPolicy) -> None:
    """Wait until a replica has a copy of what is posted on its disk: whichever of its threads heard of it writes it."""
    place, posted = policy.path.parent / ".stguard" / f"{KEPT_AS}.json", policy.board.current()
    assert posted is not None
    until(lambda: place.exists() and json.loads(place.read_text(encoding="utf-8"))["serial"] == posted.serial)


def pages(policy: SharedPolicy) -> list[str]:
    return list(policy.current().page_names)


def test_the_file_beside_the_app_begins_the_shared_policy(join: Callable[..., SharedPolicy]) -> None:
    here = join("here")
    assert pages(here) == ["home"]
    there = join("there", BETTER)
    until(lambda: there.board.current() is not None)
    assert pages(there) == ["home"]  # what is shared counts, not the file


def test_what_is_posted_is_in_force_everywhere(join: Callable[..., SharedPolicy]) -> None:
    here, there = join("here"), join("there")
    assert pages(here) == pages(there) == ["home"]
    post(here, BETTER)
    assert pages(here) == ["home", "reports"]
    until(lambda: pages(there) == ["home", "reports"])


def test_a_bad_one_leaves_the_last_good_one_in_force_and_is_told_once(
    join: Callable[..., SharedPolicy], caplog: pytest.LogCaptureFixture
) -> None:
    here, strict = join("here"), join("strict", on_bad_edit="deny")
    assert pages(here) == pages(strict) == ["home"]
    with caplog.at_level(logging.ERROR, logger="stguard"):
        post(here, BAD)
        until(lambda: bool(here.problems) and bool(strict.problems))
    assert pages(here) == ["home"]
    assert [problem.code for problem in here.problems] == ["unknown-role"]
    with pytest.raises(PolicyFileError, match="unknown role"):
        strict.current()
    assert len([record for record in caplog.records if "shared policy refused" in record.message]) == 2
    post(here, BETTER)
    assert pages(here) == ["home", "reports"]
    until(lambda: strict.problems == ())
    assert pages(strict) == ["home", "reports"]


def test_a_bad_file_begins_nothing(join: Callable[..., SharedPolicy]) -> None:
    here = join("here", BAD)
    with pytest.raises(PolicyFileError, match="unknown role"):
        here.current()
    assert here.board.current() is None
    there = join("there", GOOD)
    assert pages(there) == ["home"]
    until(lambda: here.problems == ())
    assert pages(here) == ["home"]


def test_a_replica_that_starts_alone_uses_the_last_good_one_it_kept(
    join: Callable[..., SharedPolicy], engine: Engine
) -> None:
    here = join("here")
    assert pages(here) == ["home"]
    post(here, BETTER)
    kept(here)
    engine.stop()
    again = join("here")
    assert pages(again) == ["home", "reports"]
    engine.start()
    until(lambda: again.board.seen is not None)
    assert pages(again) == ["home", "reports"]


@pytest.mark.parametrize("age", [2 * 86_400, 4 * 86_400, -3600])
def test_a_copy_counts_at_a_start_for_three_days_after_the_last_contact(
    join: Callable[..., SharedPolicy], engine: Engine, age: int
) -> None:
    here = join("here")
    assert pages(here) == ["home"]
    kept(here)
    engine.stop()
    place = here.path.parent / ".stguard" / f"{KEPT_AS}.json"
    os.utime(place, (time.time() - age, time.time() - age))
    again = join("here")
    if age == 2 * 86_400:
        assert pages(again) == ["home"]
        return
    with pytest.raises(PolicyFileError, match="can't be reached"):
        again.current()
    engine.start()
    until(lambda: again._link.contact is Contact.HELD)
    assert pages(again) == ["home"]


def test_a_copy_is_confirmed_while_there_is_contact(join: Callable[..., SharedPolicy]) -> None:
    here = join("here")
    assert pages(here) == ["home"]
    kept(here)
    place = here.path.parent / ".stguard" / f"{KEPT_AS}.json"
    os.utime(place, (0, 0))
    here._kept._confirmed_at = None
    until(lambda: place.stat().st_mtime > 0)


def test_a_replica_that_starts_alone_and_kept_nothing_refuses(
    join: Callable[..., SharedPolicy], engine: Engine
) -> None:
    engine.stop()
    alone = join("alone")
    with pytest.raises(PolicyFileError, match="can't be reached"):
        alone.current()
    engine.start()
    until(lambda: alone._link.contact is Contact.HELD)
    assert pages(alone) == ["home"]


@pytest.mark.parametrize("change", ["text", "serial", "code", "nonsense"])
def test_a_kept_copy_that_was_changed_does_not_count(
    join: Callable[..., SharedPolicy], engine: Engine, tmp_path: Path, change: str
) -> None:
    here = join("here")
    assert pages(here) == ["home"]
    place = tmp_path / "here" / ".stguard" / "policy.json"
    until(place.exists)
    told = json.loads(place.read_text(encoding="utf-8"))
    match change:
        case "text":
            told["contents"]["policy.yaml"] = BETTER
        case "serial":
            told["serial"] = 99
        case "code":
            told["code"] = "0" * 64
        case _:
            told = ["?"]
    place.write_text(json.dumps(told), encoding="utf-8")
    engine.stop()
    alone = join("here")
    with pytest.raises(PolicyFileError, match="can't be reached"):
        alone.current()


def test_what_is_too_old_decides_nothing_until_there_is_contact_again(
    join: Callable[..., SharedPolicy], engine: Engine
) -> None:
    here = join("here", shared={"stale": 0.7})
    until(lambda: here.board.seen is not None)
    assert pages(here) == ["home"]
    assert (here.readings, here.badly_edited, here.is_outdated) == (Readings(loaded=1), False, False)
    post(here, BAD)
    until(lambda: here.badly_edited)
    assert here.readings == Readings(loaded=1, refused=1)
    assert here.age is not None
    engine.stop()
    until(lambda: here._link.is_stale)
    assert here.is_outdated
    with pytest.raises(PolicyFileError, match="too long"):
        here.current()
    engine.start()
    until(lambda: not here._link.is_stale)
    assert pages(here) == ["home"]


def test_a_folder_keeps_its_files_apart(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "a.yaml").write_text("stguard: 1\nroles: {admin: {}}\n", encoding="utf-8")
    (folder / "b.yaml").write_text("stguard: 1\npages: {zürich: {role: admin}}\n", encoding="utf-8")
    replicas = Replicas(Shared(url=engine.url), secret=SECRET, folder=tmp_path)
    policy = replicas.policy(folder, on_bad_edit="keep")
    replicas.link.start(patience=10)
    assert pages(policy) == ["zürich"]
    posted = policy.board.current()
    assert posted is not None
    assert list(posted.contents) == ["a.yaml", "b.yaml"]
    replicas.link.close()


def test_where_replicas_share_is_said_by_code_or_the_environment() -> None:
    told = {"STGUARD_REDIS_URL": "redis://here", "STGUARD_SHARED_NAME": "shop", "STGUARD_SHARED_STALE": "30"}
    assert chosen(None, environ={}) is None
    assert chosen(None, environ=told) == Shared(url="redis://here", name="shop", stale=30.0)
    assert chosen("rediss://there", environ=told) == Shared(url="rediss://there", name="shop", stale=30.0)
    assert chosen(Shared(url="unix:///there"), environ=told) == Shared(url="unix:///there")
    with pytest.raises(ConfigurationError, match="number of seconds"):
        chosen(None, environ={**told, "STGUARD_SHARED_STALE": "soon"})
    with pytest.raises(ConfigurationError, match="shared is an address"):
        chosen(5, environ={})  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize(
    ("url", "secret", "said"),
    [
        ("http://here", SECRET, "begins with one of"),
        ("redis://:hunter2@here:notaport", SECRET, "can't be read"),
        ("redis://here", "short", "32 characters"),
    ],
)
def test_what_can_not_be_used_is_said_without_the_password(url: str, secret: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        Replicas(Shared(url=url), secret=secret, folder=tmp_path)
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in repr(Shared(url=url))
