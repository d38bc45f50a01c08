# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of the settings of a Service share."""
import contextlib

from . import client, poll


def settings(**values):
    return {"mode": "proxy",
            **{key.replace("_", "-"): v for key, v in values.items()}}


def counter(subject, name):
    return subject.daemon.metric(f"nodesplice_proxy_{name}_total")


def service_metric(subject, small, name):
    return subject.daemon.metric(f"nodesplice_service_{name}",
                                 service=small.name)


@contextlib.contextmanager
def grows(subject, name):
    """The counter is higher after the block."""
    before = counter(subject, name)
    yield
    poll.until(lambda: counter(subject, name) > before, f"{name} grows")


def explained(subject, small, host):
    """What `explain` says of the proxy's view of one endpoint."""
    (svc,) = subject.daemon.explain(small.key)["services"]
    addr = host.addr(small.family)
    (endpoint,) = [e["proxy"] for e in svc["ports"][0]["endpoints"]
                   if e["address"].strip("[").startswith(addr)]
    return endpoint


def end_of(host, at):
    """How a connection that cannot be served ends."""
    try:
        with client.Connection(host, *at, timeout_s=30) as c:
            c.greeting()
        return "answered"
    except (ConnectionError, OSError) as e:
        return type(e).__name__
