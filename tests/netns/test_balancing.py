# SPDX-License-Identifier: GPL-2.0-or-later
"""Who gets the next connection: load-balancing and slow-start."""
import collections

import pytest

from lib import client, poll, web
from lib.resilience import explained, service_metric, settings

PORT = 8382
NAMES = {"b1", "b2", "b3"}


@pytest.fixture(scope="module")
def pods(world):
    """Three backends: pod -> Backend."""
    made = {}
    for name, kind in (("b1", "routed"), ("b2", "bridge"), ("b3", "remote")):
        pod = world.pod(f"balance-{name}", kind)
        made[pod] = world.serve(pod, PORT, name=name)
    return made


@pytest.fixture
def healthy(pods):
    """Backends in good order before and after the test."""
    yield pods
    for b in pods.values():
        b.listen()
        b.reset_all()


@pytest.fixture
def from_pod(world):
    return world.pod("balance-client", "routed")


@pytest.fixture
def serve(world, subject, applied, healthy, from_pod, family):
    """serve(**settings): a Service with the three, carried by the daemon."""
    def make(pods=healthy, **values):
        small = web.Small(world, family, pods, PORT,
                          annotations=settings(**values))
        applied(*small.objects)
        web.connect_carried(subject, from_pod, small.at).close()
        return small
    return make


def counts(host, small, n):
    """How many of n connections, one after the other, each backend gets."""
    return collections.Counter(client.names(host, *small.at, n))


def all_ended(subject, small):
    poll.until(lambda: service_metric(subject, small,
                                      "open_connections") == 0,
               "the end of all connections")


def test_least_connections_goes_where_fewer_are(subject, serve, from_pod):
    small = serve()
    all_ended(subject, small)
    held = [client.Connection(from_pod, *small.at) for _ in range(30)]
    by_name = collections.defaultdict(list)
    try:
        for c in held:
            by_name[c.greeting()["name"]].append(c)
        assert set(by_name) == NAMES
        busy = max(by_name, key=lambda name: len(by_name[name]))
        for name in NAMES - {busy}:
            for c in by_name[name]:
                c.close()
        poll.until(lambda: service_metric(subject, small, "open_connections")
                   == len(by_name[busy]), "the end of the others")
        assert busy not in counts(from_pod, small, 30)
    finally:
        for c in held:
            c.close()


def test_round_robin_goes_round(serve, from_pod):
    small = serve(load_balancing="round-robin")
    got = client.names(from_pod, *small.at, 30)
    assert set(got) == NAMES
    assert all(got[i] == got[i % 3] for i in range(30))


def test_random_reaches_everybody(serve, from_pod):
    small = serve(load_balancing="random")
    # A third is never drawn in 60 once in 10^10.
    got = client.names(from_pod, *small.at, 60)
    assert set(got) == NAMES
    assert any(got[i] != got[i % 3] for i in range(60))


def test_source_hash_keeps_a_client_where_it_is(
        serve, healthy, from_pod, world):
    """While its endpoint fails it goes to one other, and then back."""
    small = serve(load_balancing="source-hash",
                  outlier_consecutive_failures="off")
    (first,) = counts(from_pod, small, 20)
    (mine,) = [b for b in healthy.values() if b.name == first]
    mine.refuse()
    (second,) = counts(from_pod, small, 20)
    assert second != first
    mine.listen()
    assert set(counts(from_pod, small, 20)) == {first}


def test_source_hash_spreads_clients(serve, world, family):
    small = serve(load_balancing="source-hash")
    clients = [world.pod(f"balance-client{n}", "routed") for n in range(8)]
    got = [counts(c, small, 3) for c in clients]
    assert all(len(one) == 1 for one in got)
    # Fixed addresses and a fixed hash: no chance here.
    assert len({name for one in got for name in one}) > 1


def test_session_affinity_goes_first(world, subject, applied, healthy,
                                     from_pod, family):
    small = web.Small(world, family, healthy, PORT,
                      annotations=settings(load_balancing="round-robin"),
                      sessionAffinity="ClientIP")
    applied(*small.objects)
    web.connect_carried(subject, from_pod, small.at).close()
    assert len(counts(from_pod, small, 12)) == 1


def join_third(world, applied, serve, healthy, family, **values):
    """A Service of two backends that the third one has just joined."""
    small = serve(list(healthy)[:2], **values)
    grown = web.Small(world, family, healthy, PORT)
    small.slices[0]["endpoints"] = grown.slices[0]["endpoints"]
    applied(small.slices[0])
    return small


def test_slow_start_fires(world, subject, applied, serve, healthy, from_pod,
                          family):
    small = join_third(world, applied, serve, healthy, family,
                       slow_start="1h", load_balancing="round-robin")
    new, old = list(healthy)[2], list(healthy)[0]
    poll.until(lambda: service_metric(subject, small, "endpoints") == 3,
               "the third endpoint")
    assert service_metric(subject, small, "slow_start_endpoints") == 1
    assert explained(subject, small, new)["sharePercent"] == 10
    assert explained(subject, small, old)["sharePercent"] == 100
    # 6 of 120; 20 or more come once in 10^5, without slow start always.
    got = counts(from_pod, small, 120)
    assert got["b3"] < 20 and got["b1"] > 40 and got["b2"] > 40


def test_slow_start_ends(world, subject, applied, serve, healthy, from_pod,
                         family):
    small = join_third(world, applied, serve, healthy, family,
                       slow_start="100ms", load_balancing="round-robin")
    new = list(healthy)[2]
    poll.until(lambda: service_metric(subject, small, "endpoints") == 3 and
               explained(subject, small, new)["sharePercent"] == 100,
               "the end of the slow start")
    assert counts(from_pod, small, 30)["b3"] == 10


def test_slow_start_spares_the_first_endpoints(subject, serve, healthy,
                                               from_pod):
    small = serve(slow_start="1h", load_balancing="round-robin")
    assert all(explained(subject, small, pod)["sharePercent"] == 100
               for pod in healthy)
    assert service_metric(subject, small, "slow_start_endpoints") == 0
    assert counts(from_pod, small, 30) == {"b1": 10, "b2": 10, "b3": 10}
