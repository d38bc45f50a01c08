# SPDX-License-Identifier: GPL-2.0-or-later
"""What becomes of a packet, by what `nodesplice plan` prints.

The words are explained in rules/README.md: a frontend has a view for inside
(this node and its pods) and one for outside, a view is a verdict or picks from
a scope of endpoints with a rule of masquerading.
"""
import dataclasses
import ipaddress
import re

import model

_FRONTEND = re.compile(
    r"frontend (\S+) (\S+) inside=(\S+) outside=(\S+)((?: \S+)*)$")


@dataclasses.dataclass
class _Port:
    """What is printed below a line "port"."""
    proto: str
    family: int
    endpoints: list = dataclasses.field(default_factory=list)
    ranges: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class _Frontend:
    kind: str
    port: _Port
    views: dict
    firewalled: bool


def _at(text):
    addr, _, port = text.rpartition(":")
    return addr.strip("[]"), int(port)


class Plan:
    """The text of a plan, asked packet by packet."""

    def __init__(self, text, settings):
        self.settings = settings
        self.frontends = {}
        self.doubled = []
        self._port = None
        for line in text.splitlines():
            self._read(line.strip())

    def _read(self, line):
        word, _, rest = line.partition(" ")
        if word == "port":
            _, proto, family = rest.split()[:3]
            self._port = _Port(proto.upper(), int(family[-1]))
        elif word == "frontend":
            self._read_frontend(line)
        elif word == "endpoint":
            at, *words = rest.split()
            self._port.endpoints.append((*_at(at), frozenset(words)))
        elif word == "source-range":
            self._port.ranges.append(ipaddress.ip_network(rest))
        elif word not in ("service", "setting", "problem"):
            raise ValueError(f"a line that nobody has told us of: {line}")

    def _read_frontend(self, line):
        m = _FRONTEND.match(line)
        if not m:
            raise ValueError(f"a frontend of another form: {line}")
        kind, at, inside, outside, words = m.groups()
        addr, port = _at(at)
        key = (None if kind == "NodePort" else addr, self._port.proto, port,
               self._port.family)
        if key in self.frontends:
            self.doubled.append(line)
        self.frontends[key] = _Frontend(
            kind, self._port, {"inside": inside, "outside": outside},
            "firewalled" in words.split())

    def decide(self, packet):
        f = self.frontends.get((packet.dst, packet.proto, packet.port,
                                packet.family))
        if f is None and packet.dst in self.settings.node_port_addrs:
            f = self.frontends.get((None, packet.proto, packet.port,
                                    packet.family))
        if f is None:
            return self._unclaimed(packet)
        src = ipaddress.ip_address(packet.src)
        if f.firewalled and not any(src in r for r in f.port.ranges):
            return model.DROP
        pod = self.settings.is_local_pod(packet)
        side = "inside" if pod or packet.origin == "node" else "outside"
        return self._view(f, f.views[side].split(","), packet, pod)

    def _unclaimed(self, packet):
        # The plan has no word for these: the floor's set of live cluster IPs
        # holds its frontends of that kind.
        live = any(f.kind == "ClusterIP" and key[0] == packet.dst
                   for key, f in self.frontends.items())
        return model.REJECT if live else model.UNTOUCHED

    @staticmethod
    def _view(f, words, packet, pod):
        if words[0] != "pick":
            return (words[0],)
        scope, masquerade = words[1:3]
        node_source = {"keep": False,
                       "masquerade": True,
                       "masquerade-unless-pod": not pod,
                       "masquerade-if-node": packet.origin == "node"}
        return ("dnat", frozenset(
            (addr, port, _source(packet, addr, flags,
                                 node_source[masquerade]))
            for addr, port, flags in f.port.endpoints if scope in flags))


def _source(packet, addr, flags, masquerade):
    # What the node itself sends has an address of the node in any case.
    if packet.origin == "node":
        return "node"
    if "own" in flags:
        return "kept"
    return ("node" if masquerade or "here" in flags and addr == packet.src
            else "kept")
