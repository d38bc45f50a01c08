# SPDX-License-Identifier: GPL-2.0-or-later
"""The subcommands, with and without privileges, with and without a daemon."""
import json
import os
import re
import subprocess

import pytest

from lib import client, daemon, objects, subject as subjects, web

PORT = 8680
COMMANDS = ("run", "init", "plan", "status", "explain", "cleanup", "check",
            "version")
NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
          "--inh-caps=-all", "--bounding-set=-all")


@pytest.fixture(scope="module")
def own(world, session_dir):
    s = subjects.NodespliceFiles(world, f"{session_dir}/cli")
    world.serve(world.pod("cli"), PORT, name="cli")
    yield s
    s.close()


def unprivileged(*argv, ns=None):
    argv = [*NOBODY, daemon.BINARY, *argv]
    if ns is not None:
        argv = ["ip", "netns", "exec", ns.name, *argv]
    return subprocess.run(argv, capture_output=True, text=True, check=False,
                          cwd="/")


@pytest.fixture
def public_binary(tmp_path_factory):
    """A copy of the program where anybody may run it."""
    folder = tmp_path_factory.mktemp("bin")
    for path in (folder, *folder.parents):
        if str(path).startswith("/tmp/"):
            os.chmod(path, 0o755)
    target = folder / "nodesplice"
    target.write_bytes(open(daemon.BINARY, "rb").read())
    target.chmod(0o755)
    before, daemon.BINARY = daemon.BINARY, str(target)
    yield folder
    daemon.BINARY = before


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name):
    r = daemon.command(name, "--help")
    assert name in r.stdout and r.stderr == ""


def test_help_lists_every_command():
    out = daemon.command("--help").stdout
    assert [c for c in COMMANDS if c not in out] == []


@pytest.mark.parametrize("argv,word", [
    (("no-such-command",), "no-such-command"),
    (("status", "--no-such-option"), "--no-such-option"),
    (("run",), "--manifests"),
    (("run", "--manifests"), "--manifests"),
    (("run", "--manifests", "/nonexistent", "--node-name", "n"),
     "/nonexistent"),
    (("run", "--kubeconfig", "/nonexistent", "--node-name", "n"),
     "/nonexistent"),
    (("run", "--manifests", "/tmp", "--kubeconfig", "/x", "--node-name", "n"),
     "--kubeconfig"),
    (("run", "--manifests", "/tmp", "--node-name", "n", "--pod-cidr",
      "10.0.0.0/40"), "10.0.0.0/40"),
    (("run", "--manifests", "/tmp", "--node-name", "n", "--control-socket",
      "/tmp/" + 105 * "x"), 105 * "x"),
    (("explain",), "explain"),
    (("status", "-o", "xml"), "xml"),
])
def test_a_bad_command_line_is_refused_with_the_word(world, argv, word):
    r = daemon.command(*argv, ns=world.node.ns, check=False)
    assert r.returncode not in (0, -6, -11)
    assert word in r.stderr and r.stdout == ""


def test_version():
    assert daemon.command("version").stdout.startswith("nodesplice ")


def test_status_without_a_daemon_names_the_socket():
    r = daemon.command("status", "--control-socket", "/nonexistent/sock",
                       check=False)
    assert r.returncode != 0 and "/nonexistent/sock" in r.stderr


def test_plan_needs_no_privileges(world, own, public_binary, family):
    small = web.Small(world, family, [world.pod("cli")], PORT, kind="NodePort")
    small.service["spec"]["ports"][0]["nodePort"] = world.node_port()
    manifests = subjects.Manifests(f"{public_binary}/manifests")
    os.chmod(manifests.dir, 0o755)
    for obj in small.objects:
        manifests.put(obj)
        os.chmod(manifests.path(obj), 0o644)
    r = unprivileged("plan", "--manifests", manifests.dir, "--node-name",
                     world.node.node_name)
    assert r.returncode == 0, r.stderr
    for fact in (small.key, small.at[0], world.pod("cli").addr(family),
                 str(small.service["spec"]["ports"][0]["nodePort"])):
        assert fact in r.stdout
    again = unprivileged("plan", "--manifests", manifests.dir, "--node-name",
                         world.node.node_name)
    assert again.stdout == r.stdout


def test_plan_writes_nothing_into_the_kernel(world, own):
    before = world.node.ns.run("nft", "--stateless", "list",
                               "ruleset").stdout
    daemon.command("plan", "--manifests", own.manifests.dir, "--node-name",
                   world.node.node_name, ns=world.node.ns)
    assert world.node.ns.run("nft", "--stateless", "list",
                             "ruleset").stdout == before


@pytest.mark.parametrize("name", ["run", "cleanup"])
def test_without_root_a_sentence_says_what_is_missing(world, public_binary,
                                                      name):
    folder = f"{public_binary}/empty"
    os.makedirs(folder, exist_ok=True)
    argv = [name]
    if name == "run":
        argv += ["--manifests", folder, "--node-name", "n",
                 "--control-socket", f"{folder}/sock"]
    r = unprivileged(*argv, ns=world.node.ns)
    assert r.returncode != 0
    assert "CAP_NET_ADMIN" in r.stderr or "root" in r.stderr


def test_run_without_privileges_says_what_works_without(
        world, public_binary):
    os.makedirs(f"{public_binary}/closed", mode=0o755)
    r = unprivileged("run", "--manifests", "/tmp", "--control-socket",
                     f"{public_binary}/closed/sock", ns=world.node.ns)
    assert r.returncode == 1
    for word in ("root", "CAP_NET_ADMIN", "plan and check"):
        assert word in r.stderr


def test_check_says_what_works_and_what_conflicts(world, own):
    r = daemon.command("check", ns=world.node.ns, check=False)
    assert "nf_tables" in r.stdout + r.stderr
    world.node.ns.nft("table ip kube-proxy {\n chain services {\n }\n}\n")
    try:
        r = daemon.command("check", ns=world.node.ns, check=False)
        assert "kube-proxy" in r.stdout + r.stderr
    finally:
        world.node.ns.nft("delete table ip kube-proxy\n")


def test_a_daemon_that_starts_says_what_conflicts(world, own):
    """Not only to who asks `check`: replies would be dropped in silence."""
    world.node.ns.sysctl("net.ipv4.conf.all.src_valid_mark", 1)
    own.daemon.stop()
    try:
        own.start()
        assert "src_valid_mark is set" in own.daemon.log
        assert [p for p in own.daemon.status()["problems"]
                if "src_valid_mark" in p["sentence"]]
    finally:
        world.node.ns.sysctl("net.ipv4.conf.all.src_valid_mark", 0)
        own.daemon.stop()
        own.start()
    assert own.daemon.status()["problems"] == []


def test_check_without_privileges_still_answers(world, public_binary):
    r = unprivileged("check", ns=world.node.ns)
    assert r.returncode != 0
    assert "CAP_NET_ADMIN" in r.stdout + r.stderr or \
        "root" in r.stdout + r.stderr


def test_status_for_people_and_for_programs(world, own, family):
    small = web.Small(world, family, [world.pod("cli")], PORT,
                      annotations={"mode": "proxy"})
    own.apply(*small.objects)
    with web.connect_carried(own, world.node, small.at):
        text = own.daemon.control("status").stdout
        assert world.node.node_name in text and "gate" in text
        status = own.daemon.status()
    assert status["node"] == world.node.node_name
    assert status["health"]["healthz"] is True
    assert status["health"]["livez"] is True
    assert status["gate"]["state"] == "open"
    assert status["counts"]["openConnections"] == 1
    assert status["counts"]["services"] >= 3
    assert status["sync"][f"IPv{family}"]["lastSyncedAt"]
    assert {s["kind"] for s in status["sources"] if s["listed"]} >= {
        "services", "endpointslices"}
    assert all(w["heartbeatSecondsAgo"] < 3 for w in status["workers"])
    own.remove(*small.objects)


@pytest.mark.parametrize("by", ["name", "address"])
def test_explain_tells_endpoints_mode_and_settings(world, own, family, by):
    small = web.Small(
        world, family, [world.pod("cli")], PORT,
        annotations={"mode": "proxy", "connect-timeout": "1234ms"})
    small.slices[0]["endpoints"].append({
        "addresses": [world.remote.addr(family)],
        "conditions": {"ready": False}})
    own.apply(*small.objects)
    target = small.key
    if by == "address":
        target = (f"[{small.at[0]}]:80" if family == 6
                  else f"{small.at[0]}:80")
    with web.connect_carried(own, world.node, small.at):
        text = own.daemon.control("explain", target).stdout
        for fact in (small.key, small.at[0], world.pod("cli").addr(family),
                     world.remote.addr(family), "1234ms", "annotation"):
            assert fact in text
        (svc,) = own.daemon.explain(target)["services"]
    assert svc["name"] == small.key and svc["mode"] == "proxy"
    assert svc["settings"]["connect-timeout"] == {
        "value": "1234ms", "source": "annotation"}
    assert svc["settings"]["idle-timeout"]["source"] == "built-in"
    (port,) = svc["ports"]
    assert port["frontends"][0]["inside"]["proxied"] is True
    chosen, left_out = sorted(port["endpoints"],
                              key=lambda e: not e["clusterSet"]["chosen"])
    assert chosen["address"].startswith(
        (world.pod("cli").addr(family), f"[{world.pod('cli').addr(family)}]"))
    assert chosen["proxy"]["openConnections"] == 1
    assert left_out["clusterSet"]["chosen"] is False
    assert "ready" in left_out["clusterSet"]["reason"]
    own.remove(*small.objects)


def test_explain_of_nothing_is_an_error(own):
    r = own.daemon.control("explain", "default/nobody", check=False)
    assert r.returncode != 0 and "default/nobody" in r.stderr


def test_the_control_socket_is_for_root_and_its_group(own, public_binary):
    r = unprivileged("status", "--control-socket", own.daemon.socket)
    assert r.returncode != 0 and r.stdout == ""
    assert os.stat(own.daemon.socket).st_mode & 0o007 == 0


def test_a_second_daemon_is_refused_and_harms_nobody(world, own, session_dir):
    small = web.Small(world, 4, [world.pod("cli")], PORT)
    own.apply(*small.objects)
    second = daemon.Daemon(
        world, f"{session_dir}/cli-second",
        ("--manifests", f"{session_dir}/cli/manifests"), wait_ready=False)
    try:
        code = second.process._popen.wait(30)
        assert code != 0 and "already" in second.log
        assert client.ask(world.node, *small.at)
        assert own.daemon.status()
    finally:
        second.close()
        own.remove(*small.objects)


def known_settings():
    """Each setting of a Service: name -> (least or last, most or first)."""
    help_text = daemon.command("plan", "--help").stdout
    _, _, tail = help_text.partition("nodesplice.io/NAME")
    found = {}
    for name, allowed in re.findall(r"^ +--([a-z-]+) +\S+ \((.*)\)$", tail,
                                    re.M):
        least, is_range, most = allowed.partition(" to ")
        words = allowed.split(", ")
        found[name] = ((least, most.partition(",")[0]) if is_range
                       else (words[-1], words[0]))
    assert {"mode", "connect-timeout", "outlier-probe"} <= set(found)
    return found


@pytest.mark.parametrize("told_by", ["file", "flags"])
def test_each_setting_has_a_default_of_the_node_and_an_annotation(
        tmp_path, told_by):
    settings = known_settings()
    node = {name: low for name, (low, _) in settings.items()}
    own = {name: high for name, (_, high) in settings.items()}
    bad = {name: "nonsense" for name in settings}
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    for n, (name, annotations) in enumerate(
            [("plain", {}), ("own", own), ("bad", bad)]):
        svc = objects.service(name, 4, f"10.96.7.{n + 1}", [("p", 80, "TCP")],
                              annotations=annotations)
        (manifests / f"{name}.json").write_text(json.dumps(svc))
    argv = ["plan", "--manifests", str(manifests), "--node-name", "node-1"]
    if told_by == "file":
        config = tmp_path / "config.yaml"
        config.write_text("apiVersion: nodesplice.io/v1alpha1\n"
                          "kind: NodespliceConfiguration\n" +
                          "".join(f'{k}: "{v}"\n' for k, v in node.items()))
        argv += ["--config", str(config)]
    else:
        argv += [word for k, v in node.items() for word in (f"--{k}", v)]
    out = daemon.command(*argv).stdout
    parts = re.split(r"^service default/(\w+) ", out, flags=re.M)
    plans = dict(zip(parts[1::2], parts[2::2]))
    assert set(plans) == {"plain", "own", "bad"}
    for name in settings:
        line = f"  setting {name}="
        assert f"{line}{node[name]} (node)\n" in plans["plain"]
        assert f"{line}{own[name]} (annotation)\n" in plans["own"]
        assert f"{line}{node[name]} (node)\n" in plans["bad"]
        assert f"nodesplice.io/{name}: " in plans["bad"]
