# SPDX-License-Identifier: GPL-2.0-or-later
"""Time-outs, retries and ejection; each time-out fires and spares."""
import time

import pytest

from lib import backend, client, poll, web
from lib.resilience import (counter, end_of, explained, grows,
                            service_metric, settings)

PORT = 8380


@pytest.fixture(scope="module")
def pods(world):
    """Three backends: pod -> Backend."""
    made = {}
    for name, kind in (("r1", "routed"), ("r2", "bridge"), ("r3", "remote")):
        pod = world.pod(f"res-{name}", kind)
        made[pod] = world.serve(pod, PORT, name=name)
    return made


@pytest.fixture
def healthy(pods):
    """Backends in good order before and after the test."""
    yield pods
    for b in pods.values():
        b.undrop()
        b.listen()
        b.reset_on_accept = False
        b.reset_all()


@pytest.fixture
def from_pod(world):
    return world.pod("res-client", "routed")


def test_connect_timeout_fires(world, subject, applied, healthy, from_pod,
                               family):
    pod, silent = list(healthy.items())[0]
    small = web.Small(world, family, [pod], PORT, annotations=settings(
        connect_timeout="200ms", connect_attempts="1"))
    applied(*small.objects)
    web.connect_carried(subject, from_pod, small.at).close()
    silent.drop()
    with grows(subject, "connect_timeouts"):
        assert end_of(from_pod, small.at) in ("ConnectionResetError",
                                              "ConnectionRefusedError")


def test_connect_timeout_spares_the_slow(world, subject, applied, healthy,
                                         from_pod, family):
    pod, slow = list(healthy.items())[0]
    small = web.Small(world, family, [pod], PORT, annotations=settings(
        connect_timeout="30s", connect_attempts="1"))
    applied(*small.objects)
    web.connect_carried(subject, from_pod, small.at).close()
    slow.drop()
    before = counter(subject, "connects")
    with client.Connection(from_pod, *small.at) as c:
        poll.until(lambda: counter(subject, "connects") > before,
                   "an attempt")
        slow.undrop()
        # The kernel's second SYN, one second later, gets through.
        assert c.greeting()["name"] == "r1"
    assert counter(subject, "connects") == before + 1


def test_idle_timeout_fires(world, subject, applied, healthy, from_pod,
                            family):
    pod = list(healthy)[0]
    small = web.Small(world, family, [pod], PORT,
                      annotations=settings(idle_timeout="300ms"))
    applied(*small.objects)
    with grows(subject, "idle_timeouts"):
        with web.connect_carried(subject, from_pod, small.at) as c:
            c.sock.settimeout(30)
            assert c.at_end() in ("closed", "reset")
    poll.until(lambda: not healthy[pod].open, "the backend's end closed")


@pytest.mark.parametrize("moving", ["to the backend", "to the client"])
def test_idle_timeout_spares_a_connection_that_moves_one_way(
        world, subject, applied, healthy, from_pod, family, moving):
    pod, served = list(healthy.items())[0]
    small = web.Small(world, family, [pod], PORT,
                      annotations=settings(idle_timeout="1500ms"))
    applied(*small.objects)
    before = counter(subject, "idle_timeouts")
    with web.connect_carried(subject, from_pod, small.at) as c:
        c.command("hold")
        poll.until(lambda: [o for o in served.open if o.command == "hold"],
                   "the backend holding")
        (held,) = [o for o in served.open if o.command == "hold"]
        end = time.monotonic() + 4
        while time.monotonic() < end:
            if moving == "to the backend":
                c.sock.sendall(b"x")
            else:
                held.say(b"x\n")
                assert c.line() == b"x"
            time.sleep(0.1)
        held.say(b"end\n")
        assert c.line().endswith(b"end")
    assert counter(subject, "idle_timeouts") == before


def probed(world, port):
    """Whether the kernel will probe the proxy's socket towards this port."""
    out = world.node.ns.run("ss", "-tnoH", "state", "established",
                            f"dport = :{port}").stdout
    return [line for line in out.splitlines() if "(keepalive," in line]


def test_the_peers_of_a_connection_that_lasts_are_probed(
        world, subject, applied, healthy, from_pod, family):
    pod = list(healthy)[0]
    small = web.Small(world, family, [pod], PORT,
                      annotations=settings(tcp_keepalive="20s"))
    applied(*small.objects)
    with web.connect_carried(subject, from_pod, small.at) as c:
        poll.until(lambda: probed(world, c.local[1]) and probed(world, PORT),
                   "keepalive on both sides")


def test_half_close_timeout_fires(world, subject, applied, healthy, from_pod,
                                  family):
    pod, served = list(healthy.items())[0]
    small = web.Small(world, family, [pod], PORT,
                      annotations=settings(half_close_timeout="300ms"))
    applied(*small.objects)
    with grows(subject, "half_close_timeouts"):
        with web.connect_carried(subject, from_pod, small.at) as c:
            c.command("hold")
            c.end_output()
            c.sock.settimeout(30)
            assert c.at_end() in ("closed", "reset")
    poll.until(lambda: all(c.dead for c in served.open),
               "the backend's end closed")


def test_half_close_timeout_spares_an_answer_after_the_question_ended(
        world, subject, applied, healthy, from_pod, family):
    pod, served = list(healthy.items())[0]
    small = web.Small(world, family, [pod], PORT, annotations=settings(
        half_close_timeout="60s", idle_timeout="60s"))
    applied(*small.objects)
    with web.connect_carried(subject, from_pod, small.at) as c:
        c.command("hold")
        c.end_output()
        poll.until(lambda: [o for o in served.open if o.ended],
                   "the end of the question at the backend")
        (held,) = [o for o in served.open if o.ended]
        held.say(b"late answer\n")
        assert c.line() == b"late answer"


def test_half_close_in_both_directions(world, subject, applied, healthy,
                                       from_pod, family):
    small = web.Small(world, family, healthy, PORT, annotations=settings())
    applied(*small.objects)
    n = 5_000_000
    with web.connect_carried(subject, from_pod, small.at) as c:
        c.command("sink")
        c.send_pattern(n)
        c.end_output()
        assert backend.pattern_sha256(n).encode() in c.line()
        assert c.at_end() == "closed"
    with web.connect_carried(subject, from_pod, small.at) as c:
        c.command(f"bulk {n}")
        assert c.read_all() == (n, backend.pattern_sha256(n))
        c.sock.sendall(b"after the answer's end")
        c.end_output()


def test_a_reset_of_the_backend_reaches_the_client(
        world, subject, applied, healthy, from_pod, family):
    small = web.Small(world, family, healthy, PORT, annotations=settings())
    applied(*small.objects)
    with web.connect_carried(subject, from_pod, small.at) as c:
        c.command("reset")
        assert c.at_end() == "reset"


def test_a_reset_of_the_client_reaches_the_backend(
        world, subject, applied, healthy, from_pod, family):
    pod, served = list(healthy.items())[0]
    small = web.Small(world, family, [pod], PORT, annotations=settings())
    applied(*small.objects)
    c = web.connect_carried(subject, from_pod, small.at)
    c.command("hold")
    resets = served.resets_n
    poll.until(lambda: [o for o in served.open if o.command == "hold"],
               "the backend holding")
    c.reset()
    poll.until(lambda: served.resets_n > resets, "the reset at the backend")


@pytest.mark.parametrize("trouble", ["refuse", "drop"])
def test_a_failed_connect_is_retried_elsewhere(
        world, subject, applied, healthy, from_pod, family, trouble):
    """Without ejection, so that the bad one is tried again and again."""
    small = web.Small(world, family, healthy, PORT, annotations=settings(
        connect_timeout="150ms", outlier_consecutive_failures="off"))
    applied(*small.objects)
    web.connect_carried(subject, from_pod, small.at).close()
    getattr(list(healthy.values())[0], trouble)()
    with grows(subject, "connect_retries"):
        seen = set(client.names(from_pod, *small.at, 40))
    assert seen == {"r2", "r3"}
    assert service_metric(subject, small, "ejections_total") == 0


def test_after_the_last_attempt_the_client_is_refused(
        world, subject, applied, healthy, from_pod, family):
    small = web.Small(world, family, healthy, PORT,
                      annotations=settings(connect_attempts="2"))
    applied(*small.objects)
    web.connect_carried(subject, from_pod, small.at).close()
    for b in healthy.values():
        b.refuse()
    before = counter(subject, "connects")
    with grows(subject, "connect_exhausted"):
        assert end_of(from_pod, small.at) in ("ConnectionResetError",
                                              "ConnectionRefusedError")
    assert counter(subject, "connects") == before + 2


def count_syns(world, host):
    """Count the SYNs that arrive at a backend's port; delta on each call."""
    host.ns.nft("table inet watch {\n counter syns { }\n chain input {\n"
                "  type filter hook prerouting priority -300\n"
                f"  tcp dport {PORT} tcp flags & (syn | ack) == syn "
                "counter name syns\n }\n}\n")

    def read():
        out = host.ns.run("nft", "reset", "counter", "inet", "watch",
                          "syns").stdout
        return int(out.split("packets")[1].split()[0])
    return read


@pytest.mark.parametrize("trouble", ["refuse", "drop"])
def test_an_endpoint_that_fails_is_ejected_and_not_tried(
        world, subject, applied, healthy, from_pod, family, trouble):
    bad_pod, bad = list(healthy.items())[0]
    small = web.Small(world, family, healthy, PORT, annotations=settings(
        connect_timeout="150ms", outlier_consecutive_failures="3",
        outlier_base_ejection_time="10m", outlier_max_ejection_time="10m"))
    applied(*small.objects)
    web.connect_carried(subject, from_pod, small.at).close()
    getattr(bad, trouble)()

    def ejected():
        # No client sees an error on the way there.
        assert client.ask(from_pod, *small.at)["name"] != "r1"
        return service_metric(subject, small, "ejected_endpoints") == 1
    poll.until(ejected, "the ejection")
    syns = count_syns(world, bad_pod)
    try:
        assert set(client.names(from_pod, *small.at, 40)) == {"r2", "r3"}
        assert syns() == 0
        told = explained(subject, small, bad_pod)
        assert told["state"] == "ejected" and told["failures"] >= 3
        assert 0 < told["ejectedForSeconds"] <= 600
    finally:
        bad_pod.ns.nft("delete table inet watch\n")


@pytest.mark.parametrize("trouble", ["refuse", "drop"])
def test_an_ejected_endpoint_returns_by_a_probe(
        world, subject, applied, healthy, from_pod, family, trouble):
    bad = list(healthy.values())[0]
    small = web.Small(world, family, healthy, PORT, annotations=settings(
        connect_timeout="150ms", outlier_consecutive_failures="2",
        outlier_base_ejection_time="300ms", outlier_interval="100ms",
        outlier_max_ejection_time="1s"))
    applied(*small.objects)
    web.connect_carried(subject, from_pod, small.at).close()
    getattr(bad, trouble)()

    def ejected_again():
        assert client.ask(from_pod, *small.at)["name"] != "r1"
        return service_metric(subject, small, "ejections_total") >= 2
    poll.until(ejected_again, "a failed probe")
    bad.listen()
    bad.undrop()
    with grows(subject, "probes"):
        poll.until(lambda: client.ask(from_pod, *small.at)["name"] == "r1",
                   "the return")
    poll.until(lambda: client.ask(from_pod, *small.at) and service_metric(
        subject, small, "ejected_endpoints") == 0, "the full return")
    assert "r1" in client.names(from_pod, *small.at, 40)


def test_an_endpoint_whose_pod_vanished_is_ejected(
        world, subject, applied, healthy, from_pod, family):
    """The interface is gone, the slice still names it."""
    doomed = world.pod(f"res-doomed{family}", "routed")
    world.serve(doomed, PORT, name="doomed")
    small = web.Small(
        world, family, [doomed, *healthy], PORT, annotations=settings(
            connect_timeout="150ms", outlier_consecutive_failures="2"))
    applied(*small.objects)
    poll.until(lambda: client.ask(from_pod, *small.at)["name"] == "doomed",
               "the doomed one's turn")
    world.forget(doomed)

    def ejected():
        assert client.ask(from_pod, *small.at)["name"] != "doomed"
        return service_metric(subject, small, "ejected_endpoints") == 1
    poll.until(ejected, "the ejection")


def test_the_last_endpoint_is_never_ejected(world, subject, applied, healthy,
                                            from_pod, family):
    pod, only = list(healthy.items())[0]
    small = web.Small(world, family, [pod], PORT, annotations=settings(
        outlier_consecutive_failures="1", connect_attempts="1",
        outlier_max_ejection_percent="100"))
    applied(*small.objects)
    web.connect_carried(subject, from_pod, small.at).close()
    only.refuse()
    for _ in range(5):
        assert end_of(from_pod, small.at) != "answered"
    assert service_metric(subject, small, "ejected_endpoints") == 0
    assert counter(subject, "ejections_last") > 0
    told = explained(subject, small, pod)
    assert told["state"] == "in-rotation" and told["notEjectedBecause"]
    only.listen()
    assert client.ask(from_pod, *small.at)["name"] == "r1"


def test_at_most_the_allowed_percent_is_ejected(
        world, subject, applied, healthy, from_pod, family):
    small = web.Small(world, family, healthy, PORT, annotations=settings(
        outlier_consecutive_failures="1", connect_attempts="3",
        outlier_max_ejection_percent="34"))
    applied(*small.objects)
    web.connect_carried(subject, from_pod, small.at).close()
    for b in list(healthy.values())[:2]:
        b.refuse()
    assert set(client.names(from_pod, *small.at, 40)) == {"r3"}
    assert service_metric(subject, small, "ejected_endpoints") == 1


def test_a_changed_annotation_is_in_force_for_the_next_connection(
        world, subject, applied, healthy, from_pod, family):
    pod = list(healthy)[0]
    small = web.Small(world, family, [pod], PORT, annotations=settings())
    applied(*small.objects)
    web.connect_carried(subject, from_pod, small.at).close()
    small.service["metadata"]["annotations"][
        "nodesplice.io/idle-timeout"] = "300ms"
    applied(small.service)
    with grows(subject, "idle_timeouts"):
        with web.connect_carried(subject, from_pod, small.at) as c:
            c.sock.settimeout(30)
            assert c.at_end() in ("closed", "reset")
    small.service["metadata"]["annotations"]["nodesplice.io/mode"] = "kernel"
    applied(small.service)
    web.connect_carried(subject, from_pod, small.at, carried=False).close()
