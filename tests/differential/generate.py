# SPDX-License-Identifier: GPL-2.0-or-later
"""Random objects and packets; one seed gives the same ones for ever.

A batch is what one node sees at once: SEEDS_A_BATCH seeds, each with a
namespace and addresses of its own, under settings of the batch's own.  All
objects are such as an API server takes.  Pools are small, so that endpoints
meet (in slices, Services, as clients), and so are those of the features that
depend on each other.
"""
import dataclasses
import random

from lib import world

import model

SEEDS_A_BATCH = 20
PORTS = (53, 80, 443, 7070)
UNDEFINED_PORT = 81
TARGETS = (8080, 8081)
NAMES = ("a", "b", "http")
ZONES = ("zone-a", "zone-b", "zone-c")
OTHER_NODES = (world.REMOTE_NODE_NAME, "node-3")
PROTOCOLS = ("TCP", "UDP", "SCTP")
ZONE_LABEL = "topology.kubernetes.io/zone"
CLUSTER_CIDRS = ("10.244.0.0/16", "fd00:244::/32")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where packets come from and go to; the same hosts in both families.
    The names are those of tests/conformance/stage.py."""
    name: str
    origin: str
    addr4: str
    addr6: str
    node_name: str | None = None
    interface: str | None = None

    def addr(self, family):
        return self.addr4 if family == 4 else self.addr6


def _pod(name, last, interface):
    net6 = "fd00:244:1:0:b::" if interface == "cni0" else "fd00:244:1::"
    return Place(name, "pod", f"10.244.1.{last}", f"{net6}{last:x}",
                 world.NODE_NAME, interface)


def _remote_pod(name, last):
    return Place(name, "remote-pod", f"10.244.2.{last}",
                 f"fd00:244:2::{last:x}", world.REMOTE_NODE_NAME, "eth0")


NODE = Place("ln", "node", "192.168.50.10", "fd50::10", world.NODE_NAME)
REMOTE_NODE = Place("rn", "remote-node", "192.168.50.20", "fd50::20",
                    world.REMOTE_NODE_NAME, "eth0")
BACKENDS = (
    _pod("l1", 2, "cali2"), _pod("l2", 100, "veth100"), _pod("l3", 130, "cni0"),
    _remote_pod("r1", 2), _remote_pod("r2", 3), NODE, REMOTE_NODE)
CLIENTS = (
    *BACKENDS,
    _pod("pod", 3, "cali3"), _pod("pod2", 101, "veth101"),
    _pod("bridge-pod", 131, "cni0"), _remote_pod("remote-pod", 4),
    Place("external", "external", "203.0.113.9", "2001:db8:1::9", None,
          "eth0"))
# Addresses of the node that are not its Node's.
NODE_OTHERS = {4: ("192.168.50.11", "10.244.1.129"),
               6: ("fd50::11", "fd00:244:1:0:b::1")}


@dataclasses.dataclass(frozen=True)
class Limits:
    """What the place of the test cannot have."""
    # Several Services that claim one frontend: kube-proxy does not say which
    # one has it.
    conflicts: bool = True
    # Slices that contradict each other.
    contradictions: bool = True
    proxy_names: bool = True
    families: tuple = ((4, 6), (4, 6), (4, 6), (4,), (6,), ())
    service_cidrs: tuple = ()
    packets_n: int | None = None  # of a seed, at most


@dataclasses.dataclass
class Batch:
    settings: model.Settings
    node_port_prefixes: tuple  # none: primary
    objects: list
    packets: dict              # by seed: a list of Packet

    @property
    def node(self):
        return self.objects[0]

    def of(self, seed):
        """The objects of one seed."""
        return [o for o in self.objects
                if o["metadata"].get("namespace") == namespace_of(seed)]

    def options(self):
        """Of nodesplice, for the settings.  A Node's podCIDRs need none."""
        s = self.settings
        options = ["--detect-local-mode", s.local_mode]
        if s.local_mode == "ClusterCIDR":
            options += ["--cluster-cidr", ",".join(s.local_cidrs)]
        elif s.local_mode == "BridgeInterface":
            options += ["--pod-bridge-interface", s.local_interface]
        elif s.local_mode == "InterfaceNamePrefix":
            options += ["--pod-interface-name-prefix", s.local_interface]
        if self.node_port_prefixes:
            options += ["--nodeport-addresses",
                        ",".join(self.node_port_prefixes)]
        if s.masquerade_all:
            options += ["--masquerade-all", "on"]
        if s.proxy_name:
            options += ["--service-proxy-name", s.proxy_name]
        return options

    def configuration(self):
        """Of kube-proxy, for the same."""
        s = self.settings
        fields = {"detectLocalMode": {"none": ""}.get(s.local_mode,
                                                      s.local_mode),
                  "nodePortAddresses": list(self.node_port_prefixes),
                  "nftables": {"minSyncPeriod": "50ms",
                               "masqueradeAll": s.masquerade_all}}
        if s.local_mode == "ClusterCIDR":
            fields["clusterCIDR"] = ",".join(s.local_cidrs)
        elif s.local_mode == "BridgeInterface":
            fields["detectLocal"] = {"bridgeInterface": s.local_interface}
        elif s.local_mode == "InterfaceNamePrefix":
            fields["detectLocal"] = {"interfaceNamePrefix":
                                     s.local_interface}
        return fields


def namespace_of(seed):
    return f"s{seed}"


def maybe(rnd, chance):
    return rnd.random() < chance


def some(rnd, items, most=3):
    """At least one, in random order."""
    return rnd.sample(items, rnd.randint(1, min(most, len(items))))


def _detector(rnd, limits):
    """What tells pods of this node from others, as model.Settings has it."""
    mode = rnd.choice(["NodeCIDR"] * 6 + ["ClusterCIDR"] * 2 + [
        "BridgeInterface", "InterfaceNamePrefix", "InterfaceNamePrefix",
        "none"])
    if mode == "BridgeInterface":
        return {"local_mode": mode, "local_interface": "cni0"}
    if mode == "InterfaceNamePrefix":
        return {"local_mode": mode,
                "local_interface": rnd.choice(["cali", "veth"])}
    cidrs = {"NodeCIDR": world.NODE_POD_CIDRS,
             "ClusterCIDR": CLUSTER_CIDRS}.get(mode, ())
    families = rnd.choice(limits.families)
    if mode == "ClusterCIDR" and not families:
        families = (4, 6)
    return {"local_mode": mode,
            "local_cidrs": tuple(c for f, c in zip((4, 6), cidrs)
                                 if f in families)}


def _node_ports(rnd):
    """(prefixes, the node's addresses that they mean)"""
    prefixes = rnd.choice([
        (), (), (), ("0.0.0.0/0", "::/0"), ("192.168.50.11/32", "fd50::/64"),
        ("192.168.50.0/24", "fd50::10/128"), ("10.244.1.0/24",),
        ("fd00:244:1:0:b::1/128", "203.0.113.0/24")])
    if not prefixes:
        return prefixes, (NODE.addr4, NODE.addr6)
    addrs = []
    for family in (4, 6):
        own = [p for p in prefixes if (":" in p) == (family == 6)]
        addrs += [a for a in (NODE.addr(family), *NODE_OTHERS[family])
                  # Prefixes of the other family only: then all of this one.
                  if not own or any(model.within(a, p) for p in own)]
    return prefixes, tuple(addrs)


def _node(rnd, settings):
    node = {"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": settings.node_name, "labels": {}},
            "spec": {},
            "status": {"addresses": [
                {"type": "Hostname", "address": settings.node_name},
                {"type": "InternalIP", "address": NODE.addr4},
                {"type": "InternalIP", "address": NODE.addr6}]}}
    if maybe(rnd, 0.8):
        node["metadata"]["labels"][ZONE_LABEL] = "zone-a"
    cidrs = (settings.local_cidrs if settings.local_mode == "NodeCIDR" else
             world.NODE_POD_CIDRS)
    if cidrs:
        node["spec"] = {"podCIDR": cidrs[0], "podCIDRs": list(cidrs)}
    return node


class _Seed:
    """The objects and packets of one seed."""

    def __init__(self, seed, settings, limits, taken):
        self.rnd = random.Random(f"objects of seed {seed}")
        self.settings = settings
        self.limits = limits
        self.namespace = namespace_of(seed)
        self.slot = seed % SEEDS_A_BATCH
        self._cluster_n = self._health_ports_n = 0
        self._taken = taken     # frontends, if conflicts are not wanted
        self._node_ports = set()
        services = [self._service(f"svc{n}")
                    for n in range(self.rnd.randint(1, 4))]
        self.objects = services + [
            s for svc in services for s in self._slices(svc)]

    # Addresses

    def cluster_ip(self, family):
        self._cluster_n += 1
        return (f"10.96.{100 + self.slot}.{self._cluster_n}" if family == 4
                else f"fd00:96::{0x1000 + self.slot * 64 + self._cluster_n:x}")

    def public_ip(self, family):
        n = self.slot * 12 + self.rnd.randint(1, 4)
        return f"198.19.0.{n}" if family == 4 else f"2001:db8:2::{n:x}"

    def foreign_ip(self, family):
        """An externalIP or a load balancer's; the node's own at times."""
        if maybe(self.rnd, 0.15):
            return NODE.addr(family)
        return self.public_ip(family)

    # Services

    def _service(self, name):
        rnd = self.rnd
        families = rnd.choice([[4], [4], [6], [4, 6], [6, 4]])
        kind = rnd.choice(["ClusterIP", "ClusterIP", "NodePort", "NodePort",
                           "LoadBalancer", "LoadBalancer", "LoadBalancer",
                           "ExternalName", "Headless"])
        service = {
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": name, "namespace": self.namespace,
                "creationTimestamp":
                    f"2026-01-0{rnd.randint(1, 3)}T00:00:00Z"},
            "spec": {"type": "ClusterIP" if kind == "Headless" else kind}}
        self._labels(service)
        spec = service["spec"]
        if kind == "ExternalName":
            spec["externalName"] = "example.org"
            return service
        spec["ports"] = self._ports(
            kind == "NodePort" or kind == "LoadBalancer" and maybe(rnd, 0.8)
            or self._contradicts())
        spec["ipFamilies"] = [f"IPv{f}" for f in families]
        spec["ipFamilyPolicy"] = ("SingleStack" if len(families) == 1
                                  else "RequireDualStack")
        spec["clusterIPs"] = (["None"] if kind == "Headless" else
                              [self.cluster_ip(f) for f in families])
        spec["clusterIP"] = spec["clusterIPs"][0]
        self._policies(spec, kind)
        if kind == "LoadBalancer" or self._contradicts():
            self._balancer(service)
        self._free_frontends(service)
        return service

    def _contradicts(self):
        """Whether a Service has what its type should not have."""
        return self.limits.contradictions and maybe(self.rnd, 0.1)

    def _labels(self, service):
        name = self.settings.proxy_name
        if name and maybe(self.rnd, 0.7):
            labels = {"service.kubernetes.io/service-proxy-name": name}
        elif maybe(self.rnd, 0.06):
            labels = {"service.kubernetes.io/service-proxy-name": "other"}
        else:
            return
        service["metadata"]["labels"] = labels

    def _ports(self, node_ports):
        rnd = self.rnd
        n = rnd.choice([1, 1, 2, 3])
        wanted = rnd.sample([(p, proto) for p in PORTS
                             for proto in PROTOCOLS], n)
        ports, own = [], {}
        for name, (port, proto) in zip(NAMES, wanted):
            ports.append({"port": port, "protocol": proto,
                          "targetPort": rnd.choice(["named", port])})
            if n > 1 or maybe(rnd, 0.3):
                ports[-1]["name"] = name
            if node_ports:
                ports[-1]["nodePort"] = self._node_port(port, own)
        return ports

    def _node_port(self, port, own):
        """own: {port: its first number} of this Service; protocols of one
        port may share that number, and nobody else one."""
        while True:
            number = 30100 + self.slot * 100 + self.rnd.randint(0, 40)
            if port in own and maybe(self.rnd, 0.5):
                return own[port]
            if number not in self._node_ports:
                self._node_ports.add(number)
                own.setdefault(port, number)
                return number

    def _health_port(self):
        self._health_ports_n += 1
        return 30190 + self.slot * 100 - self._health_ports_n

    def _policies(self, spec, kind):
        rnd = self.rnd
        if kind != "Headless" and maybe(rnd, 0.3):
            families = [int(f[-1]) for f in spec["ipFamilies"]]
            spec["externalIPs"] = list(dict.fromkeys(
                self.foreign_ip(rnd.choice([4, 6, *families]))
                for _ in range(rnd.randint(1, 2))))
        if kind in ("NodePort", "LoadBalancer") or spec.get("externalIPs"):
            spec["externalTrafficPolicy"] = rnd.choice(["Cluster", "Local"])
        spec["internalTrafficPolicy"] = rnd.choice(
            ["Cluster", "Cluster", "Local"])
        if maybe(rnd, 0.2):
            spec["sessionAffinity"] = "ClientIP"
            spec["sessionAffinityConfig"] = {
                "clientIP": {"timeoutSeconds": rnd.choice([30, 10800])}}
        if kind != "Headless" and maybe(rnd, 0.1):
            spec["publishNotReadyAddresses"] = True

    def _balancer(self, service):
        rnd, spec = self.rnd, service["spec"]
        spec["allocateLoadBalancerNodePorts"] = "nodePort" in spec["ports"][0]
        if spec.get("externalTrafficPolicy") == "Local":
            spec["healthCheckNodePort"] = self._health_port()
        if maybe(rnd, 0.6):
            spec["loadBalancerSourceRanges"] = some(rnd, [
                "203.0.113.0/24", "2001:db8:1::/64", "192.168.50.0/24",
                "192.168.50.20/32", "fd50::/64", "10.244.1.0/24",
                "fd00:244:1::/64", "10.244.2.2/32", " 10.244.0.0/16 ",
                "fd00:244:2::2/128", "0.0.0.0/0", "::/0", "192.0.2.0/24",
                "2001:db8:77::/48", "203.0.113.9/32", "203.0.113.8/31"], 4)
        ingress = []
        for _ in range(rnd.randint(0, 2)):
            family = rnd.choice([4, 6])
            ingress.append({"ip": self.foreign_ip(family)})
            if maybe(rnd, 0.4):
                ingress[-1]["ipMode"] = rnd.choice(["VIP", "Proxy"])
        if maybe(rnd, 0.1):
            ingress.append({"hostname": "lb.example.org"})
        if ingress:
            service["status"] = {"loadBalancer": {"ingress": ingress}}

    def _free_frontends(self, service):
        """Leave out addresses that would meet another Service's."""
        if self.limits.conflicts:
            return
        spec = service["spec"]
        ports = [(p["port"], p["protocol"]) for p in spec["ports"]]

        def free(addr):
            return not {(addr, *p) for p in ports} & self._taken

        balancer = service.get("status", {}).get("loadBalancer", {})
        balancer["ingress"] = [i for i in balancer.get("ingress", ())
                               if "ip" not in i or free(i["ip"])]
        spec["externalIPs"] = [i for i in spec.get("externalIPs", ())
                               if free(i)]
        if not spec["externalIPs"]:
            del spec["externalIPs"]
            if spec["type"] == "ClusterIP":
                spec.pop("externalTrafficPolicy", None)
        for addr in (*spec.get("externalIPs", ()),
                     *(i.get("ip") for i in balancer["ingress"])):
            self._taken |= {(addr, *p) for p in ports}

    # Slices

    def _slices(self, service):
        rnd = self.rnd
        meta, spec = service["metadata"], service["spec"]
        families = [int(f[-1]) for f in spec.get("ipFamilies", ["IPv4"])]
        if len(families) == 1 and maybe(rnd, 0.1):
            families.append(10 - families[0])
        character = self._character()
        slices = []
        for family in families:
            for n in range(rnd.choice([0, 1, 1, 1, 2, 3])):
                slices.append({
                    "apiVersion": "discovery.k8s.io/v1",
                    "kind": "EndpointSlice",
                    "metadata": {
                        "name": f"{meta['name']}-{family}-{n}",
                        "namespace": self.namespace,
                        "labels": {"kubernetes.io/service-name":
                                   meta["name"]}},
                    "addressType": f"IPv{family}",
                    "ports": self._slice_ports(spec),
                    "endpoints": [self._endpoint(family, character)
                                  for _ in range(rnd.choice(
                                      [0, 1, 1, 2, 2, 3, 4]))]})
                self._one_word_each(slices)
                self._slice_labels(slices[-1])
        return slices

    def _slice_labels(self, s):
        labels = s["metadata"]["labels"]
        if maybe(self.rnd, 0.04):
            labels["service.kubernetes.io/headless"] = ""
        if maybe(self.rnd, 0.04):
            # Says who wrote the Service, not whose the slice is.
            labels["service.kubernetes.io/service-proxy-name"] = "other"
        if maybe(self.rnd, 0.04):
            labels["kubernetes.io/service-name"] = "nobody"

    def _slice_ports(self, spec):
        """Target ports may differ between slices, or miss, or be unknown."""
        rnd, ports = self.rnd, []
        for p in spec.get("ports", ()):
            if maybe(rnd, 0.08):
                continue
            port = {"port": rnd.choice(TARGETS), "protocol": p["protocol"]}
            if p.get("name"):
                port["name"] = p["name"]
            ports.append(port)
        if maybe(rnd, 0.08) and ports and ports[0].get("name"):
            ports.append({"name": "unknown", "protocol": "TCP", "port": 7000})
        return ports

    def _character(self):
        """What most endpoints of a Service have in common: else hints that
        all must carry would hardly ever count."""
        rnd = self.rnd
        return {
            "ready": rnd.choice([0.9, 0.9, 0.5, 0.1]),
            "zones": rnd.choice([0, 0, 0.5, 1, 1]),
            "nodes": rnd.choice([0, 0, 0, 0.5, 1]),
            "places": some(rnd, BACKENDS, 6),
            "here": rnd.choice([0.2, 0.5])}

    def _endpoint(self, family, character):
        rnd = self.rnd
        place = rnd.choice(character["places"])
        endpoint = {"addresses": [place.addr(family)],
                    "conditions": self._conditions(character["ready"])}
        if maybe(rnd, 0.95):
            endpoint["nodeName"] = place.node_name
        hints = {}
        if maybe(rnd, character["zones"]):
            hints["forZones"] = [{"name": z} for z in some(rnd, ZONES, 2)]
        if maybe(rnd, character["nodes"]):
            nodes = ((NODE.node_name, *OTHER_NODES)
                     if maybe(rnd, character["here"]) else OTHER_NODES)
            hints["forNodes"] = [{"name": n} for n in some(rnd, nodes, 2)]
        if hints:
            endpoint["hints"] = hints
        return endpoint

    def _conditions(self, ready_chance):
        rnd = self.rnd
        if maybe(rnd, ready_chance):
            return rnd.choice([
                {"ready": True}, {}, {"ready": True, "serving": True},
                {"ready": True, "serving": True, "terminating": False},
                # Of a Service with publishNotReadyAddresses.
                {"ready": True, "serving": False, "terminating": True},
                {"serving": True, "terminating": True}])
        return rnd.choice([
            {"ready": False, "serving": True, "terminating": True},
            {"ready": False, "serving": True, "terminating": True},
            {"ready": False, "terminating": True},
            {"ready": False, "serving": False, "terminating": True},
            {"ready": False, "serving": True, "terminating": False},
            {"ready": False, "serving": False},
            {"ready": False}])

    def _one_word_each(self, slices):
        """Without contradictions, what is said again is said alike."""
        if self.limits.contradictions:
            return
        said = {}
        for s in slices:
            for n, e in enumerate(s["endpoints"]):
                s["endpoints"][n] = said.setdefault(e["addresses"][0], e)

    # Packets

    def packets(self):
        """To each frontend from somebody of each kind, and near misses."""
        found = list(dict.fromkeys(
            packet for svc in self.objects if svc["kind"] == "Service"
            for packet in self._packets_to(svc)))
        most = self.limits.packets_n
        return found if most is None or len(found) <= most else \
            self.rnd.sample(found, most)

    def _packets_to(self, service):
        spec = service["spec"]
        addrs = [a for a in spec.get("clusterIPs", ()) if a != "None"]
        addrs += spec.get("externalIPs", ())
        addrs += [i["ip"] for i in service.get("status", {}).get(
            "loadBalancer", {}).get("ingress", ()) if i.get("ip")]
        for p in spec.get("ports", ()):
            for addr in addrs:
                yield from self._from_all(addr, p["protocol"], p["port"])
            for family in spec["ipFamilies"]:
                yield from self._to_node_port(int(family[-1]), p)
        for addr in addrs:
            proto = self.rnd.choice(PROTOCOLS)
            yield from self._from_some(addr, proto, UNDEFINED_PORT)
            yield from self._from_some(addr, proto, self.rnd.choice(PORTS))
        if addrs and maybe(self.rnd, 0.3):
            family = self.rnd.choice([4, 6])
            yield from self._from_some(
                self.cluster_ip(family), self.rnd.choice(PROTOCOLS), 80)

    def _to_node_port(self, family, p):
        if not p.get("nodePort"):
            return
        at = (p["protocol"], p["nodePort"])
        yield from self._from_all(NODE.addr(family), *at)
        for addr in NODE_OTHERS[family]:
            yield from self._from_some(addr, *at)
        yield from self._from_some(self.public_ip(family), *at)
        if maybe(self.rnd, 0.2):
            yield from self._from_some(NODE.addr(10 - family), *at)

    @staticmethod
    def _packet(place, dst, proto, port):
        family = 6 if ":" in dst else 4
        src = place.addr(family)
        if place is NODE and dst in NODE_OTHERS[family]:
            src = dst  # as Linux asks itself
        return model.Packet(place.name, place.origin, src, dst, proto, port,
                            place.interface)

    def _from_all(self, dst, proto, port):
        """One client of each kind, and each pod of the node at times."""
        for origin in dict.fromkeys(c.origin for c in CLIENTS):
            place = self.rnd.choice([c for c in CLIENTS
                                     if c.origin == origin])
            yield self._packet(place, dst, proto, port)
        if maybe(self.rnd, 0.2):
            for place in CLIENTS:
                if place.origin == "pod":
                    yield self._packet(place, dst, proto, port)

    def _from_some(self, dst, proto, port):
        for place in self.rnd.sample(CLIENTS, 2):
            yield self._packet(place, dst, proto, port)


def batch(number, limits=Limits()):
    """The batch of the seeds from number * SEEDS_A_BATCH on."""
    rnd = random.Random(f"settings of batch {number}")
    prefixes, node_port_addrs = _node_ports(rnd)
    settings = model.Settings(
        node_name=NODE.node_name, node_addrs=(NODE.addr4, NODE.addr6),
        node_port_addrs=node_port_addrs, service_cidrs=limits.service_cidrs,
        masquerade_all=maybe(rnd, 0.15),
        proxy_name="splice" if limits.proxy_names and maybe(rnd, 0.1)
        else None, **_detector(rnd, limits))
    objects, packets, taken = [_node(rnd, settings)], {}, set()
    for seed in range(number * SEEDS_A_BATCH, (number + 1) * SEEDS_A_BATCH):
        one = _Seed(seed, settings, limits, taken)
        objects += one.objects
        packets[seed] = one.packets()
    return Batch(settings, prefixes, objects, packets)
