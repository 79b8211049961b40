# SPDX-License-Identifier: BSD-3-Clause
"""System registers by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.arch.sysreg import FIELDS, SYSTEM_REGISTERS, encoding, fields


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("TTBR0_EL1", 0xD5382000),
        ("TTBR1_EL1", 0xD5382020),
        ("TCR_EL1", 0xD5382040),
        ("ESR_EL1", 0xD5385200),
        ("FAR_EL1", 0xD5386000),
        ("PAR_EL1", 0xD5387400),
        ("MAIR_EL1", 0xD538A200),
        ("VBAR_EL1", 0xD538C000),
        ("SCTLR_EL1", 0xD5381000),
        ("CNTVCT_EL0", 0xD53BE040),
        ("ID_AA64MMFR0_EL1", 0xD5380700),
        ("HCR_EL2", 0xD53C1100),
        ("SP_EL0", 0xD5384100),
        ("TPIDR_EL1", 0xD538D080),
    ],
)
def test_encodings_are_those_of_an_assembler(name, word):
    """MRS X0, <register> as the GNU assembler encodes it."""
    assert encoding(name).mrs == word
    assert encoding(name.lower()) is encoding(name)


def test_no_two_names_have_one_encoding():
    """A slip in the table would show here."""
    assert len(set(SYSTEM_REGISTERS.values())) == len(SYSTEM_REGISTERS)


def test_field_layouts_are_of_known_registers():
    """Every layout belongs to a register, and its fields are within 64 bits."""
    assert FIELDS.keys() - SYSTEM_REGISTERS.keys() == {"PSTATE"}
    for layout in FIELDS.values():
        assert all(64 > high >= low >= 0 for high, low in layout.values())


def test_fields_of_tcr():
    """The value that a 39-bit, 4K kernel writes, field by field."""
    decoded = fields("tcr_el1", 25 | 25 << 16 | 2 << 30 | 5 << 32 | 1 << 36 | 3 << 12 | 1 << 8 | 1 << 10)
    wanted = {"T0SZ": 25, "T1SZ": 25, "TG0": 0, "TG1": 2, "IPS": 5, "AS": 1, "SH0": 3, "IRGN0": 1, "ORGN0": 1}
    assert wanted.items() <= decoded.items()
    assert sum(decoded.values()) == sum(wanted.values())


@given(st.sampled_from(sorted(set(FIELDS) - {"PAR_EL1"})), st.integers(0, (1 << 64) - 1))
def test_fields_do_not_overlap(name, value):
    """Put back in their places, the fields are bits of the value, each at most once."""
    layout = FIELDS[name]
    rebuilt = [part << layout[field][1] for field, part in fields(name, value).items()]
    assert sum(rebuilt) == sum(rebuilt) & value


def test_unknown_names():
    """An unknown register names its neighbours; one without a layout has no fields."""
    with pytest.raises(KeyError, match="TTBR0_EL1"):
        encoding("TTBR0")
    with pytest.raises(KeyError, match="unknown system register 'XYZ'"):
        encoding("XYZ")
    assert fields("TPIDR_EL1", 5) == {}
