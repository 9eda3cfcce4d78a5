"""The demo project: 24 real training runs, kept as data, with the code that remakes them.

`DATA` is the folder that the local server serves as `demo`. What is in it, and how it was
made, stands in `wbframe.server.projects.demo.train`.

========== =================================================================
`train`    the command that trains, logs and writes (needs the `demo` group)
`plan`     the 24 runs: what each trains, and what it is called
`models`   softmax regression and a small network, by hand in numpy
`baseline` a linear classifier of scikit-learn, for comparison
`digits`   the images that all of them learn
`offline`  a reader of the SDK's offline files
`frames`   the container of these files
`folder`   a writer of the folder that the server reads
========== =================================================================
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["DATA"]

DATA: Final = Path(__file__).parent / "data"
"""The folder of the demo project, as `load_project` reads it."""
