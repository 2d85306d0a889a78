"""What the gateway refused, and the connections that are open: for the operator's metrics."""

from __future__ import annotations

from typing import Final

from stguard.tally import Tallies


class Traffic:
    """Count what passes through the gateway of this process.

    Attributes:
        refused: requests that were refused, by what they asked for (a place's name, lower case; `unknown` where that
            could not be read) and the HTTP status they would have got; a WebSocket is answered 403 whatever it is.
        frames: frames of browsers that did not reach Streamlit, by kind: the name of a kind in Streamlit's protocol, or
            `unknown`, `foreign_download`, `login_over`, `malformed`.
        connections: WebSockets of tabs that are open now. Changed on the event loop only.
    """

    def __init__(self) -> None:
        """Start with nothing counted."""
        self.refused: Final[Tallies[tuple[str, int]]] = Tallies()
        self.frames: Final[Tallies[str]] = Tallies()
        self.connections = 0


traffic: Final = Traffic()
"""The one of this process: Streamlit has one runtime in a process."""
