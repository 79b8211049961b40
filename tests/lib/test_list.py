# SPDX-License-Identifier: BSD-3-Clause
"""kernel_c/lib/list.h against Python's list."""

import struct

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

KINDS = st.sampled_from(["push_front", "push_back", "remove"])
STEPS = st.lists(st.tuples(KINDS, st.integers(0, 3)), max_size=40)


def walk(probe, head, removed=0):
    """The elements in order, as the C macro meets them."""
    out = probe.alloc(16 * 8)
    count = probe.call("probe_list_walk", head, out, removed)
    return list(struct.unpack(f"<{count}Q", probe.read(out, 8 * count)))


def new_list(probe):
    """A head and 16 elements, in no list yet."""
    head, *elements = (probe.alloc(16) for _ in range(17))
    for links in (head, *elements):
        probe.call("probe_list_init", links)
    return head, elements


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_list_holds_what_was_pushed_and_not_removed(probe, steps):
    """Order and emptiness are those of the model after each step; removing twice does nothing."""
    probe.reset()
    head, elements = new_list(probe)
    model = []
    for step, number in steps:
        links = elements[number]
        if step == "remove":
            probe.call("probe_list_remove", links)
            model = [other for other in model if other != links]
        elif links not in model:
            probe.call(f"probe_list_{step}", head, links)
            model.insert(0 if step == "push_front" else len(model), links)
        assert probe.call("probe_list_empty", head) == (not model)
        assert walk(probe, head) == model


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(removed=st.integers(0, 2**16 - 1))
def test_safe_walk_survives_removal(probe, removed):
    """The walk meets every element, though those chosen leave the list on the way."""
    probe.reset()
    head, elements = new_list(probe)
    for links in elements:
        probe.call("probe_list_push_back", head, links)
    assert walk(probe, head, removed) == elements
    assert walk(probe, head) == [links for n, links in enumerate(elements) if not removed >> n & 1]
