# SPDX-License-Identifier: GPL-2.0-or-later
"""What is shipped in manifests/: understood by those whom it is for."""
import json
import os
import re
import subprocess

import pytest
import yaml

from lib import daemon, kube, objects, subject as subjects, web, \
    world as worlds
from lib.netns import run

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
FILES = ("rbac.yaml", "configmap.yaml", "daemonset.yaml",
         "example-service.yaml")
ACCOUNT_DIR = "/var/run/secrets/kubernetes.io/serviceaccount"
PROGRAM = "/usr/sbin/nodesplice"
PORT = 8980


def read(name):
    with open(f"{TOP}/manifests/{name}", encoding="utf-8") as f:
        return f.read()


def documents(name):
    return list(yaml.safe_load_all(read(name)))


def the(kind, name):
    """The one object of a kind in a file."""
    found = [d for d in documents(name) if d["kind"] == kind]
    assert len(found) == 1
    return found[0]


def pod_spec():
    return the("DaemonSet", "daemonset.yaml")["spec"]["template"]["spec"]


def container(name):
    spec = pod_spec()
    return next(c for c in spec["initContainers"] + spec["containers"]
                if c["name"] == name)


def strictly(cluster, obj, collection=None):
    """Send a dry run that refuses unknown and duplicate fields."""
    return cluster.api.request(
        "POST", (collection or objects.collection(obj)) +
        "?dryRun=All&fieldValidation=Strict", obj)


@pytest.fixture
def no_account(cluster):
    """The harness has an account of that name, with tokens in use."""
    return {objects.key(cluster.account)}


@pytest.mark.parametrize("name", FILES)
def test_the_api_server_accepts_every_object(cluster, no_account, name):
    for obj in documents(name):
        if objects.key(obj) in no_account:
            obj["metadata"]["name"] += "-dry-run"
        created = strictly(cluster, obj)
        assert created["kind"] == obj["kind"]
        assert created["metadata"]["uid"]


def test_a_strict_dry_run_does_refuse(cluster):
    obj = the("DaemonSet", "daemonset.yaml")
    obj["spec"]["template"]["spec"]["hostNetworks"] = True
    with pytest.raises(kube.ApiError) as e:
        strictly(cluster, obj)
    assert e.value.code == 400 and "hostNetworks" in e.value.body


def test_the_api_server_admits_the_pod(cluster):
    """The template is only checked in part until a pod is made of it."""
    pod = {"apiVersion": "v1", "kind": "Pod",
           "metadata": {"name": "nodesplice", "namespace": "kube-system"},
           "spec": pod_spec()}
    created = strictly(cluster, pod, "/api/v1/namespaces/kube-system/pods")
    # system-node-critical, resolved by the server.
    assert created["spec"]["priority"] == 2000001000
    assert {"operator": "Exists"} in created["spec"]["tolerations"]


def test_the_rights_are_to_read_five_kinds_and_to_write_events():
    rules = the("ClusterRole", "rbac.yaml")["rules"]
    granted = {(group, resource): set(rule["verbs"]) for rule in rules
               for group in rule["apiGroups"]
               for resource in rule["resources"]}
    assert granted == {
        ("", "services"): {"get", "list", "watch"},
        ("", "nodes"): {"get", "list", "watch"},
        ("", "endpoints"): {"get", "list", "watch"},
        ("discovery.k8s.io", "endpointslices"): {"get", "list", "watch"},
        ("networking.k8s.io", "servicecidrs"): {"get", "list", "watch"},
        ("events.k8s.io", "events"): {"create", "patch"},
    }


def test_the_rights_are_those_that_all_tests_with_an_account_use(cluster):
    def grants(role):
        return {(g, r, v) for rule in role["rules"] for g in rule["apiGroups"]
                for r in rule["resources"] for v in rule["verbs"]}
    assert grants(the("ClusterRole", "rbac.yaml")) == grants(cluster.role)


def test_the_rights_go_to_the_account_of_the_daemonset():
    binding = the("ClusterRoleBinding", "rbac.yaml")
    account = the("ServiceAccount", "rbac.yaml")["metadata"]
    daemonset = the("DaemonSet", "daemonset.yaml")
    assert binding["subjects"] == [{"kind": "ServiceAccount",
                                    "name": account["name"],
                                    "namespace": account["namespace"]}]
    assert binding["roleRef"]["name"] == \
        the("ClusterRole", "rbac.yaml")["metadata"]["name"]
    assert pod_spec()["serviceAccountName"] == account["name"]
    assert daemonset["metadata"]["namespace"] == account["namespace"]


def test_the_daemon_runs_with_four_capabilities_and_init_alone_with_all():
    context = container("nodesplice")["securityContext"]
    assert context["capabilities"] == {
        "drop": ["ALL"],
        "add": ["NET_ADMIN", "SETUID", "SETGID", "SETPCAP"]}
    assert not context.get("privileged")
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert container("init")["args"] == [
        "init", "--config=/etc/nodesplice/config.yaml"]
    assert container("init")["securityContext"]["privileged"] is True


@pytest.fixture(scope="module")
def confined(world, session_dir):
    """A daemon with the rights of the DaemonSet's container."""
    folder = f"{session_dir}/confined"
    os.makedirs(folder)
    rights = container("nodesplice")["securityContext"]["capabilities"]["add"]
    bounding = ",".join(["-all", *("+" + r.lower() for r in rights)])
    with open(f"{folder}/nodesplice", "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\nexec setpriv --inh-caps=-all --no-new-privs "
                f'--bounding-set={bounding} {daemon.BINARY} "$@"\n')
    os.chmod(f"{folder}/nodesplice", 0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(daemon, "BINARY", f"{folder}/nodesplice")
        s = subjects.NodespliceFiles(world, folder)
    yield s
    s.close()


def effective_capabilities(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"^CapEff:\s*(\w+)", f.read(), re.M)[1], 16)


def test_the_daemon_serves_with_the_rights_of_its_container(
        world, confined, family):
    """...and the backend sees the client: a transparent socket."""
    numbers = {"NET_ADMIN": 12, "SETUID": 7, "SETGID": 6, "SETPCAP": 8}
    most = sum(1 << n for n in numbers.values())
    assert effective_capabilities(confined.daemon.pid) & ~most == 0
    pod, backend = world.pod("shipped-client"), world.pod("shipped")
    world.serve(backend, PORT + family)
    small = web.Small(world, family, [backend], PORT + family)
    confined.apply(*small.objects)
    with web.connect_carried(confined, pod, small.at) as c:
        assert c.first["peer"] == pod.addr(family)


def test_no_container_lists_ports():
    spec = pod_spec()
    assert spec["hostNetwork"] is True
    assert not any("ports" in c
                   for c in spec["initContainers"] + spec["containers"])


def test_what_is_mounted_exists():
    spec = pod_spec()
    volumes = {v["name"] for v in spec["volumes"]}
    for c in spec["initContainers"] + spec["containers"]:
        assert {m["name"] for m in c["volumeMounts"]} <= volumes
    config = the("ConfigMap", "configmap.yaml")
    mount = next(m for m in container("nodesplice")["volumeMounts"]
                 if m["name"] == "config")
    flags = [a for a in container("nodesplice")["args"]
             if a.startswith("--config=")]
    inside = yaml.safe_load(config["data"]["config.yaml"])
    assert flags == [f"--config={mount['mountPath']}/config.yaml"]
    assert inside["kubeconfig"] == f"{mount['mountPath']}/kubeconfig.conf"
    assert "kubeconfig.conf" in config["data"]


def test_the_daemon_reads_the_cluster_with_the_configmap(
        world, cluster, tmp_path):
    """Only the folders and the server's address are put in the place of
    those of a pod."""
    data = the("ConfigMap", "configmap.yaml")["data"]
    account = tmp_path / "account"
    account.mkdir()
    with open(cluster.path("ca.crt"), encoding="utf-8") as f:
        (account / "ca.crt").write_text(f.read(), encoding="utf-8")
    (account / "token").write_text(cluster.account_token(), encoding="utf-8")
    for name, text in data.items():
        text = text.replace(ACCOUNT_DIR, str(account))
        text = text.replace("/etc/nodesplice", str(tmp_path))
        text = re.sub(r"server: \S+", f"server: {kube.API_URL}", text)
        (tmp_path / name).write_text(text, encoding="utf-8")
    svc = objects.service("by-configmap", 4, world.cluster_ip(4),
                          [("http", 80, "TCP")])
    cluster.api.create(svc)
    try:
        r = daemon.command("plan", "--config", str(tmp_path / "config.yaml"),
                           "--node-name", world.node.node_name,
                           ns=world.node.ns)
    finally:
        cluster.api.delete(svc)
    assert "default/by-configmap" in r.stdout


def settings():
    """Every annotation that the program knows, with its default."""
    help_text = daemon.command("plan", "--help").stdout
    _, _, tail = help_text.partition("nodesplice.io/NAME")
    found = dict(re.findall(r"^ +--([a-z-]+) +(\S+) \(.*\)$", tail, re.M))
    assert "connect-timeout" in found
    return found


def test_the_example_has_every_annotation_with_its_default(tmp_path):
    """...and a default that changes shows here."""
    annotations = the("Service", "example-service.yaml")["metadata"][
        "annotations"]
    assert annotations == {objects.ANNOTATION_PREFIX + name: value
                           for name, value in settings().items()}


def test_the_example_is_planned_without_a_complaint(tmp_path):
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    svc = the("Service", "example-service.yaml")
    # An API server would have chosen one.
    svc["spec"]["clusterIP"] = "10.96.0.80"
    svc["spec"]["clusterIPs"] = ["10.96.0.80"]
    (manifests / "web.json").write_text(json.dumps(svc), encoding="utf-8")
    r = daemon.command("plan", "--manifests", str(manifests),
                       "--node-name", worlds.NODE_NAME)
    assert "default/web" in r.stdout
    assert "annotation" not in r.stderr and "nodesplice.io/" not in r.stderr


def unit_file(tmp_path):
    """The unit with the program where it was built."""
    path = tmp_path / "nodesplice.service"
    path.write_text(read("nodesplice.service").replace(
        PROGRAM, daemon.BINARY), encoding="utf-8")
    return str(path)


def test_systemd_understands_the_unit(tmp_path):
    r = run(["systemd-analyze", "verify", unit_file(tmp_path)], check=False)
    assert (r.returncode, r.stdout + r.stderr) == (0, "")


def test_systemd_does_complain_about_a_mistake(tmp_path):
    path = unit_file(tmp_path)
    with open(path, "a", encoding="utf-8") as f:
        f.write("[Service]\nRestrictNamespace=yes\n")
    r = run(["systemd-analyze", "verify", path], check=False)
    assert "RestrictNamespace" in r.stderr


def test_the_unit_is_well_confined(tmp_path):
    # In tenths; 25 when written, and a bare unit has 96.
    run(["systemd-analyze", "security", "--offline=yes", "--no-pager",
         "--threshold=30", unit_file(tmp_path)])


def test_the_unit_reads_the_environment_file():
    unit = read("nodesplice.service")
    assert "EnvironmentFile=-/etc/nodesplice/nodesplice.env" in unit
    assert f"ExecStart={PROGRAM} run $NODESPLICE_OPTIONS" in unit
    lines = [line for line in read("nodesplice.env").splitlines()
             if line and not line.startswith("#")]
    assert [line.partition("=")[0] for line in lines] == \
        ["NODESPLICE_OPTIONS", "NODESPLICE_INIT_OPTIONS"]


def test_the_options_of_the_environment_file_exist():
    help_text = daemon.command("run", "--help").stdout
    for flag in set(re.findall(r"--[a-z][a-z-]+", read("nodesplice.env"))):
        assert flag == "--help" or f" {flag} " in help_text


def containerfile_packages():
    """What each of the two stages installs."""
    stages = read("Containerfile").replace("\\\n", " ").split("\nFROM ")
    assert len(stages) == 3 and stages[1].startswith("debian:12 AS build")
    return [set(re.search(r"--no-install-recommends([^&\n]*)",
                          stage).group(1).split())
            for stage in stages[1:]]


def installed(package):
    r = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status}",
                        package], capture_output=True, text=True, check=False)
    return r.stdout == "installed"


def test_the_image_has_the_libraries_that_the_program_is_linked_with():
    r = run(["objdump", "-p", daemon.BINARY])
    needed = set(re.findall(r"NEEDED +(\S+)", r.stdout))
    # Part of every Debian, or of the test build only.
    needed -= {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2",
               "libpthread.so.0", "libasan.so.8", "libubsan.so.1"}
    owners = set()
    for package in containerfile_packages()[1]:
        assert installed(package), package
        files = run(["dpkg-query", "-L", package]).stdout.splitlines()
        owners |= {os.path.basename(f) for f in files}
    assert needed and needed <= owners


def test_the_image_is_built_with_packages_that_build_it_here():
    for package in containerfile_packages()[0]:
        assert installed(package), package


def test_the_image_takes_the_program_from_where_it_is_installed(tmp_path):
    text = read("Containerfile")
    options = re.search(r"meson setup /build /source((?:[^&]|\\\n)*)&&",
                        text).group(1).replace("\\\n", " ").split()
    run(["meson", "setup", str(tmp_path / "build"), TOP, *options])
    r = run(["meson", "introspect", "--installed", str(tmp_path / "build")])
    where = set(json.loads(r.stdout).values())
    assert where == {PROGRAM}
    assert f"COPY --from=build {PROGRAM} {PROGRAM}" in text
    assert f'ENTRYPOINT ["{PROGRAM}"]' in text
