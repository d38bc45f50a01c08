# SPDX-License-Identifier: GPL-2.0-or-later
"""sessionAffinity ClientIP: a client keeps its endpoint.

By UDP and by TCP through the kernel.
"""
import itertools

import pytest

from lib import client, objects, poll

PORT = {"TCP": 8380, "UDP": 8353}
CLIENTS = 4
_serial = itertools.count(1)

each_way = pytest.mark.parametrize(
    "mode,proto", [("kernel", "TCP"), ("kernel", "UDP")])


class Sticky:
    """A Service with affinity, one port and every kind of frontend."""

    def __init__(self, world, family, proto, hosts, mode, timeout_s=10800,
                 **spec):
        self.family, self.proto, self.hosts = family, proto, list(hosts)
        self.node_port = world.node_port()
        self.external_ip = world.public_ip(family)
        self.service = objects.service(
            f"sticky{next(_serial)}", family, world.cluster_ip(family),
            [("p", 80, proto, self.node_port)], kind="NodePort",
            annotations={"mode": mode}, external_ips=[self.external_ip],
            sessionAffinity="ClientIP", sessionAffinityConfig={
                "clientIP": {"timeoutSeconds": timeout_s}}, **spec)
        self.node_addr = world.node.addr(family)

    @property
    def slice(self):
        return objects.slice_of(self.service, self.hosts,
                                [("p", PORT[self.proto], self.proto)])

    @property
    def objects(self):
        return self.service, self.slice

    @property
    def frontends(self):
        return ((self.service["spec"]["clusterIP"], 80),
                (self.external_ip, 80), (self.node_addr, self.node_port))

    def mode(self, value):
        self.service["metadata"]["annotations"]["nodesplice.io/mode"] = value
        return self.service

    def ask(self, host, frontend=0):
        return client.ask(host, *self.frontends[frontend],
                          self.proto)["name"]


@pytest.fixture(scope="module")
def hosts(world):
    found = [world.pod("keep-routed", "routed"),
             world.pod("keep-veth", "veth"),
             world.pod("keep-bridge", "bridge"),
             world.pod("keep-remote", "remote")]
    for host in found:
        for proto, port in PORT.items():
            world.serve(host, port, proto)
    return found


@pytest.fixture(scope="module")
def clients(world):
    return [world.external, world.node] + [
        world.pod(f"stick-{n}", kind) for n, kind in enumerate(
            ("routed", "veth", "bridge", "remote") * 2)]


def kept(sticky, clients):
    """{client: the name that answers}, the same 4 times at each frontend."""
    names = {}
    for host in clients:
        names[host.name] = sticky.ask(host)
        for _ in range(4):
            for frontend in range(3):
                assert sticky.ask(host, frontend) == names[host.name]
    return names


@pytest.mark.common
@each_way
def test_a_client_keeps_its_endpoint_at_every_frontend(
        world, applied, hosts, clients, family, mode, proto):
    sticky = Sticky(world, family, proto, hosts, mode)
    applied(*sticky.objects)
    # The node asks from another address at each frontend.
    names = kept(sticky, [c for c in clients if c is not world.node])
    assert len(set(names.values())) > 1
    first = sticky.ask(world.node)
    assert [sticky.ask(world.node) for _ in range(8)] == [first] * 8


@pytest.mark.common
@each_way
def test_an_endpoint_that_goes_loses_its_clients_alone(
        world, applied, hosts, clients, family, mode, proto):
    sticky = Sticky(world, family, proto, hosts, mode)
    applied(*sticky.objects)
    clients = [c for c in clients if c is not world.node]
    before = kept(sticky, clients)
    gone = before[clients[0].name]
    sticky.hosts = [h for h in hosts if h.name != gone]
    applied(sticky.slice)
    after = kept(sticky, clients)
    for name, endpoint in before.items():
        if endpoint == gone:
            assert after[name] != gone
        else:
            assert after[name] == endpoint
    sticky.hosts = hosts
    applied(sticky.slice)
    assert kept(sticky, clients) == after


@pytest.mark.common
@each_way
def test_it_ends_when_a_client_was_quiet_for_the_timeout(
        world, applied, hosts, family, mode, proto):
    sticky = Sticky(world, family, proto, hosts, mode, timeout_s=1)
    applied(*sticky.objects)
    first = sticky.ask(world.external)
    # Each question begins the second anew, so these are further apart.
    poll.until(lambda: sticky.ask(world.external) != first,
               "another endpoint", interval_s=1.5)


@pytest.mark.common
@each_way
def test_the_local_set_is_never_left_for_it(
        world, applied, hosts, family, mode, proto):
    sticky = Sticky(world, family, proto, hosts, mode,
                    externalTrafficPolicy="Local")
    applied(*sticky.objects)
    local = {h.name for h in hosts if h.name != "keep-remote"}
    sticky.hosts = [h for h in hosts if h.name == "keep-remote"]
    applied(sticky.slice)
    assert sticky.ask(world.external) == "keep-remote"
    sticky.hosts = hosts
    applied(sticky.slice)
    assert sticky.ask(world.external) == "keep-remote"
    names = [sticky.ask(world.external, 2) for _ in range(8)]
    assert names[0] in local and names == names[:1] * 8


@pytest.mark.parametrize("kill", [False, True], ids=["SIGTERM", "SIGKILL"])
@each_way
def test_a_restart_keeps_it(
        world, applied, subject, hosts, clients, family, mode, proto, kill):
    sticky = Sticky(world, family, proto, hosts, mode)
    applied(*sticky.objects)
    clients = [c for c in clients if c is not world.node]
    names = kept(sticky, clients)
    subject.restart(kill)
    assert kept(sticky, clients) == names
