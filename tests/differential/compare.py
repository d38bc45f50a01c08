# SPDX-License-Identifier: GPL-2.0-or-later
"""The model beside `nodesplice plan`; differences, made small."""
import copy
import dataclasses
import json
import os
import tempfile

import yaml

from lib import daemon, world

import model
import planned


@dataclasses.dataclass
class Difference:
    seed: int
    packet: model.Packet
    wanted: frozenset      # any of these
    got: tuple


def plan_text(objects, options):
    """What `nodesplice plan` prints for these objects."""
    with tempfile.TemporaryDirectory(prefix="differential.") as folder:
        # The command runs as whoever we are: no need for others to read it.
        with open(f"{folder}/all.json", "w", encoding="utf-8") as f:
            json.dump({"apiVersion": "v1", "kind": "List", "items": objects},
                      f)
        return daemon.command("plan", "--manifests", folder, "--node-name",
                              world.NODE_NAME, *options).stdout


def plan(batch, objects):
    return planned.Plan(plan_text(objects, batch.options()), batch.settings)


def differences(batch, objects, plan_, seeds, outcomes=None):
    """One Difference for each packet that the plan treats otherwise."""
    rules = model.Model(objects, batch.settings)
    for seed, packets in batch.packets.items():
        if seed not in seeds:
            continue
        for packet in packets:
            wanted = rules.decide(packet)
            got = plan_.decide(packet)
            if outcomes is not None:
                outcomes[got[0]] += 1
            if got not in wanted:
                yield Difference(seed, packet, wanted, got)


def _differs(batch, objects, packet):
    got = plan(batch, objects).decide(packet)
    return got not in model.Model(objects, batch.settings).decide(packet)


def _without(items, differs):
    """Remove whatever can go: halves first, then one by one."""
    size = max(1, len(items) // 2)
    while size:
        at = 0
        while at < len(items):
            fewer = items[:at] + items[at + size:]
            if differs(fewer):
                items = fewer
            else:
                at += size
        size //= 2
    return items


# Lists inside of objects whose elements matter one by one.
_LISTS = (("spec", "ports"), ("spec", "externalIPs"),
          ("spec", "loadBalancerSourceRanges"),
          ("status", "loadBalancer", "ingress"), ("endpoints",), ("ports",))


def _shrink_lists(objects, differs):
    for n, path in ((n, path) for n in range(len(objects))
                    for path in _LISTS):
        holder = objects[n]
        for name in path[:-1]:
            holder = holder.get(name, {})
        if not holder.get(path[-1]):
            continue

        def with_list(items, n=n, path=path):
            changed = copy.deepcopy(objects)
            inner = changed[n]
            for name in path[:-1]:
                inner = inner[name]
            inner[path[-1]] = items
            return changed
        fewer = _without(holder[path[-1]],
                         lambda items, f=with_list: differs(f(items)))
        objects = with_list(fewer)
    return objects


def shrink(batch, packet):
    """The objects of a batch without which the difference goes."""
    def differs(objects):
        try:
            return _differs(batch, objects, packet)
        except daemon.CommandFailed:
            return False
    objects = _without(batch.objects, differs)
    return _shrink_lists(objects, differs)


def _outcome(outcome):
    if outcome[0] != "dnat":
        return outcome[0]
    return "dnat to " + ", ".join(
        f"{addr} {port} ({source})"
        for addr, port, source in sorted(outcome[1]))


def report(batch, d):
    """Enough to repeat it and to see what it is about."""
    objects = shrink(batch, d.packet)
    rules = model.Model(objects, batch.settings).decide(d.packet)
    got = plan(batch, objects).decide(d.packet)
    return (f"=== seed {d.seed}: {d.packet}\n"
            f"rules:   {' or '.join(sorted(map(_outcome, rules)))}\n"
            f"planned: {_outcome(got)}\n"
            f"options: {' '.join(['--node-name', world.NODE_NAME, *batch.options()])}\n"
            f"again:   tests/differential/run --seed {d.seed} "
            f"--nodesplice {os.path.relpath(daemon.BINARY)}\n"
            "--- objects\n"
            f"{yaml.safe_dump_all(objects, sort_keys=False)}"
            "--- plan\n"
            f"{plan_text(objects, batch.options())}")
