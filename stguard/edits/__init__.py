"""Edit policies: give and take away roles, lay out, keep the history. Nothing is written that would not load."""

from stguard.edits.change import Edit, Outcome, Snapshot, Where, change, history_of, preview, restored
from stguard.edits.errors import EditError, TakenError
from stguard.edits.history import History, Version
from stguard.edits.layout import Format
from stguard.edits.place import OnBoard, OnDisk, Place
from stguard.edits.rows import Grant, Person, Revoke
from stguard.files import ChangedMeanwhileError, FileError

__all__ = [
    "ChangedMeanwhileError",
    "Edit",
    "EditError",
    "FileError",
    "Format",
    "Grant",
    "History",
    "OnBoard",
    "OnDisk",
    "Outcome",
    "Person",
    "Place",
    "Revoke",
    "Snapshot",
    "TakenError",
    "Version",
    "Where",
    "change",
    "history_of",
    "preview",
    "restored",
]
