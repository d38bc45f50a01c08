# SPDX-License-Identifier: GPL-2.0-or-later
"""What is no frontend: refused or discarded, as kube-proxy does."""
import itertools

import pytest

from lib import client, objects, world as worlds

CLIENTS = ("routed", "veth", "bridge", "node", "external")
_serial = itertools.count()


def client_of(world, name):
    if name in worlds.POD_KINDS:
        return world.pod(f"v-{name}", name)
    return {"node": world.node, "external": world.external}[name]


def small(world, family, mode, **spec):
    """A Service with one TCP and one UDP port, and an endpoint for each."""
    pod = world.pod("v-backend", "remote")
    world.serve(pod, 8080)
    world.serve(pod, 5353, "UDP")
    svc = objects.service(f"verdict{next(_serial)}", family,
                          world.cluster_ip(family),
                          [("http", 80, "TCP"), ("dns", 53, "UDP")],
                          annotations={"mode": mode}, **spec)
    return svc, objects.slice_of(svc, [pod], [("http", 8080, "TCP"),
                                              ("dns", 5353, "UDP")])


def syns_repeated(host):
    """How often a SYN had to be sent again in this namespace, ever."""
    with host.ns.enter(), open("/proc/thread-self/net/netstat",
                               encoding="ascii") as f:
        names, values = [line.split() for line in f
                         if line.startswith("TcpExt:")]
    return int(values[names.index("TCPSynRetrans")])


@pytest.mark.common
@pytest.mark.parametrize("origin", CLIENTS)
def test_an_undefined_port_of_a_cluster_ip_is_refused(
        world, applied, family, mode, origin):
    host = client_of(world, origin)
    svc, endpoints = small(world, family, mode)
    applied(svc, endpoints)
    ip = svc["spec"]["clusterIP"]
    assert client.outcome(host, ip, 80) == "answered"
    assert client.outcome(host, ip, 81) == "refused"
    assert client.outcome(host, ip, 53) == "refused"
    assert client.outcome(host, ip, 80, "UDP") == "refused"
    assert client.outcome(host, ip, 53, "UDP") == "answered"


@pytest.mark.parametrize("origin", CLIENTS)
def test_a_refusal_is_seen_at_the_first_syn(world, applied, family, mode,
                                            origin):
    """Which it is not by ICMPv6."""
    host = client_of(world, origin)
    empty = small(world, family, mode)[0]
    svc, endpoints = small(world, family, mode)
    applied(empty, svc, endpoints)
    before = syns_repeated(host)
    assert client.outcome(host, svc["spec"]["clusterIP"], 81) == "refused"
    assert client.outcome(host, empty["spec"]["clusterIP"], 80) == "refused"
    assert syns_repeated(host) == before


@pytest.mark.common
def test_the_other_ports_of_external_addresses_are_left_alone(
        world, applied, family, mode):
    """They may be somebody else's: here nobody's, and not refused by us."""
    public = world.public_ip(family)
    svc, endpoints = small(world, family, mode, kind="LoadBalancer",
                           ingress=[public])
    applied(svc, endpoints)
    pod = world.pod("v-routed")
    assert client.outcome(pod, public, 80) == "answered"
    # The router sends it back to the node, until it has gone round enough.
    assert client.outcome(pod, public, 81, timeout_s=1) in ("silent",
                                                           "unreachable")


def service_cidr(name, *cidrs):
    return {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
            "metadata": {"name": name}, "spec": {"cidrs": list(cidrs)}}


# Somebody else's, until there is a ServiceCIDR for it.
OTHERS = {4: "198.18.5.9", 6: "fd99::5:9"}


@pytest.fixture(scope="module")
def others(world):
    """A machine outside the cluster that has these addresses."""
    world.external.ns.ip(f"addr add {OTHERS[4]}/32 dev lo",
                         f"addr add {OTHERS[6]}/128 dev lo")
    world.router.ip("route add 198.18.0.0/15 via 203.0.113.9",
                    "route add fd98::/15 via 2001:db8:1::9")
    world.serve(world.external, 80, name="others")
    world.serve(world.external, 53, "UDP", name="others")
    yield OTHERS
    world.router.ip("route del 198.18.0.0/15", "route del fd98::/15")
    world.external.ns.ip(f"addr del {OTHERS[4]}/32 dev lo",
                         f"addr del {OTHERS[6]}/128 dev lo")


@pytest.mark.parametrize("origin", ["routed", "bridge", "node"])
def test_an_address_of_a_service_cidr_that_no_service_has_is_dropped(
        world, subject, others, family, mode, proto, origin):
    """At once, and not any longer once the ServiceCIDR is another one."""
    host = client_of(world, origin)
    ip = others[family]
    port = 80 if proto == "TCP" else 53
    svc, endpoints = small(world, family, mode)
    svc["spec"]["clusterIP"] = ip
    svc["spec"]["clusterIPs"] = [ip]

    # Who sends UDP from the node itself is told of it by EPERM.
    dropped = "refused" if (origin, proto) == ("node", "UDP") else "silent"

    def outcome(p=port):
        return client.outcome(host, ip, p, proto, 1)

    try:
        assert client.ask(host, ip, port, proto)["name"] == "others"
        subject.apply(service_cidr("test-more", "198.18.0.0/16",
                                   "fd99::/64"))
        assert outcome() == dropped
        subject.apply(svc, endpoints)
        assert client.ask(host, ip, port, proto)["name"] == "v-backend"
        assert outcome(99) == "refused"
        subject.remove(svc, endpoints)
        assert outcome() == dropped
        subject.apply(service_cidr("test-more", "198.19.0.0/16",
                                   "fd98::/64"))
        assert client.ask(host, ip, port, proto)["name"] == "others"
    finally:
        subject.remove_all()
