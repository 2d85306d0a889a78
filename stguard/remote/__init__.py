"""A policy that is published elsewhere and counts only with a signature. Read `signature` first."""

from __future__ import annotations
