# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark of the proxy and its peers: that it runs and is coherent.

What it measures here says nothing, and nothing is asked of it but what must be
so on any machine.
"""
import importlib.util
import json
import os
import subprocess
import sys

import pytest

from lib import daemon

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
PROGRAM = f"{TOP}/tests/bench/proxies"
sys.path.insert(0, f"{TOP}/tests/bench")

# pylint: disable=wrong-import-position
from proxybench import envoy, report, runs, subjects

TRAFFIC = {"rate", "proxy_cpu", "client_cpu", "server_cpu", "all_cpu",
           "errors", "client_busiest", "server_busiest", "proxy_busiest",
           "ksoftirqd", "idle"}
LATENCIES = {"p50_us", "p99_us", "max_us"}
IDLE = {"rss", "pss", "base_rss", "kernel", "idle_cpu", "errors"}


def run(*argv, check=True, program=None):
    r = subprocess.run(
        [PROGRAM, "--rounds", "1", "--seconds", "0.1", "--nodesplice",
         program or daemon.BINARY, *argv],
        capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL, timeout=120)
    assert not check or r.returncode == 0, r.stdout + r.stderr
    return r


def measured(path, *argv):
    """The rows, and what was printed."""
    out = run("--json", path, *argv).stdout
    with open(path, encoding="utf-8") as f:
        return json.load(f), out


def check_traffic(row, mode, proxied):
    assert set(row) == TRAFFIC | (LATENCIES if mode != "stream" else set())
    assert row["rate"] > 0 and row["errors"] == 0
    assert (row["proxy_cpu"] is not None) == proxied
    parts = (row["proxy_cpu"] or 0) + row["client_cpu"] + row["server_cpu"]
    assert 0 < row["client_cpu"] < row["all_cpu"]
    assert parts <= row["all_cpu"] * 1.001
    for key in ("client_busiest", "server_busiest", "idle"):
        assert 0 <= row[key] <= 1.05, (key, row)
    if mode != "stream":
        assert 0 < row["p50_us"] <= row["p99_us"] <= row["max_us"]


def test_every_measure_is_there_and_coherent(tmp_path):
    drawn = ["--plot", f"{tmp_path}/a.png"] if importlib.util.find_spec(
        "matplotlib") else []
    found, out = measured(f"{tmp_path}/a.json", "--only", "dnat,nodesplice",
                          "--connections", "50", "--markdown",
                          f"{tmp_path}/a.md", *drawn)
    assert list(found["results"]) == [m.name for m in runs.MEASURES]
    for m in runs.MEASURES:
        rows = found["results"][m.name]
        assert list(rows) == ["dnat", "nodesplice"]
        assert all(len(r) == 1 for r in rows.values())
        for subject, (row,) in rows.items():
            if m.mode == "idle":
                assert set(row) == IDLE and row["errors"] == 0
                # Without a proxy there is no process to ask.
                assert (row["idle_cpu"] is None) == (subject == "dnat")
            else:
                check_traffic(row, m.mode, subject == "nodesplice")
        assert m.title in out
    assert "user memory, B/connection" in out
    rows = (tmp_path / "a.md").read_text().splitlines()
    assert rows[0].endswith("| kernel DNAT | nodesplice |")
    assert all(row.count("|") == 4 and "||" not in row for row in rows)
    assert not drawn or (tmp_path / "a.png").stat().st_size > 10000


def test_every_peer_that_is_installed_carries_requests(tmp_path):
    peers = ["haproxy", "haproxy-splice", "haproxy-dnat", "nginx"]
    if os.path.exists(envoy.program()):  # 37 MB that a test does not fetch
        peers.append("envoy")
    here = [s.key for s in subjects.every([])
            if s.key in peers and s.missing() is None]
    if here != peers and os.environ.get("CI") != "true":
        pytest.skip("haproxy or nginx is not installed")
    found, _ = measured(f"{tmp_path}/a.json", "--only", ",".join(peers),
                        "--measure", "request-64")
    rows = found["results"]["request-64"]
    assert list(rows) == [s.key for s in subjects.every([]) if s.key in peers]
    for (row,) in rows.values():
        check_traffic(row, "request", True)


def test_what_goes_past_the_proxy_is_no_figure():
    r = run("--only", "nodesplice", "--measure", "request-1", check=False,
            program=f"past={daemon.BINARY} --mode kernel")
    assert r.returncode == 1
    assert r.stderr.startswith("proxies: past, request-1: "), r.stderr


def test_a_build_that_is_not_there_is_told():
    r = run("--only", "nodesplice", check=False, program="/nonexistent/x")
    assert r.returncode == 1
    assert "/nonexistent/x isn't there" in r.stderr


def rows_of(**by_subject):
    """Results of request-64 with these rates, and 100 us of CPU each."""
    return {
        "kernel": "6.1", "cpus": 2, "seconds": 1.0,
        "measures": {m.name: m._asdict() for m in runs.MEASURES
                     if m.name == "request-64"},
        "subjects": {s: {"title": s, "version": "1.0.0",
                         "build": s == "nodesplice"} for s in by_subject},
        "results": {"request-64": {s: [
            {"rate": r, "p99_us": 10.0, "proxy_cpu": 50.0, "all_cpu": 100.0,
             "errors": 0, "idle": 0.5} for r in rates]
            for s, rates in by_subject.items()}},
    }


def verdicts(found):
    return {what: (now, verdict) for _, what, now, _, verdict in
            report.targets(found, "nodesplice")}


def test_ratios_are_of_the_runs_of_one_round():
    # A machine that is twice as fast in the second round changes no ratio.
    found = rows_of(haproxy=(100, 200, 100), nodesplice=(120, 240, 120))
    assert verdicts(found)["rate / haproxy"] == ("1.20 (1.20-1.20)", "met")


def test_a_target_that_is_missed_is_told():
    found = rows_of(haproxy=(100,), nodesplice=(114,))
    assert verdicts(found)["rate / haproxy"] == ("1.14", "not met")
    assert verdicts(found)["p99 / haproxy"] == ("1.00", "met")


def test_merge_adds_rounds_and_refuses_another_load(tmp_path):
    found = rows_of(haproxy=(100,), nodesplice=(120,))
    for name, rates in (("a", 100), ("b", 300)):
        found["results"]["request-64"]["haproxy"][0]["rate"] = rates
        (tmp_path / f"{name}.json").write_text(json.dumps(found))
    paths = [f"{tmp_path}/a.json", f"{tmp_path}/b.json"]
    assert report.values(report.merge(paths), "request-64", "haproxy",
                         "rate") == [100, 300]
    found["measures"]["request-64"]["conns"] = 65
    (tmp_path / "b.json").write_text(json.dumps(found))
    with pytest.raises(SystemExit, match="another request-64"):
        report.merge(paths)
