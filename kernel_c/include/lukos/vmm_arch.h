/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LUKOS_VMM_ARCH_H
#define LUKOS_VMM_ARCH_H

#include "lukos/frames.h"
#include "lukos/vmm.h"
#include <uk/plat/paging.h>

/*
 * The only contract between the core and the hardware. The core knows protections, memory types
 * and addresses; descriptors, barriers, TLB and ASIDs stay behind this header.
 *
 * A context is what the hardware needs to translate for one address space. NULL as a context
 * stands for the kernel's own half.
 *
 * Asked of the core in return: frames (lukos/frames.h) and vmm_find_hole() below.
 */

/* ---- the specification ---- */

/*
 * Create the architecture specific context (tables, address space tag) of the address space and
 * return a pointer in kernel VA space to it. NULL: out of memory.
 */
void *vmm_arch_context_create(address_space_t *as);

/* The lowest range of VAs in the context that takes len bytes on their boundary; NULL: none. */
void *vmm_arch_get_free_range(void *context, size_t len);

/* RAM of at least len bytes, contiguous, on the boundary of len; its PA. NULL: none. */
void *vmm_arch_alloc_range(size_t len);

/*
 * Map [va, va + len) to [pa, pa + len) with the largest blocks that fit. All or nothing.
 * -EINVAL (alignment, property), -ERANGE (not translated by hardware), -EEXIST, -ENOMEM.
 */
int vmm_arch_map(void *ctx, address_space_region_prop_t props, void *va, void *pa, size_t len);

/* The PA behind va, mapped or reserved; NULL: nothing is there. */
void *vmm_arch_v2p(void *ctx, void *va);

/* ---- beyond the specification ---- */

/* Once, before any other call: what the CPU can do. */
void vmm_arch_init(void);

/*
 * An inactive context that will not run again: the TLBs forget it at once, and unmapping what it
 * maps costs no more TLB maintenance.
 */
void vmm_arch_context_retire(void *ctx);

/*
 * Destroy an inactive context with whatever it still maps. When it returns no CPU can reach
 * anything through it any more.
 */
void vmm_arch_context_destroy(void *ctx);

void vmm_arch_free_range(void *pa, size_t len);

/*
 * Unmap whatever is in the range. When it returns no CPU can reach it any more and the tables
 * that became empty are back with the frames. -ENOMEM: it cuts a block that cannot be split.
 */
int vmm_arch_unmap(void *ctx, void *va, size_t len);

/* Give what is mapped in the range other properties. -ENOMEM as for unmap. */
int vmm_arch_protect(void *ctx, address_space_region_prop_t props, void *va, size_t len);

/* Translate for ctx on this CPU from now on; NULL: for no address space. */
void vmm_arch_activate(void *ctx);

/* True while any CPU translates for ctx. */
bool vmm_arch_is_active(const void *ctx);

/* The boundary, in bytes, that a range of len bytes is aligned to: 4K, 2M or 1G. */
size_t vmm_arch_boundary(size_t len);

/* True when hardware translates all of [va, va + len) for an address space; VA 0 never. */
bool vmm_arch_va_valid(const void *va, size_t len);

/* True when all of [va, va + len) is memory the kernel may read (write, if so asked). */
bool vmm_arch_kernel_access(const void *va, size_t len, bool write);

/* RAM as the kernel sees it, and back: 0 when the pointer, whatever it is, is not to RAM. */
void *vmm_arch_ram(paddr_t pa);
paddr_t vmm_arch_ram_address(const void *va);

/* The CPU this runs on: 0 to VMM_CPUS - 1. */
#define VMM_CPUS 8
unsigned vmm_arch_cpu(void);

/* Zero [pa, pa + len), both multiples of 4K, by the fastest means there is. */
void vmm_arch_zero(paddr_t pa, size_t len);

/* What was written to [pa, pa + len) is what execution will fetch, on every CPU. */
void vmm_arch_sync_code(paddr_t pa, size_t len);

/*
 * ---- pages, as the VMAs of uk/vmem.h use them ----
 *
 * A context is a struct uk_pagetable. Levels are those of uk/arch/paging.h: 0 is a page of 4K, 1
 * of 2M, 2 of 1G. Arguments are in order: the VMAs have seen to that.
 */

/* True when descriptors can hold the addresses of all pages of [pa, pa + len), at least one. */
static inline bool vmm_arch_pa_valid(paddr_t pa, size_t len)
{
    return (pa | (len - 1) | (pa + len - 1)) < PT_PADDR_END;
}

/* The descriptor, without address, of memory of these attributes (PAGE_ATTR_*); 0: impossible. */
__pte_t vmm_arch_pte(const void *ctx, unsigned long attr);

/*
 * Map a run of pages of one level in steps: find the empty slot of the first, making tables as
 * needed (-EEXIST, -ENOMEM), and how many of the `most` from there on are empty in a row, of those
 * in one table; fill them with memory from pa on, which cannot fail; and publish what was filled,
 * once for as many runs as there are. A slot left unfilled is given up by vmm_arch_pages_unmap(),
 * which returns tables that hold nothing.
 */
int vmm_arch_slot(void *ctx, vaddr_t va, unsigned level, __pte_t **slot);
size_t vmm_arch_slots_empty(const __pte_t *slot, vaddr_t va, unsigned level, size_t most);
void vmm_arch_slots_fill(__pte_t *slots, size_t count, paddr_t pa, __pte_t pte, unsigned level);
void vmm_arch_publish(void);

/* Map a range with pages up to the largest level. All or nothing: -EEXIST, -ENOMEM. */
int vmm_arch_pages_map(void *ctx, vaddr_t va, paddr_t pa, size_t len, __pte_t pte,
                       unsigned largest);

/*
 * Let no page lie across va, so that ranges which end there can be changed without memory: unmap
 * and set_attr cannot fail then. -ENOMEM.
 */
int vmm_arch_pages_cut(void *ctx, vaddr_t va);

/* Unmap; runs, if not NULL, receives the frames, which may be released on return. -ENOMEM. */
int vmm_arch_pages_unmap(void *ctx, vaddr_t va, size_t len, struct frame_runs *runs);
int vmm_arch_pages_set_attr(void *ctx, vaddr_t va, size_t len, unsigned long attr);

/*
 * ---- copies of address spaces ----
 *
 * Let `to`, where the range is empty, map what `from` maps there. owned: nobody writes there, and
 * each allocation of FRAME_PAGE gets a reference more. -ENOMEM, -EOVERFLOW: a part is done, which
 * can be unmapped.
 */
int vmm_arch_pages_share(void *to, const void *from, vaddr_t va, size_t len, bool owned);

/*
 * Take the right to write away from the range, whose ends no page lies across. TLBs may still
 * have it until vmm_arch_sealed(), once for all ranges, returns. True: there was something to take.
 */
bool vmm_arch_pages_seal(const void *ctx, vaddr_t va, size_t len);
void vmm_arch_sealed(const void *ctx);

/* Put other memory in the place of the page at va, which is of this level. */
void vmm_arch_page_replace(void *ctx, vaddr_t va, paddr_t pa, __pte_t pte, unsigned level);

/*
 * Put one page of level 1 at pa in the place of those of level 0, which the caller has looked at:
 * memory of this context alone. Where pa is not that of the first of them, their contents move
 * there, and runs receives their frames. -ENOENT: not all are there, or not all are alike.
 */
int vmm_arch_pages_join(void *ctx, vaddr_t va, paddr_t pa, struct frame_runs *runs);

/* The descriptor of the page at va, with its level; 0: none; not present: no rights. */
__pte_t vmm_arch_page_at(const void *ctx, vaddr_t va, unsigned *level);

/* What the context may map: all of [va, va + len)? From where to where at all? */
bool vmm_arch_range_valid(const void *ctx, vaddr_t va, size_t len);
vaddr_t vmm_arch_range_start(const void *ctx);
vaddr_t vmm_arch_range_end(const void *ctx);

/* An empty page table in place (-ENOMEM), and the end of an inactive one with its tables. */
int vmm_arch_pagetable_init(struct uk_pagetable *context);
void vmm_arch_pagetable_fini(struct uk_pagetable *context);

/* Tables of the context, its top one included. A walk of all of them. */
size_t vmm_arch_tables(const void *ctx);

/*
 * An empty page table, that no CPU will ever run with, for memory that live is to take over later
 * (-ENOMEM). It ends like any other.
 */
int vmm_arch_staging_init(struct uk_pagetable *staging, const struct uk_pagetable *live);

/*
 * Let live take over all that staging maps in the range, with its tables where live has none. It
 * needs no memory. What live has mapped itself stays; then what would have come there remains in
 * staging, and the result is false.
 */
bool vmm_arch_take_over(struct uk_pagetable *live, struct uk_pagetable *staging, vaddr_t va,
                        size_t len);

/*
 * Walk down to *level at most: the entry there, the level and the table. The levels above the
 * first table of a context do not exist: the walk starts at that table.
 */
__pte_t vmm_arch_walk(const void *ctx, vaddr_t va, unsigned *level, vaddr_t *table);

/* The kernel's own context. */
struct uk_pagetable *vmm_arch_kernel_context(void);

/* The context that translates the low half on this CPU; NULL: none. */
struct uk_pagetable *vmm_arch_active(void);

/* ---- asked of the core ---- */

/* The lowest aligned hole of len bytes in [low, high) of the address space; 0: none. */
vaddr_t vmm_find_hole(address_space_t *as, size_t len, size_t align, vaddr_t low, vaddr_t high);

#endif
