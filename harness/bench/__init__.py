# SPDX-License-Identifier: BSD-3-Clause
"""What the VMM costs: instructions retired in the guest, which are the same in every run, and host time."""
