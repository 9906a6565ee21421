// Lists tools, posts a message and uses a wrong token, over HTTP and stdio, with both TypeScript SDKs
// and in each era.
import assert from 'node:assert/strict';
import * as modern from '@modelcontextprotocol/client';
import { StdioClientTransport as ModernStdio } from '@modelcontextprotocol/client/stdio';
import { Client as OldClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as OldStdio } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport as OldHttp } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const { URL: url, PROGRAM, BASE, TOKEN, CHANNEL, BOT_ID } = process.env;
const info = { name: 'tests', version: '1' };

const http = (Transport) => (token) =>
  new Transport(new URL(url), { requestInit: { headers: { authorization: `Bot ${token}` } } });
const stdio = (Transport) => (token) =>
  new Transport({
    command: PROGRAM,
    args: ['mcp'],
    env: { DISCORD_TOKEN: token, DISCORDD_DISCORD__BASE_URL: BASE },
    stderr: 'ignore',
  });

const old = () => new OldClient(info);
const era = (mode) => () => new modern.Client(info, { versionNegotiation: { mode } });
const clients = [
  ['sdk 1.32.2', old, OldHttp, OldStdio],
  ['client 2.4.0 legacy', era('legacy'), modern.StreamableHTTPClientTransport, ModernStdio],
  ['client 2.4.0 auto', era('auto'), modern.StreamableHTTPClientTransport, ModernStdio],
  ['client 2.4.0 modern', era({ pin: '2026-07-28' }), modern.StreamableHTTPClientTransport, ModernStdio],
];

async function check(name, make, transport) {
  const client = make();
  await client.connect(transport(TOKEN));
  const { tools } = await client.listTools();
  const names = tools.map((tool) => tool.name);
  for (const wanted of ['list_channels', 'send_message', 'test_message']) assert(names.includes(wanted), name);
  const sent = await client.callTool({ name: 'send_message', arguments: { channel_id: CHANNEL, content: name } });
  assert(!sent.isError, JSON.stringify(sent));
  assert.equal(sent.structuredContent.bot_id, BOT_ID);
  // The client holds what comes against the tool's schema.
  const read = await client.callTool({ name: 'list_channels', arguments: {} });
  assert(read.structuredContent.count > 0, JSON.stringify(read));
  await client.close();
  const other = make();
  await other.connect(transport('wrong'));
  const refused = await other.callTool({ name: 'list_channels', arguments: {} });
  assert(refused.isError, JSON.stringify(refused));
  assert.match(refused.content[0].text, /Invalid Discord token/);
  assert.equal(refused.structuredContent.code, 401);
  await other.close();
  console.log(`ok: ${name}`);
}

for (const [name, make, Http, Stdio] of clients) {
  await check(`typescript ${name} http`, make, http(Http));
  await check(`typescript ${name} stdio`, make, stdio(Stdio));
}
process.exit(0);
