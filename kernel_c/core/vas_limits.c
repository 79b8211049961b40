/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/vas_limits.h"

#include "lukos/vas.h"
#include "lukos/vmm_arch.h"

int vas_set_limits(struct uk_vas *vas, size_t resident, size_t vmas)
{
    if (vas == NULL) {
        return -EINVAL;
    }
    lock_acquire(&vas->lock);
    vas->limits = (struct vas_limits){
        .resident = resident,
        .vmas = vmas,
    };
    lock_release(&vas->lock);
    return 0;
}

int vas_stats(struct uk_vas *vas, vas_stats_t *out)
{
    if (vas == NULL) {
        return -EINVAL;
    }
    if (!vmm_arch_kernel_access(out, sizeof(*out), true)) {
        return -EFAULT;
    }
    lock_acquire(&vas->lock);
    *out = (vas_stats_t){
        .vmas = vas->counts.vmas,
        .resident = vas->counts.resident,
        .tables = vmm_arch_tables(vas->pt),
        .faults_read = vas->counts.resolved[UK_VMA_FAULT_READ],
        .faults_write = vas->counts.resolved[UK_VMA_FAULT_WRITE],
        .faults_exec = vas->counts.resolved[UK_VMA_FAULT_EXEC],
        .faults_refused = vas->counts.refused,
        .frames_anonymous = vas->counts.anonymous,
        .frames_file = vas->counts.file,
        .frames_shared = vas->counts.shared,
        .frames_copied = vas->counts.copied,
        .frames_taken_over = vas->counts.taken_over,
    };
    lock_release(&vas->lock);
    return 0;
}
