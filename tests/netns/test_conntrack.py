# SPDX-License-Identifier: GPL-2.0-or-later
"""The connection tracking: its sysctls, and UDP flows that must not go on."""
import itertools
import json
import socket

import pytest

from lib import client, daemon, objects, poll, subject as subjects
from lib.netns import Namespace

PORT = 8780
PASSES = "kubeproxy_conntrack_reconciler_sync_duration_seconds_count"
DELETED = "kubeproxy_conntrack_reconciler_deleted_entries_total"
_serial = itertools.count()

TIMEOUTS = {"nf_conntrack_tcp_timeout_established": 86400,
            "nf_conntrack_tcp_timeout_close_wait": 3600,
            "nf_conntrack_tcp_be_liberal": 1}


def read(ns, name):
    with ns.enter(), open(f"/proc/sys/net/netfilter/{name}",
                          encoding="ascii") as f:
        return int(f.read())


@pytest.fixture
def ns():
    ns = Namespace("sysctls")
    yield ns
    ns.close()


def init(ns, folder, *options, **kwargs):
    return daemon.command("init", "--control-socket", f"{folder}/run/sock",
                          *options, ns=ns, **kwargs)


def test_init_sets_what_kube_proxy_sets(ns, tmp_path):
    before = read(ns, "nf_conntrack_udp_timeout")
    # The size is the machine's own: not from a namespace.
    out = init(ns, tmp_path, "--conntrack-max-per-core", "0").stdout
    assert {name: read(ns, name) for name in TIMEOUTS} == TIMEOUTS
    assert read(ns, "nf_conntrack_udp_timeout") == before
    assert "nf_conntrack_tcp_be_liberal is 1, was 0" in out
    out = init(ns, tmp_path, "--conntrack-max-per-core", "0",
               "--conntrack-udp-timeout", "17s",
               "--conntrack-udp-timeout-stream", "2m1s",
               "--conntrack-tcp-timeout-established", "0").stdout
    assert read(ns, "nf_conntrack_udp_timeout") == 17
    assert read(ns, "nf_conntrack_udp_timeout_stream") == 121
    assert "established" not in out


def test_init_takes_them_from_the_file_as_well(ns, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("apiVersion: nodesplice.io/v1alpha1\n"
                      "kind: NodespliceConfiguration\n"
                      "kubeconfig: /nonexistent\n"
                      "conntrack-max-per-core: 0\n"
                      "conntrack-udp-timeout: 19s\n")
    init(ns, tmp_path, "--config", str(config))
    assert read(ns, "nf_conntrack_udp_timeout") == 19


def test_a_size_that_cannot_be_set_is_named(ns, tmp_path):
    size = read(ns, "nf_conntrack_max")
    r = init(ns, tmp_path, "--conntrack-min", str(4 * size), check=False)
    assert r.returncode == 1
    assert f"nf_conntrack_max is not {8 * size}" in r.stderr
    assert read(ns, "nf_conntrack_max") == size
    assert read(ns, "nf_conntrack_tcp_be_liberal") == 1


def test_run_sets_what_it_may_and_tells_the_rest_once(world, session_dir):
    ns = world.node.ns
    ns.sysctl("net/netfilter/nf_conntrack_tcp_be_liberal", 0)
    size = read(ns, "nf_conntrack_max")
    s = subjects.NodespliceFiles(world, f"{session_dir}/sysctls", "--proxy",
                                 "off", "--conntrack-min", str(4 * size))
    try:
        assert read(ns, "nf_conntrack_tcp_be_liberal") == 1
        assert s.daemon.log.count(f"nf_conntrack_max is not {4 * size}") == 1
        assert "nodesplice init sets them" in s.daemon.log
    finally:
        s.close()


class Flow:
    """Datagrams from one source port: one flow for the kernel."""

    def __init__(self, host, addr, port):
        with host.ns.enter():
            self._socket = socket.socket(
                socket.AF_INET6 if ":" in addr else socket.AF_INET,
                socket.SOCK_DGRAM)
        self._socket.connect((addr, port))
        self._socket.settimeout(0.25)

    def ask(self):
        """Who answers the next datagram; "refused", "silent"."""
        try:
            self._socket.send(b"?\n")
            return json.loads(self._socket.recv(2048))["name"]
        except (ConnectionRefusedError, PermissionError):
            return "refused"
        except TimeoutError:
            return "silent"
        except OSError:
            return "unreachable"

    def becomes(self, *answers):
        poll.until(lambda: self.ask() in answers, f"{answers} of a flow", 20)

    def close(self):
        self._socket.close()


class Dns:
    """A UDP Service; `to` says by whom it is served."""

    def __init__(self, world, family, **spec):
        self.family = family
        self.service = objects.service(
            f"dns{next(_serial)}", family, world.cluster_ip(family),
            [spec.pop("port", ("p", 53, "UDP"))], **spec)
        self.at = (self.service["spec"]["clusterIP"], 53)

    def slice(self, *endpoints):
        return objects.slice_of(self.service, endpoints, [("p", PORT, "UDP")])

    def to(self, *endpoints):
        return self.service, self.slice(*endpoints)


@pytest.fixture(scope="module")
def own(world, session_dir):
    s = subjects.NodespliceFiles(world, f"{session_dir}/flows")
    for name in ("udp-a", "udp-b"):
        world.serve(world.pod(name), PORT, "UDP", name)
    world.serve(world.remote, PORT, "UDP", "udp-remote")
    yield s
    s.close()


@pytest.fixture
def a(world, own):
    return world.pod("udp-a")


@pytest.fixture
def b(world, own):
    return world.pod("udp-b")


@pytest.fixture
def flow(world):
    """Make flows that are closed at the end; from a pod unless said."""
    flows = []

    def make(at, host=None):
        flows.append(Flow(host or world.pod("udp-client"), *at))
        return flows[-1]
    yield make
    for f in flows:
        f.close()


@pytest.fixture(autouse=True)
def leave_nothing(request):
    yield
    if "own" in request.fixturenames:
        request.getfixturevalue("own").remove_all()


def a_pass(own, family):
    """Return after all flows were looked at that there are now."""
    def passes():
        return own.daemon.metric(PASSES, ip_family=f"IPv{family}")
    # One may be under way, and have seen some of them before the change.
    for _ in range(2):
        before = passes()
        other = Dns(own.world, family)
        own.apply(*other.to(own.world.remote))
        poll.until(lambda: passes() > before, "a pass over the flows", 20)


def test_a_flow_leaves_an_endpoint_that_is_gone(own, flow, a, b, world,
                                                family):
    dns = Dns(world, family)
    own.apply(*dns.to(a))
    f = flow(dns.at)
    f.becomes("udp-a")
    own.apply(*dns.to(b))
    f.becomes("udp-b")
    assert own.daemon.metric(DELETED, ip_family=f"IPv{family}") >= 1


def test_without_endpoints_a_flow_is_refused(own, flow, a, world, family):
    dns = Dns(world, family)
    own.apply(*dns.to(a))
    f = flow(dns.at)
    f.becomes("udp-a")
    own.apply(*dns.to())
    f.becomes("refused")
    own.apply(*dns.to(a))
    f.becomes("udp-a")


def test_a_flow_to_a_deleted_service_ends(own, flow, a, world, family):
    dns = Dns(world, family)
    own.apply(*dns.to(a))
    f = flow(dns.at)
    f.becomes("udp-a")
    own.remove(*dns.to(a))
    f.becomes("silent", "refused", "unreachable")


@pytest.mark.parametrize("how", ["endpoints", "port", "service"])
def test_a_flow_to_a_node_port_ends_with_it(own, flow, a, world, family, how):
    dns = Dns(world, family, kind="NodePort",
              port=("p", 53, "UDP", world.node_port()))
    port = dns.service["spec"]["ports"][0]["nodePort"]
    own.apply(*dns.to(a))
    f = flow((world.node.addr(family), port), world.external)
    f.becomes("udp-a")
    if how == "endpoints":
        own.apply(*dns.to())
        f.becomes("refused")
        return
    if how == "port":
        dns.service["spec"]["type"] = "ClusterIP"
        del dns.service["spec"]["ports"][0]["nodePort"]
        own.apply(*dns.to(a))
    else:
        own.remove(*dns.to(a))
    # Nobody of the node has the port any more.
    f.becomes("refused")


def test_a_flow_that_is_older_than_its_service_finds_it(own, flow, a, world,
                                                        family):
    dns = Dns(world, family)
    f = flow(dns.at)
    assert f.ask() in ("silent", "unreachable")
    own.apply(*dns.to(a))
    f.becomes("udp-a")


@pytest.mark.parametrize("affinity", ["None", "ClientIP"])
def test_a_service_that_went_while_nobody_looked_is_cut_at_the_start(
        own, flow, a, b, world, family, affinity):
    dns, stays = (Dns(world, family, sessionAffinity=affinity)
                  for _ in range(2))
    own.apply(*dns.to(a))
    own.apply(*stays.to(b))
    gone, other = flow(dns.at), flow(stays.at)
    gone.becomes("udp-a")
    other.becomes("udp-b")
    own.daemon.stop()
    own.manifests.delete(dns.service)
    own.start()
    gone.becomes("silent", "refused", "unreachable")
    assert other.ask() == "udp-b"
    own.apply(dns.service)  # for whoever cleans up


def test_a_node_port_with_affinity_that_went_while_nobody_looked_is_cut(
        own, flow, a, b, world, family):
    ports = [world.node_port() for _ in range(2)]
    dns, stays = (Dns(world, family, port=("p", 53, "UDP", port),
                      kind="NodePort", externalTrafficPolicy=policy,
                      sessionAffinity="ClientIP")
                  for port, policy in zip(ports, ("Local", "Cluster")))
    own.apply(*dns.to(a))
    own.apply(*stays.to(b))
    gone, other = (flow((world.node.addr(family), port), world.external)
                   for port in ports)
    gone.becomes("udp-a")
    other.becomes("udp-b")
    own.daemon.stop()
    own.manifests.delete(dns.service)
    own.start()
    gone.becomes("silent", "refused", "unreachable")
    assert other.ask() == "udp-b"
    own.apply(dns.service)  # for whoever cleans up


def test_a_change_of_policy_cuts_no_flow(own, flow, world, family):
    dns = Dns(world, family)
    own.apply(*dns.to(world.remote))
    f = flow(dns.at)
    f.becomes("udp-remote")
    dns.service["spec"]["internalTrafficPolicy"] = "Local"
    own.apply(*dns.to(world.remote))
    a_pass(own, family)
    assert flow(dns.at).ask() == "silent"
    f.becomes("udp-remote")


def test_an_endpoint_that_terminates_keeps_its_flows(own, flow, a, b, world,
                                                     family):
    dns = Dns(world, family)
    own.apply(*dns.to(a))
    f = flow(dns.at)
    f.becomes("udp-a")
    leaving = (a, {"ready": False, "serving": True, "terminating": True})
    own.apply(*dns.to(leaving, b))
    a_pass(own, family)
    flow(dns.at).becomes("udp-b")
    f.becomes("udp-a")
    leaving = (a, {"ready": False, "serving": False, "terminating": True})
    own.apply(*dns.to(leaving, b))
    f.becomes("udp-b")


def test_tcp_is_never_cut(own, a, world, family):
    world.serve(a, PORT, "TCP", "tcp-a")
    service = objects.service(
        f"tcp{next(_serial)}", family, world.cluster_ip(family),
        [("p", 53, "TCP")], annotations={"mode": "kernel"})
    own.apply(service, objects.slice_of(service, [a], [("p", PORT, "TCP")]))
    with client.Connection(world.pod("udp-client"),
                           service["spec"]["clusterIP"], 53) as c:
        assert c.greeting()["name"] == "tcp-a"
        c.command("echo")
        own.remove(service)
        a_pass(own, family)
        assert c.echo(b"x" * 1000) == b"x" * 1000


def test_what_others_translate_is_left_alone(own, flow, a, b, world, family):
    """A host port; its rule is gone when it is asked again, so that only the
    tracked flow can lead it there."""
    dns = Dns(world, family, kind="NodePort",
              port=("p", 53, "UDP", world.node_port()))
    own.apply(*dns.to(b))
    ip = "ip6" if family == 6 else "ip"
    addr = f"[{a.addr(6)}]" if family == 6 else a.addr(4)
    world.node.ns.nft(f"""table {ip} host-ports {{
        chain prerouting {{ type nat hook prerouting priority -100;
            {ip} daddr {world.node.addr(family)} udp dport 7777 \
                dnat to {addr}:{PORT}
        }}
    }}
    """)
    try:
        f = flow((world.node.addr(family), 7777), world.external)
        f.becomes("udp-a")
    finally:
        world.node.ns.nft(f"delete table {ip} host-ports")
    own.remove(*dns.to(b))
    a_pass(own, family)
    f.becomes("udp-a")
