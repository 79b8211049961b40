/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/vma_cow.h"
#include "lukos/status.h"

/* A stack: anonymous memory between two guards that never becomes part of anything else. */

static bool has_guard(const struct uk_vma *vma, __vaddr_t vaddr, __sz len)
{
    return vaddr < vma->start + UK_VMA_STACK_BOTTOM_GUARD_SIZE ||
           vaddr + len > vma->end - UK_VMA_STACK_TOP_GUARD_SIZE;
}

static int stack_fault(struct uk_vma *vma, struct uk_vm_fault *fault)
{
    if (!has_guard(vma, fault->vbase, fault->len)) {
        return uk_vma_anon_ops.fault(vma, fault);
    }

    return -EFAULT;
}

static int stack_split(struct uk_vma *vma, __vaddr_t vaddr, struct uk_vma **new_vma)
{
    (void)vma;
    (void)vaddr;
    (void)new_vma;
    return -EPERM;
}

static int stack_merge(struct uk_vma *vma, struct uk_vma *next)
{
    (void)vma;
    (void)next;
    return -EPERM;
}

/* Stack memory is not given back before the stack is; only more of it may be wanted. */
static int stack_advise(struct uk_vma *vma, __vaddr_t vaddr, __sz len, unsigned long advice)
{
    __vaddr_t low = max_u64(vaddr, vma->start + UK_VMA_STACK_BOTTOM_GUARD_SIZE);
    __vaddr_t high = min_u64(vaddr + len, vma->end - UK_VMA_STACK_TOP_GUARD_SIZE);

    if ((advice & UK_VMA_ADV_WILLNEED) == 0 || low >= high) {
        return 0;
    }
    return vma_prefault(vma, low, high - low);
}

const struct uk_vma_ops uk_vma_stack_ops = {
    .fault = stack_fault,
    .unmap = vma_unmap_owned,
    .split = stack_split,
    .merge = stack_merge,
    .set_attr = vma_set_attr_mapped,
    .advise = stack_advise,
    .clone = vma_clone_owned,
    .fault_takes_runs = true,
};

/* A stack is never populated through UK_VMA_MAP_POPULATE, which would want the guards too. */
int uk_vma_map_stack(struct uk_vas *vas, __vaddr_t *vaddr, __sz len, unsigned long flags,
                     const char *name, __sz premapped_len)
{
    struct vma_request request = {
        .vas = vas,
        .vaddr = *vaddr,
        .attr = PAGE_ATTR_PROT_RW,
        .flags = (flags & ~(unsigned long)UK_VMA_MAP_POPULATE) | UK_VMA_MAP_SIZE_4KB,
        .name = name,
        .ops = &uk_vma_stack_ops,
        .present_from = UK_VMA_STACK_BOTTOM_GUARD_SIZE,
    };
    int status;

    if (UK_VMA_MAP_SIZE_TO_ORDER(flags) != 0 || !is_aligned(premapped_len | len, PAGE_SIZE) ||
        len == 0 || __builtin_add_overflow(len, UK_VMA_STACK_GUARDS_SIZE, &request.len)) {
        return -EINVAL;
    }
    premapped_len = (flags & UK_VMA_MAP_POPULATE) != 0 || premapped_len > len ? len : premapped_len;
    if ((flags & UK_VMA_STACK_GROWS_UP) == 0) {
        request.present_from += len - premapped_len;
    }
    request.present_to = request.present_from + premapped_len;
    status = vma_map(&request);
    if (status == 0) {
        *vaddr = request.vaddr + UK_VMA_STACK_BOTTOM_GUARD_SIZE;
    }
    return status;
}
