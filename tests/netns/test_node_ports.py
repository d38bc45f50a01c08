# SPDX-License-Identifier: GPL-2.0-or-later
"""On which addresses of the node its node ports are served."""
import contextlib
import itertools

import pytest

from lib import client, objects, poll, subject as subjects

_serial = itertools.count()
# Further ones of the node, on its network and on none.
EXTRA = {4: "192.168.50.77", 6: "fd50::77"}
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
BRIDGE = {4: "10.244.1.129", 6: "fd00:244:1:0:b::1"}


@contextlib.contextmanager
def served(world, session_dir, where):
    """A daemon with these --nodeport-addresses."""
    s = subjects.NodespliceFiles(
        world, f"{session_dir}/node-ports{next(_serial)}",
        "--nodeport-addresses", where)
    try:
        yield s
    finally:
        s.close()


@contextlib.contextmanager
def extra_address(world, family):
    bits = 24 if family == 4 else 64
    world.node.ns.ip(f"addr add {EXTRA[family]}/{bits} dev eth0")
    try:
        yield EXTRA[family]
    finally:
        world.node.ns.ip(f"addr del {EXTRA[family]}/{bits} dev eth0")


class Web:
    """A Service with a node port for TCP and one for UDP."""

    def __init__(self, world, subject, family, mode):
        n = next(_serial)
        pod = world.pod("np-pod")
        world.serve(pod, 8080)
        world.serve(pod, 5353, "UDP")
        self.port = {"TCP": world.node_port(), "UDP": world.node_port()}
        svc = objects.service(
            f"node-ports{n}", family, world.cluster_ip(family),
            [("http", 80, "TCP", self.port["TCP"]),
             ("dns", 53, "UDP", self.port["UDP"])],
            kind="NodePort", annotations={"mode": mode})
        subject.apply(svc, objects.slice_of(
            svc, [pod], [("http", 8080, "TCP"), ("dns", 5353, "UDP")]))

    def outcome(self, host, addr, proto="TCP"):
        return client.outcome(host, addr, self.port[proto], proto)


def test_all_means_every_local_address_but_loopback(
        world, session_dir, family):
    with served(world, session_dir, "all") as s:
        for mode in ("proxy", "kernel"):
            web = Web(world, s, family, mode)
            for proto in ("TCP", "UDP"):
                for host, addr in (
                        (world.external, world.node.addr(family)),
                        (world.pod("np-client"), BRIDGE[family]),
                        (world.node, BRIDGE[family])):
                    assert web.outcome(host, addr, proto) == "answered"
                assert web.outcome(world.node, LOOPBACK[family],
                                   proto) == "refused"
                with extra_address(world, family) as addr:
                    poll.until(lambda a=addr, w=web, p=proto: w.outcome(
                        world.remote, a, p) == "answered", "an address more")


def test_a_prefix_means_the_addresses_in_it_as_they_come_and_go(
        world, session_dir, family):
    extra = EXTRA[family]
    where = f"{extra}/32,fd09::/64" if family == 4 else \
        f"{extra}/128,192.0.2.0/24"
    with served(world, session_dir, where) as s:
        for mode in ("proxy", "kernel"):
            web = Web(world, s, family, mode)
            for proto in ("TCP", "UDP"):
                assert web.outcome(world.remote, world.node.addr(family),
                                   proto) == "refused"
                with extra_address(world, family):
                    poll.until(lambda w=web, p=proto: w.outcome(
                        world.remote, extra, p) == "answered",
                        "an address that came")
                    assert web.outcome(world.node, extra,
                                       proto) == "answered"
                # Still routed here: it is an address of the network.
                world.remote.ns.ip(
                    f"route add {extra} via {world.node.addr(family)}")
                try:
                    poll.until(lambda w=web, p=proto: client.outcome(
                        world.remote, extra, w.port[p], p, 0.3) != "answered",
                        "an address that went")
                finally:
                    world.remote.ns.ip(f"route del {extra}")


def test_localhost_is_served_by_the_proxy_alone(world, session_dir, family):
    with served(world, session_dir, "primary,localhost") as s:
        proxied = Web(world, s, family, "proxy")
        by_kernel = Web(world, s, family, "kernel")
        poll.until(lambda: s.daemon.status()["gate"]
                   ["state"] == "open", "the gate")
        assert proxied.outcome(world.node, LOOPBACK[family]) == "answered"
        assert proxied.outcome(world.node, LOOPBACK[family],
                               "UDP") == "refused"
        for proto in ("TCP", "UDP"):
            assert by_kernel.outcome(world.node, LOOPBACK[family],
                                     proto) == "refused"
        # And nobody else's loopback is ours.
        assert proxied.outcome(world.remote, LOOPBACK[family]) == "refused"
        assert proxied.outcome(world.remote,
                               world.node.addr(family)) == "answered"
        assert proxied.outcome(world.remote, BRIDGE[family]) == "refused"
        with world.node.ns.enter():
            for knob in ("all", "default", "lo", "eth0"):
                with open(f"/proc/sys/net/ipv4/conf/{knob}/route_localnet",
                          encoding="ascii") as f:
                    assert f.read() == "0\n"


def test_a_list_without_a_family_serves_all_of_it(world, session_dir):
    with served(world, session_dir, "192.0.2.0/24") as s:
        assert Web(world, s, 4, "proxy").outcome(
            world.remote, world.node.addr4) == "refused"
        assert Web(world, s, 6, "proxy").outcome(
            world.remote, world.node.addr6) == "answered"


@pytest.mark.common
def test_by_default_the_nodes_own_address_serves(
        world, subject, family, mode, proto):
    web = Web(world, subject, family, mode)
    assert web.outcome(world.external, world.node.addr(family),
                       proto) == "answered"
    assert web.outcome(world.pod("np-client"), BRIDGE[family],
                       proto) == "refused"
    assert web.outcome(world.node, LOOPBACK[family], proto) == "refused"
    subject.remove_all()
