# SPDX-License-Identifier: BSD-3-Clause
"""The events of the machine: which, when and in which order."""

from __future__ import annotations

import pytest

from harness.machine.events import CACHE_LIMIT
from harness.machine.scan import scan
from harness.machine.watched import WatchedRanges

DSB_ISH, ISB, NOP = 0xD5033B9F, 0xD5033FDF, 0xD503201F
CODE = 0x4020_0000
DATA = 0x4050_0000
ENTRY = 0x4020_0000
TLBI_X0 = 0xD508_8320  # TLBI VAE1IS, X0
DC_CVAU_X1 = 0xD50B_7B21
MUL_X2 = 0x9B02_7C42


class Log:
    """A listener that writes down what it hears."""

    def __init__(self):
        self.lines = []

    def store(self, event):
        self.lines.append(("store", event.time, event.pc, event.pa, event.size, event.value))

    def system_operation(self, event):
        rounds = () if event.rounds == 1 else (event.rounds, event.step)
        self.lines.append(("system", event.time, event.pc, event.operand, *rounds))

    def register_write(self, event):
        self.lines.append(("register", event.time, event.pc, event.register, event.value))

    def cache_flood(self):
        self.lines.append(("flood",))

    def barrier(self, event):
        self.lines.append((str(event.barrier), event.time, event.pc))

    def returned(self, event):
        self.lines.append(("eret", event.time, event.pc))

    def exception(self, event):
        self.lines.append(("exception", event.time, event.elr))

    def paused(self):
        self.lines.append(("paused",))

    def save(self):
        return len(self.lines)

    def restore(self, state):
        self.lines.append(("restored", state))

    @property
    def kinds(self):
        return [line[0] for line in self.lines]


@pytest.fixture
def listening(machine, asm, segment):
    """Runs code with a listener: gives what it heard."""

    def run(code, **options):
        machine.load([segment(CODE, code.code(), 0x1000)], CODE)
        log = Log()
        machine.events.listen(log)
        machine.events.watched.add(DATA, DATA + 0x1000)
        machine.run(**{"budget": 1000, **options})
        return log

    return run


def test_events_come_in_program_order_with_their_times_and_addresses(listening, asm):
    """Barriers too, although nothing hooks them."""
    code = asm().mov(0, 0x10).mov(1, DATA).str(0, 1).word(DSB_ISH).word(TLBI_X0).word(DSB_ISH).word(ISB)
    log = listening(code.str(1, 1, 8).word(DC_CVAU_X1).wfi())
    assert log.lines == [
        ("store", 8, CODE + 4 * 8, DATA, 8, 0x10),
        ("DSB ISH", 9, CODE + 4 * 9),
        ("system", 10, CODE + 4 * 10, 0x10),
        ("DSB ISH", 11, CODE + 4 * 11),
        ("ISB", 12, CODE + 4 * 12),
        ("store", 13, CODE + 4 * 13, DATA + 8, 8, DATA),
        ("system", 14, CODE + 4 * 14, DATA),
        ("paused",),
    ]


def test_a_run_entered_in_its_middle_tells_of_the_rest(listening, asm):
    """A loop whose head stands between two barriers: the first of them executes once."""
    code = asm().mov(2, 2).word(DSB_ISH).label("head").sub(2, 2, 1).word(ISB).cbnz(2, "head").wfi()
    assert listening(code).kinds == ["DSB ISH", "ISB", "ISB", "paused"]


def test_barriers_behind_an_exception_wait_for_it(listening, asm):
    """It comes between two barriers of a run, and nobody returns to the second one."""
    kinds = listening(asm().nop().word(DSB_ISH).udf().word(ISB).wfi(), budget=5).kinds
    assert (kinds[:2], "ISB" in kinds) == (["DSB ISH", "exception"], False)


@pytest.mark.parametrize("stop_at", [1, 2, 3])
def test_stopping_within_a_run_neither_loses_nor_repeats_a_barrier(listening, machine, asm, stop_at):
    """Wherever the machine pauses."""
    code = asm().nop().word(DSB_ISH).nop().word(ISB).wfi()
    log = listening(code, until={CODE + 4 * stop_at})
    machine.run(budget=100)
    assert [kind for kind in log.kinds if kind != "paused"] == ["DSB ISH", "ISB"]


def test_registers_of_translation_are_told_of_and_others_are_not(listening, asm):
    """MSR to MAIR_EL1, not to TPIDR_EL1."""
    code = asm().mov(0, 0x44).msr("TPIDR_EL1", 0).msr("MAIR_EL1", 0).wfi()
    assert listening(code).lines[0] == ("register", 5, CODE + 4 * 5, "MAIR_EL1", 0x44)


def test_eret_is_told_of(listening, machine, asm):
    """Before what comes after it."""
    code = asm().mov(0, CODE + 4 * 11).msr("ELR_EL1", 0).mov(0, 0x3C5).msr("SPSR_EL1", 0).eret()
    code.word(ISB).wfi()
    assert listening(code).kinds == ["register", "register", "eret", "ISB", "paused"]


def test_cache_maintenance_is_told_of_up_to_a_limit(listening, machine, asm):
    """Megabytes by lines would take minutes. Behind the next pause it is told of again."""
    code = asm().mov(0, 3 * CACHE_LIMIT).label("again").word(DC_CVAU_X1).word(MUL_X2).sub(0, 0, 1)
    code.cbnz(0, "again").nop().word(DC_CVAU_X1).wfi()
    log = listening(code, until={CODE + 4 * 8}, budget=100_000)
    assert [log.kinds.count(kind) for kind in ("system", "flood")] == [CACHE_LIMIT, 1]
    machine.run(budget=100)
    assert log.kinds.count("system") == CACHE_LIMIT + 1


def test_listeners_are_restored_with_the_machine(listening, machine, asm):
    """One that was there at the snapshot gets its state back, a later one nothing."""
    log = listening(asm().wfi())
    moment, late = machine.snapshot(), Log()
    machine.events.listen(late)
    machine.restore(moment)
    assert (log.lines[-1], late.lines[-1]) == (("restored", 1), ("restored", None))


def test_false_branches_in_data_only_shorten_a_run():
    """Runs end at branches; a text without barriers has none."""
    words = (NOP, DSB_ISH, 0x14000001, NOP, ISB)
    runs = scan(b"".join(word.to_bytes(4, "little") for word in words)).runs
    assert [(run.start, [at for at, _ in run.marks]) for run in runs] == [(0, [4]), (12, [16])]


@pytest.fixture
def ranges(machine):
    """The ranges of a machine that runs nothing."""
    return WatchedRanges(machine._engine, lambda *_: None)


def test_neighbouring_ranges_are_one(ranges):
    """In whatever order they come."""
    for page in (0x1000, 0x3000, 0x2000, 0x5000):
        ranges.add(page, page + 0x1000)
    assert ranges.ranges == [(0x1000, 0x4000), (0x5000, 0x6000)]


def test_a_range_can_be_taken_out_of_the_middle(ranges):
    """What is left stays watched."""
    ranges.add(0x1000, 0x4000)
    ranges.remove(0x2000, 0x3000)
    assert ranges.ranges == [(0x1000, 0x2000), (0x3000, 0x4000)]


def test_what_is_watched_no_longer_is_not_told_of(listening, machine, asm):
    """Nor is what a range was moved away from."""
    log = listening(asm().mov(0, DATA).wfi())
    watched, code = machine.events.watched, asm().mov(0, DATA).str(0, 0).str(0, 0, 0x1000).wfi()
    watched.remove(DATA, DATA + 0x1000)
    machine.memory.write(CODE, code.code())
    machine._engine.flush_code()
    machine.registers["pc"] = CODE
    machine.run(budget=100)
    assert "store" not in log.kinds
    watched.add(DATA + 0x1000, DATA + 0x2000)
    machine.registers["pc"] = CODE
    machine.run(budget=100)
    assert [line[3] for line in log.lines if line[0] == "store"] == [DATA + 0x1000]


def test_ranges_can_be_set_at_once(ranges):
    """As after a restore."""
    ranges.add(0x1000, 0x2000)
    ranges.set([(0x4000, 0x5000), (0x3000, 0x4000)])
    assert ranges.ranges == [(0x3000, 0x5000)]


def test_blocks_of_watched_code_are_told_of_with_their_size(listening, machine, asm):
    """A block ends at a branch; ranges of others are not told of."""
    listening(asm().nop().b("end").label("end").nop().wfi())
    entered = []
    code = machine.events.watch_code(lambda va, size: entered.append((va, size)))
    for ranges in ([(CODE + 8, CODE + 16)], [(CODE, CODE + 16)], []):
        code.set(ranges)
        machine.registers["pc"] = CODE
        machine.run(budget=100)
    assert entered == [(CODE + 8, 8), (CODE, 8), (CODE + 8, 8)]
