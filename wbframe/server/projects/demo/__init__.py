"""The demo project: 24 real training runs, kept as data.

`DATA` is the folder that the local server serves as `demo`. What is in it, and how it was made, stands in the
folder `tests/demo` of the sources, whose code is not installed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["DATA"]

DATA: Final = Path(__file__).parent / "data"
"""The folder of the demo project, as `load_project` reads it."""
