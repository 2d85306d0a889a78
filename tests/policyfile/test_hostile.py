"""Whatever stands in a file ends in a reading, with a place for each problem, and soon."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stguard import policyfile
from stguard.errors import Problem, Severity

if TYPE_CHECKING:
    from collections.abc import Callable

    from stguard.policyfile import Reading
    from stguard.policyfile.ledger import Ledger

CASES = Path(__file__).parent / "cases"
NOW = 1_790_000_000.0
MUTATIONS = 50_000
PER_SEED = 5_000

GOOD = """\
stguard: 1
permissions: {report: [view, export]}
orgs: [acme, globex]
roles:
  viewer: {allow: "report:view"}
  admin: {inherits: viewer, allow: "report:*"}
  support: {cross_org: true, allow: "*:view"}
assign:
  - {id: a, role: admin, org: acme, email: ann@acme.com}
  - {role: support, org: "*", domain: vendor.io, until: "2036-01-01T00:00:00Z", reason: T}
forbid: [{permission: "report:export", group: contractors}]
separation: [{roles: [viewer, support]}]
pages: {home: signed_in, reports: {all: [{permission: "report:view"}, {not: {group: x}}]}}
sessions: {max_age: 12h}
tests: [{as: {email: ann@acme.com, email_verified: true}, org: acme, can: "report:view"}]
"""

SMALL = """\
stguard: 1
roles: {admin: {}}
assign:
  - role: admin
    email: ann@acme.com
pages:
  home: signed_in
  settings: {rule: {role: admin}, menu: hidden, on_deny: lock}
identity:
  role_names: {Boss: admin}
  accept: {iss: "https://a", aud: [b]}
"""

PIECES = [
    "*", "&a ", "*a", "!!str ", "<<: ", "{", "}", "[", "]", ": ", "- ", "? ", "|", ">", "'", '"', "#", "---\n", "...\n",
    "%YAML 1.1\n", "\t", "\x00", "\ufeff", "\u2028", "\x85", "\udc80", "null", "~", "true", "1e999", "\\", "\n", "\r",
    "@", "`", "public", "role", "any", "not", "all", "org", "\ufdd0", "\u00e9", "\U0001d518", "email: ",
    "from_identity",
    ",", "  ",
]  # fmt: skip


def check(reading: Reading) -> Reading:
    assert (reading.parts is None) == any(p.severity is Severity.ERROR for p in reading.problems)
    for problem in reading.problems:
        assert problem.line >= 1
        assert problem.column >= 1
        assert "\n" not in problem.message
    return reading


def parse(text: str) -> Reading:
    return check(policyfile.parse([("policy.yaml", text)], now=NOW))


def place(problem: Problem) -> tuple[str, int, str, str]:
    """Return what both parsers agree on: not the column of a value that is not there."""
    return problem.file, problem.line, problem.code, problem.message


def codes(reading: Reading) -> list[str]:
    return [problem.code for problem in reading.problems]


# --- mutations ---------------------------------------------------------------


def delete(text: str, dice: random.Random) -> str:
    start = dice.randrange(len(text) + 1)
    return text[:start] + text[start + dice.randrange(1, 12) :]


def insert(text: str, dice: random.Random) -> str:
    start = dice.randrange(len(text) + 1)
    return text[:start] + dice.choice(PIECES) + text[start:]


def replace(text: str, dice: random.Random) -> str:
    start = dice.randrange(len(text) + 1)
    return text[:start] + chr(dice.choice((dice.randrange(128), dice.randrange(0x3000)))) + text[start + 1 :]


def of_lines(text: str, dice: random.Random) -> str:
    lines = text.splitlines(keepends=True) or [""]
    first, second = dice.randrange(len(lines)), dice.randrange(len(lines))
    match dice.randrange(4):
        case 0:
            del lines[first]
        case 1:
            lines.insert(second, lines[first])
        case 2:
            lines[first], lines[second] = lines[second], lines[first]
        case _:
            lines[first] = "  " * dice.randrange(3) + lines[first].lstrip()
    return "".join(lines)


def of_words(text: str, dice: random.Random) -> str:
    words = text.split(" ")
    first, second = dice.randrange(len(words)), dice.randrange(len(words))
    match dice.randrange(3):
        case 0:
            del words[first]
        case 1:
            words[first] = words[second]
        case _:
            words[first], words[second] = words[second], words[first]
    return " ".join(words)


WAYS: list[Callable[[str, random.Random], str]] = [delete, insert, replace, of_lines, of_words]


@pytest.mark.parametrize("seed", range(MUTATIONS // PER_SEED))
def test_any_mutation_of_a_policy_ends_in_a_policy_or_in_problems_with_a_place(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311  reproducible on purpose
    for _ in range(PER_SEED):
        text = dice.choice((GOOD, SMALL, SMALL))
        for _ in range(dice.randrange(1, 5)):
            text = dice.choice(WAYS)(text, dice)
        began = time.process_time()
        parse(text)
        assert time.process_time() - began < 1, text


def test_any_mutation_of_the_bytes_of_a_file_ends_in_problems_with_a_place(tmp_path: Path) -> None:
    dice = random.Random(7)  # noqa: S311  reproducible on purpose
    path = tmp_path / "policy.yaml"
    for _ in range(1000):
        data = bytearray(GOOD.encode())
        for _ in range(dice.randrange(1, 6)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        path.write_bytes(data)
        check(policyfile.load(path, now=NOW))


def test_what_is_mutated_is_a_good_policy() -> None:
    assert codes(parse(SMALL)) == []
    assert parse(GOOD.replace("separation: [{roles: [viewer, support]}]\n", "")).parts is not None


# --- on purpose --------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "stguard: 1\nroles: " + "[" * 100_000,
        "stguard: 1\nroles: " + "[" * 3_000 + "]" * 3_000,
        "stguard: 1\nroles: " + "{a: " * 50_000,
        "stguard: 1\nroles:\n" + "".join(" " * i + "a:\n" for i in range(1_500)),
        "- " * 3_000,
        "? " * 3_000,
        "stguard: 1\nroles:\n  a: {allow: " + "x" * 1_000_000 + "}\n",
        "stguard: 1\nroles:\n" + "  a: {}\n" * 20_000,
        "stguard: 1\n" + "".join(f"k{i}: 1\n" for i in range(20_000)),
        "stguard: 1\nassign:\n" + "".join(f"  - {{role: r{i}, group: g}}\n" for i in range(10_000)),
        "stguard: 1\nroles:\n" + "".join(f"  role{i}: {{inherits: rolle{i}}}\n" for i in range(5_000)),
        "stguard: 1\nroles:\n" + "".join(f"  r{i}: {{inherits: r{i + 1}}}\n" for i in range(10_000)) + "  r10000: {}\n",
        "stguard: 1\n" + "&a " * 10_000 + "x",
        "\x00" * 100_000,
        "stguard: 1\npages: {p: " + "{not: " * 60 + "signed_in" + "}" * 60 + "}\n",
        "stguard: 1\npages: {p: {all: [" + ", ".join(f"{{group: g{i}}}" for i in range(5_000)) + "]}}\n",
        "\U0001d518" * 10_000 + ": {}\n",
        '"\\0\\ud800": 1\n',
    ],
    ids=range(18),
)
def test_a_text_made_to_hurt_ends_soon(text: str) -> None:
    began = time.process_time()
    parse(text)
    assert time.process_time() - began < 5


def test_billion_laughs_expand_to_nothing() -> None:
    text = "stguard: 1\na: &a [x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(24)
    )
    assert {"anchor", "alias"} <= set(codes(parse(text)))


def test_a_hundred_thousand_duplicate_keys_are_counted_not_listed() -> None:
    reading = parse("stguard: 1\nroles:\n" + "  a: {}\n" * 100_000)
    assert codes(reading).count("duplicate-key") == 1000
    assert reading.problems[-1].code == "too-many-problems"
    assert "98999 more" in reading.problems[-1].message


def test_separated_roles_among_ten_thousand_assignments_are_found_soon() -> None:
    lines = [
        f'  - {{role: {"ab"[i % 2]}, everyone: signed_in, reason: t, from: "{2000 + i}-01-01T00:00:00Z", '
        f'until: "{2000 + i}-12-31T00:00:00Z"}}\n'
        for i in range(5_000)
    ]
    people = [f"  - {{role: a, email: u{i}@acme.com}}\n" for i in range(5_000)]
    base = (
        'stguard: 1\npermissions: {x: [y]}\nroles: {a: {allow: "x:y"}, b: {allow: "x:y"}}\n'
        "separation: [{roles: [a, b]}]\nassign:\n"
    )
    began = time.process_time()
    assert "separation-broken" not in codes(parse(base + "".join(lines)))
    assert codes(parse(base + "".join(lines + people))).count("separation-broken") == 1000
    assert time.process_time() - began < 10


def test_a_file_of_more_than_five_megabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("#" * (5 * 1024 * 1024 + 1))
    reading = check(policyfile.load(path, now=NOW))
    assert [str(p) for p in reading.problems] == [
        f"{path}:1:1: error[too-large] expected at most 5 MB, got more; a folder may hold several files"
    ]
    assert codes(parse("#" * (5 * 1024 * 1024 + 1))) == ["too-large"]


def test_a_path_that_is_missing_is_one_error(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path / "nowhere.yaml"):
        assert codes(check(policyfile.load(path, now=NOW))) == ["path-missing"]
    assert codes(check(policyfile.load("a\x00b", now=NOW))) == ["unreadable"]
    assert codes(check(policyfile.load("x" * 5000, now=NOW))) == ["unreadable"]


def test_a_folder_without_yaml_is_one_error_that_names_the_likely_file(tmp_path: Path) -> None:
    assert codes(check(policyfile.load(tmp_path, now=NOW))) == ["no-yaml"]
    (tmp_path / "policy.yml").write_text(SMALL)
    reading = check(policyfile.load(tmp_path, now=NOW))
    assert reading.problems[0].message.endswith("; rename `policy.yml` to `policy.yaml`")


def test_a_file_that_vanishes_between_listing_and_reading_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(SMALL)
    content = policyfile.source.content

    def vanish_first(path: Path, *, ledger: Ledger) -> bytes | None:
        (tmp_path / "b.yaml").unlink(missing_ok=True)
        return content(path, ledger=ledger)

    monkeypatch.setattr(policyfile.source, "content", vanish_first)
    reading = check(policyfile.load(tmp_path, now=NOW))
    assert [(Path(p.file).name, p.code) for p in reading.problems] == [("b.yaml", "vanished")]


def test_a_folder_or_a_broken_link_with_the_name_of_a_file_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SMALL)
    (tmp_path / "b.yaml").mkdir()
    (tmp_path / "c.yaml").symlink_to(tmp_path / "c.yaml")
    reading = check(policyfile.load(tmp_path, now=NOW))
    assert [(Path(p.file).name, p.code) for p in reading.problems] == [
        ("b.yaml", "unreadable"),
        ("c.yaml", "unreadable"),
    ]


def test_without_the_c_parser_the_same_policy_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(CASES, tmp_path / "cases")
    monkeypatch.chdir(tmp_path / "cases")
    fast = {
        path.name: policyfile.load(path.name, now=NOW) for path in sorted(Path().iterdir()) if path.suffix != ".txt"
    }
    monkeypatch.delattr("yaml.CSafeLoader")
    for name, reading in fast.items():
        slow = check(policyfile.load(name, now=NOW))
        assert slow.parts == reading.parts
        if "syntax" not in codes(reading):  # whose words are those of the parser
            assert list(map(place, slow.problems)) == list(map(place, reading.problems)), name
