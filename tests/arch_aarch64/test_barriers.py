# SPDX-License-Identifier: BSD-3-Clause
"""Table updates as hardware must see them: stores, DSB, TLBI, DSB, ISB, in this order and no more of them.

Arm DDI 0487, D8.16 (break-before-make), D8.17 (TLB maintenance). Scripts: see tests/support/trace.py.
"""

from __future__ import annotations

import itertools

import pytest

from tests.support.trace import tracing
from tests.support.vmm import BLOCK_2M, PAGE, PROPS
from tests.uk.driver import POPULATE, REPLACE, kernel_vas

FLUSHED = ["dsb ishst", "tlbi vale1is", "dsb ish"]


def lasts(count):
    """The way to flush a few pages whose tables stay."""
    return ["dsb ishst", *["tlbi vale1is"] * count, "dsb ish"]


@pytest.fixture
def stage(small_vmm):
    """An address space that has run and is active, with a page that keeps its tables from being empty."""
    space = small_vmm.space()
    small_vmm.create(space, PAGE)
    small_vmm.activate(space)
    return small_vmm, space


def asid_of(vmm, space):
    """The ASID it runs with."""
    return vmm.kernel.ttbr0(space) >> 48


def traced(vmm, call, *arguments):
    """The trace of one call."""
    with tracing(vmm.kernel) as trace:
        call(*arguments)
    return trace


# -- new entries --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("active", [True, False])
def test_new_pages_are_published_by_one_barrier(stage, active):
    """An invalid entry is in no TLB: no TLBI. An ISB, whether the address space is active or not."""
    vmm, _ = stage
    space = stage[1] if active else vmm.space()
    vmm.create(space, PAGE)  # the tables
    trace = traced(vmm, vmm.create, space, 5 * PAGE)
    assert trace.script == ["make 5", "dsb ishst", "isb"]


def test_reserved_pages_need_no_isb_that_others_do(stage):
    """NO_ACCESS stores nothing that hardware would use."""
    vmm, space = stage
    trace = traced(vmm, vmm.create, space, 5 * PAGE, "NO_ACCESS")
    assert [line for line in trace.script if "tlbi" in line] == []
    assert trace.script[0] == "reserve 5"


def test_new_table_is_linked_after_its_contents_are_visible(small_vmm):
    """However many levels: they are filled while no walk can reach them, then DSB, then one link."""
    vmm, space = small_vmm, small_vmm.space()
    trace = traced(vmm, vmm.create, space, 3 * PAGE)
    levels = 3 - vmm.kernel.tables(space).regime.start_level
    assert trace.script == [f"fill {3 + levels - 1}", "dsb ishst", "make 1", "dsb ishst", "isb"]
    assert traced(vmm, vmm.create, space, 3 * PAGE).script == ["make 3", "dsb ishst", "isb"]


def test_tables_for_a_slot_are_linked_after_their_contents_are_visible(small_vmm):
    """Several, of which only the highest is linked at last, or one: DSB in between, as for any table."""
    kernel, space = small_vmm.kernel, small_vmm.space()
    slot = kernel.new("__pte_t *")
    filled = 2 - small_vmm.kernel.tables(space).regime.start_level
    several = traced(small_vmm, kernel.vmm_arch_slot, space.vas.pt, BLOCK_2M, 0, slot)
    assert several.script == [f"fill {filled}", "dsb ishst", "make 1"]
    one = traced(small_vmm, kernel.vmm_arch_slot, space.vas.pt, 2 * BLOCK_2M, 0, slot)
    assert one.script == ["dsb ishst", "make 1"]


def test_tables_of_a_mixed_region_are_linked_one_by_one(stage):
    """2M + 4K at the edge of a table: the block is made where its table is linked already."""
    vmm, space = stage
    trace = traced(vmm, vmm.create, space, BLOCK_2M + PAGE)
    assert trace.script == ["fill 1", "make 1", "dsb ishst", "make 1", "dsb ishst", "isb"]
    assert not any(store.kind == "rewrite" for event in trace.events for store in event.stores)


def test_new_tables_hold_nothing_but_what_was_mapped(stage):
    """The frames came with poison or other contents: every other entry is 0 when the table is linked."""
    vmm, space = stage
    va = vmm.create(space, 3 * PAGE, at=vmm.user_end // 2)
    for step in vmm.kernel.tables(space).walk(va).steps[1:]:
        words = vmm.ram(step.entry_address & -PAGE, PAGE)
        used = [at for at in range(0, PAGE, 8) if words[at : at + 8] != bytes(8)]
        assert len(used) == (3 if step.level == 3 else 1)


# -- entries that go ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pages", [1, 2, 7, 32])
def test_destroyed_pages_are_invalidated_one_by_one(stage, pages):
    """Cleared, DSB, a TLBI each with the right VA and ASID, DSB, ISB; last level only: the tables stay."""
    vmm, space = stage
    va = vmm.create(space, pages * PAGE)
    trace = traced(vmm, vmm.destroy, space, va)
    assert trace.script == [f"break {pages}", *lasts(pages), "isb"]
    assert [event.va for event in trace.named("tlbi")] == list(range(va, va + pages * PAGE, PAGE))
    assert {event.asid for event in trace.named("tlbi")} == {asid_of(vmm, space)}


@pytest.mark.parametrize("pages", [33, 200])
def test_many_pages_are_invalidated_by_asid(stage, pages):
    """Above TLB_GATHER_MAX one ASIDE1IS is cheaper."""
    vmm, space = stage
    va = vmm.create(space, pages * PAGE)
    trace = traced(vmm, vmm.destroy, space, va)
    assert trace.script == [f"break {pages}", "dsb ishst", "tlbi aside1is", "dsb ish", "isb"]
    assert trace.named("tlbi")[0].operand == asid_of(vmm, space) << 48


def test_the_limit_of_single_invalidations_is_the_kernels(stage):
    """TLB_GATHER_MAX is what the two tests above stand on."""
    assert stage[0].kernel.TLB_GATHER_MAX == 32


def test_destroyed_block_is_invalidated_once(stage):
    """One entry, one TLBI; the table of blocks holds the way to the pages and stays."""
    vmm, space = stage
    va = vmm.create(space, BLOCK_2M)
    trace = traced(vmm, vmm.destroy, space, va)
    assert trace.script == ["break 1", *FLUSHED, "isb"]
    assert trace.named("tlbi")[0].va == va


def test_tables_are_freed_after_all_cpus_have_forgotten_them(stage):
    """With a table unlinked the TLBI must reach walk caches: VAE1IS. Freed only behind the DSB ISH."""
    vmm, space = stage
    va = vmm.create(space, 2 * PAGE, at=vmm.user_end // 2)
    trace = traced(vmm, vmm.destroy, space, va)
    tables = 3 - vmm.kernel.tables(space).regime.start_level
    assert trace.script == [
        f"break {2 + tables}",
        "dsb ishst",
        *["tlbi vae1is"] * 2,
        "dsb ish",
        "isb",
        f"free {tables}",
    ]


def test_table_without_valid_entries_is_invalidated_too(stage):
    """Walk caches may hold the way to a table although all in it was reserved."""
    vmm, space = stage
    va = vmm.create(space, 2 * PAGE, "NO_ACCESS", at=vmm.user_end // 2)
    trace = traced(vmm, vmm.destroy, space, va)
    tables = 3 - vmm.kernel.tables(space).regime.start_level
    script = [f"break {tables}", "reserve 2", "dsb ishst", "tlbi vae1is", "dsb ish", "isb", f"free {tables}"]
    assert trace.script == script
    assert trace.named("tlbi")[0].va in range(va, va + 2 * PAGE)


def test_destroyed_reserved_pages_need_nothing(stage):
    """No hardware ever used them, and their table stays."""
    vmm, space = stage
    va = vmm.create(space, 4 * PAGE, "NO_ACCESS")
    assert traced(vmm, vmm.destroy, space, va).script == ["reserve 4"]


def test_frames_of_a_region_are_freed_after_the_tlb_forgot_it(stage):
    """The allocator's count of free frames changes only behind the DSB ISH that ends the invalidation."""
    vmm, space = stage
    va = vmm.create(space, 4 * PAGE)
    kernel = vmm.kernel
    with tracing(kernel) as trace:
        freed = []
        address = kernel.function("frames_free").address
        watch = kernel.machine.on_address(address, lambda machine: freed.append(len(trace.events)))
        vmm.destroy(space, va)
        watch.remove()
    names = [event.name for event in trace.events]
    assert freed
    assert min(freed) > names.index("dsb ish")


def test_address_space_is_forgotten_before_its_memory_goes(stage):
    """One ASIDE1IS with its ASID, DSB ISH, then tables and frames; unmapping needs no more barriers."""
    vmm, space = stage
    asid = asid_of(vmm, space)
    vmm.activate(None)
    trace = traced(vmm, vmm.kernel.vmm_address_space_destroy, space)
    others = [line for line in trace.script if not line.startswith(("free", "break"))]
    assert others == trace.script[:2] == ["tlbi aside1is", "dsb ish"]
    assert trace.script[-1].startswith("free")
    assert trace.named("tlbi")[0].operand == asid << 48


# -- address spaces that never ran ------------------------------------------------------------------------


def test_what_never_ran_needs_no_tlbi(small_vmm):
    """No TLB can hold anything of it; stores are still made visible, because activation is no DSB."""
    vmm, space = small_vmm, small_vmm.space()
    kept, gone = vmm.create(space, PAGE), vmm.create(space, PAGE)
    assert traced(vmm, vmm.destroy, space, gone).script == ["break 1", "dsb ishst"]
    assert traced(vmm, vmm.set_prop, space, kept, "RO").script == ["permit 1", "dsb ishst"]
    assert traced(vmm, vmm.set_prop, space, kept, "NO_ACCESS").script == ["break 1", "dsb ishst"]
    assert traced(vmm, vmm.set_prop, space, kept, "RW").script == ["make 1", "dsb ishst", "isb"]
    gone_too = traced(vmm, vmm.destroy, space, kept)
    assert [event.name for event in gone_too.events] == ["dsb ishst", "end"]
    assert traced(vmm, vmm.kernel.vmm_address_space_destroy, space).named("tlbi") == []


def test_every_store_is_visible_before_activation(small_vmm):
    """Whatever was done to an address space before it runs for the first time, a DSB came after it."""
    vmm = small_vmm

    def destroyed(space):
        vmm.destroy(space, vmm.create(space, 3 * PAGE))

    def protected(space):
        vmm.set_prop(space, vmm.create(space, 3 * PAGE), "RO")

    for change in (destroyed, protected, lambda space: vmm.create(space, BLOCK_2M + PAGE)):
        space = vmm.space()
        with tracing(vmm.kernel) as trace:
            change(space)
            vmm.activate(space)
        pending = False
        for event in trace.events:
            pending = pending or bool(event.stores)
            assert not (pending and event.name == "msr ttbr0")
            pending = pending and not event.name.startswith("dsb")
        vmm.activate(None)


# -- permissions --------------------------------------------------------------------------------------------

VALID = ("RO", "RW", "RX")


@pytest.mark.parametrize(("before", "after"), list(itertools.product(PROPS, PROPS)))
def test_property_changes_keep_to_the_architecture(stage, before, after):
    """Valid to valid in place and invalidated; to NO_ACCESS broken and invalidated; from it made, no TLBI."""
    vmm, space = stage
    va = vmm.create(space, 3 * PAGE, before)
    trace = traced(vmm, vmm.set_prop, space, va, after)
    script = [line for line in trace.script if not line.startswith(("dc", "ic"))]
    if after == "RX" != before:
        assert script[:3] == ["dsb ish", "dsb ish", "isb"]
        del script[:3]
    if before == after:
        assert script == []
    elif before == "NO_ACCESS":
        assert script == ["make 3", "dsb ishst", "isb"]
    else:
        kind = "break" if after == "NO_ACCESS" else "permit"
        assert script == [f"{kind} 3", *lasts(3), "isb"]
        assert [event.va for event in trace.named("tlbi")] == [va, va + PAGE, va + 2 * PAGE]
        assert {event.asid for event in trace.named("tlbi")} == {asid_of(vmm, space)}


@pytest.mark.parametrize("size", [PAGE, BLOCK_2M], ids=["pages", "blocks"])
@pytest.mark.parametrize("change", ["RO", "NO_ACCESS", "unmap"])
def test_as_many_entries_as_are_listed_are_invalidated_one_by_one(stage, change, size):
    """The last of them too."""
    vmm, space = stage
    kernel, context, length = vmm.kernel, space.vas.pt, 32 * size
    assert kernel.vmm_arch_map(context, vmm.props["RW"], BLOCK_2M, (1 << 40) + size, length) == 0
    if change == "unmap":
        trace = traced(vmm, kernel.vmm_arch_unmap, context, BLOCK_2M, length)
    else:
        trace = traced(vmm, kernel.vmm_arch_protect, context, vmm.props[change], BLOCK_2M, length)
    assert [event.va for event in trace.named("tlbi")] == list(range(BLOCK_2M, BLOCK_2M + length, size))


def test_as_many_kernel_pages_as_are_listed_are_invalidated_one_by_one(stage):
    """For all ASIDs."""
    vmm, _ = stage
    kernel, va, size = vmm.kernel, 0xFFFF_FFC0_0000_0000, 32 * PAGE
    assert kernel.vmm_arch_map(None, vmm.props["RW"], va, 1 << 40, size) == 0
    trace = traced(vmm, kernel.vmm_arch_unmap, None, va, size)
    assert [event.name for event in trace.named("tlbi")] == ["tlbi vaae1is"] * 32


def test_as_many_empty_tables_as_are_listed_are_invalidated_one_by_one(stage):
    """None of them had a valid entry: an address in each, with what leads to it."""
    vmm, space = stage
    kernel, context, tables = vmm.kernel, space.vas.pt, range(BLOCK_2M, 33 * BLOCK_2M, BLOCK_2M)
    for va in tables:
        assert kernel.vmm_arch_map(context, kernel.AS_REGION_NO_ACCESS, va, 1 << 40, PAGE) == 0
    trace = traced(vmm, kernel.vmm_arch_unmap, context, BLOCK_2M, 32 * BLOCK_2M)
    assert [(event.name, event.va & -BLOCK_2M) for event in trace.named("tlbi")] == [
        ("tlbi vae1is", va) for va in tables
    ]


def test_many_property_changes_are_invalidated_by_asid(stage):
    """The same threshold as for regions that go."""
    vmm, space = stage
    va = vmm.create(space, 33 * PAGE)
    trace = traced(vmm, vmm.set_prop, space, va, "RO")
    assert trace.script == ["permit 33", "dsb ishst", "tlbi aside1is", "dsb ish", "isb"]


@pytest.mark.parametrize(
    ("call", "arguments", "tlbi"), [("_entry", (PAGE,), "vaae1is"), ("", (), "vmalle1is")]
)
def test_a_flush_that_is_asked_for_is_complete(stage, call, arguments, tlbi):
    """What was stored before is visible, all CPUs have forgotten, and this one goes on with what is new."""
    vmm, _ = stage
    trace = traced(vmm, vmm.kernel.function(f"ukarch_tlb_flush{call}"), *arguments)
    assert trace.script == ["dsb ishst", f"tlbi {tlbi}", "dsb ish", "isb"]


@pytest.mark.parametrize("high", [False, True])
def test_tlbi_operands_have_address_and_asid_in_their_fields(stage, high):
    """VA[55:12] in bits 43:0, ASID in 63:48, nothing between: for the lowest page and the highest."""
    vmm, space = stage
    va = vmm.create(space, PAGE, at=vmm.user_end - PAGE if high else PAGE)
    [event] = traced(vmm, vmm.set_prop, space, va, "RO").named("tlbi")
    assert event.operand == va >> 12 | asid_of(vmm, space) << 48


# -- activation ---------------------------------------------------------------------------------------------


def test_activation_is_one_write_of_ttbr0_and_an_isb(stage):
    """Table and ASID in one register, so that there is never one of each; no TLBI."""
    vmm, space = stage
    other = vmm.space()
    trace = traced(vmm, vmm.activate, other)
    assert trace.script == ["msr ttbr0", "isb"]
    assert trace.events[0].operand == vmm.kernel.ttbr0(other)
    trace = traced(vmm, vmm.activate, None)
    assert trace.script == ["msr ttbr0", "isb"]
    assert trace.events[0].asid == 0
    assert traced(vmm, vmm.activate, space).script == ["msr ttbr0", "isb"]


# -- the kernel's half --------------------------------------------------------------------------------------

WINDOW = 0xFFFF_FFC0_0000_0000


def test_kernel_mappings_are_invalidated_for_all_asids(small_vmm):
    """They are global: VAAE1IS by address, and an ISB always."""
    vmm, kernel = small_vmm, small_vmm.kernel
    pa = kernel.frames_alloc(3, 2, kernel.FRAME_REGION)
    made = traced(vmm, kernel.vmm_arch_map, None, vmm.props["RW"], WINDOW, pa, 3 * PAGE)
    assert made.script == ["fill 4", "dsb ishst", "make 1", "dsb ishst", "isb"]
    permitted = traced(vmm, kernel.vmm_arch_protect, None, vmm.props["RO"], WINDOW, PAGE)
    assert permitted.script == ["permit 1", "dsb ishst", "tlbi vaae1is", "dsb ish", "isb"]
    assert permitted.named("tlbi")[0].operand == WINDOW >> 12 & (1 << 44) - 1
    gone = traced(vmm, kernel.vmm_arch_unmap, None, WINDOW, 3 * PAGE)
    assert gone.script == ["break 5", "dsb ishst", *["tlbi vaae1is"] * 3, "dsb ish", "isb", "free 2"]


def test_a_reserved_block_is_cut_without_a_tlbi(small_vmm):
    """No TLB has it; the table in its place is whole before it is linked."""
    vmm, kernel = small_vmm, small_vmm.kernel
    pa = kernel.frames_alloc(512, 9, kernel.FRAME_REGION)
    assert kernel.vmm_arch_map(None, vmm.props["NO_ACCESS"], WINDOW, pa, BLOCK_2M) == 0
    trace = traced(vmm, kernel.vmm_arch_protect, None, vmm.props["RW"], WINDOW, PAGE)
    assert trace.script[:3] == ["fill 512", "dsb ishst", "make 1"]


def test_a_live_block_that_is_cut_is_whole_again_when_the_call_returns(small_vmm):
    """Broken, flushed, a table in its place, and that is published: nobody has to change anything in it."""
    vmm, kernel = small_vmm, small_vmm.kernel
    pa = kernel.frames_alloc(512, 9, kernel.FRAME_REGION)
    assert kernel.vmm_arch_map(None, vmm.props["RW"], WINDOW, pa, BLOCK_2M) == 0
    trace = traced(vmm, kernel.vmm_arch_pages_cut, kernel.variable("kernel_vas").pt, WINDOW + PAGE)
    assert trace.script[-3:] == ["make 1", "dsb ishst", "isb"]
    assert [line for line in trace.script if "tlbi" in line] == ["tlbi vaae1is"]


def test_what_takes_the_place_of_others_is_published(small_vmm):
    """Pages of a VMA are there before others go, and in the live tables before the call returns."""
    vas = kernel_vas(small_vmm.kernel)
    at = vas.map("anon", 2 * PAGE, flags=POPULATE)
    trace = traced(small_vmm, lambda: vas.map("anon", 2 * PAGE, at=at, flags=POPULATE | REPLACE))
    made = len(trace.script) - trace.script[::-1].index("make 1") - 1
    assert [line for line in trace.script[made:] if "free" not in line] == ["make 1", "dsb ishst", "isb"]


def test_many_kernel_mappings_are_invalidated_with_everything(small_vmm):
    """There is no ASID to name them by: VMALLE1IS."""
    vmm, kernel = small_vmm, small_vmm.kernel
    pa = kernel.frames_alloc(40, 6, kernel.FRAME_REGION)
    assert kernel.vmm_arch_map(None, vmm.props["RW"], WINDOW, pa, 40 * PAGE) == 0
    trace = traced(vmm, kernel.vmm_arch_unmap, None, WINDOW, 40 * PAGE)
    assert trace.script == ["break 42", "dsb ishst", "tlbi vmalle1is", "dsb ish", "isb", "free 2"]
