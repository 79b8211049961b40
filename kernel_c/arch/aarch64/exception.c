/* SPDX-License-Identifier: BSD-3-Clause */
#include "context.h"
#include "frame.h"
#include "lib/assert.h"
#include "lib/console.h"
#include "lukos/fault.h"
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
    EC_INSTRUCTION_ABORT_EL1 = 0x21,
    EC_DATA_ABORT_EL0 = 0x24,
    EC_DATA_ABORT_EL1 = 0x25,
};

#define PSTATE_FLAGS MASK(31, 28) /* N, Z, C, V: all of PSTATE that a user may choose */
#define VECTOR_EL1_SYNC 4
#define VECTOR_EL0_SYNC 8

unsigned user_enter(struct user_registers *registers);
void exception_at_el1(unsigned vector, struct user_registers *frame);
_Noreturn void exception_stack_overflow(const struct user_registers *frame);

static bool is_abort(uint64_t esr)
{
    uint64_t class = field_get(ESR_EC, esr);

    return class == EC_INSTRUCTION_ABORT_EL0 || class == EC_INSTRUCTION_ABORT_EL1 ||
           class == EC_DATA_ABORT_EL0 || class == EC_DATA_ABORT_EL1;
}

/* Read, write and execute are told apart by the exception class, then by WnR. */
static enum user_access access_of(uint64_t esr)
{
    uint64_t class = field_get(ESR_EC, esr);

    if (class == EC_INSTRUCTION_ABORT_EL0 || class == EC_INSTRUCTION_ABORT_EL1) {
        return USER_EXECUTE;
    }
    return (esr & ESR_WNR) != 0 && (esr & ESR_CM) == 0 ? USER_WRITE : USER_READ;
}

/* Let the VMA at the address resolve an abort, if it is about a page that is not there, or not yet
 * for this. The access may be tried again. */
static bool is_resolved(uint64_t esr, vaddr_t address, struct user_registers *frame)
{
    static const unsigned type[] = {
        [USER_READ] = UK_VMA_FAULT_READ,
        [USER_WRITE] = UK_VMA_FAULT_WRITE,
        [USER_EXECUTE] = UK_VMA_FAULT_EXEC,
    };

    uint64_t kind = field_get(ESR_FSC_TYPE, esr);
    unsigned absent = kind == FSC_TYPE_TRANSLATION ? UK_VMA_FAULT_NONPRESENT : 0;

    return is_abort(esr) && (kind == FSC_TYPE_TRANSLATION || kind == FSC_TYPE_PERMISSION) &&
           fault_resolve(address, type[access_of(esr)] | absent, (struct __regs *)frame) == 0;
}

static struct user_exit exit_of(uint64_t esr, vaddr_t address)
{
    uint64_t kind = field_get(ESR_FSC_TYPE, esr);
    bool fault = kind == FSC_TYPE_TRANSLATION || kind == FSC_TYPE_PERMISSION;

    if (field_get(ESR_EC, esr) == EC_SVC64) {
        return (struct user_exit){.stop = USER_CALL, .syndrome = esr};
    }
    if (!is_abort(esr) || !fault) {
        return (struct user_exit){.stop = USER_OTHER, .syndrome = esr};
    }
    return (struct user_exit){
        .stop = USER_FAULT,
        .access = access_of(esr),
        .permission = kind == FSC_TYPE_PERMISSION,
        .address = address,
        .syndrome = esr,
    };
}

struct user_exit arch_user_run(struct user_registers *registers)
{
    registers->pstate &= PSTATE_FLAGS; /* EL0t, AArch64; nothing masked, as EL0 could not */
    for (;;) {
        unsigned vector = user_enter(registers);
        uint64_t esr = READ_SYSREG(esr_el1);
        vaddr_t address = READ_SYSREG(far_el1);

        if (vector != VECTOR_EL0_SYNC) {
            return (struct user_exit){.stop = USER_OTHER, .syndrome = esr};
        }
        if (va_is_kernel(address) || !is_resolved(esr, address, registers)) {
            return exit_of(esr, address);
        }
    }
}

/* "ESR" and the rest by name, so that whoever reads the console can look them up. */
static void print_state(const struct user_registers *frame)
{
    console_printf("  ESR 0x%lx  FAR 0x%lx  PC 0x%lx  LR 0x%lx  SP 0x%lx  PSTATE 0x%lx\n",
                   READ_SYSREG(esr_el1), READ_SYSREG(far_el1), frame->pc, frame->x[30], frame->sp,
                   frame->pstate);
}

/* An instruction that may fault, and where to go on when it does (uaccess.S). */
struct fixup {
    vaddr_t instruction;
    vaddr_t target;
};

extern const struct fixup exception_table[], exception_table_end[];

static bool is_fixed_up(struct user_registers *frame)
{
    for (const struct fixup *fixup = exception_table; fixup != exception_table_end; fixup++) {
        if (fixup->instruction == frame->pc) {
            frame->pc = fixup->target;
            return true;
        }
    }
    return false;
}

void exception_at_el1(unsigned vector, struct user_registers *frame)
{
    static const char *const source[] = {"EL1 with SP_EL0", "EL1", "EL0", "EL0 in AArch32"};
    static const char *const kind[] = {"synchronous exception", "IRQ", "FIQ", "SError"};

    if (vector == VECTOR_EL1_SYNC && is_abort(READ_SYSREG(esr_el1)) &&
        (is_resolved(READ_SYSREG(esr_el1), READ_SYSREG(far_el1), frame) || is_fixed_up(frame))) {
        return;
    }
    print_state(frame);
    panic("unexpected %s from %s", kind[vector % 4], source[vector / 4]);
}

_Noreturn void exception_stack_overflow(const struct user_registers *frame)
{
    print_state(frame);
    panic("kernel stack overflow: SP 0x%lx", frame->sp);
}
