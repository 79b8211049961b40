# SPDX-License-Identifier: BSD-3-Clause
"""A test bench for AArch64 kernels with the MMU on."""
