# SPDX-License-Identifier: GPL-2.0-or-later
"""Golden pairs: input.yaml -> plan.txt and -> ruleset.nft.

The plan is what `nodesplice plan` prints, without privileges.  The ruleset is
what `nft list table inet nodesplice` prints beside the running daemon, in a
fresh namespace.  After a change that is meant: pytest with --accept, and
read the difference.
"""
import os
import re
import shutil

import pytest

from lib import daemon, netns, world as worlds

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = sorted(n for n in os.listdir(HERE) if re.match(r"\d{3}_", n))
TABLES = ("inet nodesplice", "inet nodesplice-intercept-a",
          "bridge nodesplice-intercept-a")


@pytest.fixture
def manifests(request, tmp_path):
    folder = tmp_path / "manifests"
    folder.mkdir()
    folder.chmod(0o755)
    shutil.copy(f"{HERE}/{request.param}/input.yaml", folder)
    return request.param, str(folder)


def each_case(test):
    return pytest.mark.parametrize("manifests", CASES, indirect=True,
                                   ids=CASES)(test)


def compare(request, name, got):
    path = f"{HERE}/{name}"
    if request.config.getoption("--accept"):
        with open(path, "w", encoding="utf-8") as f:
            f.write(got)
    with open(path, encoding="utf-8") as f:
        assert got == f.read()


@each_case
def test_plan(request, manifests):
    case, folder = manifests
    r = daemon.command("plan", "--manifests", folder, "--node-name", "node-1")
    compare(request, f"{case}/plan.txt", r.stdout)


class Node(worlds.Host):
    """A node with the addresses of the cases, and nothing else."""

    def __init__(self):
        super().__init__("golden", netns.Namespace("golden"), "192.0.2.10",
                         "2001:db8::10", "node-1")
        self.ns.ip("addr add 192.0.2.10/32 dev lo",
                   "addr add 2001:db8::10/128 dev lo")


def counters_zeroed(ruleset):
    return re.sub(r"packets \d+ bytes \d+", "packets 0 bytes 0", ruleset)


@each_case
def test_ruleset(request, manifests, tmp_path):
    case, folder = manifests
    node = Node()
    try:
        d = daemon.Daemon(None, str(tmp_path / "run"), ("--manifests", folder),
                          "--workers", "1", host=node, pod_cidrs=False)
        listing = "".join(node.ns.run("nft", "list", "table", *t.split()).stdout
                          for t in TABLES)
        d.close()
        # Without the owner (whose tables are gone now) it loads again.
        floor = node.ns.run("nft", "list", "ruleset").stdout
        node.ns.run("nft", "-c", "-f", "-", stdin="flush ruleset\n" + floor)
        node.ns.run("nft", "-f", "-", stdin="flush ruleset\n" + floor)
        again = node.ns.run("nft", "list", "ruleset").stdout
        assert counters_zeroed(again) == counters_zeroed(floor)
    finally:
        node.ns.close()
    # The gate's elements carry times that run.
    listing = re.sub(r"\n\s*elements = \{[^}]*expires [^}]*\}", "", listing)
    compare(request, f"{case}/ruleset.nft", counters_zeroed(listing))
