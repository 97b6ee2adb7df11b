"""A real HTTP server on 127.0.0.1 that forwards JSON-RPC to a node and misbehaves on demand.

Also serves canned answers (`upstream=None`) for chains that have no local node.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp import web

Handler = Callable[[dict[str, Any]], Any]


class FaultProxy:
    """Forwards to `upstream`. Faults: delay_s, status (with retry_after), status_if (a test of the body, a status),
    first (only the first n requests fail), cut, html, null, wrong_id, chain_id, lie (request → changed result or ...),
    refuse (method → error object), behind (blocks its head is stale), drop_by_hash.
    """

    def __init__(self, upstream: str | None = None, **faults: Any) -> None:
        self.upstream = upstream
        self.faults = faults
        self.requests: list[Any] = []
        self.calls: list[str] = []

    async def start(self) -> None:
        app = web.Application(client_max_size=64_000_000)
        app.router.add_route("*", "/{tail:.*}", self._serve)
        self._client = aiohttp.ClientSession()
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._client.close()
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.calls.append(body["method"])
        if self.faults.get("delay_s"):
            await asyncio.sleep(self.faults["delay_s"])
        if self.faults.get("first") is None or len(self.requests) <= self.faults["first"]:
            broken = await self._break(request, body)
            if broken is not None:
                return broken
        return web.json_response(await self._answer(body))

    async def _break(self, request: web.Request, body: Any) -> web.StreamResponse | None:
        faults = self.faults
        if (chosen := faults.get("status_if")) and chosen[0](body):
            return web.Response(status=chosen[1], text="<html>gateway time-out</html>")
        if status := faults.get("status"):
            headers = {"Retry-After": str(faults["retry_after"])} if "retry_after" in faults else {}
            return web.Response(status=status, text=faults.get("text", "sorry"), headers=headers)
        if faults.get("html"):
            return web.Response(text="<html><body>Just a moment…</body></html>", content_type="text/html")
        if faults.get("cut"):
            response = web.StreamResponse(headers={"Content-Length": "5000"})
            await response.prepare(request)
            await response.write(b'{"jsonrpc":"2.0","id":1,"result":"0x')
            if request.transport is not None:
                request.transport.close()
            return response
        return self._odd_body(body)

    def _odd_body(self, body: Any) -> web.Response | None:
        faults = self.faults
        if faults.get("garbage"):
            return web.Response(text='{"jsonrpc":"2.0","id":1,"resu', content_type="application/json")
        if faults.get("wrong_id"):
            return web.json_response({"jsonrpc": "2.0", "id": 987654, "result": "0x1"})
        if faults.get("null"):
            return web.json_response({"jsonrpc": "2.0", "id": body["id"], "result": None})
        return None

    async def _answer(self, item: dict[str, Any]) -> dict[str, Any]:
        head = {"jsonrpc": "2.0", "id": item["id"]}
        method, params = item["method"], item["params"]
        if refuse := self.faults.get("refuse"):
            error = refuse(item)
            if error is not None:
                return {**head, "error": error}
        if self.faults.get("drop_by_hash") and any(isinstance(p, dict) and "blockHash" in p for p in params):
            return {**head, "error": {"code": -32602, "message": "invalid argument 1: cannot unmarshal object"}}
        if method == "eth_chainId" and "chain_id" in self.faults:
            return {**head, "result": hex(self.faults["chain_id"])}
        if method == "eth_getBlockByNumber" and self.faults.get("behind") and isinstance(params[0], str):
            item = await self._stale(item)
        if self.upstream is None:
            return {**head, "result": self.faults["serve"](item)}
        async with self._client.post(self.upstream, json=item) as got:
            answer: dict[str, Any] = json.loads(await got.read())
        if (lie := self.faults.get("lie")) and "result" in answer:
            answer["result"] = lie(item, answer["result"])
        return answer

    async def _stale(self, item: dict[str, Any]) -> dict[str, Any]:
        tag = item["params"][0]
        if tag.startswith("0x"):
            return item
        asked = {**item, "params": [tag, False]}
        async with self._client.post(self.upstream, json=asked) as got:
            number = int(json.loads(await got.read())["result"]["number"], 16)
        return {**item, "params": [hex(max(0, number - self.faults["behind"])), False]}
