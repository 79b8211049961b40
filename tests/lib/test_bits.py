# SPDX-License-Identifier: BSD-3-Clause
"""kernel_c/lib/bits.h against Python's integers."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

WORD = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 2**63, 2**64 - 1])
BOUNDARY = st.integers(0, 63).map(lambda n: 1 << n)
SHARED = [HealthCheck.function_scoped_fixture]  # the probe, which each example resets
shared_guest = settings(max_examples=100, deadline=None, suppress_health_check=SHARED)


@shared_guest
@given(value=WORD, boundary=BOUNDARY)
def test_alignment_agrees_with_arithmetic(probe, value, boundary):
    """Up wraps to 0 at 2^64, down never does."""
    assert probe.call("probe_align_down", value, boundary) == value // boundary * boundary
    assert probe.call("probe_align_up", value, boundary) == -(-value // boundary) * boundary % 2**64
    assert probe.call("probe_is_aligned", value, boundary) == (value % boundary == 0)


@shared_guest
@given(value=WORD)
def test_powers_of_two_are_told(probe, value):
    """Logarithms agree with bit_length, of which 0 has none."""
    assert probe.call("probe_is_power_of_two", value) == (value.bit_count() == 1)
    if value:
        assert probe.call("probe_log2_floor", value) == value.bit_length() - 1
        assert probe.call("probe_log2_ceil", value) == (value - 1).bit_length()


@shared_guest
@given(word=WORD, field=WORD, ends=st.tuples(st.integers(0, 63), st.integers(0, 63)))
def test_fields_are_read_and_replaced(probe, word, field, ends):
    """A field set is the field read; all other bits stay."""
    low, high = sorted(ends)
    mask = probe.call("probe_mask", high, low)
    assert mask == (1 << high + 1) - (1 << low)
    assert probe.call("probe_bit", low) == 1 << low
    assert probe.call("probe_field_get", mask, word) == (word & mask) >> low
    changed = probe.call("probe_field_set", mask, word, field)
    assert changed == (word & ~mask) | (field << low & mask)
