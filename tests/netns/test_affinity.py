# SPDX-License-Identifier: GPL-2.0-or-later
"""sessionAffinity ClientIP: a client keeps its endpoint.

By UDP, by TCP through the kernel and through the proxy, and from the one to the
other.
"""
import itertools
import os
import signal

import pytest

from lib import client, objects, poll, web

PORT = {"TCP": 8380, "UDP": 8353}
CLIENTS = 4
_serial = itertools.count(1)

each_way = pytest.mark.parametrize(
    "mode,proto", [("proxy", "TCP"), ("kernel", "TCP"), ("kernel", "UDP")])


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


def test_clients_that_are_quiet_for_the_timeout_are_forgotten(
        world, applied, subject, hosts, family):
    sticky = Sticky(world, family, "TCP", hosts, "proxy", timeout_s=1)
    applied(*sticky.objects)
    sticky.ask(world.external)
    name = sticky.service["metadata"]["name"]
    poll.until(lambda: subject.daemon.metric(
        "nodesplice_service_affinity_clients", service=name) == 0,
               "the client to be forgotten")


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


def told(world, sticky, names):
    """Wait until the kernel knows as many clients as the proxy."""
    key = "/".join(sticky.service["metadata"][k]
                   for k in ("namespace", "name"))

    def probe():
        listing = world.node.ns.run("nft", "list", "table", "inet",
                                    "nodesplice").stdout
        return sum(part.count(" expires ")
                   for part in listing.split("\tset ")[1:]
                   if key in part.split()[0]) == len(names)
    poll.until(probe, "the kernel to know the proxy's clients")


@pytest.mark.parametrize("kill", [False, True], ids=["SIGTERM", "SIGKILL"])
@each_way
def test_a_restart_keeps_it(
        world, applied, subject, hosts, clients, family, mode, proto, kill):
    sticky = Sticky(world, family, proto, hosts, mode)
    applied(*sticky.objects)
    clients = [c for c in clients if c is not world.node]
    names = kept(sticky, clients)
    if mode == "proxy":
        told(world, sticky, names)
    subject.restart(kill)
    assert kept(sticky, clients) == names


def test_a_kill_leaves_clients_at_their_endpoint(
        world, applied, subject, hosts, clients, family):
    sticky = Sticky(world, family, "TCP", hosts, "proxy")
    applied(*sticky.objects)
    clients = [c for c in clients if c is not world.node]
    names = kept(sticky, clients)
    told(world, sticky, names)
    subject.daemon.close()
    try:
        assert kept(sticky, clients) == names
    finally:
        subject.start()
    # What the kernel has learnt meanwhile the proxy knows.
    assert kept(sticky, clients) == names


def test_what_the_kernel_learns_while_the_proxy_hangs_is_kept(
        world, applied, subject, hosts, clients, family):
    sticky = Sticky(world, family, "TCP", hosts, "proxy")
    applied(*sticky.objects)
    first, *others = [c for c in clients if c is not world.node]
    subject.daemon.process.stop()
    try:
        # What is intercepted until the gate closes waits in vain.
        poll.until(lambda: client.ask(first, *sticky.frontends[0],
                                      timeout_s=0.5), "the kernel to serve")
        names = kept(sticky, others)
    finally:
        os.kill(subject.daemon.pid, signal.SIGCONT)
    for host in others:
        with web.connect_carried(subject, host, sticky.frontends[0]) as c:
            assert c.first["name"] == names[host.name]


def test_changes_of_mode_keep_it(world, applied, hosts, clients, family):
    sticky = Sticky(world, family, "TCP", hosts, "proxy")
    applied(*sticky.objects)
    clients = [c for c in clients if c is not world.node]
    names = kept(sticky, clients)
    for mode in ("kernel", "proxy", "kernel", "proxy"):
        applied(sticky.mode(mode))
        assert kept(sticky, clients) == names


def test_clients_of_a_dead_endpoint_get_another_one_and_keep_that(
        world, applied, subject, hosts, family):
    pod = world.pod("keep-dying")
    backend = world.serve(pod, PORT["TCP"])
    sticky = Sticky(world, family, "TCP", [pod], "proxy")
    applied(*sticky.objects)
    assert sticky.ask(world.external) == pod.name
    sticky.hosts = [pod, *hosts]
    applied(sticky.slice)
    assert sticky.ask(world.external) == pod.name
    backend.close()
    other = sticky.ask(world.external)
    assert other != pod.name
    # It comes back, but the session is elsewhere by now.
    world.serve(pod, PORT["TCP"])
    assert [sticky.ask(world.external) for _ in range(8)] == [other] * 8
    assert subject.daemon.metric("nodesplice_proxy_affinity_moved_total")


def test_explain_and_metrics_tell_it(
        world, applied, subject, hosts, clients, family):
    sticky = Sticky(world, family, "TCP", hosts, "proxy")
    applied(*sticky.objects)
    clients = [c for c in clients if c is not world.node]
    names = list(kept(sticky, clients).values())
    name = sticky.service["metadata"]["name"]
    told_by_name = {}
    for port in subject.daemon.explain(
            f"default/{name}")["services"][0]["ports"]:
        assert port["affinityTimeoutSeconds"] == 10800
        for e in port["endpoints"]:
            told_by_name[e["address"].rpartition(":")[0].strip("[]")] = (
                e["proxy"]["affinityClients"])
    assert told_by_name == {h.addr(family): names.count(h.name)
                            for h in hosts}
    assert subject.daemon.metric("nodesplice_service_affinity_clients",
                                 service=name) == len(names)
    poll.until(lambda: subject.daemon.metric(
        "nodesplice_affinity_written_total"), "clients written")
