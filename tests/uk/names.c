/* SPDX-License-Identifier: BSD-3-Clause */
#include <uk/alloc.h>
#include <uk/falloc.h>
#include <uk/nofault.h>
#include <uk/plat/paging.h>
#include <uk/vma_types.h>
#include <uk/vmem.h>

/*
 * The names of Unikraft's interface that programs use from source, each with the type or the value
 * that it has there. It is compiled, and never run.
 */

#define SAME(expression, type)                                                             \
    _Static_assert(__builtin_types_compatible_p(__typeof__(expression), __typeof__(type)), \
                   #expression)
#define FUNCTION(result, name, ...) SAME(&name, result (*)(__VA_ARGS__))
#define MEMBER(in, name, type) SAME(((in *)0)->name, type)
#define CALLBACK(in, name, result, ...) SAME(((in *)0)->name, result (*)(__VA_ARGS__))
#define VALUE(name, value) _Static_assert((name) == (value), #name)

/* ---- uk/arch/types.h ---- */
SAME(__u8, uint8_t);
SAME(__u16, uint16_t);
SAME(__u32, uint32_t);
SAME(__u64, uint64_t);
SAME(__s8, int8_t);
SAME(__s16, int16_t);
SAME(__s32, int32_t);
SAME(__s64, int64_t);
SAME(__sz, size_t);
SAME(__ssz, ptrdiff_t);
SAME(__off, int64_t);
SAME(__uptr, uintptr_t);
SAME(__vaddr_t, uintptr_t);
SAME(__paddr_t, uint64_t);
SAME(__pte_t, __u64);
VALUE(__PADDR_MIN, 0);
VALUE(__PADDR_MAX, UINT64_MAX);
VALUE(__VADDR_MAX, UINTPTR_MAX);
SAME(__NULL, NULL);

/* ---- uk/arch/paging.h ---- */
VALUE(PAGE_LEVEL, 0);
VALUE(PAGE_SHIFT, 12);
VALUE(PAGE_SIZE, 0x1000);
VALUE(PAGE_MASK, ~0xFFFUL);
VALUE(PAGE_LARGE_LEVEL, 1);
VALUE(PAGE_LARGE_SHIFT, 21);
VALUE(PAGE_LARGE_SIZE, 0x200000);
VALUE(PAGE_LARGE_MASK, ~0x1FFFFFUL);
VALUE(PAGE_HUGE_LEVEL, 2);
VALUE(PAGE_HUGE_SHIFT, 30);
VALUE(PAGE_HUGE_SIZE, 0x40000000);
VALUE(PAGE_HUGE_MASK, ~0x3FFFFFFFUL);
VALUE(PAGE_Lx_SHIFT(2), 30);
VALUE(PAGE_SHIFT_Lx(21), 1);
VALUE(PAGE_Lx_SIZE(1), 0x200000);
VALUE(PAGE_Lx_MASK(1), ~0x1FFFFFUL);
VALUE(PAGE_Lx_ALIGN_UP(0x200001UL, 1), 0x400000);
VALUE(PAGE_Lx_ALIGN_DOWN(0x3FFFFFUL, 1), 0x200000);
VALUE(!!PAGE_Lx_ALIGNED(0x200000UL, 1), 1);
VALUE(!!PAGE_Lx_ALIGNED(0x201000UL, 1), 0);
VALUE(!!PAGE_Lx_HAS(2), 1);
VALUE(!!PAGE_Lx_HAS(3), 0);
VALUE(PAGE_ALIGN_UP(1UL), 0x1000);
VALUE(PAGE_ALIGN_DOWN(0x1FFFUL), 0x1000);
VALUE(!!PAGE_ALIGNED(0x1000UL), 1);
VALUE(PAGE_LARGE_ALIGN_UP(1UL), 0x200000);
VALUE(PAGE_LARGE_ALIGN_DOWN(0x3FFFFFUL), 0x200000);
VALUE(!!PAGE_LARGE_ALIGNED(0x1000UL), 0);
VALUE(PAGE_HUGE_ALIGN_UP(1UL), 0x40000000);
VALUE(PAGE_HUGE_ALIGN_DOWN(0x7FFFFFFFUL), 0x40000000);
VALUE(!!PAGE_HUGE_ALIGNED(0x40000000UL), 1);
VALUE(PAGE_COUNT(0x1001UL), 2);
VALUE(PT_LEVELS, 4);
VALUE(PT_Lx_PTES(0), 512);
VALUE(PT_Lx_IDX(0x40201000UL, 0), 1);
VALUE(PT_Lx_IDX(0x40201000UL, 1), 1);
VALUE(PT_Lx_IDX(0x40201000UL, 2), 1);
VALUE(PT_Lx_PT_PAGES(0, 513UL), 2);
VALUE(PT_PAGES(1UL), 4);
VALUE(PT_PAGES(512UL * 512 + 1), 513 + 2 + 1 + 1);
VALUE(PT_Lx_PTE_INVALID(0), 0);
VALUE(!!PT_Lx_PTE_PRESENT(PT_Lx_PTE_INVALID(0), 0), 0);
VALUE(PT_Lx_PTE_PADDR(PT_Lx_PTE_SET_PADDR(1UL, 0, 0x5000UL), 0), 0x5000);
VALUE(PT_Lx_PTE_SET_PADDR(0x5001UL, 0, 0x6000UL), 0x6001);
VALUE(PT_Lx_PTE_CLEAR_PRESENT(0x5001UL, 0), 0x5000);
VALUE(!!PAGE_Lx_IS(1UL, 1), 1);
VALUE(!!PAGE_Lx_IS(3UL, 1), 0);
VALUE(PAGE_ATTR_PROT_NONE, 0);
VALUE(PAGE_ATTR_PROT_READ, 1);
VALUE(PAGE_ATTR_PROT_WRITE, 2);
VALUE(PAGE_ATTR_PROT_EXEC, 4);
VALUE(PAGE_ATTR_PROT_RW, 3);
VALUE(PAGE_ATTR_PROT_RWX, 7);
VALUE(PAGE_ATTR_TYPE_NORMAL_WB, 0 << 5);
VALUE(PAGE_ATTR_TYPE_NORMAL_WT, 1 << 5);
VALUE(PAGE_ATTR_TYPE_NORMAL_NC, 2 << 5);
VALUE(PAGE_ATTR_TYPE_DEVICE_nGnRnE, 3 << 5);
VALUE(PAGE_ATTR_TYPE_DEVICE_nGnRE, 4 << 5);
VALUE(PAGE_ATTR_TYPE_DEVICE_GRE, 5 << 5);
VALUE(PAGE_ATTR_SHAREABLE_NS, 0 << 8);
VALUE(PAGE_ATTR_SHAREABLE_IS, 1 << 8);
VALUE(PAGE_ATTR_SHAREABLE_OS, 2 << 8);
VALUE(__VADDR_ANY, __VADDR_INV);
VALUE(__PADDR_ANY, __PADDR_INV);
VALUE(!!PAGE_HUGE_ALIGNED(__VADDR_INV), 1);
VALUE(!!PAGE_HUGE_ALIGNED(__PADDR_INV), 1);
FUNCTION(int, ukarch_vaddr_isvalid, __vaddr_t);
FUNCTION(int, ukarch_vaddr_range_isvalid, __vaddr_t, __sz);
FUNCTION(int, ukarch_paddr_isvalid, __paddr_t);
FUNCTION(int, ukarch_paddr_range_isvalid, __paddr_t, __sz);
FUNCTION(int, ukarch_pte_read, __vaddr_t, unsigned int, unsigned int, __pte_t *);
FUNCTION(int, ukarch_pte_write, __vaddr_t, unsigned int, unsigned int, __pte_t);
FUNCTION(__paddr_t, ukarch_pt_read_base, void);
FUNCTION(void, ukarch_tlb_flush_entry, __vaddr_t);
FUNCTION(void, ukarch_tlb_flush, void);

/* ---- uk/alloc.h ---- */
FUNCTION(struct uk_alloc *, uk_alloc_get_default, void);
FUNCTION(void *, uk_malloc, struct uk_alloc *, __sz);
FUNCTION(void, uk_free, struct uk_alloc *, void *);

/* ---- uk/falloc.h ---- */
VALUE(FALLOC_FLAG_ALIGNED, 1);
CALLBACK(struct uk_falloc, falloc, int, struct uk_falloc *, __paddr_t *, unsigned long,
         unsigned long);
CALLBACK(struct uk_falloc, falloc_from_range, int, struct uk_falloc *, __paddr_t *, unsigned long,
         unsigned long, __paddr_t, __paddr_t);
CALLBACK(struct uk_falloc, ffree, int, struct uk_falloc *, __paddr_t, unsigned long);
CALLBACK(struct uk_falloc, addmem, int, struct uk_falloc *, void *, __paddr_t, unsigned long,
         __vaddr_t);
MEMBER(struct uk_falloc, free_memory, __sz);
MEMBER(struct uk_falloc, total_memory, __sz);
FUNCTION(__paddr_t, uk_falloc, struct uk_falloc *, unsigned long);
FUNCTION(void, uk_ffree, struct uk_falloc *, __paddr_t, unsigned long);

/* ---- uk/plat/paging.h ---- */
MEMBER(struct uk_pagetable, pt_vbase, __vaddr_t);
MEMBER(struct uk_pagetable, pt_pbase, __paddr_t);
MEMBER(struct uk_pagetable, fa, struct uk_falloc *);
MEMBER(struct uk_pagetable, arch, struct ukarch_pagetable);
VALUE(PAGE_FLAG_KEEP_PTES, 1);
VALUE(PAGE_FLAG_KEEP_FRAMES, 2);
VALUE(PAGE_FLAG_FORCE_SIZE, 4);
VALUE(PAGE_FLAG_SIZE(2), 0x20);
VALUE(PAGE_FLAG_SIZE_TO_LEVEL(0x20 | PAGE_FLAG_FORCE_SIZE), 2);
VALUE(PAGE_FLAG_CLONE_NEW, 1);
VALUE(UKPLAT_PAGE_MAPX_ESKIP, 1);
VALUE(UKPLAT_PAGE_MAPX_ETOOBIG, 2);
SAME(ukplat_page_mapx_func_t,
     int (*)(struct uk_pagetable *, __vaddr_t, __vaddr_t, unsigned int, __pte_t *, void *));
MEMBER(struct ukplat_page_mapx, map, ukplat_page_mapx_func_t);
MEMBER(struct ukplat_page_mapx, ctx, void *);
FUNCTION(struct uk_pagetable *, ukplat_pt_get_active, void);
FUNCTION(int, ukplat_pt_set_active, struct uk_pagetable *);
FUNCTION(int, ukplat_pt_init, struct uk_pagetable *, __paddr_t, __sz);
FUNCTION(int, ukplat_pt_add_mem, struct uk_pagetable *, __paddr_t, __sz);
FUNCTION(int, ukplat_pt_clone, struct uk_pagetable *, struct uk_pagetable *, unsigned long);
FUNCTION(int, ukplat_pt_free, struct uk_pagetable *, unsigned long);
FUNCTION(int, ukplat_pt_walk, struct uk_pagetable *, __vaddr_t, unsigned int *, __vaddr_t *,
         __pte_t *);
FUNCTION(int, ukplat_page_map, struct uk_pagetable *, __vaddr_t, __paddr_t, unsigned long,
         unsigned long, unsigned long);
FUNCTION(int, ukplat_page_mapx, struct uk_pagetable *, __vaddr_t, __paddr_t, unsigned long,
         unsigned long, unsigned long, struct ukplat_page_mapx *);
FUNCTION(int, ukplat_page_unmap, struct uk_pagetable *, __vaddr_t, unsigned long, unsigned long);
FUNCTION(int, ukplat_page_set_attr, struct uk_pagetable *, __vaddr_t, unsigned long, unsigned long,
         unsigned long);
FUNCTION(__vaddr_t, ukplat_page_kmap, struct uk_pagetable *, __paddr_t, unsigned long,
         unsigned long);
FUNCTION(void, ukplat_page_kunmap, struct uk_pagetable *, __vaddr_t, unsigned long, unsigned long);
FUNCTION(int, ukplat_paging_init, void);

/* ---- uk/nofault.h ---- */
VALUE(UK_NOFAULTF_CONTINUE, 1);
VALUE(UK_NOFAULTF_NOPAGING, 2);
FUNCTION(__sz, uk_nofault_probe_r, __vaddr_t, __sz, unsigned long);
FUNCTION(__sz, uk_nofault_probe_rw, __vaddr_t, __sz, unsigned long);
FUNCTION(__sz, uk_nofault_memcpy, char *, const char *, __sz, unsigned long);

/* ---- uk/vmem.h ---- */
MEMBER(struct uk_vas, a, struct uk_alloc *);
MEMBER(struct uk_vas, pt, struct uk_pagetable *);
MEMBER(struct uk_vas, vma_base, __vaddr_t);
MEMBER(struct uk_vas, flags, unsigned long);
MEMBER(struct uk_vma, start, __vaddr_t);
MEMBER(struct uk_vma, end, __vaddr_t);
MEMBER(struct uk_vma, vas, struct uk_vas *);
MEMBER(struct uk_vma, ops, const struct uk_vma_ops *);
MEMBER(struct uk_vma, attr, unsigned long);
MEMBER(struct uk_vma, flags, unsigned long);
MEMBER(struct uk_vma, page_lvl, int);
MEMBER(struct uk_vma, name, const char *);
MEMBER(struct uk_vm_fault, vaddr, const __vaddr_t);
MEMBER(struct uk_vm_fault, len, const __sz);
MEMBER(struct uk_vm_fault, vbase, const __vaddr_t);
MEMBER(struct uk_vm_fault, paddr, __paddr_t);
MEMBER(struct uk_vm_fault, type, const unsigned int);
MEMBER(struct uk_vm_fault, pte, __pte_t);
MEMBER(struct uk_vm_fault, level, const unsigned int);
MEMBER(struct uk_vm_fault, regs, struct __regs *);
CALLBACK(struct uk_vma_ops, get_base, __vaddr_t, struct uk_vas *, void *, unsigned long);
CALLBACK(struct uk_vma_ops, new, int, struct uk_vas *, __vaddr_t, __sz, void *, unsigned long,
         unsigned long *, struct uk_vma **);
CALLBACK(struct uk_vma_ops, destroy, void, struct uk_vma *);
CALLBACK(struct uk_vma_ops, fault, int, struct uk_vma *, struct uk_vm_fault *);
CALLBACK(struct uk_vma_ops, unmap, int, struct uk_vma *, __vaddr_t, __sz);
CALLBACK(struct uk_vma_ops, split, int, struct uk_vma *, __vaddr_t, struct uk_vma **);
CALLBACK(struct uk_vma_ops, merge, int, struct uk_vma *, struct uk_vma *);
CALLBACK(struct uk_vma_ops, set_attr, int, struct uk_vma *, unsigned long);
CALLBACK(struct uk_vma_ops, advise, int, struct uk_vma *, __vaddr_t, __sz, unsigned long);
VALUE(UK_VAS_FLAG_NO_PAGING, 1);
VALUE(UK_VMA_FLAG_UNINITIALIZED, 1);
VALUE(UK_VMA_FAULT_ACCESSTYPE, 3);
VALUE(UK_VMA_FAULT_READ, 0);
VALUE(UK_VMA_FAULT_WRITE, 1);
VALUE(UK_VMA_FAULT_EXEC, 2);
VALUE(UK_VMA_FAULT_NONPRESENT, 4);
VALUE(UK_VMA_FAULT_MISCONFIG, 8);
VALUE(UK_VMA_FAULT_SOFT, 16);
VALUE(UK_VMA_FLAG_STRICT_VMA_CHECK, 0x1000);
VALUE(UK_VMA_MAP_POPULATE, 1);
VALUE(UK_VMA_MAP_UNINITIALIZED, 2);
VALUE(UK_VMA_MAP_REPLACE, 4);
VALUE(UK_VMA_MAP_SIZE(12), 12 << 5);
VALUE(UK_VMA_MAP_SIZE_TO_ORDER(UK_VMA_MAP_SIZE_2MB | UK_VMA_MAP_REPLACE), 21);
VALUE(UK_VMA_MAP_SIZE_4KB, 12 << 5);
VALUE(UK_VMA_MAP_SIZE_2MB, 21 << 5);
VALUE(UK_VMA_MAP_SIZE_1GB, 30 << 5);
VALUE(UK_VMA_MAP_EXTF_SHIFT, 32);
VALUE(UK_VMA_MAP_EXTF_MASK, 0xFFFFFFFF);
VALUE(UK_VMA_ADV_DONTNEED, 1);
VALUE(UK_VMA_ADV_WILLNEED, 2);
VALUE(UK_VMA_ADV_EXTF_SHIFT, 32);
FUNCTION(struct uk_vas *, uk_vas_get_active, void);
FUNCTION(int, uk_vas_set_active, struct uk_vas *);
FUNCTION(int, uk_vas_init, struct uk_vas *, struct uk_pagetable *, struct uk_alloc *);
FUNCTION(void, uk_vas_destroy, struct uk_vas *);
FUNCTION(unsigned long, uk_vas_paging_savef, struct uk_vas *);
FUNCTION(void, uk_vas_paging_restoref, struct uk_vas *, unsigned long);
FUNCTION(const struct uk_vma *, uk_vma_find, struct uk_vas *, __vaddr_t);
FUNCTION(const struct uk_vma *, uk_vma_first, struct uk_vas *);
FUNCTION(const struct uk_vma *, uk_vma_last, struct uk_vas *);
FUNCTION(const struct uk_vma *, uk_vma_next, const struct uk_vma *);
FUNCTION(const struct uk_vma *, uk_vma_prev, const struct uk_vma *);
FUNCTION(int, uk_vma_map, struct uk_vas *, __vaddr_t *, __sz, unsigned long, unsigned long,
         const char *, const struct uk_vma_ops *, void *);
FUNCTION(int, uk_vma_unmap, struct uk_vas *, __vaddr_t, __sz, unsigned long);
FUNCTION(int, uk_vma_set_attr, struct uk_vas *, __vaddr_t, __sz, unsigned long, unsigned long);
FUNCTION(int, uk_vma_advise, struct uk_vas *, __vaddr_t, __sz, unsigned long, unsigned long);

/* ---- uk/vma_types.h ---- */
SAME(&uk_vma_rsvd_ops, const struct uk_vma_ops *);
SAME(&uk_vma_anon_ops, const struct uk_vma_ops *);
SAME(&uk_vma_stack_ops, const struct uk_vma_ops *);
SAME(&uk_vma_dma_ops, const struct uk_vma_ops *);
SAME(&uk_vma_file_ops, const struct uk_vma_ops *);
VALUE(UK_VMA_STACK_GROWS_UP, 1UL << 32);
VALUE(UK_VMA_STACK_TOP_GUARD_SIZE, 4 * PAGE_SIZE);
VALUE(UK_VMA_STACK_BOTTOM_GUARD_SIZE, PAGE_SIZE);
VALUE(UK_VMA_STACK_GUARDS_SIZE, 5 * PAGE_SIZE);
VALUE(UK_VMA_FILE_SHARED, 1UL << 32);
MEMBER(struct uk_vma_dma_args, paddr, __paddr_t);
FUNCTION(int, uk_vma_reserve, struct uk_vas *, __vaddr_t *, __sz);
FUNCTION(int, uk_vma_reserve_ex, struct uk_vas *, __vaddr_t *, __sz, unsigned long, unsigned long,
         const char *);
FUNCTION(int, uk_vma_map_anon, struct uk_vas *, __vaddr_t *, __sz, unsigned long, unsigned long,
         const char *);
FUNCTION(int, uk_vma_map_stack, struct uk_vas *, __vaddr_t *, __sz, unsigned long, const char *,
         __sz);
FUNCTION(int, uk_vma_map_dma, struct uk_vas *, __vaddr_t *, __sz, unsigned long, unsigned long,
         const char *, __paddr_t);
FUNCTION(int, uk_vma_map_file, struct uk_vas *, __vaddr_t *, __sz, unsigned long, unsigned long,
         int, __off);
