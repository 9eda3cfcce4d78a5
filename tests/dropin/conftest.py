"""The drop-in as its users have it: addresses are those of the server."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True, scope="module")
def the_server_is_the_app():
    named = os.environ.pop("WANDB_APP_URL")
    yield
    os.environ["WANDB_APP_URL"] = named
