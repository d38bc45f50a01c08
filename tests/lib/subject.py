# SPDX-License-Identifier: GPL-2.0-or-later
"""The program under test behind one face: nodesplice or kube-proxy.

apply() and remove() return when the change is in force.  That is seen through
a Service of the harness itself: its port is changed after each change, and
once the new port answers, everything older is programmed too (sources keep the
order of changes, and programs sync in that order).
"""
import json
import os
import re

import yaml

from . import client, daemon, kube, objects, poll, proc

BARRIER_PORT = 7
# In an object: what the API would refuse and an old store may have.
STORED = "stored"


class Subject:
    """Common part: what was applied, and the barrier."""

    name = ""
    modes = ("proxy", "kernel")
    barrier_deadline_s = 30

    def __init__(self, w):
        self.world = w
        self._applied = {}
        self.barrier_labels = {}  # where only labelled Services are served
        self._barrier_n = 1000
        self._barrier_ips = {f: w.cluster_ip(f) for f in (4, 6)}
        self._barrier_backend = w.serve(w.remote, BARRIER_PORT,
                                        name="barrier")

    def apply(self, *objs):
        for obj in objs:
            self._applied[objects.key(obj)] = obj
            self._put(obj)
        self.barrier()

    def remove(self, *objs):
        for obj in objs:
            if self._applied.pop(objects.key(obj), None) is not None:
                self._delete(obj)
        self.barrier()

    def change(self, puts, deletes):
        """Many changes at once, behind one barrier."""
        for obj in deletes:
            del self._applied[objects.key(obj)]
            self._delete(obj)
        for obj in puts:
            known = objects.key(obj) in self._applied
            self._applied[objects.key(obj)] = obj
            (self._put if known else self._create)(obj)
        self.barrier()

    def remove_all(self):
        # A daemon that serves nothing, on purpose, passes no barrier.
        if self._applied:
            self.remove(*self._applied.values())

    def forget_all(self):
        """Delete the objects of a subject that is about to end."""
        for obj in self._applied.values():
            self._delete(obj)
        self._applied.clear()

    def barrier(self):
        """Return when everything applied so far is in force."""
        self._barrier_n += 1
        for family, ip in self._barrier_ips.items():
            # A new port name makes both the Service and the slice change.
            name = f"b{self._barrier_n}"
            # Named by its address, which another subject's differs in.
            svc = objects.service("barrier-" + re.sub(r"\W", "-", ip),
                                  family, ip,
                                  [(name, self._barrier_n, "TCP")])
            svc["metadata"]["labels"] = self.barrier_labels
            self._put(objects.slice_of(svc, [self.world.remote],
                                       [(name, BARRIER_PORT, "TCP")]))
            self._put(svc)
        for ip in self._barrier_ips.values():
            self._await_answer(ip)

    def _await_answer(self, ip):
        def probe():
            self.check_alive()
            told = client.ask(self.world.node, ip, self._barrier_n,
                              timeout_s=0.2)
            # Somebody else may be at that address while nobody translates.
            return told["name"] == self._barrier_backend.name
        poll.until(probe, f"barrier {ip}:{self._barrier_n}",
                   self.barrier_deadline_s)

    def proxied_n(self):
        """The connections that went through a proxy so far."""
        return 0

    def check_alive(self):
        raise NotImplementedError

    def _put(self, obj):
        raise NotImplementedError

    def _create(self, obj):
        self._put(obj)

    def _delete(self, obj):
        raise NotImplementedError


class Manifests:
    """A folder of manifests; files appear by rename, as editors do it."""

    def __init__(self, folder):
        self.dir = folder
        os.makedirs(folder, exist_ok=True)

    def path(self, obj):
        return f"{self.dir}/{objects.key(obj)}.yaml"

    def put(self, obj):
        self.write(os.path.basename(self.path(obj)),
                   yaml.safe_dump(obj, sort_keys=False))

    def write(self, name, text):
        part = f"{self.dir}/.{name}.part"
        with open(part, "w", encoding="utf-8") as f:
            f.write(text)
        os.rename(part, f"{self.dir}/{name}")

    def delete(self, obj):
        os.unlink(self.path(obj))


class NodespliceFiles(Subject):
    """nodesplice with --manifests."""

    name = "nodesplice"

    def __init__(self, w, folder, *options, start=True):
        super().__init__(w)
        self.manifests = Manifests(f"{folder}/manifests")
        self.options = options
        self.dir = folder
        self.daemon = None
        if start:
            self.start()

    def start(self, *options, **kwargs):
        self.daemon = daemon.Daemon(
            self.world, self.dir, ("--manifests", self.manifests.dir),
            *self.options, *options, **kwargs)

    def restart(self, kill=False):
        """End it with SIGTERM or SIGKILL and start it again."""
        if kill:
            self.daemon.close()
        else:
            self.daemon.stop()
        self.start()

    def carries(self, connection):
        return self.daemon.carries(connection)

    def check_alive(self):
        self.daemon.process.check_alive()

    def _put(self, obj):
        self.manifests.put(obj)

    def _delete(self, obj):
        self.manifests.delete(obj)

    def close(self):
        self.daemon.close()
        daemon.command("cleanup", ns=self.world.node.ns)


class ApiSubject(Subject):
    """Objects go to the API server."""

    # Watches are opened again after a pause that grows to 30 s, and up to
    # twice as much by chance, as client-go does it.
    barrier_deadline_s = 100

    def __init__(self, w, cluster):
        super().__init__(w)
        self.cluster = cluster

    def _put(self, obj):
        self.cluster.api.put(obj)
        self._store(obj)

    def _create(self, obj):
        self.cluster.api.create(obj)
        self._store(obj)

    def _store(self, obj):
        if STORED in obj:
            self.cluster.store_service(
                (obj["metadata"]["namespace"], obj["metadata"]["name"]),
                obj[STORED])

    def _delete(self, obj):
        self.cluster.api.delete(obj)


class NodespliceApi(ApiSubject):
    """nodesplice with --kubeconfig."""

    name = "nodesplice"

    def __init__(self, w, cluster, folder, *options, kubeconfig=None,
                 wait_ready=True, pod_cidrs=True):
        """kubeconfig: a file; else one with the service account's token."""
        super().__init__(w, cluster)
        self.pod_cidrs = pod_cidrs
        self.dir = folder
        os.makedirs(folder, exist_ok=True)
        self.token_file = f"{folder}/token"
        self.renew_token()
        self.kubeconfig = kubeconfig or cluster.kubeconfig(
            os.path.basename(folder), {"tokenFile": self.token_file})
        self.options = options
        self.daemon = None
        self.start(wait_ready=wait_ready)

    def start(self, **kwargs):
        self.daemon = daemon.Daemon(
            self.world, self.dir, ("--kubeconfig", self.kubeconfig),
            *self.options, pod_cidrs=self.pod_cidrs, **kwargs)

    def proxied_n(self):
        return self.daemon.metric("nodesplice_intercepted_connections_total")

    def restart(self):
        """End it with SIGTERM and start it again."""
        self.daemon.stop()
        self.start()

    def renew_token(self):
        with open(self.token_file + ".new", "w", encoding="ascii") as f:
            f.write(self.cluster.account_token())
        os.rename(self.token_file + ".new", self.token_file)

    def carries(self, connection):
        return self.daemon.carries(connection)

    def check_alive(self):
        self.daemon.process.check_alive()

    def close(self):
        self.forget_all()
        self.daemon.close()
        daemon.command("cleanup", ns=self.world.node.ns)


class NodespliceEndpoints(NodespliceApi):
    """The same with --endpoints-api endpoints: what slices a test has, it has
    as Endpoints in the API, one object a Service."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, "--endpoints-api", "endpoints", **kwargs)

    def _slices_beside(self, obj):
        """Those of the same Service that are applied."""
        return [o for o in self._applied.values()
                if o["kind"] == "EndpointSlice" and
                objects.key(o) != objects.key(obj) and
                objects.service_of(o) == objects.service_of(obj)]

    def _put(self, obj):
        if obj["kind"] == "EndpointSlice":
            obj = objects.endpoints_of(*self._slices_beside(obj), obj)
        super()._put(obj)

    def _create(self, obj):
        if obj["kind"] == "EndpointSlice":
            self._put(obj)  # that of another slice may be there
        else:
            super()._create(obj)

    def _delete(self, obj):
        if obj["kind"] == "EndpointSlice":
            left = self._slices_beside(obj)
            if left:
                super()._put(objects.endpoints_of(*left))
                return
            obj = objects.endpoints_of(obj)
        super()._delete(obj)

    def forget_all(self):
        while self._applied:
            self._delete(self._applied.popitem()[1])


class KubeProxy(ApiSubject):
    """kube-proxy in nftables mode: the oracle."""

    name = "kube-proxy"
    modes = ("kernel",)

    def __init__(self, w, cluster, folder, **config):
        """config: fields of KubeProxyConfiguration other than ours."""
        super().__init__(w, cluster)
        os.makedirs(folder, exist_ok=True)
        self.dir = folder
        kubeconfig = cluster.kubeconfig("kube-proxy",
                                        {"token": "proxy-token"})
        with open(f"{folder}/kube-proxy.json", "w", encoding="utf-8") as f:
            json.dump({**self._config(kubeconfig), **config}, f)
        self.process = None
        self._start()

    def _start(self):
        self.process = proc.Process(
            self.world.node.ns, [f"{self.cluster.bin}/kube-proxy", "--config",
                                 f"{self.dir}/kube-proxy.json"],
            f"{self.dir}/kube-proxy.log")

    def restart(self):
        """End it with SIGTERM and start it again; its rules stay."""
        self.process.terminate()
        self._start()

    def _config(self, kubeconfig):
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "hostnameOverride": self.world.node.node_name,
            "clientConnection": {"kubeconfig": kubeconfig},
            "detectLocalMode": "NodeCIDR",
            "nftables": {"minSyncPeriod": "50ms"},
            # These sysctls belong to the machine's own namespace.
            "conntrack": {"maxPerCore": 0, "min": 0,
                          "tcpEstablishedTimeout": "0s",
                          "tcpCloseWaitTimeout": "0s"},
        }

    def carries(self, connection):
        return False

    def check_alive(self):
        self.process.check_alive()

    def close(self):
        self.forget_all()
        self.process.kill()
        self.world.node.ns.nft("delete table ip kube-proxy\n"
                               "delete table ip6 kube-proxy\n")
