// The authorization server of the interop tests: oidc-provider, set up as the vendor's public pages describe theirs.
//
// stdin   first {"clients": [client metadata, …], "port": 0}, then any number of {"mark": "text"}; its end is the
//         order to stop
// stdout  {"ready": true, …}, then a line for each token request; a mark is given back in its place among them
// stderr  everything else

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

// oidc-provider prints notices with console.info, which is stdout; it is therefore imported only after this line.
console.log = console.info = console.error;
const { Provider, errors } = await import('oidc-provider');

const MOUNT_PATH = '/a/oidc-provider/api/v0';
const API = 'https://banno.com';
// A scope the server does not know is dropped without a word; only a known one can be refused. `full`, which the
// vendor removed in 2025, is there to be refused.
const SCOPES = ['openid', 'https://jackhenry.com/consumer-user-search', 'full'];

function emit(record) {
  process.stdout.write(`${JSON.stringify(record)}\n`);
}

// Before the client is found, the assertion's own word is all there is.
function claimedClient(params) {
  try {
    return JSON.parse(Buffer.from(params.client_assertion.split('.')[1], 'base64url')).sub;
  } catch {
    return undefined;
  }
}

function clientIdOf({ oidc }) {
  return oidc?.client?.clientId ?? oidc?.params?.client_id ?? claimedClient(oidc?.params) ?? null;
}

function freshSigningKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig' };
}

function configuration(clients) {
  return {
    clients,
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
    enabledJWA: { clientAuthSigningAlgValues: ['RS256', 'PS256', 'ES256'] },
    clockTolerance: 15,
    scopes: SCOPES,
    ttl: { ClientCredentials: 600 },
    jwks: { keys: [freshSigningKey()] },
    extraClientMetadata: { properties: ['institutionId'] },
    extraTokenClaims: (ctx) => {
      const { clientName, institutionId } = ctx.oidc.client;
      return { clientName, institutionId };
    },
    // The default adds a guard against requests to private addresses, and loopback is where our jwks_uri lives.
    fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        // Only a token for a resource can be a JWT, and the vendor's clients name none: theirs has to be the default.
        defaultResource: () => API,
        useGrantedResource: () => true,
        getResourceServerInfo: (ctx, resource, client) => {
          if (resource !== API) throw new errors.InvalidTarget();
          return {
            scope: SCOPES.join(' '),
            audience: client.clientId, // so in the vendor's documented example
            accessTokenFormat: 'jwt',
            jwt: { sign: { alg: 'RS256' } },
          };
        },
      },
    },
  };
}

function report(event) {
  return (ctx, error) => emit({
    event,
    client_id: clientIdOf(ctx),
    error: error.error ?? event,
    error_description: error.error_description ?? null,
    // Told to the operator and never to the client: the true reason of a refusal.
    error_detail: error.error_detail ?? (event === 'server_error' ? error.message : null),
  });
}

process.on('SIGTERM', () => process.exit(0));
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const first = await lines.next();
if (first.done) process.exit(0);
const { clients, port } = JSON.parse(first.value);

// The issuer names the port, so the socket comes before the provider.
const server = createServer();
await new Promise((resolve, reject) => {
  server.once('error', reject);
  server.listen(port, '127.0.0.1', resolve);
});
const actualPort = server.address().port;
const issuer = `http://127.0.0.1:${actualPort}${MOUNT_PATH}`;
const provider = new Provider(issuer, configuration(clients));
const handle = provider.callback();

provider.on('grant.success', (ctx) => emit({ event: 'grant.success', client_id: clientIdOf(ctx) }));
provider.on('grant.error', report('grant.error'));
provider.on('server_error', report('server_error'));
provider.on('server_error', (_ctx, error) => console.error(error));

server.on('request', (request, response) => {
  if (!request.url.startsWith(`${MOUNT_PATH}/`)) {
    response.writeHead(404).end();
    return;
  }
  // oidc-provider learns where it is mounted by comparing the two.
  request.originalUrl = request.url;
  request.url = request.url.slice(MOUNT_PATH.length);
  handle(request, response);
});

emit({ ready: true, issuer, token_endpoint: `${issuer}/token`, port: actualPort });
for await (const line of { [Symbol.asyncIterator]: () => lines }) {
  emit({ event: 'mark', mark: JSON.parse(line).mark });
}
process.exit(0);
