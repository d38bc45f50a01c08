# SPDX-License-Identifier: GPL-2.0-or-later
"""Health ports on the wire: the same for kube-proxy, byte by byte."""
import datetime
import json
import re
import socket

import pytest

from lib import client, daemon, objects, poll, web

pytestmark = pytest.mark.common

PORT = 8790
TERMINATING = {"ready": False, "serving": True, "terminating": True}


def is_closed(host, addr, port):
    try:
        web.ask(host, addr, port)
    except ConnectionRefusedError:
        return True
    return False


def is_open(host, addr, port):
    return not is_closed(host, addr, port)


@pytest.fixture
def balanced(world, subject, applied, family):
    """A LoadBalancer Service with two local pods and a remote one."""
    pods = [world.pod(f"hp-{n}") for n in "ab"]
    for pod in pods:
        world.serve(pod, PORT)
    small = web.Small(
        world, family, [*pods, world.pod("hp-r", "remote")], PORT, name="lb",
        kind="LoadBalancer", externalTrafficPolicy="Local",
        healthCheckNodePort=world.node_port(),
        ingress=[world.public_ip(family)])
    small.port = small.service["spec"]["healthCheckNodePort"]
    small.node = world.node.addr(family)
    small.pods = pods
    applied(*small.objects)
    poll.until(lambda: is_open(world.remote, small.node, small.port),
               "the health check node port")
    return small


def weight(world, small):
    code, headers, _ = web.ask(world.remote, small.node, small.port)
    return code, headers["X-Load-Balancing-Endpoint-Weight"]


def body_of(small, n):
    return ('{\n\t"service": {\n\t\t"namespace": "default",\n'
            f'\t\t"name": "{small.name}"\n\t}},\n'
            f'\t"localEndpoints": {n},\n\t"serviceProxyHealthy": true\n}}')


@pytest.mark.parametrize("method,path", [
    ("GET", "/"), ("GET", "/healthz"), ("GET", "/any/thing?a=b"),
    ("POST", "/"), ("DELETE", "/x")])
def test_any_request_is_answered_with_the_local_endpoints(
        world, balanced, method, path):
    code, headers, body = web.ask(world.remote, balanced.node, balanced.port,
                              path, method)
    assert code == 200
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Load-Balancing-Endpoint-Weight"] == "2"
    assert body == body_of(balanced, 2)


def test_head_has_the_headers_alone(world, balanced):
    code, headers, body = web.ask(world.remote, balanced.node, balanced.port,
                              method="HEAD")
    assert code == 200 and body == ""
    assert headers["Content-Length"] == str(len(body_of(balanced, 2)))


@pytest.mark.parametrize("path", ["/healthz", "/livez"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS"])
def test_the_proxys_own_health_is_told_by_any_method(world, subject, path,
                                                     method):
    subject.barrier()
    code, headers, body = web.ask(world.node, "127.0.0.1", 10256, path, method)
    assert code == 200
    assert headers["Content-Type"] == "application/json"
    assert (method == "HEAD") == (body == "")


def test_only_local_ready_endpoints_count(world, subject, balanced):
    a, b = balanced.pods

    def endpoints(*members):
        subject.apply(objects.slice_of(balanced.service, members,
                                       [("p", PORT, "TCP")], "0"))
    endpoints((a, TERMINATING), b)
    assert weight(world, balanced) == (200, "1")
    # Served all the same, but no balancer is to send more.
    endpoints((a, TERMINATING), (b, TERMINATING))
    assert weight(world, balanced) == (503, "0")
    assert client.ask(world.node, *balanced.at)
    _, headers, body = web.ask(world.remote, balanced.node, balanced.port)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert body == body_of(balanced, 0)
    endpoints((a, {"ready": False, "serving": False}),
              world.pod("hp-r", "remote"))
    assert weight(world, balanced) == (503, "0")


def test_one_pod_behind_two_ports_is_one_endpoint(world, subject, balanced):
    balanced.service["spec"]["ports"].append(
        {"name": "q", "port": 81, "protocol": "TCP", "targetPort": PORT})
    subject.apply(balanced.service, objects.slice_of(
        balanced.service, balanced.pods,
        [("p", PORT, "TCP"), ("q", PORT, "TCP")], "0"))
    assert weight(world, balanced) == (200, "2")


def test_the_port_goes_with_the_policy(world, subject, balanced):
    spec = balanced.service["spec"]
    del spec["healthCheckNodePort"]
    spec["externalTrafficPolicy"] = "Cluster"
    subject.apply(balanced.service)
    poll.until(lambda: is_closed(world.remote, balanced.node, balanced.port),
               "a closed port")


def test_the_port_goes_with_the_service(world, subject, balanced):
    subject.remove(*balanced.objects)
    poll.until(lambda: is_closed(world.remote, balanced.node, balanced.port),
               "a closed port")


def test_a_port_in_use_is_taken_over_when_it_is_free(world, subject, applied,
                                                     family):
    small = web.Small(
        world, family, [world.pod("hp-a")], PORT, name="lb",
        kind="LoadBalancer", externalTrafficPolicy="Local",
        healthCheckNodePort=world.node_port())
    port = small.service["spec"]["healthCheckNodePort"]
    kind = socket.AF_INET6 if family == 6 else socket.AF_INET
    with world.node.ns.enter():
        taken = socket.socket(kind, socket.SOCK_STREAM)
        if family == 6:
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind(("", port))
        taken.listen(1)
    with taken:
        applied(*small.objects)

    def answers():
        # kube-proxy tries again with the next change only.
        subject.barrier()
        return web.ask(world.remote, world.node.addr(family), port)[0] == 200
    poll.until(answers, "the health check node port")


# --- the ports of the program itself -----------------------------------

@pytest.mark.parametrize("path,keys", [
    ("/healthz", {"lastUpdated", "currentTime", "nodeEligible", "healthy",
                  "status"}),
    ("/livez", {"lastUpdated", "currentTime", "healthy", "status"})])
def test_the_health_pages(world, subject, path, keys):
    subject.barrier()
    code, headers, body = web.ask(world.node, "127.0.0.1", daemon.HEALTH_PORT,
                              path)
    answer = json.loads(body)
    assert code == 200
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Content-Type-Options"] == "nosniff"
    # What nodesplice alone has.
    answer.pop("workers", None)
    assert set(answer) == keys
    assert answer["healthy"] is True
    assert set(answer["status"]) == {"IPv4", "IPv6"}
    for family in answer["status"].values():
        assert set(family) == {"lastUpdated", "healthy"}
        assert family["healthy"] is True
        read_time(family["lastUpdated"])
    # "lastUpdated" is now, as long as all is well.
    assert abs(read_time(answer["lastUpdated"]) -
               read_time(answer["currentTime"])) < \
        datetime.timedelta(seconds=1)


def read_time(text):
    m = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?"
                     r"(Z|[-+]\d\d:\d\d)", text)
    assert m, text
    whole = datetime.datetime.fromisoformat(
        m[1] + ("+00:00" if m[3] == "Z" else m[3]))
    return whole + datetime.timedelta(seconds=float(m[2] or 0))


def test_health_is_served_on_every_address_of_both_families(world, subject):
    subject.barrier()
    for addr in ("127.0.0.1", "::1", world.node.addr4, world.node.addr6):
        assert web.ask(world.node, addr, daemon.HEALTH_PORT, "/healthz")[0] == 200
    for addr in (world.node.addr4, world.node.addr6):
        assert web.ask(world.remote, addr, daemon.HEALTH_PORT,
                   "/livez")[0] == 200
        assert is_closed(world.remote, addr, daemon.METRICS_PORT)


@pytest.mark.parametrize("port,path,code", [
    (daemon.HEALTH_PORT, "/", 404), (daemon.HEALTH_PORT, "/metrics", 404),
    (daemon.HEALTH_PORT, "/healthz/", 404),
    (daemon.METRICS_PORT, "/nothing", 404),
    (daemon.METRICS_PORT, "/healthz", 200),
    (daemon.METRICS_PORT, "/proxyMode", 200),
    (daemon.METRICS_PORT, "/metrics", 200),
])
def test_codes(world, subject, port, path, code):
    subject.barrier()
    assert web.ask(world.node, "127.0.0.1", port, path)[0] == code


def test_the_mode_that_is_told(world, subject):
    subject.barrier()
    code, headers, body = web.ask(world.node, "127.0.0.1", daemon.METRICS_PORT,
                              "/proxyMode")
    assert (code, body) == (200, "nftables")
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
