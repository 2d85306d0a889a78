"""One replica's connection to what the replicas share, in Redis or Valkey: kept, watched, and found again when lost.

Two threads of its own: one hears of changes and reads what changed, one writes. Nothing that decides waits for either:
each part keeps a copy in this process. A message that is lost costs at most `every` seconds, because heads are read
again; a connection that is lost makes the copies old, and `is_stale` says when they are too old to decide by.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar
from urllib.parse import parse_qs, urlsplit

from stguard.errors import ConfigurationError, quote
from stguard.shared.causes import cause
from stguard.shared.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Callable

URL_VARIABLE: Final = "STGUARD_REDIS_URL"
"""Environment variable that names the engine: `redis://`, `rediss://` (TLS) or `unix://`."""

SCHEMES: Final = ("redis", "rediss", "unix")

_CHECKS: Final = {"ssl_cert_reqs": "required", "ssl_check_hostname": "true"}
"""Options of an address that decide whether TLS checks who answers, and the one value that each may have."""

_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
"""Options of an address that name a file."""

DEADLINE: Final = 1.0
"""Seconds after which a call of the engine is given up."""

EVERY: Final = 0.5
"""Seconds between two looks at the heads, for messages that were lost."""

STALE: Final = 300.0
"""Seconds without contact after which the copies are too old to decide by."""

WHOLE: Final = 60.0
"""Seconds after which everything is compared, not only what changed: a fail-over may lose writes without a break."""

PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds before the first tries to find the connection again; the last one repeats."""

_T = TypeVar("_T")

Client = Any
"""A client of redis-py, whose annotations are those of every kind of client at once."""

_LOG: Final = logging.getLogger("stguard")


class Contact(StrEnum):
    """Say how a replica stands with the engine. Closed."""

    NEVER = "never"
    """It was not reached since this process began."""
    HELD = "held"
    """It is reached."""
    LOST = "lost"
    """It was reached, and isn't now."""


class Part(Protocol):
    """Be one of the things that replicas share: a copy here, the whole there.

    Attributes:
        seen: the number up to which the copy is complete; None before the first reading.
    """

    seen: int | None

    @property
    def head(self) -> str:
        """Return the key of a number that grows with each change."""
        ...

    def begin(self, client: Client) -> None:
        """Read everything, and bring back what the engine has lost and this copy still has."""
        ...

    def follow(self, client: Client) -> None:
        """Read what changed."""
        ...

    def keep(self) -> None:
        """Keep on the disk what must outlive this process, whether or not the engine can be written."""
        ...

    def flush(self, client: Client) -> None:
        """Write what waits to be written; nothing may be forgotten before it is written."""
        ...


class Link:
    """Keep one connection for all parts.

    Attributes:
        vault: seals what others may not read.
        name: begins each key; apps that share one engine have different names.
        stale: seconds without contact after which the copies are too old to decide by.
    """

    def __init__(
        self,
        url: str,
        *,
        secret: str,
        name: str = "stguard",
        stale: float = STALE,
        deadline: float = DEADLINE,
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the address; `start` connects.

        Args:
            url: `redis://`, `rediss://` or `unix://`, with credentials.
            secret: text of 32 characters or more, the same on each replica.
            name: begins each key.
            stale: seconds without contact after which the copies no longer count.
            deadline: seconds after which one call is given up.
            every: seconds between two looks for messages that were lost.
            clock: seconds that only go forward.

        Raises:
            ConfigurationError: an argument is wrong, or the extra `redis` is not installed.
        """
        if urlsplit(url).scheme not in SCHEMES:
            raise ConfigurationError(
                f"${URL_VARIABLE} begins with one of {', '.join(f'`{each}://`' for each in SCHEMES)}"
            )
        self._tls: Final = urlsplit(url).scheme == "rediss"
        # SECURITY: who is in between would read the password and could hold back sign-outs.
        for option, values in parse_qs(urlsplit(url).query, keep_blank_values=True).items():
            if any(value != _CHECKS.get(option, value) for value in values):
                raise ConfigurationError(
                    f"`{option}` in ${URL_VARIABLE} switches off the check of who answers; leave it out, "
                    "and name a certificate authority of your own with `ssl_ca_certs`"
                )
            if option.startswith("ssl_") and not self._tls:
                raise ConfigurationError(f"{quote(option)} in ${URL_VARIABLE} needs an address with `rediss://`")
            missing = [value for value in values if option in _FILES and not Path(value).is_file()]
            if missing:
                raise ConfigurationError(f"`{option}` in ${URL_VARIABLE} names no file: {quote(missing[0])}")
        if not stale > 0 or not deadline > 0 or not every > 0:
            raise ConfigurationError(
                f"`stale`, `deadline` and `every` are seconds above 0, got {stale}, {deadline}, {every}"
            )
        if not name or any(sign in name for sign in "{} \n"):
            raise ConfigurationError(f"the name under which replicas share has no blanks or braces, got {quote(name)}")
        try:
            import redis  # noqa: PLC0415  only replicas need it
            from redis.backoff import NoBackoff  # noqa: PLC0415  as above
            from redis.retry import Retry  # noqa: PLC0415  as above
        except ImportError as error:
            raise ConfigurationError("replicas that share need more: `pip install 'stguard[redis]'`") from error
        self.vault: Final = Vault(secret)
        self.name: Final = name
        self.stale: Final = stale
        self.deadline: Final = deadline
        self._every: Final = every
        self._clock: Final = clock
        self._errors: Final = (redis.RedisError, OSError)
        self._slow: Final = (redis.TimeoutError, TimeoutError)
        # redis-py 5 asks for no host name by itself.
        checks = {"ssl_check_hostname": True} if self._tls else {}
        try:
            # Given up once it fails: this decides itself when to try again.
            self.client: Final[Client] = redis.Redis.from_url(
                url, socket_timeout=deadline, socket_connect_timeout=deadline, retry=Retry(NoBackoff(), 0), **checks
            )
        except ValueError as error:
            # SECURITY: the message of the library may repeat the address, which holds a password.
            raise ConfigurationError(f"${URL_VARIABLE} can't be read as an address") from error
        self._parts: tuple[Part, ...] = ()
        self._then: tuple[Callable[[], object], ...] = ()
        self._looked: Final = threading.Condition()
        self._epoch: bytes | None = None
        self._compared_at = 0.0
        self._met_at: float | None = None
        self._began_at: Final = clock()
        self._contact = Contact.NEVER
        self._told_lost = self._is_refused = False
        self._closed: Final = threading.Event()
        self._to_write: Final = threading.Event()
        self._threads: list[threading.Thread] = []

    # --- what others ask

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What a call of the engine raises that could not be made or was refused."""
        return self._errors

    @property
    def contact(self) -> Contact:
        """How this replica stands with the engine now."""
        return self._contact

    @property
    def age(self) -> float:
        """Seconds since everything was known to be up to date; since the process began when it never was."""
        met = self._met_at
        return self._clock() - (self._began_at if met is None else met)

    @property
    def is_stale(self) -> bool:
        """Tell whether the copies are too old to decide by."""
        return self.age >= self.stale

    def key(self, name: str) -> str:
        """Return the key of something: all of one app lie in one slot of a cluster."""
        return f"{{{self.name}}}:{name}"

    @property
    def channel(self) -> str:
        """Where changes are told."""
        return self.key("news")

    # --- its life

    def add(self, part: Part) -> None:
        """Take a part; it is read with the next look."""
        self._parts = (*self._parts, part)

    def after_each_look(self, call: Callable[[], object]) -> None:
        """Have something called, in the reading thread, whenever everything is known to be up to date."""
        self._then = (*self._then, call)

    def start(self, *, patience: float = 0.0) -> bool:
        """Connect, in threads of its own; wait for the first answer, up to `patience` seconds, unless it is refused.

        Returns:
            Whether everything is read.
        """
        if not self._threads:
            self._threads = [
                threading.Thread(target=target, name=f"stguard-shared-{name}", daemon=True)
                for name, target in (("read", self._read), ("write", self._write))
            ]
            for thread in self._threads:
                thread.start()
        with self._looked:
            self._looked.wait_for(lambda: self._is_refused or self._is_read, patience)
        return self._is_read

    @property
    def _is_read(self) -> bool:
        return self._contact is Contact.HELD and all(part.seen is not None for part in self._parts)

    def close(self) -> None:
        """End the threads and the connections."""
        self._closed.set()
        self._to_write.set()
        for thread in self._threads:
            thread.join(self.deadline * 2)
        self.client.close()

    def ask(self, call: Callable[[Client], _T]) -> _T:
        """Make a call for somebody who waits, who waits `deadline` seconds at most.

        The client's own limit is one for each piece of an answer: one that drips would hold a page for hours.

        Raises:
            Exception: one of `errors`; whether the engine has done what it was asked is then not known.
        """
        answers: queue.SimpleQueue[tuple[_T] | Exception] = queue.SimpleQueue()

        def make() -> None:
            try:
                answers.put((call(self.client),))
            except Exception as error:  # noqa: BLE001  it is raised below, to who asked
                answers.put(error)

        threading.Thread(target=make, name="stguard-shared-ask", daemon=True).start()
        try:
            answer = answers.get(timeout=self.deadline)
        except queue.Empty:
            raise TimeoutError("no whole answer in time") from None
        if isinstance(answer, Exception):
            raise answer
        return answer[0]

    def wake(self) -> None:
        """Have written what waits. Never waits itself."""
        self._to_write.set()

    # --- reading

    def _read(self) -> None:
        tries = 0
        while not self._closed.is_set():
            listening = self.client.pubsub(ignore_subscribe_messages=True)
            try:
                listening.subscribe(self.channel)
                while not self._closed.is_set():
                    self._look()
                    tries = 0
                    if listening.get_message(timeout=self._every) is not None:
                        while listening.get_message(timeout=0) is not None:
                            pass  # one look answers them all
            except self._errors as error:
                self._lost(error)
                self._closed.wait(PAUSES[min(tries, len(PAUSES) - 1)])
                tries += 1
            except Exception:  # noqa: BLE001  whatever it is, the copies grow old, and old ones don't count
                _LOG.exception("reading what replicas share failed")
                self._closed.wait(PAUSES[-1])
            finally:
                listening.close()

    def _look(self) -> None:
        """Bring every copy up to date."""
        at, parts = self._clock(), self._parts
        # Messages may be lost: the heads tell what there is.
        epoch, *heads = self.client.mget([self.key("epoch"), *(part.head for part in parts)])
        if epoch is None:
            self.client.set(self.key("epoch"), self.vault.name("epoch", str(time.time_ns())), nx=True)
            epoch = self.client.get(self.key("epoch"))
        if self._contact is not Contact.HELD or epoch != self._epoch or at - self._compared_at >= WHOLE:
            # After a break, a restart or a fail-over: what was written last may be gone there, and not here.
            for part in parts:
                part.begin(self.client)
            self._epoch, self._compared_at = epoch, at
        else:
            for part, head in zip(parts, heads, strict=True):
                number = int(head or 0)
                if part.seen is None or number < part.seen:
                    part.begin(self.client)
                elif number > part.seen:
                    part.follow(self.client)
        if self._contact is not Contact.HELD:
            _LOG.info("replicas: in contact")
        self._told_lost = self._is_refused = False
        self._met_at, self._contact = at, Contact.HELD
        with self._looked:
            self._looked.notify_all()
        self._to_write.set()
        for call in self._then:
            call()

    def _lost(self, error: Exception) -> None:
        """Say once that there is no contact, whether there was any before."""
        if not isinstance(error, self._slow):
            self._is_refused = True  # nothing there, or it doesn't want us: who waits for a first answer gets none
            with self._looked:
                self._looked.notify_all()
        if self._told_lost:
            return
        self._told_lost = True
        if self._contact is Contact.HELD:
            self._contact = Contact.LOST
        _LOG.error(
            "replicas: no contact (%s), trying again; what is known here counts for %d more seconds",
            self._why(error),
            max(0, self.stale - self.age),
        )

    def _why(self, error: Exception) -> str:
        return cause(error, tls=self._tls, met=self._contact is not Contact.NEVER)

    # --- writing

    def _write(self) -> None:
        tries = 0
        while not self._closed.is_set():
            self._to_write.wait()
            self._to_write.clear()
            try:
                for part in self._parts:
                    part.keep()
                for part in self._parts:
                    part.flush(self.client)
                tries = 0
            except self._errors as error:
                if tries == 0:
                    _LOG.error("replicas: writing failed (%s); trying again", self._why(error))
                self._closed.wait(PAUSES[min(tries, len(PAUSES) - 1)])
                tries += 1
                self._to_write.set()
            except Exception:  # noqa: BLE001  what waits is still there
                _LOG.exception("writing what replicas share failed")
                self._closed.wait(PAUSES[-1])
                self._to_write.set()


def script(client: Client, text: str, keys: list[str], arguments: list[Any]) -> Any:  # noqa: ANN401  what it returns
    """Run a script on the engine: it is done whole or not at all."""
    return client.register_script(text)(keys=keys, args=arguments)
