"""What one replica keeps on its disk, for a start at which the engine can't be reached.

SECURITY: the folder is the app's own. The policy in it counts only with the code of a replica; the logins that ended,
and the changes that wait no more, only ever close something.
"""

from __future__ import annotations

import json
import logging
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stguard import files

if TYPE_CHECKING:
    from collections.abc import Mapping

STATE_VARIABLE: Final = "STGUARD_STATE"
"""Environment variable that names the folder; it should outlive the container."""

FOLDER: Final = ".stguard"
"""Folder beside the main script that is used without that variable; no reader of policies looks into it."""

PATIENCE: Final = 1.0
"""Seconds to wait for another replica on this machine: a page may wait, or the thread that hears of edits."""

CONFIRM_EVERY: Final = 60.0
"""Fewest seconds between two notes that a document is what is shared still."""

SLACK: Final = 60.0
"""Seconds by which this machine's clock may have been set back since."""

_LOG: Final = logging.getLogger("stguard")


class Kept:
    """Read and write small documents in one folder."""

    def __init__(self, folder: Path, *, of: str = "what replicas share") -> None:
        """Take the folder, which is made when something is written, and what it keeps copies of, in words."""
        self._folder: Final = folder
        self._of: Final = of
        self._failed = False
        self._confirmed_at: float | None = None

    def read(self, name: str) -> Any:  # noqa: ANN401  what a file held; None for none
        """Return a document; None when there is none, or it is damaged."""
        try:
            data = files.content(self._place(name))
            return None if data is None else json.loads(data)
        except (files.FileError, ValueError, RecursionError):
            _LOG.error("the copy of %s in %s can't be read; it doesn't count", self._of, self._place(name))
            return None

    def age(self, name: str) -> float | None:
        """Return for how many seconds a document was not confirmed; None where nobody knows, or there is none."""
        try:
            age = time.time() - self._place(name).stat().st_mtime
        except OSError:
            return None
        return max(age, 0.0) if age >= -SLACK else None  # of the future: the clock was set back

    def confirm(self, name: str) -> None:
        """Note that a document is what is shared still, from time to time."""
        if self._confirmed_at is not None and time.monotonic() - self._confirmed_at < CONFIRM_EVERY:
            return
        self._confirmed_at = time.monotonic()
        with suppress(OSError):  # then it grows old, and what is old doesn't count
            os.utime(self._place(name))

    def write(self, name: str, document: Mapping[str, Any], *, serial: int) -> None:
        """Write a document, whole, unless one with a higher serial is there; a failure is logged once.

        Args:
            name: of the document.
            document: anything JSON has.
            serial: grows with each document; replicas on one machine may share the folder.
        """
        place = self._place(name)
        try:
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise files.FileError(f"can't make {self._folder}: {files.cause(error)}") from error
            with files.locked(self._folder, patience=PATIENCE):
                before = self.read(name)
                if isinstance(before, dict) and isinstance(before.get("serial"), int) and before["serial"] > serial:
                    return
                data = json.dumps({**document, "serial": serial}).encode()
                with files.Replacement({files.real(place): data}) as ready:
                    ready.commit({})
        except files.FileError as error:
            if not self._failed:
                self._failed = True
                _LOG.warning(
                    "no copy of %s is kept on the disk, so that nothing starts while it can't be reached: %s; set "
                    "%s to a folder that can be written",
                    self._of,
                    error,
                    STATE_VARIABLE,
                )

    def _place(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def folder_of(app: Path, *, environ: Mapping[str, str]) -> Path:
    """Return the folder in which a replica keeps what it needs to start alone; without the variable, beside the app."""
    named = environ.get(STATE_VARIABLE)
    return Path(named) if named else app / FOLDER
