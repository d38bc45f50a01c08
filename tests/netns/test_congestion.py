# SPDX-License-Identifier: GPL-2.0-or-later
"""Legs that stay on the node don't send at the pace of BBR."""
import re

import pytest

from lib import subject as subjects, web

PORT = 8290
DEFAULT = "net.ipv4.tcp_congestion_control"


@pytest.fixture(params=["bbr", "reno"])
def default(world, request):
    """What new sockets of the node have, where the kernel knows it."""
    available = world.node.ns.run(
        "sysctl", "-n", "net.ipv4.tcp_available_congestion_control")
    name = request.param if request.param in available.stdout.split() \
        else "reno"
    former = world.node.ns.run("sysctl", "-n", DEFAULT).stdout.strip()
    world.node.ns.sysctl(DEFAULT, name)
    yield name
    world.node.ns.sysctl(DEFAULT, former)


@pytest.fixture
def own(world, session_dir, default):
    """A daemon that was started with this default."""
    s = subjects.NodespliceFiles(world, f"{session_dir}/paced-{default}")
    yield s
    s.close()


def algorithm(world, *which):
    out = world.node.ns.run("ss", "-tinHO", "state", "established",
                            *which).stdout
    names = set(re.findall(r"\b(bbr|cubic|reno)\b", out))
    assert len(names) == 1, out
    return names.pop()


@pytest.mark.parametrize("kind", ["routed", "remote"])
def test_what_leaves_the_node_keeps_its_default(world, own, default, kind):
    endpoint = world.pod(f"paced-{kind}", kind)
    world.serve(endpoint, PORT, name=endpoint.name)
    client = world.pod("low-routed")
    small = web.Small(world, 4, [endpoint], PORT,
                      annotations={"mode": "proxy"})
    own.apply(*small.objects)
    with web.connect_carried(own, client, small.at) as c:
        inside = {"bbr": {"cubic", "reno"}}.get(default, {default})
        assert algorithm(world, f"dport = :{c.local[1]}") in inside
        at_endpoint = algorithm(world, f"dport = :{PORT}")
        if kind == "remote":
            assert at_endpoint == default
        else:
            assert at_endpoint in inside
