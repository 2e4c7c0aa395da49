// SPDX-License-Identifier: Apache-2.0
// How npm's oidc-provider is set up to behave like an Auth0 tenant.
import Provider from 'oidc-provider';

import { TenantStore } from './tenant-store.mjs';
import { withChanges } from './tokens.mjs';

/** Where the login page is; the interaction's id follows. */
export const LOGIN_PATH = '/u/login/';

// Auth0's paths, so that a policy for this tenant looks like one for a real tenant.
const ROUTES = {
    authorization: '/authorize',
    token: '/oauth/token',
    jwks: '/.well-known/jwks.json',
    registration: '/oidc/register',
    userinfo: '/userinfo',
    end_session: '/oidc/logout',
    revocation: '/oauth/revoke',
};

const DAY_S = 24 * 3600;

// A token of the RFC 9068 kind, as oidc-provider makes it, turned into Auth0's older profile.
function toLegacyProfile(jwt, issuer) {
    const { client_id: azp, jti: ignored, ...rest } = jwt.payload;
    jwt.header = { typ: 'JWT' };
    jwt.payload = { ...rest, aud: [rest.aud, `${issuer}userinfo`], azp };
}

/**
 * The provider of one moment in the tenant's life.
 *
 * @param {object} tenant the Tenant, for its options and what it remembers
 * @param {object[]} keys signing keys, that in use first
 */
export function makeProvider(tenant, keys) {
    const provider = new Provider(tenant.issuer, {
        adapter: (model) => new TenantStore(tenant.records, model),
        jwks: { keys: keys.map((key) => key.privateJwk) },
        cookies: { keys: tenant.cookieKeys },
        routes: ROUTES,
        scopes: ['openid', 'profile', 'offline_access', ...tenant.scopes],
        findAccount: (context, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
        interactions: { url: (context, interaction) => LOGIN_PATH + interaction.uid },
        clientBasedCORS: () => true,
        // Only what was asked for; Auth0 gives refresh tokens for offline_access likewise.
        issueRefreshToken: (context, client, source) => source.scopes.has('offline_access'),
        rotateRefreshToken: true,
        extraTokenClaims: (context, token) => ({
            ...tenant.extraClaims,
            ...rbacClaims(tenant, token.accountId),
        }),
        fetch: (url, options) => fetchDocument(tenant.documents, url, options),
        ttl: {
            AccessToken: tenant.accessTokenSeconds,
            AuthorizationCode: 60,
            ClientCredentials: tenant.accessTokenSeconds,
            Grant: DAY_S,
            IdToken: 3600,
            Interaction: 3600,
            RefreshToken: DAY_S,
            Session: DAY_S,
        },
        features: {
            devInteractions: { enabled: false },
            registration: { enabled: true },
            revocation: { enabled: true },
            clientIdMetadataDocument: { enabled: true, ack: 'draft-02' },
            resourceIndicators: {
                enabled: true,
                // Auth0's "resource parameter compatibility profile".
                useGrantedResource: () => true,
                defaultResource: (context, client, oneOf) => oneOf ?? tenant.resource,
                getResourceServerInfo: (context, resource) => resourceServer(tenant, resource),
            },
        },
        formats: {
            customizers: {
                jwt: (context, token, jwt) => {
                    if (tenant.profile === 'auth0') toLegacyProfile(jwt, tenant.issuer);
                },
            },
        },
    });
    provider.on('server_error', (context, error) => tenant.errors.push(error));
    return provider;
}

// Auth0's RBAC ("add permissions in the access token"): all that the user may, whatever was consented.
function rbacClaims(tenant, accountId) {
    if (tenant.permissions === undefined) return {};
    return { permissions: tenant.permissions[accountId] ?? [] };
}

function resourceServer(tenant, resource) {
    return {
        audience: resource,
        scope: tenant.scopes.join(' '),
        accessTokenFormat: 'jwt',
        accessTokenTTL: tenant.accessTokenSeconds,
        jwt: { sign: { alg: 'RS256' } },
    };
}

// Client ID Metadata Documents live at https URLs of public hosts. Here they come from a Map; the
// provider's own checks of the document are the real ones.
async function fetchDocument(documents, url, options) {
    const document = documents.get(String(url));
    if (document === undefined) return fetch(url, withChanges(options, { dispatcher: undefined }));
    return Response.json(document);
}
