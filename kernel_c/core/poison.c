/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/poison.h"

#if LUKOS_DEBUG

#include "lib/assert.h"
#include "lib/string.h"
#include "lukos/vmm_arch.h"

#define POISON_WORD 0xF5F5F5F5F5F5F5F5ULL
#define FULL_FRAMES 512U /* blocks up to 2M are filled whole */
#define LINE 64U

enum { POISON_NOT, POISON_LINE, POISON_FULL };

static size_t poison_length(unsigned poison)
{
    return poison == POISON_FULL ? PAGE_SIZE : LINE;
}

void poison_fill(struct frame *head, size_t count)
{
    unsigned poison = count <= FULL_FRAMES ? POISON_FULL : POISON_LINE;

    for (struct frame *frame = head; frame != head + count; frame++) {
        memset(vmm_arch_ram(frame_address(frame)), POISON_BYTE, poison_length(poison));
        frame->poison = poison;
    }
}

static void frame_check(struct frame *frame)
{
    const uint64_t *words = vmm_arch_ram(frame_address(frame));
    size_t length = poison_length(frame->poison);

    for (size_t word = 0; word != length / sizeof(*words); word++) {
        if (words[word] != POISON_WORD) {
            panic("free frame written: PA 0x%lx holds 0x%lx",
                  frame_address(frame) + word * sizeof(*words), words[word]);
        }
    }
    frame->poison = POISON_NOT;
}

void poison_check(struct frame *head, size_t count)
{
    for (struct frame *frame = head; frame != head + count; frame++) {
        if (frame->poison != POISON_NOT) {
            frame_check(frame);
        }
    }
}

#else

void poison_fill(struct frame *head, size_t count)
{
    (void)head;
    (void)count;
}

void poison_check(struct frame *head, size_t count)
{
    (void)head;
    (void)count;
}

#endif
