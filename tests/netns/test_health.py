# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics and health: kube-proxy's addresses, codes and names."""
import json
import re

import pytest

from lib import client, daemon, objects, poll, subject as subjects, web
from lib import world as worlds

PORT = 8780
HEALTH = daemon.HEALTH_PORT
METRICS = daemon.METRICS_PORT


@pytest.fixture(scope="module")
def own(world, session_dir):
    s = subjects.NodespliceFiles(world, f"{session_dir}/health")
    world.serve(world.pod("health"), PORT, name="health")
    s.apply(objects.node(world.node, worlds.NODE_POD_CIDRS))
    yield s
    s.close()


@pytest.mark.parametrize("path", ["/healthz", "/livez"])
def test_a_good_node_is_healthy_and_live(own, path):
    code, headers, body = own.daemon.http(HEALTH, path)
    assert code == 200
    assert headers["Content-Type"].startswith("application/json")
    answer = json.loads(body)
    assert answer["healthy"] is True
    assert answer["lastUpdated"] and answer["currentTime"]
    assert (path == "/healthz") == ("nodeEligible" in answer)


def test_health_is_reachable_from_outside_and_metrics_are_not(world, own):
    assert own.daemon.http(HEALTH, "/healthz", world.node.addr4)[0] == 200
    with pytest.raises(ConnectionRefusedError):
        client.Connection(world.node, world.node.addr4, METRICS)
    with pytest.raises(ConnectionRefusedError):
        client.Connection(world.remote, world.node.addr4, METRICS)


def test_a_node_that_leaves_is_not_eligible_but_live(world, own):
    leaving = objects.node(world.node, worlds.NODE_POD_CIDRS)
    leaving["spec"]["taints"] = [
        {"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]
    own.apply(leaving)
    poll.until(lambda: own.daemon.http(HEALTH, "/healthz")[0] == 503,
               "503 of /healthz")
    assert json.loads(own.daemon.http(HEALTH, "/healthz")[2])[
        "nodeEligible"] is False
    assert own.daemon.http(HEALTH, "/livez")[0] == 200
    own.apply(objects.node(world.node, worlds.NODE_POD_CIDRS))
    poll.until(lambda: own.daemon.http(HEALTH, "/healthz")[0] == 200,
               "200 of /healthz")


@pytest.mark.parametrize("port,path,code", [
    (HEALTH, "/", 404), (HEALTH, "/metrics", 404), (METRICS, "/nothing", 404),
    (METRICS, "/healthz", 200), (METRICS, "/proxyMode", 200),
])
def test_codes_of_other_paths(own, port, path, code):
    assert own.daemon.http(port, path)[0] == code


def test_the_metrics_page_is_well_formed(own):
    _, headers, body = own.daemon.http(METRICS, "/metrics")
    assert headers["Content-Type"].startswith("text/plain")
    sample = re.compile(
        r'[a-z_][a-z0-9_]*(\{([a-z_]+="(\\.|[^"\\])*",?)*\})? '
        r'(NaN|[+-]Inf|[-+0-9.eE]+)$')
    typed, seen = set(), set()
    for line in body.splitlines():
        if line.startswith("# TYPE "):
            name = line.split()[2]
            assert name not in typed
            typed.add(name)
        elif not line.startswith("#"):
            assert sample.match(line), line
            key = line.rpartition(" ")[0]
            assert key not in seen
            seen.add(key)
    bare = {re.sub(r"\{.*| .*", "", key) for key in seen}
    untyped = [n for n in bare if n not in typed and
               re.sub(r"_(bucket|sum|count)$", "", n) not in typed]
    assert untyped == []


@pytest.mark.parametrize("name", [
    "sync_proxy_rules_duration_seconds", "sync_full_proxy_rules_duration_seconds",
    "sync_partial_proxy_rules_duration_seconds",
    "sync_proxy_rules_last_timestamp_seconds",
    "sync_proxy_rules_last_queued_timestamp_seconds",
    "network_programming_duration_seconds",
    "sync_proxy_rules_endpoint_changes_total",
    "sync_proxy_rules_service_changes_total",
    "sync_proxy_rules_nftables_sync_failures_total",
    "proxy_healthz_total", "proxy_livez_total",
])
def test_metrics_of_kube_proxy_exist(own, name):
    own.daemon.http(HEALTH, "/healthz")
    own.daemon.http(HEALTH, "/livez")
    assert f"# TYPE kubeproxy_{name} " in own.daemon.http(
        METRICS, "/metrics")[2]


def test_a_service_has_its_own_counters(world, own, family):
    small = web.Small(world, family, [world.pod("health")], PORT,
                      annotations={"mode": "proxy"})
    own.apply(*small.objects)

    def metric(name):
        return own.daemon.metric(f"nodesplice_service_{name}",
                                 namespace="default", service=small.name,
                                 port="p", ip_family=f"IPv{family}")
    with web.connect_carried(own, world.node, small.at) as c:
        before = metric("bytes_out_total")
        assert metric("open_connections") == 1
        c.command("bulk 1000000")
        c.read_all()
        poll.until(lambda: metric("bytes_out_total") >= before + 1000000,
                   "the bytes")
    poll.until(lambda: metric("open_connections") == 0, "the end")
    assert metric("connections_total") >= 1


def test_livez_covers_a_stuck_worker(world, own):
    """A worker thread that stands still, alone in a living process."""
    task = next(
        t for t in own.daemon.process.threads() if t[1].startswith("px-"))
    with own.daemon.process.frozen_thread(task[0]):
        poll.until(lambda: own.daemon.http(HEALTH, "/livez")[0] == 503,
                   "503 of /livez")
        assert own.daemon.http(HEALTH, "/healthz")[0] == 200
    poll.until(lambda: own.daemon.http(HEALTH, "/livez")[0] == 200,
               "200 of /livez")
