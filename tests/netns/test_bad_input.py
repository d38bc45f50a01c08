# SPDX-License-Identifier: GPL-2.0-or-later
"""What cannot be used is reported once, with object, field and value; all
else goes on."""
import copy
import json
import re

import pytest
import yaml

from lib import client, objects, subject as subjects, web

PORT = 8580


@pytest.fixture(scope="module")
def own(world, session_dir):
    s = subjects.NodespliceFiles(world, f"{session_dir}/bad-input")
    world.serve(world.pod("bad"), PORT, name="bad")
    yield s
    s.close()


def edit(obj, where, value):
    """A copy with the field at a path of keys replaced."""
    new = copy.deepcopy(obj)
    at = new
    for step in where[:-1]:
        at = at[step]
    at[where[-1]] = value
    return new


SERVICE_CASES = [
    (("spec", "clusterIP"), "10.96.0.256", "clusterIP"),
    (("spec", "externalIPs"), ["not-an-ip"], "externalIPs"),
    (("spec", "ports", 0, "port"), 0, "port"),
    (("spec", "ports", 0, "port"), 65536, "port"),
    (("spec", "ports", 0, "port"), "eighty", "port"),
    (("spec", "ports", 0, "protocol"), "ICMP", "protocol"),
    (("spec", "ports", 0, "nodePort"), -1, "nodePort"),
    (("spec", "ports"), "none", "ports"),
    (("spec", "type"), "Teapot", "type"),
    (("spec", "externalTrafficPolicy"), "Mine", "externalTrafficPolicy"),
    (("spec", "loadBalancerSourceRanges"), ["10.0.0.0/33"],
     "loadBalancerSourceRanges"),
    (("status",), {"loadBalancer": {"ingress": [{"ip": "1.2.3"}]}}, "ingress"),
]


def last_scalar(value):
    """The value as a sentence must show it."""
    while isinstance(value, (list, dict)):
        value = (value[0] if isinstance(value, list)
                 else next(iter(value.values())))
    return str(value)


def reports(log, *words):
    """Lines of the log that have all the words."""
    return [line for line in log.splitlines()
            if all(word in line for word in words)]


def check_reported_once(own, *words):
    own.daemon.process.wait_log(
        "".join(f"(?=.*{re.escape(word)})" for word in words))
    own.barrier()
    own.barrier()
    found = reports(own.daemon.log, *words)
    assert len(found) == 1, found
    own.check_alive()


@pytest.mark.parametrize("where,value,field", SERVICE_CASES)
def test_a_bad_field_of_a_service(world, own, where, value, field):
    good = web.Small(world, 4, [world.pod("bad")], PORT)
    bad = web.Small(world, 4, [world.pod("bad")], PORT, name="bad")
    if where[:2] == ("spec", "clusterIP"):
        bad.service = edit(bad.service, ("spec", "clusterIPs"), [value])
    bad.service = edit(bad.service, where, value)
    for obj in (*bad.objects, *good.objects):
        own.manifests.put(obj)
    own.barrier()
    assert client.ask(world.node, *good.at)
    check_reported_once(own, bad.key, field, last_scalar(value))


@pytest.mark.parametrize("field,spec,ingress", [
    ("externalIPs", {"externalIPs": ["not-an-ip", "PUBLIC"]}, []),
    ("loadBalancerSourceRanges",
     {"loadBalancerSourceRanges": ["not-a-range", "203.0.113.0/24"]},
     ["PUBLIC"]),
    ("ingress", {}, ["not-an-address", "PUBLIC"]),
])
def test_a_bad_entry_leaves_the_rest_of_the_service(world, own, field, spec,
                                                    ingress):
    public = world.public_ip(4)
    bad = web.Small(world, 4, [world.pod("bad")], PORT, name="entry",
                    ingress=ingress, **spec)
    bad.service = json.loads(json.dumps(bad.service).replace("PUBLIC",
                                                             public))
    own.apply(*bad.objects)
    assert client.ask(world.node, *bad.at)["name"] == "bad"
    assert client.ask(world.external, public, 80)["name"] == "bad"
    check_reported_once(own, bad.key, field, "not-a")
    own.remove(*bad.objects)


@pytest.mark.parametrize("where,value,field", [
    (("addressType",), "IPv5", "addressType"),
    (("endpoints", 0, "addresses"), ["10.244.1"], "addresses"),
    (("endpoints", 0, "addresses"), ["fd00::1"], "addresses"),
    (("ports", 0, "port"), 70000, "port"),
    (("ports", 0, "protocol"), "TCPX", "protocol"),
    (("endpoints",), {"a": "b"}, "endpoints"),
])
def test_a_bad_field_of_a_slice(world, own, where, value, field):
    good = web.Small(world, 4, [world.pod("bad")], PORT)
    bad = web.Small(world, 4, [world.pod("bad")], PORT, name="bad")
    bad.slices[0] = edit(bad.slices[0], where, value)
    for obj in (*bad.objects, *good.objects):
        own.manifests.put(obj)
    own.barrier()
    assert client.ask(world.node, *good.at)
    check_reported_once(own, bad.slices[0]["metadata"]["name"], field)


@pytest.mark.parametrize("key,value", [
    ("mode", "sometimes"), ("connect-timeout", "5 parsecs"),
    ("connect-timeout", "0s"), ("connect-attempts", "-1"),
    ("idle-timeout", "1e9h"), ("outlier-max-ejection-percent", "101"),
    ("no-such-setting", "1"),
])
def test_a_bad_annotation_leaves_the_default(world, own, key, value):
    small = web.Small(world, 4, [world.pod("bad")], PORT,
                      annotations={key: value})
    own.apply(*small.objects)
    assert client.ask(world.node, *small.at)
    check_reported_once(own, small.key, key, value)


def test_of_two_services_on_one_address_the_older_has_it(world, own, family):
    public = world.public_ip(family)
    world.serve(world.pod("bad-other"), PORT, name="other")
    older = web.Small(world, family, [world.pod("bad")], PORT, name="older",
                      external_ips=[public])
    newer = web.Small(world, family, [world.pod("bad-other")], PORT,
                      name="newer", external_ips=[public])
    older.service["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z"
    newer.service["metadata"]["creationTimestamp"] = "2021-01-01T00:00:00Z"
    own.apply(*newer.objects)
    assert client.names(world.external, public, 80, 5) == ["other"] * 5
    own.apply(*older.objects)
    assert client.names(world.external, public, 80, 5) == ["bad"] * 5
    check_reported_once(own, newer.key, public)
    # Its own address is not taken from it.
    assert client.ask(world.node, *newer.at)["name"] == "other"
    own.remove(*older.objects)
    assert client.names(world.external, public, 80, 5) == ["other"] * 5


@pytest.mark.parametrize("name,text,words", [
    ("depth.json", '{"a":' * 100 + "1" + "}" * 100, ["depth.json"]),
    ("depth.yaml", "a: " + "[" * 100 + "]" * 100, ["depth.yaml"]),
    ("cut.json", json.dumps({"kind": "Service"})[:-3], ["cut.json"]),
    ("tabs.yaml", "kind: Service\n\tmetadata: {}\n", ["tabs.yaml"]),
    ("binary.yaml", "\x00\x01\x02\x7f", ["binary.yaml"]),
    ("kind.yaml", "apiVersion: v1\nkind: Teapot\nmetadata: {name: t}\n",
     ["kind.yaml", "v1 Teapot"]),
    ("no-name.yaml", "apiVersion: v1\nkind: Service\nspec: {}\n",
     ["no-name.yaml", "metadata.name"]),
    ("bomb.yaml", "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n"
        for a, b in zip("abcdefgh", "bcdefghi")), ["bomb.yaml"]),
])
def test_a_broken_file_does_not_stop_the_others(world, own, name, text,
                                                words):
    own.manifests.write(name, text)
    good = web.Small(world, 4, [world.pod("bad")], PORT)
    own.apply(*good.objects)
    assert client.ask(world.node, *good.at)
    check_reported_once(own, *words)


def test_bad_objects_are_counted_and_shown(own):
    assert own.daemon.metric("nodesplice_source_bad_objects_total") > 0
    assert own.daemon.metric("nodesplice_problems_total") > 0


def test_one_bad_document_in_a_file_of_good_ones(world, own):
    good = web.Small(world, 4, [world.pod("bad")], PORT)
    bad = objects.service("bad-document", 4, "10.96.0.999",
                          [("p", 80, "TCP")])
    own.manifests.write("mixed.yaml", yaml.safe_dump_all(
        [good.service, bad, *good.slices]))
    own.barrier()
    assert client.ask(world.node, *good.at)
    check_reported_once(own, "default/bad-document", "10.96.0.999")
