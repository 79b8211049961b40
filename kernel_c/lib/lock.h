/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIB_LOCK_H
#define LIB_LOCK_H

#include "lib/assert.h"
#include <stdint.h>

/*
 * A spin lock. The kernel runs with interrupts masked, so a lock is never waited for by the CPU
 * that holds it, except by mistake.
 *
 * Order: an address space's lock before any other; the frame lock last, before it that of shared
 * frames (core/vma_cow.h).
 */
struct lock {
    uint32_t held; /* 0 or 1: a word takes an instruction less to look at than a byte */
};

static inline void lock_acquire(struct lock *lock)
{
    while (__atomic_exchange_n(&lock->held, 1, __ATOMIC_ACQUIRE) != 0) {
    }
}

static inline void lock_release(struct lock *lock)
{
    ASSERT(lock->held != 0);
    __atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE);
}

#endif
