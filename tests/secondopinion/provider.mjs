// A certified OpenID provider on loopback, three times: `thick` puts claims into the ID token, `thin` and `asked` into
// UserInfo only, and of `asked` the app knows that it must ask there.
//
// `node provider.mjs REDIRECT_URI`: prints issuer and client of each as one line of JSON, and ends when its input closes.
// People are picked from a page of our own: each account by its id. An account of FORGED is honest to the provider, and
// what leaves it is a token with one claim replaced, signed with the provider's own key.
import { createServer } from "node:http";
import { randomBytes } from "node:crypto";
import { SignJWT, decodeJwt, decodeProtectedHeader, exportJWK, generateKeyPair, importJWK } from "jose";
import Provider from "oidc-provider"; // 8.8, the last that runs on node 18, which Debian 12 has

const [redirectUri] = process.argv.slice(2);
const secret = () => randomBytes(24).toString("hex");

const ACCOUNTS = {
  ann: { name: "Ann Archer", email: "ann@acme.com", email_verified: true, roles: ["admin"], groups: ["finance"], org_id: "acme" },
  vic: { name: "Vic Viewer", email: "vic@acme.com", email_verified: true, roles: ["viewer"], groups: [], org_id: "acme" },
  eve: { name: "Eve Unverified", email: "boss@acme.com", email_verified: false, roles: [], groups: [], org_id: "globex" },
};
const FORGED = {
  nonce: () => ({ nonce: "another" }),
  issuer: () => ({ iss: "https://id.evil.com" }),
  audience: () => ({ aud: "another-client" }),
  expired: () => ({ exp: Math.floor(Date.now() / 1000) - 3600 }),
  signature: () => ({}), // signed with a key that is not the provider's
};

const page = (title, body) => `<!doctype html><meta charset="utf-8"><title>${title}</title><h1>${title}</h1>${body}`;

async function serve(conformIdTokenClaims) {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  const issuer = `http://localhost:${server.address().port}`;
  const { privateKey } = await generateKeyPair("RS256", { extractable: true });
  const key = { ...(await exportJWK(privateKey)), kid: "one", alg: "RS256", use: "sig" };
  const client = { client_id: "app", client_secret: secret() };
  const provider = new Provider(issuer, {
    clients: [
      { ...client, redirect_uris: [redirectUri], post_logout_redirect_uris: [redirectUri] },
      { ...client, client_id: "elsewhere", redirect_uris: ["https://app.acme.com/oauth2callback"] },
    ],
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "roles", "groups", "org_id"] },
    conformIdTokenClaims,
    cookies: { keys: [secret()] },
    features: {
      devInteractions: { enabled: false },
      rpInitiatedLogout: {
        logoutSource: (ctx, form) => {
          ctx.body = page("Leave the provider?", `${form}<button form="op.logoutForm" name="logout" value="yes">Leave</button>`);
        },
      },
    },
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, ...(ACCOUNTS[sub] ?? ACCOUNTS.ann) }) }),
    interactions: { url: () => "/sign-in" },
    jwks: { keys: [key] },
    async loadExistingGrant(ctx) { // nobody is asked for consent
      const grant = new provider.Grant({ clientId: "app", accountId: ctx.oidc.session.accountId });
      grant.addOIDCScope("openid email profile");
      await grant.save();
      return grant;
    },
    pkce: { required: () => true },
    renderError: (ctx, { error }) => { ctx.body = page("Refused by the provider", error); },
  });
  provider.use(async (ctx, next) => {
    if (ctx.path === "/sign-in") {
      const { params } = await provider.interactionDetails(ctx.req, ctx.res);
      const { account, error } = ctx.query;
      if (!account && !error) {
        const names = [...Object.keys(ACCOUNTS), ...Object.keys(FORGED)];
        const ways = [...names.map((name) => ["account", name]), ["error", "access_denied"]];
        const buttons = ways.map(([name, value]) => `<button name="${name}" value="${value}">${value}</button>`);
        ctx.body = page("Who are you?", `<form>${buttons.join("")}</form><p id="prompt">${params.prompt}</p>`);
        return;
      }
      const result = error ? { error, error_description: "cancelled" } : { login: { accountId: account } };
      ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, result));
      return;
    }
    await next();
    const forge = ctx.path === "/token" && ctx.body?.id_token && FORGED[decodeJwt(ctx.body.id_token).sub];
    if (forge) {
      const { id_token: token } = ctx.body;
      const other = await generateKeyPair("RS256");
      const signer = decodeJwt(token).sub === "signature" ? other.privateKey : await importJWK(key, "RS256");
      const jwt = new SignJWT({ ...decodeJwt(token), ...forge() }).setProtectedHeader(decodeProtectedHeader(token));
      ctx.body = { ...ctx.body, id_token: await jwt.sign(signer) };
    }
  });
  for (const event of ["server_error", "grant.error"]) provider.on(event, (_, error) => console.error(error));
  server.on("request", provider.callback());
  return { issuer, ...client };
}

console.log(JSON.stringify({ thick: await serve(false), thin: await serve(true), asked: await serve(true) }));
process.stdin.resume().on("end", () => process.exit());
