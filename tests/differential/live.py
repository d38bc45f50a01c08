# SPDX-License-Identifier: GPL-2.0-or-later
"""The same objects and packets, live: an API server, a program under test in
namespaces, and real connections.

World, clients and the ways to ask are those of tests/conformance, and so is
its table of what may differ: differences.md there.
"""
import dataclasses
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(os.path.dirname(HERE), "conformance"))

# pylint: disable=wrong-import-position
from lib import kube, subject as subjects, world as worlds
import generate
import model
import runner
import stage
import table
from verdict import WORDS

SUBJECTS = ("nodesplice-proxy", "nodesplice-kernel", "kube-proxy")
LIMITS = generate.Limits(
    # What kube-proxy leaves open, or cannot do.
    conflicts=False, contradictions=False, proxy_names=False,
    # The Node of the world has both.
    families=((4, 6),), service_cidrs=worlds.SERVICE_CIDRS, packets_n=40)
# As a case's name in differences.md.
NAME = "random"


class Instance:
    """As case.Instance, for one batch."""
    id = NAME

    def __init__(self, world):
        self.stage = world
        self.memory = {}


class LivePacket:
    """As case.Packet."""
    flow = None

    def __init__(self, instance, seed, sent, outcome, affinity):
        self.instance = instance
        self.seed = seed
        self.sent = sent
        self.client = sent.client
        self.proto = sent.proto.lower()
        self.family = sent.family
        self.id = f"{sent.client} > {sent.dst}:{sent.port}/{self.proto}"
        self.text = _text(outcome, affinity)

    def at(self):
        return self.sent.dst, self.sent.port


def _text(outcome, affinity):
    """As an expectation of a case: "l1@client r1:8081@node"."""
    if outcome[0] != "dnat":
        return {"reject": "refused", "drop": "silent"}.get(outcome[0],
                                                           outcome[0])
    names = {place.addr(f): place for place in generate.BACKENDS
             for f in (4, 6)}
    answers = " ".join(_answer(names[addr], port, source)
                       for addr, port, source in sorted(outcome[1]))
    return "one of " + answers if affinity else answers


def _answer(place, port, source):
    name = place.name
    if port != stage.PORTS[0]:
        name += f":{port}"
    return name + ("@node" if source == "node" else "@client")


def _answered_past_the_node(sent, outcome):
    """Whether the client would never see an answer.

    Without a detector, outsiders keep their address on the way to other
    nodes, and the answer does not come back by this one.  And a pod without
    nodeName that reaches itself answers itself.
    """
    if outcome[0] != "dnat":
        return False
    outsider = sent.origin in ("external", "remote-node", "remote-pod")
    here = {place.addr(sent.family) for place in generate.BACKENDS
            if place.node_name == worlds.NODE_NAME}
    return any(source == "kept" and (addr == sent.src or
                                     outsider and addr not in here)
               for addr, _, source in outcome[1])


class Stage(stage.Stage):
    """With a listener of nobody wherever the node itself is asked."""

    def __init__(self):
        super().__init__()
        try:
            self._check_addresses()
            for port in (*generate.PORTS, generate.UNDEFINED_PORT):
                self.serve_node_port(port)
        except BaseException:
            self.close()
            raise

    def _check_addresses(self):
        for place in generate.CLIENTS:
            host = self.client(place.name).host
            if (place.addr4, place.addr6) != (host.addr4, host.addr6) or \
                    place.origin == "pod" and place.interface != \
                    self._enters_at(host):
                raise AssertionError(f"generate.py's {place} is {host}")

    @staticmethod
    def _enters_at(host):
        return "cni0" if host.interface.startswith("port") else \
            host.interface


class Live:
    """One world and one API server for several programs under test."""

    def __init__(self, folder):
        self.folder = folder
        self.stage = Stage()
        self._differences = table.Differences()
        self._serial = 0
        self._node_ports = set()
        try:
            self.cluster = kube.Cluster(self.stage, f"{folder}/kube")
        except BaseException:
            self.stage.close()
            raise

    def close(self):
        self.cluster.close()
        self.stage.close()

    def check(self, name, batch, seeds):
        """[(LivePacket, expected, seen)] of some seeds, with one subject."""
        objects = batch.objects[1:]
        self._prepare(batch, objects)
        subject = self._subject(name, batch)
        try:
            subject.change(objects, [])
            return self._look(name, subject, self._packets(batch, seeds))
        finally:
            subject.close()

    def _prepare(self, batch, objects):
        zone = batch.node["metadata"]["labels"].get(generate.ZONE_LABEL)
        self.cluster.api.patch(
            {"kind": "Node", "metadata": {"name": worlds.NODE_NAME}},
            {"metadata": {"labels": {generate.ZONE_LABEL: zone}}})
        for space in {o["metadata"]["namespace"] for o in objects}:
            self._create_namespace(space)
        for o in objects:
            for p in o.get("spec", {}).get("ports", ()):
                port = p.get("nodePort")
                if port and port not in self._node_ports:
                    self._node_ports.add(port)
                    self.stage.serve_node_port(port)

    def _create_namespace(self, name):
        try:
            self.cluster.api.request("POST", "/api/v1/namespaces", {
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name}})
        except kube.ApiError as e:
            if e.code != 409:
                raise

    def _subject(self, name, batch):
        self._serial += 1
        to = f"{self.folder}/{name}-{self._serial}"
        if name == "kube-proxy":
            return subjects.KubeProxy(self.stage, self.cluster, to,
                                      **batch.configuration())
        return subjects.NodespliceApi(
            self.stage, self.cluster, to, "--mode", name.partition("-")[2],
            *batch.options())

    def _packets(self, batch, seeds):
        rules = model.Model(batch.objects, batch.settings)
        instance = Instance(self.stage)
        for seed in seeds:
            for sent in batch.packets[seed]:
                outcome, = rules.decide(sent)
                if _answered_past_the_node(sent, outcome):
                    continue
                port, _ = rules.port_of(sent)
                yield LivePacket(instance, seed, sent, outcome,
                                 port is not None and port.affinity)

    def _look(self, name, subject, packets):
        told = runner.look(list(packets),
                           lambda p: self._differences.expected(name, p),
                           self.stage, subject.check_alive)
        return [(packet, *outcome) for packet, outcome in told.items()]
