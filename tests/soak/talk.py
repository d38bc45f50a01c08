# SPDX-License-Identifier: GPL-2.0-or-later
"""The conversations of a mixed load, each with backend.py's protocol.

Each is a function of a fresh client.Connection and of random numbers.  It
raises Wrong when what arrived is not exactly what was said: another byte, one
too few or too many, or an end in order where there was none; and the
ConnectionResetError of the socket as it comes.
"""
import hashlib
import json
import select
import socket
import time

from lib import backend

_NOISE = next(backend.pattern(1 << 20))
LONG_BYTES = 1 << 20


class Wrong(Exception):
    """Something that no network may do to a TCP connection."""


def _expect(seen, wanted, what):
    if seen != wanted:
        raise Wrong(f"{what}: {seen!r} instead of {wanted!r}")


def _noise(rnd, n):
    start = rnd.randrange(len(_NOISE) - n + 1)
    return _NOISE[start:start + n]


def _pause(rnd, most_s):
    """The user thinks; nothing waits for this."""
    time.sleep(rnd.uniform(0, most_s))


def _length(rnd):
    """Short ones are the most, as everywhere."""
    return int(2 ** rnd.uniform(0, 20))


def _greeting(c):
    """Its absence is an end before anything was said."""
    try:
        return c.greeting()
    except (ConnectionResetError, BrokenPipeError):
        raise
    except ConnectionError as e:
        raise Wrong(f"no greeting: {e}") from None


def _end(c, wanted="closed"):
    _expect(c.at_end(), wanted, "the end")


def short(c, rnd):
    """Questions and answers, then an end that the client begins."""
    _greeting(c)
    c.command("echo")
    for _ in range(rnd.randint(1, 6)):
        data = _noise(rnd, rnd.randint(1, 3000))
        try:
            _expect(c.echo(data) == data, True, "an echo is the same")
        except (ConnectionResetError, BrokenPipeError):
            raise
        except ConnectionError as e:
            raise Wrong(str(e)) from None
    c.end_output()
    _end(c)


def idle(c, rnd):
    """Short, with a long thought in the middle."""
    _greeting(c)
    c.command("echo")
    _pause(rnd, 1.5)
    data = _noise(rnd, 100)
    _expect(c.echo(data) == data, True, "an echo is the same")
    c.end_output()
    _end(c)


def upload(c, rnd):
    """Parts of any size, with pauses; the checksum comes back."""
    _greeting(c)
    c.command("sink")
    digest, left = hashlib.sha256(), _length(rnd)
    wanted = left
    while left:
        part = _noise(rnd, min(left, _length(rnd)))
        c.sock.sendall(part)
        digest.update(part)
        left -= len(part)
        if rnd.random() < 0.1:
            _pause(rnd, 0.02)
    c.end_output()
    try:
        told = json.loads(c.line())
    except (ConnectionResetError, BrokenPipeError):
        raise
    except ConnectionError as e:
        raise Wrong(f"no checksum: {e}") from None
    _expect((told["bytes"], told["sha256"]), (wanted, digest.hexdigest()),
            "what was uploaded")
    _end(c)


def _download(c, rnd, pause_s):
    n = _length(rnd)
    c.command(f"bulk {n}")
    _greeting(c)
    digest, got = hashlib.sha256(c.rest()), len(c.rest())
    while True:
        data = c.sock.recv(rnd.randint(1, 1 << 17))
        if not data:
            break
        digest.update(data)
        got += len(data)
        if pause_s and rnd.random() < 0.2:
            _pause(rnd, pause_s)
    _expect((got, digest.hexdigest()), (n, backend.pattern_sha256(n)),
            "what was downloaded")


def download(c, rnd):
    """The command is sent before the greeting was read."""
    _download(c, rnd, 0)


def slow_reader(c, rnd):
    """With a small window, and pauses."""
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    _download(c, rnd, 0.02)


def half_close(c, rnd):
    """All is said before the first byte of the answer was read."""
    c.command("echo")
    data = _noise(rnd, rnd.randint(1, 30000))
    c.sock.sendall(data)
    c.end_output()
    _greeting(c)
    n, digest = c.read_all()
    _expect((n, digest), (len(data), hashlib.sha256(data).hexdigest()),
            "what came back after the end")


def both_ways(c, rnd):
    """A long echo: each side sends while it reads."""
    _greeting(c)
    c.command("echo")
    data = memoryview(_noise(rnd, _length(rnd)))
    sent, got, digest = 0, 0, hashlib.sha256()
    poll = select.poll()
    poll.register(c.sock, select.POLLIN | select.POLLOUT)
    ended = False
    while got < len(data):
        (_, events), = poll.poll(c.sock.gettimeout() * 1000) or [(0, 0)]
        if not events:
            raise TimeoutError("an echo stands still")
        if events & select.POLLOUT and sent < len(data):
            sent += c.sock.send(data[sent:sent + (1 << 16)],
                                socket.MSG_DONTWAIT)
        if sent == len(data) and not ended:
            ended = True
            c.end_output()
            poll.modify(c.sock, select.POLLIN)
        if events & ~select.POLLOUT:
            part = c.sock.recv(1 << 16)
            _expect(bool(part), True, "an echo goes on")
            digest.update(part)
            got += len(part)
    _expect(digest.hexdigest(), hashlib.sha256(data).hexdigest(),
            "a long echo")
    _end(c)


def client_resets(c, rnd):
    """In the middle of a download."""
    c.command(f"bulk {LONG_BYTES}")
    if rnd.random() < 0.7:
        c.sock.recv(rnd.randint(1, 1 << 16))
    c.reset()


def client_leaves(c, rnd):
    """Closes with bytes that nobody has read."""
    c.command(f"bulk {_length(rnd)}")
    if rnd.random() < 0.5:
        c.sock.recv(1)


def backend_resets(c, rnd):
    """What had been said is seen, then a reset."""
    del rnd
    _greeting(c)
    c.command("reset")
    _end(c, "reset")


def says_nothing(c, rnd):
    """Connected, and gone."""
    if rnd.random() < 0.5:
        _pause(rnd, 0.05)


def timed_out(c, rnd):
    """A silence that the Service's settings end, on both sides."""
    _greeting(c)
    c.command("hold")
    if rnd.random() < 0.5:
        c.end_output()
    _end(c, "reset")


# How often, out of 100.
KINDS = {short: 34, half_close: 12, upload: 10, download: 10, both_ways: 6,
         slow_reader: 6, idle: 6, client_resets: 6, client_leaves: 4,
         backend_resets: 3, says_nothing: 3}
BRIEF_KINDS = {timed_out: 80, short: 20}
