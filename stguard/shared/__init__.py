"""What replicas of one app share, in Redis or Valkey; a single process needs nothing of it.

Read in this order: `link` (the connection, and when what is known is too old), `table` (small facts that all replicas
know), `board` and `policy` (the policy in force), `vault` (what the engine may not read or write), `kept` (what a
replica needs to start alone), `replicas` (all of it together).
"""

from __future__ import annotations
