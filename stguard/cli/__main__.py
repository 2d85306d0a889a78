"""Run `python -m stguard.cli`."""

from __future__ import annotations

import sys

from stguard.cli import main

sys.exit(main())
