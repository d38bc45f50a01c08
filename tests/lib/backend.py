# SPDX-License-Identifier: GPL-2.0-or-later
"""TCP and UDP backends, all served by one thread of the test process.

A TCP backend first sends one line of JSON: {"name", "peer", "port"} = who
answers, and the address and port that it sees.  The client may then send one
line, a command:

  echo     what follows comes back; end of input ends the output
  bulk N   N bytes of pattern(), then the end
  sink     after the end of input one line of JSON: {"bytes", "sha256"}
  reset    the connection is reset
  hold     nothing is sent, nothing is closed

A UDP backend answers each datagram with the same line of JSON.
"""
import hashlib
import itertools
import json
import os
import random
import selectors
import socket
import struct
import threading

_BLOCK = random.Random(20).randbytes(1 << 20)


def pattern(n):
    """n bytes, the same on each call, as blocks."""
    full, rest = divmod(n, len(_BLOCK))
    yield from itertools.repeat(_BLOCK, full)
    if rest:
        yield _BLOCK[:rest]


def pattern_sha256(n):
    h = hashlib.sha256()
    for block in pattern(n):
        h.update(block)
    return h.hexdigest()


def plain(addr):
    """An address without the ::ffff: of a dual-stack socket."""
    return addr[7:] if addr.startswith("::ffff:") else addr


def reset(sock):
    """Close with RST instead of FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))
    sock.close()


class _Engine:
    """One thread, one selector; sockets carry their handler."""

    def __init__(self):
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._todo = []
        self._wake_r, self._wake_w = os.pipe()
        os.set_blocking(self._wake_r, False)
        self._selector.register(self._wake_r, selectors.EVENT_READ, None)
        threading.Thread(target=self._loop, daemon=True,
                         name="backends").start()

    def call(self, function):
        """Run function on the thread and wait for its end."""
        done = threading.Event()
        with self._lock:
            self._todo.append((function, done))
        os.write(self._wake_w, b"x")
        done.wait()

    def watch(self, sock, events, handler):
        if sock.fileno() < 0:
            return
        try:
            if events:
                self._selector.modify(sock, events, handler)
            else:
                self._selector.unregister(sock)
        except KeyError:
            if events:
                self._selector.register(sock, events, handler)

    def forget(self, sock):
        try:
            self._selector.unregister(sock)
        except (KeyError, ValueError):
            pass

    def _loop(self):
        while True:
            for key, events in self._selector.select():
                if key.data is None:
                    os.read(self._wake_r, 4096)
                    continue
                key.data(events)
            with self._lock:
                todo, self._todo = self._todo, []
            for function, done in todo:
                function()
                done.set()


_engine = None


def engine():
    global _engine
    if _engine is None:
        _engine = _Engine()
    return _engine


class _Connection:
    """The backend's end of one TCP connection."""

    def __init__(self, backend, sock, peer):
        self.backend = backend
        self.sock = sock
        self.peer = (plain(peer[0]), peer[1])
        self.command = None
        self._line = b""
        self._out = [backend.greeting(peer)]
        self._blocks = iter(())
        self._eof_in = False
        self._end_out = False
        self._digest = hashlib.sha256()
        self._bytes = 0
        sock.setblocking(False)
        self._pump()

    def close(self):
        engine().forget(self.sock)
        self.sock.close()
        self.backend.open.discard(self)

    def reset(self):
        engine().forget(self.sock)
        reset(self.sock)
        self.backend.open.discard(self)

    @property
    def ended(self):
        """Whether the client has ended its output."""
        return self._eof_in

    @property
    def dead(self):
        """Whether the kernel has ended it: tcpi_state is TCP_CLOSE."""
        return self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO,
                                    1)[0] == 7

    def say(self, data):
        """Send data now, whatever was commanded."""
        def send():
            self._out.append(data)
            self._pump()
        engine().call(send)

    def on_event(self, _events):
        if not self._eof_in:
            self._read()
        if self.sock.fileno() >= 0:
            self._pump()

    def _read(self):
        try:
            data = self.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            self.backend.resets_n += 1
            self.close()
            return
        if not data:
            self._eof_in = True
            self._on_eof()
        elif self.command is None:
            self._on_command(data)
        else:
            self._on_data(data)

    def _on_command(self, data):
        self._line += data
        line, newline, rest = self._line.partition(b"\n")
        if not newline:
            return
        self.command, *args = line.decode().split()
        if self.command == "reset":
            self.reset()
        elif self.command == "bulk":
            self._blocks = pattern(int(args[0]))
            self._end_out = True
        elif rest:
            self._on_data(rest)

    def _on_data(self, data):
        if self.command == "echo":
            self._out.append(data)
        elif self.command == "sink":
            self._digest.update(data)
            self._bytes += len(data)

    def _on_eof(self):
        self.backend.eofs_n += 1
        if self.command == "sink":
            answer = {"bytes": self._bytes,
                      "sha256": self._digest.hexdigest()}
            self._out.append(json.dumps(answer).encode() + b"\n")
        if self.command != "hold":
            self._end_out = True

    def _pump(self):
        while True:
            if not self._out:
                block = next(self._blocks, None)
                if block is None:
                    break
                self._out.append(block)
            try:
                n = self.sock.send(self._out[0])
            except BlockingIOError:
                break
            except OSError:
                self.backend.resets_n += 1
                self.close()
                return
            rest = memoryview(self._out.pop(0))[n:]
            if rest:
                self._out.insert(0, rest)
        if not self._out and self._end_out:
            if self._eof_in:
                self.close()
                return
            if self._end_out != "sent":
                self._end_out = "sent"
                try:
                    self.sock.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
        # An echo that is not taken stops the reading, as back-pressure must.
        events = 0
        if not self._eof_in and len(self._out) < 16:
            events |= selectors.EVENT_READ
        if self._out:
            events |= selectors.EVENT_WRITE
        engine().watch(self.sock, events, self.on_event)


class Backend:
    """One port of one pod; its bad days are methods."""

    def __init__(self, ns, port, proto="TCP", name="backend"):
        self.ns = ns
        self.port = port
        self.proto = proto
        self.name = name
        self.accepted_n = 0
        self.resets_n = 0
        self.eofs_n = 0
        self.open = set()
        self.reset_on_accept = False
        self.closed = False
        self._listener = None
        self._dropping = False
        self.listen()

    def greeting(self, peer):
        return json.dumps({"name": self.name, "peer": plain(peer[0]),
                           "port": peer[1]}).encode() + b"\n"

    def listen(self):
        """Serve; also again after refuse()."""
        if self._listener is not None:
            return
        kind = (socket.SOCK_STREAM if self.proto == "TCP"
                else socket.SOCK_DGRAM)
        with self.ns.enter():
            s = socket.socket(socket.AF_INET6, kind)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.bind(("::", self.port))
        if self.proto == "TCP":
            s.listen(1024)
        else:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        s.setblocking(False)
        self._listener = s
        handler = self._on_accept if self.proto == "TCP" else self._on_datagram
        engine().call(lambda: engine().watch(s, selectors.EVENT_READ, handler))

    def refuse(self):
        """No listener: the kernel refuses; open connections go on."""
        s, self._listener = self._listener, None
        if s is None:
            return

        def stop():
            engine().forget(s)
            s.close()
        engine().call(stop)

    def drop(self):
        """Neither answer nor refusal, as behind a firewall."""
        if not self._dropping:
            self._dropping = True
            self.ns.nft(f"table inet silent-{self.port} {{\n"
                        "  chain input {\n"
                        "    type filter hook input priority 0\n"
                        f"    {self.proto.lower()} dport {self.port} drop\n"
                        "  }\n}\n")

    def undrop(self):
        if self._dropping:
            self._dropping = False
            self.ns.nft(f"delete table inet silent-{self.port}\n")

    def reset_all(self):
        """Reset every open connection."""
        engine().call(lambda: [c.reset() for c in list(self.open)])

    def close(self):
        self.closed = True
        self.refuse()
        engine().call(lambda: [c.close() for c in list(self.open)])

    def _on_accept(self, _events):
        for _ in range(64):
            try:
                sock, peer = self._listener.accept()
            except (BlockingIOError, AttributeError):
                return
            self.accepted_n += 1
            if self.reset_on_accept:
                reset(sock)
                continue
            connection = _Connection.__new__(_Connection)
            self.open.add(connection)
            connection.__init__(self, sock, peer)

    def _on_datagram(self, _events):
        try:
            _, ancillary, _, peer = self._listener.recvmsg(2048, 256)
            self.accepted_n += 1
            # The asked address answers, not the one that routing prefers.
            answer_from = [(level, kind, data[:16] + bytes(4))
                           for level, kind, data in ancillary
                           if kind == socket.IPV6_PKTINFO]
            self._listener.sendmsg([self.greeting(peer)], answer_from, 0, peer)
        except (BlockingIOError, AttributeError, OSError):
            pass
