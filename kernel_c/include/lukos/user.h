/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LUKOS_USER_H
#define LUKOS_USER_H

#include "lukos/types.h"

/*
 * Running user code: enter EL0 in the active address space and come back with the reason why
 * it stopped.
 */

struct user_registers {
    uint64_t x[31];
    uint64_t sp;
    uint64_t pc;
    uint64_t pstate; /* condition flags; the rest is set on entry */
};

enum user_stop {
    USER_CALL,  /* a system call instruction; pc is behind it */
    USER_FAULT, /* an access that translation refused; pc is at it */
    USER_OTHER, /* anything else: undefined instruction, alignment, breakpoint ... */
};

enum user_access { USER_READ, USER_WRITE, USER_EXECUTE };

struct user_exit {
    enum user_stop stop;
    enum user_access access; /* of a fault */
    bool permission;         /* mapped, but not for this; otherwise nothing is mapped */
    vaddr_t address;         /* that faulted */
    uint64_t syndrome;       /* as the hardware reports it */
};

/* Run until the next stop. The registers are updated. */
struct user_exit arch_user_run(struct user_registers *registers);

/*
 * A user program of four instructions pairs, position independent, to try accesses with. Each
 * entry ends in a system call.
 */
extern const char arch_user_probe[];
extern const char arch_user_probe_end[];
#define USER_PROBE_CALL 0   /* the system call alone */
#define USER_PROBE_READ 8   /* x0 = *(uint64_t *)x0 */
#define USER_PROBE_WRITE 16 /* *(uint64_t *)x0 = x1 */

#endif
