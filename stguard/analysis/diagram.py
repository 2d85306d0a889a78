"""Binary decision diagrams: truth functions of many yes-or-no variables, each in one form only, so that equal is equal.

Source: R. E. Bryant, Graph-Based Algorithms for Boolean Function Manipulation, IEEE Transactions on Computers C-35(8),
1986. A function is a whole number; 0 is never true, 1 always. Variables are asked in the order they were made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stguard.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Function = int
"""A truth function, by its number in one `Diagrams`."""

NEVER: Final[Function] = 0
ALWAYS: Final[Function] = 1

NODES_LIMIT: Final = 500_000
"""Most decisions that one question may take: some ten seconds' work. Rules that people write take a few hundred."""

_LAST: Final = 1 << 60
"""The rank of the two constants: below every variable."""


class EntangledError(ConfigurationError):
    """Say that rules depend on each other in more ways than can be worked out."""


class Diagrams:
    """Hold truth functions over variables that are made as they are needed."""

    __slots__ = ("_memo", "_nodes", "_ranks", "_unique", "variables")

    def __init__(self) -> None:
        """Start without variables."""
        self.variables = 0
        self._ranks: Final[list[int]] = [_LAST, _LAST]
        self._nodes: Final[list[tuple[Function, Function]]] = [(0, 0), (1, 1)]
        self._unique: Final[dict[tuple[int, Function, Function], Function]] = {}
        self._memo: Final[dict[tuple[Function, Function, Function], Function]] = {}

    def variable(self) -> Function:
        """Return the function that is one new variable."""
        rank = self.variables
        self.variables += 1
        return self._node(rank, NEVER, ALWAYS)

    def rank(self, variable: Function) -> int:
        """Return the number of a variable, counted from 0 in the order they were made."""
        return self._ranks[variable]

    def either(self, condition: Function, then: Function, otherwise: Function) -> Function:
        """Return the function that is `then` where the condition holds and `otherwise` where it doesn't."""
        if condition == ALWAYS or then == otherwise:
            return then
        if condition == NEVER:
            return otherwise
        if then == ALWAYS and otherwise == NEVER:
            return condition
        key = (condition, then, otherwise)
        known = self._memo.get(key)
        if known is not None:
            return known
        ranks, nodes = self._ranks, self._nodes
        first, second, third = ranks[condition], ranks[then], ranks[otherwise]
        rank = min(first, second, third)
        condition_low, condition_high = nodes[condition] if first == rank else (condition, condition)
        then_low, then_high = nodes[then] if second == rank else (then, then)
        otherwise_low, otherwise_high = nodes[otherwise] if third == rank else (otherwise, otherwise)
        low = self.either(condition_low, then_low, otherwise_low)
        high = self.either(condition_high, then_high, otherwise_high)
        made = self._node(rank, low, high)
        self._memo[key] = made
        return made

    def opposite(self, function: Function) -> Function:
        """Return the function that holds where this one doesn't."""
        return self.either(function, NEVER, ALWAYS)

    def both(self, *functions: Function) -> Function:
        """Return the function that holds where all of them do; ALWAYS for none."""
        made = ALWAYS
        # What is asked last is joined first: nothing made so far is then made anew.
        for function in sorted(functions, key=self._ranks.__getitem__, reverse=True):
            made = self.either(made, function, NEVER)
        return made

    def any(self, functions: Iterable[Function]) -> Function:
        """Return the function that holds where one of them does; NEVER for none."""
        made = NEVER
        for function in sorted(functions, key=self._ranks.__getitem__, reverse=True):
            made = self.either(made, ALWAYS, function)
        return made

    def without(self, function: Function, other: Function) -> Function:
        """Return the function that holds where the first does and the second doesn't."""
        return self.either(other, NEVER, function)

    def holds(self, function: Function, values: Mapping[int, bool]) -> bool:
        """Tell whether a function holds where the variables of these ranks have these values; the others are false."""
        while function > ALWAYS:
            function = self._nodes[function][values.get(self._ranks[function], False)]
        return function == ALWAYS

    def example(self, function: Function) -> dict[int, bool] | None:
        """Return values of variables, by rank, with which a function holds; None when it never does.

        Variables that are left out don't matter.
        """
        if function == NEVER:
            return None
        values: dict[int, bool] = {}
        while function > ALWAYS:
            low, high = self._nodes[function]
            values[self._ranks[function]] = low == NEVER
            function = high if low == NEVER else low
        return values

    def _node(self, rank: int, low: Function, high: Function) -> Function:
        if low == high:
            return low
        key = (rank, low, high)
        known = self._unique.get(key)
        if known is None:
            known = len(self._nodes)
            if known > NODES_LIMIT:
                raise EntangledError("the rules are too entangled to be worked out for everybody; split them up")
            self._ranks.append(rank)
            self._nodes.append((low, high))
            self._unique[key] = known
        return known
