/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/address_space.h"

#include "core/kmalloc.h"
#include "core/shared_memory.h"
#include "core/status.h"
#include "core/vas.h"
#include "lib/bits.h"
#include "lukos/frames.h"
#include "lukos/objects.h"
#include "lukos/vas.h"
#include "lukos/vmm_arch.h"

static struct {
    bool ready;
    struct lock lock;
    struct object_cache cache;
    struct list live;
    size_t count; /* of them */
    uint64_t last_id;
} spaces;

void vmm_init(void)
{
    if (spaces.ready) {
        (void)status_record(-EBUSY);
        return;
    }
    vmm_arch_init();
    object_cache_init(&spaces.cache, "address space", sizeof(struct address_space));
    list_init(&spaces.live);
    kmalloc_init();
    shared_memory_init();
    vas_init_kernel();
    spaces.ready = true;
    (void)status_record(0);
}

bool address_space_is_live(const address_space_t *as)
{
    return object_is_live(&spaces.cache, as);
}

size_t address_space_count(void)
{
    return spaces.count;
}

/* An address space that nobody knows of yet; NULL: out of memory. */
static address_space_t *create(void)
{
    address_space_t *as = object_alloc(&spaces.cache);
    struct uk_pagetable *pt = as == NULL ? NULL : vmm_arch_context_create(as);

    if (pt == NULL) {
        if (as != NULL) {
            object_free(&spaces.cache, as);
        }
        return NULL;
    }
    (void)uk_vas_init(&as->vas, pt, uk_alloc_get_default());
    pt->arch.vas = &as->vas;
    return as;
}

static address_space_t *publish(address_space_t *as)
{
    lock_acquire(&spaces.lock);
    as->id = ++spaces.last_id;
    list_push_back(&spaces.live, &as->link);
    spaces.count++;
    lock_release(&spaces.lock);
    (void)status_record(0);
    return as;
}

static void dispose(address_space_t *as)
{
    vmm_arch_context_retire(as->vas.pt);
    uk_vas_destroy(&as->vas);
    vmm_arch_context_destroy(as->vas.pt);
    object_free(&spaces.cache, as);
}

address_space_t *vmm_address_space_create(void)
{
    address_space_t *as = create();

    if (as == NULL) {
        (void)status_record(-ENOMEM);
        return NULL;
    }
    return publish(as);
}

address_space_t *vmm_address_space_clone(address_space_t *as)
{
    address_space_t *copy;
    int status;

    if (!address_space_is_live(as)) {
        (void)status_record(-EINVAL);
        return NULL;
    }
    copy = create();
    status = copy == NULL ? -ENOMEM : vas_clone(&as->vas, &copy->vas);
    if (status == 0) {
        return publish(copy);
    }
    if (copy != NULL) {
        dispose(copy);
    }
    (void)status_record(status);
    return NULL;
}

int vmm_address_space_destroy(address_space_t *as)
{
    if (!address_space_is_live(as)) {
        return status_record(-EINVAL);
    }
    if (vmm_arch_is_active(as->vas.pt)) {
        return status_record(-EBUSY);
    }
    lock_acquire(&spaces.lock);
    list_remove(&as->link);
    spaces.count--;
    lock_release(&spaces.lock);
    dispose(as);
    return status_record(0);
}

struct uk_vas *vmm_address_space_vas(address_space_t *as)
{
    return address_space_is_live(as) ? &as->vas : NULL;
}

int vmm_address_space_activate(address_space_t *as)
{
    if (as != NULL && !address_space_is_live(as)) {
        return status_record(-EINVAL);
    }
    vmm_arch_activate(as == NULL ? NULL : as->vas.pt);
    return status_record(0);
}

uint64_t vmm_address_space_id(const address_space_t *as)
{
    bool live = address_space_is_live(as);

    (void)status_record(live ? 0 : -EINVAL);
    return live ? as->id : 0;
}

address_space_t *vmm_address_space_next(address_space_t *as)
{
    const struct list *link;

    if (as != NULL && !address_space_is_live(as)) {
        (void)status_record(-EINVAL);
        return NULL;
    }
    lock_acquire(&spaces.lock);
    link = as == NULL ? spaces.live.next : as->link.next;
    lock_release(&spaces.lock);
    (void)status_record(0);
    return link == &spaces.live ? NULL : list_entry(link, struct address_space, link);
}

int vmm_stats(vmm_stats_t *out)
{
    if (!vmm_arch_kernel_access(out, sizeof(*out), true)) {
        return status_record(-EFAULT);
    }
    *out = (vmm_stats_t){
        .frames_total = frames_count(FRAME_NONE),
        .frames_free = frames_count(FRAME_FREE),
        .frames_table = frames_count(FRAME_TABLE),
        .frames_object = frames_count(FRAME_OBJECT),
        .frames_region = frames_count(FRAME_REGION),
        .frames_page = frames_count(FRAME_PAGE),
        .frames_file = frames_count(FRAME_FILE),
        .address_spaces = address_space_count(),
        .regions = regions_count(),
    };
    return status_record(0);
}

vaddr_t vmm_find_hole(address_space_t *as, size_t len, size_t align, vaddr_t low, vaddr_t high)
{
    return vma_tree_find_hole(&as->vas.vmas, len, align, low, high);
}
