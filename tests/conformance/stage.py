# SPDX-License-Identifier: GPL-2.0-or-later
"""The world of the cases: who may ask, who may answer, and where what nobody
translates ends.

A packet to a virtual address that leaves the node untouched reaches the
machine "nobody", which has all of these addresses and answers at every port;
one to a port of the node itself reaches a listener there.  So "untouched" is
an answer from nobody, and neither a refusal nor silence can be mistaken for
it.
"""
from lib import world as worlds

import sctp

PORTS = (8080, 8081)
NOBODY = "nobody"
_NOBODY_PORT = 7
# 10.97.0.0/16 and fd00:97::/112 are cluster addresses only as long as a case
# has a ServiceCIDR for them.
_VIRTUAL = {4: ("10.96.0.0/15", "198.18.0.0/15"),
            6: ("fd00:96::/112", "fd00:97::/112", "2001:db8:2::/64")}
MANY_N = 16
BRIDGE_ADDRS = ("10.244.1.129", "fd00:244:1:0:b::1")


class Client:
    """Where questions come from: a host and its source addresses."""

    def __init__(self, name, host, sources=None):
        self.name = name
        self.host = host
        self._sources = sources

    def sources(self, family):
        """The addresses to bind to; [None]: whatever the host chooses."""
        return self._sources[family] if self._sources else [None]

    def addrs(self, family):
        """What a backend sees of it if nobody masquerades."""
        return self._sources[family] if self._sources else \
            [self.host.addr(family)]


class Stage(worlds.World):
    """The world and its parts by their names in the cases."""

    def __init__(self):
        super().__init__()
        self._sctp = []
        self._hosts = {
            "l1": self.pod("l1", "routed"), "l2": self.pod("l2", "veth"),
            "l3": self.pod("l3", "bridge"),
            "r1": self.pod("r1", "remote"), "r2": self.pod("r2", "remote"),
            # Pods in the network namespace of a node.
            "ln": self.node, "rn": self.remote,
        }
        self._clients = {
            "pod": Client("pod", self.pod("c1", "routed")),
            "pod2": Client("pod2", self.pod("c2", "veth")),
            "bridge-pod": Client("bridge-pod", self.pod("c3", "bridge")),
            "remote-pod": Client("remote-pod", self.pod("c4", "remote")),
            "node": Client("node", self.node),
            # The node's address on the pods' bridge is one of its podCIDRs.
            "gateway": Client("gateway", self.node,
                              {4: [BRIDGE_ADDRS[0]], 6: [BRIDGE_ADDRS[1]]}),
            "remote-node": Client("remote-node", self.remote),
            "external": Client("external", self.external),
            "external2": self._external("external2", ["10"]),
            "many": self._external("many",
                                   [str(101 + n) for n in range(MANY_N)]),
        }
        for name, host in self._hosts.items():
            self._clients.setdefault(name, Client(name, host))
            self._serve_endpoint(name, host)
        self._make_nobody()
        self.node.ns.ip(f"addr add {self.node_addr(11, 4)}/24 dev eth0",
                        f"addr add {self.node_addr(11, 6)}/64 dev eth0 "
                        "preferred_lft 0")

    def client(self, name):
        return self._clients[name]

    def endpoint(self, name):
        return self._hosts[name]

    @staticmethod
    def node_addr(last, family):
        """An address of the node that is none of its Node object's; it has
        that with 11, and with others if a case adds them."""
        return f"192.168.50.{last}" if family == 4 else f"fd50::{last}"

    def public_ip(self, family):
        """As in the world, but of more than 254."""
        if family == 6:
            return super().public_ip(6)
        n = self._next("public", 256)
        return f"198.18.{n // 256}.{n % 256}"

    def _external(self, name, last):
        sources = {4: [f"203.0.113.{n}" for n in last],
                   6: [f"2001:db8:1::{n}" for n in last]}
        self.external.ns.ip(
            *(f"addr add {a}/24 dev eth0" for a in sources[4]),
            *(f"addr add {a}/64 dev eth0 preferred_lft 0"
              for a in sources[6]))
        return Client(name, self.external, sources)

    def _serve_endpoint(self, name, host):
        names = {port: name if port == PORTS[0] else f"{name}:{port}"
                 for port in PORTS}
        for port in PORTS:
            for proto in ("TCP", "UDP"):
                self.serve(host, port, proto, names[port])
        self._sctp.append(sctp.Server(host.ns, names))

    def _make_nobody(self):
        host = self.machine("nobody", 30)
        self.router.sysctl("net.ipv4.conf.all.send_redirects", 0)
        self.router.sysctl("net.ipv4.conf.lan.send_redirects", 0)
        self.node.ns.sysctl("net.ipv4.conf.all.send_redirects", 0)
        self.node.ns.sysctl("net.ipv4.conf.eth0.send_redirects", 0)
        self.router.ip("route add 10.97.0.0/16 via 192.168.50.10",
                       "route add 198.18.0.0/15 via 192.168.50.10",
                       "route add fd00:97::/112 via fd50::10")
        for family, prefixes in _VIRTUAL.items():
            for prefix in prefixes:
                self.node.ns.ip(
                    f"route add {prefix} via {host.addr(family)}")
                host.ns.ip(f"route add local {prefix} dev lo")
        host.ns.nft(
            "table inet nobody {\n"
            "  chain prerouting {\n"
            "    type nat hook prerouting priority -100\n"
            f"    ip daddr {{ {', '.join(_VIRTUAL[4])} }} "
            f"meta l4proto {{ tcp, udp }} redirect to :{_NOBODY_PORT}\n"
            f"    ip6 daddr {{ {', '.join(_VIRTUAL[6])} }} "
            f"meta l4proto {{ tcp, udp }} redirect to :{_NOBODY_PORT}\n"
            "  }\n}\n")
        for proto in ("TCP", "UDP"):
            self.serve(host, _NOBODY_PORT, proto, NOBODY)
        self._sctp.append(sctp.Server(host.ns, NOBODY))
        # The node's SCTP server exists already: its node ports are added.
        self._node_sctp = self._sctp[list(self._hosts).index("ln")]

    def serve_node_port(self, port):
        """Nobody's listener at a port of the node."""
        for proto in ("TCP", "UDP"):
            self.serve(self.node, port, proto, NOBODY)
        self._node_sctp.names[port] = NOBODY

    def close(self):
        for server in getattr(self, "_sctp", ()):
            server.close()
        super().close()
