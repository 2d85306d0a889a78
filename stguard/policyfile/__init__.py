"""Read policy files (the administration point, PAP): text to the parts of a policy, or to every problem in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stguard.policyfile import source
from stguard.policyfile.build import build
from stguard.policyfile.draft import Sections
from stguard.policyfile.ledger import Ledger
from stguard.policyfile.node import FIELDS
from stguard.policyfile.reader import Blemishes, read
from stguard.policyfile.schema import schema
from stguard.policyfile.structure import Structure, forget

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stguard.errors import Problem
    from stguard.model import PolicyParts
    from stguard.policyfile.places import Places

__all__ = ["Reading", "forget", "load", "parse", "schema"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Hold what a policy file became.

    Attributes:
        parts: the policy; None when a problem is an error.
        problems: errors and warnings, sorted by file, line and column.
        places: where the parts stand.
    """

    parts: PolicyParts | None
    problems: tuple[Problem, ...]
    places: Places


def load(path: str | Path, *, now: float) -> Reading:
    """Read a policy file, or a folder whose `*.yaml` files are read in name order and merged.

    Never raises for what stands in the files or is missing from the disk: that becomes problems.

    Args:
        path: file or folder.
        now: Unix seconds, for warnings such as that of an expired assignment.
    """
    ledger = Ledger()
    files = source.files(Path(path), ledger=ledger)
    texts = ((source.shown(file), source.content(file, ledger=ledger)) for file in files)
    return _read(texts, ledger=ledger, now=now)


def parse(texts: Sequence[tuple[str, str]], *, now: float) -> Reading:
    """Read a policy from texts, each with the name that problems show.

    Args:
        texts: pairs of name and text, merged as the files of a folder.
        now: Unix seconds, for warnings such as that of an expired assignment.
    """
    ledger = Ledger()
    return _read(texts, ledger=ledger, now=now)


def _read(texts: Iterable[tuple[str, bytes | str | None]], *, ledger: Ledger, now: float) -> Reading:
    """Read texts; None stands for a file that was reported."""
    blemishes = Blemishes()
    structure = Structure(ledger=ledger, blemishes=blemishes)
    sections = Sections(ledger=ledger, blemishes=blemishes)
    first: int | None = None
    for name, data in texts:
        if data is None or (isinstance(data, str) and not source.fits(data)):
            if data is not None:
                source.refuse_size(name, ledger=ledger)
            sections.lose()
            continue
        text, base, decodable = source.register(name, data, ledger=ledger)
        first = base if first is None else first
        document = read(
            text, base=base, ledger=ledger, blemishes=blemishes, decodable=decodable, scrubbed=source.MARKER in text
        )
        root = document.root
        if root is not None:
            sections.add(structure.sections(root))
        if not document.complete:
            sections.lose(cut=document.cut)
        elif root is None or root[0] != FIELDS or root[1] in blemishes.holes:
            sections.lose()
    if sections.whole and first is not None and not sections.nodes("stguard"):
        message = "missing key `stguard`, the version of the policy language; start with `stguard: 1`"
        ledger.error(first, code="missing-version", message=message)
    parts, places = build(sections, ledger=ledger, blemishes=blemishes, now=now)
    return Reading(parts=None if ledger.refused else parts, problems=ledger.problems(), places=places)
