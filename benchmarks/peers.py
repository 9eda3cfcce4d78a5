"""Other readers of W&B, each in an environment of its own, so that we can be compared with them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["CURRENT", "OLDEST", "PeerError", "python_of", "run_peer"]

CURRENT = "wandb==0.31.0"
OLDEST = "wandb==0.18.0"

_FOLDER = Path(__file__).resolve().parents[1] / ".referees"
_BESIDE = ("pandas", "polars")
# 0.18.0 is older than pandas 3 and never ran with it
_BESIDE_OF = {OLDEST: ("pandas<3", "polars")}
_DONE = "complete.json"

_RUNNER = """\
import json, runpy, sys
script, arguments, result = sys.argv[1:]
with open(arguments, encoding="utf-8") as file:
    given = json.load(file)
value = runpy.run_path(script)["main"](given)
with open(result, "w", encoding="utf-8") as file:
    json.dump(value, file)
"""


class PeerError(RuntimeError):
    """A peer could not be installed, or its script failed."""


def _beside(requirement: str) -> tuple[str, ...]:
    """Say what is installed beside a peer."""
    return _BESIDE_OF.get(requirement, _BESIDE)


def _root(requirement: str) -> Path:
    """Say where a peer's environment stands: one for each requirement and Python version."""
    name = re.sub(r"[^A-Za-z0-9.]+", "-", requirement)
    return _FOLDER / f"{name}-py{sys.version_info[0]}.{sys.version_info[1]}"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let only one process at a time make an environment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _made(root: Path, requirement: str) -> bool:
    """Tell whether an environment was made to its end, of just these packages."""
    try:
        noted = json.loads((root / _DONE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return noted == [requirement, *_beside(requirement)] and _python(root).exists()


def _python(root: Path) -> Path:
    """Say where the interpreter of an environment is."""
    return root / "bin" / "python"


def python_of(requirement: str) -> Path:
    """Give the interpreter of a peer's environment; make the environment if it is not there.

    Parameters
    ----------
    requirement
        As for pip, such as ``"wandb==0.31.0"``; pandas and polars are installed beside it.

    Returns
    -------
    Path
        The interpreter. Several processes may ask at once; a half-made environment is made anew.

    Raises
    ------
    PeerError
        pip could not install it.
    """
    root = _root(requirement)
    with _locked(root):
        if not _made(root, requirement):
            shutil.rmtree(root, ignore_errors=True)
            venv.create(root, with_pip=True)
            wanted = [requirement, *_beside(requirement)]
            command = [_python(root), "-m", "pip", "install", "--quiet", *wanted]
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
            if ended.returncode:
                raise PeerError(f"pip could not install {wanted}:\n{ended.stderr[-4000:]}")
            (root / _DONE).write_text(json.dumps(wanted), encoding="utf-8")
    return _python(root)


def run_peer(
    requirement: str,
    script: str,
    env: Mapping[str, str] | None = None,
    args: Any = None,
    *,
    timeout: float = 300.0,
) -> Any:
    """Run a script in a peer's environment and give back what it returns.

    Parameters
    ----------
    requirement
        Of which peer.
    script
        Python source with a function ``main(args)`` whose result JSON can hold (NaN too).
    env
        Beside a clean environment with a HOME, a WANDB_DIR and a WANDB_CACHE_DIR that are thrown
        away: usually WANDB_BASE_URL and WANDB_API_KEY.
    args
        What `main` gets; JSON.
    timeout
        Seconds for the script.

    Raises
    ------
    PeerError
        The script failed or took too long; the end of its stderr is in the message.
    """
    python = python_of(requirement)
    with tempfile.TemporaryDirectory(prefix="wbframe-peer-") as folder:
        home = Path(folder)
        files = {name: home / name for name in ("runner.py", "script.py", "args.json")}
        files["runner.py"].write_text(_RUNNER, encoding="utf-8")
        files["script.py"].write_text(script, encoding="utf-8")
        files["args.json"].write_text(json.dumps(args), encoding="utf-8")
        clean = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": folder,
            "WANDB_DIR": folder,
            "WANDB_CACHE_DIR": folder,
            "WANDB_CONFIG_DIR": folder,
            "WANDB_SILENT": "true",
            **(env or {}),
        }
        command = [python, *files.values(), home / "result.json"]
        try:
            ended = subprocess.run(
                command,
                env=clean,
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise PeerError(f"the script took more than {timeout} s on {requirement}") from error
        if ended.returncode:
            raise PeerError(f"the script failed on {requirement}:\n{ended.stderr[-4000:]}")
        return json.loads((home / "result.json").read_text(encoding="utf-8"))
