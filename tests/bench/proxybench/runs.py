# SPDX-License-Identifier: GPL-2.0-or-later
"""One load on one subject, in a world that is made for it.

A fresh world costs a sixth of a second, and nothing of a run before (sockets in
TIME_WAIT, connection tracking entries) is in the way of the next one.
"""
import collections
import json
import os
import select
import subprocess
import time

from lib import netns, poll, proc, world

from . import accounts, subjects

CPUS = os.cpu_count() or 1
# mode and conns are tcpload's; per: what its CPU time is divided by.
Measure = collections.namedtuple("Measure", "name title mode conns unit")
MEASURES = (
    Measure("stream-1", "throughput, 1 stream", "stream", 1, "Gbit/s"),
    Measure("stream-8", "throughput, 8 streams", "stream", 8, "Gbit/s"),
    Measure("connect", "new connections", "connect", 16, "1/s"),
    Measure("request-1", "keep-alive requests, 1 connection", "request", 1,
            "1/s"),
    Measure("request-64", "keep-alive requests, 64 connections", "request",
            64, "1/s"),
    Measure("request-1000", "keep-alive requests, 1,000 connections",
            "request", 1000, "1/s"),
    Measure("idle", "idle connections", "idle", 8000, ""),
)
# What opens connections before the measurement begins has this long.
READY_S = 60.0


class Failed(RuntimeError):
    """A run that says nothing."""


class Load:
    """tcpload in the client's namespace: warm when the constructor returns."""

    def __init__(self, host, program, measure, seconds):
        self._popen = subprocess.Popen(
            host.ns.argv(program, measure.mode, subjects.VIP,
                         str(subjects.PORT), str(measure.conns),
                         str(max(1, round(seconds * 1000))), str(CPUS)),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        try:
            if self._line(READY_S) != "ready\n":
                raise Failed(self._popen.communicate()[1].strip())
        except BaseException:
            self.end()
            raise
        self._seconds = seconds

    def _line(self, timeout_s):
        ready, _, _ = select.select([self._popen.stdout], [], [], timeout_s)
        if not ready:
            raise Failed("tcpload is silent")
        return self._popen.stdout.readline()

    def measured(self):
        """Runs the measurement."""
        self._popen.stdin.write("\n")
        self._popen.stdin.flush()
        line = self._line(self._seconds + READY_S)
        if not line:
            raise Failed(self._popen.communicate()[1].strip())
        return json.loads(line)

    def end(self):
        if self._popen.stdin.closed:
            return
        self._popen.stdin.close()
        try:
            self._popen.wait(10)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._popen.stdout.close()
        self._popen.stderr.close()


class Site:
    """A world with two endpoints, a client, and one subject on its node."""

    def __init__(self, subject, tcpload, folder):
        self.subject = subject
        self.tcpload = tcpload
        self.servers = []
        os.makedirs(folder)
        self.world = world.World()
        try:
            self._build(folder)
        except BaseException:
            self.close()
            raise

    def _build(self, folder):
        w = self.world
        self.client = w.pod("client")
        # Room for TIME_WAIT, but none of the ports that nodesplice's second
        # legs take: a socket of these that waits on the node swallows what is
        # forwarded with the same addresses and ports.
        self.client.ns.sysctl("net.ipv4.ip_local_port_range", "32768 65535")
        # The same on the node, and ports in TIME_WAIT are used again, for
        # proxies whose second legs have the node's address.
        w.node.ns.sysctl("net.ipv4.ip_local_port_range", "2048 65535")
        w.node.ns.sysctl("net.ipv4.tcp_tw_reuse", 1)
        backends = [w.pod(f"backend-{i}") for i in range(2)]
        self.servers = [
            proc.Process(b.ns, [self.tcpload, "serve", str(subjects.PORT),
                                str(max(1, CPUS // len(backends)))],
                         f"{folder}/{b.name}.log") for b in backends]
        self.subject.start(w, backends, folder)
        self.files = accounts.open_files(self.subject.pids())
        poll.until(self._answers, f"an answer by {self.subject.title}", 10)

    def _answers(self):
        """Whether both endpoints answer, most likely."""
        self.subject.check_alive()
        for s in self.servers:
            s.check_alive()
        r = netns.run(self.client.ns.argv(
            self.tcpload, "idle", subjects.VIP, str(subjects.PORT), "4", "1",
            "1"), stdin="\n\n", check=False)
        return r.returncode == 0

    def close(self):
        try:
            self.subject.stop()
        finally:
            for s in self.servers:
                s.kill()
            self.world.close()


def cpu_of(site):
    return accounts.Cpu(proxy=site.subject.pids(),
                        servers=[s.pid for s in site.servers])


def check_carried(site, conns):
    """Each connection is two sockets of the proxy: it went past none, which
    would be a good figure for the wrong reason."""
    files = accounts.open_files(site.subject.pids()) - site.files
    if site.subject.proxy and files < 2 * conns:
        raise Failed(f"{conns:,} connections, but {files:,} more files of the "
                     "proxy: not all went through it")


def traffic(site, measure, seconds):
    """A rate and what it cost."""
    load = Load(site.client, site.tcpload, measure, seconds)
    try:
        cpu = cpu_of(site)
        out = load.measured()
        cpu.stop()
        if measure.mode != "connect":  # whose connections are gone
            check_carried(site, measure.conns)
    finally:
        load.end()
    streams = measure.mode == "stream"
    # Seconds per GB, or microseconds per connection or request.
    n = out["bytes"] / 1e9 if streams else out["requests"] / 1e6
    if not n:
        raise Failed("nothing got through")
    proxy = cpu.seconds["proxy"]
    all_cpu = (proxy + cpu.seconds["servers"] + cpu.seconds["ksoftirqd"] +
               out["cpu_s"])
    row = {
        "rate": (out["bytes"] * 8 / 1e9 if streams else out["requests"]) /
                out["seconds"],
        "proxy_cpu": proxy / n if site.subject.proxy else None,
        "all_cpu": all_cpu / n,
        "client_cpu": out["cpu_s"] / n,
        "server_cpu": cpu.seconds["servers"] / n,
        "errors": out["errors"],
        # Shares of a core: is the load what ends first?
        "client_busiest": out["busiest"],
        "server_busiest": cpu.busiest["servers"] / out["seconds"],
        "proxy_busiest": cpu.busiest["proxy"] / out["seconds"],
        "ksoftirqd": cpu.seconds["ksoftirqd"] / out["seconds"],
        "idle": cpu.idle,
    }
    if not streams:
        row.update((k, out[k]) for k in ("p50_us", "p99_us", "max_us"))
    return row


def settled_kernel_memory():
    """Once that of an earlier world is given back."""
    last = accounts.kernel_memory()
    for _ in range(20):
        time.sleep(0.05)
        now = accounts.kernel_memory()
        if last is None or abs(now - last) < 65536:
            break
        last = now
    return now


def idle(site, measure, seconds):
    """What connections cost that do nothing."""
    pids = site.subject.pids()
    kernel = settled_kernel_memory()
    rss, pss = accounts.process_memory(pids)
    load = Load(site.client, site.tcpload, measure, seconds)
    try:
        rss_open, pss_open = accounts.process_memory(pids)
        kernel_open = settled_kernel_memory()
        cpu = cpu_of(site)
        out = load.measured()
        cpu.stop()
        check_carried(site, measure.conns)
    finally:
        load.end()
    proxy = site.subject.proxy
    return {
        "rss": (rss_open - rss) / measure.conns if proxy else None,
        "pss": (pss_open - pss) / measure.conns if proxy else None,
        "base_rss": rss if proxy else None,
        "kernel": (None if kernel is None
                   else (kernel_open - kernel) / measure.conns),
        "idle_cpu": cpu.seconds["proxy"] / out["seconds"] if proxy else None,
        "errors": out["errors"],
    }


def one(subject, measure, seconds, tcpload, folder):
    """The row of one run."""
    site = Site(subject, tcpload, folder)
    try:
        run = idle if measure.mode == "idle" else traffic
        return run(site, measure, seconds)
    finally:
        site.close()
