# SPDX-License-Identifier: GPL-2.0-or-later
"""Who the daemon is to the API server: rights, certificates, addresses."""
import base64
import re
import shutil

import pytest
import yaml

from lib import client, kube, netns, poll, subject as subjects, web

PORT = 8980


@pytest.fixture
def start(world, cluster, session_dir, request):
    """start(user, server, **cluster fields): a daemon with a kubeconfig."""
    made = []
    name = re.sub(r"\W", "-", request.node.name)[:24]

    def run(user, server=kube.API_URL, wait_ready=True, **fields):
        made.append(subjects.NodespliceApi(
            world, cluster, f"{session_dir}/u-{name}", wait_ready=wait_ready,
            kubeconfig=cluster.kubeconfig(name, user, server, **fields)))
        return made[-1]
    yield run
    for s in made:
        s.close()


@pytest.fixture
def small(world):
    pod = world.pod("users")
    backend = world.serve(pod, PORT, name="users")
    yield web.Small(world, 4, [pod], PORT)
    backend.close()


def binding(name, user, role="test-nodesplice"):
    return {"apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io",
                        "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "name": user,
                          "apiGroup": "rbac.authorization.k8s.io"}]}


def encoded(path):
    with open(path, "rb") as f:
        return base64.b64encode(f.read()).decode()


def check_serves(world, s, small):
    s.apply(*small.objects)
    assert client.ask(world.node, *small.at)["name"] == "users"


def test_denied_rights_are_said_and_served_once_granted(world, cluster, start,
                                                        small):
    s = start({"token": "nobody-token"}, wait_ready=False)
    for resource in ("services", "endpointslices"):
        poll.until(lambda: re.search(
            rf"(?i)(list.*{resource}|{resource}.*list)", s.daemon.log),
            f"the right to list {resource} in the log")
    assert not s.daemon.notify.said("READY=1")
    grant = binding("nobody-reads", "nobody")
    cluster.api.create(grant)
    try:
        s.daemon.wait_ready()
        check_serves(world, s, small)
    finally:
        cluster.api.delete(grant)


@pytest.mark.parametrize("how", ["inline", "files"])
def test_a_client_certificate(world, cluster, start, small, how):
    cluster.certificate("splicer", "/CN=splicer")
    grant = binding("splicer-reads", "splicer")
    cluster.api.create(grant)
    crt, key = cluster.path("splicer.crt"), cluster.path("splicer.key")
    user = ({"client-certificate": crt, "client-key": key} if how == "files"
            else {"client-certificate-data": encoded(crt),
                  "client-key-data": encoded(key)})
    try:
        check_serves(world, start(user), small)
    finally:
        cluster.api.delete(grant)


def test_a_client_certificate_that_is_replaced(world, cluster, start,
                                               session_dir, small):
    """A daemon that was refused presents the new one, on a new connection."""
    strangers = f"{session_dir}/strangers"
    crt, key = f"{strangers}.crt", f"{strangers}.key"
    netns.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
               "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out",
               crt, "-subj", "/CN=splicer"])
    cluster.certificate("splicer", "/CN=splicer")
    grant = binding("splicer-reads", "splicer")
    cluster.api.create(grant)
    try:
        s = start({"client-certificate": crt, "client-key": key},
                  wait_ready=False)
        s.daemon.process.wait_log("401")
        for name, path in (("crt", crt), ("key", key)):
            shutil.copy(cluster.path(f"splicer.{name}"), path)
        s.daemon.wait_ready()
        check_serves(world, s, small)
    finally:
        cluster.api.delete(grant)


def test_the_server_by_ipv6_and_another_name(world, cluster, start, small):
    token = cluster.account_token()
    s = start({"token": token}, f"https://[fd50::{kube.API_LAST_BYTE}]:6443",
              **{"tls-server-name": "kubernetes"})
    check_serves(world, s, small)


@pytest.mark.parametrize("fields", [
    {"tls-server-name": "another"}, {"no_ca": True}])
def test_a_server_that_cannot_be_trusted_is_not_used(cluster, start, fields):
    s = start({"token": cluster.account_token()}, wait_ready=False, **fields)
    s.daemon.process.wait_log("(?i)certificate|ssl|tls")
    assert not s.daemon.notify.said("READY=1")


def test_a_context_by_name(world, cluster, session_dir, small):
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "wrong",
        "clusters": [
            {"name": "good", "cluster": {
                "server": kube.API_URL,
                "certificate-authority": cluster.path("ca.crt")}},
            {"name": "bad", "cluster": {"server": "https://192.0.2.1"}}],
        "users": [{"name": "u", "user": {"token": cluster.account_token()}}],
        "contexts": [
            {"name": "wrong", "context": {"cluster": "bad", "user": "u"}},
            {"name": "right", "context": {"cluster": "good", "user": "u"}}],
    }
    subjects.Manifests(session_dir).write("context.yaml",
                                          yaml.safe_dump(config))
    s = subjects.NodespliceApi(world, cluster, f"{session_dir}/context",
                               "--context", "right",
                               kubeconfig=f"{session_dir}/context.yaml")
    try:
        check_serves(world, s, small)
    finally:
        s.close()


def test_objects_of_the_api_are_never_written(world, cluster, start, small):
    """Rights to read are enough, and nothing else is asked for."""
    s = start({"token": cluster.account_token()})
    check_serves(world, s, small)

    def denied():
        return cluster.api.metric("apiserver_authorization_attempts_total",
                                  result="denied")
    before = denied()
    s.barrier()
    assert denied() == before
