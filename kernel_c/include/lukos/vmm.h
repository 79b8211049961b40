/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LUKOS_VMM_H
#define LUKOS_VMM_H

#include "lukos/types.h"

/*
 * The kernel interface of the LuKOS virtual memory manager.
 *
 * An address space maps the VAs of one user process. It has regions; a region maps a range of
 * VAs to a contiguous, zeroed range of PAs of identical size on a 4K, 2M or 1G boundary by its
 * size. Lengths are rounded up to 4K.
 *
 * Functions of the specification keep its results; ours return 0 or a negative errno
 * (lukos/status.h). Every call of this header records its status: vmm_last_error() tells why a
 * function that returns void or a pointer failed. A call that fails has changed nothing.
 */

typedef struct address_space address_space_t;

/* What the user of the address space may do in a region. The kernel may always copy in and out. */
typedef enum {
    AS_REGION_NO_ACCESS, /* the VA is reserved, every access faults */
    AS_REGION_RO,
    AS_REGION_RW,
    AS_REGION_RX,
} address_space_region_prop_t;

/* One region, as a copy that stays valid when the region goes. */
typedef struct {
    void *va;
    void *pa;
    size_t len; /* bytes, a multiple of 4K */
    address_space_region_prop_t prop;
} address_space_region_t;

typedef struct {
    size_t frames_total; /* frames the allocator manages: free + used */
    size_t frames_free;
    size_t frames_table;  /* holding translation tables */
    size_t frames_object; /* holding the VMM's own objects */
    size_t frames_region; /* backing regions */
    size_t frames_page;   /* backing other VMAs */
    size_t frames_file;   /* content of files, or tables of such */
    size_t address_spaces;
    size_t regions;
} vmm_stats_t;

/* ---- the specification ---- */

/* Initialize the virtual memory manager. Called once, after frames_add(). */
void vmm_init(void);

/* Create an empty address space. NULL: ENOMEM. */
address_space_t *vmm_address_space_create(void);

/*
 * Create a region of len bytes in the lowest hole that fits and return its VA, never 0.
 * NULL: EINVAL (address space, length 0, property), ERANGE (len above what VAs can hold),
 * ENOSPC (no hole), ENOMEM, EDQUOT (lukos/vas.h).
 */
void *vmm_address_space_region_create(address_space_t *as, size_t len,
                                      address_space_region_prop_t prop);

/*
 * Copy len bytes from the kernel's VAs into regions of the address space, whatever their
 * properties; instructions become visible to execution where a region is executable. All or
 * nothing. EINVAL (address space, length 0), EFAULT (the kernel range is not readable kernel
 * memory, or the destination is not all regions). The ranges must not share memory.
 */
void vmm_address_space_copy_in(address_space_t *as, void *vakernel, void *vadest, size_t len);

/* ---- beyond the specification ---- */

/*
 * A new address space with the same contents, each VMA by its type:
 *
 *   anonymous memory, stacks, private files   shared until one of the two writes (copy on write)
 *   regions                                   copied at once: each is one physical range
 *   shared memory, physical memory (dma)      the same memory
 *   reservations                              the range, not what others have mapped there
 *
 * What others write while the call runs may be in the copy or not. NULL: EINVAL, ENOMEM, EOVERFLOW
 * (a frame is shared by 65536), ENOTSUP (a VMA of a type that cannot be cloned).
 */
address_space_t *vmm_address_space_clone(address_space_t *as);

/* Destroy the address space with all its regions. EINVAL, EBUSY (it is active). */
int vmm_address_space_destroy(address_space_t *as);

/* Create a region at va, which must be aligned to the boundary of len. EEXIST: it is occupied. */
int vmm_address_space_region_create_at(address_space_t *as, void *va, size_t len,
                                       address_space_region_prop_t prop);

/* Destroy the region that starts at va. ENOENT: none does. */
int vmm_address_space_region_destroy(address_space_t *as, void *va);

/* Change the properties of the region that starts at va; its contents stay. */
int vmm_address_space_region_set_prop(address_space_t *as, void *va,
                                      address_space_region_prop_t prop);

/* Copy len bytes out of regions of the address space, whatever their properties. */
int vmm_address_space_copy_out(address_space_t *as, void *vakernel, const void *vasrc, size_t len);

/* Make the address space the one that EL0 runs in on this CPU; NULL: none. */
int vmm_address_space_activate(address_space_t *as);

/* The PA behind va, whatever the region's properties. EFAULT: no region there. */
int vmm_address_space_translate(address_space_t *as, const void *va, void **pa);

/* The first region that ends above va. ENOENT: none. Go on with (char *)out->va + out->len. */
int vmm_address_space_region_next(address_space_t *as, const void *va, address_space_region_t *out);

/* The address space's ID: 1, 2, ... and never one twice. 0: EINVAL. */
uint64_t vmm_address_space_id(const address_space_t *as);

/* The live address spaces in order of creation: NULL gives the first; NULL after the last. */
address_space_t *vmm_address_space_next(address_space_t *as);

int vmm_stats(vmm_stats_t *out);

/* Status of the latest call of this header on this CPU: 0 or a negative errno. */
int vmm_last_error(void);

#endif
