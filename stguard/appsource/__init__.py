"""Read what a Streamlit app's source declares and asks for, without running it, and compare it with a policy."""

from __future__ import annotations

from stguard.appsource.comparison import compare
from stguard.appsource.findings import AppSource, Asked, DeclaredPage, Demand, NavigationCall, Place, Unread
from stguard.appsource.reader import read

__all__ = [
    "AppSource",
    "Asked",
    "DeclaredPage",
    "Demand",
    "NavigationCall",
    "Place",
    "Unread",
    "compare",
    "read",
]
