# SPDX-License-Identifier: GPL-2.0-or-later
"""Started with the configuration of the kube-proxy that it replaces."""
import socket
import time

import pytest
import yaml

from lib import client, daemon, poll, subject as subjects, web

PORT = 8987


def kube_proxy_config(world, kubeconfig, **fields):
    """As kubeadm writes it, zero values and all."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "bindAddress": "0.0.0.0",
        "bindAddressHardFail": False,
        "clientConnection": {"acceptContentTypes": "", "burst": 0,
                             "contentType": "", "kubeconfig": kubeconfig,
                             "qps": 0},
        "clusterCIDR": "10.244.0.0/16,fd00:244::/32",
        "configSyncPeriod": "0s",
        "conntrack": {"maxPerCore": None, "min": None,
                      "tcpBeLiberal": False, "tcpCloseWaitTimeout": None,
                      "tcpEstablishedTimeout": None,
                      "udpStreamTimeout": "0s", "udpTimeout": "0s"},
        "detectLocal": {"bridgeInterface": "", "interfaceNamePrefix": ""},
        "detectLocalMode": "",
        "enableProfiling": False,
        "healthzBindAddress": "",
        "hostnameOverride": world.node.node_name,
        "ipvs": {"excludeCIDRs": None, "scheduler": "rr",
                 "strictARP": True},
        "logging": {"flushFrequency": 0, "verbosity": 4},
        "mode": "",
        "nodePortAddresses": None,
        "oomScoreAdj": None,
        **fields,
    }


def write(path, *documents):
    with open(path, "w", encoding="utf-8") as f:
        yaml.safe_dump_all(documents, f, sort_keys=False)
    return str(path)


class Configured(subjects.ApiSubject):
    """nodesplice with --config alone."""

    name = "nodesplice"

    def __init__(self, w, cluster, folder, path, *options):
        super().__init__(w, cluster)
        self.daemon = daemon.Daemon(w, folder, ("--config", path), *options,
                                    pod_cidrs=False)

    def carries(self, connection):
        return self.daemon.carries(connection)

    def check_alive(self):
        self.daemon.process.check_alive()

    def close(self):
        self.forget_all()
        self.daemon.close()
        daemon.command("cleanup", ns=self.world.node.ns)


@pytest.fixture
def kubeconfig(cluster):
    return cluster.kubeconfig("replaced",
                              {"token": cluster.account_token()})


def test_the_file_of_the_cluster_is_enough(world, cluster, kubeconfig,
                                           tmp_path):
    path = write(tmp_path / "config.conf",
                 kube_proxy_config(world, kubeconfig))
    s = Configured(world, cluster, str(tmp_path), path)
    try:
        pod = world.pod("replaced")
        world.serve(pod, PORT, name="replaced")
        small = web.Small(world, 4, [pod], PORT, kind="NodePort")
        small.service["spec"]["ports"][0]["nodePort"] = world.node_port()
        s.apply(*small.objects)
        assert client.ask(world.node, *small.at)["name"] == "replaced"
        # Node ports of kube-proxy's default mode are on every address.
        port = small.service["spec"]["ports"][0]["nodePort"]
        for addr in ("192.168.50.10", "10.244.1.129"):
            assert client.ask(world.remote, addr, port)["name"] == "replaced"
        log = s.daemon.log
        assert log.count("settings that mean nothing here") == 1
        assert "nothing here: ipvs.scheduler, ipvs.strictARP\n" in log
    finally:
        s.close()


def test_a_mistake_ends_the_start_with_its_line(world, kubeconfig, tmp_path):
    config = kube_proxy_config(world, kubeconfig, syncPeriod="30s")
    path = write(tmp_path / "config.conf", config)
    r = daemon.command("run", "--config", path, check=False)
    with open(path, encoding="utf-8") as f:
        line = [s.startswith("syncPeriod") for s in f].index(True) + 1
    assert r.returncode == 2
    assert f"{path}: line {line}: syncPeriod: no such field" in r.stderr


def test_what_is_in_force_is_written_for_the_next_start(world, kubeconfig,
                                                        tmp_path):
    path = write(tmp_path / "config.conf",
                 kube_proxy_config(world, kubeconfig),
                 {"apiVersion": "nodesplice.io/v1alpha1",
                  "kind": "NodespliceConfiguration",
                  "connect-timeout": "2s"})
    first, second = (str(tmp_path / n) for n in ("first", "second"))
    daemon.command("run", "--config", path, "--workers", "2",
                   "--write-config-to", first)
    daemon.command("run", "--config", first, "--write-config-to", second)
    with open(first, encoding="utf-8") as f, open(
            second, encoding="utf-8") as g:
        written = yaml.safe_load(f)
        assert written == yaml.safe_load(g)
    assert written["kind"] == "NodespliceConfiguration"
    assert written["kubeconfig"] == kubeconfig
    assert written["workers"] == 2
    assert written["connect-timeout"] == "2s"
    assert written["nodeport-addresses"] == ["all"]
    assert written["log-level"] == "debug"


@pytest.fixture
def files(world, tmp_path):
    """files(options...): a daemon with manifests."""
    made = []

    def start(*options):
        made.append(subjects.NodespliceFiles(world, str(tmp_path / "files"),
                                             *options))
        return made[-1]
    yield start
    for s in made:
        s.close()


def test_the_minimum_sync_period_gathers_a_burst(world, files):
    period_s = 2
    s = files("--iptables-min-sync-period", f"{period_s}s")
    pod = world.pod("burst")
    world.serve(pod, PORT, name="burst")
    s.barrier()
    before = s.daemon.metric("nodesplice_nft_transactions_total")
    began = time.monotonic()
    burst = [web.Small(world, 4, [pod], PORT) for _ in range(40)]
    for small in burst:
        for obj in small.objects:
            s.manifests.put(obj)
    for small in burst:
        poll.until(lambda at=small.at: client.ask(
            world.node, *at, timeout_s=0.2), small.key)
    took_s = time.monotonic() - began
    after = s.daemon.metric("nodesplice_nft_transactions_total")
    # One at once, then one a period.
    assert after - before <= took_s / period_s + 2


def test_a_server_that_cannot_be_bound_is_fatal_if_asked_for(world, tmp_path):
    with world.node.ns.enter():
        taken = socket.create_server(("127.0.0.1", 10299))
    (tmp_path / "empty").mkdir()
    with taken:
        r = daemon.command(
            "run", "--manifests", str(tmp_path / "empty"), "--node-name",
            world.node.node_name, "--control-socket", str(tmp_path / "sock"),
            "--metrics-bind-address", "127.0.0.1:10299",
            "--bind-address-hard-fail", ns=world.node.ns, check=False)
    daemon.command("cleanup", ns=world.node.ns)
    assert r.returncode == 1
    assert "cannot listen on 127.0.0.1:10299" in r.stderr
