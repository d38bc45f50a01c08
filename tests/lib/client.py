# SPDX-License-Identifier: GPL-2.0-or-later
"""What a client of a Service does, from any namespace."""
import hashlib
import json
import socket
import time

from . import backend

TIMEOUT_S = 10.0


def _socket(host, family, kind):
    with host.ns.enter():
        return socket.socket(
            socket.AF_INET6 if family == 6 else socket.AF_INET, kind)


def family_of(addr):
    return 6 if ":" in addr else 4


class Connection:
    """A TCP connection to a backend of backend.py.

    source: (address, port); a port that an earlier connection waits on in
    TIME_WAIT may be taken, as a client that chooses its port can.
    """

    def __init__(self, host, addr, port, timeout_s=TIMEOUT_S, source=None):
        self.sock = _socket(host, family_of(addr), socket.SOCK_STREAM)
        self.sock.settimeout(timeout_s)
        if source:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.sock.bind(source)
        try:
            self.sock.connect((addr, port))
        except OSError:
            self.sock.close()
            raise
        self._in = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def close(self):
        self.sock.close()

    def reset(self):
        backend.reset(self.sock)

    @property
    def local(self):
        return self.sock.getsockname()[:2]

    def line(self):
        """One line; ConnectionError if the input ends before."""
        while b"\n" not in self._in:
            data = self.sock.recv(4096)
            if not data:
                raise ConnectionError("closed before the answer")
            self._in += data
        line, _, self._in = self._in.partition(b"\n")
        return line

    def greeting(self):
        return json.loads(self.line())

    def command(self, text):
        self.sock.sendall(text.encode() + b"\n")

    def echo(self, data):
        """Send data after an `echo` command and return as much."""
        self.sock.sendall(data)
        while len(self._in) < len(data):
            got = self.sock.recv(1 << 16)
            if not got:
                raise ConnectionError("closed in the middle of an echo")
            self._in += got
        answer, self._in = self._in[:len(data)], self._in[len(data):]
        return answer

    def rest(self):
        """What was read beyond the lines asked for."""
        return self._in

    def read_all(self):
        """(bytes, sha256) of all input up to its end."""
        digest, n = hashlib.sha256(self._in), len(self._in)
        self._in = b""
        while True:
            data = self.sock.recv(1 << 18)
            if not data:
                return n, digest.hexdigest()
            digest.update(data)
            n += len(data)

    def send_pattern(self, n):
        for block in backend.pattern(n):
            self.sock.sendall(block)

    def end_output(self):
        self.sock.shutdown(socket.SHUT_WR)

    def at_end(self):
        """Wait for the end of the input: "closed" or "reset"."""
        try:
            while self.sock.recv(1 << 16):
                pass
            return "closed"
        except ConnectionResetError:
            return "reset"


def ask_tcp(host, addr, port, timeout_s=TIMEOUT_S):
    with Connection(host, addr, port, timeout_s) as c:
        return c.greeting()


def ask_udp(host, addr, port, timeout_s=TIMEOUT_S):
    """One answer; the question is repeated, as UDP may lose it."""
    s = _socket(host, family_of(addr), socket.SOCK_DGRAM)
    try:
        s.connect((addr, port))
        s.settimeout(0.25)
        end = time.monotonic() + timeout_s
        while True:
            try:
                s.send(b"?\n")
                return json.loads(s.recv(2048))
            except TimeoutError:
                if time.monotonic() >= end:
                    raise
    finally:
        s.close()


def ask(host, addr, port, proto="TCP", timeout_s=TIMEOUT_S):
    """The greeting of whoever answers at addr:port."""
    function = ask_tcp if proto == "TCP" else ask_udp
    return function(host, addr, port, timeout_s)


def outcome(host, addr, port, proto="TCP", timeout_s=3.0):
    """"answered", "refused", "reset", "silent" or "unreachable"."""
    try:
        ask(host, addr, port, proto, timeout_s)
        return "answered"
    except (ConnectionRefusedError, PermissionError):
        # EPERM: what a sender on the node itself is told of a UDP reject.
        return "refused"
    except ConnectionResetError:
        return "reset"
    except TimeoutError:
        return "silent"
    except OSError:
        return "unreachable"


def names(host, addr, port, n, proto="TCP"):
    """The names of the backends that answer n times."""
    return [ask(host, addr, port, proto)["name"] for _ in range(n)]
