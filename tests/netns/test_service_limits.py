# SPDX-License-Identifier: GPL-2.0-or-later
"""How long the connections of a Service may take and live: fires, spares."""
import contextlib

import pytest

from lib import client, poll, web
from lib.resilience import (counter, end_of, explained, grows,
                            service_metric, settings)

PORT = 8381


@pytest.fixture(scope="module")
def pods(world):
    """Three backends: pod -> Backend."""
    made = {}
    for name, kind in (("l1", "routed"), ("l2", "bridge"), ("l3", "remote")):
        pod = world.pod(f"limit-{name}", kind)
        made[pod] = world.serve(pod, PORT, name=name)
    return made


@pytest.fixture
def healthy(pods):
    """Backends in good order before and after the test."""
    yield pods
    for b in pods.values():
        b.undrop()
        b.listen()
        b.reset_all()


@pytest.fixture
def from_pod(world):
    return world.pod("limit-client", "routed")


def test_connect_total_timeout_fires(world, subject, applied, healthy,
                                     from_pod, family):
    small = web.Small(world, family, healthy, PORT, annotations=settings(
        connect_timeout="400ms", connect_total_timeout="600ms"))
    applied(*small.objects)
    web.connect_carried(subject, from_pod, small.at).close()
    for b in healthy.values():
        b.drop()
    before = counter(subject, "connects")
    with grows(subject, "connect_total_timeouts"):
        assert end_of(from_pod, small.at) == "ConnectionResetError"
    # Of three attempts the second one had no more than the rest of the time,
    # if a busy machine left any.
    assert 1 <= counter(subject, "connects") - before <= 2


def test_connect_total_timeout_spares_who_reaches_an_endpoint(
        world, subject, applied, healthy, from_pod, family):
    small = web.Small(world, family, healthy, PORT, annotations=settings(
        connect_timeout="150ms", connect_total_timeout="30s",
        outlier_consecutive_failures="off"))
    applied(*small.objects)
    web.connect_carried(subject, from_pod, small.at).close()
    list(healthy.values())[0].drop()
    before = counter(subject, "connect_total_timeouts")
    with grows(subject, "connect_timeouts"):
        seen = set(client.names(from_pod, *small.at, 40))
    assert seen == {"l2", "l3"}
    assert counter(subject, "connect_total_timeouts") == before


def test_max_connection_age_fires(world, subject, applied, healthy, from_pod,
                                  family):
    pod, served = list(healthy.items())[0]
    small = web.Small(world, family, [pod], PORT, annotations=settings(
        max_connection_age="1s"))
    applied(*small.objects)
    with grows(subject, "aged_out"):
        with web.connect_carried(subject, from_pod, small.at) as c:
            c.command("echo")
            # What rested was answered; then it is cut off, not ended.
            try:
                while c.echo(b"question") == b"question":
                    pass
                end = "closed"
            except ConnectionResetError:
                end = "reset"
            assert end == "reset"
    poll.until(lambda: not served.open, "the backend's end closed")


def test_max_connection_age_spares_a_younger_connection(
        world, subject, applied, healthy, from_pod, family):
    pod = list(healthy)[0]
    n = 20_000_000
    small = web.Small(world, family, [pod], PORT, annotations=settings(
        max_connection_age="60s"))
    applied(*small.objects)
    before = counter(subject, "aged_out")
    with web.connect_carried(subject, from_pod, small.at) as c:
        c.command(f"bulk {n}")
        assert c.read_all()[0] == n
        c.end_output()
    assert counter(subject, "aged_out") == before


def test_max_connections_fires(world, subject, applied, healthy, from_pod,
                               family):
    small = web.Small(world, family, healthy, PORT, annotations=settings(
        max_connections="2"))
    applied(*small.objects)
    with web.connect_carried(subject, from_pod, small.at) as first, \
            client.Connection(from_pod, *small.at) as second:
        second.greeting()
        with grows(subject, "service_limit_refused"):
            assert end_of(from_pod, small.at) == "ConnectionResetError"
        assert service_metric(subject, small, "limit_refused_total") >= 1
        for c in (first, second):
            c.command("echo")
            assert c.echo(b"still here") == b"still here"
    # Whose place is free gets in.
    poll.until(lambda: end_of(from_pod, small.at) == "answered", "a place")


def test_max_connections_spares_another_service(
        world, subject, applied, healthy, from_pod, family):
    full, other = (web.Small(world, family, healthy, PORT,
                             annotations=settings(max_connections="1"))
                   for _ in range(2))
    applied(*full.objects, *other.objects)
    with web.connect_carried(subject, from_pod, full.at):
        assert end_of(from_pod, full.at) == "ConnectionResetError"
        web.connect_carried(subject, from_pod, other.at).close()


def test_max_endpoint_connections_fires(world, subject, applied, healthy,
                                        from_pod, family):
    """Another one is chosen, until all are full."""
    small = web.Small(world, family, healthy, PORT, annotations=settings(
        max_endpoint_connections="1"))
    applied(*small.objects)
    web.connect_carried(subject, from_pod, small.at).close()
    poll.until(lambda: service_metric(subject, small, "open_connections")
               == 0, "the end of the first one")
    held = [client.Connection(from_pod, *small.at) for _ in healthy]
    try:
        names = {c.greeting()["name"] for c in held}
        assert names == {"l1", "l2", "l3"}
        assert all(explained(subject, small, pod)["full"] for pod in healthy)
        with grows(subject, "endpoint_limit_refused"):
            assert end_of(from_pod, small.at) == "ConnectionResetError"
    finally:
        for c in held:
            c.close()


def test_max_endpoint_connections_spares_what_is_below(
        world, subject, applied, healthy, from_pod, family):
    small = web.Small(world, family, healthy, PORT, annotations=settings(
        max_endpoint_connections="100"))
    applied(*small.objects)
    before = counter(subject, "endpoint_limit_refused")
    with web.connect_carried(subject, from_pod, small.at):
        assert client.names(from_pod, *small.at, 20)
    assert counter(subject, "endpoint_limit_refused") == before


def holding(subject, host, small, name):
    """An echoing connection to the backend of that name."""
    def probe():
        c = web.connect_carried(subject, host, small.at)
        if c.first["name"] == name:
            c.command("echo")
            return c
        c.close()
        return None
    return poll.until(probe, f"a connection to {name}")


@pytest.mark.parametrize("close", ["ejected", "never"])
def test_close_connections_of_who_is_ejected(
        world, subject, applied, healthy, from_pod, family, close):
    small = web.Small(world, family, healthy, PORT, annotations=settings(
        close_connections=close, outlier_consecutive_failures="1",
        load_balancing="round-robin"))
    applied(*small.objects)
    with holding(subject, from_pod, small, "l1") as bad, \
            holding(subject, from_pod, small, "l2") as good:
        before = counter(subject, "endpoint_closed")
        list(healthy.values())[0].refuse()

        def ejected():
            assert client.ask(from_pod, *small.at)["name"] != "l1"
            return service_metric(subject, small, "ejected_endpoints") == 1
        poll.until(ejected, "the ejection")
        if close == "ejected":
            assert bad.at_end() == "reset"
            assert counter(subject, "endpoint_closed") > before
        else:
            assert bad.echo(b"still here") == b"still here"
            assert counter(subject, "endpoint_closed") == before
        assert good.echo(b"still here") == b"still here"


def test_close_connections_of_who_is_removed(
        world, subject, applied, healthy, from_pod, family):
    """Who terminates keeps them as long as a slice names it."""
    small = web.Small(world, family, healthy, PORT, annotations=settings(
        close_connections="removed"))
    applied(*small.objects)
    with holding(subject, from_pod, small, "l1") as leaving, \
            holding(subject, from_pod, small, "l2") as staying:
        before = counter(subject, "endpoint_closed")
        (slice_,) = small.slices
        addr = list(healthy)[0].addr(family)
        (first,) = [e for e in slice_["endpoints"]
                    if e["addresses"] == [addr]]
        first["conditions"] = {"ready": False, "serving": True,
                               "terminating": True}
        applied(slice_)
        poll.until(lambda: service_metric(subject, small, "endpoints") == 2,
                   "the termination")
        assert leaving.echo(b"still here") == b"still here"
        assert counter(subject, "endpoint_closed") == before
        slice_["endpoints"].remove(first)
        applied(slice_)
        assert leaving.at_end() == "reset"
        assert counter(subject, "endpoint_closed") > before
        assert staying.echo(b"still here") == b"still here"


def test_close_connections_removed_of_the_only_endpoint(
        world, subject, applied, healthy, from_pod, family):
    pod = list(healthy)[0]
    small = web.Small(world, family, [pod], PORT, annotations=settings(
        close_connections="ejected-or-removed"))
    applied(*small.objects)
    with holding(subject, from_pod, small, "l1") as c:
        (slice_,) = small.slices
        slice_["endpoints"] = []
        applied(slice_)
        assert c.at_end() == "reset"


def test_without_close_connections_the_removed_keep_theirs(
        world, subject, applied, healthy, from_pod, family):
    small = web.Small(world, family, healthy, PORT, annotations=settings())
    applied(*small.objects)
    with holding(subject, from_pod, small, "l1") as c:
        (slice_,) = small.slices
        addr = list(healthy)[0].addr(family)
        slice_["endpoints"] = [e for e in slice_["endpoints"]
                               if e["addresses"] != [addr]]
        applied(slice_)
        poll.until(lambda: service_metric(subject, small, "endpoints") == 2,
                   "the removal")
        assert c.echo(b"still here") == b"still here"


@contextlib.contextmanager
def one_vanishes(world, subject, applied, healthy, host, **values):
    """(to the one that has vanished, to another) with these settings."""
    small = web.Small(world, 4, healthy, PORT, annotations=settings(**values))
    applied(*small.objects)
    with holding(subject, host, small, "l1") as gone, \
            holding(subject, host, small, "l2") as there:
        gone.sock.settimeout(60)
        list(healthy.values())[0].drop()
        yield gone, there


def test_tcp_keepalive_ends_the_dead_and_spares_the_quiet(
        world, subject, applied, healthy, from_pod):
    with one_vanishes(world, subject, applied, healthy, from_pod,
                      tcp_keepalive="1s", tcp_user_timeout="off") as (gone,
                                                                      quiet):
        with grows(subject, "dead_peers"):
            assert gone.at_end() == "reset"
        # As quiet for as long, but its kernel answers.
        assert quiet.echo(b"still here") == b"still here"


def test_tcp_user_timeout_ends_the_silent_and_spares_the_slow(
        world, subject, applied, healthy, from_pod):
    with one_vanishes(world, subject, applied, healthy, from_pod,
                      tcp_keepalive="off", tcp_user_timeout="1s") as (gone,
                                                                      slow):
        # So much is asked of it that it can't be sent: nobody reads.
        slow.sock.settimeout(0.2)
        sent = 0
        with pytest.raises(TimeoutError):
            while True:
                sent += slow.sock.send(bytes(1 << 16))
        with grows(subject, "silent_peers"):
            gone.sock.sendall(b"anybody there?")
            assert gone.at_end() == "reset"
        slow.sock.settimeout(30)
        slow.end_output()
        assert slow.read_all()[0] == sent
