"""Lists tools, posts a message and uses a wrong token, over HTTP and stdio, with the Python SDK that
is installed: 1.x, or 2.x in each era."""

import asyncio
import os
import sys
from importlib.metadata import version

from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

URL, PROGRAM, BASE = (os.environ[name] for name in ("URL", "PROGRAM", "BASE"))
TOKEN, CHANNEL, BOT_ID = (os.environ[name] for name in ("TOKEN", "CHANNEL", "BOT_ID"))
MODERN = not version("mcp").startswith("1.")

if MODERN:
    import httpx2 as httpx
    from mcp import Client
else:
    import httpx
    from mcp import ClientSession


class Session:
    """A session of either SDK."""

    def __init__(self, transport, era):
        self.transport, self.era = transport, era

    async def __aenter__(self):
        if MODERN:
            self.outer, self.inner = None, Client(self.transport, mode=self.era)
            return await self.inner.__aenter__()
        self.outer = self.transport
        read, write, *_ = await self.outer.__aenter__()
        self.inner = ClientSession(read, write)
        session = await self.inner.__aenter__()
        await session.initialize()
        return session

    async def __aexit__(self, *error):
        await self.inner.__aexit__(*error)
        if self.outer:
            await self.outer.__aexit__(*error)


def over_http(token):
    headers = {"Authorization": f"Bot {token}"}
    return streamable_http_client(URL, http_client=httpx.AsyncClient(headers=headers))


def over_stdio(token):
    env = {"DISCORD_TOKEN": token, "DISCORDD_DISCORD__BASE_URL": BASE}
    return stdio_client(StdioServerParameters(command=PROGRAM, args=["mcp"], env=env))


async def check(transport, era, name):
    async with Session(transport(TOKEN), era) as session:
        listed = (await session.list_tools()).model_dump(by_alias=True)["tools"]
        names = [tool["name"] for tool in listed]
        assert {"list_channels", "send_message", "test_message"} <= set(names), names
        arguments = {"channel_id": CHANNEL, "content": name}
        sent = (await session.call_tool("send_message", arguments)).model_dump(by_alias=True)
        assert not sent["isError"], sent
        assert sent["structuredContent"]["bot_id"] == BOT_ID, sent
        # The client holds what comes against the tool's schema.
        read = (await session.call_tool("list_channels", {})).model_dump(by_alias=True)
        assert read["structuredContent"]["count"] > 0, read
    async with Session(transport("wrong"), era) as session:
        refused = (await session.call_tool("list_channels", {})).model_dump(by_alias=True)
        assert refused["isError"], refused
        assert "Invalid Discord token" in refused["content"][0]["text"], refused
        assert refused["structuredContent"]["code"] == 401, refused
    print(f"ok: {name}")


async def main():
    eras = ["2026-07-28", "legacy", "auto"] if MODERN else ["legacy"]
    for transport in (over_http, over_stdio):
        for era in eras:
            name = f"python {version('mcp')} {transport.__name__} {era}"
            await asyncio.wait_for(check(transport, era, name), 60)


asyncio.run(main())
sys.exit(0)
