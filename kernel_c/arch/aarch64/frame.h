/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef AARCH64_FRAME_H
#define AARCH64_FRAME_H

/* The layout of what vectors.S saves, shared by C and assembly. */

#define FRAME_X0 0
#define FRAME_X30 240
#define FRAME_SP 248
#define FRAME_PC 256 /* ELR_EL1 */
#define FRAME_PSTATE 264
#define FRAME_SIZE 272

/* Which of the 16 vectors: bits 3:2 where from, bits 1:0 what. */
#define VECTOR_EL1H 1
#define VECTOR_SYNC 0

#ifndef __ASSEMBLER__

#include "lukos/user.h"

_Static_assert(offsetof(struct user_registers, x[30]) == FRAME_X30, "vectors.S");
_Static_assert(offsetof(struct user_registers, sp) == FRAME_SP, "vectors.S");
_Static_assert(offsetof(struct user_registers, pc) == FRAME_PC, "vectors.S");
_Static_assert(offsetof(struct user_registers, pstate) == FRAME_PSTATE, "vectors.S");
_Static_assert(sizeof(struct user_registers) == FRAME_SIZE, "vectors.S");

#endif
#endif
