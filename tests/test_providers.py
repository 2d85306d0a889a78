"""The table of providers: every row says everything."""

from __future__ import annotations

import re

import pytest

from stguard.providers import BY_NAME, PROVIDERS, Provider

rows = pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: str(provider.name))


@rows
def test_a_row_has_a_name_for_policies_and_a_title_for_people(provider: Provider) -> None:
    assert re.fullmatch(r"[a-z0-9]+", provider.name)
    assert provider.title
    assert BY_NAME[provider.name] is provider


@rows
def test_a_row_says_for_every_fact_in_one_sentence_which_switch_brings_it(provider: Provider) -> None:
    assert set(provider.switches) == {"roles", "groups", "orgs", "email"}
    for sentence in provider.switches.values():
        assert sentence.endswith(".")
        assert "\n" not in sentence
