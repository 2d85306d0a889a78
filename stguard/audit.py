"""The audit trail: what was decided and edited, as records for programs, told to a file, a logger or a function.

A record holds ids, never claims, tokens, names or e-mails (an id is what the provider calls somebody, `iss|sub`; some
providers put an e-mail there). Telling never waits and never fails: a sink that is slow or broken costs records, which
are counted.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import logging
import os
import queue
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache, partial
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final

from stguard.errors import ConfigurationError, quote

AUDIT_VARIABLE: Final = "STGUARD_AUDIT"
"""Environment variable that names a file of records where code names nothing."""

QUEUE_LIMIT: Final = 10_000
"""Most records that wait for a slow sink; further ones are dropped and counted."""

FILE_BYTES: Final = 10_000_000
"""Bytes at which a file of records is set aside as `NAME.1`."""

FILES_KEPT: Final = 10
"""Most files that are kept besides the one that is written."""

LAST_WORDS: Final = 2.0
"""Seconds that the end of the process waits for records that are still to be told."""

_LOG: Final = logging.getLogger("stguard")


class Event(StrEnum):
    """Say what a record is about. Closed."""

    DECISION = "decision"
    """Something was allowed or refused."""
    EDIT = "edit"
    """The policy was changed."""
    VIEW_AS = "view_as"
    """Somebody looked at the app as another person or role."""
    REQUEST = "request"
    """Somebody asked for access."""
    APPROVAL = "approval"
    """A change of the policy was proposed, approved, declined or withdrawn; what was approved is an edit besides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """Say which change of the policy needed a second person.

    Attributes:
        id: tells changes apart, the same in every record about one.
        author: id of who proposed it; None for who has none. Who did what the record is about is its `subject`.
        has_reason: whether that person said why.
        before: version of the policy that it was made on; None when that isn't known.
        after: version of the policy that it makes; None when that isn't known.
    """

    id: str
    author: str | None
    has_reason: bool
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Say who did something, by ids alone.

    Attributes:
        subject: the subject's id, `iss|sub`; None for nobody signed in, and for who has no id.
        impersonator: id of whoever acts as this subject; None for nobody.
        session: id of the browser session; None outside one.
    """

    subject: str | None
    impersonator: str | None = None
    session: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Tell what happened once.

    Attributes:
        at: Unix seconds.
        event: what it is about.
        subject: the subject's id, `iss|sub`; None for nobody signed in. Of an edit at the command line: the name of a
            user of the machine.
        org: the org that was asked for; None for none.
        action: what was asked: a permission, `page:NAME`, `rule` for a rule in code; for an edit `policy:edit`.
        allowed: the answer.
        reason: why, for programs: of a decision its reason; else what was done. What people wrote stands in the history
            and in the list of requests, never here.
        rule: id of what decided, as `impersonal` writes it; None when nothing did.
        policy: version of the policy; of the new one for an edit.
        session: id of the browser session; None outside one.
        impersonator: id of whoever acts as this subject; None for nobody.
        grants: ids of the assignments that the subject holds there and that give something the action asks for, as
            `impersonal` writes them.
        proposal: the change that an approval is about; None for every other event.
    """

    at: float
    event: Event = Event.DECISION
    subject: str | None
    org: str | None = None
    action: str
    allowed: bool
    reason: str
    rule: str | None = None
    policy: str
    session: str | None = None
    impersonator: str | None = None
    grants: tuple[str, ...] = ()
    proposal: Proposed | None = None

    @classmethod
    def of(cls, actor: Actor, **facts: Any) -> Record:  # noqa: ANN401  the other fields
        """Return a record of what somebody did, with the other fields by name."""
        return cls(subject=actor.subject, impersonator=actor.impersonator, session=actor.session, **facts)

    def as_json(self) -> dict[str, Any]:
        """Return the fields as a line of a file holds them, `at` as ISO 8601 in UTC."""
        told: dict[str, Any] = {
            "at": datetime.fromtimestamp(self.at, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "event": self.event.value,
            "subject": self.subject,
            "org": self.org,
            "action": self.action,
            "allowed": self.allowed,
            "reason": self.reason,
            "rule": self.rule,
            "policy": self.policy,
            "session": self.session,
            "impersonator": self.impersonator,
            "grants": list(self.grants),
        }
        return told if self.proposal is None else {**told, "proposal": asdict(self.proposal)}


def impersonal(name: str) -> str:
    """Return the id of an assignment or a forbid as records have it, without the e-mail or claim it may be made of.

    An id that the policy states stays as it is, and one that is made of a role, an org, a group or a domain. In place
    of the rest stands a digest, the same each time: `viewer:email:#1f2e3d4c5b6a`.
    """
    return _PERSONAL.sub(lambda found: f"{found[1]}#{hashlib.sha256(found[2].encode()).hexdigest()[:12]}", name)


_PERSONAL: Final = re.compile(r"((?:^|:)(?:email|claim):)(.+)$", re.DOTALL)

Sink = Callable[[Record], object]
"""What is told of each record, one at a time, in a thread of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Count what became of records.

    Attributes:
        told: given to the sink.
        dropped: not given to it, or to the second one, because too many waited.
        failed: given to one of them, and it raised.
    """

    told: int = 0
    dropped: int = 0
    failed: int = 0


class Trail:
    """Hand records to a sink without ever waiting for it."""

    def __init__(self, sink: Sink, *, limit: int = QUEUE_LIMIT, also: Trail | None = None) -> None:
        """Take the sink; its thread starts with the first record.

        Args:
            sink: what is told.
            limit: most records that wait.
            also: a trail that is told the same, in a thread of its own: neither waits for the other; None for none.
        """
        self._sink: Final = sink
        self._also: Final = also
        self._waiting: Final[queue.Queue[Callable[[], Record]]] = queue.Queue(maxsize=limit)
        self._lock: Final = threading.Lock()
        self._thread: threading.Thread | None = None
        self._told = self._dropped = self._failed = 0

    @property
    def counts(self) -> Counts:
        """Return what became of the records so far."""
        also = Counts() if self._also is None else self._also.counts
        return Counts(told=self._told, dropped=self._dropped + also.dropped, failed=self._failed + also.failed)

    def tell(self, make: Callable[[], Record]) -> None:
        """Let a record be made and told, later and elsewhere. Never waits, never raises.

        Args:
            make: makes the record; called in the sink's thread.
        """
        if self._also is not None:
            make = cache(make)
            self._also.tell(make)
        if self._thread is None or not self._thread.is_alive():  # a fork leaves the thread behind
            with suppress(RuntimeError):  # no more threads: the next record tries again
                self._start()
        try:
            self._waiting.put_nowait(make)
        except queue.Full:
            self._dropped += 1
            if self._dropped == 1:
                _LOG.error("the audit is too slow: records are dropped, and counted")

    def flush(self) -> None:
        """Wait until every record that was told so far has reached the sink."""
        self._waiting.join()
        if self._also is not None:
            self._also.flush()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                if self._thread is None:
                    atexit.register(self._last_words)
                self._thread = threading.Thread(target=self._run, name="stguard-audit", daemon=True)
                self._thread.start()

    def _last_words(self) -> None:
        waiting = threading.Thread(target=self.flush, daemon=True)
        waiting.start()
        waiting.join(LAST_WORDS)

    def _run(self) -> None:
        while True:
            make = self._waiting.get()
            try:
                self._sink(make())
                self._told += 1
            except Exception as error:  # noqa: BLE001  the decision stands; the audit can't open or close anything
                self._failed += 1
                if self._failed == 1:
                    _LOG.error("the audit failed (%s); further failures are counted", type(error).__name__)
            finally:
                self._waiting.task_done()


def trail_to(audit: str | Path | logging.Logger | Sink, *, also: Sink | None = None) -> Trail:
    """Return a trail to a file of JSON lines, to a logger, or to a function.

    Args:
        audit: the file, the logger or the function.
        also: a second function that is told, whatever becomes of the first; None for none.

    Raises:
        ConfigurationError: it is neither, or the file can't be written.
    """
    if isinstance(audit, str | Path):
        sink = _file(Path(audit))
    elif isinstance(audit, logging.Logger):
        sink = partial(_log_to, audit)
    elif callable(audit):
        sink = audit
    else:
        raise ConfigurationError(f"audit is a file's path, a logger or a function, got {quote(type(audit).__name__)}")
    return Trail(sink, also=None if also is None else Trail(also))


def _log_to(logger: logging.Logger, record: Record) -> None:
    """Log a record: in words, and its fields for a formatter of programs; what it can't handle raises."""
    fields = record.as_json()
    said = (
        "%(event)s %(action)s by %(subject)s: %(reason)s"
        if record.allowed
        else ("%(event)s %(action)s refused to %(subject)s: %(reason)s")
    )
    logger.info(said, {key: fields[key] for key in ("event", "action", "subject", "reason")}, extra=fields)


def _file(path: Path) -> Sink:
    """Return a sink that writes a line for each record and sets full files aside.

    The standard library's handler does the writing; its own way to hide failures is left out, so that they are counted.
    """
    try:
        # SECURITY: who did what is nobody else's business on this machine.
        os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
    except OSError as error:
        reason = (error.strerror or "can't be written").lower()
        raise ConfigurationError(f"audit: {quote(path)}: {reason}") from error
    handler = _Lines(path, maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8", delay=True)

    def write(record: Record) -> None:
        line = json.dumps(record.as_json(), ensure_ascii=True)
        handler.handle(logging.LogRecord("stguard.audit", logging.INFO, "", 0, line, None, None))

    return write


class _Lines(RotatingFileHandler):
    """Raise what goes wrong in writing, in place of printing it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  the handler's name for it
        del record
        raise  # noqa: PLE0704  called while the error is handled

    def _open(self) -> Any:  # noqa: ANN401  a text file
        stream = super()._open()
        Path(self.baseFilename).chmod(0o600)
        return stream
