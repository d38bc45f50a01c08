# SPDX-License-Identifier: GPL-2.0-or-later
"""A small cluster's network, IPv4 and IPv6 everywhere.

   external          router (bridge "lan")            node
   203.0.113.9 ---- .1          192.168.50.1 -------- 192.168.50.10
   2001:db8:1::9                fd50::1    |          fd50::10
                                           |            pods 10.244.1.0/24
                              remote node  |                 fd00:244:1::/64
                              192.168.50.20, fd50::20
                                pods 10.244.2.0/24, fd00:244:2::/64

Pods of the node are attached in the three ways that network plugins use:

  routed  no address on the node's side of the veth, /32 and /128 routes, the
          gateway is 169.254.1.1 by proxy ARP and a link-local address (Calico)
  veth    the gateway's address on the node's side of each veth (ptp plugin)
  bridge  ports of one bridge that has the gateway's address (bridge, flannel)

The router sends to the node what is for 198.51.100.0/24 and 2001:db8:2::/64
(load balancer and external addresses) and for the cluster addresses.
"""
import itertools

from . import backend
from .netns import Namespace

NODE_NAME = "node-1"
REMOTE_NODE_NAME = "node-2"
NODE_POD_CIDRS = ("10.244.1.0/24", "fd00:244:1::/64")
REMOTE_POD_CIDRS = ("10.244.2.0/24", "fd00:244:2::/64")
SERVICE_CIDRS = ("10.96.0.0/16", "fd00:96::/112")
POD_KINDS = ("routed", "veth", "bridge")

# What Calico gives to the node's side of each veth, and its link-local address.
_CALI_MAC = "ee:ee:ee:ee:ee:ee"
_CALI_LINK_LOCAL = "fe80::ecee:eeff:feee:eeee"

# A bridge without an address of its own takes the lowest of its ports', and
# another one when a port comes: who has the old one in its neighbour table is
# not heard for up to a minute.  The bridge plugin sets it for that reason.
_LAN_MAC = "02:00:00:00:32:01"
_CNI_MAC = "02:00:00:00:01:81"


class Host:
    """A namespace with one address per family that tests speak to."""

    def __init__(self, name, ns, addr4, addr6, node_name=None):
        self.name = name
        self.ns = ns
        self.addr4 = addr4
        self.addr6 = addr6
        self.node_name = node_name
        self.interface = None  # of a pod: the name on the node's side

    def addr(self, family):
        return self.addr4 if family == 4 else self.addr6

    def __repr__(self):
        return f"<{self.name} {self.addr4} {self.addr6}>"


class World:
    """The namespaces, the pods on demand, and addresses for Services."""

    def __init__(self):
        self._namespaces = []
        self._serials = {}
        self._pods = {}
        self._backends = {}
        self.router = self._namespace("router")
        self.node = Host("node", self._namespace("node"), "192.168.50.10",
                         "fd50::10", NODE_NAME)
        self.remote = Host("remote", self._namespace("remote"),
                           "192.168.50.20", "fd50::20", REMOTE_NODE_NAME)
        self.external = Host("external", self._namespace("external"),
                             "203.0.113.9", "2001:db8:1::9")
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _namespace(self, role):
        ns = Namespace(role)
        self._namespaces.append(ns)
        return ns

    def _build(self):
        for host in (self.node, self.remote):
            host.ns.sysctl("net.ipv4.ip_forward", 1)
            host.ns.sysctl("net.ipv6.conf.all.forwarding", 1)
            # Tests are refused more often than six times and then once a
            # second.
            host.ns.sysctl("net.ipv4.icmp_ratelimit", 0)
            host.ns.sysctl("net.ipv6.icmp.ratelimit", 0)
        self.router.sysctl("net.ipv4.ip_forward", 1)
        self.router.sysctl("net.ipv6.conf.all.forwarding", 1)
        self.router.ip(
            f"link add lan address {_LAN_MAC} type bridge",
            "link set lan up",
            "addr add 192.168.50.1/24 dev lan",
            "addr add fd50::1/64 dev lan",
            f"link add ext type veth peer name eth0 netns {self.external.ns}",
            "link set ext up",
            "addr add 203.0.113.1/24 dev ext",
            "addr add 2001:db8:1::1/64 dev ext")
        self.external.ns.ip(
            "link set eth0 up",
            "addr add 203.0.113.9/24 dev eth0",
            "addr add 2001:db8:1::9/64 dev eth0",
            "route add default via 203.0.113.1",
            "route add ::/0 via 2001:db8:1::1")
        self.join_lan(self.node)
        self.join_lan(self.remote)
        self.node.ns.ip(
            "route add 10.244.2.0/24 via 192.168.50.20",
            "route add fd00:244:2::/64 via fd50::20",
            f"link add cni0 address {_CNI_MAC} type bridge",
            "link set cni0 up",
            "addr add 10.244.1.129/25 dev cni0",
            "addr add fd00:244:1:0:b::1/80 dev cni0")
        self.remote.ns.ip(
            "route add 10.244.1.0/24 via 192.168.50.10",
            "route add fd00:244:1::/64 via fd50::10")
        self.router.ip(
            "route add 10.244.1.0/24 via 192.168.50.10",
            "route add fd00:244:1::/64 via fd50::10",
            "route add 10.244.2.0/24 via 192.168.50.20",
            "route add fd00:244:2::/64 via fd50::20",
            "route add 10.96.0.0/16 via 192.168.50.10",
            "route add fd00:96::/112 via fd50::10",
            "route add 198.51.100.0/24 via 192.168.50.10",
            "route add 2001:db8:2::/64 via fd50::10")

    def join_lan(self, host):
        """Give a host its addresses on the nodes' network."""
        port = f"lan{self._next('lan')}"
        self.router.ip(
            f"link add {port} type veth peer name eth0 netns {host.ns}",
            f"link set {port} master lan up")
        host.ns.ip(
            "link set eth0 up",
            f"addr add {host.addr4}/24 dev eth0",
            f"addr add {host.addr6}/64 dev eth0",
            "route add default via 192.168.50.1",
            "route add ::/0 via fd50::1")

    def machine(self, name, last_byte):
        """One more machine on the nodes' network."""
        host = Host(name, self._namespace(name), f"192.168.50.{last_byte}",
                    f"fd50::{last_byte}")
        self.join_lan(host)
        return host

    def _next(self, what, start=0):
        return next(self._serials.setdefault(what, itertools.count(start)))

    def pod(self, name, kind="routed"):
        """The pod of that name; made at the first call."""
        if name not in self._pods:
            make = getattr(self, f"_pod_{kind}")
            self._pods[name] = make(name)
        return self._pods[name]

    def forget(self, pod):
        """Delete a pod with its interface, as a node does."""
        del self._pods[pod.name]
        host = self.node if pod.node_name == NODE_NAME else self.remote
        host.ns.ip(f"link del {pod.interface}")
        pod.ns.close()

    def _pod_routed(self, name):
        n = self._next("routed", 2)
        pod = Host(name, self._namespace(name), f"10.244.1.{n}",
                   f"fd00:244:1::{n:x}", NODE_NAME)
        pod.interface = f"cali{n}"
        self.node.ns.ip(
            f"link add {pod.interface} address {_CALI_MAC} type veth "
            f"peer name eth0 netns {pod.ns}",
            f"link set {pod.interface} up",
            f"route add {pod.addr4}/32 dev {pod.interface} scope link",
            f"route add {pod.addr6}/128 dev {pod.interface}")
        self.node.ns.sysctl(f"net/ipv4/conf/{pod.interface}/proxy_arp", 1)
        # As Calico does: else the answer waits for up to 0.8 s.
        self.node.ns.sysctl(f"net/ipv4/neigh/{pod.interface}/proxy_delay", 0)
        pod.ns.ip(
            "link set eth0 up",
            f"addr add {pod.addr4}/32 dev eth0",
            f"addr add {pod.addr6}/128 dev eth0",
            "route add 169.254.1.1 dev eth0 scope link",
            "route add default via 169.254.1.1",
            f"route add ::/0 via {_CALI_LINK_LOCAL} dev eth0")
        return pod

    def _attach_veth(self, host, pod, gateway4, gateway6):
        host.ns.ip(
            f"link add {pod.interface} type veth peer name eth0 "
            f"netns {pod.ns}",
            f"link set {pod.interface} up",
            f"addr add {gateway4}/32 dev {pod.interface}",
            f"addr add {gateway6}/128 dev {pod.interface}",
            f"route add {pod.addr4}/32 dev {pod.interface} scope link",
            f"route add {pod.addr6}/128 dev {pod.interface}")
        pod.ns.ip(
            "link set eth0 up",
            f"addr add {pod.addr4}/32 dev eth0",
            f"addr add {pod.addr6}/128 dev eth0",
            f"route add {gateway4} dev eth0 scope link",
            f"route add default via {gateway4}",
            f"route add {gateway6} dev eth0",
            f"route add ::/0 via {gateway6}")

    def _pod_veth(self, name):
        n = self._next("veth", 100)
        pod = Host(name, self._namespace(name), f"10.244.1.{n}",
                   f"fd00:244:1::{n:x}", NODE_NAME)
        pod.interface = f"veth{n}"
        self._attach_veth(self.node, pod, "10.244.1.1", "fd00:244:1::1")
        return pod

    def _pod_bridge(self, name):
        n = self._next("bridge", 130)
        pod = Host(name, self._namespace(name), f"10.244.1.{n}",
                   f"fd00:244:1:0:b::{n:x}", NODE_NAME)
        pod.interface = f"port{n}"
        self.node.ns.ip(
            f"link add {pod.interface} type veth peer name eth0 "
            f"netns {pod.ns}",
            # hairpin: what the bridge plugin's hairpinMode sets, and a pod
            # that reaches itself through a Service needs.
            f"link set {pod.interface} master cni0 up",
            f"link set {pod.interface} type bridge_slave hairpin on")
        pod.ns.ip(
            "link set eth0 up",
            f"addr add {pod.addr4}/25 dev eth0",
            f"addr add {pod.addr6}/80 dev eth0",
            "route add default via 10.244.1.129",
            "route add ::/0 via fd00:244:1:0:b::1")
        return pod

    def _pod_remote(self, name):
        n = self._next("remote", 2)
        pod = Host(name, self._namespace(name), f"10.244.2.{n}",
                   f"fd00:244:2::{n:x}", REMOTE_NODE_NAME)
        pod.interface = f"veth{n}"
        self._attach_veth(self.remote, pod, "10.244.2.1", "fd00:244:2::1")
        return pod

    def serve(self, host, port, proto="TCP", name=None):
        """The backend at a port of a host; closed with the world."""
        key = (host.name, port, proto)
        b = self._backends.get(key)
        if b is None or b.closed:
            b = backend.Backend(host.ns, port, proto, name or host.name)
            self._backends[key] = b
        return b

    def cluster_ip(self, family):
        n = self._next(f"cluster{family}", 300)
        return (f"10.96.{n // 250}.{n % 250 + 1}" if family == 4
                else f"fd00:96::{n:x}")

    def public_ip(self, family):
        """An address that the router sends to the node."""
        n = self._next(f"public{family}", 1)
        return f"198.51.100.{n}" if family == 4 else f"2001:db8:2::{n:x}"

    def node_port(self):
        return self._next("nodeport", 30100)

    def node_addrs(self, family):
        """All addresses that a masqueraded packet can have."""
        with self.node.ns.enter():
            out = self.node.ns.run("ip", "-o", f"-{family}", "addr",
                                   "show").stdout
        return {line.split()[3].split("/")[0] for line in out.splitlines()}

    def close(self):
        for b in self._backends.values():
            b.close()
        for ns in reversed(self._namespaces):
            ns.close()
