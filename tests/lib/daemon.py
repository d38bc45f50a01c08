# SPDX-License-Identifier: GPL-2.0-or-later
"""The nodesplice daemon as a black box: its command line and its sockets."""
import json
import os
import urllib.error
import urllib.request

from . import poll, proc, world
from .netns import run

BINARY = os.environ.get("NODESPLICE", "")
METRICS_PORT = 10249
HEALTH_PORT = 10256


class CommandFailed(AssertionError):
    """A subcommand ended with another code than 0."""

    def __init__(self, argv, r):
        super().__init__(f"{' '.join(argv)}: exit {r.returncode}\n"
                         f"{r.stdout}{r.stderr}")
        self.code = r.returncode
        self.stdout = r.stdout
        self.stderr = r.stderr


def command(*argv, ns=None, check=True, **kwargs):
    """Run `nodesplice ARGV` to its end, in a namespace or unprivileged."""
    argv = [BINARY, *argv]
    if ns is not None:
        argv = ["ip", "netns", "exec", ns.name, *argv]
    r = run(argv, check=False, **kwargs)
    if "Sanitizer" in r.stderr or "runtime error:" in r.stderr:
        raise AssertionError(f"{' '.join(argv)}:\n{r.stderr}")
    if check and r.returncode != 0:
        raise CommandFailed(argv, r)
    return r


class Daemon:
    """`nodesplice run` in the node's namespace."""

    def __init__(self, w, folder, source, *options, pod_cidrs=True,
                 wait_ready=True, host=None):
        """source: ("--manifests", DIR) or ("--kubeconfig", FILE)."""
        self.world = w
        self.host = host or w.node
        self.dir = folder
        os.makedirs(folder, exist_ok=True)
        self.socket = f"{folder}/control.sock"
        self.notify = proc.NotifySocket(f"{folder}/notify.sock")
        argv = [BINARY, "run", *source, "--node-name", self.host.node_name,
                "--control-socket", self.socket, *options]
        if pod_cidrs:
            argv += ["--pod-cidr", ",".join(world.NODE_POD_CIDRS)]
        self.process = proc.Process(
            self.host.ns, argv, f"{folder}/daemon.log",
            {"NOTIFY_SOCKET": self.notify.path})
        if wait_ready:
            self.wait_ready()

    def wait_ready(self):
        def probe():
            self.process.check_alive()
            return self.notify.said("READY=1")
        poll.until(probe, "READY=1 of the daemon", 60)

    @property
    def pid(self):
        return self.process.pid

    @property
    def log(self):
        return self.process.log

    def control(self, *argv, **kwargs):
        return command(*argv, "--control-socket", self.socket, **kwargs)

    def status(self):
        return json.loads(self.control("status", "-o", "json").stdout)

    def explain(self, target):
        return json.loads(self.control("explain", target, "-o",
                                       "json").stdout)

    def http(self, port, path, addr="127.0.0.1"):
        """(code, headers, body) of a GET inside the node's namespace."""
        # An opener without proxies: the machine may have one configured.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}))
        with self.host.ns.enter():
            try:
                with opener.open(f"http://{addr}:{port}{path}",
                                 timeout=10) as r:
                    return r.status, r.headers, r.read().decode()
            except urllib.error.HTTPError as e:
                return e.code, e.headers, e.read().decode()

    def metrics(self):
        """{"name{labels}": value}"""
        _, _, body = self.http(METRICS_PORT, "/metrics")
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
                for line in body.splitlines()
                if line and not line.startswith("#")}

    def metric(self, name, **labels):
        """The sum of all series of that name with the given labels."""
        return sum(value for key, value in self.metrics().items()
                   if key.partition("{")[0] == name and
                   all(f'{k}="{v}"' in key for k, v in labels.items()))

    def carries(self, connection):
        """Whether the client's connection ends in the daemon (proxied)."""
        return tuple(connection.local) in self.process.tcp_peers()

    def stop(self):
        """SIGTERM; fails if the daemon does not end well."""
        code = self.process.terminate()
        self.close()
        assert code == 0, f"exit {code} at SIGTERM:\n{self.log[-4000:]}"

    def close(self):
        """Kill what still runs, and fail for what a sanitizer has said."""
        self.process.kill()
        if os.path.exists(self.notify.path):
            self.notify.close()
        fatal = self.process.fatal()
        assert not fatal, fatal
