# SPDX-License-Identifier: GPL-2.0-or-later
"""The ways to a Service that are compared.

All get what they are best with for TCP: two workers, least-connections where
they have it, no log of connections, an hour of idle time.  nginx and Envoy have
a listening socket for each worker; HAProxy's threads share one, as by its
default; with "shards by-thread" its figures were the same.  Pipes and buffers: HAProxy and nodesplice pipes of 256 KiB and buffers
of 16 and 64 KiB, nginx buffers of 16 KiB, Envoy watermarks of 1 MiB.  But for
HAProxy's pipes (64 KiB) these are the defaults; larger buffers would cost nginx
and Envoy memory for each connection.

A subject serves VIP:PORT on the node of a world that is made for one run.
"""
import json
import os
import re
import shlex
import shutil
import subprocess

from lib import daemon, objects, poll, proc

from . import accounts, envoy

VIP = "10.96.1.1"
PORT = 8080
WORKERS = 2
# Connections, of the 20,000 descriptors that a process may have on many a
# machine; a proxied one takes two.
MOST = 8500
NGINX_STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so"


class Subject:
    """Kernel DNAT or a proxy; start() and stop() once for each run."""

    key = title = None
    proxy = True

    def __init__(self):
        self.process = None

    def missing(self):
        """Why it can't run here, or None."""
        return None

    def version(self):
        return ""

    def start(self, w, backends, folder):
        raise NotImplementedError

    def stop(self):
        if self.process:
            self.process.kill()
            self.process = None

    def check_alive(self):
        if self.process:
            self.process.check_alive()

    def pids(self):
        return (accounts.process_tree(self.process.pid)
                if self.process else [])

    def _run(self, w, folder, *argv):
        self.process = proc.Process(w.node.ns, argv,
                                    f"{folder}/{self.key}.log")


def number_in(*argv):
    """The version in what a program says of it, to any of its outputs."""
    r = subprocess.run(argv, capture_output=True, text=True, check=False)
    m = re.search(r"\b\d+\.\d+\.\d+\b", r.stdout + r.stderr)
    return m[0] if m else "?"


def lead(w, to):
    """DNAT of the Service's address."""
    w.node.ns.nft(f"""table ip bench {{
        chain prerouting {{ type nat hook prerouting priority -100;
            ip daddr {VIP} tcp dport {PORT} dnat ip to {to}
        }}
    }}""")


def own_address(w):
    """The Service's address is one of the node's."""
    w.node.ns.ip(f"addr add {VIP}/32 dev lo")


class Dnat(Subject):
    """One nft rule: what kube-proxy's data path is."""

    key, title, proxy = "dnat", "kernel DNAT", False

    def start(self, w, backends, folder):
        targets = ", ".join(f"{i} : {b.addr4} . {PORT}"
                            for i, b in enumerate(backends))
        lead(w, f"numgen random mod {len(backends)} map {{ {targets} }}")


class Haproxy(Subject):
    """On the Service's address as its own, without connection tracking, as
    nothing in the namespace asks for it."""

    key, title = "haproxy", "HAProxy"
    bind = VIP
    splice = ("splice-auto",)

    def missing(self):
        return None if shutil.which("haproxy") else "haproxy isn't installed"

    def version(self):
        return number_in("haproxy", "-v")

    def start(self, w, backends, folder):
        servers = "".join(f"    server s{i} {b.addr4}:{PORT}\n"
                          for i, b in enumerate(backends))
        options = "".join(f"    option {o}\n" for o in self.splice)
        config = f"{folder}/haproxy.cfg"
        with open(config, "w", encoding="ascii") as f:
            # maxpipes: by default a quarter of maxconn, which with the
            # connections is more than 20,000 descriptors.
            f.write("global\n"
                    f"    nbthread {WORKERS}\n"
                    f"    maxconn {MOST}\n"
                    "    maxpipes 1000\n"
                    "    tune.pipesize 262144\n"
                    "defaults\n"
                    "    mode tcp\n"
                    f"{options}"
                    "    timeout connect 5s\n"
                    "    timeout client 1h\n"
                    "    timeout server 1h\n"
                    "    balance leastconn\n"
                    "listen web\n"
                    f"    bind {self.bind}:{PORT}\n"
                    f"{servers}")
        self.lead_in(w)
        self._run(w, folder, "haproxy", "-db", "-f", config)

    def lead_in(self, w):
        own_address(w)


class HaproxySplice(Haproxy):
    """Made to splice always.  With splice-auto it decides from the sizes of
    what it reads, and here that it does not pay."""

    key, title = "haproxy-splice", "HAProxy, splice"
    splice = ("splice-request", "splice-response")


class HaproxyBehindDnat(Haproxy):
    """On a port of the node to which the Service's address is led, with the
    connection tracking that comes with it: as it stands on a node."""

    key, title = "haproxy-dnat", "HAProxy, DNAT"
    bind = "0.0.0.0"

    def lead_in(self, w):
        lead(w, w.node.addr4)


class Nginx(Subject):
    """The stream module."""

    key, title = "nginx", "nginx stream"

    def missing(self):
        if not shutil.which("nginx"):
            return "nginx isn't installed"
        if not os.path.exists(NGINX_STREAM):
            return "nginx has no stream module (libnginx-mod-stream)"
        return None

    def version(self):
        return number_in("nginx", "-v")

    def start(self, w, backends, folder):
        servers = "".join(f"        server {b.addr4}:{PORT};\n"
                          for b in backends)
        config = f"{folder}/nginx.conf"
        with open(config, "w", encoding="ascii") as f:
            # least_conn without a zone, that is, for each worker by itself:
            # counts shared by the workers cost a lock.
            f.write(f"load_module {NGINX_STREAM};\n"
                    f"worker_processes {WORKERS};\n"
                    f"worker_rlimit_nofile {2 * MOST + 1000};\n"
                    f"pid {folder}/nginx.pid;\n"
                    "error_log stderr;\n"
                    "daemon off;\n"
                    "events {\n"
                    f"    worker_connections {2 * MOST};\n"
                    "    multi_accept on;\n"
                    "}\n"
                    "stream {\n"
                    "    upstream web {\n"
                    "        least_conn;\n"
                    f"{servers}"
                    "    }\n"
                    "    server {\n"
                    f"        listen {VIP}:{PORT} reuseport backlog=4096;\n"
                    "        proxy_connect_timeout 5s;\n"
                    "        proxy_timeout 1h;\n"
                    "        proxy_pass web;\n"
                    "    }\n"
                    "}\n")
        own_address(w)
        # In a PID namespace, as its workers would outlive a killed master.
        self._run(w, folder, "unshare", "--pid", "--fork", "--kill-child",
                  "nginx", "-e", "stderr", "-c", config)


class Envoy(Subject):
    """tcp_proxy, two workers."""

    key, title = "envoy", "Envoy"

    def missing(self):
        return envoy.install()

    def version(self):
        return number_in(envoy.program(), "--version")

    def start(self, w, backends, folder):
        config = f"{folder}/envoy.json"
        with open(config, "w", encoding="ascii") as f:
            f.write(envoy.config(VIP, PORT, [b.addr4 for b in backends]))
        own_address(w)
        self._run(w, folder, envoy.program(), "-c", config, "--concurrency",
                  str(WORKERS), "--disable-hot-restart", "--log-level",
                  "error")


class Nodesplice(Subject):
    """The daemon as a user runs it, client address kept."""

    key, title = "nodesplice", "nodesplice"

    def __init__(self, program, key="nodesplice"):
        super().__init__()
        self.key = self.title = key
        self.program, *self.options = shlex.split(program)
        self.program = os.path.abspath(self.program)
        self.daemon = None

    def missing(self):
        return (None if os.access(self.program, os.X_OK)
                else f"{self.program} isn't there; build it, or --nodesplice")

    def version(self):
        return number_in(self.program, "--version")

    def start(self, w, backends, folder):
        manifests = f"{folder}/manifests"
        os.makedirs(manifests)
        ports = [("tcp", PORT, "TCP")]
        service = objects.service("bench", 4, VIP, ports)
        for name, obj in (
                ("service", service),
                ("slice", objects.slice_of(service, backends, ports))):
            with open(f"{manifests}/{name}.json", "w", encoding="ascii") as f:
                json.dump(obj, f)
        daemon.BINARY = self.program
        self.daemon = daemon.Daemon(
            w, f"{folder}/run", ("--manifests", manifests), "--workers",
            str(WORKERS), *self.options)
        self.process = self.daemon.process
        poll.until(lambda: self.daemon.status()["gate"]["state"] == "open",
                   "the gate", 10)

    def stop(self):
        if self.daemon:
            self.daemon.close()
            self.daemon = self.process = None


def every(programs):
    """All of them; programs: [NAME=]FILE [OPTION...], one or more builds of
    nodesplice."""
    found = [Dnat(), Haproxy(), HaproxySplice(), HaproxyBehindDnat(), Nginx(),
             Envoy()]
    for text in programs:
        m = re.match(r"([a-z0-9-]+)=(.*)$", text)
        found.append(Nodesplice(m[2], m[1]) if m else Nodesplice(text))
    return found
