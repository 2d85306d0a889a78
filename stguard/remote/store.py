"""The policy in force, from an address: looked at in a thread of its own, replaced by a proved, later, good one."""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from stguard import policyfile
from stguard.errors import ConfigurationError, PolicyFileError, Problem, Severity
from stguard.policy import Policy
from stguard.remote.download import DownloadError, Fetched, fetch
from stguard.remote.signature import SignatureError
from stguard.tally import Readings

if TYPE_CHECKING:
    from collections.abc import Callable

    from stguard.remote.policyurl import PolicyUrl
    from stguard.shared.kept import Kept

KEPT_AS: Final = "policy-url"
"""Begin of the name of the copy on the disk; one folder may hold those of several addresses."""

KEEP_EVERY: Final = 60.0
"""Fewest seconds between two notes on the disk that the policy was confirmed."""

SLACK: Final = 60.0
"""Seconds by which this machine's clock may have been set back since a copy was kept."""

_LOG: Final = logging.getLogger("stguard")


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What is known now.

    Attributes:
        policy: the last good policy; None when there never was one.
        fetched: what it was made of.
        signed_at: when that was signed, Unix seconds.
        since: the monotonic clock's seconds at which this version came into force; None without a policy.
        confirmed_at: the monotonic clock's seconds at which it was last found to be the one that is published.
        error: what is wrong with what is published now; None when it is in force.
        trouble: why the address could not be read the last time; None when it was.
        readings: how often something else was published, and what came of it.
    """

    policy: Policy | None = None
    fetched: Fetched | None = None
    signed_at: int = 0
    since: float | None = None
    confirmed_at: float | None = None
    error: PolicyFileError | None = None
    trouble: str | None = None
    readings: Readings = field(default_factory=Readings)


class RemoteStore:
    """Keep the policy of an address in force. Stands where a `PolicyStore` may; nothing here writes it.

    INVARIANT: a policy comes into force only when it is proved, no older than the one before, and without errors.

    Attributes:
        source: the address and the proof.
        on_bad_edit: as for `PolicyStore`.
    """

    def __init__(
        self,
        source: PolicyUrl,
        *,
        kept: Kept,
        on_bad_edit: str = "keep",
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Take the address; the first look begins with the first question.

        Args:
            source: the address and the proof.
            kept: where the last good policy is kept for a start without the address.
            on_bad_edit: `keep` or `deny`.
            clock: seconds that only go forward.
            wall: Unix seconds.

        Raises:
            ConfigurationError: `on_bad_edit` is neither.
        """
        if on_bad_edit not in {"keep", "deny"}:
            raise ConfigurationError(f"on_bad_edit is `keep` or `deny`, got `{on_bad_edit}`")
        self.source: Final = source
        self.on_bad_edit: Final = on_bad_edit
        self._kept: Final = kept
        self._kept_as: Final = f"{KEPT_AS}-{hashlib.sha256(repr(_proof(source)).encode()).hexdigest()[:12]}"
        self._clock: Final = clock
        self._wall: Final = wall
        self._lock: Final = threading.Lock()
        self._looked: Final = threading.Event()
        self._closed: Final = threading.Event()
        self._thread: threading.Thread | None = None
        self._loaded = _Loaded()
        self._kept_at: float | None = None

    def current(self) -> Policy:
        """Return the policy in force now. Waits only for the first look, and no longer than the deadline.

        Raises:
            PolicyFileError: no policy was ever read, the one that was is too old to decide by, or what is published is
                bad and `on_bad_edit` is `deny`.
        """
        if self._thread is None or not self._thread.is_alive():  # a fork leaves the thread behind
            self._start()
        loaded = self._loaded
        if loaded.policy is None and not self._looked.is_set():
            self._looked.wait(self.source.deadline + 1.0)
            loaded = self._loaded
        if loaded.policy is None:
            raise loaded.error or self._refusal("unreachable", f"no policy yet: {loaded.trouble or 'no answer so far'}")
        if self._is_stale(loaded):
            raise self._refusal("stale", "the published policy has not been seen for too long")
        if loaded.error is not None and self.on_bad_edit != "keep":
            raise loaded.error
        return loaded.policy

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Problems of what is published: errors when it is bad, else the warnings."""
        loaded = self._loaded
        if loaded.error is not None:
            return loaded.error.problems
        return loaded.policy.problems if loaded.policy is not None else ()

    @property
    def is_outdated(self) -> bool:
        """Whether what is known is too old to decide by."""
        return self._loaded.policy is not None and self._is_stale(self._loaded)

    @property
    def readings(self) -> Readings:
        """How often something else was published, and what came of it."""
        return self._loaded.readings

    @property
    def badly_edited(self) -> bool:
        """Whether what is published now can't be put in force."""
        return self._loaded.error is not None

    @property
    def age(self) -> float | None:
        """Seconds since the last good policy, by its version, came into force in this process; None without one."""
        since = self._loaded.since
        return None if since is None else self._clock() - since

    def close(self) -> None:
        """Look no more."""
        self._closed.set()

    def _is_stale(self, loaded: _Loaded) -> bool:
        return loaded.confirmed_at is None or self._clock() - loaded.confirmed_at >= self.source.stale

    # --- its thread

    def _start(self) -> None:
        with self._lock:
            if self._closed.is_set() or (self._thread is not None and self._thread.is_alive()):
                return
            self._thread = threading.Thread(target=self._run, name="stguard-policy-url", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            self._remember()
        except Exception:  # noqa: BLE001  what is kept is then as good as gone
            _LOG.exception("what is kept of the policy can't be read")
        while not self._closed.is_set():
            try:
                self.look()
            except Exception as error:  # noqa: BLE001  what is known grows old, and what is old doesn't count
                self._in_trouble(f"looking failed ({type(error).__name__})")
            self._looked.set()
            self._closed.wait(self.source.every)

    def look(self) -> None:
        """Look once at the address, and put in force what lies there if it may be."""
        before, at = self._loaded, self._clock()
        # What is published may be bad: then it is read each time, until it isn't any more.
        tag = before.fetched.tag if before.fetched is not None and before.error is None else None
        try:
            found = fetch(self.source, tag=tag)
        except (DownloadError, ConfigurationError) as error:
            self._in_trouble(str(error))
            return
        if before.trouble is not None:
            _LOG.info("policy %s: it can be read again", self.source.url)
        known = before.fetched
        if found is None or (known is not None and found[:2] == known[:2]):
            fetched = known if found is None else found
            self._loaded = replace(before, fetched=fetched, confirmed_at=at, error=None, trouble=None)
            self._keep()
            return
        self._judge(found, at=at, confirmed_at=at)

    def _judge(self, found: Fetched, *, at: float, confirmed_at: float) -> None:
        before = self._loaded
        read = self._read(found, not_before=before.signed_at)
        if isinstance(read, PolicyFileError):
            if before.error is None or before.error.problems != read.problems:
                self._report(read, before.policy)
                before = replace(before, readings=before.readings.and_one(loaded=False))
            self._loaded = replace(before, error=read, trouble=None)
            return
        policy, signed_at = read
        same = before.policy is not None and before.policy.version == policy.version
        self._loaded = _Loaded(
            policy=policy,
            fetched=found,
            signed_at=signed_at,
            since=before.since if same else at,
            confirmed_at=confirmed_at,
            readings=before.readings.and_one(loaded=True),
        )
        _LOG.info("policy %s: version %s is in force", self.source.url, policy.version)
        self._kept_at = None
        self._keep()

    def _read(self, found: Fetched, *, not_before: int) -> tuple[Policy, int] | PolicyFileError:
        """Return the policy and when it was signed, or why it doesn't count.

        INVARIANT: nothing of it is parsed before it is proved.
        """
        try:
            signed_at = self.source.proved(found.content, found.signature)
            if signed_at < not_before:
                return self._refusal(
                    "older", "it was signed before the one in force; to go back, sign the old one anew"
                )
            text = found.content.decode("utf-8", "surrogateescape")
            return Policy.from_texts([(self.source.name, text)], now=self._wall()), signed_at
        except SignatureError as error:
            return self._refusal("unproved", str(error))
        except PolicyFileError as error:
            return error
        except Exception as error:  # noqa: BLE001  whatever a text makes the reader do, the last good policy stays
            return self._refusal("unreadable", f"the reader failed ({type(error).__name__})")
        finally:
            policyfile.forget()

    def _in_trouble(self, why: str) -> None:
        before = self._loaded
        if before.trouble != why:
            kept = "nothing is in force" if before.policy is None else "the last good one stays in force"
            _LOG.error("policy %s: %s; %s, for %g seconds at most", self.source.url, why, kept, self.source.stale)
        self._loaded = replace(before, trouble=why)

    def _report(self, error: PolicyFileError, last_good: Policy | None) -> None:
        if last_good is None:
            effect = "no policy in force, everything is refused"
        elif self.on_bad_edit == "keep":
            effect = f"the last good policy, version {last_good.version}, stays in force"
        else:
            effect = "everything is refused"
        problems = "\n".join(str(problem) for problem in error.problems)
        _LOG.error("policy %s refused; %s\n%s", self.source.url, effect, problems)

    def _refusal(self, code: str, message: str) -> PolicyFileError:
        return PolicyFileError(
            [Problem(file=self.source.name, line=1, column=1, severity=Severity.ERROR, code=code, message=message)]
        )

    # --- the copy on the disk

    def _keep(self) -> None:
        """Keep what is in force, and when it was last confirmed, from time to time."""
        loaded, now = self._loaded, self._clock()
        if loaded.fetched is None or loaded.confirmed_at is None:
            return
        if self._kept_at is not None and now - self._kept_at < KEEP_EVERY:
            return
        self._kept_at = now
        confirmed = self._wall() - (now - loaded.confirmed_at)
        signature = loaded.fetched.signature
        document = {
            "url": self.source.url,
            "content": base64.b64encode(loaded.fetched.content).decode(),
            "signature": None if signature is None else base64.b64encode(signature).decode(),
            "confirmed": confirmed,
        }
        # By when it was signed: an older copy must not replace a newer one's.
        self._kept.write(self._kept_as, document, serial=loaded.signed_at)

    def _remember(self) -> None:
        """Put in force what was kept, proved once more, for as long as it would count had the process gone on."""
        document: Any = self._kept.read(self._kept_as)
        if not isinstance(document, dict) or document.get("url") != self.source.url:
            return
        try:
            signature = document["signature"]
            found = Fetched(
                base64.b64decode(document["content"], validate=True),
                None if signature is None else base64.b64decode(signature, validate=True),
                None,
            )
            age = self._wall() - float(document["confirmed"])
        except (KeyError, TypeError, ValueError, binascii.Error):
            _LOG.error("policy %s: what is kept of it is damaged and doesn't count", self.source.url)
            return
        if not age >= -SLACK:  # SECURITY: nor of no moment at all: it would never grow old
            _LOG.error("policy %s: what is kept of it is of the future and doesn't count", self.source.url)
            return
        now = self._clock()
        self._judge(found, at=now, confirmed_at=now - max(age, 0.0))
        if self._loaded.policy is None:
            self._loaded = _Loaded()  # what is published is judged by itself


def _proof(source: PolicyUrl) -> tuple[str | None, ...]:
    return source.url, source.public_key, source.sha256
