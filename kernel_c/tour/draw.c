/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/bits.h"
#include "lib/console.h"
#include "lib/string.h"
#include "parts.h"

#define WIDTH 8 /* columns within the frame */
#define LINES 4 /* of a picture, without its frame; a line between two VMAs counts */
#define LINE_SHIFT 20

static const char *label_of(const struct uk_vma *vma)
{
    if (vma->name != NULL) {
        return vma->name;
    }
    return vma->ops == &uk_vma_rsvd_ops ? "RSVD" : "";
}

/* Memory is hatched, and has its label in the middle. */
static void draw_line(const struct uk_vma *vma, unsigned line, unsigned lines)
{
    bool hatched = vma->ops != &uk_vma_rsvd_ops;
    char text[WIDTH + 1];

    for (unsigned column = 0; column < WIDTH; column++) {
        text[column] = hatched && (column + line) % 3 == 0 ? '/' : ' ';
    }
    text[WIDTH] = '\0';
    if (line == (hatched ? lines : lines - 1) / 2) {
        (void)format_string(text, sizeof(text), "%*s%-*s", 2, "", WIDTH - 2, label_of(vma));
    }
    console_printf("%s│\n", text);
}

static void indent(const char *what)
{
    console_printf("  %-24s", what);
}

/* As many lines as the VMA has megabytes, or as there are left. */
static unsigned draw_vma(const struct uk_vma *vma, unsigned left)
{
    __sz megabytes = (vma->end - vma->start) >> LINE_SHIFT;
    unsigned lines = (unsigned)min_u64(megabytes, left);

    for (unsigned line = 0; line < lines; line++) {
        indent("");
        console_printf("│");
        draw_line(vma, line, lines);
    }
    return lines;
}

void tour_draw(struct uk_vas *vas, __vaddr_t vaddr, const char *what)
{
    const struct uk_vma *vma = uk_vma_find(vas, vaddr);
    unsigned left = LINES;

    indent(what);
    console_printf("┌────────┐0MB\n");
    while (vma != NULL && left > 0) {
        left -= draw_vma(vma, left);
        if (left > 0) {
            indent("");
            console_printf("├────────┤%luMB\n", (vma->end - vaddr) >> LINE_SHIFT);
            left--;
            vma = uk_vma_next(vma);
        }
    }
    indent("");
    console_printf("└ ─ ─ ─ ─┘\n");
}
