#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast the kernel follows the API server, and in how much memory.

    tests/bench/scale.py [--subject nodesplice|kube-proxy]
                         [--services 1000] [--endpoints 10] [--changes 100]

A real etcd and kube-apiserver hold N Services of M endpoints.  Measured:
from the start of the process to the last transaction of its first sync; from
the request that changes one slice to the transaction (the API server's own
answer time is printed beside it); resident memory at the end.
"""
import argparse
import os
import statistics
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# pylint: disable=wrong-import-position
from lib import daemon, kube, netns, nfnetlink, objects, poll
from lib import subject as subjects, world as worlds

QUIET_S = 2.0  # no transaction for so long: the first sync is complete


class Generations(threading.Thread):
    """Notes when each transaction was committed, to a fraction of a ms."""

    def __init__(self, ns):
        super().__init__(daemon=True)
        self._read = nfnetlink.reader(ns)
        self.changes = [(time.monotonic(), self._read())]
        self.start()

    def run(self):
        while True:
            generation = self._read()
            if generation != self.changes[-1][1]:
                self.changes.append((time.monotonic(), generation))
            time.sleep(0.0002)

    def wait_quiet(self):
        """The time of the last transaction, once there were no more."""
        poll.until(lambda: len(self.changes) > 1 and
                   time.monotonic() - self.changes[-1][0] > QUIET_S,
                   "the first sync", 600)
        return self.changes[-1][0]

    def after(self, n):
        """The time of the first transaction after the n known ones."""
        poll.until(lambda: len(self.changes) > n, "a transaction", 60, 0.0005)
        return self.changes[n][0]


def fill(cluster, services, endpoints):
    """Create the Services; returns a slice that can be changed."""
    for i in range(services):
        svc = objects.service(f"s{i}", 4, f"10.96.{16 + i // 250}."
                              f"{i % 250 + 1}", [("p", 80, "TCP")])
        hosts = [endpoint(i * endpoints + k) for k in range(endpoints)]
        slice_ = objects.slice_of(svc, hosts, [("p", 8080, "TCP")])
        cluster.api.create(svc)
        cluster.api.create(slice_)
    return slice_


def endpoint(n):
    return {"addresses": [f"10.{128 + n // 62500}.{n // 250 % 250}."
                          f"{n % 250 + 1}"],
            "conditions": {"ready": True}, "nodeName": "node-2"}


def change_times(cluster, generations, slice_, n):
    """(seconds to the kernel, seconds to the API's answer) of n changes."""
    times = []
    for i in range(n):
        slice_["endpoints"][0] = endpoint(500000 + i)
        known = len(generations.changes)
        start = time.monotonic()
        cluster.api.patch(slice_, {"endpoints": slice_["endpoints"]})
        answered = time.monotonic()
        times.append((generations.after(known) - start, answered - start))
        # The next change shall find the program idle.
        time.sleep(0.05)
    return times


def percentile(values, p):
    return sorted(values)[min(len(values) - 1, int(len(values) * p))]


def show(name, values):
    print(f"{name}: median {statistics.median(values) * 1e3:.1f} ms, "
          f"p99 {percentile(values, 0.99) * 1e3:.1f} ms, "
          f"max {max(values) * 1e3:.1f} ms")


def start(args, world, cluster, folder):
    if args.subject == "kube-proxy":
        return subjects.KubeProxy(world, cluster, folder).process
    s = subjects.NodespliceApi(world, cluster, folder, wait_ready=False)
    return s.daemon.process


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--subject", default="nodesplice",
                        choices=("nodesplice", "kube-proxy"))
    parser.add_argument("--nodesplice", default="build/nodesplice")
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--endpoints", type=int, default=10)
    parser.add_argument("--changes", type=int, default=100)
    args = parser.parse_args()
    daemon.BINARY = os.path.abspath(args.nodesplice)
    netns.sweep()
    with tempfile.TemporaryDirectory() as folder:
        world = worlds.World()
        cluster = kube.Cluster(world, f"{folder}/kube")
        process = None
        try:
            slice_ = fill(cluster, args.services, args.endpoints)
            generations = Generations(world.node.ns)
            began = time.monotonic()
            process = start(args, world, cluster, f"{folder}/subject")
            complete = generations.wait_quiet()
            listing = world.node.ns.run("nft", "list", "ruleset").stdout
            missing = [i for i in range(args.services)
                       if f"default/s{i}" not in listing]
            assert not missing, f"{len(missing)} services missing"
            print(f"{args.subject}: {args.services} services x "
                  f"{args.endpoints} endpoints")
            print(f"start to rules complete: {complete - began:.3f} s, "
                  f"{len(generations.changes) - 1} transactions")
            times = change_times(cluster, generations, slice_, args.changes)
            show("changed slice to kernel", [t[0] for t in times])
            show("of that, the API server's answer", [t[1] for t in times])
            print(f"resident: {process.rss_bytes() / 1e6:.1f} MB")
        finally:
            if process:
                process.kill()
            cluster.close()
            world.close()


if __name__ == "__main__":
    main()
