"""A CoAP device for the system tests, by aiocoap: the resources of the firmware examples.

It serves CoAP on a free port of 127.0.0.1, or on --port N.

    /temp      text/plain, 21.5
    /sensors   application/senml+json, a pack of temp, hum and count
    /cbor      application/cbor, {"a": {1: 18446744073709551615}}
    /count     text/plain, counts up every --tick seconds; observable
    /led       text/plain, 0 or 1, can be put
    /large     application/json, longer than a block
    /.well-known/core lists them

With --resources N there are /r/0 to /r/N-1 besides, text/plain, observable, each of which changes
once in --tick seconds.

The first line on stdout is JSON: {"listen": "127.0.0.1:PORT"}.
"""

import argparse
import asyncio
import json
import os
import socket

# UDP alone: a free port of it may be another's on TCP.
os.environ["AIOCOAP_SERVER_TRANSPORT"] = "udp6"

import aiocoap
from aiocoap import resource

SENML_JSON = 110
CBOR = 60
JSON = 50


class Fixed(resource.Resource):
    """A resource that is always the same."""

    def __init__(self, payload, content_format):
        super().__init__()
        self.payload, self.content_format = payload, content_format

    async def render_get(self, request):
        return aiocoap.Message(payload=self.payload, content_format=self.content_format)


class Counter(resource.ObservableResource):
    """A number that counts, and tells whoever observes it."""

    def __init__(self):
        super().__init__()
        self.value = 0

    def tick(self):
        self.value += 1
        self.updated_state()

    async def render_get(self, request):
        return aiocoap.Message(payload=str(self.value).encode(), content_format=0)


class Sensors(resource.Resource):
    """A pack of all that there is."""

    def __init__(self, counter):
        super().__init__()
        self.counter = counter

    async def render_get(self, request):
        pack = [
            {"bn": "urn:dev:mac:0024befffe804ff1:", "n": "temp", "u": "Cel", "v": 21.5},
            {"n": "hum", "u": "%RH", "v": 43},
            {"n": "count", "v": self.counter.value},
        ]
        return aiocoap.Message(payload=json.dumps(pack).encode(), content_format=SENML_JSON)


class Lamp(resource.Resource):
    """On or off."""

    def __init__(self):
        super().__init__()
        self.state = b"0"

    async def render_get(self, request):
        return aiocoap.Message(payload=self.state, content_format=0)

    async def render_put(self, request):
        if request.payload not in (b"0", b"1"):
            return aiocoap.Message(code=aiocoap.BAD_REQUEST)
        self.state = request.payload
        return aiocoap.Message(code=aiocoap.CHANGED)


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tick", type=float, default=0.5)
    parser.add_argument("--resources", type=int, default=0)
    options = parser.parse_args()

    root = resource.Site()
    counter, lamp = Counter(), Lamp()
    counters = [counter]
    large = json.dumps({"rows": [{"n": n, "v": n / 2} for n in range(200)]}).encode()
    cbor = bytes.fromhex("a16161a1011bffffffffffffffff")
    root.add_resource(
        [".well-known", "core"], resource.WKCResource(root.get_resources_as_linkheader)
    )
    root.add_resource(["temp"], Fixed(b"21.5", 0))
    root.add_resource(["sensors"], Sensors(counter))
    root.add_resource(["cbor"], Fixed(cbor, CBOR))
    root.add_resource(["count"], counter)
    root.add_resource(["led"], lamp)
    root.add_resource(["large"], Fixed(large, JSON))
    for number in range(options.resources):
        counters.append(Counter())
        root.add_resource(["r", str(number)], counters[-1])

    port = options.port or free_port()
    await aiocoap.Context.create_server_context(root, bind=("127.0.0.1", port))
    print(json.dumps({"listen": f"127.0.0.1:{port}"}), flush=True)
    while True:
        await asyncio.sleep(options.tick)
        for each in counters:
            each.tick()


if __name__ == "__main__":
    asyncio.run(main())
