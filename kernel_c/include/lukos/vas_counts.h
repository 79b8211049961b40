/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LUKOS_VAS_COUNTS_H
#define LUKOS_VAS_COUNTS_H

#include <stddef.h>
#include <stdint.h>

/*
 * What a VAS counts, and what it may have at most. See vas_stats() and vas_set_limits() in
 * lukos/vas.h, which explain them; these are parts of struct uk_vas.
 */

struct vas_limits {
    size_t resident; /* frames */
    size_t vmas;
};

/* By access, as the low bits of UK_VMA_FAULT_* tell them apart. */
#define VAS_ACCESSES 4

struct vas_counts {
    size_t vmas;     /* now */
    size_t resident; /* frames now */
    uint64_t resolved[VAS_ACCESSES];
    uint64_t refused;
    uint64_t anonymous; /* frames supplied, here and below */
    uint64_t file;
    uint64_t shared;
    uint64_t copied;
    uint64_t taken_over;
};

#endif
