# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark of the proxy beside its peers: tests/bench/proxies."""
