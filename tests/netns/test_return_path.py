# SPDX-License-Identifier: GPL-2.0-or-later
"""The backend sees the client's address, and its replies find the way back.

Three ways back, each with a rule of its own: a backend behind a route, a
backend in the node's own namespace, and a backend on the client's bridge.
Without its rule, the connect times out.
"""
import pytest

from lib import backend, web

PORT = 8180
BACKENDS = ("routed", "veth", "bridge", "remote", "host-network")


@pytest.fixture(scope="module")
def hosts(world):
    """Backends and clients by name."""
    found = {kind: world.pod(f"back-{kind}", kind)
             for kind in ("routed", "veth", "bridge", "remote")}
    found["host-network"] = world.node
    for name, host in found.items():
        world.serve(host, PORT, name=name)
    return found


def exchange(connection):
    """Bulk data through an open connection, both ways, unharmed."""
    n = 3_000_000
    connection.command(f"bulk {n}")
    assert connection.read_all() == (n, backend.pattern_sha256(n))


@pytest.mark.common
@pytest.mark.parametrize("to", BACKENDS)
@pytest.mark.parametrize("kind", ["routed", "veth", "bridge"])
def test_a_pod_stays_itself(world, subject, applied, hosts, family, mode,
                            kind, to):
    pod = world.pod(f"from-{kind}", kind)
    small = web.Small(world, family, [hosts[to]], PORT,
                      annotations={"mode": mode})
    applied(*small.objects)
    with web.connect_carried(subject, pod, small.at, mode == "proxy") as c:
        assert c.first["peer"] == pod.addr(family)
        exchange(c)


@pytest.mark.common
@pytest.mark.parametrize("to", ["routed", "veth", "bridge", "host-network"])
def test_an_external_client_stays_itself_under_local_policy(
        world, subject, applied, hosts, family, mode, to):
    public = world.public_ip(family)
    small = web.Small(world, family, [hosts[to]], PORT, kind="LoadBalancer",
                      ingress=[public], externalTrafficPolicy="Local",
                      annotations={"mode": mode})
    applied(*small.objects)
    with web.connect_carried(subject, world.external, (public, 80),
                             mode == "proxy") as c:
        assert c.first["peer"] == world.external.addr(family)
        exchange(c)


@pytest.mark.common
@pytest.mark.parametrize("to", BACKENDS)
def test_the_node_reaches_every_backend(world, subject, applied, hosts,
                                        family, mode, to):
    small = web.Small(world, family, [hosts[to]], PORT,
                      annotations={"mode": mode})
    applied(*small.objects)
    with web.connect_carried(subject, world.node, small.at,
                             mode == "proxy") as c:
        assert c.first["peer"] in world.node_addrs(family)
        exchange(c)


@pytest.mark.parametrize("call", [0, 1])
def test_one_bridge_with_and_without_bridge_netfilter(
        world, subject, applied, hosts, family, call):
    """net.bridge.bridge-nf-call-iptables differs between distributions."""
    name = "iptables" if family == 4 else "ip6tables"
    pod = world.pod("from-bridge", "bridge")
    small = web.Small(world, family, [hosts["bridge"]], PORT,
                      annotations={"mode": "proxy"})
    applied(*small.objects)
    world.node.ns.sysctl(f"net/bridge/bridge-nf-call-{name}", call)
    try:
        with web.connect_carried(subject, pod, small.at) as c:
            assert c.first["peer"] == pod.addr(family)
            exchange(c)
    finally:
        world.node.ns.sysctl(f"net/bridge/bridge-nf-call-{name}", 1)


def test_direct_traffic_on_the_bridge_is_left_alone(world, subject, applied,
                                                    hosts, family):
    """Pod to pod, past any Service, while legs between the two are open."""
    pod = world.pod("from-bridge", "bridge")
    small = web.Small(world, family, [hosts["bridge"]], PORT,
                      annotations={"mode": "proxy"})
    applied(*small.objects)
    direct = (hosts["bridge"].addr(family), PORT)
    with web.connect_carried(subject, pod, small.at) as through:
        with web.connect_carried(subject, pod, direct, carried=False) as c:
            assert c.first["peer"] == pod.addr(family)
            exchange(c)
        exchange(through)


@pytest.mark.parametrize("to", ["routed", "bridge", "remote"])
def test_strict_reverse_path_filters_let_it_pass(world, subject, applied,
                                                 hosts, to):
    pod = world.pod("from-routed", "routed")
    small = web.Small(world, 4, [hosts[to]], PORT,
                      annotations={"mode": "proxy"})
    applied(*small.objects)
    world.node.ns.sysctl("net.ipv4.conf.all.rp_filter", 1)
    try:
        with web.connect_carried(subject, pod, small.at) as c:
            assert c.first["peer"] == pod.addr(4)
            exchange(c)
    finally:
        world.node.ns.sysctl("net.ipv4.conf.all.rp_filter", 0)


def test_direct_connections_of_the_same_pod_do_not_clash(
        world, subject, applied, hosts, family):
    """The second leg has the pod's address: its ports must be others than
    those that the pod uses itself towards the same backend."""
    pod = world.pod("from-routed", "routed")
    small = web.Small(world, family, [hosts["remote"]], PORT,
                      annotations={"mode": "proxy"})
    applied(*small.objects)
    direct = (hosts["remote"].addr(family), PORT)
    own, legs = [], []
    try:
        for _ in range(40):
            c = web.connect_carried(subject, pod, small.at)
            legs.append(c)
            d = web.connect_carried(subject, pod, direct, carried=False)
            own.append(d)
        ports = {c.first["port"] for c in legs}
        assert not ports & {c.local[1] for c in own}
        with open("/proc/sys/net/ipv4/ip_local_port_range",
                  encoding="ascii") as f:
            low, high = map(int, f.read().split())
        assert not [p for p in ports if low <= p <= high]
        for c in legs + own:
            c.command("echo")
            assert c.echo(b"still there") == b"still there"
    finally:
        for c in legs + own:
            c.close()
