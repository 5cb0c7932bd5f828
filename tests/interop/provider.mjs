// The authorization server of the interop tests: oidc-provider, set up as the vendor's public pages describe theirs.
//
// stdin   first {"clients": [client metadata, …], "port": 0}, with "people": {login: {password, claims}} where people
//         are to sign in, "require_par": true where nobody may ask without RFC 9126, and "client_auth_methods" where
//         not all are to be taken; then any number of {"mark": "text"}, of {"register": client metadata} for a
//         client that comes later, and of {"later": seconds, "mark": "text"}, which sets its clock forward; its end is
//         the order to stop
// stdout  {"ready": true, …}, then a line for each token request, and for each step of a person's login; a mark is
//         given back in its place among them, a client when it is known
// stderr  everything else

import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';

// oidc-provider prints notices with console.info, which is stdout; it is therefore imported only after this line.
console.log = console.info = console.error;
const { Provider, errors } = await import('oidc-provider');

const MOUNT_PATH = '/a/oidc-provider/api/v0';
const API = 'https://banno.com';
const OFFLINE_ACCESS = 'https://api.banno.com/consumer/auth/offline_access';
const INSTITUTION_ID = 'https://api.banno.com/consumer/claim/institution_id';
// A scope the server does not know is dropped without a word; only a known one can be refused. `full`, which the
// vendor removed in 2025, is there to be refused.
const SCOPES = ['openid', 'https://jackhenry.com/consumer-user-search', 'full'];
const SCOPES_OF_PERSONS = [...SCOPES, 'profile', 'offline_access', OFFLINE_ACCESS];
// What the vendor's example shows at /me for `openid profile`.
const PROFILE = ['family_name', 'given_name', 'middle_name', 'name', 'picture', 'preferred_username'];
const SIGNING_ALGS = ['RS256', 'PS256', 'ES256'];

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

function freshSigningKey(alg) {
  const { privateKey } = alg === 'ES256'
    ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
    : generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig' };
}

function wantsRefreshToken({ scopes }) {
  return scopes.has('offline_access') || scopes.has(OFFLINE_ACCESS);
}

// Every page is ours: the ones that come with oidc-provider fetch a font from elsewhere.
function page(title, body) {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,">
<title>${title}</title><h1>${title}</h1>${body}</html>`;
}

const ESCAPED = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

function escaped(text) {
  return String(text).replace(/[&<>"']/g, (character) => ESCAPED[character]);
}

const CLIENT_AUTH_METHODS = ['client_secret_basic', 'client_secret_post', 'private_key_jwt'];

function configuration({
  clients, people = {}, require_par: requirePar = false, client_auth_methods: clientAuthMethods = CLIENT_AUTH_METHODS,
}) {
  return {
    clients,
    clientAuthMethods,
    enabledJWA: { clientAuthSigningAlgValues: SIGNING_ALGS, idTokenSigningAlgValues: SIGNING_ALGS },
    clockTolerance: 15,
    scopes: SCOPES_OF_PERSONS,
    claims: { openid: ['sub'], profile: PROFILE, [INSTITUTION_ID]: null },
    // The vendor's id_token has the claims of its scopes; OpenID Connect leaves them to userinfo.
    conformIdTokenClaims: false,
    findAccount: (ctx, accountId) => {
      const person = Object.values(people).find(({ claims }) => claims.sub === accountId);
      return person && { accountId, claims: () => person.claims };
    },
    interactions: { url: (ctx, { uid }) => `${MOUNT_PATH}/interaction/${uid}` },
    pkce: { required: () => true },
    issueRefreshToken: (ctx, client, source) => client.grantTypeAllowed('refresh_token') && wantsRefreshToken(source),
    expiresWithSession: (ctx, source) => !wantsRefreshToken(source),
    rotateRefreshToken: true,
    cookies: { keys: [randomUUID()] },
    renderError: (ctx, { error, error_description: description }) => {
      ctx.type = 'html';
      ctx.body = page('Error', `<p>${escaped(error)}: ${escaped(description)}</p>`);
    },
    ttl: {
      AccessToken: (ctx, token, client) => client.accessTokenSeconds ?? 600,
      ClientCredentials: 600,
      Grant: 3600,
      IdToken: 3600,
      Interaction: 3600,
      RefreshToken: 3600,
      Session: 3600,
    },
    jwks: { keys: SIGNING_ALGS.map(freshSigningKey) },
    extraClientMetadata: { properties: ['institutionId', 'accessTokenSeconds'] },
    extraTokenClaims: (ctx) => {
      const { clientName, institutionId } = ctx.oidc.client;
      return { clientName, institutionId };
    },
    // The default adds a guard against requests to private addresses, and loopback is where our jwks_uri lives.
    fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
    features: {
      clientCredentials: { enabled: true },
      claimsParameter: { enabled: true },
      devInteractions: { enabled: false },
      pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: requirePar },
      revocation: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (ctx, form) => {
          const button = '<button type="submit" form="op.logoutForm" name="logout" value="yes">Sign out</button>';
          ctx.body = page('Sign out', form + button);
        },
        postLogoutSuccessSource: (ctx) => { ctx.body = page('Signed out', ''); },
      },
      userinfo: { enabled: true },
      resourceIndicators: {
        enabled: true,
        // Only a token for a resource can be a JWT, and the vendor's clients name none: theirs has to be the default.
        // A person's token is for userinfo, unless a resource is asked for.
        defaultResource: (ctx) => (ctx.oidc.params.grant_type === 'client_credentials' ? API : undefined),
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

// Those of a client without a person go without saying.
function tokenRequest({ oidc, headers }) {
  const { grant_type: grantType, client_secret: secret, client_assertion: assertion } = oidc?.params ?? {};
  if (grantType === undefined || grantType === 'client_credentials') return {};
  // oidc-provider takes a secret either way, however the client was registered.
  const method = (headers.authorization && 'client_secret_basic') || (secret && 'client_secret_post')
    || (assertion && 'private_key_jwt') || 'none';
  return { grant_type: grantType, client_auth_method: method };
}

// Which parameters came, with the values of those that are no secret.
function parametersOf({ oidc }) {
  const shown = ['claims', 'code_challenge_method', 'login_hint', 'max_age', 'prompt', 'response_type', 'scope'];
  return Object.fromEntries(Object.entries(oidc.params)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [name, shown.includes(name) ? String(value) : '…']));
}

// The person's two questions: who are you, and may this application know it. A stranger is asked again.
async function interact(provider, people, request, response) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(request, response);
  const show = (title, body) => {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' });
    response.end(page(title, `<form method="post">${body}</form>`));
  };
  const cancel = '<button name="answer" value="cancel">Cancel</button>';
  const askWho = (said = '') => show('Sign in', `${said}
<input name="login" autocomplete="username" value="${escaped(params.login_hint ?? '')}">
<input name="password" type="password" autocomplete="current-password">
<button name="answer" value="sign-in">Sign in</button>${cancel}`);
  if (request.method !== 'POST') {
    if (prompt.name === 'login') askWho();
    else show('Allow', `<p>${escaped(params.scope)}</p><button name="answer" value="allow">Allow</button>${cancel}`);
    return;
  }
  const form = new URLSearchParams(await text(request));
  let result;
  if (form.get('answer') === 'cancel') {
    result = { error: 'access_denied', error_description: 'the person said no' };
  } else if (prompt.name === 'login') {
    const person = Object.hasOwn(people, form.get('login')) ? people[form.get('login')] : undefined;
    if (person?.password !== form.get('password')) {
      askWho('<p>Nobody with that name and password is known.</p>');
      return;
    }
    result = { login: { accountId: person.claims.sub } };
  } else {
    const grant = grantId
      ? await provider.Grant.find(grantId)
      : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    const { missingOIDCScope, missingOIDCClaims, missingResourceScopes = {} } = prompt.details;
    if (missingOIDCScope) grant.addOIDCScope(missingOIDCScope.join(' '));
    if (missingOIDCClaims) grant.addOIDCClaims(missingOIDCClaims);
    for (const [resource, scopes] of Object.entries(missingResourceScopes)) {
      grant.addResourceScope(resource, scopes.join(' '));
    }
    result = { consent: { grantId: await grant.save() } };
  }
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: prompt.name !== 'login' });
}

function report(event) {
  return (ctx, error) => emit({
    event,
    client_id: clientIdOf(ctx),
    ...tokenRequest(ctx),
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
const setUp = JSON.parse(first.value);

// The issuer names the port, so the socket comes before the provider.
const server = createServer();
await new Promise((resolve, reject) => {
  server.once('error', reject);
  server.listen(setUp.port, '127.0.0.1', resolve);
});
const actualPort = server.address().port;
const issuer = `http://127.0.0.1:${actualPort}${MOUNT_PATH}`;
const provider = new Provider(issuer, configuration(setUp));

const told = (event, more = () => ({})) => {
  provider.on(event, (ctx) => emit({ event, client_id: clientIdOf(ctx), ...more(ctx) }));
};
told('grant.success', tokenRequest);
provider.on('grant.error', report('grant.error'));
told('grant.revoked');
told('pushed_authorization_request.success', (ctx) => ({ parameters: parametersOf(ctx) }));
told('authorization.success', (ctx) => ({ parameters: parametersOf(ctx) }));
provider.on('authorization.error', report('authorization.error'));
provider.on('pushed_authorization_request.error', report('pushed_authorization_request.error'));
told('end_session.success');
// oidc-provider has no event for these two.
provider.use(async (ctx, next) => {
  await next();
  const event = ctx.oidc?.route;
  if (['revocation', 'userinfo'].includes(event)) emit({ event, client_id: clientIdOf(ctx), status: ctx.status });
});
provider.on('server_error', report('server_error'));
provider.on('server_error', (_ctx, error) => console.error(error));

// What is used is fixed by this call.
const handle = provider.callback();
server.on('request', (request, response) => {
  if (!request.url.startsWith(`${MOUNT_PATH}/`)) {
    response.writeHead(404).end();
    return;
  }
  // oidc-provider learns where it is mounted by comparing the two.
  request.originalUrl = request.url;
  request.url = request.url.slice(MOUNT_PATH.length);
  if (!request.url.startsWith('/interaction/')) {
    handle(request, response);
    return;
  }
  interact(provider, setUp.people ?? {}, request, response).catch((error) => {
    console.error(error);
    response.writeHead(500).end();
  });
});

emit({ ready: true, issuer, token_endpoint: `${issuer}/token`, port: actualPort });
const now = Date.now;
let ahead = 0; // of the clock, in seconds
Date.now = () => now() + ahead * 1000;
for await (const line of { [Symbol.asyncIterator]: () => lines }) {
  const { mark, register, later = 0 } = JSON.parse(line);
  ahead += later;
  if (register) {
    await provider.Client.adapter.upsert(register.client_id, register);
    emit({ event: 'registered', client_id: register.client_id });
  } else {
    emit({ event: 'mark', mark });
  }
}
process.exit(0);
