# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs under test: started in a namespace, with their log kept."""
import contextlib
import ctypes
import os
import re
import signal
import socket
import subprocess

from . import poll

# A sanitizer's or a crash's last words; no test passes with one in a log.
_FATAL = re.compile(r"ERROR: (Address|Leak|Thread)Sanitizer|runtime error:|"
                    r"WARNING: ThreadSanitizer|Assertion .* failed|"
                    r"^panic:|^fatal error:", re.MULTILINE)

_libc = ctypes.CDLL(None, use_errno=True)
_PTRACE_DETACH, _PTRACE_SEIZE, _PTRACE_INTERRUPT = 17, 0x4206, 0x4207
_WALL = 0x40000000


def _ptrace(request, tid):
    if _libc.ptrace(request, tid, None, None) < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno), "ptrace")


class Process:
    """One child process; `log` is everything that it printed."""

    started = []  # every one of this test run

    def __init__(self, ns, argv, log_path, env=None):
        self.ns = ns
        self.argv = argv
        self.log_path = log_path
        with open(log_path, "ab") as log:
            self._popen = subprocess.Popen(
                ns.argv(*argv), stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})
        Process.started.append(self)

    @property
    def pid(self):
        return self._popen.pid

    @property
    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    @property
    def returncode(self):
        return self._popen.poll()

    def check_alive(self):
        code = self._popen.poll()
        if code is not None:
            raise RuntimeError(f"{self.argv[0]} ended with {code}:\n"
                               f"{self.log[-4000:]}")

    def wait_log(self, pattern, deadline_s=poll.DEADLINE_S):
        """The match of a regular expression in the log."""
        def probe():
            m = re.search(pattern, self.log, re.MULTILINE)
            if not m:
                self.check_alive()
            return m
        return poll.until(probe, f"{pattern!r} in the log of {self.argv[0]}",
                          deadline_s)

    def signal(self, number):
        os.kill(self.pid, number)

    def stop(self):
        """SIGSTOP, and all of it stands still: the thread that is to take
        the signal may wait for a CPU while the others go on."""
        os.kill(self.pid, signal.SIGSTOP)
        poll.until(lambda: all(self._state(tid) == "T"
                               for tid, _ in self.threads()),
                   f"{self.argv[0]} stopped")

    def _state(self, tid):
        with open(f"/proc/{self.pid}/task/{tid}/stat", encoding="ascii") as f:
            return f.read().rpartition(")")[2].split()[0]

    def kill(self):
        """SIGKILL, and the end of it awaited."""
        if self._popen.poll() is None:
            self._popen.kill()
        self._popen.wait()

    def terminate(self, deadline_s=60):
        """SIGTERM; the exit code."""
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGCONT)
            self._popen.terminate()
        try:
            return self._popen.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.argv[0]} did not end at SIGTERM:\n"
                                 f"{self.log[-4000:]}") from None

    def fatal(self):
        """What a sanitizer or a failed assertion said, or None."""
        log = self.log
        m = _FATAL.search(log)
        return log[m.start():m.start() + 6000] if m else None

    def rss_bytes(self):
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def cpu_ticks(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as f:
            fields = f.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def threads(self):
        """(tid, name) of each thread."""
        found = []
        for tid in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{tid}/comm",
                      encoding="utf-8") as f:
                found.append((int(tid), f.read().strip()))
        return found

    @contextlib.contextmanager
    def frozen_thread(self, tid):
        """One thread stands still, the others run: ptrace(2), as signals
        stop whole processes."""
        _ptrace(_PTRACE_SEIZE, tid)
        _ptrace(_PTRACE_INTERRUPT, tid)
        os.waitpid(tid, _WALL)
        try:
            yield
        finally:
            _ptrace(_PTRACE_DETACH, tid)

    def tcp_peers(self):
        """The remote (address, port) of each connected TCP socket it has."""
        inodes = set()
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                target = os.readlink(f"/proc/{self.pid}/fd/{fd}")
            except OSError:
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
        peers = set()
        for table in ("tcp", "tcp6"):
            with open(f"/proc/{self.pid}/net/{table}",
                      encoding="ascii") as f:
                for line in f.readlines()[1:]:
                    fields = line.split()
                    if fields[9] in inodes:
                        peers.add(_peer(fields[2]))
        return peers


def _peer(text):
    """"0100007F:1F90", four bytes at a time in host order."""
    addr, port = text.split(":")
    raw = b"".join(bytes.fromhex(addr[i:i + 8])[::-1]
                   for i in range(0, len(addr), 8))
    if raw.startswith(bytes(10) + b"\xff\xff"):
        raw = raw[12:]
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, raw), int(port, 16)


class NotifySocket:
    """The systemd side of sd_notify: what the daemon said so far."""

    def __init__(self, path):
        self.path = path
        self._said = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        if os.path.exists(path):  # of a daemon that was killed
            os.unlink(path)
        self._socket.bind(path)
        os.chmod(path, 0o666)
        self._socket.setblocking(False)

    def said(self, word):
        while True:
            try:
                self._said += self._socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return word in self._said

    def close(self):
        self._socket.close()
        os.unlink(self.path)
