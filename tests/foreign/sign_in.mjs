// Signs in to a server as the OAuth client of a release of the official TypeScript SDK, and prints what came of it.
// Usage: node sign_in.mjs PACKAGE URL. Whoever opens the page of the authorization server agrees at once.
const [name, url] = process.argv.slice(2);
const MOST_SIGN_INS = 3;

async function load() {
  if (name === "@modelcontextprotocol/client") return await import(name);
  const { Client } = await import(`${name}/client/index.js`);
  const { StreamableHTTPClientTransport } = await import(`${name}/client/streamableHttp.js`);
  const { UnauthorizedError } = await import(`${name}/client/auth.js`);
  return { Client, StreamableHTTPClientTransport, UnauthorizedError };
}

class Person {
  saved = {};
  redirectUrl = "http://localhost:1/callback";
  clientMetadata = {
    client_name: "a foreign client",
    redirect_uris: [this.redirectUrl],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  };
  clientInformation = () => this.saved.client;
  saveClientInformation = (client) => void (this.saved.client = client);
  tokens = () => this.saved.tokens;
  saveTokens = (tokens) => void (this.saved.tokens = tokens);
  codeVerifier = () => this.saved.verifier;
  saveCodeVerifier = (verifier) => void (this.saved.verifier = verifier);
  async redirectToAuthorization(page) {
    const answer = await fetch(page, { redirect: "manual" });
    this.back = new URL(answer.headers.get("location")).searchParams;
  }
}

const { Client, StreamableHTTPClientTransport, UnauthorizedError } = await load();
const authProvider = new Person();

async function connected() {
  for (let left = MOST_SIGN_INS; ; left--) {
    const client = new Client({ name: "a foreign client", version: "1" });
    const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider });
    try {
      await client.connect(transport);
      return client;
    } catch (error) {
      if (!(error instanceof UnauthorizedError) || !authProvider.back || !left) throw error;
      const back = authProvider.back;
      authProvider.back = undefined;
      await transport.finishAuth(name === "@modelcontextprotocol/client" ? back : back.get("code"));
    }
  }
}

const client = await connected();
const { tools } = await client.listTools();
const called = await client.callTool({ name: "list_clusters", arguments: {} });
await client.close();
const text = called.content.map((block) => block.text ?? "").join("\n");
console.log(JSON.stringify({ tools: tools.map((tool) => tool.name), text }));
