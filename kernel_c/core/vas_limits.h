/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORE_VAS_LIMITS_H
#define CORE_VAS_LIMITS_H

#include "lib/bits.h"
#include "lukos/status.h"
#include <uk/vmem.h>

/* Counts and limits of a VAS, for those who hold its lock. The limits stop growth, nothing else. */

/* Frames that may still become resident. */
static inline size_t vas_resident_left(const struct uk_vas *vas)
{
    return vas->limits.resident - min_size(vas->counts.resident, vas->limits.resident);
}

/* 0, or -EDQUOT: so many frames more would be too many. */
static inline int vas_check_resident(const struct uk_vas *vas, size_t frames)
{
    return vas->counts.resident + frames > vas->limits.resident ? -EDQUOT : 0;
}

/* What was supplied in another VAS is resident in this one now. */
static inline void vas_take_counts(struct uk_vas *vas, const struct uk_vas *from)
{
    vas->counts.resident += from->counts.resident;
    vas->counts.anonymous += from->counts.anonymous;
    vas->counts.file += from->counts.file;
    vas->counts.shared += from->counts.shared;
}

/* The same for one VMA more. */
static inline int vas_check_vmas(const struct uk_vas *vas)
{
    return vas->counts.vmas >= vas->limits.vmas ? -EDQUOT : 0;
}

#endif
