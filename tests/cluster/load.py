"""What many tabs see while replicas are killed and the policy is edited."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from websockets.exceptions import WebSocketException

from stguard import edits

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.cluster import Cluster

PATIENCE = 10.0
"""Seconds after which a page counts as not loaded."""


ATTEMPTS = 50
"""How often an edit is tried that was told not to be saved."""


@dataclass(slots=True)
class Seen:
    """Count what happened.

    Attributes:
        loaded: pages that came whole.
        wrong: pages whose decision was wrong: who was refused, or let in.
        failed: pages that didn't come, since the replica was killed.
        slowest: seconds of the page that took longest.
        lost: edits that were told to be saved and are not in the policy.
        saved: edits that were.
    """

    loaded: int = 0
    wrong: list[str] = field(default_factory=list)
    failed: int = 0
    slowest: float = 0.0
    saved: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


class Load:
    """Ask for pages in threads, as somebody who may and as somebody who may not, until told to stop."""

    def __init__(self, cluster: Cluster, *, threads: int = 2) -> None:
        self._cluster = cluster
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self.seen = Seen()
        self._threads = [
            threading.Thread(target=self._ask, args=(name,), daemon=True)
            for _ in range(threads)
            for name in ("ann", "vera")
        ]

    def __enter__(self) -> Seen:
        for each in self._threads:
            each.start()
        return self.seen

    def __exit__(self, *_error: object) -> None:
        self._stopped.set()
        for each in self._threads:
            each.join()

    def _ask(self, name: str) -> None:
        while not self._stopped.is_set():
            began = time.monotonic()
            try:
                with self._cluster.tab(name) as tab:
                    for _ in range(3):
                        began = time.monotonic()
                        drawing = tab.open("reports")
                        self._note(name, opened="the reports" in drawing, seconds=time.monotonic() - began)
            except (OSError, WebSocketException, TimeoutError, EOFError):
                with self._lock:
                    self.seen.failed += 1

    def _note(self, name: str, *, opened: bool, seconds: float) -> None:
        with self._lock:
            self.seen.loaded += 1
            self.seen.slowest = max(self.seen.slowest, seconds)
            if opened != (name == "ann"):
                self.seen.wrong.append(name)


def grant(cluster: Cluster, seen: Seen, *, editor: str, times: int, pause: Callable[[], object]) -> None:
    """Give a role to one after the other, and note whom it was told that they have it."""
    place = edits.OnBoard(cluster.board, cluster.folder / "policy.yaml")
    for number in range(times):
        email = f"{editor}{number}@acme.com"
        for _ in range(ATTEMPTS):
            # An error says that nothing was saved: the engine was slow, or the other editor was faster too often.
            with contextlib.suppress(edits.EditError, edits.FileError):
                edits.change(place, edits.Grant(person=edits.Person.read(email), role="viewer"), author=editor)
                seen.saved.append(email)
                break
            pause()
        pause()


def check(cluster: Cluster, seen: Seen) -> None:
    """Note which edits are not there."""
    posted = cluster.board.current()
    assert posted is not None
    text = posted.contents["policy.yaml"].decode()
    seen.lost = [each for each in seen.saved if each not in text]
