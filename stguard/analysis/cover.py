"""Name everybody in a set of people, as a policy would name them: by as few who-keys as it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stguard.analysis.diagram import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stguard.analysis.diagram import Function
    from stguard.analysis.people import Fact, People

Together = tuple["Fact", ...]
"""Facts that it takes together; none: it takes nothing but to be signed in."""


def cover(people: People, target: Function, *, names_all: Callable[[Fact], bool]) -> Iterator[Together]:
    """Yield facts such that everybody in a set has all facts of one of the answers, and each answer is somebody in it.

    First who is in it by one fact alone, all else about them being known and empty; then the smallest combinations.

    Args:
        people: everybody.
        target: the set.
        names_all: whether a fact of a combination is the one worth telling: it then stands for whoever else has it.
    """
    holds = people.diagrams.holds
    rest = people.diagrams.both(target, people.possible)
    if rest == NEVER:
        return
    if holds(rest, {}):
        yield ()
        return
    by_itself = []
    for fact in people.facts:
        if holds(target, fact.values) and not (fact.weaker is not None and holds(target, fact.weaker)):
            by_itself.append(fact)
            yield (fact,)
    for fact in by_itself:
        rest = people.diagrams.without(rest, fact.holds)
    while (example := people.diagrams.example(rest)) is not None:
        together = _smallest(people, rest, example)
        told = tuple(fact for fact in together if names_all(fact))[:1] or together
        yield told
        rest = people.diagrams.without(rest, people.diagrams.both(*(fact.holds for fact in told)))


def _smallest(people: People, target: Function, example: dict[int, bool]) -> Together:
    """Return facts of an example of which none can be left out."""
    together = [
        fact for fact in people.facts if all(example.get(rank, False) is value for rank, value in fact.values.items())
    ]
    for fact in sorted(together, key=lambda each: each.unknown is None):
        fewer = [other for other in together if other is not fact]
        if people.diagrams.holds(target, _values(fewer)):
            together = fewer
    return tuple(together)


def _values(facts: list[Fact]) -> dict[int, bool]:
    return {rank: value for fact in facts for rank, value in fact.values.items()}
