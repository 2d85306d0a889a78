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
    if people.diagrams.both(target, people.possible) == NEVER:
        return
    if holds(target, {}):
        yield ()
        return
    by_itself, rest = _by_itself(people, target)
    yield from ((fact,) for fact in by_itself)
    while (example := people.diagrams.example(rest)) is not None:
        together = _smallest(people, rest, example)
        told = tuple(fact for fact in together if names_all(fact))[:1] or together
        yield told
        rest = people.diagrams.without(rest, people.diagrams.both(*(fact.holds for fact in told)))


def worth_telling(
    people: People, target: Function, *, names_all: Callable[[Fact], bool]
) -> Iterator[tuple[Fact, bool]]:
    """Yield the facts that `cover` may yield for combinations they are part of, and whether it surely does.

    It does where somebody has only that one of them: then no other stands for them.
    """
    if people.diagrams.holds(target, {}):
        return
    _, rest = _by_itself(people, target)
    worth = [fact for fact in people.facts if names_all(fact)]
    for fact in worth:
        having = people.diagrams.both(rest, fact.holds)
        if having != NEVER:
            others = people.diagrams.any(other.holds for other in worth if other is not fact)
            yield fact, people.diagrams.without(having, others) != NEVER


def _by_itself(people: People, target: Function) -> tuple[list[Fact], Function]:
    """Return the facts that put somebody into a set by themselves, and when somebody else is in it."""
    holds, rest = people.diagrams.holds, people.diagrams.both(target, people.possible)
    found = [
        fact
        for fact in people.facts
        if holds(target, fact.values) and not (fact.weaker is not None and holds(target, fact.weaker))
    ]
    for fact in found:
        rest = people.diagrams.without(rest, fact.holds)
    return found, rest


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
