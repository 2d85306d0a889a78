"""Who is there when: which kinds of who-keys that one question tells apart, in one org, at which moments."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from itertools import pairwise
from math import inf, nextafter
from typing import TYPE_CHECKING, Final

from stguard.analysis.people import Alike, Given, Mark, Marks
from stguard.model import Who, WhoKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from stguard.analysis.question import Effect
    from stguard.analysis.standings import Place, Sort, Standings

Pieces = tuple[tuple[int, int], ...]
"""From which of some moments on, by rank, a who-key is treated how: by the number of what it then is alike to."""

_BEGINNING: Final = -1
"""Stands for the rank of the beginning of time."""

Stretch = tuple[float, float]
"""Some time: from Unix seconds until Unix seconds."""

ALL_TIME: Final[list[Stretch]] = [(-inf, inf)]

_NOBODY: Final = -1
"""Stands for who is treated as anyone else."""

_NOTHING: Final[frozenset[tuple[str, Mark]]] = frozenset()

_END: Final = (inf, _NOBODY)
"""Ends the pieces of time of everybody."""

Held = tuple[tuple[frozenset[str], ...], Who | None]
"""The roles that each policy gives at some moment, and the who-key that stands for being named, if any does."""

Crowd = frozenset[int]
"""The kinds of who-keys that are told apart, by number."""


class Presence:
    """Tell who is there when, in whichever org, as far as one question tells people apart."""

    def __init__(
        self,
        standings: Standings,
        effects: Sequence[Mapping[str, Effect]],
        named: Mapping[Who, Marks],
        *,
        doubt_counts: bool,
        doubted_roles_count: bool,
    ) -> None:
        """Take what policies say of who-keys, and what of that matters.

        Args:
            standings: what they say of who-keys.
            effects: of each policy, what holding a role changes; roles that change nothing are left out.
            named: the who-keys that rules and forbids name, with what they do with them.
            doubt_counts: whether what might be so of somebody can change anything, not only what surely is.
            doubted_roles_count: whether that can change anything which somebody might be given a role by.
        """
        self._standings: Final = standings
        self._effects: Final = effects
        self._roles: Final = frozenset(role for each in effects for role in each)
        self._marks: Final = named
        self._doubt_counts: Final = doubt_counts
        self._doubted_roles_count: Final = doubted_roles_count
        self._numbers: Final[dict[Alike, int]] = {}
        self._states: Final[dict[object, int]] = {}
        self._alike: Final[list[Alike]] = []
        self._shared: Final[set[int]] = set()
        self._shapes: Final[dict[int, Pieces]] = {}
        self._fixed: Final[dict[str | None, tuple[Place, Crowd | None]]] = {}
        self._counted: Final[dict[str | None, Counter[int]]] = {}

    def counts(self, role: str) -> bool:
        """Tell whether holding a role can change anything."""
        return role in self._roles

    def kinds(self, crowd: Crowd) -> frozenset[Alike]:
        """Return the kinds of who-keys that a crowd is."""
        return frozenset(self._alike[number] for number in crowd)

    def there(
        self, org: str | None, *, at: float | None = None, instead: tuple[Place, Place] | None = None
    ) -> tuple[Place, Mapping[Crowd, Mapping[Crowd, Sequence[Stretch]]]]:
        """Return the who-keys of an org, and the crowds that they are that are a part of no other.

        With each the crowds that are a part of it, and itself, and the stretches of time for which they are there.

        Args:
            org: in which org; None for none.
            at: Unix seconds; None: at every moment.
            instead: who-keys by the sort that they no longer belong to, and by the one they now do; None for none.
        """
        place, crowd = self._there(org)
        if instead is not None:
            taken, added = instead
            gone = [number for number, keys in taken.items() if number in place and {*place[number]} <= {*keys}]
            crowd = None if crowd is None else self._changed(org, place, gone, added)
            place = _changed_place(place, gone, added)
        if crowd is not None:
            return place, {crowd: {crowd: ALL_TIME}}
        return place, self._nested(self._crowds(place, at))

    def place(self, org: str | None) -> Place:
        """Return the who-keys of an org that can matter."""
        return self._there(org)[0]

    def ever(self, orgs: tuple[str | None, ...]) -> tuple[Crowd, Crowd] | None:
        """Return who is there in every org at every moment, and all that are there in some org at some time.

        Each crowd that there is has the first as a part, and is a part of the second. None where one more in a crowd
        can change what holds for the others: then the second stands for none of them.
        """
        named = self._standings.everywhere_alike(self._marks, self._roles, orgs[0]) if self._marks and orgs else {}
        if named is None:
            return None
        always = frozenset(self._pieces(number)[0][1] for number in named) - {_NOBODY}
        shapes = self._standings.shapes(self._roles, orgs)
        crowd = always.union(alike for shape in shapes for _, alike in self._pieces(shape)) - {_NOBODY}
        for_all = any(self._alike[number].kind is WhoKind.EVERYONE for number in crowd)
        return None if for_all or (self._doubted_roles_count and crowd != always) else (always, crowd)

    def members(self, place: Place, times: Sequence[Stretch]) -> Mapping[Alike, Sequence[Who]]:
        """Return by kind who belongs to it at some time within stretches of time."""
        found: dict[Alike, list[Who]] = {}
        ends = [end for _, end in times]
        for number, keys in place.items():
            pieces = self._pieces(number)
            if len(pieces) == 1:
                if pieces[0][1] != _NOBODY:
                    found.setdefault(self._alike[pieces[0][1]], []).extend(keys)
                continue
            belongs = set()
            for (start, alike), (until, _) in pairwise((*self._times(number), _END)):
                if alike == _NOBODY:
                    continue
                first = bisect_right(ends, start)
                if first < len(times) and times[first][0] < until:
                    belongs.add(alike)
            for alike in belongs:
                found.setdefault(self._alike[alike], []).extend(keys)
        return found

    def _there(self, org: str | None) -> tuple[Place, Crowd | None]:
        """Return the who-keys of an org, and the crowd that they are at every moment; None where that varies."""
        found = self._fixed.get(org)
        if found is None:
            place = self._standings.bearing(self._roles, org)
            unassigned = self._standings.unassigned(self._marks, org) if self._marks else {}
            if unassigned:
                place = _changed_place(place, (), unassigned)
            everybody = [*map(self._pieces, place)]
            varies = max(map(len, everybody), default=1) > 1
            crowd = None if varies else frozenset({pieces[0][1] for pieces in everybody} - {_NOBODY})
            found = self._fixed[org] = (place, crowd)
        return found

    def _changed(self, org: str | None, place: Place, gone: Sequence[int], added: Place) -> Crowd | None:
        """Return who is there after a change, where that is so at every moment; None where it isn't."""
        always = self._counted.get(org)
        if always is None:
            always = self._counted[org] = Counter(self._pieces(number)[0][1] for number in place)
        crowd = {*always}
        if gone:
            fewer = Counter(self._pieces(number)[0][1] for number in gone)
            crowd -= {alike for alike, count in fewer.items() if always[alike] == count}
        for number in added:
            pieces = self._pieces(number)
            if len(pieces) > 1:
                return None
            crowd.add(pieces[0][1])
        return frozenset(crowd - {_NOBODY})

    def _crowds(self, place: Place, at: float | None) -> dict[Crowd, list[Stretch]]:
        """Return who is there, with the stretches of time for which that is so."""
        if at is not None:
            now = {next(alike for start, alike in reversed(self._times(number)) if start <= at) for number in place}
            return {frozenset(now - {_NOBODY}): [(at, nextafter(at, inf))]}
        everybody = [(self._pieces(number), self._standings.shape(number).moments) for number in place]
        present = [0] * (len(self._alike) + 1)  # the last stands for nobody
        turns: list[tuple[float, int, int]] = []
        for pieces, moments in everybody:
            before = pieces[0][1]
            present[before] += 1
            for rank, alike in pieces[1:]:
                turns.append((moments[rank], before, alike))
                before = alike
        there = {number for number, count in enumerate(present[:-1]) if count}
        turns.sort()
        turns.append((inf, _NOBODY, _NOBODY))
        found: dict[Crowd, list[Stretch]] = {}
        begun = -inf
        crowd: Crowd | None = None
        for start, before, after in turns:
            if start > begun:
                if crowd is None:
                    crowd = frozenset(there)
                found.setdefault(crowd, []).append((begun, start))
                begun = start
            present[before] -= 1
            present[after] += 1
            if not present[before] and before != _NOBODY:
                there.discard(before)
                crowd = None
            if present[after] == 1 and after != _NOBODY:
                there.add(after)
                crowd = None
        return found

    def _pieces(self, number: int) -> Pieces:
        """Return when a sort is treated how, by the ranks of its moments; all sorts of one shape have the same."""
        shape = self._standings.shape(number).number
        found = self._shapes.get(shape)
        if found is None:
            sort = self._standings.sorts[shape]
            pieces: list[tuple[int, int]] = []
            for start in sorted({-inf, *self._edges(sort)} - {inf}):
                alike = self._alike_to(sort, start)
                if not pieces or pieces[-1][1] != alike:
                    pieces.append((_BEGINNING if start == -inf else int(start), alike))
            found = self._shapes[shape] = tuple(pieces)
        return found

    def _times(self, number: int) -> list[tuple[float, int]]:
        """Return from which Unix seconds on a sort is treated how."""
        moments = self._standings.shape(number).moments
        return [(-inf if rank == _BEGINNING else moments[rank], alike) for rank, alike in self._pieces(number)]

    def _edges(self, sort: Sort) -> Iterator[float]:
        """Yield the moments at which something that matters begins or ends."""
        for terms in sort.terms:
            for role, since, until in terms:
                if role in self._roles:
                    yield since
                    yield until
        for form in sort.forms:
            yield from self._edges(form)
        if sort.domain is not None:
            yield from self._edges(self._standings.sorts[sort.domain])

    def _alike_to(self, sort: Sort, at: float) -> int:
        domain = None if sort.domain is None else self._standings.sorts[sort.domain]
        state = (
            sort.kind,
            self._held(sort, at),
            None if domain is None else self._held(domain, at),
            frozenset((form.claim or "", self._held(form, at)) for form in sort.forms),
            sort.claim,
        )
        number = self._states.get(state)
        if number is None:
            number = self._states[state] = self._number_of(*state)
        return number

    def _held(self, sort: Sort, at: float) -> Held:
        """Return the roles that matter and that each policy gives at a moment, and what stands for being named."""
        roles = self._roles
        by_policy = [
            frozenset([role for role, since, until in terms if since <= at < until and role in roles])
            for terms in sort.terms
        ]
        return tuple(by_policy), sort.named

    def _number_of(
        self, kind: WhoKind, held: Held, domain: Held | None, forms: frozenset[tuple[str, Held]], claim: str | None
    ) -> int:
        """Return the number of those that are treated so."""
        marks = self._marks_on(held)
        prefixes = frozenset((prefix, found) for prefix, its in forms if (found := self._marks_on(its)))
        if not marks and not prefixes:
            return _NOBODY
        alike = Alike(kind, claim, marks, frozenset() if domain is None else self._marks_on(domain), prefixes)
        number = self._numbers.setdefault(alike, len(self._alike))
        if number == len(self._alike):
            self._alike.append(alike)
            if kind is WhoKind.EVERYONE or self._doubt_counts:
                self._shared.add(number)
        return number

    def _marks_on(self, held: Held) -> Marks:
        by_policy, named = held
        marks: set[Mark] = {
            Given(number, effects[role])
            for number, (effects, roles) in enumerate(zip(self._effects, by_policy, strict=True))
            for role in roles
            if role in effects
        }
        if named is not None:
            marks.update(self._marks.get(named, ()))
        return frozenset(marks)

    def _nested(self, crowds: Mapping[Crowd, Sequence[Stretch]]) -> Mapping[Crowd, Mapping[Crowd, Sequence[Stretch]]]:
        """Return the crowds that are a part of no other, each with those that are a part of it, and with itself."""
        found: dict[Crowd, dict[Crowd, Sequence[Stretch]]] = {}
        for crowd in sorted(crowds, key=len, reverse=True):
            # Without a fact somebody is as those who lack it, but for what holds for everyone or may be so of anybody.
            common = self._common(crowd)
            larger = (each for each in found if crowd <= each and self._common(each) == common)
            found.setdefault(next(larger, crowd), {})[crowd] = crowds[crowd]
        return found

    def _common(self, crowd: Crowd) -> frozenset[tuple[str, Mark]]:
        """Return what is done with everyone, and where doubt counts, what might be done with anybody."""
        if self._shared.isdisjoint(crowd):
            return _NOTHING
        kinds = (self._alike[number] for number in crowd & self._shared)
        return frozenset(doubt for kind in kinds for doubt in kind.doubts())


def _changed_place(place: Place, gone: Iterable[int], added: Place) -> Place:
    if not gone and not added:
        return place
    kept = {number: keys for number, keys in place.items() if number not in {*gone}}
    return kept | {number: [*kept.get(number, ()), *keys] for number, keys in added.items()}
