"""Who may do something under one policy, as who-keys: by assignment, by role, by group, or anyone."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from stguard.analysis.circumstances import ANY_OTHER_ORG, Asking, Side, orgs_of
from stguard.analysis.cover import cover
from stguard.analysis.difference import ANONYMOUS, SIGNED_IN, visitor_may
from stguard.analysis.question import THIS, denials_in
from stguard.analysis.standings import Standings
from stguard.errors import quote
from stguard.model import EVERY_ORG, WhoKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from stguard.analysis.circumstances import Case
    from stguard.analysis.people import Fact
    from stguard.analysis.question import Question
    from stguard.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Say who may do something.

    Attributes:
        who: as in `Change`.
        org: in which org; `*` in every org; None without one.
        because: what gives it, in plain words.
    """

    who: str
    org: str | None
    because: str

    def as_json(self) -> dict[str, str | None]:
        """Return the fields that `stguard who --json` prints."""
        return {"who": self.who, "org": self.org, "because": self.because}


def holders(policy: Policy, action: str, *, org: str | None = None, at: float) -> tuple[Holder, ...]:
    """Return exactly who may do something at a moment.

    Args:
        policy: the policy.
        action: a permission or `page:NAME`, declared.
        org: only in this org; None in every one, and without one.
        at: Unix seconds.
    """
    side = Side(policy, by_our_names=True)
    places = orgs_of((side,)) if org is None else (org,)
    found: dict[tuple[str, str], dict[str | None, None]] = {}
    standings = Standings((policy,))
    asking = Asking((side,), standings, action)
    for place in places:
        unless = _unless(policy, asking.asked[0], place)
        for case in asking.cases(place, at=at):
            for together in cover(case.people, case.allowed[0], names_all=lambda _fact: False):
                for who, because in _told(asking, standings, action, case, together):
                    found.setdefault((who, because + unless), {})[place] = None
    if visitor_may(policy, asking.asked[0]):
        everyone = {place for (who, _), where in found.items() if who == SIGNED_IN for place in where}
        if everyone.issuperset(places):
            return (Holder(who=ANONYMOUS, org=None, because="anyone may, signed in or not"),)
        found = {(ANONYMOUS, "whoever isn't signed in may"): dict.fromkeys(places), **found}
    named = [place for place in places if place is not None]
    # Whom the policy names or gives a role stands before whom an identity API gives the permission itself.
    ordered = sorted(found.items(), key=lambda each: each[0][0].startswith("permission:"))
    return tuple(
        Holder(who=who, org=shown, because=because)
        for (who, because), where in ordered
        for shown in _places(who, where, named)
    )


def _unless(policy: Policy, asked: Question, org: str | None) -> str:
    """Return in words which forbids may still stop somebody there; nothing without one."""
    denials = denials_in(asked)
    forbids = [
        quote(each.id)
        for each in policy.parts.forbids
        if (each.who, each.org) in denials and each.org in {None, org} and each.who.kind is not WhoKind.EVERYONE
    ]
    if not forbids:
        return ""
    several = len(forbids) > 1
    return f", unless forbid{'s' if several else ''} {', '.join(forbids)} appl{'y' if several else 'ies'}"


def _places(who: str, where: Collection[str | None], named: list[str]) -> list[str | None]:
    if who == ANONYMOUS:
        return [None]
    if who == SIGNED_IN and None in where and all(org in where for org in named):
        return [None]
    if len(named) > 1 and all(org in where for org in named):
        return [EVERY_ORG]
    return [EVERY_ORG if org == ANY_OTHER_ORG else org for org in where]


def _told(
    asking: Asking, standings: Standings, action: str, case: Case, together: tuple[Fact, ...]
) -> Iterator[tuple[str, str]]:
    if not together:
        yield SIGNED_IN, "anyone who is signed in may"
        return
    named = [[_shown(name, action) for name in case.names(fact)] for fact in together]
    if len(together) > 1:
        yield from ((" and ".join(names), "these together") for names in product(*named))
        return
    fact = together[0]
    if fact.sent is not None:
        for name in named[0]:
            kind, _, rest = name.partition(":")
            yield name, f"whoever the identity provider gives {kind} {quote(rest)}"
        return
    if fact.alike is None:
        yield from ((name, "whoever the identity provider says this of") for name in named[0])
        return
    effects = dict(asking.asked[0].effects)
    for key in case.keys(fact):
        given = [each for each in standings.to(0, key, case.org) if each.role in effects]
        because = (
            f"assignment {quote(given[0].id)} gives role {quote(given[0].role)}" if given else "the rule names them"
        )
        yield str(key), because


def _shown(name: str, action: str) -> str:
    return f"permission:{action}" if name == f"permission:{THIS}" else name
