/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIB_LOCK_H
#define LIB_LOCK_H

#include "lib/assert.h"
#include <stdbool.h>

/*
 * A spin lock. The kernel runs with interrupts masked, so a lock is never waited for by the CPU
 * that holds it, except by mistake.
 *
 * Order: an address space's lock before any other; the frame lock last, before it that of shared
 * frames (core/vma_cow.h).
 */
struct lock {
    bool held;
};

static inline void lock_acquire(struct lock *lock)
{
    while (__atomic_test_and_set(&lock->held, __ATOMIC_ACQUIRE)) {
    }
}

static inline void lock_release(struct lock *lock)
{
    ASSERT(lock->held);
    __atomic_clear(&lock->held, __ATOMIC_RELEASE);
}

#endif
