"""A SunSpec device for the system tests: the image that pysunspec2 makes of its own test device.

Unit 1 answers at holding register 40000. The first line on stdout is JSON:

    {"listen": "127.0.0.1:PORT", "models": FOLDER, "found": [[id, start, length], ...],
     "points": [{"model": id, "path": "Crv_1_Pt_2_V", "type": "uint16", "value": cvalue}, ...]}

`value` is what pysunspec2 itself computes (`cvalue`), null where it says "not implemented";
addresses that it gives as text are told as the number that their registers hold.
"""

import argparse
import asyncio
import json
import os
import struct
import sys

import sunspec2
from pymodbus.datastore import (
    ModbusDeviceContext,
    ModbusSequentialDataBlock,
    ModbusServerContext,
)
from pymodbus.server import ModbusTcpServer
from sunspec2.file.client import FileClientDevice

BASE = 40000
FOLDER = os.path.dirname(sunspec2.__file__)


def points(group, prefix):
    for name, point in group.points.items():
        yield prefix + name, point
    for name, inner in group.groups.items():
        if isinstance(inner, list):
            for number, one in enumerate(inner, 1):
                yield from points(one, f"{prefix}{name}_{number}_")
        else:
            yield from points(inner, f"{prefix}{name}_")


def value(point):
    if point.value is not None and point.pdef["type"] in ("ipaddr", "eui48"):
        return int.from_bytes(point.get_mb(), "big")
    return point.cvalue


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="device_1547.json")
    options = parser.parse_args()

    device = FileClientDevice(os.path.join(FOLDER, "tests", "test_data", options.device))
    device.scan()
    image, found, told = b"SunS", [], []
    for model in device.model_list:
        start = BASE + len(image) // 2
        body = model.get_mb()
        image += body
        found.append([model.model_id, start, len(body) // 2 - 2])
        for path, point in points(model, ""):
            kind = point.pdef["type"]
            told.append(
                {"model": model.model_id, "path": path, "type": kind, "value": value(point)}
            )
    if not image.endswith(b"\xff\xff\x00\x00"):
        image += b"\xff\xff\x00\x00"
    words = list(struct.unpack(f">{len(image) // 2}H", image))

    # A block starts at PDU address + 1.
    registers = ModbusSequentialDataBlock(BASE + 1, words)
    context = ModbusServerContext(devices={1: ModbusDeviceContext(hr=registers)}, single=False)
    server = ModbusTcpServer(context, address=("127.0.0.1", 0))
    await server.listen()
    port = server.transport.sockets[0].getsockname()[1]
    models = os.path.join(FOLDER, "models", "json")
    line = {"listen": f"127.0.0.1:{port}", "models": models, "found": found, "points": told}
    print(json.dumps(line), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(0)
