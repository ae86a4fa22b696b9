"""One Modbus TCP connection: supervised, one request at a time, errors as ours, never None.

* A dead link raises `LinkLost` at once; a Modbus exception raises `ModbusRefused`.
* A supervisor task connects and reconnects with a back-off of at most 5 s. It also covers the first connect,
  which the Modbus library gives up on when it is refused.
* A peer that accepts but does not answer costs one timeout for each request; after `SILENT_LIMIT` of them in
  a row the connection is dropped and made anew.
* No request is ever repeated here: a write without an answer may have arrived.
* A connection ends hard (reset), also that of a killed process: what has not left this machine by then never
  leaves it. What the network does not take within `SEND_LIMIT_S` ends the connection, also that of a stopped process.
* `read_only=True` refuses every write before it reaches the wire.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from robotics.modbus_link.config import MAX_READ, ModbusAddress
from robotics.modbus_link.quality import LinkMeter, LinkQuality
from robotics.modbus_link.registers import MAX_WRITE
from robotics.port import LinkLost, Refused

__all__ = ["LinkLost", "ModbusLink", "ModbusRefused", "Refused"]

SILENT_LIMIT = 3
"""Requests without an answer after which the connection is made anew."""
SEND_LIMIT_S = 2.0
"""Sent bytes that the other side has not confirmed after this time end the connection: less than the 3 s after which
a PLC gives its owner up."""
BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 5.0
EXCEPTIONS = {
    1: "illegal function",
    2: "illegal address",
    3: "illegal value",
    4: "device failure or wrong device id",
    5: "acknowledged, not finished",
    6: "device busy",
    10: "gateway path unavailable",
    11: "gateway target does not answer",
}

_log = logging.getLogger(__name__)


class ModbusRefused(Refused):
    """The device answered with a Modbus exception; 6 (busy) may be tried again later."""

    def __init__(self, message: str, exception_code: int) -> None:
        self.exception_code = exception_code
        super().__init__(message)


class ModbusLink:
    """A link to one Modbus TCP endpoint. Addresses are relative to `address.base_address`.

    Args:
        address: endpoint, device id, base address and time limit of one request.
        name: what log lines and messages call the device.
        read_only: refuse every write.
        backoff_s: first and longest wait between two connection attempts.
    """

    def __init__(
        self,
        address: ModbusAddress,
        *,
        name: str = "",
        read_only: bool = False,
        backoff_s: tuple[float, float] = (BACKOFF_FIRST_S, BACKOFF_MAX_S),
    ) -> None:
        self.address = address
        self.name = name or f"{address.host}:{address.port}"
        self.read_only = read_only
        self._backoff_s = backoff_s
        self._client: AsyncModbusTcpClient | None = None
        self._lock = asyncio.Lock()
        self._supervisor: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._down.set()
        self._silent = 0
        self._healthy: bool | None = None
        """Whether the last request or attempt succeeded; None before the first."""
        self._meter = LinkMeter(self.name)

    def quality(self) -> LinkQuality:
        """How well the link works."""
        return self._meter.quality(connected=self.connected)

    @property
    def connected(self) -> bool:
        """The TCP connection stands; whether the device answers only a request can tell."""
        return self._client is not None and bool(self._client.connected)

    async def connect(self) -> None:
        """Start supervising and try once; returns after that try, successful or not. May be called again."""
        if self._supervisor is not None:
            return
        # The library logs each failure itself; ours are logged once, below.
        logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)
        await self._attempt()
        self._supervisor = asyncio.create_task(self._supervise(), name=f"link {self.name}")

    async def wait_connected(self, timeout_s: float) -> bool:
        """Wait until the connection stands; False when the time is over."""
        try:
            await asyncio.wait_for(self._up.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def abort(self) -> None:
        """End the connection hard: what it has not delivered is thrown away. The supervisor makes a new one."""
        self._lost()

    async def close(self) -> None:
        """Stop supervising and close the connection."""
        task, self._supervisor = self._supervisor, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._drop()

    async def read(self, address: int, count: int) -> list[int]:
        """Holding registers.

        Raises:
            LinkLost: no connection or no answer in time.
            ModbusRefused: the device answered with an exception.
            ValueError: `count` is not 1…125.
        """
        if not 1 <= count <= MAX_READ:
            raise ValueError(f"{self.name}: {count} registers asked, allowed 1…{MAX_READ}")
        absolute = self.address.base_address + address
        what = f"reading {count} register(s) from {absolute}"

        def request(client: AsyncModbusTcpClient) -> Awaitable[ModbusPDU]:
            return client.read_holding_registers(absolute, count=count, device_id=self.address.device_id)

        response = await self._request(request, what)
        registers = list(response.registers)
        if len(registers) != count:
            self._failed(f"{what}: {len(registers)} registers answered", silent=False)
            raise LinkLost(f"{self.name}: {what}: {len(registers)} registers answered")
        return registers

    async def write(self, address: int, values: Sequence[int]) -> None:
        """Write holding registers in one request.

        Raises:
            LinkLost: no connection or no answer in time; the write may have arrived.
            ModbusRefused: the device answered with an exception.
            Refused: the link is read-only.
            ValueError: the number of values is not 1…123.
        """
        if not 1 <= len(values) <= MAX_WRITE:
            raise ValueError(f"{self.name}: {len(values)} registers to write, allowed 1…{MAX_WRITE}")
        absolute = self.address.base_address + address
        what = f"writing {len(values)} register(s) from {absolute}"
        if self.read_only:
            raise Refused(f"{self.name}: {what}: this link is read-only")
        payload = list(values)

        def request(client: AsyncModbusTcpClient) -> Awaitable[ModbusPDU]:
            return client.write_registers(absolute, payload, device_id=self.address.device_id)

        await self._request(request, what)

    async def _request(self, request: Callable[[AsyncModbusTcpClient], Awaitable[ModbusPDU]], what: str) -> ModbusPDU:
        async with self._lock:
            client = self._client
            if client is None or not client.connected:
                self._meter.request(None)
                raise LinkLost(f"{self.name}: {what}: not connected")
            task = asyncio.current_task()
            cancelled = task.cancelling() if task is not None else 0
            begun_s = self._meter.now_s()
            try:
                response = await request(client)
            except (ModbusException, OSError, TimeoutError) as error:
                self._meter.request(None)
                self._failed(f"{what}: {error}", silent=True)
                _end_if_cancelled(task, cancelled)
                raise LinkLost(f"{self.name}: {what}: {error}") from error
            # An answer that comes after its time, or after the caller was cancelled, carries an old
            # transaction number and is skipped by the library.
            self._silent = 0
            self._meter.request(self._meter.now_s() - begun_s, refused=response.isError())
            self._recovered()
            _end_if_cancelled(task, cancelled)
            if response.isError():
                code = int(getattr(response, "exception_code", 0))
                meaning = EXCEPTIONS.get(code, "unknown exception")
                raise ModbusRefused(f"{self.name}: {what}: Modbus exception {code} ({meaning})", code)
            return response

    def _failed(self, reason: str, *, silent: bool) -> None:
        level = logging.DEBUG if self._healthy is False else logging.ERROR
        self._healthy = False
        _log.log(level, "%s: %s", self.name, reason)
        self._silent = self._silent + 1 if silent else 0
        if self._silent >= SILENT_LIMIT or not self.connected:
            self._lost()

    def _recovered(self) -> None:
        if self._healthy is False:
            _log.info("%s: link works again", self.name)
        self._healthy = True

    def _lost(self) -> None:
        self._drop()
        self._down.set()

    def _drop(self) -> None:
        client, self._client = self._client, None
        self._silent = 0
        self._up.clear()
        if client is not None:
            if isinstance(client.ctx.transport, asyncio.WriteTransport):
                client.ctx.transport.abort()  # what waits in this process is not sent any more
            client.close()

    async def _attempt(self) -> bool:
        # A client of its own for each connection: no state of the old one survives.
        client = AsyncModbusTcpClient(
            self.address.host,
            port=self.address.port,
            timeout=self.address.timeout_s,
            retries=0,
            reconnect_delay=0,
            name=self.name,
            trace_connect=self._traced,
        )
        if not await client.connect():
            self._failed("no connection", silent=False)
            client.close()
            return False
        try:
            _end_hard(client)
        except OSError as error:
            self._failed(f"connection gone again: {error}", silent=False)
            client.close()
            return False
        self._client = client
        self._silent = 0
        self._meter.connection()
        self._down.clear()
        self._up.set()
        return True

    def _traced(self, connected: bool) -> None:
        if not connected:
            self._down.set()

    async def _supervise(self) -> None:
        first_s, max_s = self._backoff_s
        wait_s = first_s
        # `close` clears the task first: a cancellation can be lost inside the library's connect (Python 3.11
        # `wait_for` drops it when the attempt ends in the same instant).
        while self._supervisor is not None:
            if self.connected:
                wait_s = first_s
                await self._down.wait()
            if self._client is not None:
                self._failed("connection closed by the device", silent=False)
                self._drop()
            await asyncio.sleep(wait_s)
            if not await self._attempt():
                wait_s = min(wait_s * 2, max_s)


def _end_hard(client: AsyncModbusTcpClient) -> None:
    """Whoever closes the connection, the process or the kernel after its death, throws away what is not delivered.

    Raises OSError when the connection has ended already.
    """
    transport: asyncio.BaseTransport | None = client.ctx.transport
    if transport is None:
        raise OSError("closed by the device")
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; elsewhere the silence of the device ends the connection
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(SEND_LIMIT_S * 1000))


def _end_if_cancelled(task: asyncio.Task[object] | None, before: int) -> None:
    """The library loses a cancellation that comes in the same instant as an answer or an error."""
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
