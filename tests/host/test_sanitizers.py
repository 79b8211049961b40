# SPDX-License-Identifier: BSD-3-Clause
"""The build for the host sees what it is there to see: bugs that the server makes on purpose end it."""

from __future__ import annotations

import re

import pytest

from tests.host.driver import HostError
from tests.uk.driver import POPULATE


@pytest.fixture
def has_asan(built):
    """Whether the compiler of this machine has AddressSanitizer; zig's clang has none."""
    commands = (built / "compile_commands.json").read_text()
    sanitizers = re.search(r"-fsanitize=(\S+)", commands).group(1).split(",")
    assert ("address" in sanitizers) == ("zig-cc" not in commands)
    return "address" in sanitizers


def test_undefined_behaviour_ends_the_program(host):
    """By UndefinedBehaviorSanitizer, whichever the compiler."""
    with pytest.raises(HostError, match="signed integer overflow"):
        host("plant_overflow", 1)


def write_to_free_frame_and_allocate(vas):
    """The bug, and every frame there is."""
    vas.host("plant_frame", 1)
    while vas.do_map("anon", 1 << 20, flags=POPULATE)[0] == "OK":
        pass


def test_write_to_a_free_frame_is_seen(vas, has_asan):
    """By AddressSanitizer at once; without it by the pattern in free frames, when they are handed out."""
    with pytest.raises(HostError, match="use-after-poison" if has_asan else "free frame written"):
        write_to_free_frame_and_allocate(vas)


def test_read_beside_the_live_objects_is_seen_where_there_is_asan(host, has_asan):
    """A slab is memory of the program as a whole: only AddressSanitizer can tell its objects apart."""
    if has_asan:
        with pytest.raises(HostError, match="use-after-poison"):
            host("plant_object", 1)
    else:
        assert host("plant_object", 1) == [0]


def test_frame_that_the_tlb_still_reaches_must_not_be_released(host):
    """A translation that was used outlives the release of its frame: the program says so and ends."""
    with pytest.raises(HostError, match="the TLB still knows them"):
        host("plant_stale", 1)
