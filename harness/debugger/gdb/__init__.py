# SPDX-License-Identifier: BSD-3-Clause
"""GDB's remote serial protocol: packets, what they ask for, and the server that carries them."""
