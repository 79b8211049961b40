# SPDX-License-Identifier: BSD-3-Clause
"""Mutants of a kernel's machine code, each with one instruction changed: does the test suite notice?

mutants.py    which there are        selection.py  which tests execute the instruction
campaign.py   runs them in worker processes    journal.py    what became of each, in a file
"""
