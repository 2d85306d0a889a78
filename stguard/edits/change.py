"""Change a policy: read, edit, validate, compare, and only then put in place, whole, with its history.

`preview` says what an edit would do; `change` does it. Both hold for a page in the app and for the command line.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from stguard import files
from stguard.analysis import Change, EntangledError, difference, holders
from stguard.analysis.appearance import ONLY_WRITTEN, appearance
from stguard.analysis.difference import SIGNED_IN
from stguard.audit import Actor, Event, Record
from stguard.edits.errors import EditError
from stguard.edits.history import KEPT, Version
from stguard.edits.place import OnDisk, Place
from stguard.errors import PolicyFileError, Severity, quote
from stguard.model import EVERY_ORG, WhoKind
from stguard.policy import Policy
from stguard.policyfile import source
from stguard.policyfile.source import version_id

if TYPE_CHECKING:
    from stguard.audit import Trail
    from stguard.edits.history import History
    from stguard.errors import Problem
    from stguard.model import Subject

VIEW: Final = "policy:view"
EDIT: Final = "policy:edit"
"""Who holds both, without an org, may edit the policy in the app."""

ATTEMPTS: Final = 20
"""How often an edit is made anew because somebody was faster who doesn't ask for the editors' lock."""

UNKNOWN_BEFORE: Final = "the policy as it stood before has errors, so who gains and who loses can't be told"
NONE_BEFORE: Final = "there was no policy before"


class Edit(Protocol):
    """Make new texts of old ones: `Grant`, `Revoke`, `Format`. It can be made again on what somebody else wrote."""

    def apply(self, policy: Policy, texts: Mapping[str, str], *, now: float) -> dict[str, str]:
        """Return the files that change; raise `EditError` where the edit can't be made."""
        ...


Where = str | Path | Place
"""A policy's file or folder, or where else its files stand."""


def _at(where: Where) -> Place:
    return OnDisk(Path(where)) if isinstance(where, str | Path) else where


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Hold the files of a policy as they were read.

    Attributes:
        where: the policy, as it was given.
        contents: by name in the policy's folder; a policy of one file has one. Empty when there is nothing.
    """

    where: Where
    contents: Mapping[str, bytes]

    @staticmethod
    def take(where: Where) -> Snapshot:
        """Read a policy's files, without judging what stands in them.

        Raises:
            FileError: a file can't be read.
        """
        return Snapshot(where, _at(where).contents())

    @property
    def path(self) -> Path:
        """Return the policy's file or folder."""
        return _at(self.where).path

    @property
    def is_folder(self) -> bool:
        """Tell whether the policy has files with names of their own."""
        return _at(self.where).is_folder

    @property
    def digest(self) -> str:
        """Return the name of these contents, for `expected`; that of nothing is empty."""
        return version_id(self.contents) if self.contents else ""

    @property
    def texts(self) -> dict[str, str]:
        """Return the contents as text; a byte that is not UTF-8 becomes a character that the policy reader refuses."""
        return {name: data.decode("utf-8", "surrogateescape") for name, data in self.contents.items()}

    def place(self, name: str) -> Path:
        """Return where a file of the policy stands."""
        return self.path / name if self.is_folder else self.path

    def policy(self, *, now: float) -> Policy:
        """Return the policy of these contents.

        Raises:
            PolicyFileError: it has errors, or a test in it fails.
        """
        named = [(source.shown(self.place(name)), text) for name, text in self.texts.items()]
        return Policy.from_texts(named, now=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Say what an edit does, or did.

    Attributes:
        before: digest of the files that the edit was made on; give it to `change` as `expected`.
        files: the new text of each file that changes, None for one that goes away; empty when nothing changes.
        version_before: the policy's version before; None when it had errors.
        version: the version after; None when it would have errors.
        gains: who gains what, exactly.
        losses: who loses what, exactly.
        other: in plain words what else changes.
        problems: of the policy after the edit, warnings too.
        locks_out: a sentence when nobody could edit the policy any more, or whoever edits could not; else None.
        written: whether it is in force now.
        id: name of the new version in the history; None as long as it is not written.
    """

    before: str
    files: Mapping[str, str | None]
    version_before: str | None
    version: str | None
    gains: tuple[Change, ...] = ()
    losses: tuple[Change, ...] = ()
    other: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    locks_out: str | None = None
    written: bool = False
    id: str | None = None

    @property
    def ok(self) -> bool:
        """Tell whether the policy after the edit can be in force."""
        return self.version is not None

    def as_json(self) -> dict[str, object]:
        """Return the document that the commands print with `--json`."""
        return {
            "ok": self.ok,
            "version_before": self.version_before,
            "version": self.version,
            "gains": [each.as_json() for each in self.gains],
            "losses": [each.as_json() for each in self.losses],
            "problems": [
                {
                    "file": each.file,
                    "line": each.line,
                    "column": each.column,
                    "severity": each.severity.value,
                    "code": each.code,
                    "message": each.message,
                }
                for each in self.problems
            ],
        }


def preview(
    path: Where,
    edit: str | Mapping[str, str | None] | Edit,
    *,
    expected: str | None = None,
    editor: Subject | None = None,
    in_force: Policy | None = None,
    now: float | None = None,
) -> Outcome:
    """Say what an edit would do; nothing is written.

    Args:
        path: the policy's file or folder, or where else its files stand.
        edit: a new text, for a policy of one file; new texts by file name, for a folder, None for a file to go;
            or an edit such as `Grant`.
        expected: `Outcome.before` of an earlier look, or `Snapshot.digest`; None takes the files as they are.
        editor: who edits, for `locks_out`; None when nobody in the policy does, such as on the command line.
        in_force: the policy in force, to compare with where the files have errors; None when it is not known.
        now: Unix seconds; None is now.

    Raises:
        EditError: the edit can't be made.
        ChangedMeanwhileError: the files are no longer those that were expected.
        FileError: a file can't be read.
    """
    return _outcome(Snapshot.take(path), edit, expected, editor, in_force, time.time() if now is None else now)


def change(  # noqa: PLR0913  what an edit needs, by name
    path: Where,
    edit: str | Mapping[str, str | None] | Edit,
    *,
    author: str,
    approver: str | None = None,
    reason: str | None = None,
    expected: str | None = None,
    editor: Subject | None = None,
    in_force: Policy | None = None,
    confirmed: bool = False,
    takes: str | None = None,
    keep: int = KEPT,
    trail: Trail | None = None,
    actor: Actor | None = None,
    now: float | None = None,
) -> Outcome:
    """Make an edit, if the policy after it is right; with `ok` false nothing was written.

    What somebody else wrote meanwhile is never overwritten: an edit such as `Grant` is made anew on it, a text is
    refused. In a folder, files that change together are put in place one right after the other, not in one step.

    Args:
        path: as for `preview`.
        edit: as for `preview`.
        author: who edits: the id of a subject, or the name of a user of the machine.
        approver: who agreed to it, where that was needed; None for nobody.
        reason: why, for the history.
        expected: as for `preview`. SECURITY: give it with every text that a person has edited; without it the text
            is taken for an edit of the files as they are now.
        editor: as for `preview`.
        in_force: as for `preview`.
        confirmed: whether `locks_out` was shown and accepted.
        takes: id of the waiting change that this is, which must wait still; None for none.
        keep: how many versions the history keeps.
        trail: what is told of the edit.
        actor: who the trail is told has made it; None: `author`, outside a browser session.
        now: as for `preview`.

    Raises:
        EditError: the edit can't be made, or locks out and is not confirmed.
        TakenError: the waiting change was withdrawn, declined or approved by somebody else.
        ChangedMeanwhileError: the files are no longer those that were expected.
        FileError: a file can't be read or written; everything is as it was.
    """
    if keep < 1:
        raise EditError(f"the history keeps at least one version, got {keep}")
    now = time.time() if now is None else now
    again = not isinstance(edit, str | Mapping) and expected is None
    for attempt in range(ATTEMPTS):
        try:
            with _at(path).held():
                snapshot = Snapshot.take(path)
                outcome = _outcome(snapshot, edit, expected, editor, in_force, now)
                if not outcome.ok or not outcome.files:
                    return outcome
                if outcome.locks_out is not None and not confirmed:
                    raise EditError(f"not written: {outcome.locks_out}")
                by = _By(author, approver, reason)
                outcome = _write(snapshot, outcome, by=by, takes=takes, keep=keep, now=now)
        except files.ChangedMeanwhileError:
            if not again or attempt == ATTEMPTS - 1:
                raise
            continue
        if trail is not None:
            trail.tell(partial(_record, outcome, actor or Actor(subject=author), now))
        return outcome
    raise AssertionError  # the last attempt returns or raises


def _outcome(
    snapshot: Snapshot,
    edit: str | Mapping[str, str | None] | Edit,
    expected: str | None,
    editor: Subject | None,
    in_force: Policy | None,
    now: float,
) -> Outcome:
    if expected is not None and snapshot.digest != expected:
        what = "was changed meanwhile" if snapshot.contents else "is gone"
        raise files.ChangedMeanwhileError(f"{quote(snapshot.path)} {what}; look at it as it is now and try again")
    before: Policy | None
    try:
        before = snapshot.policy(now=now) if snapshot.contents else None
        broken: PolicyFileError | None = None
    except PolicyFileError as error:
        before, broken = None, error
    new = _new_texts(snapshot, edit, before, broken, now)
    changed = {name: text for name, text in new.items() if text != snapshot.texts.get(name)}
    start = Outcome(
        before=snapshot.digest,
        files=changed,
        version_before=None if before is None else before.version,
        version=None,
    )
    after_contents = dict(snapshot.contents)
    for name, text in changed.items():
        if text is None:
            after_contents.pop(name, None)
        else:
            after_contents[name] = _encoded(text)
    try:
        after = Snapshot(snapshot.where, dict(sorted(after_contents.items()))).policy(now=now)
    except PolicyFileError as error:
        return replace(start, problems=error.problems)
    compared = before or in_force
    outcome = replace(start, version=after.version, problems=after.problems)
    if compared is None:
        outcome = replace(outcome, other=(UNKNOWN_BEFORE if snapshot.contents else NONE_BEFORE,))
    elif compared.version != after.version:
        try:
            found = difference(compared, after)
        except EntangledError as error:
            outcome = replace(outcome, other=(f"who gains and who loses what can't be said: {error}",))
        else:
            other = (*found.other, *appearance(compared, after))
            silent = not (found.gains or found.losses or other)
            outcome = replace(
                outcome, gains=found.gains, losses=found.losses, other=(ONLY_WRITTEN,) if silent else other
            )
    return replace(outcome, locks_out=_locks_out(compared, after, editor, now))


def _new_texts(
    snapshot: Snapshot,
    edit: str | Mapping[str, str | None] | Edit,
    before: Policy | None,
    broken: PolicyFileError | None,
    now: float,
) -> Mapping[str, str | None]:
    if isinstance(edit, str):
        if snapshot.is_folder:
            raise EditError(f"{quote(snapshot.path)} is a folder; say which file of it the text is for")
        return {snapshot.path.name: _kept_line_ends(edit, snapshot.texts.get(snapshot.path.name))}
    if isinstance(edit, Mapping):
        for name in edit:
            alone = snapshot.path.name if not snapshot.is_folder else None
            # SECURITY: a name may come from a form or a history; it must not lead out of the folder.
            if name != alone and (alone or not source.is_read(name) or "/" in name or "\0" in name):
                raise EditError(f"{quote(name)} is no file of the policy {quote(snapshot.path)}")
        return edit
    if before is None:
        if broken is None:
            raise EditError(f"no policy at {quote(snapshot.path)}; put it back, or take it from `stguard history`")
        first = next(each for each in broken.problems if each.severity is Severity.ERROR)
        raise EditError(f"the policy has errors, mend them first: {first}")
    assert not isinstance(edit, str | Mapping)  # noqa: S101  both were answered above
    made: Mapping[str, str | None] = dict(edit.apply(before, snapshot.texts, now=now))
    return made


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise EditError("the text holds half a character (a lone surrogate), which no file can hold") from error


def _kept_line_ends(text: str, old: str | None) -> str:
    """Return a text with the line ends of the old one: a form of a browser sends CRLF, whatever it was given."""
    plain = text.replace("\r\n", "\n")
    return plain.replace("\n", "\r\n") if old is not None and "\r\n" in old else plain


def _locks_out(before: Policy | None, after: Policy, editor: Subject | None, now: float) -> str | None:
    if before is not None and _editors(before, now) & _ASSIGNED and not _editors(after, now) & _ASSIGNED:
        if _editors(after, now):
            return (
                f"only whom the identity provider gives a role could edit the policy ({EDIT}), nobody by an assignment"
            )
        return f"nobody would be left who may edit the policy ({EDIT}); give it to a role that somebody has"
    if before is not None and _editors(before, _FAR) & _ASSIGNED and not _editors(after, _FAR) & _ASSIGNED:
        return f"once what is given for a time has ended, nobody would be left who may edit the policy ({EDIT})"
    if editor is None or _may_edit(after, editor, now):
        return None
    if before is not None and not _may_edit(before, editor, now):
        return None
    return f"you would no longer be allowed to edit the policy ({EDIT})"


_ASSIGNED: Final = frozenset(kind.value for kind in WhoKind if kind is not WhoKind.ROLE) | {SIGNED_IN}
"""Kinds of holders who are sure to exist: those that the policy names, and not whoever comes with a role."""


_FAR: Final = 250_000_000_000.0
"""A moment after all that is given for a time has ended, in Unix seconds: the year 9892."""


def _editors(policy: Policy, now: float) -> frozenset[str]:
    """Return the kinds of those who may edit."""
    # The policy is one for all orgs: a role that is held in one org does not let anybody edit it.
    found = (each for each in holders(policy, EDIT, at=now) if each.org in (None, EVERY_ORG))
    return frozenset(each.who.partition(":")[0] for each in found)


def _may_edit(policy: Policy, editor: Subject, now: float) -> bool:
    """Tell whether the editor may see and edit the whole policy, which is asked without an org."""
    subject = policy.subject(
        editor.claims,
        roles=editor.roles,
        groups=editor.groups,
        memberships=tuple(editor.memberships.values()),
        unknown={key: why for key, why in editor.unknown.items() if key in ("roles", "groups", "memberships")},
    )
    return all(policy.allows(subject, action, at=now) for action in (VIEW, EDIT))


# --- writing ----------------------------------------------------------------------------------------------------------


class _By(NamedTuple):
    """Say who made an edit, who agreed, and why."""

    author: str | None = None
    approver: str | None = None
    reason: str | None = None


def _write(snapshot: Snapshot, outcome: Outcome, *, by: _By, takes: str | None, keep: int, now: float) -> Outcome:
    """Put new texts in place, with their history."""
    contents = {name: None if text is None else _encoded(text) for name, text in outcome.files.items()}
    after = {name: data for name, data in {**snapshot.contents, **contents}.items() if data is not None}
    place = _at(snapshot.where)
    known = place.history.versions()
    steps = _steps(known[-1].id if known else None, snapshot, after, outcome, by, now)
    place.write(snapshot.contents, contents, steps=steps, keep=keep, takes=takes)
    return replace(outcome, written=True, id=version_id(after))


def _steps(
    previous: str | None,
    snapshot: Snapshot,
    after: Mapping[str, bytes],
    outcome: Outcome,
    by: _By,
    now: float,
) -> list[tuple[Version, Mapping[str, bytes]]]:
    """Return what the history is to say: what was found, where somebody edited by other means, and what it becomes."""
    told = [(after, outcome.version, by)]
    if snapshot.contents and previous != snapshot.digest:
        told.insert(0, (snapshot.contents, outcome.version_before, _By()))
    steps = []
    for contents, version, made in told:
        entry = Version(
            id=version_id(contents),
            version=version,
            time=now,
            author=made.author,
            approver=made.approver,
            reason=made.reason,
            previous=previous,
            files={name: files.digest(data) for name, data in contents.items()},
        )
        steps.append((entry, contents))
        previous = entry.id
    return steps


def _record(outcome: Outcome, actor: Actor, now: float) -> Record:
    assert outcome.version is not None  # noqa: S101  it was written
    return Record.of(
        actor, at=now, event=Event.EDIT, action=EDIT, allowed=True, reason="edited", policy=outcome.version
    )


def restored(path: Where, name: str) -> dict[str, str | None]:
    """Return the edit that makes a policy what a version in its history was; give it to `preview` and `change`.

    Args:
        path: as for `preview`.
        name: the id of a version, at least its first four characters, or a policy's version.

    Raises:
        EditError: there is no such version, or it is damaged.
    """
    history = history_of(path)
    contents = history.contents(history.find(name))
    now = Snapshot.take(path).contents
    gone: dict[str, str | None] = {each: None for each in now if each not in contents}
    return {**gone, **{each: data.decode("utf-8", "surrogateescape") for each, data in contents.items()}}


def history_of(path: Where) -> History:
    """Return the history of a policy: nothing is read yet."""
    return _at(path).history
