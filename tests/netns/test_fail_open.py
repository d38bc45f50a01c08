# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever happens to the daemon, new connections are answered."""
import concurrent.futures
import itertools
import json
import os
import signal

import pytest

from lib import client, daemon, netns, nfnetlink, poll, subject as subjects, web

PORT = 8280
_serial = itertools.count()


@pytest.fixture
def own(world, session_dir):
    """A daemon of this test alone, killed in it."""
    s = subjects.NodespliceFiles(world, f"{session_dir}/own{next(_serial)}")
    yield s
    s.close()


@pytest.fixture(scope="module")
def hosts(world):
    found = [world.pod("up-routed", "routed"), world.pod("up-bridge", "bridge"),
             world.pod("up-remote", "remote"), world.node]
    for host in found:
        world.serve(host, PORT, name=host.name)
    return found


def clients(world):
    return [world.pod("low-routed"), world.pod("low-bridge", "bridge"),
            world.node]


def by_kernel(subject, world, small):
    """Everybody is answered now, at the first try, and not by the daemon."""
    for host in clients(world):
        for _ in range(8):
            with client.Connection(host, *small.at) as c:
                peer = c.greeting()["peer"]
                assert not subject.carries(c)
            if host is not world.node:
                assert peer == host.addr(small.family)


def gate_state(subject, world):
    """What there is to know of a gate that should have been open."""
    tables = world.node.ns.run("nft", "list", "sets", "inet").stdout
    gates = [text for text in tables.split("\tset ") if
             text.startswith("gate ")]
    failed = subject.daemon.metric("nodesplice_gate_refreshes_failed_total")
    return (f"gate: {gates}, heartbeats failed: {failed}\n"
            f"{subject.daemon.log[-2000:]}")


def lost(world):
    """Packets that table inet lossy has dropped."""
    out = world.node.ns.run("nft", "-j", "list", "counter", "inet", "lossy",
                            "lost").stdout
    return json.loads(out)["nftables"][1]["counter"]["packets"]


def policy_rules(world):
    """ip rules beyond those that every namespace has."""
    found = []
    for family in ("-4", "-6"):
        out = world.node.ns.run("ip", "-j", family, "rule", "show").stdout
        found += [(family, r["priority"], r["table"])
                  for r in json.loads(out)
                  if r["table"] not in ("local", "main", "default")]
    return found


def test_after_sigkill_the_next_connection_goes_by_the_kernel(
        world, own, hosts, family):
    small = web.Small(world, family, hosts, PORT,
                      annotations={"mode": "proxy"})
    own.apply(*small.objects)
    for host in clients(world):
        web.connect_carried(own, host, small.at).close()
    own.daemon.process.kill()
    own.carries = lambda c: False
    by_kernel(own, world, small)


def from_port(host, at, port=0):
    """A connection from a port of the client's choice."""
    return client.Connection(host, *at, source=("::" if ":" in at[0] else
                                                "0.0.0.0", port))


def reset_by_proxy(c):
    c.command("reset")  # the backend; the proxy passes it on
    assert c.at_end() == "reset"


def closed_by_proxy(c):
    c.command("bulk 0")
    assert c.read_all()[0] == 0


def closed_by_client(c):
    c.end_output()
    assert c.at_end() == "closed"


ENDINGS = (closed_by_client, closed_by_proxy, client.Connection.reset,
           reset_by_proxy)


def test_after_sigkill_ports_are_served_again_however_they_ended(
        world, own, hosts, family):
    """Conntrack still has an entry for some: it leads to a dead listener."""
    small = web.Small(world, family, hosts, PORT,
                      annotations={"mode": "proxy"})
    own.apply(*small.objects)
    ended = []
    for host in (*clients(world), world.external):
        web.connect_carried(own, host, small.at).close()
        for end in ENDINGS:
            with from_port(host, small.at) as c:
                c.greeting()
                assert own.carries(c)
                ended.append((host, c.local[1]))
                end(c)
    own.daemon.process.kill()
    for host, port in ended:
        with from_port(host, small.at, port) as c:
            c.greeting()


def test_a_port_is_led_by_the_rules_at_once_after_a_reset(
        world, own, hosts, family):
    small = web.Small(world, family, hosts, PORT,
                      annotations={"mode": "proxy"})
    own.apply(*small.objects)
    ended = []
    for host in clients(world):
        web.connect_carried(own, host, small.at).close()
        with from_port(host, small.at) as c:
            c.greeting()
            ended.append((host, c.local[1]))
            reset_by_proxy(c)
    small.service["metadata"]["annotations"]["nodesplice.io/mode"] = "kernel"
    own.apply(small.service)
    for host, port in ended:
        with from_port(host, small.at, port) as c:
            c.greeting()
            assert not own.carries(c)


def test_a_syn_sent_again_is_led_anew(world, own, hosts, family):
    """Its answer was lost, and the daemon was killed meanwhile."""
    small = web.Small(world, family, hosts, PORT,
                      annotations={"mode": "proxy"})
    own.apply(*small.objects)
    ports = range(10240, 10243)
    world.node.ns.nft(
        "table inet lossy {\n counter lost { }\n chain output {\n"
        "  type filter hook output priority -300\n"
        f"  tcp sport {ports[0]}-{ports[-1]} counter name lost drop\n }}\n}}\n")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        try:
            asked = [pool.submit(client.ask, host, *small.at)
                     for host in clients(world)]
            poll.until(lambda: lost(world) >= len(asked), "SYNs")
            own.daemon.process.kill()
        finally:
            world.node.ns.nft("delete table inet lossy\n")
        for a in asked:
            assert a.result()


def test_the_leftovers_of_a_kill_are_replaced_at_the_next_start(
        world, own, hosts, family):
    gone = web.Small(world, family, hosts, PORT, name="gone",
                     annotations={"mode": "proxy"})
    stays = web.Small(world, family, hosts, PORT, name="stays",
                      annotations={"mode": "proxy"})
    own.apply(*gone.objects, *stays.objects)
    rules = policy_rules(world)
    assert rules
    own.daemon.process.kill()
    assert policy_rules(world) == rules
    for obj in gone.objects:
        own.manifests.delete(obj)
    own.start()
    own.barrier()
    assert policy_rules(world) == rules
    listing = world.node.ns.run("nft", "list", "ruleset").stdout
    assert gone.key not in listing and stays.key in listing
    assert gone.at[0] not in listing
    web.connect_carried(own, world.node, stays.at).close()
    assert client.outcome(world.node, *gone.at, timeout_s=1) != "answered"


@pytest.mark.parametrize("killed", [True, False])
def test_cleanup_leaves_nothing(world, own, hosts, killed):
    for family in (4, 6):
        own.apply(*web.Small(world, family, hosts, PORT).objects)
    if killed:
        own.daemon.process.kill()
    else:
        own.daemon.stop()
    assert "nodesplice" in world.node.ns.run("nft", "list", "tables").stdout
    daemon.command("cleanup", ns=world.node.ns)
    assert world.node.ns.run("nft", "list", "ruleset").stdout == ""
    assert policy_rules(world) == []
    for family in ("-4", "-6"):
        routes = world.node.ns.run("ip", family, "route", "show", "table",
                                   "all").stdout
        assert "local default" not in routes
    # Nothing there any more is no error.
    daemon.command("cleanup", ns=world.node.ns)


def test_at_sigterm_the_floor_stays_and_serves(world, own, hosts, family):
    small = web.Small(world, family, hosts, PORT,
                      annotations={"mode": "proxy"})
    own.apply(*small.objects)
    web.connect_carried(own, world.node, small.at).close()
    own.daemon.stop()
    own.carries = lambda c: False
    tables = world.node.ns.run("nft", "list", "tables").stdout
    assert "table inet nodesplice\n" in tables
    assert "intercept" not in tables
    by_kernel(own, world, small)


def test_a_stopped_daemon_loses_its_traffic_and_gets_it_back(
        world, own, hosts, family):
    small = web.Small(world, family, hosts, PORT,
                      annotations={"mode": "proxy"})
    own.apply(*small.objects)
    host = world.pod("low-routed")
    web.connect_carried(own, host, small.at).close()
    own.daemon.process.stop()
    # The handshake alone succeeds with a stopped daemon: ask for data.
    poll.until(lambda: client.ask(host, *small.at, timeout_s=0.5),
               "an answer while the daemon is stopped")
    for h in clients(world):
        assert client.ask(h, *small.at)
    own.daemon.process.signal(signal.SIGCONT)
    web.connect_carried(own, host, small.at).close()


@pytest.fixture
def old_kernel(tmp_path, monkeypatch):
    """What is started now finds a kernel without owners of tables."""
    shim = f"{tmp_path}/old_kernel.so"
    netns.run(["cc", "-shared", "-fPIC", "-o", shim,
               os.path.join(os.path.dirname(netns.__file__), "old_kernel.c"),
               "-ldl"])
    monkeypatch.setenv("LD_PRELOAD", shim)
    monkeypatch.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") +
                       ":verify_asan_link_order=0")


def test_an_old_kernel_serves_without_the_proxy(world, session_dir, hosts,
                                                family, old_kernel):
    r = daemon.command("check", ns=world.node.ns, check=False)
    assert "missing   owner tables" in r.stdout
    assert "the proxy cannot run, kernel DNAT alone can" in r.stdout
    s = subjects.NodespliceFiles(world, f"{session_dir}/old{next(_serial)}")
    try:
        s.daemon.process.wait_log("no tables with an owner.*before 5.12.*"
                                  "going on without the proxy")
        small = web.Small(world, family, hosts, PORT,
                          annotations={"mode": "proxy"})
        s.apply(*small.objects)
        by_kernel(s, world, small)
    finally:
        s.close()


def test_one_stuck_worker_closes_the_gate(world, own, hosts, family):
    small = web.Small(world, family, hosts, PORT,
                      annotations={"mode": "proxy"})
    own.apply(*small.objects)
    host = world.pod("low-routed")
    web.connect_carried(own, host, small.at).close()
    tid = next(t for t, name in own.daemon.process.threads()
               if name.startswith("px-"))
    with own.daemon.process.frozen_thread(tid):
        poll.until(lambda: own.daemon.metric("nodesplice_gate_open") == 0,
                   "the gate closed")
        web.connect_carried(own, host, small.at, carried=False).close()
        by_kernel(own, world, small)
    web.connect_carried(own, host, small.at).close()


def test_an_idle_daemon_commits_nothing_and_keeps_its_gate_open(
        world, own, hosts, family):
    small = web.Small(world, family, hosts, PORT,
                      annotations={"mode": "proxy"})
    own.apply(*small.objects)
    web.connect_carried(own, world.node, small.at).close()

    def refreshes():
        return own.daemon.metric("nodesplice_gate_refreshes_total")

    before = nfnetlink.generation(world.node.ns)
    enough = refreshes() + 8
    poll.until(lambda: refreshes() >= enough, "eight more heartbeats")
    assert nfnetlink.generation(world.node.ns) == before
    with client.Connection(world.node, *small.at) as c:
        c.greeting()
        assert own.carries(c), gate_state(own, world)


def test_the_kernel_serves_a_family_whose_heartbeats_do_not_arrive(
        world, own, hosts):
    small = {family: web.Small(world, family, hosts, PORT,
                               annotations={"mode": "proxy"})
             for family in (4, 6)}
    for each in small.values():
        own.apply(*each.objects)
        web.connect_carried(own, world.node, each.at).close()
    world.node.ns.ip("address del ::1/128 dev lo")
    try:
        poll.until(lambda: "heartbeats over IPv6 don't arrive" in
                   own.daemon.log, "a word about IPv6")

        def by_the_kernel():
            with client.Connection(world.node, *small[6].at) as c:
                c.greeting()
                return not own.carries(c)

        poll.until(by_the_kernel, "the gate of IPv6 to close")
        assert "heartbeats over IPv6" in str(own.daemon.status()["problems"])
        web.connect_carried(own, world.node, small[4].at).close()
    finally:
        world.node.ns.ip("address add ::1/128 dev lo")
    web.connect_carried(own, world.node, small[6].at).close()
    poll.until(lambda: "heartbeats over IPv6 arrive again" in own.daemon.log,
               "another word")


def test_a_long_listing_ends_beside_the_daemon(world, own, hosts):
    """A transaction a second would make nft start again for ever."""
    many = [web.Small(world, 4, hosts, PORT) for _ in range(200)]
    for small in many:
        for obj in small.objects:
            own.manifests.put(obj)
    own.barrier()
    for _ in range(3):
        listing = world.node.ns.run("nft", "list", "ruleset", timeout=60)
        assert all(small.key in listing.stdout for small in many)


def test_other_tables_and_rules_are_never_touched(world, own, hosts):
    foreign = ("table inet other {\n\tchain c {\n\t\ttype filter hook "
               "forward priority 7; policy accept;\n\t\tcounter accept\n"
               "\t}\n\tset s { type ipv4_addr; elements = { 192.0.2.1 } }\n}\n"
               "table ip nodesplice {\n\tchain c {\n\t}\n}\n")
    world.node.ns.nft(foreign)
    world.node.ns.ip("rule add fwmark 0x77 table 77",
                     "route add blackhole 192.0.2.0/24 table 77")

    def picture():
        nft = world.node.ns.run
        return (nft("nft", "--stateless", "list", "table", "inet", "other")
                .stdout,
                nft("nft", "list", "table", "ip", "nodesplice").stdout,
                nft("ip", "rule", "show", "table", "77").stdout,
                nft("ip", "route", "show", "table", "77").stdout)
    before = picture()
    try:
        own.apply(*web.Small(world, 4, hosts, PORT).objects)
        own.daemon.process.kill()
        own.start()
        own.barrier()
        assert picture() == before
        own.daemon.stop()
        daemon.command("cleanup", ns=world.node.ns)
        assert picture() == before
    finally:
        world.node.ns.nft("delete table inet other\n"
                          "delete table ip nodesplice\n")
        world.node.ns.ip("rule del fwmark 0x77 table 77",
                         "route flush table 77")


def test_drift_is_repaired_at_the_next_start(world, own, hosts, family):
    small = web.Small(world, family, hosts, PORT,
                      annotations={"mode": "kernel"})
    own.apply(*small.objects)
    own.daemon.process.kill()
    world.node.ns.nft("flush table inet nodesplice\n")
    own.start()
    own.barrier()
    assert client.ask(world.node, *small.at)


def test_drift_is_repaired_at_full_syncs_that_no_connection_notices(
        world, own, hosts, family):
    """Of a Service in the kernel, and beside it a connection with a kept
    source on a bridge, whose way back is in dynamic sets of the intercept."""
    own.daemon.stop()
    own.start("--full-sync-period", "1s")
    small = web.Small(world, family, hosts, PORT,
                      annotations={"mode": "kernel"})
    proxied = web.Small(world, family, [world.pod("up-bridge")], PORT,
                        annotations={"mode": "proxy"})
    own.apply(*small.objects, *proxied.objects)

    def full_syncs():
        return own.daemon.metric("nodesplice_nft_full_syncs_total")

    with web.connect_carried(own, world.pod("low-bridge"), proxied.at) as c:
        c.command("echo")
        world.node.ns.nft("flush table inet nodesplice\n")
        poll.until(lambda: client.ask(world.node, *small.at), "the repair")
        enough = full_syncs() + 2
        poll.until(lambda: full_syncs() >= enough, "two more full syncs")
        assert c.echo(b"still here") == b"still here"
        assert own.carries(c)


def test_behind_a_firewall_that_drops_input_the_kernel_serves(
        world, own, hosts, family):
    small = web.Small(world, family, hosts, PORT,
                      annotations={"mode": "proxy"})
    own.apply(*small.objects)
    host = world.pod("low-routed")
    web.connect_carried(own, host, small.at).close()
    world.node.ns.nft(
        "table inet firewall {\n chain input {\n"
        "  type filter hook input priority 0; policy drop\n"
        "  iif lo accept\n  ct state established,related accept\n"
        "  meta l4proto ipv6-icmp accept\n  tcp dport 22 accept\n }\n}\n")
    try:
        # Nobody is told of a dropped SYN: several clients in a row until
        # the daemon has seen that nothing arrives.
        poll.until(lambda: client.ask(host, *small.at, timeout_s=0.5),
                   "an answer behind the firewall")
        for _ in range(5):
            with client.Connection(host, *small.at) as c:
                c.greeting()
                assert not own.carries(c)
        assert own.daemon.metric("nodesplice_gate_open") == 0
    finally:
        world.node.ns.nft("delete table inet firewall\n")
    poll.until(lambda: web.connect_carried(own, host, small.at),
               "the proxy again", 120).close()
