# SPDX-License-Identifier: GPL-2.0-or-later
"""What the node's own object tells: which pods are local."""
from lib import client, objects, poll, subject as subjects, web, world as ws

PORT = 8481


def test_the_node_object_tells_the_pod_addresses(world, session_dir, family):
    """Without --pod-cidr: pods keep their address, others do not."""
    s = subjects.NodespliceFiles(world, f"{session_dir}/node-object{family}",
                                 start=False)
    s.manifests.put(objects.node(world.node, ws.NODE_POD_CIDRS))
    s.manifests.put(objects.node(world.remote, ws.REMOTE_POD_CIDRS))
    s.start(pod_cidrs=False)
    try:
        pod = world.pod("node-client")
        world.serve(world.pod("node-object"), PORT)
        for mode in ("proxy", "kernel"):
            small = web.Small(world, family, [world.pod("node-object")],
                              PORT, annotations={"mode": mode})
            s.apply(*small.objects)
            assert client.ask(pod, *small.at)["peer"] == pod.addr(family)
            assert client.ask(world.external, *small.at)["peer"] in \
                world.node_addrs(family)
        # A node that gets other pod addresses.
        s.manifests.put(objects.node(world.node, ("10.9.0.0/24",
                                                  "fd09::/64")))
        poll.until(lambda: client.ask(pod, *small.at)["peer"] in
                   world.node_addrs(family), "the new pod addresses")
    finally:
        s.close()
