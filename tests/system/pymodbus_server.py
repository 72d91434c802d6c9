"""A Modbus device for the system tests: known registers, known exceptions, bad habits.

It serves Modbus TCP on a free port; with --serial PATH, RTU or (--framer ascii) ASCII there.

Unit 1 answers. Its registers:

    ir:0..1    230.25 as f32, ABCD
    ir:2..3    230.25 as f32, CDAB
    ir:4       0x1234
    hr:0       7, can be written
    hr:1..2    -123456 as i32, ABCD
    hr:100     missing, with everything behind it: exception 2
    co:0       on, can be written
    di:0..2    on, off, on

With --close-after N the connection breaks in the middle of every Nth answer. Every Nth answer

    --truncate N   lacks its second half
    --alter N      has its third byte from the end changed: a wrong checksum on a line
    --extend N     is followed by two bytes that belong to nothing

With --refuse-function N it does not know function N: exception 1.

The first line on stdout is JSON: {"listen": "127.0.0.1:PORT"} or {"listen": "PATH"}.
"""

import argparse
import asyncio
import json
import struct
import sys

from pymodbus.datastore import (
    ModbusDeviceContext,
    ModbusSequentialDataBlock,
    ModbusServerContext,
)
from pymodbus.framer import FramerType
from pymodbus.pdu import DecodePDU, ExceptionResponse
from pymodbus.server import ModbusSerialServer, ModbusTcpServer


def words(kind: str, value: float) -> list[int]:
    return list(struct.unpack(">HH", struct.pack(">" + kind, value)))


def registers(values: list[int], size: int) -> ModbusSequentialDataBlock:
    # A block starts at PDU address + 1.
    return ModbusSequentialDataBlock(1, values + [0] * (size - len(values)))


def device() -> ModbusDeviceContext:
    voltage = words("f", 230.25)
    return ModbusDeviceContext(
        ir=registers([*voltage, *reversed(voltage), 0x1234], 50),
        hr=registers([7, *words("i", -123456)], 100),
        co=ModbusSequentialDataBlock(1, [True, False]),
        di=ModbusSequentialDataBlock(1, [True, False, True]),
    )


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--close-after", type=int, default=0)
    parser.add_argument("--serial", metavar="PATH")
    parser.add_argument("--framer", choices=["rtu", "ascii"], default="rtu")
    parser.add_argument("--baud", type=int, default=9600)
    for fault in FAULTS:
        parser.add_argument(f"--{fault}", type=int, metavar="N", default=0)
    parser.add_argument("--refuse-function", type=int, metavar="N")
    options = parser.parse_args()

    context = ModbusServerContext(devices={1: device()}, single=False)
    trace = injected({fault: getattr(options, fault) for fault in FAULTS})
    if options.serial:
        framer = FramerType(options.framer)
        server = ModbusSerialServer(
            context,
            framer=framer,
            port=options.serial,
            baudrate=options.baud,
            ignore_missing_devices=True,
            trace_packet=trace,
        )
        await server.listen()
        listen = options.serial
    else:
        refused = options.refuse_function
        server = ModbusTcpServer(
            context,
            address=("127.0.0.1", 0),
            custom_pdu=[refusing(refused)] if refused else None,
            trace_packet=trace,
        )
        await server.listen()
        port = server.transport.sockets[0].getsockname()[1]
        listen = f"127.0.0.1:{port}"

    if options.close_after:
        break_answers(server, options.close_after)

    print(json.dumps({"listen": listen}), flush=True)
    await asyncio.Event().wait()


def refusing(function: int) -> type:
    """The request of this function, with exception 1 for an answer."""
    request = DecodePDU.pdu_table[function][0]

    class Refusing(request):
        async def datastore_update(self, _context, _device_id):
            return ExceptionResponse(function, 1)

    return Refusing


FAULTS = {
    "truncate": lambda data: data[: len(data) // 2],
    "alter": lambda data: data[:-3] + bytes([data[-3] ^ 0x01]) + data[-2:],
    "extend": lambda data: data + b"\x00\xff",
}


def injected(every_by_fault: dict[str, int]):
    """A hook that spoils the answers whose turn it is."""
    sent = 0

    def trace_packet(sending: bool, data: bytes) -> bytes:
        nonlocal sent
        if not sending:
            return data
        sent += 1
        for fault, every in every_by_fault.items():
            if every and sent % every == 0:
                data = FAULTS[fault](data)
        return data

    return trace_packet


def break_answers(server: ModbusTcpServer, every: int) -> None:
    """Of every Nth answer only the first five bytes leave; then the connection is closed."""
    made = server.callback_new_connection
    sent = 0

    def callback_new_connection():
        handler = made()
        send = handler.low_level_send

        def broken_send(data: bytes, addr=None) -> None:
            nonlocal sent
            sent += 1
            if sent % every == 0:
                send(data[:5], addr)
                handler.close()
            else:
                send(data, addr)

        handler.low_level_send = broken_send
        return handler

    server.callback_new_connection = callback_new_connection


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(0)
