# SPDX-License-Identifier: BSD-3-Clause
"""Looking back with the sanitizer's model: events, what a TLB may still hold, findings."""

from __future__ import annotations

import json

import pytest

from harness.debugger.session import Debugger
from harness.kernel import Kernel


@pytest.fixture
def destroyed(say, debugger):
    """A region of an active address space was mapped, and destroyed again; stands after both."""
    say("tbreak arch_idle")
    say("run")
    say("set var $s = vmm_address_space_create()")
    say("call vmm_address_space_activate($s)")
    say("call vmm_address_space_region_create($s, 4096, AS_REGION_RW)")
    say("call vmm_address_space_region_destroy($s, $2)")
    return debugger


def test_events_come_in_order(destroyed, say):
    """A break, a barrier, the invalidation, and barriers after it."""
    events = json.loads(say("events 100 store tlbi barrier --json"))
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)
    last = max(at for at, event in enumerate(events) if event["kind"] == "tlbi")
    assert "VAE1IS" in events[last]["text"]
    assert "DSB ISHST" in [event["text"] for event in events[:last]]
    assert [event["text"] for event in events[last + 1 :]][:1] == ["DSB ISH"]
    cleared = [event for event in events[:last] if event["kind"] == "store"]
    assert any(event["text"].startswith("L3 entry") for event in cleared[-4:])


def test_stores_to_tables_that_no_ttbr_has_had_are_events(say):
    """A space that was never active is built in the same way."""
    say("tbreak arch_idle")
    say("run")
    say("set var $s = vmm_address_space_create()")
    say("call vmm_address_space_region_create($s, 4096, AS_REGION_RW)")
    events = json.loads(say("events 4 store --json"))
    assert {event["text"].split()[0] for event in events} >= {"L1", "L2", "L3"}


def test_events_of_one_kind_and_none_of_an_unknown(destroyed, say, refuse):
    """Only what was asked for."""
    assert {event["kind"] for event in json.loads(say("events 3 tlbi --json"))} == {"tlbi"}
    assert "no events are called" in refuse("events nosuch")


def test_the_tlb_holds_what_no_tlbi_has_reached(destroyed, say):
    """Owed at the TLBI, on its way after it, settled at the end."""
    assert json.loads(say("tlb --json")) == []
    say("catch tlbi")
    say("reverse-continue")
    owed = json.loads(say("tlb --json"))
    assert "0x10000" in {each["va"] for each in owed}
    assert {each["waits_for"] for each in owed} == {"TLBI, then DSB, ISB"}
    say("stepi")
    assert "DSB after the TLBI, then ISB" in {each["waits_for"] for each in json.loads(say("tlb --json"))}


def test_a_skipped_tlbi_is_caught_where_it_matters(destroyed, say, debugger):
    """The sanitizer stops the kernel when it reuses the table; nothing is found while all is well."""
    say("catch sanitizer")
    say("catch tlbi")
    say("reverse-continue")
    say("set var $pc = $pc + 4")
    say("disable 3")
    text = say("continue")
    assert "Catchpoint 2 (sanitizer)" in text
    assert "missing: TLBI" in text
    found = debugger.timeline.now
    say("reverse-stepi")
    assert "Catchpoint 2 (sanitizer)" in say("continue")
    assert debugger.timeline.now == found


def test_a_kernel_that_has_its_sanitizer_keeps_it(image):
    """The debugger uses that one, whose model is as good, and leaves it as it was."""
    with Kernel(image, ram_size=256 << 20) as kernel:
        sanitizer = kernel.session.sanitizer
        made = Debugger(kernel)
        assert made.execute("call vmm_address_space_create()").text.startswith("$1 = ")
        assert not made.execute("events 3").failed
        assert made.execute("tlb").text.startswith("Nothing")
        assert not made.execute("catch sanitizer").failed
        assert "idle" in made.execute("continue").text
        made.close()
        assert (kernel.session.sanitizer, sanitizer.muted, sanitizer.findings) == (sanitizer, False, [])
        assert kernel.vmm_address_space_create()


def test_the_sanitizer_does_not_stop_a_kernel_that_is_well(say):
    """From reset to the idle loop."""
    say("catch sanitizer")
    assert "idle (WFI)" in say("run")
