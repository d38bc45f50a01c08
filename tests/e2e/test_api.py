# SPDX-License-Identifier: GPL-2.0-or-later
"""A real API server as the source: changes, outages, rights, certificates."""
import re

import pytest

from lib import client, daemon, kube, objects, poll, subject as subjects, web

PORT = 8880


@pytest.fixture(scope="module")
def api(world, cluster, session_dir):
    s = subjects.NodespliceApi(world, cluster, f"{session_dir}/api")
    world.serve(world.pod("api-a"), PORT, name="a")
    world.serve(world.pod("api-b", "remote"), PORT, name="b")
    yield s
    s.close()


@pytest.fixture
def put(api):
    """put(objects...); deleted after the test."""
    mine = []

    def apply(*objs):
        mine.extend(objs)
        api.apply(*objs)
    yield apply
    api.remove(*mine)


@pytest.fixture
def fresh(api):
    """The daemon has not failed yet: its pauses between attempts are
    short."""
    api.daemon.process.kill()
    api.start()
    return api


def small_on(world, family, name, **kwargs):
    kind = {"a": "routed", "b": "remote"}[name]
    return web.Small(world, family, [world.pod(f"api-{name}", kind)], PORT,
                     **kwargs)


def answers(world, small, name):
    poll.until(lambda: client.ask(world.node, *small.at,
                                  timeout_s=1)["name"] == name,
               f"{small.key} answered by {name}", 100)


def is_gone(world, small):
    poll.until(lambda: client.outcome(world.node, *small.at, timeout_s=1)
               != "answered", f"{small.key} gone")


def relists(api, kind="services"):
    return api.daemon.metric("nodesplice_source_relists_total", kind=kind)


def test_created_changed_and_deleted_objects_are_followed(
        world, api, put, family, mode):
    small = small_on(world, family, "a", annotations={"mode": mode})
    put(*small.objects)
    assert client.ask(world.node, *small.at)["name"] == "a"
    other = small_on(world, family, "b")
    small.slices[0]["endpoints"] = other.slices[0]["endpoints"]
    put(small.slices[0])
    assert client.ask(world.node, *small.at)["name"] == "b"
    small.service["spec"]["ports"][0]["port"] = 81
    put(small.service)
    assert client.ask(world.node, small.at[0], 81)["name"] == "b"
    assert client.outcome(world.node, *small.at, timeout_s=1) != "answered"
    api.remove(*small.slices)
    assert client.outcome(world.node, small.at[0], 81,
                          timeout_s=3) == "refused"
    api.remove(small.service)
    assert client.outcome(world.node, small.at[0], 81,
                          timeout_s=1) != "answered"


def test_a_service_changes_its_mode(world, api, put, family):
    small = small_on(world, family, "a", annotations={"mode": "proxy"})
    put(*small.objects)
    web.connect_carried(api, world.node, small.at).close()
    small.service["metadata"]["annotations"]["nodesplice.io/mode"] = "kernel"
    put(small.service)
    web.connect_carried(api, world.node, small.at, carried=False).close()


@pytest.mark.parametrize("why", ["headless", "ExternalName", "proxy-name"])
def test_services_of_others_are_ignored(world, api, put, why):
    small = small_on(world, 4, "a")
    address = small.at[0]
    if why == "headless":
        small.service["spec"].update(clusterIP="None", clusterIPs=["None"])
    elif why == "ExternalName":
        small.service["spec"] = {"type": "ExternalName",
                                 "externalName": "example.com"}
    else:
        small.service["metadata"]["labels"] = {
            "service.kubernetes.io/service-proxy-name": "another"}
    put(*small.objects)
    listing = world.node.ns.run("nft", "list", "ruleset").stdout
    assert small.key not in listing
    r = api.daemon.control("explain", small.key, check=False)
    assert address not in r.stdout


def test_a_slice_of_names_instead_of_addresses_is_passed_over(world, api,
                                                              put):
    small = small_on(world, 4, "a")
    fqdn = objects.slice_of(small.service, [], [("p", PORT, "TCP")], "fqdn")
    fqdn["addressType"] = "FQDN"
    fqdn["endpoints"] = [{"addresses": ["backend.example.com"]}]
    put(*small.objects, fqdn)
    assert client.ask(world.node, *small.at)["name"] == "a"


def test_an_old_version_is_answered_by_a_new_list(world, fresh, cluster, put,
                                                  family):
    """410: etcd is compacted while the daemon is kept out."""
    stays = small_on(world, family, "a")
    goes = small_on(world, family, "a")
    comes = small_on(world, family, "b")
    put(*stays.objects, *goes.objects)
    before = {kind: relists(fresh, kind)
              for kind in ("services", "endpointslices")}
    cluster.stop_apiserver()
    cluster.refuse(world.node)
    try:
        cluster.start_apiserver()
        for obj in goes.objects:
            cluster.api.delete(obj)
        for obj in comes.objects:
            cluster.api.put(obj)
        cluster.compact()
        cluster.restart_apiserver()
        # What is known stays in force as long as nothing new is.
        assert client.ask(world.node, *stays.at)["name"] == "a"
        assert client.ask(world.node, *goes.at)["name"] == "a"
    finally:
        cluster.refuse(world.node, False)
    answers(world, comes, "b")
    is_gone(world, goes)
    assert client.ask(world.node, *stays.at)["name"] == "a"
    for kind, n in before.items():
        assert relists(fresh, kind) > n
    for obj in comes.objects:
        cluster.api.delete(obj)


@pytest.mark.usefixtures("fresh")
def test_the_api_server_restarts_in_the_middle(world, cluster, put, family):
    first, second = (small_on(world, family, n) for n in "ab")
    put(*first.objects)
    cluster.stop_apiserver()
    for _ in range(20):
        assert client.ask(world.node, *first.at)["name"] == "a"
    cluster.start_apiserver()
    put(*second.objects)
    assert client.ask(world.node, *second.at)["name"] == "b"
    assert client.ask(world.node, *first.at)["name"] == "a"


def test_a_renewed_token_is_used_when_the_old_one_is_refused(
        world, fresh, cluster, put, family):
    api = fresh
    first = small_on(world, family, "a")
    put(*first.objects)
    with open(api.token_file, encoding="ascii") as f:
        old = f.read()
    cluster.revoke_account_tokens()
    # A new server knows nothing of the old token's past success, and every
    # watch has to be opened again.
    cluster.restart_apiserver()
    poll.until(lambda: re.search("401|nauthorized", api.daemon.log),
               "the refusal in the log")
    assert client.ask(world.node, *first.at)["name"] == "a"
    api.renew_token()
    second = small_on(world, family, "b")
    put(*second.objects)
    assert client.ask(world.node, *second.at)["name"] == "b"
    with open(api.token_file, encoding="ascii") as f:
        new = f.read()
    for token in (old, new):
        assert token.split(".")[2] not in api.daemon.log


def test_more_services_than_one_page_holds(world, api, cluster, session_dir):
    """Created while no daemon runs: they come by list, 500 at a time."""
    api.daemon.stop()
    many = [small_on(world, 4, "a") for _ in range(520)]
    try:
        for small in many:
            for obj in small.objects:
                cluster.api.create(obj)
        lists = cluster.api.metric("apiserver_request_total", verb="LIST",
                                   resource="services")
        api.start()
        api.barrier()
        for small in many[::40] + many[-1:]:
            assert client.ask(world.node, *small.at)["name"] == "a"
        assert api.daemon.metric("nodesplice_services") >= len(many)
        assert cluster.api.metric("apiserver_request_total", verb="LIST",
                                  resource="services") >= lists + 2
    finally:
        for small in many:
            for obj in small.objects:
                cluster.api.delete(obj)
        api.barrier()
    assert client.outcome(world.node, *many[0].at, timeout_s=1) != "answered"


def test_started_without_an_api_server_the_old_floor_serves(
        world, api, cluster, put, family):
    small = small_on(world, family, "a")
    put(*small.objects)
    api.daemon.process.kill()
    cluster.stop_apiserver()
    before = world.node.ns.run("nft", "--stateless", "list", "table", "inet",
                               "nodesplice").stdout
    api.start(wait_ready=False)
    api.daemon.process.wait_log(re.escape(kube.API_ADDR))
    for _ in range(10):
        assert client.ask(world.node, *small.at)["name"] == "a"
    assert world.node.ns.run("nft", "--stateless", "list", "table", "inet",
                             "nodesplice").stdout == before
    cluster.start_apiserver()
    api.daemon.wait_ready()
    api.barrier()
    assert client.ask(world.node, *small.at)["name"] == "a"


def test_the_node_object_decides_eligibility(world, api, cluster):
    node = {"kind": "Node", "metadata": {"name": world.node.node_name}}

    def code(path):
        return api.daemon.http(daemon.HEALTH_PORT, path)[0]
    poll.until(lambda: code("/healthz") == 200, "200 of /healthz")
    taint = {"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}
    cluster.api.patch(node, {"spec": {"taints": [taint]}})
    poll.until(lambda: code("/healthz") == 503, "503 of /healthz")
    assert code("/livez") == 200
    cluster.api.patch(node, {"spec": {"taints": []}})
    poll.until(lambda: code("/healthz") == 200, "200 of /healthz")


def test_plan_reads_the_api_too(world, api, put):
    small = small_on(world, 4, "a")
    put(*small.objects)
    r = daemon.command("plan", "--kubeconfig", api.kubeconfig, "--node-name",
                       world.node.node_name, ns=world.node.ns)
    assert small.key in r.stdout and small.at[0] in r.stdout
