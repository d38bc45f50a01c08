# SPDX-License-Identifier: GPL-2.0-or-later
"""The generation of a namespace's nftables ruleset: one per transaction."""
import socket
import struct

_NETLINK_NETFILTER = 12
_GETGEN = (10 << 8) | 16  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETGEN
_REQUEST = 1
_GEN_ID = 1  # NFTA_GEN_ID


def reader(ns):
    """A function that reads the generation, as often as one likes."""
    with ns.enter():
        s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW,
                          _NETLINK_NETFILTER)
    # linux/netfilter/nf_tables.h: NFT_MSG_GETGEN.
    request = struct.pack("=IHHIIBBH", 20, _GETGEN, _REQUEST, 1, 0,
                          socket.AF_UNSPEC, 0, 0)

    def read():
        s.send(request)
        answer = s.recv(4096)
        at = 20
        while at + 4 <= len(answer):
            length, kind = struct.unpack_from("=HH", answer, at)
            if kind & 0x3fff == _GEN_ID:
                return struct.unpack_from(">I", answer, at + 4)[0]
            at += (length + 3) & ~3
        raise AssertionError(f"no generation in {answer.hex()}")
    return read


def generation(ns):
    return reader(ns)()
