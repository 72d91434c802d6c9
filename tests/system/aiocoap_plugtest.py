"""A CoAP device for the plugtests, on aiocoap: resources that are read, written, observed, slow and
long, each as the plugtests want one.

    /test            GET a text, PUT, POST (2.01), DELETE
    /a/b/c           GET says its path
    /query           GET says its arguments
    /separate        GET answers after 2 s, apart
    /large           GET 5,000 bytes in blocks, with an ETag
    /large-update    PUT takes blocks, GET gives them back
    /large-create    POST takes blocks and says how many bytes came
    /obs             GET; observable, counts up every 0.3 s, Max-Age 2
    /obs-large       GET; observable, 3,000 bytes of the count
    /obs-once        GET; observable, ends with 4.04 after two changes
    /held            GET 21.5, but never observable

The first line on stdout is JSON: {"listen": "127.0.0.1:PORT"}. What it hears and loses goes to stderr.
"""

import argparse
import asyncio
import json
import os
import socket
import sys

# UDP alone: a free port of it may be another's on TCP.
os.environ["AIOCOAP_SERVER_TRANSPORT"] = "udp6"

import aiocoap
from aiocoap import Code, Message, resource


def text(payload, **options):
    return Message(payload=payload, content_format=0, **options)


class Test(resource.Resource):
    def __init__(self):
        super().__init__()
        self.payload = b"a test"

    def get_link_description(self):
        return dict(**super().get_link_description(), rt="plugtest", ct="0")

    async def render_get(self, request):
        return text(self.payload)

    async def render_put(self, request):
        self.payload = request.payload
        return Message(code=Code.CHANGED)

    async def render_post(self, request):
        return Message(code=Code.CREATED, location_path=["test", "1"])

    async def render_delete(self, request):
        self.payload = b""
        return Message(code=Code.DELETED)


class Path(resource.Resource):
    async def render_get(self, request):
        return text("/".join(request.get_request_uri().split("/")[3:]).encode())


class Query(resource.Resource):
    async def render_get(self, request):
        return text("&".join(request.opt.uri_query).encode())


class Separate(resource.Resource):
    async def render_get(self, request):
        await asyncio.sleep(2)
        return text(b"apart")


def pattern(length):
    return bytes(at % 251 for at in range(length))


class Large(resource.Resource):
    async def render_get(self, request):
        return text(pattern(5000), etag=b"v1")


class LargeUpdate(resource.Resource):
    def __init__(self):
        super().__init__()
        self.payload = b""

    async def render_get(self, request):
        return text(self.payload)

    async def render_put(self, request):
        self.payload = request.payload
        return Message(code=Code.CHANGED)


class LargeCreate(resource.Resource):
    async def render_post(self, request):
        return Message(code=Code.CREATED, payload=str(len(request.payload)).encode())


class Counting(resource.ObservableResource):
    """Counts up for as long as somebody observes it."""

    def __init__(self, length=0, ends=False):
        super().__init__()
        self.count, self.length, self.ends, self.task = 0, length, ends, None

    def update_observation_count(self, count):
        print(f"observers: {count}", file=sys.stderr, flush=True)
        if count and self.task is None:
            self.task = asyncio.create_task(self.tick())
        elif not count and self.task is not None:
            self.task.cancel()
            self.task = None

    async def tick(self):
        while True:
            await asyncio.sleep(0.3)
            self.count += 1
            if self.ends and self.count > 2:
                self.updated_state(Message(code=Code.NOT_FOUND))
            else:
                self.updated_state()

    async def render_get(self, request):
        payload = str(self.count).encode()
        if self.length:
            payload = (payload + b" ") * (self.length // (len(payload) + 1))
        return text(payload, max_age=2)


class Held(resource.Resource):
    async def render_get(self, request):
        return text(b"21.5")


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    port = parser.parse_args().port or free_port()
    site = resource.Site()
    site.add_resource([".well-known", "core"], resource.WKCResource(site.get_resources_as_linkheader))
    site.add_resource(["test"], Test())
    site.add_resource(["a", "b", "c"], Path())
    site.add_resource(["query"], Query())
    site.add_resource(["separate"], Separate())
    site.add_resource(["large"], Large())
    site.add_resource(["large-update"], LargeUpdate())
    site.add_resource(["large-create"], LargeCreate())
    site.add_resource(["obs"], Counting())
    site.add_resource(["obs-large"], Counting(length=3000))
    site.add_resource(["obs-once"], Counting(ends=True))
    site.add_resource(["held"], Held())
    await aiocoap.Context.create_server_context(site, bind=("127.0.0.1", port))
    print(json.dumps({"listen": f"127.0.0.1:{port}"}), flush=True)
    await asyncio.get_running_loop().create_future()


asyncio.run(main())
