"""The package and the naive evaluator answer alike, on random policies and random people."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from stguard.errors import PolicyFileError, StguardError
from stguard.model import Not
from stguard.policy import Policy
from tests.semantics import generator
from tests.semantics.naive import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.semantics.generator import Request
    from tests.semantics.naive import Document

CHUNKS = 8
POLICIES_PER_CHUNK = 150
REQUESTS_PER_POLICY = 18
DECISIONS_PER_CHUNK = 25_000
"""Counted once, though each is asked in several ways."""
NOW = generator.MOMENTS[1].timestamp()


def actions(document: Document) -> list[str]:
    """Every permission and every page, those of the `*` rule included."""
    pages = [name for name in document["pages"] if name != "*"]
    unlisted = ["never listed"] if "*" in document["pages"] else []
    return [*dict.fromkeys(catalogue(document)), *(f"page:{name}" for name in [*pages, *unlisted])]


def answers(policy: Policy, document: Document, request: Request) -> Iterator[tuple[str, Any, Any]]:
    """Yield what was asked, what the package says, and what the naive evaluator says."""
    subject = policy.subject(request.claims, **request.facts())
    asked = request.asked(document)
    where: dict[str, Any] = {"org": request.org, "at": request.at}
    for action in actions(document):
        expected = asked.action(action) == "T"
        yield f"allows {action}", policy.allows(subject, action, **where), expected
        yield f"decide {action}", policy.decide(subject, action, **where).allowed, expected
    opened = tuple(name for name in document["pages"] if name != "*" and asked.page(name) == "T")
    yield "pages", policy.pages(subject, **where), opened
    for name, stated in document["pages"].items():
        written = stated["rule"] if isinstance(stated, dict) and "rule" in stated else stated
        rule = generator.as_rule(written)
        held, refuted = policy.holds(subject, rule, **where), policy.holds(subject, Not(rule), **where)
        yield f"rule of {name}", "T" if held else "F" if refuted else "U", asked.rule(written)
    for title in document.get("sections", {}):
        for name in document["pages"]:
            opens = policy.opens(subject, name, section=title, **where).allowed
            yield f"page {name} in section {title}", opens, asked.page(name, section=title) == "T"


def disagreements(document: Document, request: Request) -> list[str]:
    """Return the differences, or nothing when the policy is refused."""
    try:
        policy = Policy.from_yaml(generator.render(document), now=NOW)
    except PolicyFileError:
        return []
    return [
        f"{what}: got {got}, expected {want}" for what, got, want in answers(policy, document, request) if got != want
    ]


def lesser(value: Any) -> Iterator[Any]:
    """Yield the value with one thing less, at any depth; the paths in `identity` stay whole."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield {name: other for name, other in value.items() if name != key}
            yield from ({**value, key: less} for less in (lesser(one) if key != "identity" else ()) if less)
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield [*value[:place], *value[place + 1 :]]
            yield from ([*value[:place], less, *value[place + 1 :]] for less in lesser(one) if less)


def simpler(request: Request) -> Iterator[Request]:
    """Yield the request with one fact less."""
    if isinstance(request.claims, dict):
        yield from (replace(request, claims=less) for less in lesser(request.claims))
    yield replace(request, roles=())
    yield replace(request, groups=())
    yield replace(request, memberships=())


def shrunk(document: Document, request: Request) -> tuple[Document, Request]:
    """Return a smaller policy and a simpler request on which the two still disagree."""
    candidates = [(less, request) for less in lesser(document)]
    candidates += [(document, less) for less in simpler(request) if less != request]
    for candidate in candidates:
        try:
            if disagreements(*candidate):
                return shrunk(*candidate)
        except (KeyError, ValueError, TypeError, AttributeError, StguardError):
            continue
    return document, request


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_the_engine_answers_as_the_naive_evaluator_does(chunk: int) -> None:
    rng = random.Random(f"differential {chunk}")  # noqa: S311  a seed that anybody can repeat is the point
    decisions = 0
    allowed = 0
    for _ in range(POLICIES_PER_CHUNK):
        document = generator.policy(rng)
        policy = Policy.from_yaml(generator.render(document), now=NOW)
        for _ in range(REQUESTS_PER_POLICY):
            request = generator.request(rng, document)
            for what, got, want in answers(policy, document, request):
                decisions += what.startswith("allows")
                allowed += what.startswith("allows") and want is True
                if got != want:
                    least, simplest = shrunk(document, request)
                    found = "\n".join(disagreements(least, simplest) or [f"{what}: got {got}, expected {want}"])
                    pytest.fail(f"{found}\n\n{generator.render(least)}\n{simplest}")
    assert decisions >= DECISIONS_PER_CHUNK
    assert allowed > decisions / 20, "hardly anything is allowed: the cases say little"
