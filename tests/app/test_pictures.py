"""Only addresses that may safely be asked for from a reader's browser are shown."""

from __future__ import annotations

import pytest

from stguard.app.pictures import LONGEST, showable


@pytest.mark.parametrize(
    "address",
    [
        "https://lh3.googleusercontent.com/a/ACg8ocK=s96-c",
        "https://secure.gravatar.com/avatar/0?s=80&d=identicon",
        "https://cdn.example:443/logo.svg",
        "https://xn--mnchen-3ya.example/%C3%BC.png",
    ],
)
def test_a_picture_by_https_from_a_named_host_is_shown(address: str) -> None:
    assert showable(address) == address


@pytest.mark.parametrize(
    "address",
    [
        None,
        7,
        b"https://a.example/x",
        ["https://a.example/x"],
        "",
        "http://a.example/x.png",
        "HTTPS:a.example/x.png",
        "//a.example/x.png",
        "/app/static/x.png",
        "javascript:alert(1)",
        " javascript:alert(1)",
        "data:image/svg+xml,<svg onload=alert(1)>",
        "file:///etc/passwd",
        "blob:https://a.example/1",
        "https://",
        "https:///x.png",
        "https://localhost/x",
        "https://intranet/x",
        "https://127.0.0.1/x",
        "https://127.1/x",
        "https://0x7f.1/x",
        "https://2130706433/x",
        "https://[::1]/x",
        "https://printer.local/x",
        "https://wiki.corp/x",
        "https://app.localhost/x",
        "https://router.home.arpa/x",
        "https://a.example:8443/x",
        "https://a.example:99999/x",
        "https://user@a.example/x",
        "https://a.example@127.0.0.1/x",
        "https://a.example\\@127.0.0.1/x",
        'https://a.example/x" onerror="alert(1)',
        "https://a.example/x y",
        "https://a.example/x\n",
        "https://a.example/\u202ex",
        "https://a.example/<b>",
        "https://a.example./x",
        "https://a..example/x",
        "https://-a.example/x",
        "https://\uff41.example/x",
        "https://a.example/" + "x" * LONGEST,
        "https://" + "a." * 130 + "example/x",
    ],
)
def test_every_other_address_is_not(address: object) -> None:
    assert showable(address) is None
