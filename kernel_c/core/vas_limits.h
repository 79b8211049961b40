/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORE_VAS_LIMITS_H
#define CORE_VAS_LIMITS_H

#include "lukos/status.h"
#include <uk/vmem.h>

/* Counts and limits of a VAS, for those who hold its lock. The limits stop growth, nothing else. */

/* 0, or -EDQUOT: so many frames more would be too many. */
static inline int vas_check_resident(const struct uk_vas *vas, size_t frames)
{
    return vas->counts.resident + frames > vas->limits.resident ? -EDQUOT : 0;
}

/* The same for one VMA more. */
static inline int vas_check_vmas(const struct uk_vas *vas)
{
    return vas->counts.vmas >= vas->limits.vmas ? -EDQUOT : 0;
}

#endif
