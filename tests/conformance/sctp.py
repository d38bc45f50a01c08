# SPDX-License-Identifier: GPL-2.0-or-later
"""Just enough SCTP to ask who answers, on kernels with and without SCTP.

A client sends INIT; the backend answers INIT ACK whose state cookie is the
line of JSON that other backends greet with.  Both ends are raw sockets, so
the packets on the wire, and what conntrack and NAT make of them, are real, and
only the machine's own nf_conntrack has to know the protocol.
"""
import json
import os
import socket
import struct

from lib import backend

PROTO = 132
_INIT, _INIT_ACK = 1, 2
_COOKIE = 7
_IP_PKTINFO, _IPV6_FREEBIND = 8, 78


def _crc_table():
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82f63b78 if n & 1 else 0)
        yield n


_CRC = tuple(_crc_table())


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xff]
    return crc ^ 0xffffffff


def _packet(sport, dport, tag, kind, initiate_tag, parameters=b""):
    """One INIT or INIT ACK (RFC 9260, 3.3.2 and 3.3.3)."""
    body = struct.pack("!IIHHI", initiate_tag, 65536, 1, 1, initiate_tag)
    chunk = struct.pack("!BBH", kind, 0, 4 + len(body) + len(parameters))
    chunk += body + parameters
    chunk += bytes(-len(chunk) % 4)
    head = struct.pack("!HHI", sport, dport, tag)
    crc = crc32c(head + bytes(4) + chunk)
    return head + struct.pack("<I", crc) + chunk


def _parsed(data):
    """(sport, dport, tag, kind, initiate tag, parameters) or None."""
    if len(data) < 32:
        return None
    sport, dport, tag = struct.unpack_from("!HHI", data)
    kind, _, size = struct.unpack_from("!BBH", data, 12)
    initiate_tag, = struct.unpack_from("!I", data, 16)
    return sport, dport, tag, kind, initiate_tag, data[32:12 + size]


def init(sport, dport, tag):
    return _packet(sport, dport, 0, _INIT, tag)


def cookie(data, sport, dport, tag):
    """The cookie of the INIT ACK to init(sport, dport, tag), or None."""
    parsed = _parsed(data)
    if not parsed or parsed[:4] != (dport, sport, tag, _INIT_ACK):
        return None
    kind, size = struct.unpack_from("!HH", parsed[5])
    return json.loads(parsed[5][4:size]) if kind == _COOKIE else None


def raw_socket(family):
    return socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6,
                         socket.SOCK_RAW, PROTO)


def without_ip_header(family, data):
    """IPv4 raw sockets give the header as well."""
    return data[(data[0] & 15) * 4:] if family == 4 else data


class Server:
    """Answers INIT in a namespace: names is {port: name of the backend}, or
    the name of one that answers at every port."""

    def __init__(self, ns, names):
        self.names = names
        self._sockets = []
        for family in (4, 6):
            with ns.enter():
                s = raw_socket(family)
            if family == 4:
                s.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            else:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
                # Also from an address that is ours by a route alone.
                s.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
            s.setblocking(False)
            self._sockets.append(s)
            backend.engine().call(lambda s=s, f=family: backend.engine().watch(
                s, 1, lambda _events: self._on_packet(s, f)))

    def _on_packet(self, s, family):
        try:
            data, ancillary, _, peer = s.recvmsg(2048, 256)
        except OSError:
            return
        parsed = _parsed(without_ip_header(family, data))
        if not parsed or parsed[3] != _INIT:
            return
        sport, dport, _, _, tag, _ = parsed
        name = (self.names if isinstance(self.names, str)
                else self.names.get(dport))
        if name is None:
            return
        text = json.dumps({"name": name, "peer": peer[0],
                           "port": sport}).encode()
        parameter = struct.pack("!HH", _COOKIE, 4 + len(text)) + text
        answer = _packet(dport, sport, tag, _INIT_ACK,
                         int.from_bytes(os.urandom(4), "big") | 1, parameter)
        try:
            s.sendmsg([answer], [_from_there(family, a) for a in ancillary],
                      0, (peer[0], 0))
        except OSError:
            pass

    def close(self):
        def stop():
            for s in self._sockets:
                backend.engine().forget(s)
                s.close()
        backend.engine().call(stop)


def _from_there(family, message):
    """What makes the asked address the answer's source."""
    level, kind, data = message
    if family == 4:  # struct in_pktinfo: index, spec_dst, addr
        return level, kind, bytes(4) + data[8:12] + bytes(4)
    return level, kind, data[:16] + bytes(4)
