"""What runs in the child process: Streamlit's own command line, ended when the parent is gone.

`python -m stguard.dev.child run app.py ...` is `python -m streamlit run app.py ...`.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import signal
import sys
import threading
import warnings


def main() -> None:
    """Run Streamlit with the arguments given."""
    threading.Thread(target=_end_with_parent, name="stguard-parent", daemon=True).start()
    _hush_authlib()
    runpy.run_module("streamlit", run_name="__main__", alter_sys=True)


def _end_with_parent() -> None:
    """Ask this process to end when the parent's end of standard input closes, however the parent ended."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _hush_authlib() -> None:
    """Keep Authlib's notes about its own next version out of the terminal: nobody who reads it can act on them."""
    with contextlib.suppress(ImportError):
        # Importing it puts a filter in front that shows its warnings always.
        from authlib.deprecate import AuthlibDeprecationWarning  # noqa: PLC0415  optional

        warnings.simplefilter("ignore", AuthlibDeprecationWarning)


if __name__ == "__main__":
    main()
