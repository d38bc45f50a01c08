# SPDX-License-Identifier: GPL-2.0-or-later
"""Flows that last over the steps of a case: one socket, one source port."""
import errno
import socket

from lib import client

import probe


class UdpFlow(probe.UdpAsk):
    """Datagrams of one socket; put again in each step."""

    def rewind(self):
        self.result = None

    def _socket(self):
        if self.sock is None:
            return super()._socket()
        self._forget_late_answers()
        return self.sock

    def _forget_late_answers(self):
        """What came after the last step was over, errors as well."""
        while True:
            try:
                self.sock.recv(2048)
            except BlockingIOError:
                return
            except OSError:
                pass

    def close(self):
        pass

    def end_of_case(self):
        super().close()


class TcpFlow:
    """A connection that echoes; it stays with who answered it first."""

    def __init__(self, host, to, source):
        self.result = None
        self._greeting = None
        self._connection = None
        try:
            self._connection = client.Connection(
                host, *to, timeout_s=probe.SILENT_S,
                source=(source, 0) if source else None)
            self._greeting = self._connection.greeting()
            self._connection.command("echo")
        except OSError as e:
            self._fail(e)

    def ask(self):
        """Whether it is still alive, as a result of probe.Ask."""
        if self._greeting is None:
            return
        try:
            self._connection.echo(b"!\n")
            self.result = ("answered", self._greeting)
        except OSError:
            self.result = "broken"

    def _fail(self, e):
        self._greeting = None
        self.result = ("silent" if isinstance(e, (TimeoutError,
                                                  socket.timeout)) else
                       "refused" if e.errno == errno.ECONNREFUSED else
                       "broken")

    def end_of_case(self):
        if self._connection is not None:
            self._connection.close()
