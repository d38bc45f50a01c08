# SPDX-License-Identifier: GPL-2.0-or-later
"""Network namespaces that are gone when the process is.

A name is nst<pid>-<n>-<role>.  Namespaces of this process are removed by
close(), else at exit; those of a process that was killed by the next one
(sweep()).  The machine's own namespace is never changed.
"""
import atexit
import contextlib
import ctypes
import itertools
import os
import re
import subprocess

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_NAME = re.compile(r"^nst(\d+)-")
_serial = itertools.count()
_alive = {}


def _setns(fd):
    if _libc.setns(fd, _CLONE_NEWNET) < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno), "setns")


def run(argv, stdin=None, check=True, **kwargs):
    """subprocess.run() whose failure shows what the program said."""
    r = subprocess.run(argv, input=stdin, text=True, capture_output=True,
                       check=False, **kwargs)
    if check and r.returncode != 0:
        raise AssertionError(f"{' '.join(argv)}: exit {r.returncode}\n"
                             f"{stdin or ''}{r.stdout}{r.stderr}")
    return r


class Namespace:
    """One network namespace, named after its role."""

    def __init__(self, role):
        self.role = role
        self.name = f"nst{os.getpid()}-{next(_serial)}-{role}"
        run(["ip", "netns", "add", self.name])
        _alive[self.name] = self
        self._fd = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        # Duplicate address detection would make IPv6 addresses unusable for
        # a second; an address of a test is nobody else's.
        self.sysctl("net.ipv6.conf.all.accept_dad", 0)
        self.sysctl("net.ipv6.conf.default.accept_dad", 0)
        self.ip("link set lo up")

    def __str__(self):
        return self.name

    @contextlib.contextmanager
    def enter(self):
        """The calling thread is in here; its new sockets stay in here."""
        back = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        _setns(self._fd)
        try:
            yield self
        finally:
            _setns(back)
            os.close(back)

    def ip(self, *lines):
        """Run iproute2 commands, written without the leading `ip`."""
        run(["ip", "-n", self.name, "-batch", "-"],
            stdin="".join(line + "\n" for line in lines))

    def sysctl(self, name, value):
        """Set a sysctl of this namespace; `name` with dots or slashes."""
        path = name if "/" in name else name.replace(".", "/")
        with self.enter(), open(f"/proc/sys/{path}", "w",
                                encoding="ascii") as f:
            f.write(str(value))

    def argv(self, *argv):
        """The command line that runs argv in here, and dies with us."""
        return ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec",
                self.name, *argv]

    def run(self, *argv, **kwargs):
        return run(["ip", "netns", "exec", self.name, *argv], **kwargs)

    def nft(self, script):
        return run(["ip", "netns", "exec", self.name, "nft", "-f", "-"],
                   stdin=script)

    def close(self):
        if _alive.pop(self.name, None) is None:
            return
        os.close(self._fd)
        run(["ip", "netns", "del", self.name], check=False)


def sweep():
    """Remove the namespaces of test processes that no longer exist."""
    for name in os.listdir("/run/netns") if os.path.isdir("/run/netns") else []:
        m = _NAME.match(name)
        if m and not os.path.exists(f"/proc/{m.group(1)}"):
            run(["ip", "netns", "del", name], check=False)


@atexit.register
def _close_all():
    for ns in list(_alive.values()):
        ns.close()
