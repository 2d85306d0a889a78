"""Numbers for the sample app, made in code: the same on every machine, different for each org."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import pandas as pd

PRODUCTS: Final = ("Platform", "Analytics", "Support")
REGIONS: Final = ("Europe", "Americas", "Asia-Pacific")
WEEKS: Final = 52
LAST_WEEK: Final = date(2026, 6, 29)

_SCALE: Final = {"acme": 128_000, "globex": 41_000}
_PHASE: Final = {"acme": 0.4, "globex": 2.1}


@dataclass(frozen=True, slots=True)
class Invoice:
    """Describe one invoice.

    Attributes:
        number: its number.
        supplier: who sent it.
        amount: in dollars.
        due: when it is due.
    """

    number: str
    supplier: str
    amount: int
    due: date


def revenue(org: str) -> pd.DataFrame:
    """Return weekly revenue in dollars: columns `week`, `product`, `region`, `revenue`."""
    scale, phase = _SCALE.get(org, 60_000), _PHASE.get(org, 1.0)
    rows = []
    for number in range(WEEKS):
        week = LAST_WEEK - timedelta(weeks=WEEKS - 1 - number)
        for p, product in enumerate(PRODUCTS):
            for r, region in enumerate(REGIONS):
                trend = 1 + 0.011 * number * (1 - 0.25 * p)
                season = 1 + 0.12 * math.sin(number / 6 + phase + p) + 0.05 * math.sin(number * 1.7 + r + p)
                share = (0.55, 0.28, 0.17)[p] * (0.46, 0.36, 0.18)[r]
                rows.append((week, product, region, round(scale * share * trend * season)))
    return pd.DataFrame(rows, columns=["week", "product", "region", "revenue"])


def invoices(org: str) -> list[Invoice]:
    """Return the invoices that wait for approval."""
    suppliers = ("Northwind Hosting", "Blue Harbor Legal", "Larkspur Design", "Quarry Analytics", "Tern Travel")
    scale = _SCALE.get(org, 60_000) / 41_000
    prefix = org[:2].upper()
    return [
        Invoice(
            f"{prefix}-{2041 + 7 * n}", supplier, round(scale * (840 + 1370 * n)), LAST_WEEK + timedelta(days=6 * n)
        )
        for n, supplier in enumerate(suppliers)
    ]


def members(org: str) -> pd.DataFrame:
    """Return who works in an org: columns `name`, `email`, `team`, `since`."""
    people = {
        "acme": [
            ("Ann Lee", "ann@acme.com", "Operations", 2019),
            ("Cora Ruiz", "cora@ruiz.example", "Analytics", 2025),
            ("Priya Nair", "priya@acme.com", "Finance", 2021),
            ("Tom Becker", "tom@acme.com", "Sales", 2023),
        ],
        "globex": [
            ("Vic Vega", "vic@globex.com", "Sales", 2022),
            ("Ann Lee", "ann@acme.com", "Partner", 2024),
            ("Mina Park", "mina@globex.com", "Finance", 2020),
        ],
    }
    return pd.DataFrame(people.get(org, []), columns=["name", "email", "team", "since"])


def uptime(service: str, *, days: int = 60) -> list[float]:
    """Return the share of each of the last days, in percent, in which a service answered."""
    seed = sum(map(ord, service))
    slow = 23 + seed % 40
    return [99.2 - seed % 5 / 10 if (seed + day * 13) % slow == 0 else 100.0 for day in range(days)]
