/* SPDX-License-Identifier: BSD-3-Clause */
/* A kernel that is not ours: MMU off. */
#include "../../support/start.S"
