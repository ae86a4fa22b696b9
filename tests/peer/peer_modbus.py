"""Modbus TCP as a server, with the standard library alone: functions 3 and 16, one thread a connection.

A request is answered whole, between two scans of the program, never in the middle of one. What each connection
writes is told, so that whoever watches can say which controller it came from.
"""

import contextlib
import socketserver
import struct
import threading
from collections.abc import Callable, Sequence
from typing import Any

READ, WRITE = 3, 16
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3


class Registers:
    """Holding registers; one that nobody has set is 0. `lock` is held for a scan, and for a request."""

    def __init__(self) -> None:
        self.words: dict[int, int] = {}
        self.lock = threading.RLock()

    def read(self, first: int, count: int) -> list[int]:
        return [self.words.get(first + n, 0) for n in range(count)]

    def write(self, first: int, words: Sequence[int]) -> None:
        self.words.update({first + n: word & 0xFFFF for n, word in enumerate(words)})


class Server(socketserver.ThreadingTCPServer):
    """Serves registers.

    Args:
        may_write: whether a client may write there: first register and count.
        say: told of each connection, of each write, and of each request that is refused.
        most: registers that a request may ask for.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(
        self, port: int, registers: Registers, may_write: Callable[[int, int], bool], say: Callable[..., None],
        most: int = 125,
    ) -> None:  # fmt: skip
        self.registers, self.may_write, self.say = registers, may_write, say
        self.exceptions: dict[int, int] = {}
        """Function → the exception that answers it, as long as it stands here."""
        self.deaf = threading.Event()
        """Requests are taken and not answered."""
        self.most = most
        self.connections = 0
        self.open: dict[int, Any] = {}
        super().__init__(("127.0.0.1", port), Connection)

    def begin(self) -> None:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def drop(self) -> None:
        """End every connection, as a bad cable does."""
        for sock in list(self.open.values()):
            with contextlib.suppress(OSError):
                sock.shutdown(2)


class Connection(socketserver.BaseRequestHandler):
    """One client."""

    server: Server

    def handle(self) -> None:
        server = self.server
        with server.registers.lock:
            server.connections += 1
            number = server.connections
        server.open[number] = self.request
        server.say("connection", number=number)
        with contextlib.suppress(OSError, EOFError):
            while True:
                head = self._read(8)
                transaction, protocol, length, unit, function = struct.unpack(">HHHBB", head)
                body = self._read(length - 2)
                if server.deaf.is_set():
                    continue
                answer = self._answer(number, function, body)
                self.request.sendall(struct.pack(">HHHB", transaction, protocol, 1 + len(answer), unit) + answer)
        del server.open[number]

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.request.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def _answer(self, number: int, function: int, body: bytes) -> bytes:
        server = self.server
        with server.registers.lock:
            if function in server.exceptions:
                server.say("refused", connection=number, function=function)
                return bytes([function | 0x80, server.exceptions[function]])
            if function == READ:
                first, count = struct.unpack(">HH", body)
                if count > server.most:
                    server.say("too_many", first=first, count=count)
                    return bytes([READ | 0x80, ILLEGAL_VALUE])
                words = server.registers.read(first, count)
                return bytes([READ, 2 * count]) + struct.pack(f">{count}H", *words)
            if function == WRITE:
                first, count = struct.unpack(">HH", body[:4])
                words = list(struct.unpack(f">{count}H", body[5:]))
                if not server.may_write(first, count):
                    server.say("bad_write", address=first, count=count)
                    return bytes([WRITE | 0x80, ILLEGAL_ADDRESS])
                server.registers.write(first, words)
                server.say("write", connection=number, first=first, words=words)
                return bytes([WRITE]) + body[:4]
        return bytes([function | 0x80, ILLEGAL_FUNCTION])
