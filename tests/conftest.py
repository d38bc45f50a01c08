# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the whole-daemon tests.

One world (namespaces) serves a session.  `subject` is the program under test:
nodesplice fed with manifests unless --subject says otherwise.  A test takes
the parameters `family` (4, 6), `mode` (proxy, kernel) and `proto` as fixtures.
"""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

# pylint: disable=wrong-import-position
from lib import daemon, kube, netns, proc
from lib import subject as subjects, world as worlds

SUBJECTS = ("nodesplice", "nodesplice-api", "kube-proxy")


def pytest_addoption(parser):
    parser.addoption("--subject", choices=SUBJECTS, default="nodesplice",
                     help="the program under test (kube-proxy: the oracle, "
                          "for tests of what both must do)")
    parser.addoption("--accept", action="store_true",
                     help="rewrite the golden files with what is printed now")
    parser.addoption("--nodesplice", default=os.environ.get("NODESPLICE", ""),
                     help="the nodesplice program")


def pytest_configure(config):
    if os.geteuid() != 0:
        raise pytest.UsageError("namespaces need root")
    daemon.BINARY = os.path.abspath(config.getoption("--nodesplice") or
                                    "build/nodesplice")
    netns.sweep()


def pytest_collection_modifyitems(config, items):
    """Only tests of common behaviour make sense with kube-proxy."""
    if config.getoption("--subject") == "kube-proxy":
        chosen = [i for i in items if i.get_closest_marker("common")]
        config.hook.pytest_deselected(
            items=[i for i in items if i not in chosen])
        items[:] = chosen


def pytest_generate_tests(metafunc):
    parameters = {
        "family": (4, 6),
        "proto": ("TCP", "UDP"),
        "mode": (("kernel",)
                 if metafunc.config.getoption("--subject") == "kube-proxy"
                 else ("proxy", "kernel")),
    }
    for name, values in parameters.items():
        # A test may narrow a parameter by its own parametrize mark.
        own = any(name in m.args[0]
                  for m in metafunc.definition.iter_markers("parametrize"))
        if name in metafunc.fixturenames and not own:
            ids = [f"IPv{v}" for v in values] if name == "family" else None
            metafunc.parametrize(name, values, ids=ids)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows what the programs under test have said last."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for p in proc.Process.started[-4:]:
            name = os.path.basename(p.log_path)
            if name in ("daemon.log", "kube-proxy.log"):
                report.sections.append((name, p.log[-3000:]))
    del item, call


@pytest.fixture(scope="session")
def session_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("nodesplice"))


@pytest.fixture(scope="session")
def world():
    w = worlds.World()
    yield w
    w.close()


@pytest.fixture(scope="session")
def cluster(world, session_dir):
    c = kube.Cluster(world, f"{session_dir}/kube")
    yield c
    c.close()


@pytest.fixture(scope="module")
def subject(request, world, session_dir):
    """The running program under test; its objects go with the module."""
    which = request.config.getoption("--subject")
    folder = f"{session_dir}/{request.module.__name__}"
    if which == "nodesplice":
        s = subjects.NodespliceFiles(world, folder)
    else:
        c = request.getfixturevalue("cluster")
        s = (subjects.KubeProxy(world, c, folder) if which == "kube-proxy"
             else subjects.NodespliceApi(world, c, folder))
    yield s
    s.close()


@pytest.fixture
def applied(subject):
    """apply(objects...) whose objects are removed after the test."""
    mine = []

    def apply(*objs):
        mine.extend(objs)
        subject.apply(*objs)
    yield apply
    subject.remove(*mine)
