# SPDX-License-Identifier: GPL-2.0-or-later
"""Small Services for one test each."""
import http.client
import itertools

from . import client, objects, poll

_serial = itertools.count(1)


class Small:
    """A Service with one TCP port and one slice; `at` is its cluster address.

    members: (host, target port) pairs, or hosts that serve `target`.
    """

    def __init__(self, world, family, members, target=8080, *, name="s",
                 annotations=None, **spec):
        self.family = family
        self.name = f"{name}{next(_serial)}"
        self.service = objects.service(
            self.name, family, world.cluster_ip(family), [("p", 80, "TCP")],
            annotations=annotations, **spec)
        self.slices = []
        by_port = {}
        for member in members:
            host, port = member if isinstance(member, tuple) else (member,
                                                                   target)
            by_port.setdefault(port, []).append(host)
        for n, (port, hosts) in enumerate(by_port.items()):
            self.slices.append(objects.slice_of(
                self.service, hosts, [("p", port, "TCP")], str(n)))

    @property
    def objects(self):
        return (self.service, *self.slices)

    @property
    def key(self):
        return f"default/{self.name}"

    @property
    def at(self):
        return self.service["spec"]["clusterIP"], 80


def ask(host, addr, port, path="/", method="GET"):
    """(code, headers, body) of an HTTP request from a host."""
    c = http.client.HTTPConnection(addr, port, timeout=10)
    with host.ns.enter():
        c.connect()
    try:
        c.request(method, path)
        r = c.getresponse()
        return r.status, r.headers, r.read().decode()
    finally:
        c.close()


def get(host, addr, port, path):
    """The body of a page that is there."""
    code, _, body = ask(host, addr, port, path)
    assert code == 200, f"{addr}:{port}{path}: {code}\n{body}"
    return body


def connect_carried(subject, host, at, carried=True):
    """A connection that is carried (or not) by the daemon.

    The intercept follows the floor, so that the first ones may still go
    by the kernel.
    """
    def probe():
        c = client.Connection(host, *at)
        try:
            c.first = c.greeting()
            if subject.carries(c) == carried:
                return c
        except OSError:
            c.close()
            raise
        c.close()
        return None
    return poll.until(probe, f"a connection {'' if carried else 'not '}"
                             f"carried by the daemon to {at}")
