"""Changes of real files: validated, compared, whole, kept in the history, never over somebody else's."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stguard import audit, files
from stguard.edits import (
    ChangedMeanwhileError,
    EditError,
    FileError,
    Format,
    Grant,
    Person,
    Revoke,
    Snapshot,
    change,
    preview,
    restored,
)
from stguard.edits.history import KEPT, FileHistory, kept
from stguard.errors import ConfigurationError
from stguard.policy import Policy
from stguard.policyfile.source import is_read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]

POLICY = """\
stguard: 1   # the team's
permissions: {report: [view, export]}
roles:
  viewer: {allow: "report:view"}
  admin: {inherits: viewer, allow: ["report:export", "policy:*"]}
assign:
  - {role: admin, email: ann@acme.com}   # boss
pages: {home: signed_in}
tests:
  - {as: {email: ann@acme.com, email_verified: true}, can: "report:export"}
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY, "utf-8")
    return path


def give(email: str, role: str = "viewer") -> Grant:
    return Grant(person=Person.read(email), role=role)


def subject(path: Path, email: str):  # type: ignore[no-untyped-def]  # noqa: ANN201
    return Policy.load(path).subject({"sub": email, "email": email, "email_verified": True})


# --- what an edit does ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("{rule: signed_in, on_deny: lock}", "page `home`: who may not open it now meets `on_deny: lock`"),
        ("{rule: signed_in, menu: hidden}", "page `home`: it is kept out of the menu"),
        ("{all: [signed_in]}", "the policy is written otherwise; nobody may do more or less"),
    ],
)
def test_a_change_that_nobody_gains_or_loses_by_is_told(tmp_path: Path, page: str, told: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("stguard: 1\npages: {home: signed_in}\n")
    seen = preview(path, f"stguard: 1\npages: {{home: {page}}}\n")
    assert (seen.gains, seen.losses, seen.other) == ((), (), (told,))


def test_an_edit_says_exactly_who_gains_what_before_it_is_made(policy: Path) -> None:
    seen = preview(policy, give("bob@acme.com"))
    assert [(each.who, each.action) for each in seen.gains] == [("email:bob@acme.com", "report:view")]
    assert (seen.losses, seen.ok, seen.written) == ((), True, False)
    assert policy.read_text("utf-8") == POLICY
    assert not (policy.parent / ".stguard").exists()

    made = change(policy, give("bob@acme.com"), author="ann", expected=seen.before)
    assert made.written
    assert (made.version_before, made.version) == (seen.version_before, Policy.load(policy).version)
    assert [each.who for each in change(policy, Revoke(person=Person.read("bob@acme.com"), role="viewer"),
                                        author="ann").losses] == ["email:bob@acme.com"]  # fmt: skip
    assert policy.read_text("utf-8") == POLICY


def test_a_text_that_does_not_load_is_not_written(policy: Path) -> None:
    outcome = change(policy, POLICY.replace("role: admin,", "role: amdin,"), author="ann")
    assert not outcome.ok
    assert [each.code for each in outcome.problems if each.code == "unknown-role"] == ["unknown-role"]
    assert outcome.as_json()["ok"] is False
    assert policy.read_text("utf-8") == POLICY


def test_a_text_whose_tests_fail_is_not_written(policy: Path) -> None:
    outcome = change(policy, POLICY.replace('can: "report:export"', 'cannot: "report:export"'), author="ann")
    assert [each.code for each in outcome.problems if each.code == "failing-test"] == ["failing-test"]
    assert policy.read_text("utf-8") == POLICY


def test_an_edit_that_changes_nothing_is_not_written(policy: Path) -> None:
    outcome = change(policy, give("ann@acme.com", "admin"), author="ann")
    assert (outcome.ok, outcome.written, outcome.files) == (True, False, {})
    assert not (policy.parent / ".stguard").exists()


def test_nobody_left_who_may_edit_is_said_and_not_written_unless_accepted(policy: Path) -> None:
    text = POLICY.replace(', "policy:*"', "")
    assert "nobody would be left" in (preview(policy, text).locks_out or "")
    with pytest.raises(EditError, match="nobody would be left"):
        change(policy, text, author="ann")
    assert policy.read_text("utf-8") == POLICY
    assert change(policy, text, author="ann", confirmed=True).written


def test_an_editor_who_locks_themselves_out_is_told(policy: Path) -> None:
    ann = subject(policy, "ann@acme.com")
    text = POLICY.replace("role: admin, email: ann@acme.com", "role: admin, email: bob@acme.com").partition("tests:")[0]
    assert preview(policy, text).locks_out is None
    assert "you would no longer" in (preview(policy, text, editor=ann).locks_out or "")
    assert preview(policy, text, editor=subject(policy, "eve@acme.com")).locks_out is None
    assert preview(policy, POLICY + "# more\n", editor=ann).locks_out is None


def test_a_role_held_in_one_org_does_not_count_as_being_able_to_edit(policy: Path) -> None:
    text = """\
stguard: 1
orgs: [acme, globex]
roles:
  keeper: {cross_org: true, allow: "policy:*"}
  boss: {allow: "policy:*"}
assign:
  - {role: keeper, org: "*", email: ann@acme.com}
  - {role: boss, org: acme, email: ann@acme.com}
pages: {home: signed_in}
"""
    policy.write_text(text, "utf-8")
    ann = subject(policy, "ann@acme.com")
    taken = Revoke(person=Person.read("ann@acme.com"), role="keeper")
    assert "only whom the identity provider gives a role" in (preview(policy, taken).locks_out or "")
    other = text.replace('org: "*", email: ann', 'org: "*", email: bob')
    assert preview(policy, other).locks_out is None
    assert "you would no longer" in (preview(policy, other, editor=ann).locks_out or "")


def test_a_policy_with_errors_can_be_mended_by_a_text_but_not_by_a_grant(policy: Path) -> None:
    good = Policy.load(policy)
    policy.write_text(POLICY.replace("role: admin,", "role: amdin,"), "utf-8")
    with pytest.raises(EditError, match=r"the policy has errors, mend them first: .*unknown role `amdin`"):
        change(policy, give("bob@acme.com"), author="ann")
    outcome = change(policy, POLICY, author="ann")
    assert outcome.written
    assert outcome.version_before is None
    assert "can't be told" in outcome.other[0]
    policy.write_text("roles: [", "utf-8")
    seen = preview(policy, POLICY.replace('"report:export", ', ""), in_force=good)
    assert not seen.ok, "its test fails"
    seen = preview(policy, POLICY.replace('"report:export", ', "").partition("tests:")[0], in_force=good)
    assert {each.action for each in seen.losses} == {"report:export"}


def test_a_form_of_a_browser_does_not_change_the_line_ends(policy: Path) -> None:
    change(policy, (POLICY + "# more\n").replace("\n", "\r\n"), author="ann")
    assert policy.read_bytes() == (POLICY + "# more\n").encode()


def test_edits_in_a_folder_change_the_one_file(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    head, _, rest = POLICY.partition("assign:")
    (folder / "a.yaml").write_text(head)
    (folder / "b.yaml").write_text("assign:" + rest)
    outcome = change(folder, give("bob@acme.com"), author="ann")
    assert list(outcome.files) == ["b.yaml"]
    assert (folder / "a.yaml").read_text() == head
    assert len(Policy.load(folder).parts.assignments) == 2
    with pytest.raises(EditError, match="is a folder"):
        change(folder, POLICY, author="ann")
    for name in ("../x.yaml", ".x.yaml", "x.txt", "sub/x.yaml"):
        with pytest.raises(EditError, match="is no file of the policy"):
            change(folder, {name: POLICY}, author="ann")
    # One more file and one less, both with the policy's mode.
    (folder / "a.yaml").chmod(0o640)
    outcome = change(folder, {"c.yaml": "sections: {}\n"}, author="ann", expected=Snapshot.take(folder).digest)
    assert outcome.written, outcome.problems
    assert stat.S_IMODE((folder / "c.yaml").stat().st_mode) == 0o640
    assert change(folder, {"c.yaml": None}, author="ann").written
    assert sorted(entry.name for entry in folder.iterdir()) == [".stguard", "a.yaml", "b.yaml"]


def test_laying_out_is_an_edit_like_any_other(policy: Path) -> None:
    policy.write_text(POLICY.replace("\n  - {role", "\n\n\n- {role"), "utf-8")
    outcome = change(policy, Format(), author="ann")
    assert outcome.written
    assert (outcome.version, outcome.gains, outcome.losses) == (outcome.version_before, (), ())
    assert policy.read_text("utf-8") == POLICY.replace("assign:\n", "assign:\n\n")


# --- history ----------------------------------------------------------------------------------------------------------


def test_the_history_has_what_was_found_and_what_it_became(policy: Path) -> None:
    first = change(policy, give("bob@acme.com"), author="iss|ann", reason="T-1", now=1_800_000_000.0)
    second = change(policy, give("cid@acme.com"), author="iss|ann", now=1_800_000_001.0)
    versions = FileHistory(policy).versions()
    assert [(each.author, each.reason) for each in versions] == [(None, None), ("iss|ann", "T-1"), ("iss|ann", None)]
    assert [each.id for each in versions[1:]] == [first.id, second.id]
    assert [each.previous for each in versions] == [None, versions[0].id, versions[1].id]
    assert versions[0].time == 1_800_000_000.0
    assert FileHistory(policy).contents(versions[0]) == {"policy.yaml": POLICY.encode()}


def test_what_others_wrote_between_two_edits_is_in_the_history_too(policy: Path) -> None:
    change(policy, give("bob@acme.com"), author="ann")
    text = policy.read_text("utf-8") + "# by hand\n"
    policy.write_text(text, "utf-8")
    change(policy, give("cid@acme.com"), author="ann")
    versions = FileHistory(policy).versions()
    assert [each.author for each in versions] == [None, "ann", None, "ann"]
    assert FileHistory(policy).contents(versions[2]) == {"policy.yaml": text.encode()}


def test_a_version_is_restored_by_its_id_the_start_of_it_or_the_policys_version(policy: Path) -> None:
    before = Policy.load(policy).version
    change(policy, give("bob@acme.com"), author="ann")
    first = FileHistory(policy).versions()[0]
    for name in (first.id, first.id[:4], before):
        assert restored(policy, name) == {"policy.yaml": POLICY}
    made = change(policy, restored(policy, first.id), author="ann", reason="back")
    assert [each.who for each in made.losses] == ["email:bob@acme.com"]
    assert policy.read_text("utf-8") == POLICY
    assert FileHistory(policy).versions()[-1].id == first.id
    for wrong in ("nosuch", "", first.id[:3]):
        with pytest.raises(EditError, match="no version"):
            restored(policy, wrong)


def test_a_policy_that_was_deleted_is_restored_with_its_mode(policy: Path) -> None:
    policy.chmod(0o644)
    seen = preview(policy, give("bob@acme.com"))
    change(policy, give("bob@acme.com"), author="ann")
    text = policy.read_text("utf-8")
    policy.unlink()
    with pytest.raises(EditError, match=r"no policy at .*`stguard history`"):
        change(policy, give("cid@acme.com"), author="ann")
    with pytest.raises(ChangedMeanwhileError, match="is gone"):
        change(policy, POLICY, author="ann", expected=seen.before)
    change(policy, restored(policy, FileHistory(policy).versions()[-1].id), author="ann")
    assert policy.read_text("utf-8") == text
    assert stat.S_IMODE(policy.stat().st_mode) == 0o644


def test_only_so_many_versions_are_kept(policy: Path) -> None:
    for number in range(8):
        change(policy, give(f"p{number}@acme.com"), author="ann", keep=3)
    history = FileHistory(policy)
    assert [len(history.versions()), history.damaged] == [3, 0]
    assert len(list(history.folder.iterdir())) == 4, "three contents and the index"
    restored(policy, history.versions()[0].id)
    with pytest.raises(EditError, match="at least one"):
        change(policy, give("x@acme.com"), author="ann", keep=0)


def test_damaged_lines_and_contents_of_the_history_are_noticed(policy: Path) -> None:
    for name in ("bob", "cid"):
        change(policy, give(f"{name}@acme.com"), author="ann")
    history = FileHistory(policy)
    index = history.folder / "index.jsonl"
    good = index.read_bytes()
    evil = {**json.loads(good.splitlines()[0]), "files": {"../../evil": "0" * 64}}
    damage = [b"\xff\x00", b"{", b"[]", b"[" * 100_000, json.dumps(evil).encode(), b'{"id": 1}']
    index.write_bytes(b"\n".join(damage) + b"\n" + good + b'{"cut sho')
    assert [len(history.versions()), history.damaged] == [3, len(damage) + 1]
    change(policy, give("dan@acme.com"), author="ann")
    assert [len(history.versions()), history.damaged] == [4, len(damage) + 1]

    kept = history.versions()[0]
    (history.folder / kept.files["policy.yaml"]).write_bytes(b"stguard: 1\nassign: everybody")
    with pytest.raises(EditError, match="is damaged"):
        restored(policy, kept.id)
    (history.folder / kept.files["policy.yaml"]).unlink()
    with pytest.raises(EditError, match="is gone"):
        restored(policy, kept.id)


def test_a_version_whose_line_names_other_contents_is_not_restored(policy: Path) -> None:
    change(policy, give("eve@acme.com", "admin"), author="ada")
    change(policy, give("vera@acme.com"), author="ada")
    history = FileHistory(policy)
    index = history.folder / "index.jsonl"
    first, second, third = (json.loads(line) for line in index.read_text("utf-8").splitlines())
    third["files"] = second["files"]
    index.write_text("".join(json.dumps(line) + "\n" for line in (first, second, third)), "utf-8")
    with pytest.raises(EditError, match="names other contents"):
        restored(policy, third["id"])
    index.write_text(json.dumps({**first, "id": "\x1b[2J"}) + "\n", "utf-8")
    assert history.versions() == ()
    assert history.damaged == 1


def test_files_whose_names_begin_alike_are_edited_together(tmp_path: Path) -> None:
    head, _, pages = POLICY.partition("pages:")
    for name, text in (("a.yaml", head), ("a.yaml.b.yaml", "pages:" + pages)):
        (tmp_path / name).write_text(text, "utf-8")
    edit = {"a.yaml.b.yaml": f"# new\npages:{pages}", "a.yaml": f"# new\n{head}"}
    assert change(tmp_path, edit, author="ada").written
    assert all((tmp_path / name).read_text("utf-8") == text for name, text in edit.items())


def test_a_clock_set_back_changes_neither_order_nor_what_is_restored(policy: Path) -> None:
    change(policy, give("bob@acme.com"), author="ann", now=1_900_000_000.0)
    late = change(policy, give("cid@acme.com"), author="ann", now=1_000_000_000.0)
    versions = FileHistory(policy).versions()
    assert versions[-1].id == late.id
    assert versions[-1].time < versions[-2].time
    change(policy, restored(policy, versions[1].id), author="ann", now=900_000_000.0)
    assert "cid" not in policy.read_text("utf-8")


def test_the_history_is_never_read_as_policy(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "a.yaml").write_text(POLICY)
    change(folder, give("bob@acme.com"), author="ann")
    before = Policy.load(folder)
    assert [entry.name for entry in folder.iterdir() if is_read(entry.name)] == ["a.yaml"]
    assert before.problems == ()
    assert not any(is_read(entry.name) for entry in FileHistory(folder).folder.iterdir())


@pytest.mark.parametrize(("mode", "folder_mode"), [(0o600, 0o700), (0o640, 0o750), (0o664, 0o775)])
def test_who_may_not_read_the_policy_may_not_read_what_it_was(policy: Path, mode: int, folder_mode: int) -> None:
    policy.chmod(mode)
    for name in ("bob", "cid"):
        change(policy, give(f"{name}@acme.com"), author="ann")
    folder = FileHistory(policy).folder
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in folder.iterdir()} == {mode}
    assert stat.S_IMODE(folder.stat().st_mode) == folder_mode
    assert stat.S_IMODE(folder.parent.stat().st_mode) == folder_mode
    assert stat.S_IMODE(policy.stat().st_mode) == mode


# --- writing ----------------------------------------------------------------------------------------------------------


def test_the_file_behind_a_link_is_edited_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "team.yaml"
    target.write_text(POLICY)
    link = tmp_path / "policy.yaml"
    link.symlink_to("real/team.yaml")
    change(link, give("bob@acme.com"), author="ann")
    assert link.is_symlink()
    assert "bob" in target.read_text()
    assert (tmp_path / "real" / ".stguard" / "team.yaml" / "index.jsonl").is_file()


def test_an_edit_is_told_to_the_audit_trail(policy: Path) -> None:
    told: list[audit.Record] = []
    trail = audit.Trail(told.append)
    made = change(policy, give("bob@acme.com"), author="iss|ann", reason="T-1", trail=trail, now=1_800_000_000.0)
    preview(policy, give("cid@acme.com"))
    change(policy, "roles: [", author="iss|ann", trail=trail)
    trail.flush()
    assert [(each.event, each.subject, each.action, each.reason, each.policy) for each in told] == [
        (audit.Event.EDIT, "iss|ann", "policy:edit", "edited", made.version)
    ]


def test_the_trail_is_told_who_made_an_edit_by_ids_alone(policy: Path) -> None:
    told: list[audit.Record] = []
    trail = audit.Trail(told.append)
    actor = audit.Actor(subject="iss|ann", impersonator="iss|sue", session="5e55")
    change(policy, give("bob@acme.com"), author="ann@acme.com", reason="for Bob", trail=trail, actor=actor)
    trail.flush()
    assert [(each.subject, each.impersonator, each.session) for each in told] == [("iss|ann", "iss|sue", "5e55")]
    assert "acme.com" not in str(told)
    assert "Bob" not in str(told)


@pytest.mark.parametrize(
    ("choice", "environ", "number"),
    [
        (None, {}, KEPT),
        (None, {"STGUARD_HISTORY": "7"}, 7),
        (3, {"STGUARD_HISTORY": "7"}, 3),
        (None, {"STGUARD_HISTORY": ""}, KEPT),
    ],
)
def test_how_many_versions_are_kept_is_said_by_code_then_the_environment(
    choice: int | None, environ: dict[str, str], number: int
) -> None:
    assert kept(choice, environ=environ) == number


@pytest.mark.parametrize(
    ("choice", "environ"),
    [(0, {}), (-1, {}), (True, {}), (2.5, {}), (None, {"STGUARD_HISTORY": "0"}), (None, {"STGUARD_HISTORY": "many"})],
)
def test_a_number_of_versions_that_is_none_is_refused(choice: Any, environ: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"(history|\$STGUARD_HISTORY) is how many versions .* from 1 on, got"):
        kept(choice, environ=environ)


def test_a_change_made_since_the_look_is_never_overwritten(policy: Path) -> None:
    seen = preview(policy, POLICY + "# mine\n")
    theirs = POLICY + "# theirs\n"
    policy.write_text(theirs, "utf-8")
    with pytest.raises(ChangedMeanwhileError, match="was changed meanwhile; look at it as it is now"):
        change(policy, POLICY + "# mine\n", author="ann", expected=seen.before)
    assert policy.read_text("utf-8") == theirs


def test_a_change_in_the_last_moment_is_seen_by_the_content(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = POLICY + "# theirs\n"
    write = files.Replacement._write

    def meanwhile(self: files.Replacement, path: Path, data: bytes) -> None:
        write(self, path, data)
        if path == policy:
            policy.write_text(theirs, "utf-8")  # an editor that knows of no lock

    monkeypatch.setattr(files.Replacement, "_write", meanwhile)
    with pytest.raises(ChangedMeanwhileError):
        change(policy, POLICY + "# mine\n", author="ann")
    assert policy.read_text("utf-8") == theirs
    assert sorted(entry.name for entry in policy.parent.iterdir()) in (["policy.yaml"], [".stguard", "policy.yaml"])
    assert [each.author for each in FileHistory(policy).versions()] == [None], (
        "what was found, not what was not written"
    )


# --- what goes wrong --------------------------------------------------------------------------------------------------

running_as_root = os.geteuid() == 0


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """Yield a file system of 64 KiB."""
    place = tmp_path / "tiny"
    place.mkdir()
    as_root = [] if running_as_root else ["sudo", "-n"]
    options = f"size=64k,uid={os.geteuid()},gid={os.getegid()}"
    mounted = subprocess.run(
        [*as_root, "mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system can't be mounted here")
    yield place
    subprocess.run([*as_root, "umount", str(place)], check=True)


def test_a_full_disk_loses_nothing_and_says_so(tiny: Path) -> None:
    path = tiny / "policy.yaml"
    path.write_text(POLICY, "utf-8")
    before = path.read_bytes()
    refusal = ""
    for number in range(1000):
        before = path.read_bytes()
        try:
            change(path, give(f"person{number}@acme.com"), author="ann")
        except FileError as error:
            refusal = str(error)
            break
    assert "no space left on device; free some space" in refusal
    assert path.read_bytes() == before
    left = [entry.name for entry in tiny.iterdir() if entry.name not in ("policy.yaml", ".stguard")]
    assert left == []
    assert files.digest(before) == FileHistory(path).versions()[-1].files["policy.yaml"]
    with pytest.raises(FileError, match="no space left"):
        files.replace(path, b"x" * 100_000, expected=files.digest(before))
    assert path.read_bytes() == before


LIMITED = """
import resource, sys
from stguard.edits import change, FileError
path, limit = sys.argv[1], int(sys.argv[2])
text = open(path).read() + "# " + "x" * 3000 + "\\n"
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    change(path, text, author="ann")
except FileError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [0, 300, 2000])
def test_a_limit_on_the_size_of_files_loses_nothing(policy: Path, limit: int) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED, str(policy), str(limit)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "file too large; the system limits the size of files here" in ran.stdout
    assert policy.read_text("utf-8") == POLICY
    assert FileHistory(policy).versions() == () or limit


def test_a_folder_that_can_not_be_written_is_said(policy: Path) -> None:
    if running_as_root:
        mounted = subprocess.run(
            ["mount", "--bind", "-o", "ro", str(policy.parent), str(policy.parent)], capture_output=True, check=False
        )
        if mounted.returncode:
            pytest.skip("a folder can't be mounted read-only here")
        expected = "read-only file system; mounted read-only"
    else:
        policy.parent.chmod(0o500)
        expected = "permission denied; the folder and the file must be writable"
    try:
        with pytest.raises(FileError, match=expected):
            change(policy, give("bob@acme.com"), author="ann")
        with pytest.raises(FileError, match=expected):
            files.replace(policy, b"", expected=files.digest(POLICY.encode()))
        assert preview(policy, give("bob@acme.com")).ok
    finally:
        if running_as_root:
            subprocess.run(["umount", str(policy.parent)], check=True)
        else:
            policy.parent.chmod(0o700)
    assert policy.read_text("utf-8") == POLICY


@pytest.mark.parametrize("size", [5, 6])
def test_a_paste_of_megabytes_is_refused_and_nothing_written(policy: Path, size: int) -> None:
    began = time.monotonic()
    outcome = change(policy, POLICY + "x" * (size * 1024 * 1024), author="ann")
    assert not outcome.ok
    assert outcome.problems[0].message
    assert time.monotonic() - began < 20
    assert policy.read_text("utf-8") == POLICY


def test_half_a_character_is_refused(policy: Path) -> None:
    with pytest.raises(EditError, match="half a character"):
        change(policy, POLICY + "# \ud800\n", author="ann")
    assert not change(policy, POLICY + "# \udcff\n", author="ann").ok
    assert policy.read_text("utf-8") == POLICY


def test_a_lock_that_is_held_too_long_is_said(policy: Path) -> None:
    def wait_for_it() -> str:
        with pytest.raises(FileError) as told, files.locked(policy.parent, patience=0.0):
            pass
        return str(told.value)

    with files.locked(policy.parent), ThreadPoolExecutor() as pool:
        assert "somebody else is editing" in pool.submit(wait_for_it).result()


def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"can't open the folder .*no such file or directory"):
        change(tmp_path / "no" / "policy.yaml", POLICY, author="ann")


# --- killed, and two at once ------------------------------------------------------------------------------------------

VICTIM = """
import os, random, signal, sys, time
from stguard import files
from stguard.edits import Grant, Person, Revoke, change
path, kills, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = random.Random(seed)
whole = fell = 0
bob = Person.read("bob@acme.com")
texts = set()
for state in (Grant, Revoke) * 2:
    texts.add(open(path, "rb").read())
    change(path, state(person=bob, role="viewer"), author="ann")
assert len(texts) == 2
last = open(path, "rb").read()
for number in range(kills):
    child = os.fork()
    if not child:
        while True:
            edit = Revoke if b"bob@" in open(path, "rb").read() else Grant
            change(path, edit(person=bob, role="viewer"), author="ann", keep=5)
    time.sleep(rng.random() * 0.04)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    now = open(path, "rb").read()
    whole += now in texts
    fell += now != last
    last = now
    if whole != number + 1:
        break
print(whole, fell)
"""


def test_five_hundred_kills_leave_the_old_or_the_new_file_whole(policy: Path) -> None:
    kills = 500
    began = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-c", VICTIM, str(policy), str(kills), str(time.time_ns())],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    history = FileHistory(policy)
    versions = history.versions()
    whole, fell = (int(each) for each in ran.stdout.split())
    print(  # noqa: T201  the figures, with -s
        f"{whole} of {kills} kills left a whole file, {fell} times another one, in {time.monotonic() - began:.1f} s; "
        f"{len(versions)} versions in the history, {history.damaged} damaged lines"
    )
    assert whole == kills
    assert fell > 0, "some were killed after an edit"
    for version in versions:
        history.contents(version)
    change(policy, give("last@acme.com"), author="ann")
    assert "last@acme.com" in policy.read_text("utf-8")
    assert sorted(entry.name for entry in policy.parent.iterdir()) == [".stguard", "policy.yaml"], "swept"


ADMIN = """
import sys
from stguard.edits import ChangedMeanwhileError, Grant, Person, Snapshot, change
path, name, rounds, way = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
again = 0
sys.stdin.readline()
for number in range(rounds):
    email = f"{name}{number}@acme.com"
    if way == "row":
        change(path, Grant(person=Person.read(email), role="viewer"), author=name)
        continue
    while True:
        seen = Snapshot.take(path)
        text = seen.texts["policy.yaml"].replace("pages:", f"  - {{role: viewer, email: {email}}}\\npages:")
        if way == "wrong":
            open(path, "w").write(text)
            break
        try:
            change(path, text, author=name, expected=seen.digest)
            break
        except ChangedMeanwhileError:
            again += 1
print(again)
"""


def both(policy: Path, way: str, rounds: int) -> tuple[int, int]:
    """Let two editors add people at once; return how many are missing, and how often one had to begin anew."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", ADMIN, str(policy), name, str(rounds), way],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for name in ("ann", "bob")
    ]  # fmt: skip
    for each in running:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    again = sum(int(each.communicate(timeout=120)[0]) for each in running)
    assert [each.returncode for each in running] == [0, 0]
    text = policy.read_text("utf-8")
    wanted = [f"{{role: viewer, email: {name}{n}@acme.com}}" for name in ("ann", "bob") for n in range(rounds)]
    return sum(row not in text for row in wanted), again


@pytest.mark.parametrize("way", ["row", "text"])
def test_two_editors_at_once_lose_no_edit(policy: Path, way: str) -> None:
    rounds = 40
    missing, again = both(policy, way, rounds)
    print(  # noqa: T201  the figures, with -s
        f"{2 * rounds} edits by {way}, {missing} lost, {again} made anew because somebody else was faster"
    )
    assert missing == 0
    assert len(Policy.load(policy).parts.assignments) == 1 + 2 * rounds
    assert [each.author for each in FileHistory(policy).versions()].count(None) == 1


class Within:
    """An edit that makes another one while it is made."""

    def __init__(self, policy: Path) -> None:
        self._policy = policy

    def apply(self, policy: Policy, texts: Mapping[str, str], *, now: float) -> dict[str, str]:
        change(self._policy, give("bob@acme.com"), author="ann")
        return give("cid@acme.com").apply(policy, texts, now=now)


def test_an_edit_inside_an_edit_is_refused_at_once(policy: Path) -> None:
    began = time.monotonic()
    with pytest.raises(FileError, match="can't be made inside another"):
        change(policy, Within(policy), author="ann")
    assert time.monotonic() - began < files.PATIENCE / 2
    assert policy.read_text("utf-8") == POLICY
    assert change(policy, give("bob@acme.com"), author="ann").written, "the lock is free again"


def test_an_editor_that_does_not_look_again_loses_edits(policy: Path) -> None:
    # Wrong on purpose: what the check of the content is for.
    seen = Snapshot.take(policy)
    policy.write_text(POLICY + "# theirs\n", "utf-8")
    policy.write_text(seen.texts["policy.yaml"] + "# mine\n", "utf-8")
    assert "# theirs" not in policy.read_text("utf-8")
