# SPDX-License-Identifier: BSD-3-Clause
"""Loops of cache maintenance: what is told of them without looking is what they do."""

from __future__ import annotations

import pytest

from harness.machine.loops import cache_loop

CODE, DATA = 0x4020_0000, 0x4050_0000
ROUNDS, LINE = 7, 64
DC_CVAU_X1, IC_IVAU_X1 = 0xD50B_7B21, 0xD50B_7521
ADD_X1_X1_X2, SUB_X1_X1_X2, ADD_W1_W1_W2 = 0x8B02_0021, 0xCB02_0021, 0x0B02_0021
CMP_X1_X3, LDR_X4_X3, ADD_X2_X2_4 = 0xEB03_003F, 0xF940_0064, 0x9100_1042
ADD_X1_X1_X2_LSL_1, MOV_X1_X2 = 0x8B02_0421, 0xAA02_03E1
DOWN, ADD_X1_X1_4096 = 0xD101_0021, 0x9140_0421
B_LO_TO_OPERATION = 0x54FF_FFA3


class Log:
    """The operands of all maintenance, and as how many events they came."""

    def __init__(self):
        self.events = []

    def system_operation(self, event):
        self.events.append(event)

    @property
    def operations(self):
        return [
            (each.time + at * self.length, (each.operand + at * each.step) % (1 << 64))
            for each in self.events
            for at in range(each.rounds)
        ]

    length = 0

    def __getattr__(self, name):
        return lambda *_: None


def loop(asm, operation, body, *, first=()):
    """ROUNDS times `first`, the operation and `body`: (code, address of the operation, words of a round)."""
    code = asm().mov(0, ROUNDS).mov(1, DATA).mov(2, LINE).mov(3, DATA)
    start = len(code.code())
    code.label("again")
    for word in first:
        code.word(word)
    code.word(operation)
    for word in body:
        code.word(word)
    code.sub(0, 0, 1).cbnz(0, "again")
    length = (len(code.code()) - start) // 4
    return code.nop().word(DC_CVAU_X1).wfi(), CODE + start + 4 * len(first), length


@pytest.fixture
def told(make_machine, segment):
    """Runs a loop: the events, and (time, operand) of each operation as the machine has them, one by one."""

    def run(code, at, length, *, stop=None):
        heard, seen = make_machine(ram_size=16 << 20), make_machine(ram_size=16 << 20)
        log, truth = Log(), []
        for machine in (heard, seen):
            machine.load([segment(CODE, code.code(), 0x1000)], CODE)
        log.length = length
        heard.events.listen(log)
        seen.on_address(at, lambda machine: truth.append((machine.instructions, machine.registers["x1"])))
        for machine in (heard, seen):
            if stop is not None:
                machine.run(budget=stop)
            machine.run(budget=1000)
        last = log.events.pop()
        assert (last.pc, last.rounds) == (CODE + len(code.code()) - 8, 1)
        return log, truth

    return run


FOLLOWED = {
    "register": ((ADD_X1_X1_X2,), ()),
    "downwards": ((SUB_X1_X1_X2,), ()),
    "immediate": ((DOWN, CMP_X1_X3), ()),
    "immediate-shifted": ((ADD_X1_X1_4096,), ()),
    "step-first": ((CMP_X1_X3,), (ADD_X1_X1_X2,)),
    "operand-kept": ((), ()),
}
LOOKED_AT = {
    "loads": (LDR_X4_X3, ADD_X1_X1_X2),
    "step-grows": (ADD_X1_X1_X2, ADD_X2_X2_4),
    "two-steps": (ADD_X1_X1_X2, ADD_X1_X1_X2),
    "half-register": (ADD_W1_W1_W2,),
    "shifted-register": (ADD_X1_X1_X2_LSL_1,),
    "moved": (MOV_X1_X2,),
    "two-operations": (ADD_X1_X1_X2, IC_IVAU_X1),
}


@pytest.mark.parametrize("operation", [DC_CVAU_X1, IC_IVAU_X1], ids=["dc", "ic"])
@pytest.mark.parametrize("shape", FOLLOWED)
def test_a_plain_loop_is_told_of_in_two_events(told, asm, operation, shape):
    """Its first round, and all others with the step between them."""
    body, first = FOLLOWED[shape]
    log, truth = told(*loop(asm, operation, body, first=first))
    assert (len(log.events), log.operations) == (2, truth)


@pytest.mark.parametrize("shape", LOOKED_AT)
def test_any_other_loop_is_told_of_round_by_round(told, asm, shape):
    """Whatever it is that makes the operand hard to foresee."""
    log, truth = told(*loop(asm, DC_CVAU_X1, LOOKED_AT[shape]))
    operations = [each for each in log.events if each.pc == log.events[0].pc]
    assert [(each.time, each.operand, each.rounds) for each in operations] == [(*each, 1) for each in truth]


@pytest.mark.parametrize("stop", range(8, 40, 3))
def test_a_loop_that_is_interrupted_is_told_of_completely(told, asm, stop):
    """Wherever the machine pauses: no round is lost or told of twice."""
    log, truth = told(*loop(asm, DC_CVAU_X1, FOLLOWED["register"][0]), stop=stop)
    assert log.operations == truth


@pytest.mark.parametrize(
    "words",
    [
        (DC_CVAU_X1, ADD_X1_X1_X2, 0x1400_0000),
        (DC_CVAU_X1, ADD_X1_X1_X2),
        (DC_CVAU_X1, ADD_X1_X1_X2, CMP_X1_X3, 0x5400_0043),
    ],
    ids=["jump", "end-of-text", "forwards"],
)
def test_what_does_not_lead_back_is_no_loop(words):
    """Straight code has no rounds."""
    assert cache_loop(words, 0) is None


def test_a_loop_without_its_beginning_is_no_loop():
    """Data that looks like a branch to before the text."""
    assert cache_loop((DC_CVAU_X1, B_LO_TO_OPERATION), 0) is None
