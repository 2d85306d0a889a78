"""Something asynchronous, from code that is not."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    T = TypeVar("T")


def run_apart(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run something asynchronous to its end in a loop of its own, also where a loop runs in this thread already.

    Args:
        make: makes the coroutine, once there is somewhere to run it.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(make())
    with ThreadPoolExecutor(max_workers=1) as elsewhere:
        return elsewhere.submit(lambda: asyncio.run(make())).result()
