# SPDX-License-Identifier: GPL-2.0-or-later
"""What becomes of a packet, by the rules of Kubernetes alone.

This is no translation of the daemon: it was written from the documentation of
the Service API and of kube-proxy (nftables mode), without sight of the C
sources, and shares no code with them.  It is slow and plain on purpose.

    Model(objects, settings).decide(packet) -> frozenset of outcomes

An outcome is ("dnat", endpoints) with endpoints a frozenset of (address, port,
source) and source "kept" or "node"; or ("reject",), ("drop",), ("untouched",).
There is more than one only where Kubernetes leaves it open: if two slices say
different things of one endpoint, either may be believed.
"""
import dataclasses
import ipaddress
import itertools

REJECT = ("reject",)
DROP = ("drop",)
UNTOUCHED = ("untouched",)

# Where Kubernetes leaves it open: how many combinations are tried.
MAX_READINGS = 64


@dataclasses.dataclass(frozen=True)
class Packet:
    """The first packet of a connection.

    client: who sends it; origin: "pod" (of this node), "node", "remote-pod",
    "remote-node" or "external"; interface: where it enters the node, None if
    it starts there.
    """
    client: str
    origin: str
    src: str
    dst: str
    proto: str
    port: int
    interface: str | None = None

    @property
    def family(self):
        return ipaddress.ip_address(self.dst).version

    def __str__(self):
        return (f"{self.client} {self.src} -> {self.dst} "
                f"{self.proto.lower()}/{self.port}")


@dataclasses.dataclass
class Settings:
    """What the rules depend on beside the objects."""
    node_name: str
    node_addrs: tuple          # of the node's Node object, both families
    node_port_addrs: tuple     # those that node ports are served on
    service_cidrs: tuple = ()  # of ServiceCIDR objects
    local_mode: str = "NodeCIDR"
    local_cidrs: tuple = ()    # NodeCIDR, ClusterCIDR
    local_interface: str = ""  # BridgeInterface, InterfaceNamePrefix
    masquerade_all: bool = False
    proxy_name: str | None = None

    def has_detector(self, family):
        if self.local_mode in ("NodeCIDR", "ClusterCIDR"):
            return any(_network(c).version == family for c in self.local_cidrs)
        return self.local_mode != "none"

    def is_local_pod(self, packet):
        """Whether the detector takes the sender for a pod of this node.
        (ClusterCIDR cannot tell the nodes of a cluster apart.)"""
        if self.local_mode in ("NodeCIDR", "ClusterCIDR"):
            return any(within(packet.src, c) for c in self.local_cidrs)
        if packet.interface is None:
            return False
        if self.local_mode == "BridgeInterface":
            return packet.interface == self.local_interface
        if self.local_mode == "InterfaceNamePrefix":
            return packet.interface.startswith(self.local_interface)
        return False


def _network(text):
    return ipaddress.ip_network(text.strip(), strict=False)


def within(addr, cidr):
    addr, net = ipaddress.ip_address(addr), _network(cidr)
    return addr.version == net.version and addr in net


def _of_family(texts, family):
    return [t for t in texts if ipaddress.ip_address(t).version == family]


def _canonical(addr):
    return str(ipaddress.ip_address(addr))


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """One slice's word about an address and port."""
    addr: str
    port: int
    local: bool
    ready: bool
    serving: bool
    terminating: bool
    zones: frozenset
    nodes: frozenset

    @property
    def leaving(self):
        """Usable if nobody is ready."""
        return self.serving and self.terminating


class ServicePort:
    """One port of a Service in one address family."""

    def __init__(self, service, port, family, cluster_ip, settings):
        spec, meta = service["spec"], service["metadata"]
        self.key = (meta.get("namespace", "default"), meta["name"])
        # Of several Services that claim a frontend, the first one with
        # endpoints has it.
        self.age = (meta.get("creationTimestamp") or "", *self.key)
        self.name = port.get("name") or ""
        self.proto = port.get("protocol") or "TCP"
        self.port = port["port"]
        self.family = family
        self.cluster_ip = _canonical(cluster_ip)
        self.external_ips = [_canonical(i) for i in _of_family(
            spec.get("externalIPs") or (), family)]
        self.ingress_ips = self._ingress_ips(service)
        self.node_port = port.get("nodePort") or 0
        self.internal_local = spec.get("internalTrafficPolicy") == "Local"
        # The field means nothing for a Service without such frontends.
        self.external_local = (
            spec.get("externalTrafficPolicy") == "Local" and
            (spec.get("type") in ("NodePort", "LoadBalancer") or
             bool(spec.get("externalIPs"))))
        self.source_ranges = self._source_ranges(spec, settings)
        self.affinity = spec.get("sessionAffinity") == "ClientIP"
        self.readings = []  # lists of Endpoint, each what the slices may mean

    def _ingress_ips(self, service):
        """Those of load balancers that leave the address on the packet."""
        balancer = (service.get("status") or {}).get("loadBalancer") or {}
        return [_canonical(i["ip"]) for i in balancer.get("ingress") or ()
                if i.get("ip") and i.get("ipMode", "VIP") == "VIP" and
                _of_family([i["ip"]], self.family)]

    def _source_ranges(self, spec, settings):
        """The networks that may ask; none: everybody."""
        ranges = [r.strip() for r in
                  spec.get("loadBalancerSourceRanges") or ()]
        ranges = [r for r in ranges if _network(r).version == self.family]
        if any(_network(r).prefixlen == 0 for r in ranges):
            return []
        node = _of_family(settings.node_addrs, self.family)
        # A balancer's address may be one of the node's: then the node asks
        # itself from that very address.
        if node and any(within(node[0], r) for r in ranges):
            ranges += self.ingress_ips
        return ranges

    def refused_by_ranges(self, packet):
        return (packet.dst in self.ingress_ips and self.source_ranges and
                not any(within(packet.src, r) for r in self.source_ranges))

    @property
    def externally_accessible(self):
        return bool(self.external_ips or self.ingress_ips or self.node_port)


class Model:
    """All of the objects, as one node sees them."""

    def __init__(self, objects, settings):
        self.settings = settings
        self.zone = self._own_zone(objects)
        slices = [o for o in objects if o["kind"] == "EndpointSlice" and
                  "service.kubernetes.io/headless" not in
                  (o["metadata"].get("labels") or {})]
        self.ports = []
        for service in objects:
            if service["kind"] == "Service" and self._is_ours(service):
                self.ports += self._ports_of(service)
        for port in self.ports:
            port.readings = list(self._readings(port, slices))
        # (address or None for node ports, proto, port, family) -> winner
        self.frontends = {}
        for port in sorted(self.ports, key=lambda p: (self._is_empty(p),
                                                      p.age)):
            for at in self._frontends_of(port):
                self.frontends.setdefault(at, port)

    def _own_zone(self, objects):
        for o in objects:
            if o["kind"] == "Node" and \
                    o["metadata"]["name"] == self.settings.node_name:
                labels = o["metadata"].get("labels") or {}
                return labels.get("topology.kubernetes.io/zone", "")
        return ""

    def _is_ours(self, service):
        labels = service["metadata"].get("labels") or {}
        spec = service["spec"]
        if labels.get("service.kubernetes.io/service-proxy-name") != \
                self.settings.proxy_name:
            return False
        return (spec.get("type") != "ExternalName" and
                spec.get("clusterIP", "") not in ("", "None"))

    def _ports_of(self, service):
        spec = service["spec"]
        for cluster_ip in spec.get("clusterIPs") or [spec["clusterIP"]]:
            family = ipaddress.ip_address(cluster_ip).version
            for port in spec.get("ports") or ():
                yield ServicePort(service, port, family, cluster_ip,
                                  self.settings)

    @staticmethod
    def _frontends_of(port):
        for addr in (port.cluster_ip, *port.external_ips, *port.ingress_ips):
            yield addr, port.proto, port.port, port.family
        if port.node_port:
            yield None, port.proto, port.node_port, port.family

    # Endpoints

    def _said(self, port, slices):
        """All that slices say of a Service port, address by address."""
        said = {}
        for s in slices:
            meta = s["metadata"]
            of = (meta.get("namespace", "default"),
                  (meta.get("labels") or {}).get("kubernetes.io/service-name"))
            if of != port.key or s["addressType"] != f"IPv{port.family}":
                continue
            for p in s.get("ports") or ():
                if ((p.get("name") or "") == port.name and
                        (p.get("protocol") or "TCP") == port.proto and
                        p.get("port")):
                    for e in s.get("endpoints") or ():
                        endpoint = self._endpoint(e, p["port"])
                        said.setdefault((endpoint.addr, endpoint.port),
                                        []).append(endpoint)
        return said

    def _endpoint(self, e, port):
        conditions = e.get("conditions") or {}
        hints = e.get("hints") or {}
        return Endpoint(
            # One endpoint, one address: the others of the list are for
            # whoever understands them.
            _canonical(e["addresses"][0]), port,
            e.get("nodeName") == self.settings.node_name,
            conditions.get("ready") is not False,
            conditions.get("serving") is not False,
            conditions.get("terminating") is True,
            frozenset(z["name"] for z in hints.get("forZones") or ()),
            frozenset(n["name"] for n in hints.get("forNodes") or ()))

    def _readings(self, port, slices):
        """One endpoint may be in two slices for a while, or an address may
        have passed from a pod that ends to a new one.  The one that does not
        terminate is believed; among equals any."""
        choices = []
        for same in self._said(port, slices).values():
            staying = [e for e in same if not e.terminating]
            choices.append(list(dict.fromkeys(staying or same)))
        return itertools.islice(itertools.product(*choices), MAX_READINGS)

    def _cluster(self, endpoints):
        """Those that traffic with the policy Cluster may reach."""
        ready = [e for e in endpoints if e.ready]
        if not ready:
            return [e for e in endpoints if e.leaving]
        if all(e.nodes for e in ready):
            here = [e for e in ready if self.settings.node_name in e.nodes]
            if here:
                return here
        if all(e.zones for e in ready):
            here = [e for e in ready if self.zone in e.zones]
            if here:
                return here
        return ready

    @staticmethod
    def _local(endpoints):
        """Those that traffic with the policy Local may reach."""
        here = [e for e in endpoints if e.local]
        return ([e for e in here if e.ready] or
                [e for e in here if e.leaving])

    def _is_empty(self, port):
        """Whether nobody, here or elsewhere, serves the port."""
        return not any(self._cluster(reading) or self._local(reading)
                       for reading in port.readings)

    # Packets

    def port_of(self, packet):
        """Whose frontend the packet is sent to: (ServicePort or None,
        whether it is a node port)."""
        at = (packet.proto, packet.port, packet.family)
        port = self.frontends.get((packet.dst, *at))
        if port is None and packet.dst in self.settings.node_port_addrs:
            return self.frontends.get((None, *at)), True
        return port, False

    def decide(self, packet):
        port, by_node_port = self.port_of(packet)
        if port is None:
            return frozenset([self._unclaimed(packet)])
        if not by_node_port and port.refused_by_ranges(packet):
            return frozenset([DROP])
        internal = packet.dst == port.cluster_ip
        return frozenset(self._send(port, internal, packet, list(endpoints))
                         for endpoints in port.readings)

    def _unclaimed(self, packet):
        """A port that no Service has: refused on a live ClusterIP.  An
        address that only a Service could have, and none has: dropped."""
        if any(p.cluster_ip == packet.dst for p in self.ports):
            return REJECT
        if any(within(packet.dst, c) for c in self.settings.service_cidrs):
            return DROP
        return UNTOUCHED

    def _send(self, port, internal, packet, endpoints):
        usable = [e for e in endpoints if e.ready or e.leaving]
        if not usable:
            return REJECT
        pod = self.settings.is_local_pod(packet)
        if internal:
            local = port.internal_local
            masquerade = (self.settings.masquerade_all or
                          self.settings.has_detector(packet.family) and
                          not pod)
        elif not port.external_local:
            local = False
            masquerade = True
        else:
            # What starts on this node counts as if it had gone up to the
            # load balancer and come back to any node.
            local = not pod and packet.origin != "node"
            masquerade = False
        chosen = self._local(endpoints) if local else self._cluster(endpoints)
        if not chosen:
            return DROP
        return ("dnat", frozenset(
            (e.addr, e.port, self._source(packet, e, masquerade))
            for e in chosen))

    def _source(self, packet, endpoint, masquerade):
        """Whose address the endpoint sees in the end."""
        if packet.origin == "node":
            return "node"
        # What is for a pod in the node's own network namespace does not leave
        # the node: there is nothing after routing that could masquerade.
        if endpoint.addr in self.settings.node_addrs:
            return "kept"
        return ("node" if masquerade or self._hairpin(endpoint, packet)
                else "kept")

    @staticmethod
    def _hairpin(endpoint, packet):
        """A pod that reaches itself must see another address than its own,
        or it would answer to itself and past the translation."""
        return endpoint.local and endpoint.addr == packet.src
