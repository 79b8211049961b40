# SPDX-License-Identifier: BSD-3-Clause
from tests.support.fixtures import *  # noqa: F403 - what pytest is to find here
