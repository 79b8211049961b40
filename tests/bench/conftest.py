# SPDX-License-Identifier: BSD-3-Clause
"""The kernel without assertions, which is what is measured."""

from __future__ import annotations

import pytest

from harness.bench import figures
from harness.bench.figures import Figures
from harness.bench.ground import Ground
from harness.image import ElfImage
from harness.kernel import Kernel
from harness.pytest_plugin.options import settings_of


@pytest.fixture(scope="session")
def release(request: pytest.FixtureRequest) -> ElfImage:
    """The build "release" beside the 39-bit image under test; `make kernel` makes both."""
    paths = [target.path for target in settings_of(request.config).targets]
    path = next(path for path in paths if path.parent.name == "va39")
    return ElfImage.load(path.parent.parent / "release" / "kernel.elf")


@pytest.fixture(scope="session")
def measured(release: ElfImage) -> Figures:
    """Its counts, as they are committed."""
    return figures.measure(release, figures.COMMITTED)


@pytest.fixture
def ground(kernel: Kernel) -> Ground:
    """No VMA yet."""
    return Ground(kernel)
