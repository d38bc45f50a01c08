# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs cases against one subject, many beside each other.

The instances of batches with the same configuration go step by step together:
all changes of a step, one barrier, all packets.  A packet whose outcome is not
the expected one is looked at again, from the start, a few times: programs may
be late, but not for long.
"""
import time

import case as cases
import flow
import probe
import verdict
from stage import NOBODY

LOOKS_N = 5
PAUSE_S = 0.2
_HTTP = "http"


class _Look:
    """One packet of the present step and what was seen of it."""

    def __init__(self, packet, expected, node_addrs):
        self.packet = packet
        self.expected = expected
        self.client = packet.instance.stage.client(packet.client)
        self.to = packet.at()
        self.node_addrs = node_addrs
        self.looks_n = 0
        self.outcome = None
        self._restart()

    def _restart(self):
        self.seen = verdict.Seen()
        self.asked_n = 0

    @property
    def silent(self):
        return self.expected.text == "silent"

    def asks(self):
        """Questions to put now: (ask, the client's address)."""
        p = self.packet
        if p.flow:
            return [(self._flow(), None)]
        n = 1 if p.proto == _HTTP else self.expected.asks_n(self.asked_n)
        self.asked_n += n
        kind = probe.KINDS[p.proto]
        return [(kind(self.client.host, self.to, source), source)
                for source in self.client.sources(p.family)
                for _ in range(n)]

    def _flow(self):
        p = self.packet
        key = (p.client, p.flow, p.proto, p.family)
        made = p.instance.flows.get(key)
        if made is None:
            kind = flow.TcpFlow if p.proto == "tcp" else flow.UdpFlow
            made = kind(self.client.host, self.to,
                        self.client.sources(p.family)[0])
            p.instance.flows[key] = made
        elif p.proto == "udp":
            made.rewind()
        return made

    def take(self, ask, source):
        """Note the result of a question."""
        if isinstance(ask.result, str):
            self.seen.add_word(ask.result)
            return
        greeting = ask.result[1]
        if self.packet.proto == _HTTP:
            self.seen.add_word(_health(greeting))
        elif greeting["name"] == NOBODY:
            self.seen.add_word("untouched")
        else:
            self.seen.add_answer(source, greeting["name"],
                                 self._source(greeting["peer"], source))

    def _source(self, peer, source):
        if source and peer == source:
            return "client"
        own = [source] if source else self.client.addrs(self.packet.family)
        if peer in self.node_addrs[self.packet.family]:
            return "node"
        return "client" if peer in own else peer

    def judge(self):
        """Set the outcome if there is one; whether to go on looking."""
        if self.expected.wants_more(self.seen, self.asked_n):
            return True
        memory = self.packet.instance.memory.setdefault(
            (self.packet.client, self.packet.proto, self.packet.family), {})
        self.outcome = self.seen.text(self.expected, memory)
        if self.outcome == self.expected.text:
            single = self.seen.single()
            if self.expected.kind == "one" and single:
                memory.update({a: who for a, (who, _) in single.items()})
            return False
        self.looks_n += 1
        if self.looks_n >= LOOKS_N:
            return False
        self._restart()
        return True


def _health(greeting):
    code, n = greeting["code"], greeting["endpoints"]
    if greeting["weight"] not in (None, str(n)):
        return f"{code} {n} weight {greeting['weight']}"
    return f"{code} {n}" if n is not None else str(code)


class Run:
    """All chosen cases with one subject."""

    def __init__(self, stage, cluster, make_subject, expected):
        """make_subject(config): a started one; expected(packet): text."""
        self._stage = stage
        self._cluster = cluster
        self._make = make_subject
        self._expected = expected
        self._subject = None
        self.outcomes = {}  # instance: {packet: (expected, outcome)}
        self.proxied_n = 0

    def batches(self, groups):
        """Run groups of (config, [Case])."""
        for config, chosen in groups:
            instances = [cases.Instance(c, v, self._stage)
                         for c in chosen for v in c.variants]
            self._node_labels(config.get("node", {}))
            self._node_ips(config.get("node-ips"))
            self._subject = self._make(config)
            try:
                self._group(instances)
                self.proxied_n += self._subject.proxied_n()
            finally:
                for i in instances:
                    for f in i.flows.values():
                        f.end_of_case()
                self._subject.close()
                self._node_labels({k: None for k in config.get("node", {})})
                self._node_ips(None)

    def _group(self, instances):
        for n in range(max(len(i.case.steps) for i in instances)):
            self._step(n, [i for i in instances if n < len(i.case.steps)])
        self._undo(instances)

    def _step(self, n, instances):
        began = time.monotonic()
        changed = self._actions(n, instances)
        puts, deletes = [], []
        for i in instances:
            wanted = i.wanted(n)
            puts += [o for k, o in wanted.items() if i.applied.get(k) != o]
            deletes += [o for k, o in i.applied.items() if k not in wanted]
            i.applied = wanted
        if puts or deletes or changed:
            self._subject.change(puts, deletes)
        applied = time.monotonic()
        packets = [p for i in instances for p in i.packets(n)]
        self._look(packets)
        print(f"  step {n + 1}: {len(puts) + len(deletes)} objects "
              f"{applied - began:.1f} s, {len(packets)} packets "
              f"{time.monotonic() - applied:.1f} s", flush=True)

    def _actions(self, n, instances):
        """What concerns more than a case's own objects."""
        steps = [i.case.steps[n] for i in instances]
        if any("restart" in s for s in steps):
            self._subject.restart()
        changed = False
        for key, act in (("node-labels", self._node_label),
                         ("service-cidrs", self._service_cidr),
                         ("node-addresses", self._node_address)):
            # Each variant of a case says the same.
            wanted = {k: v for s in steps for k, v in s.get(key, {}).items()}
            for name, value in wanted.items():
                act(name, value)
                changed = True
        elapse = max((s.get("elapse", 0) for s in steps), default=0)
        if elapse:
            # A time-out of the API's smallest unit has to pass.
            time.sleep(elapse)
        return changed

    def _node_labels(self, labels):
        if labels:
            self._cluster.api.patch(
                {"kind": "Node", "metadata": {"name":
                                              self._stage.node.node_name}},
                {"metadata": {"labels": labels}})

    def _node_ips(self, families):
        """Which of its addresses the Node tells; None: both."""
        node = self._stage.node
        ips = [node.addr(int(f[-1])) for f in families or ("IPv4", "IPv6")]
        self._cluster.api.request(
            "PATCH", f"/api/v1/nodes/{node.node_name}/status",
            {"status": {"addresses": [
                *({"type": "InternalIP", "address": ip} for ip in ips),
                {"type": "Hostname", "address": node.node_name}]}},
            "application/merge-patch+json")

    def _node_label(self, name, value):
        self._node_labels({name: value})

    def _service_cidr(self, name, cidrs):
        obj = {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
               "metadata": {"name": name}, "spec": {"cidrs": cidrs}}
        if cidrs:
            self._cluster.api.put(obj)
        else:
            self._cluster.api.delete(obj)

    def _node_address(self, addr, wanted):
        with_length = addr + ("/64" if ":" in addr else "/24")
        verb = "replace" if wanted else "del"
        self._stage.node.ns.ip(f"addr {verb} {with_length} dev eth0")

    def _undo(self, instances):
        gone = [o for i in instances for o in i.applied.values()]
        for i in instances:
            i.applied = {}
        self._subject.change([], gone)

    def _look(self, packets):
        for packet, told in look(packets, self._expected, self._stage,
                                 self._subject.check_alive).items():
            self.outcomes.setdefault(packet.instance, {})[packet.id] = told


def look(packets, expected, stage, check_alive):
    """Send packets until what is seen of them is expected or stays wrong.

    packets: as case.Packet; expected(packet): text.
    Returns {packet: (expected, outcome)}.
    """
    node_addrs = {f: stage.node_addrs(f) for f in (4, 6)}
    looks = [_Look(p, verdict.Expected(expected(p)), node_addrs)
             for p in packets]
    pending = looks
    while pending:
        check_alive()
        # Who waits for silence waits together.
        pending.sort(key=lambda look_: (look_.silent, look_.client.name))
        _ask(pending)
        again = [look_ for look_ in pending if look_.judge()]
        if any(look_.looks_n for look_ in again):
            time.sleep(PAUSE_S)
        pending = again
    return {look_.packet: (look_.expected.text, look_.outcome)
            for look_ in looks}


def _ask(pending):
    put = [(look, ask, source) for look in pending
           for ask, source in look.asks()]
    for _, ask, _ in put:
        if isinstance(ask, flow.TcpFlow):
            ask.ask()
    probe.run([ask for _, ask, _ in put
               if not isinstance(ask, flow.TcpFlow)])
    for look, ask, source in put:
        look.take(ask, source)


def grouped(batches, only):
    """[(config, [Case])] of neighbours that can run together."""
    groups = {}
    for batch in batches:
        chosen = [c for c in batch.cases
                  if not only or only in f"{batch.name}/{c.name}"]
        if chosen:
            groups.setdefault(str(batch.config), (batch.config, []))[
                1].extend(chosen)
    return list(groups.values())


