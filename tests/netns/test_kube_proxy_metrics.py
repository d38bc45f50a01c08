# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics under kube-proxy's names: types, labels, buckets, values.

The table below is what kube-proxy 1.37 has; with it as the program under test
the same tests show that the table is right and complete.
"""
import collections
import datetime
import re

import pytest

from lib import daemon, poll, web

pytestmark = pytest.mark.common

PORT = 8792
FAMILY = ("ip_family",)
FAMILIES = {"IPv4", "IPv6"}
SYNC_BUCKETS = [0.001 * 2 ** n for n in range(15)]
PROGRAMMING_BUCKETS = (
    [0.25, 0.5] + list(range(1, 60)) + list(range(60, 120, 5)) +
    list(range(120, 330, 30)))
# name without kubeproxy_: (type, labels, buckets)
TABLE = {
    "sync_proxy_rules_duration_seconds": ("histogram", FAMILY, SYNC_BUCKETS),
    "sync_full_proxy_rules_duration_seconds":
        ("histogram", FAMILY, SYNC_BUCKETS),
    "sync_partial_proxy_rules_duration_seconds":
        ("histogram", FAMILY, SYNC_BUCKETS),
    "network_programming_duration_seconds":
        ("histogram", FAMILY, PROGRAMMING_BUCKETS),
    "sync_proxy_rules_last_timestamp_seconds": ("gauge", FAMILY, None),
    "sync_proxy_rules_last_queued_timestamp_seconds": ("gauge", FAMILY, None),
    "sync_proxy_rules_endpoint_changes_pending": ("gauge", (), None),
    "sync_proxy_rules_endpoint_changes_total": ("counter", (), None),
    "sync_proxy_rules_service_changes_pending": ("gauge", (), None),
    "sync_proxy_rules_service_changes_total": ("counter", (), None),
    "sync_proxy_rules_no_local_endpoints_total":
        ("gauge", ("ip_family", "traffic_policy"), None),
    "proxy_healthz_total": ("counter", ("code",), None),
    "proxy_livez_total": ("counter", ("code",), None),
}
# Not there in kube-proxy until there is something to count.
SOMETIMES = {
    "conntrack_reconciler_sync_duration_seconds":
        ("histogram", FAMILY, SYNC_BUCKETS),
    "conntrack_reconciler_deleted_entries_total": ("counter", FAMILY, None),
    "sync_proxy_rules_nftables_sync_failures_total":
        ("counter", FAMILY, None),
    "sync_proxy_rules_nftables_cleanup_failures_total":
        ("counter", FAMILY, None),
}

Metric = collections.namedtuple("Metric", "type samples")
Sample = collections.namedtuple("Sample", "name labels value")


def page(world):
    """{name: Metric} of what begins with kubeproxy_."""
    text = web.get(world.node, "127.0.0.1", daemon.METRICS_PORT, "/metrics")
    found = {}
    for line in text.splitlines():
        if line.startswith("# TYPE kubeproxy_"):
            _, _, name, kind = line.split()
            found[name] = current = Metric(kind, [])
        m = re.match(r"(kubeproxy_\w+)(?:\{(.*)\})? (\S+)$", line)
        if m:
            labels = dict(re.findall(r'(\w+)="([^"]*)"', m[2] or ""))
            current.samples.append(Sample(m[1], labels, float(m[3])))
    return found


def value(world, name, suffix="", **labels):
    name = f"kubeproxy_{name}"
    metric = page(world).get(name)
    return sum(s.value for s in (metric.samples if metric else ())
               if s.name == name + suffix and
               all(s.labels.get(k) == v for k, v in labels.items()))


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def trigger(small, at):
    for s in small.slices:
        s["metadata"]["annotations"] = {
            "endpoints.kubernetes.io/last-change-trigger-time":
            at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}


@pytest.fixture
def busy(world, subject, applied, family):
    """A Service whose endpoints changed just now; each page asked for."""
    pod = world.pod("metrics")
    world.serve(pod, PORT)
    small = web.Small(world, family, [pod], PORT)
    # What was triggered before its start is not counted.
    subject.barrier()
    trigger(small, now())
    applied(*small.objects)
    for path in ("/healthz", "/livez"):
        web.get(world.node, "127.0.0.1", daemon.HEALTH_PORT, path)
    poll.until(lambda: value(world, "network_programming_duration_seconds",
                             "_count", ip_family=f"IPv{family}") > 0,
               "the programmed endpoints")
    return small


def test_names_types_labels_and_buckets(world, busy):
    found = page(world)
    assert busy
    for name, (kind, labels, buckets) in {**TABLE, **SOMETIMES}.items():
        metric = found.get(f"kubeproxy_{name}")
        if metric is None and name in SOMETIMES:
            continue
        assert metric.type == kind, name
        for sample in metric.samples:
            assert set(sample.labels) - {"le"} == set(labels), sample
        if "ip_family" in labels and not name.startswith("network_"):
            assert {s.labels["ip_family"] for s in metric.samples} == \
                FAMILIES, name
        if buckets:
            bounds = {float(s.labels["le"]) for s in metric.samples
                      if "le" in s.labels}
            assert bounds - {0.0} == \
                {*(float(f"{b:.10g}") for b in buckets), float("inf")}, name


def test_there_are_no_other_names(world, busy):
    assert busy
    known = {f"kubeproxy_{n}" for n in (*TABLE, *SOMETIMES)}
    assert set(page(world)) <= known


def test_programming_is_counted_once_for_each_trigger(world, subject, busy):
    family = f"IPv{busy.family}"

    def count():
        return value(world, "network_programming_duration_seconds", "_count",
                     ip_family=family)
    before = count()
    total = value(world, "network_programming_duration_seconds", "_sum",
                  ip_family=family)
    trigger(busy, now() - datetime.timedelta(milliseconds=200))
    busy.slices[0]["endpoints"][0]["conditions"] = {
        "ready": False, "serving": False}
    subject.apply(*busy.slices)
    assert count() == before + 1
    assert value(world, "network_programming_duration_seconds", "_sum",
                 ip_family=family) >= total + 0.2
    # A change of the Service is no change of its endpoints.
    busy.service["spec"]["ports"][0]["port"] = 88
    subject.apply(busy.service)
    assert count() == before + 1


def test_what_changed_before_the_start_is_not_counted(world, subject, busy):
    family = f"IPv{busy.family}"
    before = value(world, "network_programming_duration_seconds", "_count",
                   ip_family=family)
    trigger(busy, now() - datetime.timedelta(days=1))
    busy.slices[0]["endpoints"][0]["conditions"] = {
        "ready": False, "serving": False}
    subject.apply(*busy.slices)
    assert value(world, "network_programming_duration_seconds", "_count",
                 ip_family=family) == before


def test_changes_and_syncs_are_counted(world, subject, busy):
    names = ("sync_proxy_rules_service_changes_total",
             "sync_proxy_rules_endpoint_changes_total")
    before = {n: value(world, n) for n in names}
    syncs = value(world, "sync_proxy_rules_duration_seconds", "_count",
                  ip_family="IPv4")
    stamp = value(world, "sync_proxy_rules_last_timestamp_seconds",
                  ip_family="IPv4")
    busy.service["spec"]["ports"][0]["port"] = 89
    subject.apply(busy.service)
    for n in names:
        assert value(world, n) > before[n]
        pending = n.replace("_total", "_pending")
        poll.until(lambda name=pending: value(world, name) == 0, pending)
    assert value(world, "sync_proxy_rules_duration_seconds", "_count",
                 ip_family="IPv4") > syncs
    poll.until(lambda: value(world, "sync_proxy_rules_last_timestamp_seconds",
                             ip_family="IPv4") > stamp, "a newer sync")


def test_probes_are_counted_by_code(world, subject):
    subject.barrier()
    for path, name in (("/healthz", "proxy_healthz_total"),
                       ("/livez", "proxy_livez_total")):
        web.get(world.node, "127.0.0.1", daemon.HEALTH_PORT, path)
        before = value(world, name, code="200")
        web.get(world.node, "127.0.0.1", daemon.HEALTH_PORT, path)
        assert value(world, name, code="200") == before + 1


@pytest.mark.parametrize("policy", ["internal", "external"])
def test_local_policies_without_local_endpoints(world, applied, family,
                                                policy):
    labels = {"ip_family": f"IPv{family}", "traffic_policy": policy}
    name = "sync_proxy_rules_no_local_endpoints_total"
    spec = ({"internalTrafficPolicy": "Local"} if policy == "internal" else
            {"externalTrafficPolicy": "Local", "kind": "LoadBalancer",
             "ingress": [world.public_ip(family)],
             "healthCheckNodePort": world.node_port()})
    small = web.Small(world, family, [world.pod("metrics-r", "remote")], PORT,
                      **spec)
    applied(small.service)
    before = value(world, name, **labels)
    applied(*small.slices)
    poll.until(lambda: value(world, name, **labels) == before + 1, name)
