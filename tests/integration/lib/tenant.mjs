// SPDX-License-Identifier: Apache-2.0
// An authorization server that behaves like an Auth0 tenant, on loopback http: npm's oidc-provider
// with Auth0's paths, an issuer with a final slash, RS256 access tokens for the requested resource in
// either of Auth0's profiles, open dynamic registration, Client ID Metadata Documents, rotating keys;
// and with faults that a test switches on. Tests and the demo use the same one.
import crypto from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';

import { applyFault } from './faults.mjs';
import { freePort } from './ports.mjs';
import { answerLogin } from './tenant-login.mjs';
import { LOGIN_PATH, makeProvider } from './tenant-provider.mjs';
import { newSigningKey, signCompact, tokenClaims, tokenHeader, withChanges } from './tokens.mjs';

const HOST = '127.0.0.1';

// The endpoints that can be faulty, and whose requests are noted.
const ENDPOINTS = new Map([
    ['/.well-known/jwks.json', 'jwks'],
    ['/.well-known/openid-configuration', 'openid'],
    ['/.well-known/oauth-authorization-server', 'oauth'],
]);

/** A running tenant; made by startTenant(). */
export class Tenant {
    #server = null;
    #provider;
    #sockets = new Set();

    constructor(options) {
        Object.assign(this, options);
        this.records = new Map();
        this.cookieKeys = [crypto.randomBytes(32).toString('hex')];
        this.documents = new Map(); // client id URL -> Client ID Metadata Document
        this.errors = []; // faults of the provider itself; a test that passes has none
        this.faults = {}; // jwks | openid | oauth -> a fault of faults.mjs
        this.fetches = []; // { endpoint, at_ms } of every request for such an endpoint
        this.#useKeys();
    }

    #useKeys() {
        const [current] = this.keys;
        this.key = current;
        this.#provider = makeProvider(this, this.keys);
    }

    /** http://127.0.0.1:PORT + TARGET. */
    url(target) {
        return `http://${HOST}:${this.port}${target}`;
    }

    get jwksUri() {
        return this.url('/.well-known/jwks.json');
    }

    /** How often ENDPOINT (jwks, openid, oauth) was asked, from index FROM of `fetches` on. */
    fetchCount(endpoint, from = 0) {
        return this.fetches.slice(from).filter((fetched) => fetched.endpoint === endpoint).length;
    }

    /** Begins to listen, on the port it had if it had one. */
    async up() {
        this.#server = http.createServer((request, response) => this.#answer(request, response));
        this.#server.on('connection', (socket) => {
            this.#sockets.add(socket);
            socket.once('close', () => this.#sockets.delete(socket));
        });
        this.#server.listen(this.port, HOST);
        await once(this.#server, 'listening');
    }

    /** Goes away: connections break, new ones are refused. */
    async down() {
        const closed = once(this.#server, 'close');
        this.#server.close();
        for (const socket of this.#sockets) socket.destroy();
        await closed;
        this.#server = null;
    }

    /** Ends it, whether it is up or down. */
    async close() {
        if (this.#server) await this.down();
    }

    async #answer(request, response) {
        const { pathname } = new URL(request.url, this.issuer);
        const endpoint = ENDPOINTS.get(pathname);
        if (endpoint) {
            this.fetches.push({ endpoint, at_ms: performance.now() });
            if (await applyFault(this.faults[endpoint], request, response)) return;
        }
        if (pathname.startsWith(LOGIN_PATH)) {
            await answerLogin(this.#provider, request, response, this.permissions);
            return;
        }
        if (pathname === '/authorize') request.url = withDefaultScope(request.url);
        this.#provider.callback()(request, response);
    }

    /** Publishes KEY (default: a fresh one) beside the others, not yet in use: Auth0's "next" key. */
    async addKey(key) {
        const added = key ?? (await newSigningKey());
        this.keys = [...this.keys, added];
        this.#useKeys();
        return added;
    }

    /** Signs with KEY from now on; the others stay published. */
    signWith(key) {
        this.keys = [key, ...this.keys.filter((other) => other !== key)];
        this.#useKeys();
    }

    /** Takes KEY out of the published set: revocation. */
    dropKey(key) {
        this.keys = this.keys.filter((other) => other !== key);
        this.#useKeys();
    }

    /** Add, switch, drop in one go; returns the new key. */
    async rotate() {
        const old = this.key;
        const fresh = await this.addKey();
        this.signWith(fresh);
        this.dropKey(old);
        return fresh;
    }

    /** The published key set. */
    get jwks() {
        return { keys: this.keys.map((key) => key.publicJwk) };
    }

    /**
     * An access token, signed directly: no login, and any claim can be wrong.
     *
     * @param {object} claims on top of what Auth0 would say; undefined leaves a claim out
     * @param {object} [options]
     * @param {string} [options.resource] the API's identifier, default: the tenant's
     * @param {object} [options.header] on top of Auth0's; undefined leaves a member out
     * @param {string} [options.profile] rfc9068 or auth0, default: the tenant's
     * @param {object} [options.key] of newSigningKey(), default: the one in use
     */
    mint(claims = {}, options = {}) {
        const { resource = this.resource, header = {}, profile = this.profile } = options;
        const { key = this.key } = options;
        return signCompact({
            header: withChanges(tokenHeader(profile, key), header),
            payload: withChanges(tokenClaims(profile, { issuer: this.issuer, resource }), claims),
            key,
        });
    }
}

// RFC 6749 3.3: a request without a scope gets the server's default. oidc-provider has none and refuses
// such a request as one that asks for nothing; Auth0 does not.
function withDefaultScope(target) {
    const url = new URL(target, 'http://localhost');
    if (!url.searchParams.get('scope')) url.searchParams.set('scope', 'openid');
    return url.pathname + url.search;
}

/**
 * Starts a tenant.
 *
 * @param {object} [options]
 * @param {number} [options.port] default: any that is free
 * @param {string} [options.profile] of access tokens: rfc9068 (default) or auth0
 * @param {string[]} [options.scopes] of its APIs, default: mcp:use and mcp:admin
 * @param {string} [options.resource] the API's identifier: what mint() uses, and the audience for
 *     clients that name no resource
 * @param {number} [options.accessTokenSeconds] life of an access token from a login
 * @param {object} [options.extraClaims] further claims of those
 * @param {object} [options.permissions] account -> names: the API has RBAC, so that a user is granted
 *     no other scopes, and all of these are in `permissions` of the access token
 * @returns {Promise<Tenant>} to be ended with close()
 */
export async function startTenant({
    port = 0,
    profile = 'rfc9068',
    scopes = ['mcp:use', 'mcp:admin'],
    resource = 'https://mcp.example.com/mcp',
    accessTokenSeconds = 3600,
    extraClaims = {},
    permissions,
} = {}) {
    const bound = port || (await freePort());
    const tenant = new Tenant({
        port: bound,
        issuer: `http://${HOST}:${bound}/`,
        profile,
        scopes,
        resource,
        accessTokenSeconds,
        extraClaims,
        permissions,
        keys: [await newSigningKey()],
    });
    await tenant.up();
    return tenant;
}
