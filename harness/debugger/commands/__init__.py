# SPDX-License-Identifier: BSD-3-Clause
"""The commands, a module for each family. A function with `@command` is one; its docstring is its help."""
