// Drives a server through one release of the official TypeScript SDK, and prints as JSON what came of it.
// Usage: node drive.mjs PACKAGE MODE COMMAND [ARGUMENT...], or PACKAGE MODE URL with the token in the variable TOKEN.
// MODE is "forms", "plain" or, for the newest one, "modern", which opens links too.
import { setTimeout as pause } from "node:timers/promises";

const [name, mode, target, ...args] = process.argv.slice(2);
const LONG_ENOUGH_TO_READ_MS = 3500;

async function load() {
  if (name === "@modelcontextprotocol/client") {
    const { Client, StreamableHTTPClientTransport } = await import(name);
    const { StdioClientTransport } = await import(`${name}/stdio`);
    const { AjvJsonSchemaValidator } = await import(`${name}/validators/ajv`);
    const transports = { StdioClientTransport, StreamableHTTPClientTransport };
    return { Client, ...transports, AjvJsonSchemaValidator, elicit: "elicitation/create" };
  }
  const { Client } = await import(`${name}/client/index.js`);
  const { StdioClientTransport } = await import(`${name}/client/stdio.js`);
  const { StreamableHTTPClientTransport } = await import(`${name}/client/streamableHttp.js`);
  const transports = { StdioClientTransport, StreamableHTTPClientTransport };
  if (name === "sdk-1.10") return { Client, ...transports };
  const { AjvJsonSchemaValidator } = await import(`${name}/validation/ajv-provider.js`);
  const { ElicitRequestSchema } = await import(`${name}/types.js`);
  return { Client, ...transports, AjvJsonSchemaValidator, elicit: ElicitRequestSchema };
}

const textOf = (result) => result.content.map((block) => block.text ?? "").join("\n");
const said = async (call) => {
  try {
    return textOf(await call);
  } catch (error) {
    return `thrown: ${error.code ?? ""} ${error.message}`;
  }
};

const sdk = await load();
const asked = [];
const elicitation = mode === "modern" ? { form: {}, url: {} } : {};
const options = { capabilities: mode === "plain" ? {} : { elicitation } };
if (mode === "modern") options.versionNegotiation = { mode: "auto" };
const client = new sdk.Client({ name: "a foreign client", version: "1" }, options);
if (mode !== "plain") {
  client.setRequestHandler(sdk.elicit, async ({ params }) => {
    if (params.mode === "url") {
      const page = await fetch(params.url);
      asked.push(`${page.status} ${await page.text()}`);
      return { action: "accept" };
    }
    asked.push(params.message);
    await pause(LONG_ENOUGH_TO_READ_MS);
    const [field] = params.requestedSchema.required;
    return { action: "accept", content: { [field]: "team-sandbox" } };
  });
}
const headers = { Authorization: `Bearer ${process.env.TOKEN}` };
const transport = target.startsWith("http://")
  ? new sdk.StreamableHTTPClientTransport(new URL(target), { requestInit: { headers } })
  : new sdk.StdioClientTransport({ command: target, args, env: process.env, stderr: "inherit" });
await client.connect(transport);

const report = { server: client.getServerVersion(), instructions: client.getInstructions(), asked };
const { tools } = await client.listTools();
report.tools = tools.map((tool) => tool.name);
if (sdk.AjvJsonSchemaValidator) {
  const ajv = new sdk.AjvJsonSchemaValidator();
  for (const tool of tools) ajv.getValidator(tool.inputSchema);
}
const { prompts } = await client.listPrompts();
report.prompts = prompts.map((prompt) => prompt.name);
const argument = { name: "cluster", value: "sh" };
const ref = { type: "ref/prompt", name: "upgrade-cluster" };
report.completed = (await client.complete({ ref, argument })).completion.values;
const prompt = await client.getPrompt({ name: "upgrade-cluster", arguments: { cluster: "shop-prod" } });
report.prompt = prompt.messages[0].content.text;

const call = (tool, given, more) => client.callTool({ name: tool, arguments: given }, ...(more ?? []));
const read = await call("list_clusters", { status: null });
report.read = { text: textOf(read), types: read.content.map((block) => block.type), raw: read.structuredContent?.raw };
const uri = read.structuredContent?.raw;
if (uri) report.whole = (await client.readResource({ uri })).contents[0].text.length;
report.templates = (await client.listResourceTemplates()).resourceTemplates.length;
report.gone = await said(client.readResource({ uri: "autopilot://responses/none" }).then(() => ({ content: [] })));

const written = await call("add_cluster_tags", { cluster_id: "search-dev", tags: '{"probe": "a"}' });
report.written = { error: Boolean(written.isError), text: textOf(written) };
report.guarded = await said(call("delete_cluster", { cluster_id: "team-sandbox" }));
report.bad = await said(call("get_job", { job_id: 7, speed: 9 }));

const progress = [];
const onprogress = (each) => progress.push(each);
const schema = name === "@modelcontextprotocol/client" ? [] : [undefined];
const started = await call("backup_cluster", { cluster_id: "search-dev" });
const next = started.structuredContent?.next?.find((each) => each.tool === "wait_for");
if (next) {
  const waited = await call("wait_for", { ...next.arguments, wait_s: 30 }, [...schema, { onprogress }]);
  report.waited = { error: Boolean(waited.isError), text: textOf(waited), progress };
}
await client.close();
console.log(JSON.stringify(report));
