/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORE_TOUR_H
#define CORE_TOUR_H

/*
 * What the VMM does, shown on the console: two address spaces, regions of every size and
 * property, user code that may and may not touch them, and every frame back at the end.
 */
void tour(void);

/* Called while both address spaces stand, for whoever wants to look at them. */
void tour_spaces_ready(void);

#endif
