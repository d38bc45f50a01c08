# SPDX-License-Identifier: GPL-2.0-or-later
"""Endpoints and settings that change under a mixed load.

What may cost a client a reset is written down with its time (Mishaps): an
endpoint that dies with its connections, or one that stops to listen with
clients in its queue.  Everything else costs nobody anything.
"""
import threading
import time

from lib import objects, web
from lib.objects import ANNOTATION_PREFIX

# Values that no healthy conversation of talk.py runs into.
SETTINGS = {
    "connect-timeout": ("1s", "2s", "5s"),
    "connect-attempts": ("3", "5", "10"),
    "idle-timeout": ("1m", "1h"),
    "half-close-timeout": ("1m", "5m"),
    "load-balancing": ("least-connections", "round-robin", "random",
                       "source-hash"),
    "slow-start": ("off", "1s"),
    "max-connections": ("off", "1000"),
    "tcp-keepalive": ("5s", "30s"),
    "tcp-user-timeout": ("30s", "1m"),
    "outlier-consecutive-failures": ("1", "5"),
    "outlier-base-ejection-time": ("1s", "5s", "bad value"),
    "outlier-max-ejection-percent": ("50", "100", "0"),
    "outlier-probe": ("on", "off"),
}


class Mishaps:
    """When something happened that may have cost clients a reset."""

    def __init__(self):
        self._last = 0.0
        self.n = 0

    def note(self):
        self._last = time.monotonic()

    def since(self, start):
        return self._last >= start


class Churn(threading.Thread):
    """Changes one thing after the other, at random.

    steady: web.Small of Services whose clients must not notice; volatile: of
    those that come and go; members: (host, Backend) pairs behind all of them.
    """

    def __init__(self, subject, steady, volatile, members, rnd, interval_s):
        super().__init__(daemon=True, name="churn")
        self.subject = subject
        self.steady = steady
        self.volatile = volatile
        self.members = members
        self.rnd = rnd
        self.interval_s = interval_s
        self.mishaps = Mishaps()
        self.changes_n = 0
        self.failure = None
        self._away = {}  # steady Service -> host that left its slice
        self._sick = None
        self._resume = threading.Event()
        self._at_rest = threading.Event()
        self._ending = False

    def run(self):
        acts = [self.leave_or_join, self.leave_or_join, self.sicken_or_heal,
                self.sicken_or_heal, self.die, self.set, self.set,
                self.come_or_go]
        try:
            while not self._ending:
                if not self._resume.is_set():
                    self.heal()
                    self._at_rest.set()
                self._resume.wait()
                if self._ending:
                    break
                self.rnd.choice(acts)()
                self.changes_n += 1
                time.sleep(self.rnd.uniform(0, 2 * self.interval_s))
        except Exception as e:  # pylint: disable=broad-except
            self.failure = e
            self._at_rest.set()

    def resume(self):
        self._at_rest.clear()
        self._resume.set()

    def pause(self):
        """Return when everything is well and stays so."""
        self._resume.clear()
        self._at_rest.wait()
        if self.failure:
            raise self.failure

    def end(self):
        self._ending = True
        self._resume.set()
        self.join()

    def slices(self, small):
        hosts = [h for h, _ in self.members if h is not self._away.get(small)]
        return objects.slice_of(small.service, hosts,
                                [("p", self.members[0][1].port, "TCP")], "0")

    def leave_or_join(self):
        small = self.rnd.choice(self.steady)
        if not self._away.pop(small, None):
            self._away[small] = self.rnd.choice(self.members)[0]
        self.subject.manifests.put(self.slices(small))

    def sicken_or_heal(self):
        """One at a time: refuses, or answers nothing."""
        if self._sick:
            self.heal()
            return
        self._sick = self.rnd.choice(self.members)[1]
        if self.rnd.random() < 0.5:
            self._sick.drop()
            return
        self.refuse(self._sick)

    def refuse(self, sick):
        self.mishaps.note()
        sick.refuse()
        self.mishaps.note()
        self.mishaps.n += 1

    def heal(self):
        sick, self._sick = self._sick, None
        if sick:
            sick.undrop()
            sick.listen()

    def die(self):
        """With all of its connections; it is back at once."""
        self.mishaps.note()
        self.rnd.choice(self.members)[1].reset_all()
        self.mishaps.note()
        self.mishaps.n += 1

    def set(self):
        small = self.rnd.choice(self.steady)
        name = self.rnd.choice(list(SETTINGS))
        annotations = small.service["metadata"]["annotations"]
        annotations[ANNOTATION_PREFIX + name] = self.rnd.choice(SETTINGS[name])
        self.subject.manifests.put(small.service)

    def come_or_go(self):
        """The Service, its endpoints, or its way."""
        small = self.rnd.choice(self.volatile)
        what = self.rnd.choice(("service", "slice", "mode"))
        annotations = small.service["metadata"]["annotations"]
        if what == "mode":
            annotations[ANNOTATION_PREFIX + "mode"] = self.rnd.choice(
                ("proxy", "kernel"))
            self.subject.manifests.put(small.service)
            return
        obj = small.service if what == "service" else small.slices[0]
        try:
            self.subject.manifests.delete(obj)
        except FileNotFoundError:
            self.subject.manifests.put(obj)


def services(world, members, target):
    """(steady, volatile, brief) Services of both families."""
    hosts = [h for h, _ in members]

    def small(family, name, **settings):
        return web.Small(world, family, hosts, target, name=name,
                         annotations={"mode": "proxy", **settings})
    return ([small(4, "steady"), small(6, "steady")],
            [small(4, "volatile"), small(6, "volatile")],
            [small(4, "brief", **{"idle-timeout": "1s",
                                  "half-close-timeout": "1s"})])
