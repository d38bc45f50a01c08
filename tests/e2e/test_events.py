# SPDX-License-Identifier: GPL-2.0-or-later
"""Events: written to a real API server, once, and without need for them."""
import copy
import socket

import pytest

from lib import client, poll, subject as subjects, web

PORT = 8985
EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"


@pytest.fixture(scope="module")
def api(world, cluster, session_dir):
    s = subjects.NodespliceApi(world, cluster, f"{session_dir}/events")
    world.serve(world.pod("events"), PORT, name="events")
    yield s
    s.close()


@pytest.fixture
def put(api):
    mine = []

    def apply(*objs):
        mine.extend(objs)
        api.apply(*objs)
    yield apply
    api.remove(*mine)


def events(cluster, name, reason):
    return [e for e in cluster.api.get(EVENTS)["items"]
            if e["regarding"]["name"] == name and e["reason"] == reason and
            e["reportingController"] == "nodesplice"]


def the_event(cluster, name, reason):
    found = poll.until(lambda: events(cluster, name, reason), reason)
    assert len(found) == 1
    return found[0]


def small(world, **kwargs):
    return web.Small(world, 4, [world.pod("events")], PORT, **kwargs)


def test_the_start_is_told_of_the_node(world, api, cluster):
    found = poll.until(
        lambda: events(cluster, world.node.node_name, "Starting"), "Starting")
    e = found[-1]
    assert api
    assert e["type"] == "Normal"
    assert e["regarding"]["kind"] == "Node"
    assert e["reportingInstance"] == f"nodesplice-{world.node.node_name}"
    assert e["note"].startswith("nodesplice ")


def test_a_bad_annotation_is_told_once_for_all_nodes(world, api, cluster,
                                                     put):
    s = small(world, annotations={"connect-timeout": "soon"})
    put(*s.objects)
    e = the_event(cluster, s.name, "InvalidAnnotation")
    service = cluster.api.get(f"/api/v1/namespaces/default/services/{s.name}")
    assert e["type"] == "Warning"
    assert e["regarding"]["uid"] == service["metadata"]["uid"]
    assert "connect-timeout" in e["note"] and "soon" in e["note"]
    # Another process comes to the same name, and is content with it.
    before = api.daemon.metric("nodesplice_events_failed_total")
    api.daemon.stop()
    api.start()
    api.barrier()
    poll.until(lambda: api.daemon.metric(
        "nodesplice_events_told_total") >= 2, "the event told again")
    poll.until(lambda: api.daemon.metric(
        "nodesplice_events_written_total") >= 1, "the start")
    assert len(events(cluster, s.name, "InvalidAnnotation")) == 1
    assert api.daemon.metric("nodesplice_events_failed_total") == before == 0


def test_a_conflict_of_frontends_is_told_of_the_younger(world, api, cluster,
                                                        put):
    ip = world.public_ip(4)
    old = small(world, name="old", external_ips=[ip])
    put(*old.objects)
    young = small(world, name="young", external_ips=[ip])
    created = cluster.api.get(f"/api/v1/namespaces/default/services/"
                              f"{old.name}")["metadata"]["creationTimestamp"]
    assert api and created
    put(*young.objects)
    # Of the same second the names decide.
    e = poll.until(lambda: events(cluster, young.name, "FrontendConflict") or
                   events(cluster, old.name, "FrontendConflict"),
                   "FrontendConflict")[0]
    assert f"{ip}:80" in e["note"] and "taken by the older" in e["note"]


def test_a_health_check_port_that_is_taken_is_told(world, api, cluster, put):
    s = small(world, kind="LoadBalancer", externalTrafficPolicy="Local",
              healthCheckNodePort=world.node_port())
    port = s.service["spec"]["healthCheckNodePort"]
    with world.node.ns.enter():
        taken = socket.create_server(("", port))
    with taken:
        put(*s.objects)
        e = the_event(cluster, s.name, "FailedToStartServiceHealthcheck")
    assert api
    assert (e["type"], e["action"]) == ("Warning", "Listen")
    assert e["note"].startswith(
        f"node {world.node.node_name} failed to start healthcheck "
        f'"default/{s.name}" on port {port}: ')


def test_the_server_takes_a_series_as_it_is_patched(world, api, cluster, put):
    s = small(world, annotations={"idle-timeout": "never"})
    put(*s.objects)
    name = the_event(cluster, s.name, "InvalidAnnotation")["metadata"]["name"]
    assert api
    patched = cluster.api.request(
        "PATCH", f"{EVENTS}/{name}",
        {"series": {"count": 3,
                    "lastObservedTime": "2026-01-31T12:00:01.250000Z"}},
        "application/merge-patch+json")
    assert patched["series"]["count"] == 3


def test_without_the_right_all_else_goes_on_and_it_is_said_once(
        world, api, cluster, session_dir):
    api.daemon.stop()
    role = copy.deepcopy(cluster.role)
    role["metadata"]["name"] = "no-events"
    role["rules"] = [r for r in role["rules"]
                     if "events" not in r["resources"]]
    cluster.api.put(role)
    bound = {"apiVersion": "rbac.authorization.k8s.io/v1",
             "kind": "ClusterRoleBinding", "metadata": {"name": "no-events"},
             "roleRef": {"apiGroup": "rbac.authorization.k8s.io",
                         "kind": "ClusterRole", "name": "no-events"},
             "subjects": [{"kind": "User", "name": "nobody",
                           "apiGroup": "rbac.authorization.k8s.io"}]}
    cluster.api.put(bound)
    s = subjects.NodespliceApi(
        world, cluster, f"{session_dir}/no-events",
        kubeconfig=cluster.kubeconfig("no-events", {"token": "nobody-token"}))
    try:
        bad = small(world, annotations={"connect-timeout": "soon"})
        s.apply(*bad.objects)
        assert client.ask(world.node, *bad.at)["name"] == "events"
        poll.until(lambda: s.daemon.metric(
            "nodesplice_events_failed_total") >= 2, "two refusals")
        assert s.daemon.log.count("Events are not written") == 1
        assert events(cluster, bad.name, "InvalidAnnotation") == []
        s.remove(*bad.objects)
    finally:
        s.close()
        cluster.api.delete(bound)
        cluster.api.delete(role)
        api.start()
