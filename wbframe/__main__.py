"""``python -m wbframe``: the command `wbframe`."""

from __future__ import annotations

import sys

from wbframe.cli import main

if __name__ == "__main__":
    sys.exit(main())
