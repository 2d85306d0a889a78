"""What an address may say about TLS: nothing in it switches off the check of who answers."""

from __future__ import annotations

import pytest

from stguard.errors import ConfigurationError
from stguard.shared.link import Link
from tests.shared.engine import SECRET


@pytest.mark.parametrize(
    "option",
    ["ssl_cert_reqs=none", "ssl_cert_reqs=optional", "ssl_cert_reqs=non%2565", "ssl_check_hostname=false",
     "ssl_cert_reqs=required&ssl_cert_reqs=none", "ssl_check_hostname=0"],
)  # fmt: skip
def test_an_address_that_switches_the_check_of_the_certificate_off_is_refused(option: str) -> None:
    with pytest.raises(ConfigurationError, match="switches off") as refused:
        Link(f"rediss://app:hidden@redis.internal/0?{option}", secret=SECRET)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("option", ["ssl_cert_reqs=required", "ssl_check_hostname=true", "ssl_ca_certs=/ca.pem"])
def test_an_address_that_keeps_the_check_is_taken(option: str) -> None:
    Link(f"rediss://app:hidden@redis.internal/0?{option}", secret=SECRET).close()
