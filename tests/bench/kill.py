#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What clients notice when the daemon dies or hangs.

    tests/bench/kill.py [--signal KILL|STOP] [--rounds 20] [--open 9000]

Each round: a daemon, --open idle connections through it, clients that ask
again and again from a pod and from the node, the signal in the middle of it.
Counted are requests that failed although they were not in flight through the
daemon: whose connect began after the signal.  With STOP the gate takes a few
seconds; requests of that time are counted apart, by when they began.
"""
import argparse
import collections
import os
import resource
import signal
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# pylint: disable=wrong-import-position
from lib import client, daemon, netns, subject as subjects, web
from lib import world as worlds

PORT = 8080
GATE_S = 4.0  # a stopped daemon has lost its traffic by then


class Asker(threading.Thread):
    """One client after the other; (start, outcome) of each."""

    def __init__(self, host, at, timeout_s):
        super().__init__(daemon=True)
        self.host, self.at, self.timeout_s = host, at, timeout_s
        self.asked = []
        self.ending = False
        self.start()

    def run(self):
        while not self.ending:
            began = time.monotonic()
            try:
                client.ask_tcp(self.host, *self.at, self.timeout_s)
                self.asked.append((began, "answered"))
            except OSError as e:
                self.asked.append((began, type(e).__name__))


def open_idle(host, at, n):
    """n connections that were answered once."""
    opened = []
    while len(opened) < n:
        c = client.Connection(host, *at)
        c.greeting()
        opened.append(c)
    return opened


def one_round(world, subject, at, args):
    """The outcomes of one signal: before, after, and after the gate."""
    pod = world.pod("client")
    # Two hosts, as one has too few ports towards one address.
    idle = (open_idle(pod, at, args.open // 2) +
            open_idle(world.node, at, args.open // 2))
    askers = [Asker(host, at, 1.0) for host in (pod, pod, world.node)]
    time.sleep(0.5)
    number = signal.SIGKILL if args.signal == "KILL" else signal.SIGSTOP
    carried = len(subject.daemon.process.tcp_peers())
    at_signal = time.monotonic()
    subject.daemon.process.signal(number)
    time.sleep(2 if args.signal == "KILL" else GATE_S + 3)
    for asker in askers:
        asker.ending = True
    for asker in askers:
        asker.join()
    for c in idle:
        c.close()
    counts = collections.defaultdict(collections.Counter)
    for asker in askers:
        for began, outcome in asker.asked:
            phase = ("before" if began < at_signal else
                     "gate" if args.signal == "STOP" and
                     began < at_signal + GATE_S else "after")
            counts[phase][outcome] += 1
    print(f"{carried} sockets open; " + "; ".join(
        f"{phase}: " + ", ".join(f"{n} {o}" for o, n in c.most_common())
        for phase, c in sorted(counts.items())), flush=True)
    return sum(n for o, n in counts["after"].items() if o != "answered")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--signal", choices=("KILL", "STOP"), default="KILL")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--open", type=int, default=9000)
    parser.add_argument("--nodesplice", default="build/nodesplice")
    args = parser.parse_args()
    daemon.BINARY = os.path.abspath(args.nodesplice)
    netns.sweep()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # The test process holds both outer ends, the daemon both inner ones.
    args.open = min(args.open, (most - 500) // 2)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        world = worlds.World()
        subject = None
        try:
            pods = [world.pod(f"b{i}", "remote") for i in range(3)]
            for pod in pods:
                world.serve(pod, PORT)
            small = web.Small(world, 4, pods, PORT,
                              annotations={"mode": "proxy"})
            subject = subjects.NodespliceFiles(world, folder)
            subject.apply(*small.objects)
            for n in range(args.rounds):
                if n:
                    subject.start()
                    subject.barrier()
                web.connect_carried(subject, world.pod("client"),
                                    small.at).close()
                failed += one_round(world, subject, small.at, args)
                subject.daemon.process.kill()
        finally:
            if subject:
                subject.close()
            world.close()
    print(f"{args.rounds} x SIG{args.signal}: {failed} requests failed that "
          "were not in flight through the daemon")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
