# SPDX-License-Identifier: GPL-2.0-or-later
"""Events: written to a real API server, once, and without need for them."""
import copy
import os
import socket
import subprocess

import pytest

from lib import client, daemon, kube, poll, subject as subjects, web

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


def test_a_bad_entry_is_told_and_the_rest_is_served(world, api, cluster, put):
    s = small(world, external_ips=[world.public_ip(4)])
    put(*s.objects)
    # The API would refuse it; an older one let it in.
    cluster.store_service(("default", s.name), {
        "spec": {"externalIPs": ["nonsense",
                                 *s.service["spec"]["externalIPs"]]}})
    e = the_event(cluster, s.name, "InvalidEntry")
    assert api
    assert e["type"] == "Warning" and e["action"] == "Plan"
    assert e["note"].startswith('spec.externalIPs[0]: "nonsense" is not')
    public = s.service["spec"]["externalIPs"][0]
    assert client.ask(world.external, public, 80)["name"] == "events"
    assert client.ask(world.node, *s.at)["name"] == "events"


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
    assert f"{ip}:80" in e["note"] and "is taken by Service" in e["note"]


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


class Teller:
    """told_events.c: our writing of Events, with a clock that jumps."""

    SERIES_MS = 300000  # EVENT_SERIES_MS of event_book.h

    def __init__(self, world, cluster):
        program = f"{os.path.dirname(daemon.BINARY)}/tests/e2e/told_events"
        self._popen = subprocess.Popen(
            world.node.ns.argv(program, cluster.kubeconfig(
                "told", {"token": kube.ADMIN_TOKEN}), world.node.node_name),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def say(self, *lines):
        for line in lines:
            self._popen.stdin.write(line + "\n")
        self._popen.stdin.flush()

    def settled(self, *lines):
        """(written, failed, waiting) once a request has been answered, or
        nothing is due."""
        self.say(*lines, "settle")
        return tuple(map(int, self._popen.stdout.readline().split()))

    def skip(self):
        return f"skip {self.SERIES_MS}"

    def close(self):
        self._popen.stdin.close()
        assert self._popen.wait(10) == 0


@pytest.fixture
def teller(world, cluster):
    made = Teller(world, cluster)
    yield made
    made.close()


def told(cluster, name):
    return [e for e in cluster.api.get(EVENTS)["items"]
            if e["regarding"]["name"] == name]


def test_what_happens_again_is_one_event_with_a_series(cluster, teller):
    line = "tell default/series it went wrong"
    assert teller.settled(line) == (1, 0, 0)
    first, = told(cluster, "series")
    assert first["note"] == "it went wrong" and "series" not in first
    # More of it is written when the time has come, all at once.
    assert teller.settled(line, line, teller.skip()) == (2, 0, 0)
    again, = told(cluster, "series")
    assert again["metadata"]["uid"] == first["metadata"]["uid"]
    assert again["series"]["count"] == 3
    assert again["series"]["lastObservedTime"] > first["eventTime"]
    assert teller.settled(line, teller.skip()) == (3, 0, 0)
    last, = told(cluster, "series")
    assert last["series"]["count"] == 4
    assert (last["series"]["lastObservedTime"] >
            again["series"]["lastObservedTime"])


def test_a_series_whose_event_has_expired_begins_anew(cluster, teller):
    line = "tell default/expired it went wrong"
    assert teller.settled(line) == (1, 0, 0)
    first, = told(cluster, "expired")
    cluster.api.request("DELETE", f"{EVENTS}/{first['metadata']['name']}")
    teller.settled(line, teller.skip())
    poll.until(lambda: teller.settled() and told(cluster, "expired"),
               "the event written anew")
    anew, = told(cluster, "expired")
    assert anew["metadata"]["uid"] != first["metadata"]["uid"]


def test_servers_that_cannot_be_bound_are_told_of_the_node(
        world, cluster, session_dir, api):
    """Of the Node, by the uid under which `kubectl describe` looks for it."""
    api.daemon.stop()
    taken = []
    try:
        with world.node.ns.enter():
            taken = [socket.create_server(("127.0.0.1", port))
                     for port in (10301, 10302)]
        options = ("--kubeconfig", api.kubeconfig, "--node-name",
                   world.node.node_name, "--control-socket",
                   f"{session_dir}/taken.sock")
        for flag, reason in (
                ("--metrics-bind-address", "FailedToStartMetricServer"),
                ("--healthz-bind-address", "FailedToStartProxierHealthcheck")):
            port = 10301 if "Metric" in reason else 10302
            other = "--healthz-bind-address" if "Metric" in reason else \
                "--metrics-bind-address"
            r = daemon.command("run", *options, flag, f"127.0.0.1:{port}",
                               other, "off", "--bind-address-hard-fail",
                               ns=world.node.ns, check=False)
            assert r.returncode == 1
            assert f"cannot listen on 127.0.0.1:{port}" in r.stderr
            e = events(cluster, world.node.node_name, reason)[-1]
            assert (e["type"], e["action"]) == ("Warning", "StartNodesplice")
            assert e["regarding"] == {
                "apiVersion": "v1", "kind": "Node",
                "name": world.node.node_name, "uid": world.node.node_name}
            assert f"127.0.0.1:{port}" in e["note"]
    finally:
        for s in taken:
            s.close()
        daemon.command("cleanup", ns=world.node.ns)
        api.start()


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
