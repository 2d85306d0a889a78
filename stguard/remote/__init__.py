"""A policy that is published at an https address and counts only with a signature or a hash.

Read in this order: `signature` (who signed a file, and when), `policyurl` (the address and what proves its content),
`download` (one look at it), `store` (the policy in force).
"""

from __future__ import annotations
