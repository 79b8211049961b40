# SPDX-License-Identifier: BSD-3-Clause
"""What looks over a kernel's shoulder while it runs. Each part is imported by its own name."""
