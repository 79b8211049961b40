/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/vas.h"
#include "lib/bits.h"
#include "lukos/uaccess.h"
#include <uk/nofault.h>

/* uk/nofault.h: page by page, over accesses that report their faults. */

struct paging {
    unsigned long active;
    unsigned long kernel;
};

static struct paging paging_off(unsigned long flags)
{
    struct paging saved = {0, 0};

    if ((flags & UK_NOFAULTF_NOPAGING) != 0) {
        saved.active = uk_vas_paging_savef(uk_vas_get_active());
        saved.kernel = uk_vas_paging_savef(vas_of_kernel());
    }
    return saved;
}

static void paging_restore(unsigned long flags, struct paging saved)
{
    if ((flags & UK_NOFAULTF_NOPAGING) != 0) {
        uk_vas_paging_restoref(vas_of_kernel(), saved.kernel);
        uk_vas_paging_restoref(uk_vas_get_active(), saved.active);
    }
}

/* Bytes from vaddr to the end of its page, or len if that is less. */
static __sz in_page(__vaddr_t vaddr, __sz len)
{
    return min_size(PAGE_SIZE - (vaddr & (PAGE_SIZE - 1)), len);
}

static __sz probe(__vaddr_t vaddr, __sz len, unsigned long flags, bool write)
{
    struct paging saved = paging_off(flags);
    __sz reached = 0;

    while (len > 0) {
        __sz piece = in_page(vaddr, len);

        if (arch_nofault_touch(vaddr, write)) {
            reached += piece;
        } else if ((flags & UK_NOFAULTF_CONTINUE) == 0) {
            break;
        }
        vaddr += piece;
        len -= piece;
    }
    paging_restore(flags, saved);
    return reached;
}

__sz uk_nofault_probe_r(__vaddr_t vaddr, __sz len, unsigned long flags)
{
    return probe(vaddr, len, flags, false);
}

__sz uk_nofault_probe_rw(__vaddr_t vaddr, __sz len, unsigned long flags)
{
    return probe(vaddr, len, flags, true);
}

__sz uk_nofault_memcpy(char *dst, const char *src, __sz len, unsigned long flags)
{
    struct paging saved = paging_off(flags);
    __sz copied = 0;

    while (len > 0) {
        __sz piece = in_page((__vaddr_t)dst, in_page((__vaddr_t)src, len));
        __sz left = arch_nofault_copy(dst, src, piece);

        copied += piece - left;
        if (left != 0 && (flags & UK_NOFAULTF_CONTINUE) == 0) {
            break;
        }
        dst += piece;
        src += piece;
        len -= piece;
    }
    paging_restore(flags, saved);
    return copied;
}
