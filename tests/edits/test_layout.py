"""Laying out changes blanks and line breaks only, and comes to rest after one go."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stguard.edits import EditError, places
from stguard.edits.layout import laid_out

CASES = Path(__file__).parents[1] / "policyfile"

UNTIDY = """\


stguard: 1   \t
# roles
roles:
      viewer:
            allow: "report:view"   # looks
      # the boss
      admin:
       inherits: viewer
       allow:
       - "report:edit"
       -   "report:export"



assign:
-   {id: a, role: admin, email: ann@acme.com,
     reason: why}
-      role: viewer
       group: staff
       # inside
       reason: |
         two   
          lines

# at the end
"""  # noqa: W291

TIDY = """\
stguard: 1
# roles
roles:
  viewer:
    allow: "report:view"   # looks
  # the boss
  admin:
    inherits: viewer
    allow:
      - "report:edit"
      - "report:export"

assign:
  -   {id: a, role: admin, email: ann@acme.com,
       reason: why}
  - role: viewer
    group: staff
    # inside
    reason: |
      two   
       lines

# at the end
"""  # noqa: W291


def test_levels_get_two_blanks_and_comments_go_along() -> None:
    assert laid_out(UNTIDY, name="policy.yaml") == TIDY


@pytest.mark.parametrize("text", [UNTIDY, (CASES / "full-example.yaml").read_text("utf-8")])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_laying_out_twice_changes_nothing_more(text: str, ending: str) -> None:
    once = laid_out(text.replace("\n", ending), name="policy.yaml")
    assert laid_out(once, name="policy.yaml") == once
    assert once.count("\r") == (once.count("\n") if ending == "\r\n" else 0)


def test_the_shipped_policies_are_laid_out_already() -> None:
    root = Path(__file__).parents[2]
    for path in [*root.glob("policies/*.yaml"), *root.glob("examples/**/policy.yaml"), CASES / "full-example.yaml"]:
        text = path.read_text("utf-8")
        assert laid_out(text, name=path.name) == text


@pytest.mark.parametrize("path", sorted((CASES / "cases").glob("**/*.yaml")), ids=lambda path: path.name)
def test_whatever_stands_in_a_file_is_kept_or_the_file_is_refused(path: Path) -> None:
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        return
    try:
        laid = laid_out(text, name=path.name)
    except EditError:
        return
    assert places.plain(laid) == places.plain(text)
    assert "".join(laid.split()) == "".join(text.removeprefix("\ufeff").split())


words = st.sampled_from(
    ["a", "b c", '"x y"', "'no'", "|\n{i}  t1\n{i}   t2\n", ">-\n{i}  f\n\n{i}  g\n", "[1,  2]", "{k:  v}", "# c"]
)
steps = st.integers(1, 5)


@st.composite
def documents(draw: st.DrawFn, indent: int = 0, depth: int = 0) -> str:
    lines = ""
    kind = draw(st.sampled_from(["map", "list"])) if depth else "map"
    step = draw(steps)
    for number in range(draw(st.integers(1, 3))):
        lines += draw(st.sampled_from(["", "\n", "\n\n", " " * indent + "# note\n", "# left\n", " " * 9 + "# right\n"]))
        head = f"k{number}:" if kind == "map" else "-"
        if depth < 3 and draw(st.booleans()):
            lines += " " * indent + head + draw(st.sampled_from(["", "  # c"])) + "\n"
            lines += draw(documents(indent=indent + step, depth=depth + 1))
        else:
            word = draw(words.filter(lambda word: word != "# c")).replace("{i}", " " * (indent + 1))
            lines += " " * indent + head + " " * draw(steps) + word + ("" if word.endswith("\n") else "\n")
    return lines


@settings(max_examples=300, deadline=None)
@given(documents())
def test_any_document_says_the_same_afterwards(text: str) -> None:
    before = places.plain(text)
    if before is None:
        return
    laid = laid_out(text, name="policy.yaml")
    assert places.plain(laid) == before
    assert laid_out(laid, name="policy.yaml") == laid
    assert "\n\n\n" not in laid or ">-" in text or "|" in text
