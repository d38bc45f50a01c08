# SPDX-License-Identifier: GPL-2.0-or-later
"""Which clients are pods of this node, and what endpoints see of them."""
import contextlib
import itertools

import pytest

from lib import client, objects, subject as subjects, world as worlds

_serial = itertools.count()
NONE = ()
PODS = ("routed", "veth", "bridge")

# Options, and who is a pod of this node by them.
WAYS = {
    "node-cidr": (("--detect-local-mode", "NodeCIDR", "--pod-cidr",
                   ",".join(worlds.NODE_POD_CIDRS)), PODS),
    "cluster-cidr": (("--cluster-cidr", "10.244.0.0/16,fd00:244::/32"),
                     PODS + ("remote-pod",)),
    "bridge": (("--detect-local-mode", "BridgeInterface",
                "--pod-bridge-interface", "cni0"), ("bridge",)),
    "prefix": (("--detect-local-mode", "InterfaceNamePrefix",
                "--pod-interface-name-prefix", "cali"), ("routed",)),
    "none": (("--detect-local-mode", "none"), NONE),
}
CLIENTS = ("routed", "veth", "bridge", "remote-pod", "external", "node")


@contextlib.contextmanager
def running(world, session_dir, options):
    s = subjects.NodespliceFiles(
        world, f"{session_dir}/detect{next(_serial)}", *options, start=False)
    s.start(pod_cidrs=False)
    try:
        yield s
    finally:
        s.close()


def host_of(world, name):
    if name in worlds.POD_KINDS:
        return world.pod(f"dl-{name}", name)
    if name == "remote-pod":
        return world.pod("dl-remote", "remote")
    return {"node": world.node, "external": world.external}[name]


class Web:
    """A Service with an endpoint on this node alone, or on the other one."""

    def __init__(self, world, subject, family, mode, policy, backend):
        self.world, self.family = world, family
        node_port = world.node_port()
        svc = objects.service(
            f"detect{next(_serial)}", family, world.cluster_ip(family),
            [("http", 80, "TCP", node_port)], kind="NodePort",
            externalTrafficPolicy=policy, annotations={"mode": mode})
        world.serve(backend, 8080)
        subject.apply(svc, objects.slice_of(svc, [backend],
                                            [("http", 8080, "TCP")]))
        self.cluster = (svc["spec"]["clusterIP"], 80)
        self.node_port = (world.node.addr(family), node_port)

    def keeps(self, host, at):
        """Whether the endpoint sees the client's own address."""
        peer = client.ask(host, *at)["peer"]
        if peer == host.addr(self.family):
            return True
        assert peer in self.world.node_addrs(self.family)
        return False


@pytest.mark.parametrize("way", WAYS)
def test_cluster_ips_keep_the_address_of_pods(world, session_dir, family, way):
    options, pods = WAYS[way]
    backend = world.pod("dl-backend", "routed")
    with running(world, session_dir, options) as s:
        for mode in ("proxy", "kernel"):
            web = Web(world, s, family, mode, "Cluster", backend)
            for name in CLIENTS[:-1]:
                kept = web.keeps(host_of(world, name), web.cluster)
                # Without a detector nothing is masqueraded.
                assert kept == (name in pods or way == "none"), (mode, name)


@pytest.mark.parametrize("way", WAYS)
def test_policy_local_lets_pods_and_the_node_go_elsewhere(
        world, session_dir, family, way):
    options, pods = WAYS[way]
    backend = world.pod("dl-elsewhere", "remote")
    with running(world, session_dir, options) as s:
        for mode in ("proxy", "kernel"):
            web = Web(world, s, family, mode, "Local", backend)
            for name in ("routed", "veth", "bridge", "external"):
                host = host_of(world, name)
                if name in pods:
                    assert web.keeps(host, web.node_port), (mode, name)
                else:
                    assert client.outcome(host, *web.node_port, "TCP",
                                          0.5) == "silent", (mode, name)
            assert client.outcome(world.node, *web.node_port) == "answered"


def test_masquerade_all_masks_pods_at_cluster_ips_only(
        world, session_dir, family):
    backend = world.pod("dl-backend", "routed")
    pod = host_of(world, "veth")
    with running(world, session_dir, (
            "--masquerade-all", "--pod-cidr",
            ",".join(worlds.NODE_POD_CIDRS))) as s:
        for mode in ("proxy", "kernel"):
            web = Web(world, s, family, mode, "Local", backend)
            assert not web.keeps(pod, web.cluster)
            assert web.keeps(pod, web.node_port)
            assert web.keeps(world.external, web.node_port)
