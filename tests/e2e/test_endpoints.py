# SPDX-License-Identifier: GPL-2.0-or-later
"""Endpoints of a real API server, where slices are not asked for."""
import pytest

from lib import client, subject as subjects, web

PORT = 8990


@pytest.fixture(scope="module")
def api(world, cluster, session_dir):
    s = subjects.NodespliceEndpoints(world, cluster, f"{session_dir}/endpoints")
    for name in ("ends-a", "ends-b"):
        world.serve(world.pod(name), PORT, name=name)
    yield s
    s.close()


@pytest.fixture
def small(world, api, family):
    """Not applied; removed after the test."""
    small = web.Small(world, family, [world.pod("ends-a")], PORT)
    yield small
    api.remove(*small.objects)


def test_they_are_followed(world, api, small, family):
    api.apply(*small.objects)
    assert client.ask(world.node, *small.at)["name"] == "ends-a"
    endpoint = small.slices[0]["endpoints"][0]
    endpoint["addresses"] = [world.pod("ends-b").addr(family)]
    api.apply(small.slices[0])
    assert client.ask(world.node, *small.at)["name"] == "ends-b"
    endpoint["conditions"]["ready"] = False
    api.apply(small.slices[0])
    assert client.outcome(world.node, *small.at) == "refused"
    endpoint["conditions"]["ready"] = True
    api.apply(small.slices[0])
    assert client.ask(world.node, *small.at)["name"] == "ends-b"
    api.remove(small.slices[0])
    assert client.outcome(world.node, *small.at) == "refused"


def test_those_of_a_service_with_a_selector_are_used_too(world, api, small):
    """Nobody mirrors them, and nothing else says where it is served."""
    small.service["spec"]["selector"] = {"app": "web"}
    api.apply(*small.objects)
    assert client.ask(world.node, *small.at)["name"] == "ends-a"


def test_slices_are_not_asked_for(world, api, cluster, small):
    api.apply(small.service)
    cluster.api.put(small.slices[0])
    api.barrier()
    try:
        assert client.outcome(world.node, *small.at) == "refused"
    finally:
        cluster.api.delete(small.slices[0])
    kinds = {s["kind"] for s in api.daemon.status()["sources"]}
    assert "endpoints" in kinds and "endpointslices" not in kinds


def test_what_is_known_is_compared_when_the_daemon_starts_again(world, api,
                                                                small):
    api.apply(*small.objects)
    api.restart()
    api.barrier()
    assert client.ask(world.node, *small.at)["name"] == "ends-a"
