/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TOUR_TOUR_H
#define TOUR_TOUR_H

/*
 * What the VMM does, shown on the console: address spaces with regions of every size and property
 * and user code that may and may not touch them, the examples of uk/vmem.h, and every frame back
 * at the end.
 */
void tour(void);

#endif
