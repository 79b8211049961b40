# SPDX-License-Identifier: BSD-3-Clause
"""What the sanitizer knows of a kernel: its tables, what it owes to the TLBs, what is not yet in effect."""
