/* SPDX-License-Identifier: BSD-3-Clause */
#include "frame.h"
#include "lib/assert.h"
#include "lib/console.h"
#include "sysreg.h"

/* Exceptions: what EL0 is stopped by, and the end of a kernel that took one of its own. */

/* ESR_EL1 (D24.2.40) */
#define ESR_EC MASK(31, 26)
#define ESR_WNR BIT(6)
#define ESR_CM BIT(8) /* a cache maintenance instruction: WnR is 1 without a write */
#define ESR_FSC_TYPE MASK(5, 2)
#define FSC_TYPE_TRANSLATION 1
#define FSC_TYPE_PERMISSION 3

enum exception_class {
    EC_SVC64 = 0x15,
    EC_INSTRUCTION_ABORT_EL0 = 0x20,
    EC_DATA_ABORT_EL0 = 0x24,
};

#define PSTATE_FLAGS MASK(31, 28) /* N, Z, C, V: all of PSTATE that a user may choose */
#define VECTOR_EL0_SYNC 8

unsigned user_enter(struct user_registers *registers);
void exception_at_el1(unsigned vector, const struct user_registers *frame);
_Noreturn void exception_stack_overflow(const struct user_registers *frame);

static struct user_exit fault(uint64_t esr, enum user_access access)
{
    uint64_t type = field_get(ESR_FSC_TYPE, esr);

    return (struct user_exit){
        .stop =
            type == FSC_TYPE_TRANSLATION || type == FSC_TYPE_PERMISSION ? USER_FAULT : USER_OTHER,
        .access = access,
        .permission = type == FSC_TYPE_PERMISSION,
        .address = READ_SYSREG(far_el1),
        .syndrome = esr,
    };
}

struct user_exit arch_user_run(struct user_registers *registers)
{
    unsigned vector;
    uint64_t esr;
    bool write;

    registers->pstate &= PSTATE_FLAGS; /* EL0t, AArch64; nothing masked, as EL0 could not */
    vector = user_enter(registers);
    esr = READ_SYSREG(esr_el1);
    write = (esr & ESR_WNR) != 0 && (esr & ESR_CM) == 0;
    if (vector == VECTOR_EL0_SYNC) {
        switch (field_get(ESR_EC, esr)) {
        case EC_SVC64:
            return (struct user_exit){.stop = USER_CALL, .syndrome = esr};
        case EC_INSTRUCTION_ABORT_EL0:
            return fault(esr, USER_EXECUTE);
        case EC_DATA_ABORT_EL0:
            return fault(esr, write ? USER_WRITE : USER_READ);
        default:
            break;
        }
    }
    return (struct user_exit){.stop = USER_OTHER, .syndrome = esr};
}

/* "ESR" and the rest by name, so that whoever reads the console can look them up. */
static void print_state(const struct user_registers *frame)
{
    console_printf("  ESR 0x%lx  FAR 0x%lx  PC 0x%lx  LR 0x%lx  SP 0x%lx  PSTATE 0x%lx\n",
                   READ_SYSREG(esr_el1), READ_SYSREG(far_el1), frame->pc, frame->x[30], frame->sp,
                   frame->pstate);
}

void exception_at_el1(unsigned vector, const struct user_registers *frame)
{
    static const char *const source[] = {"EL1 with SP_EL0", "EL1", "EL0", "EL0 in AArch32"};
    static const char *const kind[] = {"synchronous exception", "IRQ", "FIQ", "SError"};

    print_state(frame);
    panic("unexpected %s from %s", kind[vector % 4], source[vector / 4]);
}

_Noreturn void exception_stack_overflow(const struct user_registers *frame)
{
    print_state(frame);
    panic("kernel stack overflow: SP 0x%lx", frame->sp);
}
