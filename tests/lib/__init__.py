# SPDX-License-Identifier: GPL-2.0-or-later
"""What the whole-daemon tests are made of."""
