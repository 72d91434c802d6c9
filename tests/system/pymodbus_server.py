"""A Modbus TCP device for the system tests: known registers, known exceptions, a bad habit.

Unit 1 answers. Its registers:

    ir:0..1    230.25 as f32, ABCD
    ir:2..3    230.25 as f32, CDAB
    ir:4       0x1234
    hr:0       7, can be written
    hr:1..2    -123456 as i32, ABCD
    hr:100     missing, with everything behind it: exception 2
    co:0       on, can be written
    di:0..2    on, off, on

With --close-after N the connection breaks in the middle of every Nth answer.
The first line on stdout is JSON: {"listen": "127.0.0.1:PORT"}.
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
from pymodbus.server import ModbusTcpServer


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
    options = parser.parse_args()

    context = ModbusServerContext(devices={1: device()}, single=False)
    server = ModbusTcpServer(context, address=("127.0.0.1", 0))
    await server.listen()
    port = server.transport.sockets[0].getsockname()[1]

    if options.close_after:
        break_answers(server, options.close_after)

    print(json.dumps({"listen": f"127.0.0.1:{port}"}), flush=True)
    await asyncio.Event().wait()


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
