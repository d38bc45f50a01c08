# SPDX-License-Identifier: GPL-2.0-or-later
"""1,000 seeds against `nodesplice plan`, and the test of the test.

More of them, or one again: tests/differential/run.
"""
import dataclasses
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

# pylint: disable=wrong-import-position
import compare
import generate
import model

SEEDS_N = 1000


@pytest.mark.parametrize("number", range(SEEDS_N // generate.SEEDS_A_BATCH))
def test_the_plan_is_what_the_rules_say(number):
    batch = generate.batch(number)
    plan = compare.plan(batch, batch.objects)
    assert not plan.doubled, "one frontend, planned twice"
    found = next(iter(compare.differences(batch, batch.objects, plan,
                                          batch.packets)), None)
    assert found is None, compare.report(batch, found)


def settings(**changes):
    return model.Settings(**{
        "node_name": "node-1", "node_addrs": ("192.0.2.10",),
        "node_port_addrs": ("192.0.2.10",),
        "local_cidrs": ("10.244.1.0/24",), **changes})


def service(**spec):
    return {"kind": "Service",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"type": "NodePort", "clusterIP": "10.96.0.1",
                     "ports": [{"port": 80, "nodePort": 30080}], **spec}}


def slice_of(*endpoints):
    return {"kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "web-1", "namespace": "default",
                         "labels": {"kubernetes.io/service-name": "web"}},
            "ports": [{"port": 8080}], "endpoints": list(endpoints)}


def endpoint(last_byte, node="node-2", **conditions):
    return {"addresses": [f"10.244.{node[-1]}.{last_byte}"],
            "nodeName": node, "conditions": conditions}


def packet(origin, src, dst="10.96.0.1", port=80):
    return model.Packet(origin, origin, src, dst, "TCP", port)


POD = ("pod", "10.244.1.5")
OUTSIDE = ("external", "203.0.113.9")
ITSELF = ("node", "192.0.2.10")
NODE_PORT = ("192.0.2.10", 30080)
LOCAL = {"externalTrafficPolicy": "Local"}


def to(source, *endpoints):
    return ("dnat", frozenset((addr, 8080, source) for addr in endpoints))


@pytest.mark.parametrize("spec, endpoints, sent, outcome", [
    ({}, [], packet(*POD), model.REJECT),
    ({}, [], packet(*POD, port=81), model.REJECT),
    ({}, [], packet(*POD, "10.96.0.2"), model.UNTOUCHED),
    ({}, [endpoint(5)], packet(*POD), to("kept", "10.244.2.5")),
    ({}, [endpoint(5)], packet(*OUTSIDE), to("node", "10.244.2.5")),
    ({}, [endpoint(5, "node-1")], packet(*POD), to("node", "10.244.1.5")),
    ({}, [endpoint(5)], packet(*OUTSIDE, *NODE_PORT),
     to("node", "10.244.2.5")),
    (LOCAL, [endpoint(5)], packet(*OUTSIDE, *NODE_PORT), model.DROP),
    (LOCAL, [endpoint(5)], packet(*ITSELF, *NODE_PORT),
     to("node", "10.244.2.5")),
    (LOCAL, [endpoint(5)], packet(*POD, *NODE_PORT),
     to("kept", "10.244.2.5")),
    (LOCAL, [endpoint(6, "node-1"), endpoint(7, "node-1", ready=False)],
     packet(*OUTSIDE, *NODE_PORT), to("kept", "10.244.1.6")),
    ({}, [endpoint(6, ready=False, terminating=True),
          endpoint(7, ready=False, serving=False, terminating=True)],
     packet(*POD), to("kept", "10.244.2.6")),
    ({"internalTrafficPolicy": "Local"}, [endpoint(6)], packet(*POD),
     model.DROP),
])
def test_the_model_knows_what_is_beyond_doubt(spec, endpoints, sent, outcome):
    objects = [service(**spec), slice_of(*endpoints)]
    assert model.Model(objects, settings()).decide(sent) == {outcome}


def test_a_wrong_plan_is_seen_and_made_small(monkeypatch):
    """A plan that forgets the policy Local of what comes from outside."""
    honest = compare.plan_text
    monkeypatch.setattr(
        compare, "plan_text", lambda objects, options:
        honest(objects, options).replace(
            "outside=pick,local,keep", "outside=pick,cluster,keep"))
    batch = generate.batch(0)
    found = list(compare.differences(
        batch, batch.objects, compare.plan(batch, batch.objects),
        batch.packets))
    assert found
    small = compare.shrink(batch, found[0].packet)
    kinds = sorted({o["kind"] for o in small} - {"Node"})
    assert kinds == ["EndpointSlice", "Service"]
    assert len(small) <= 4
    assert found[0].packet.dst in compare.report(batch, found[0])


def without(**changes):
    """A model that is told an endpoint's fields otherwise."""
    honest = model.Model._endpoint

    def endpoint_(self, e, port):
        return dataclasses.replace(honest(self, e, port), **changes)
    return {"_endpoint": endpoint_}


MUTANTS = {
    "no endpoint is local": without(local=False),
    "every endpoint is ready": without(ready=True),
    "who does not serve does": without(serving=True),
    "nobody terminates": without(terminating=False),
    "no zone is hinted": without(zones=frozenset()),
    "no node is hinted": without(nodes=frozenset()),
    "the Cluster set serves Local": {"_local": model.Model._cluster},
    "a pod reaches itself unchanged": {"_hairpin": lambda *_: False},
    "no port is refused": {"_unclaimed": lambda *_: model.UNTOUCHED},
    "labels of Services count not": {"_is_ours": lambda self, service:
                                     service["spec"].get("clusterIP", "None")
                                     != "None"},
}
PORT_MUTANTS = {
    "anybody may come": {"refused_by_ranges": lambda *_: False},
    "every balancer keeps its address": {
        "_ingress_ips": lambda self, service: [
            i["ip"] for i in service.get("status", {}).get(
                "loadBalancer", {}).get("ingress", ()) if "ip" in i and
            model.Packet("", "", "", i["ip"], "", 0).family == self.family]},
}


NO_DETECTOR = "pods are told from others without a detector"


@pytest.mark.parametrize("name", [*MUTANTS, *PORT_MUTANTS, NO_DETECTOR])
def test_each_rule_is_met(name, monkeypatch):
    """Whatever rule the model forgets, 200 seeds have a packet that shows."""
    for function, body in MUTANTS.get(name, {}).items():
        monkeypatch.setattr(model.Model, function, body)
    if name == NO_DETECTOR:
        monkeypatch.setattr(model.Settings, "has_detector", lambda *_: True)
    for function, body in PORT_MUTANTS.get(name, {}).items():
        monkeypatch.setattr(model.ServicePort, function, body)
    for number in range(10):
        batch = generate.batch(number)
        plan = compare.plan(batch, batch.objects)
        if any(compare.differences(batch, batch.objects, plan,
                                   batch.packets)):
            return
    pytest.fail("no packet would have shown it")
