# SPDX-License-Identifier: GPL-2.0-or-later
"""The cases of cases/*.yaml, and one case made real: objects and addresses.

README.md describes the format.
"""
import glob
import os
import re

import yaml

from lib import objects, subject
import stage

HERE = os.path.dirname(os.path.abspath(__file__))
HEADER_KEYS = {"about", "kube-proxy", "nodesplice", "node", "node-ips",
               "endpoints-api",
               "barrier-labels"}
CASE_KEYS = {"name", "why", "families", "protocols", "steps"}
# What a step says about the objects; the next step starts from it.
STATE_KEYS = {"service", "stack", "frontends", "use", "spec", "annotations",
              "labels", "ports", "endpoints", "slices", "ingress", "stored",
              "rival"}
ACTION_KEYS = {"expect", "restart", "elapse", "node-labels", "service-cidrs",
               "node-addresses"}
_PACKET = re.compile(r"(?P<client>[\w-]+) > (?P<frontend>[a-z-]+(-\d)?)"
                     r"(:(?P<port>\d+))?(/(?P<proto>\w+))?"
                     r"( (?P<family>IPv[46]))?( flow (?P<flow>\w+))?$")
# The words after an endpoint's name.
_CONDITIONS = {
    "ready": {"ready": True, "serving": True, "terminating": False},
    "unready": {"ready": False, "serving": False, "terminating": False},
    "serving": {"ready": False, "serving": True, "terminating": False},
    "terminating": {"ready": False, "serving": True, "terminating": True},
    "gone": {"ready": False, "serving": False, "terminating": True},
    "nil": {},
    "only-terminating": {"ready": False, "terminating": True},
}
_VARIANTS = {"IPv4": (4,), "IPv6": (6,), "dual": (4, 6), "dual6": (6, 4)}


class BadCase(Exception):
    """A case that breaks the format."""


class Case:
    """A case as it is written."""

    def __init__(self, raw, batch):
        state = {k: v for k, v in raw.items() if k not in CASE_KEYS}
        self.name = raw["name"]
        self.why = raw["why"]
        self.batch = batch
        self.variants = raw.get("families", ["IPv4", "IPv6"])
        self.protos = raw.get("protocols", ["tcp", "udp"])
        self.steps = []
        for step in raw.get("steps", [{}]):
            step = {**state, **step}
            unknown = set(step) - STATE_KEYS - ACTION_KEYS
            if unknown:
                raise BadCase(f"{self.name}: {', '.join(sorted(unknown))}")
            self.steps.append(step)
            state = {k: v for k, v in step.items() if k in STATE_KEYS}


class Batch:
    """Cases that run beside each other with the same configuration."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as f:
            header, *cases = yaml.safe_load_all(f)
        if set(header) - HEADER_KEYS:
            raise BadCase(f"{path}: {set(header) - HEADER_KEYS}")
        self.name = os.path.basename(path).removesuffix(".yaml")
        self.config = {k: v for k, v in header.items() if k != "about"}
        self.cases = [Case(raw, self) for raw in cases[0]]

    @property
    def has_oracle(self):
        """Whether kube-proxy can be configured like this."""
        return self.config.get("kube-proxy") != "none"


def load():
    """All batches; those with the same configuration next to each other."""
    batches = [Batch(p) for p in sorted(glob.glob(f"{HERE}/cases/*.yaml"))]
    names = [c.name for b in batches for c in b.cases]
    twice = {n for n in names if names.count(n) > 1}
    if twice:
        raise BadCase(f"named twice: {', '.join(sorted(twice))}")
    return batches


class Packet:
    """One line under `expect`, for one protocol and family."""

    def __init__(self, instance, step_n, m, proto, family, text):
        self.instance = instance
        self.step_n = step_n
        self.client = m["client"]
        self.frontend = m["frontend"]
        self.port = int(m["port"]) if m["port"] else 80
        self.flow = m["flow"]
        self.proto = proto
        self.family = family
        self.text = text

    @property
    def id(self):
        """Unique in its instance."""
        step = f"{self.step_n + 1}: " if len(self.instance.case.steps) > 1 \
            else ""
        family = f" IPv{self.family}" if len(self.instance.families) > 1 \
            else ""
        port = f":{self.port}" if self.port != 80 else ""
        flow = f" flow {self.flow}" if self.flow else ""
        return (f"{step}{self.client} > {self.frontend}{port}/{self.proto}"
                f"{family}{flow}")

    def at(self):
        return self.instance.at(self.step_n, self)


class Instance:
    """A case in one variant of IP families, with addresses of its own."""

    def __init__(self, case, variant, stage):
        self.case = case
        self.variant = variant
        self.families = _VARIANTS[variant]
        self.stage = stage
        self.applied = {}
        self.memory = {}
        self.flows = {}
        self._addrs = {}
        self._node_ports = {}
        slug = re.sub(r"[^a-z0-9]+", "-", case.name.lower()).strip("-")
        self.service_name = f"{slug[:48].strip('-')}-{variant.lower()}"

    @property
    def id(self):
        return f"{self.case.name} {self.variant}"

    # addresses

    def addr(self, kind, n, family):
        """The nth address of a kind of frontend, made at the first use."""
        key = (kind, n, family)
        if key not in self._addrs:
            make = (self.stage.cluster_ip if kind == "cluster"
                    else self.stage.public_ip)
            self._addrs[key] = make(family)
        return self._addrs[key]

    def node_port(self, n, port, proto):
        """The nth node port of a port; nobody listens there as well."""
        key = (n, port, proto)
        if key not in self._node_ports:
            number = self.stage.node_port()
            self.stage.serve_node_port(number)
            self._node_ports[key] = number
        return self._node_ports[key]

    def health_port(self):
        """Only who serves health listens here."""
        if "health" not in self._node_ports:
            self._node_ports["health"] = self.stage.node_port()
        return self._node_ports["health"]

    def at(self, step_n, p):
        """(address, port) that a packet is sent to."""
        m = re.fullmatch(r"([a-z-]+?)(-(\d))?", p.frontend)
        kind = m[1]
        n = int(m[3] or self.case.steps[step_n].get("use", {}).get(kind, 1))
        node = self.stage.node.addr(p.family)
        if kind == "health":
            return node, self.health_port()
        if kind in ("cluster", "lb", "external-ip"):
            return self.addr(kind, n, p.family), p.port
        if kind == "unallocated":
            return self.addr("cluster", 9, p.family), p.port
        if kind == "outside":
            # In no ServiceCIDR but a case's own.
            last = self.addr("cluster", 1, p.family)
            return (last.replace("10.96.", "10.97.") if p.family == 4
                    else last.replace("fd00:96:", "fd00:97:")), p.port
        addr = {"node-port": node,
                "localhost": "127.0.0.1" if p.family == 4 else "::1",
                "second-node-addr": self.stage.node_addr(11, p.family),
                "third-node-addr": self.stage.node_addr(12, p.family),
                "bridge-addr": stage.BRIDGE_ADDRS[p.family == 6]}[kind]
        return addr, self.node_port(n if kind == "node-port" else
                                    self.case.steps[step_n].get(
                                        "use", {}).get("node-port", 1),
                                    p.port, p.proto)

    # packets

    def packets(self, step_n):
        """The packets of a step."""
        step = self.case.steps[step_n]
        for line, text in (step.get("expect") or {}).items():
            m = _PACKET.match(line)
            if not m:
                raise BadCase(f"{self.case.name}: packet {line!r}")
            http = m["frontend"] == "health"
            protos = ["http"] if http else \
                [m["proto"]] if m["proto"] else self.case.protos
            for proto in protos:
                for family in self.families:
                    if m["family"] in (None, f"IPv{family}"):
                        yield Packet(self, step_n, m, proto, family, text)

    # objects

    def stack(self, step):
        return [int(f[-1]) for f in step["stack"]] if "stack" in step \
            else list(self.families)

    def wanted(self, step_n):
        """{key: object} of a step."""
        step = self.case.steps[step_n]
        made = []
        if step.get("service", True):
            made.append(self._service(step))
        made += self._slices(step)
        if "rival" in step:
            made += self._rival(step)
        return {objects.key(o): o for o in made}

    def _service(self, step):
        stack = self.stack(step)
        frontends = step.get("frontends", "cluster").split()
        use = step.get("use", {})
        kind = ("LoadBalancer" if "lb" in frontends else
                "NodePort" if "node-port" in frontends else "ClusterIP")
        spec = {
            "type": kind,
            "ports": [self._port(step, port, proto, "node-port" in frontends)
                      for port in step.get("ports", {80: 8080})
                      for proto in self.case.protos],
            "ipFamilies": [f"IPv{f}" for f in stack],
            "ipFamilyPolicy": "SingleStack" if len(stack) == 1
                              else "RequireDualStack",
            "clusterIPs": [self.addr("cluster", use.get("cluster", 1), f)
                           for f in stack],
        }
        spec["clusterIP"] = spec["clusterIPs"][0]
        if kind == "LoadBalancer":
            spec["allocateLoadBalancerNodePorts"] = "node-port" in frontends
        if "external-ip" in frontends:
            spec["externalIPs"] = [
                self.addr("external-ip", use.get("external-ip", 1), f)
                for f in stack]
        spec.update(self._filled(step.get("spec", {}), step))
        if kind == "LoadBalancer" and \
                spec.get("externalTrafficPolicy") == "Local":
            spec["healthCheckNodePort"] = self.health_port()
        made = {
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": self.service_name, "namespace": "default",
                         "annotations": step.get("annotations", {}),
                         "labels": step.get("labels", {})},
            "spec": {k: v for k, v in spec.items() if v is not None},
        }
        if "stored" in step:
            made[subject.STORED] = self._filled(step["stored"], step)
        if kind == "LoadBalancer":
            ingress = step.get("ingress", [{"ip": "$lb"}])
            made["status"] = {"loadBalancer": {
                "ingress": self._filled(ingress, step)}}
        return made

    def _rival(self, step):
        """A second Service, with a cluster address of its own and whatever
        else the case gives it; by age and name it comes after the first."""
        name = self.service_name + "-rival"
        theirs = {**{k: v for k, v in step.items() if k in (
            "stack", "ports", "frontends", "ingress")}, **step["rival"],
            "use": {**step.get("use", {}), "cluster": 8}}
        service = self._service(theirs)
        service["metadata"]["name"] = name
        slices = list(self._slices(theirs))
        for s in slices:
            s["metadata"]["name"] += "-rival"
            s["metadata"]["labels"]["kubernetes.io/service-name"] = name
        return [service, *slices]

    def _port(self, step, port, proto, with_node_port):
        made = {"name": f"{proto}-{port}", "port": port,
                "protocol": proto.upper(),
                "targetPort": 8080}
        if with_node_port:
            made["nodePort"] = self.node_port(
                step.get("use", {}).get("node-port", 1), port, proto)
        return made

    def _filled(self, value, step):
        """The same with $names as addresses, one of each family in lists."""
        if isinstance(value, dict):
            return {k: self._filled(v, step) for k, v in value.items()}
        if isinstance(value, list):
            return [self._of_family(v, f) for v in value
                    for f in (self.stack(step) if _has_name(v) else [0])]
        return self._of_family(value, self.stack(step)[0])

    def _of_family(self, value, family):
        if isinstance(value, dict):
            return {k: self._of_family(v, family) for k, v in value.items()}
        if not isinstance(value, str):
            return value
        return re.sub(r"\$([a-z-]+(-?\d)?)",
                      lambda m: self._named(m[1], family), value)

    def _named(self, name, family):
        four = family == 4
        fixed = {
            "external-net": ("203.0.113.0/24", "2001:db8:1::/64"),
            "other-net": ("192.0.2.0/24", "2001:db8:ffff::/64"),
            "everything": ("0.0.0.0/0", "::/0"),
            "nodes-net": ("192.168.50.0/24", "fd50::/64"),
            "pods-net": ("10.244.1.0/24", "fd00:244:1::/64"),
            "other-pods-net": ("10.244.2.0/24", "fd00:244:2::/64"),
        }
        if name in fixed:
            return fixed[name][0 if four else 1]
        if name.endswith("-host"):
            addr = self.stage.client(name.removesuffix("-host")).addrs(
                family)[0]
            return addr + ("/32" if four else "/128")
        m = re.fullmatch(r"(lb|external-ip|cluster)(-(\d))?", name)
        if not m:
            raise BadCase(f"{self.case.name}: ${name}")
        return self.addr(m[1], int(m[3] or 1), family)

    def _slices(self, step):
        slices = step.get("slices")
        if slices is None:
            slices = [{"endpoints": step["endpoints"]}] \
                if "endpoints" in step else []
        for n, one in enumerate(slices):
            if isinstance(one, list):
                one = {"endpoints": one}
            only = one.get("only")
            for family in [int(only[-1])] if only else self.stack(step):
                yield self._slice(step, n, one, family)

    def _slice(self, step, n, one, family):
        ports = one.get("ports", step.get("ports", {80: 8080}))
        return {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": f"{self.service_name}-{n}-{family}",
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": self.service_name,
                           **one.get("labels", {})}},
            "addressType": one.get("addressType", f"IPv{family}"),
            "endpoints": [self._endpoint(e, family)
                          for e in one["endpoints"]],
            "ports": [{"name": f"{proto}-{port}", "port": target,
                       "protocol": proto.upper()}
                      for port, target in ports.items()
                      for proto in self.case.protos],
        }

    def _endpoint(self, text, family):
        """"l1 terminating zone=a" as in the API."""
        name, *words = text.split()
        if name.startswith("address="):
            made = {"addresses": [name.partition("=")[2]], "conditions": {}}
        else:
            hosts = [self.stage.endpoint(n) for n in name.split("+")]
            host = hosts[0]
            made = {"addresses": [h.addr(family) for h in hosts],
                    "conditions": _CONDITIONS["ready"],
                    "nodeName": host.node_name}
        for word in words:
            key, _, value = word.partition("=")
            if key in _CONDITIONS:
                made["conditions"] = _CONDITIONS[key]
            elif key in ("zone", "node"):
                hint = "forZones" if key == "zone" else "forNodes"
                made.setdefault("hints", {})[hint] = [
                    {"name": v} for v in value.split(",")]
            elif key == "on":
                made["nodeName"] = value
            elif key == "nowhere":
                del made["nodeName"]
            else:
                raise BadCase(f"{self.case.name}: endpoint {text!r}")
        return made


def _has_name(value):
    if isinstance(value, dict):
        return any(_has_name(v) for v in value.values())
    return isinstance(value, str) and "$" in value
