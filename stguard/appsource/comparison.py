"""Compare what an app's source says with what the policy says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stguard.appsource.findings import Asked, Place
from stguard.errors import Severity, nearest, quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stguard.appsource.findings import AppSource, Demand
    from stguard.errors import Problem
    from stguard.model import PolicyParts

DEFAULT_PAGE: Final = "*"
"""The name under which a policy gives the rule of pages not listed."""

SERVED: Final = frozenset({"static", "agent", "metrics", "health"})
"""Names under which a policy gives the rules of what the server gives beside the app's pages."""


def compare(source: AppSource, parts: PolicyParts, *, policy_file: str) -> tuple[Problem, ...]:
    """Return where app and policy don't fit, sorted; the source's own problems are not repeated.

    Args:
        source: what `read` returned.
        parts: the policy's parts.
        policy_file: the policy's file or folder, the place of what the policy has and the app has not.
    """
    start = Place(file=policy_file, line=1, column=1)
    return tuple(
        sorted(
            {
                *_menu(source),
                *_pages_without_rule(source, parts),
                *_unknown_names(source, parts),
                *_only_in_policy(source, parts, start),
                *_unread(source),
            }
        )
    )


def _menu(source: AppSource) -> Iterator[Problem]:
    if not source.imports_stguard:
        message = "the app never imports stguard, so no policy is in force; make the menu with `sg.navigation`"
        yield Place(file=source.main, line=1, column=1).problem(Severity.WARNING, "not-guarded", message)
        return
    for call in source.navigations:
        if not call.guarded:
            message = f"{quote(call.text)} shows every page to everyone; use `sg.navigation`, which asks the policy"
            yield call.place.problem(Severity.WARNING, "plain-navigation", message)


def _pages_without_rule(source: AppSource, parts: PolicyParts) -> Iterator[Problem]:
    if DEFAULT_PAGE in parts.pages:
        return
    seen: set[str] = set()
    for page in source.pages:
        if page.name in parts.pages or page.guarded or page.external or page.name in seen:
            continue
        seen.add(page.name)
        way_out = nearest(page.name, parts.pages) or "; add it to `pages`"
        if page.hidden:
            # STREAMLIT 1.67: a hidden page is reachable by its address.
            message = (
                f"page {quote(page.name)} has no rule in the policy, and being hidden does not protect it: its address "
                f"opens it wherever the policy isn't asked{way_out}"
            )
            yield page.place.problem(Severity.WARNING, "hidden-without-rule", message)
            continue
        message = f"page {quote(page.name)} has no rule in the policy, so it is denied{way_out}"
        yield page.place.problem(Severity.WARNING, "page-without-rule", message)


def _unknown_names(source: AppSource, parts: PolicyParts) -> Iterator[Problem]:
    pages = {*parts.pages, *(page.name for page in source.pages)} - {DEFAULT_PAGE}
    known: dict[Asked, frozenset[str]] = {
        Asked.PERMISSION: frozenset(parts.permissions),
        Asked.ROLE: frozenset(parts.roles),
        Asked.ORG: frozenset(parts.orgs or ()),
        Asked.PAGE: frozenset(pages),
    }
    for demand in source.demands:
        match demand.kind:
            case Asked.GROUP:
                continue  # groups are the identity provider's
            case Asked.ORG if parts.orgs_from_identity:
                continue
            case Asked.PAGE if DEFAULT_PAGE in parts.pages:
                continue
            case Asked.ORG if not parts.multi_tenant:
                message = f"org {quote(demand.name)} in {quote(demand.verb)}, but the policy has no `orgs`"
                yield demand.place.problem(Severity.ERROR, "org-not-expected", message)
            case kind if demand.name not in known[kind]:
                yield _unknown(demand, known[kind])


def _unknown(demand: Demand, known: frozenset[str]) -> Problem:
    kind = demand.kind.value
    if demand.kind is Asked.PERMISSION and "*" in demand.name:
        hint = "; a wildcard can't be asked for"
    else:
        hint = nearest(demand.name, known)
    message = f"unknown {kind} {quote(demand.name)} in {quote(demand.verb)}{hint}"
    return demand.place.problem(Severity.ERROR, f"unknown-{kind}", message)


def _only_in_policy(source: AppSource, parts: PolicyParts, start: Place) -> Iterator[Problem]:
    if not source.pages_complete or source.problems:
        return  # what the app declares is not fully known
    declared = {page.name for page in source.pages}
    asked = {demand.name for demand in source.demands if demand.kind is Asked.PAGE}
    for name in parts.pages:
        if name not in declared | asked | SERVED | {DEFAULT_PAGE}:
            message = f"page {quote(name)} is in the policy, but the app doesn't declare it{nearest(name, declared)}"
            yield start.problem(Severity.WARNING, "page-not-in-app", message)
    sections = {section for call in source.navigations for section in call.sections}
    for title in parts.sections:
        if title not in sections:
            message = (
                f"section {quote(title)} is in the policy, but no menu of the app has it, so its rule holds for no "
                f"page{nearest(title, sections)}"
            )
            yield start.problem(Severity.WARNING, "section-not-in-app", message)


def _unread(source: AppSource) -> Iterator[Problem]:
    for unread in source.unread:
        if unread.matters:
            message = f"{unread.what} is known only when the app runs: {quote(unread.text)}; check it by hand"
            yield unread.place.problem(Severity.WARNING, "unread", message)
