from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from wbframe.server import Project


@pytest.fixture(params=["ragged", "demo"])
def project(
    request: pytest.FixtureRequest, ragged_project: Project, demo_project: Project
) -> Project:
    return {"ragged": ragged_project, "demo": demo_project}[request.param]
