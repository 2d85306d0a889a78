"""The policy in force: the last good one, replaced whole, the files looked at on each call."""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from stguard.errors import ConfigurationError, PolicyFileError
from stguard.store import PolicyStore, discover
from stguard.tally import Readings

if TYPE_CHECKING:
    from pathlib import Path

    from stguard.store import OnBadEdit

GOOD = "stguard: 1\nroles: {admin: {}}\nassign: [{role: admin, email: ann@acme.com}]\npages: {home: {role: admin}}\n"
OTHER = GOOD.replace("ann@", "bob@")
BAD = GOOD.replace("{role: admin}}", "{role: amdin}}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "policy.yaml"
    made.write_text(GOOD, encoding="utf-8")
    return made


def test_the_policy_loads_at_first_need_and_stays_the_same_object(path: Path) -> None:
    store = PolicyStore(path)
    assert store.problems == ()
    assert store.current() is store.current()


def test_an_edit_of_equal_length_within_the_clock_tick_is_seen(path: Path) -> None:
    store = PolicyStore(path)
    before = store.current()
    stamp = path.stat()
    path.write_text(OTHER, encoding="utf-8")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert store.current().version != before.version


def test_an_atomic_replacement_is_seen(path: Path) -> None:
    store = PolicyStore(path)
    before = store.current()
    new = path.with_suffix(".new")
    new.write_text(OTHER, encoding="utf-8")
    new.replace(path)
    assert store.current().version != before.version


def test_a_later_bad_edit_keeps_the_last_good_policy_and_logs_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = PolicyStore(path)
    good = store.current()
    path.write_text(BAD, encoding="utf-8")
    with caplog.at_level(logging.ERROR, logger="stguard"):
        assert [store.current() for _ in range(3)] == [good] * 3
    assert len(caplog.records) == 1
    assert "unknown role `amdin`" in caplog.records[0].getMessage()
    assert "stays in force" in caplog.records[0].getMessage()
    assert "amdin" in store.problems[0].message
    path.write_text(OTHER, encoding="utf-8")
    assert store.current().version != good.version
    assert not [problem for problem in store.problems if problem.severity == "error"]


def test_deny_refuses_everything_after_a_bad_edit_until_it_is_mended(path: Path) -> None:
    store = PolicyStore(path, on_bad_edit="deny")
    good = store.current()
    path.write_text(BAD, encoding="utf-8")
    for _ in range(2):
        with pytest.raises(PolicyFileError, match="amdin"):
            store.current()
    path.write_text(GOOD, encoding="utf-8")
    assert store.current().version == good.version


@pytest.mark.parametrize("on_bad_edit", ["keep", "deny"])
def test_a_first_load_that_fails_is_refused_and_tried_again_when_the_file_changes(
    path: Path, on_bad_edit: OnBadEdit
) -> None:
    path.write_text(BAD, encoding="utf-8")
    store = PolicyStore(path, on_bad_edit=on_bad_edit)
    with pytest.raises(PolicyFileError) as first:
        store.current()
    with pytest.raises(PolicyFileError) as second:
        store.current()
    assert first.value is second.value
    path.write_text(GOOD, encoding="utf-8")
    assert store.current().roles == ("admin",)


@pytest.mark.parametrize("how", ["missing", "directory", "bytes"])
def test_a_policy_that_cannot_be_read_is_one_error_with_its_place(tmp_path: Path, how: str) -> None:
    path = tmp_path / "policy.yaml"
    if how == "directory":
        path.mkdir()
    elif how == "bytes":
        path.write_bytes(b"\xff\x00\xfe")
    with pytest.raises(PolicyFileError) as caught:
        PolicyStore(path).current()
    assert "policy.yaml" in caught.value.problems[0].file


def test_a_policy_that_vanishes_is_a_bad_edit(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = PolicyStore(path)
    good = store.current()
    path.unlink()
    assert store.current() is good
    assert store.current() is good
    assert len(caplog.records) == 1
    path.write_text(OTHER, encoding="utf-8")
    assert store.current().version != good.version


def test_a_file_added_to_a_folder_counts(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD, encoding="utf-8")
    store = PolicyStore(tmp_path)
    assert "extra" not in store.current().roles
    (tmp_path / "a.yaml").write_text(GOOD.replace("{admin: {}}", "{admin: {}, extra: {}}"), encoding="utf-8")
    assert "extra" in store.current().roles
    (tmp_path / "b.yaml").write_text("sections: {Admin: {role: admin}}\n", encoding="utf-8")
    assert "Admin" in store.current().parts.sections
    (tmp_path / "b.yaml").unlink()
    assert "Admin" not in store.current().parts.sections


def test_threads_never_see_anything_but_a_whole_policy(path: Path) -> None:
    store = PolicyStore(path)
    first = store.current().version
    path.write_text(OTHER, encoding="utf-8")
    second = PolicyStore(path).current().version
    path.write_text(GOOD, encoding="utf-8")
    seen: set[str] = set()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            seen.add(store.current().version)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for text in [OTHER, GOOD] * 20:
        path.write_text(text, encoding="utf-8")
        store.current()
    stop.set()
    for thread in threads:
        thread.join()
    assert seen <= {first, second}
    assert store.current().version == first


def test_the_warm_path_takes_no_lock(path: Path) -> None:
    store = PolicyStore(path)
    good = store.current()
    with store._lock:
        assert store.current() is good


def test_an_unknown_way_to_treat_bad_edits_is_an_error(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="`keep` or `deny`"):
        PolicyStore(path, on_bad_edit="ignore")  # type: ignore[arg-type]


def test_the_environment_names_the_policy_before_the_usual_places(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    assert discover(tmp_path, environ={}) == tmp_path / "policies"
    assert discover(tmp_path, environ={"STGUARD_POLICY": "/etc/p.yaml"}).as_posix() == "/etc/p.yaml"


def test_a_file_is_found_beside_the_main_script(path: Path) -> None:
    assert discover(path.parent, environ={}) == path


def test_without_any_policy_the_error_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        discover(tmp_path, environ={})
    for place in ("$STGUARD_POLICY", "`policies`", "`policy.yaml`", "`stguard init`"):
        assert place in str(caught.value)


def test_readings_are_counted_and_the_age_is_that_of_the_version(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    store = PolicyStore(path)
    assert (store.readings, store.age, store.badly_edited) == (Readings(), None, False)
    store.current()
    now += 60
    path.write_text(BAD, encoding="utf-8")
    store.current()
    assert (store.readings, store.age, store.badly_edited) == (Readings(loaded=1, refused=1), 60.0, True)
    now += 60
    path.write_text(GOOD, encoding="utf-8")  # the version that has been in force all the time
    store.current()
    assert (store.readings, store.age, store.badly_edited) == (Readings(loaded=2, refused=1), 120.0, False)
    path.write_text(OTHER, encoding="utf-8")
    store.current()
    assert (store.readings, store.age) == (Readings(loaded=3, refused=1), 0.0)
