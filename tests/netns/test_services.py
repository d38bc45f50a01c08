# SPDX-License-Identifier: GPL-2.0-or-later
"""Services are answered: every kind, from everywhere, with the right source.

All of it is behaviour that kube-proxy has as well.
"""
import re

import pytest

from lib import client, objects, world as worlds

pytestmark = pytest.mark.common

PORTS = [("http", 80, "TCP"), ("dns", 53, "UDP")]
TARGETS = [("http", 8080, "TCP"), ("dns", 5353, "UDP")]
CLIENTS = ("routed", "veth", "bridge", "node", "external")
FRONTENDS = ("cluster", "node-port", "load-balancer", "external-ip")


class Web:
    """One Service with every kind of frontend and an endpoint everywhere."""

    serial = 0

    def __init__(self, world, subject, family, mode, policy):
        Web.serial += 1
        self.family = family
        self.node_port = {"TCP": world.node_port(), "UDP": world.node_port()}
        self.addr = {"cluster": world.cluster_ip(family),
                     "load-balancer": world.public_ip(family),
                     "external-ip": world.public_ip(family),
                     "node-port": world.node.addr(family)}
        self.service = objects.service(
            f"web{Web.serial}", family, self.addr["cluster"],
            [(n, port, p, self.node_port[p]) for n, port, p in PORTS],
            kind="LoadBalancer", allocateLoadBalancerNodePorts=True,
            annotations={"mode": mode}, externalTrafficPolicy=policy,
            external_ips=[self.addr["external-ip"]],
            ingress=[self.addr["load-balancer"]])
        self.slice = objects.slice_of(
            self.service, backends(world), TARGETS)
        subject.apply(self.service, self.slice)

    def at(self, frontend, proto):
        """(address, port) of a frontend."""
        port = dict((p, port) for _, port, p in PORTS)[proto]
        if frontend == "node-port":
            port = self.node_port[proto]
        return self.addr[frontend], port


def backends(world):
    return [world.pod("b-routed", "routed"), world.pod("b-veth", "veth"),
            world.pod("b-bridge", "bridge"), world.pod("b-remote", "remote")]


def client_of(world, name):
    if name in worlds.POD_KINDS:
        return world.pod(f"c-{name}", name)
    return {"node": world.node, "external": world.external}[name]


@pytest.fixture(scope="module", autouse=True)
def serving(world):
    for pod in backends(world):
        for _, port, proto in TARGETS:
            world.serve(pod, port, proto)


@pytest.fixture(scope="module")
def web(world, subject):
    """web(family, mode, policy): made once each."""
    made = {}

    def get(family, mode, policy="Cluster"):
        key = (family, mode, policy)
        if key not in made:
            made[key] = Web(world, subject, *key)
        return made[key]
    yield get
    subject.remove_all()


def check_source(world, host, answer, family, kept):
    if kept:
        assert answer["peer"] == host.addr(family)
    else:
        assert answer["peer"] in world.node_addrs(family)


@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize("origin", CLIENTS)
def test_every_endpoint_answers_at_every_frontend(
        world, web, family, mode, proto, origin, frontend):
    host = client_of(world, origin)
    at = web(family, mode).at(frontend, proto)
    seen = set()
    for _ in range(80):
        answer = client.ask(host, *at, proto)
        seen.add(answer["name"])
        # Cluster policy: only pods speaking to the cluster address stay
        # themselves.
        check_source(world, host, answer, family, kept=(
            frontend == "cluster" and origin in worlds.POD_KINDS))
        if len(seen) == 4:
            break
    assert seen == {"b-routed", "b-veth", "b-bridge", "b-remote"}


@pytest.mark.parametrize("frontend", FRONTENDS[1:])
def test_local_policy_keeps_an_external_source_and_stays_local(
        world, web, family, mode, proto, frontend):
    at = web(family, mode, "Local").at(frontend, proto)
    seen = set()
    for _ in range(40):
        answer = client.ask(world.external, *at, proto)
        seen.add(answer["name"])
        check_source(world, world.external, answer, family, kept=True)
    assert seen == {"b-routed", "b-veth", "b-bridge"}


@pytest.mark.parametrize("origin", ["routed", "node"])
@pytest.mark.parametrize("frontend", FRONTENDS[1:])
def test_local_policy_gives_pods_and_node_all_endpoints(
        world, web, family, mode, proto, origin, frontend):
    host = client_of(world, origin)
    at = web(family, mode, "Local").at(frontend, proto)
    seen = set()
    for _ in range(80):
        answer = client.ask(host, *at, proto)
        seen.add(answer["name"])
        check_source(world, host, answer, family, kept=origin == "routed")
    assert "b-remote" in seen and len(seen) == 4


@pytest.mark.parametrize("kind", worlds.POD_KINDS)
def test_a_pod_reaches_itself_through_its_service(
        world, applied, family, mode, proto, kind):
    pod = world.pod(f"hairpin-{kind}", kind)
    port = 9000 if proto == "TCP" else 9001
    backend = world.serve(pod, port, proto)
    svc = objects.service(f"hairpin-{kind}", family,
                          world.cluster_ip(family), [("p", 90, proto)],
                          annotations={"mode": mode})
    applied(svc, objects.slice_of(svc, [pod], [("p", port, proto)]))
    answer = client.ask(pod, svc["spec"]["clusterIP"], 90, proto)
    backend.close()
    assert answer["name"] == pod.name
    check_source(world, pod, answer, family, kept=False)


def test_a_masqueraded_hairpin_leaves_without_the_mark(world, applied, family,
                                                       mode):
    pod = world.pod("hairpin-mark", "veth")
    backend = world.serve(pod, 9002)
    svc = objects.service("hairpin-mark", family, world.cluster_ip(family),
                          [("p", 90, "TCP")], annotations={"mode": mode},
                          external_ips=[world.public_ip(family)])
    applied(svc, objects.slice_of(svc, [pod], [("p", 9002, "TCP")]))
    world.node.ns.nft(
        "table inet watch {\n"
        " counter with-mark {}\n counter any {}\n"
        " chain behind {\n"
        "  type filter hook postrouting priority 110\n"
        f"  oifname {pod.interface} meta l4proto tcp "
        "meta mark & 0x4000 != 0 counter name with-mark\n"
        f"  oifname {pod.interface} meta l4proto tcp counter name any\n"
        " }\n}\n")
    try:
        answer = client.ask(pod, svc["spec"]["externalIPs"][0], 90)
        check_source(world, pod, answer, family, kept=False)
        seen = world.node.ns.run("nft", "list", "counters", "table", "inet",
                                 "watch").stdout
    finally:
        world.node.ns.nft("delete table inet watch\n")
        backend.close()
    packets = dict(re.findall(r"counter ([\w-]+) {\s*packets (\d+)", seen))
    assert int(packets["any"]) > 0 and packets["with-mark"] == "0"


@pytest.mark.parametrize("origin", CLIENTS)
def test_without_endpoints_every_frontend_refuses(
        world, applied, family, mode, proto, origin):
    host = client_of(world, origin)
    node_port = world.node_port()
    public, external = world.public_ip(family), world.public_ip(family)
    svc = objects.service(
        "empty", family, world.cluster_ip(family),
        [("p", 80, proto, node_port)], kind="LoadBalancer",
        allocateLoadBalancerNodePorts=True, annotations={"mode": mode},
        external_ips=[external], ingress=[public])
    applied(svc)
    for addr, port in ((svc["spec"]["clusterIP"], 80), (public, 80),
                       (external, 80), (world.node.addr(family), node_port)):
        assert client.outcome(host, addr, port, proto, 5) == "refused"


def test_local_policy_drops_where_only_others_have_endpoints(
        world, applied, family, mode, proto):
    remote = world.pod("b-remote", "remote")
    public = world.public_ip(family)
    svc = objects.service(
        "elsewhere", family, world.cluster_ip(family), [("p", 80, proto)],
        kind="LoadBalancer", externalTrafficPolicy="Local",
        annotations={"mode": mode}, ingress=[public])
    target = ("p", 8080 if proto == "TCP" else 5353, proto)
    applied(svc, objects.slice_of(svc, [remote], [target]))
    assert client.outcome(world.external, public, 80, proto, 1) == "silent"


def test_ports_are_told_apart_by_name_and_may_differ_per_endpoint(
        world, applied, family, mode):
    first, second = world.pod("b-routed"), world.pod("b-remote", "remote")
    extra = [world.serve(first, 7001, name="a-first"),
             world.serve(second, 7002, name="a-second"),
             world.serve(first, 7003, name="b-first")]
    svc = objects.service(
        "named", family, world.cluster_ip(family),
        [{"name": "a", "port": 1, "protocol": "TCP", "targetPort": "x"},
         {"name": "b", "port": 2, "protocol": "TCP", "targetPort": "y"}],
        annotations={"mode": mode})
    applied(svc,
            objects.slice_of(svc, [first], [("a", 7001, "TCP"),
                                            ("b", 7003, "TCP")], "1"),
            objects.slice_of(svc, [second], [("a", 7002, "TCP")], "2"))
    ip = svc["spec"]["clusterIP"]
    pod = world.pod("c-routed")
    assert set(client.names(pod, ip, 1, 40)) == {"a-first", "a-second"}
    assert set(client.names(pod, ip, 2, 10)) == {"b-first"}
    for backend in extra:
        backend.close()


def test_only_ready_endpoints_get_connections(world, applied, family, mode):
    ready, not_ready = world.pod("b-routed"), world.pod("b-bridge", "bridge")
    svc = objects.service("ready", family, world.cluster_ip(family),
                          [("p", 80, "TCP")], annotations={"mode": mode})
    applied(svc, objects.slice_of(
        svc, [ready, (not_ready, {"ready": False})], [("p", 8080, "TCP")]))
    names = client.names(world.node, svc["spec"]["clusterIP"], 80, 30)
    assert set(names) == {"b-routed"}


def test_serving_terminating_endpoints_are_the_last_resort(
        world, applied, family, mode):
    leaving = world.pod("b-routed")
    svc = objects.service("leaving", family, world.cluster_ip(family),
                          [("p", 80, "TCP")], annotations={"mode": mode})
    applied(svc, objects.slice_of(
        svc, [(leaving, {"ready": False, "serving": True,
                         "terminating": True})], [("p", 8080, "TCP")]))
    names = client.names(world.node, svc["spec"]["clusterIP"], 80, 5)
    assert set(names) == {"b-routed"}


def test_changes_and_deletion_are_followed(
        world, subject, applied, family, mode, proto):
    first, second = world.pod("b-routed"), world.pod("b-remote", "remote")
    target = ("p", 8080 if proto == "TCP" else 5353, proto)
    ip = world.cluster_ip(family)
    svc = objects.service("moving", family, ip, [("p", 80, proto)],
                          annotations={"mode": mode})
    applied(svc, objects.slice_of(svc, [first], [target]))
    assert client.names(world.node, ip, 80, 5, proto) == ["b-routed"] * 5
    applied(objects.slice_of(svc, [second], [target]))
    assert client.names(world.node, ip, 80, 5, proto) == ["b-remote"] * 5
    svc["spec"]["ports"][0]["port"] = 81
    applied(svc)
    assert client.ask(world.node, ip, 81, proto)["name"] == "b-remote"
    assert client.outcome(world.node, ip, 80, proto, 1) != "answered"
    subject.remove(svc)
    assert client.outcome(world.node, ip, 81, proto, 1) != "answered"


def test_source_ranges_limit_who_reaches_the_load_balancer(
        world, applied, family, mode, proto):
    target = ("p", 8080 if proto == "TCP" else 5353, proto)
    mine = "203.0.113.0/24" if family == 4 else "2001:db8:1::/64"
    other = "192.0.2.0/24" if family == 4 else "2001:db8:ffff::/64"
    for ranges, expected in (([mine], "answered"), ([other], "silent")):
        public = world.public_ip(family)
        svc = objects.service(
            f"ranges-{expected}", family, world.cluster_ip(family),
            [("p", 80, proto)], kind="LoadBalancer", ingress=[public],
            source_ranges=ranges, annotations={"mode": mode})
        applied(svc, objects.slice_of(svc, [world.pod("b-routed")],
                                      [target]))
        assert client.outcome(world.external, public, 80, proto,
                              1.5) == expected
