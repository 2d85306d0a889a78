"""Every line that changes is shown as it is, also what can't be seen in it."""

from __future__ import annotations

import pytest

from stguard.app.admin.diffs import difference_of_texts, visible

UNSEEN = (0xAD, 0x34F, 0x115F, 0x1160, 0x17B4, 0x180B, 0x200B, 0x200E, 0x202E, 0x2060, 0x2800, 0x3000, 0x3164, 0xFE0F,
          0xFFA0, 0xFEFF, 0xE0101, 0xA0, 0x07)  # fmt: skip


@pytest.mark.parametrize("number", UNSEEN, ids=hex)
def test_what_can_not_be_seen_is_written_out(number: int) -> None:
    sign = chr(number)
    shown = difference_of_texts("a: kim@acme.com\n", f"a: kim{sign}@acme.com\n")
    assert sign not in shown
    assert f"kim\\{'U' if number > 0xFFFF else 'u'}" in shown


def test_what_can_be_seen_stays_as_it_is() -> None:
    text = '- {role: editor, email: jörg@käse.example, group: "编辑 😀"}\t# it\'s\n'
    assert visible(text) == text
