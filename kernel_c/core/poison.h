/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORE_POISON_H
#define CORE_POISON_H

#include "lukos/frames.h"

/*
 * Debug builds fill memory on release and look at it again before it is handed out: a store
 * through a stale pointer panics at the next allocation instead of corrupting its owner. Blocks
 * above 2M are filled and checked in the first cache line of each frame only. Release builds do
 * nothing.
 */
#define POISON_BYTE 0xF5

void poison_fill(struct frame *head, size_t count);
void poison_check(struct frame *head, size_t count);

#endif
