/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TOUR_PARTS_H
#define TOUR_PARTS_H

#include <uk/vmem.h>

/* The parts of the tour. Each line of it says what is so, and "!" where it must not be. */

/* " ", or "!" where something is not right, which is counted as a surprise. */
const char *tour_mark(bool right);

/* Two address spaces with regions, tried from EL0. */
void tour_spaces(void);

/* The examples, and a type of VMA of one's own. */
void tour_examples(void);

/*
 * Draw what the VAS has from vaddr on, a megabyte a line, as the specification does:
 *
 *   what   ┌────────┐0MB
 *          │/  /  / │
 *          │  HEAP  │
 *          ├────────┤2MB
 *          │  RSVD  │
 *          └ ─ ─ ─ ─┘
 */
void tour_draw(struct uk_vas *vas, __vaddr_t vaddr, const char *what);

/*
 * Called while the address spaces of the tour's first part, and later that with the examples,
 * stand: for whoever wants to look at them.
 */
void tour_spaces_ready(void);
void tour_examples_ready(void);

#endif
