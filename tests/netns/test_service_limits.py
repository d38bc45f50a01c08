# SPDX-License-Identifier: GPL-2.0-or-later
"""How long the connections of a Service may take and live: fires, spares."""
import pytest

from lib import client, poll, web
from lib.resilience import counter, end_of, grows, settings

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
    # Of three attempts the second one had no more than the rest of the time.
    assert counter(subject, "connects") == before + 2


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
