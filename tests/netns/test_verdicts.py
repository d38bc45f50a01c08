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
