"""Say exactly what a policy means for everybody: who may do what, and who gains and loses by an edit.

Read in this order: `question` (all that one policy has to say about one action), `people` (everybody who might ask, as
yes-or-no variables), `diagram` (truth functions over them), `answer` (when it is allowed: the engine's rules, for all
at once), `circumstances` (orgs and moments), `cover` (a set of people as who-keys), `difference`,
`holders`, `leftovers`, `grants`, `rolematrix`.
"""

from __future__ import annotations

from stguard.analysis.diagram import EntangledError
from stguard.analysis.difference import Change, Difference, difference
from stguard.analysis.grants import Grants
from stguard.analysis.holders import Holder, holders
from stguard.analysis.leftovers import Leftover, leftovers
from stguard.analysis.rolematrix import RoleRow, Share, role_matrix

__all__ = [
    "Change",
    "Difference",
    "EntangledError",
    "Grants",
    "Holder",
    "Leftover",
    "RoleRow",
    "Share",
    "difference",
    "holders",
    "leftovers",
    "role_matrix",
]
