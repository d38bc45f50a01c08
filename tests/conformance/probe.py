# SPDX-License-Identifier: GPL-2.0-or-later
"""Thousands of single questions to frontends, many at the same time.

An Ask is one packet or connection.  Its result is ("answered", greeting), or
one of the words: "refused", "refused-late" (only at the second SYN: the
refusal of the first one was lost), "reset", "silent", "unreachable".
"""
import errno
import json
import os
import random
import selectors
import socket
import time

from lib import client

import sctp

# The retransmission of a SYN comes after 1 s.
SILENT_S = 1.8
RESEND_S = 0.4
AT_ONCE = 256
_TCPI_TOTAL_RETRANS = 100  # offset in struct tcp_info


class Ask:
    """One question; subclasses say how it is put."""

    kind = socket.SOCK_DGRAM

    def __init__(self, host, to, source=None):
        self.host = host
        self.addr, self.port = to
        self.family = client.family_of(self.addr)
        self.source = source
        self.sock = None
        self.result = None
        self.end = self.resend = 0

    def open(self, now):
        """The calling thread is in the client's namespace."""
        self.end = now + SILENT_S
        self.resend = now + RESEND_S
        self.sock = self._socket()
        self.sock.setblocking(False)
        try:
            if self.source:
                self.sock.bind((self.source, 0))
            self.sock.connect((self.addr, self.port))
            self.send()
        except BlockingIOError:
            pass
        except OSError as e:
            self.failed(e)

    def _socket(self):
        return socket.socket(
            socket.AF_INET if self.family == 4 else socket.AF_INET6,
            self.kind)

    def send(self):
        try:
            self.sock.send(b"?\n")
        except PermissionError:
            # Dropped on its way out of this very host: the same for drop and
            # for reject, of which an ICMP message tells as well.
            pass

    def answered(self, greeting):
        self.result = ("answered", greeting)

    def failed(self, e):
        words = {errno.ECONNREFUSED: "refused", errno.ECONNRESET: "reset"}
        self.result = words.get(e.errno, "unreachable")

    def tick(self, now):
        if now >= self.end:
            self.result = "silent"
        elif now >= self.resend:
            self.resend = now + RESEND_S
            try:
                self.again()
            except OSError as e:
                self.failed(e)

    def again(self):
        self.send()

    def on_event(self, _events):
        try:
            self.answered(json.loads(self.sock.recv(2048)))
        except BlockingIOError:
            pass
        except OSError as e:
            self.failed(e)

    def close(self):
        if self.sock is not None:
            self.sock.close()


class UdpAsk(Ask):
    """A datagram and its answer."""


class TcpAsk(Ask):
    """A connection up to the greeting."""

    kind = socket.SOCK_STREAM

    def __init__(self, *args):
        super().__init__(*args)
        self._in = b""

    def send(self):
        pass

    def on_event(self, _events):
        try:
            data = self.sock.recv(4096)
        except BlockingIOError:
            return
        except OSError as e:
            self.failed(e)
            if self.result == "refused" and self._retransmitted():
                self.result = "refused-late"
            return
        self._in += data
        if not data:
            self.result = "reset"
        elif b"\n" in self._in:
            self.answered(json.loads(self._in))

    def _retransmitted(self):
        info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        return int.from_bytes(info[_TCPI_TOTAL_RETRANS:], "little") > 0


class HttpAsk(TcpAsk):
    """GET of a health check port."""

    def on_event(self, events):
        if events & selectors.EVENT_WRITE:
            try:
                self.sock.send(b"GET / HTTP/1.1\r\nHost: node\r\n"
                               b"Connection: close\r\n\r\n")
            except BlockingIOError:
                return
            except OSError as e:
                self.failed(e)
            return
        try:
            data = self.sock.recv(4096)
        except OSError as e:
            if not isinstance(e, BlockingIOError):
                self.failed(e)
            return
        self._in += data
        if not data and self._in:
            self.answered(self._told())
        elif not data:
            self.result = "reset"

    def _told(self):
        head, _, body = self._in.decode().partition("\r\n\r\n")
        lines = head.split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        body = body[body.find("{"):body.rfind("}") + 1]
        told = json.loads(body or "{}")
        return {"code": int(lines[0].split()[1]),
                "endpoints": told.get("localEndpoints"),
                "weight": headers.get("x-load-balancing-endpoint-weight")}


class SctpAsk(Ask):
    """INIT and its answer."""

    def __init__(self, *args):
        super().__init__(*args)
        self._sport = random.randint(20000, 60000)
        self._tag = int.from_bytes(os.urandom(4), "big") | 1

    def _socket(self):
        return sctp.raw_socket(self.family)

    def open(self, now):
        port, self.port = self.port, 0 if self.family == 6 else self.port
        try:
            super().open(now)
        finally:
            self.port = port
        if self.result is None:
            self._first()

    def _first(self):
        try:
            self.again()
        except OSError as e:
            self.failed(e)

    def send(self):
        pass

    def again(self):
        try:
            self.sock.send(sctp.init(self._sport, self.port, self._tag))
        except PermissionError:
            pass

    def on_event(self, _events):
        try:
            data = sctp.without_ip_header(self.family, self.sock.recv(2048))
        except BlockingIOError:
            return
        except OSError as e:
            self.failed(e)
            return
        greeting = sctp.cookie(data, self._sport, self.port, self._tag)
        if greeting:
            self.answered(greeting)


KINDS = {"tcp": TcpAsk, "udp": UdpAsk, "sctp": SctpAsk, "http": HttpAsk}


def run(asks):
    """Put all questions and wait for their results."""
    todo = list(reversed(asks))
    selector = selectors.DefaultSelector()
    open_asks = set()

    def done(ask):
        selector.unregister(ask.sock)
        open_asks.discard(ask)
        ask.close()

    while todo or open_asks:
        _open_some(todo, selector, open_asks)
        for key, events in selector.select(0.05 if open_asks else 0):
            ask = key.data
            ask.on_event(events)
            if ask.result is not None:
                done(ask)
            elif events & selectors.EVENT_WRITE:
                selector.modify(ask.sock, selectors.EVENT_READ, ask)
        now = time.monotonic()
        for ask in [a for a in open_asks if now >= min(a.end, a.resend)]:
            ask.tick(now)
            if ask.result is not None:
                done(ask)
    selector.close()


def _open_some(todo, selector, open_asks):
    """Open up to the limit, entering a namespace once for each run of
    questions from it."""
    while todo and len(open_asks) < AT_ONCE:
        host = todo[-1].host
        with host.ns.enter():
            while (todo and todo[-1].host is host and
                   len(open_asks) < AT_ONCE):
                ask = todo.pop()
                ask.open(time.monotonic())
                if ask.result is not None:
                    ask.close()
                    continue
                events = selectors.EVENT_READ
                if isinstance(ask, HttpAsk):
                    events |= selectors.EVENT_WRITE
                selector.register(ask.sock, events, ask)
                open_asks.add(ask)
