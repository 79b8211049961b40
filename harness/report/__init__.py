# SPDX-License-Identifier: BSD-3-Clause
"""Machines, tables and address spaces as text for people. Nothing here prints."""
