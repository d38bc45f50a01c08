# SPDX-License-Identifier: GPL-2.0-or-later
"""The connection tracking: its sysctls."""
import pytest

from lib import daemon, subject as subjects
from lib.netns import Namespace

TIMEOUTS = {"nf_conntrack_tcp_timeout_established": 86400,
            "nf_conntrack_tcp_timeout_close_wait": 3600,
            "nf_conntrack_tcp_be_liberal": 1}


def read(ns, name):
    with ns.enter(), open(f"/proc/sys/net/netfilter/{name}",
                          encoding="ascii") as f:
        return int(f.read())


@pytest.fixture
def ns():
    ns = Namespace("sysctls")
    yield ns
    ns.close()


def init(ns, folder, *options, **kwargs):
    return daemon.command("init", "--control-socket", f"{folder}/run/sock",
                          *options, ns=ns, **kwargs)


def test_init_sets_what_kube_proxy_sets(ns, tmp_path):
    before = read(ns, "nf_conntrack_udp_timeout")
    # The size is the machine's own: not from a namespace.
    out = init(ns, tmp_path, "--conntrack-max-per-core", "0").stdout
    assert {name: read(ns, name) for name in TIMEOUTS} == TIMEOUTS
    assert read(ns, "nf_conntrack_udp_timeout") == before
    assert "nf_conntrack_tcp_be_liberal is 1, was 0" in out
    out = init(ns, tmp_path, "--conntrack-max-per-core", "0",
               "--conntrack-udp-timeout", "17s",
               "--conntrack-udp-timeout-stream", "2m1s",
               "--conntrack-tcp-timeout-established", "0").stdout
    assert read(ns, "nf_conntrack_udp_timeout") == 17
    assert read(ns, "nf_conntrack_udp_timeout_stream") == 121
    assert "established" not in out


def test_init_takes_them_from_the_file_as_well(ns, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("apiVersion: nodesplice.io/v1alpha1\n"
                      "kind: NodespliceConfiguration\n"
                      "kubeconfig: /nonexistent\n"
                      "conntrack-max-per-core: 0\n"
                      "conntrack-udp-timeout: 19s\n")
    init(ns, tmp_path, "--config", str(config))
    assert read(ns, "nf_conntrack_udp_timeout") == 19


def test_a_size_that_cannot_be_set_is_named(ns, tmp_path):
    size = read(ns, "nf_conntrack_max")
    r = init(ns, tmp_path, "--conntrack-min", str(4 * size), check=False)
    assert r.returncode == 1
    assert f"nf_conntrack_max is not {8 * size}" in r.stderr
    assert read(ns, "nf_conntrack_max") == size
    assert read(ns, "nf_conntrack_tcp_be_liberal") == 1


def test_run_sets_what_it_may_and_tells_the_rest_once(world, session_dir):
    ns = world.node.ns
    ns.sysctl("net/netfilter/nf_conntrack_tcp_be_liberal", 0)
    size = read(ns, "nf_conntrack_max")
    s = subjects.NodespliceFiles(world, f"{session_dir}/sysctls", "--proxy",
                                 "off", "--conntrack-min", str(4 * size))
    try:
        assert read(ns, "nf_conntrack_tcp_be_liberal") == 1
        assert s.daemon.log.count(f"nf_conntrack_max is not {4 * size}") == 1
        assert "nodesplice init sets them" in s.daemon.log
    finally:
        s.close()
