# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the tests of the core on the build host."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.host.driver import Host, HostVas

FOLDER = Path(__file__).parents[2] / ".build" / "host"


@pytest.fixture(scope="session")
def built():
    """The folder with what kernel_c/host is built to."""
    if not (FOLDER / "server").exists():
        pytest.fail(f"{FOLDER} holds no server: build it with `make host`", pytrace=False)
    return FOLDER


@pytest.fixture
def host(built):
    """A process of its own."""
    with Host(built / "server") as process:
        yield process


@pytest.fixture
def vas(host):
    """The VAS of its active address space."""
    return HostVas(host, 1)
