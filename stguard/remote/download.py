"""One look at an address: what lies there, unless it is what is known already."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Final, NamedTuple

from stguard.errors import ConfigurationError, StguardError

if TYPE_CHECKING:
    import httpx

    from stguard.remote.policyurl import PolicyUrl

LIMIT: Final = 5_000_000
"""Most bytes of a policy."""

SIGNATURE_LIMIT: Final = 10_000

_FINE, _UNCHANGED = 200, 304


class DownloadError(StguardError):
    """What lies at the address could not be read."""


class Fetched(NamedTuple):
    """Hold what lies at the address.

    Attributes:
        content: the policy.
        signature: the signature beside it; None with a hash.
        tag: by which the server knows this content again; None when it sends none.
    """

    content: bytes
    signature: bytes | None
    tag: str | None


def fetch(source: PolicyUrl, *, tag: str | None = None) -> Fetched | None:
    """Look at the address; None when what lies there is what the tag stands for.

    Raises:
        DownloadError: it could not be read, within the deadline.
        ConfigurationError: the extra `remote` is not installed, or `cafile` can't be read.
    """
    try:
        import httpx  # noqa: PLC0415  an extra
    except ImportError as error:
        raise ConfigurationError("a policy's address is read by httpx; `pip install 'stguard[remote]'`") from error
    try:
        trust = ssl.create_default_context(cafile=source.cafile)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"`cafile` of sg.PolicyUrl can't be read: {type(error).__name__}") from error

    async def look() -> Fetched | None:
        # The client's own limits are for each piece: an answer that drips would take for ever.
        async with asyncio.timeout(source.deadline), httpx.AsyncClient(verify=trust, follow_redirects=False) as client:
            found = await _read(client, source.url, limit=LIMIT, tag=tag)
            if found is None:
                return None
            signature = None
            if source.signature_url is not None:
                beside = await _read(client, source.signature_url, limit=SIGNATURE_LIMIT)
                signature = None if beside is None else beside[0]
            return Fetched(found[0], signature, found[1])

    try:
        return asyncio.run(look())
    except TimeoutError:
        raise DownloadError("there was no whole answer in time") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise DownloadError(f"it could not be reached ({type(error).__name__})") from None


async def _read(
    client: httpx.AsyncClient, url: str, *, limit: int, tag: str | None = None
) -> tuple[bytes, str | None] | None:
    headers = {"accept-encoding": "identity", **({} if tag is None else {"if-none-match": tag})}
    async with client.stream("GET", url, headers=headers) as answer:
        if answer.status_code == _UNCHANGED and tag is not None:
            return None
        if answer.status_code != _FINE:
            moved = "; redirects are not followed" if answer.is_redirect else ""
            raise DownloadError(f"the server answered {answer.status_code}{moved}")
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise DownloadError("the server sent it compressed, though it was asked not to")
        content = bytearray()
        async for piece in answer.aiter_raw():
            content += piece
            if len(content) > limit:
                raise DownloadError(f"it is larger than {limit} bytes")
        return bytes(content), answer.headers.get("etag")
