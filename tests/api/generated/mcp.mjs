// Lists and calls every tool by both npm clients and prints what came.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { Client as SdkClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as SdkTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [url, calls] = process.argv.slice(2);
const info = { name: "test", version: "1" };

async function ask(client, transport) {
  await client.connect(transport);
  const { tools } = await client.listTools();
  const answers = {};
  for (const { name } of tools) {
    const answer = await client.callTool({ name, arguments: JSON.parse(calls)[name] ?? {} });
    if (answer.isError) throw new Error(`${name}: ${answer.content[0].text}`);
    answers[name] = answer.structuredContent; // which the client has checked against the tool's schema
  }
  const { resources } = await client.listResources();
  const rules = await client.readResource({ uri: resources.at(-1).uri });
  await client.close();
  return { version: transport.protocolVersion, answers, rules: rules.contents[0].text };
}

const address = new URL(url);
const newer = new Client(info, { versionNegotiation: { mode: "auto" } });
const older = new SdkClient(info);
const clients = {
  client: await ask(newer, new StreamableHTTPClientTransport(address)),
  sdk: await ask(older, new SdkTransport(address)),
};
console.log(JSON.stringify(clients));
