/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef UK_ASSERT_H
#define UK_ASSERT_H

#include "lib/assert.h"

#define UK_ASSERT(condition) ASSERT(condition)

#endif
