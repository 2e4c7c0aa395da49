// SPDX-License-Identifier: Apache-2.0
// What an application gives to the MCP SDKs (v1 and v2 alike) to have them log in: an
// OAuthClientProvider that keeps everything in memory, and a person who logs in at once.
import crypto from 'node:crypto';

import { logIn } from './browser.mjs';

/** Where the tenant sends the browser back to. Nothing listens there: logIn() stops before it. */
export const REDIRECT_URI = 'http://127.0.0.1:7/callback';

export class MemoryOAuthClient {
    #verifier;
    #state = crypto.randomUUID();
    #discovered;

    /**
     * @param {object} [options]
     * @param {string} [options.clientMetadataUrl] of a Client ID Metadata Document, to be the client id
     * @param {string} [options.username] who logs in
     * @param {string} [options.answer] allow or deny
     */
    constructor({ clientMetadataUrl, username = 'ada', answer = 'allow' } = {}) {
        this.clientMetadataUrl = clientMetadataUrl;
        this.username = username;
        this.answer = answer;
        this.client = undefined; // what registration gave
        this.saved = undefined; // the tokens
        this.saves = 0; // how often tokens came: the first login and every refresh
        this.authorizations = 0; // how often a person was sent to log in
        this.authorizationUrl = undefined; // of the last login
        this.redirect = undefined; // where that login ended: code, state, iss
    }

    get redirectUrl() {
        return REDIRECT_URI;
    }

    get clientMetadata() {
        return {
            client_name: 'Portcullis integration test',
            redirect_uris: [REDIRECT_URI],
            grant_types: ['authorization_code', 'refresh_token'],
            response_types: ['code'],
            token_endpoint_auth_method: 'none',
        };
    }

    state() {
        return this.#state;
    }

    clientInformation() {
        return this.client;
    }

    saveClientInformation(client) {
        this.client = client;
    }

    tokens() {
        return this.saved;
    }

    saveTokens(tokens) {
        this.saved = tokens;
        this.saves++;
    }

    saveCodeVerifier(verifier) {
        this.#verifier = verifier;
    }

    codeVerifier() {
        return this.#verifier;
    }

    saveDiscoveryState(state) {
        this.#discovered = state;
    }

    discoveryState() {
        return this.#discovered;
    }

    async redirectToAuthorization(url) {
        this.authorizations++;
        this.authorizationUrl = url;
        this.redirect = await logIn(url, { username: this.username, answer: this.answer });
    }
}

/**
 * Connects CLIENT with transports from MAKE_TRANSPORT: the first attempt is refused and leads to a
 * login, which that transport finishes; the second attempt has the token.
 *
 * @param {object} client a Client of either SDK
 * @param {() => object} makeTransport a new StreamableHTTPClientTransport with PROVIDER
 * @param {MemoryOAuthClient} provider
 * @param {(transport: object, redirect: URLSearchParams) => Promise<void>} finish
 * @returns {Promise<object>} the connected transport
 */
export async function connectWithLogin({ client, makeTransport, provider, finish }) {
    const refused = makeTransport();
    await client.connect(refused).then(
        () => {
            throw new Error('connected without a login');
        },
        (error) => {
            if (provider.redirect === undefined) throw error;
        },
    );
    await finish(refused, provider.redirect.searchParams);
    const transport = makeTransport();
    await client.connect(transport);
    return transport;
}

/**
 * What an application does about a step-up: ACT fails because the SDK has sent the person to another
 * authorization; with the code that came back it goes on, and does it again.
 *
 * @param {object} connection { provider, transport, finish }: see connectWithLogin()
 * @param {() => Promise<T>} act
 * @returns {Promise<T>} what ACT gave in the end
 * @template T
 */
export async function withStepUp({ provider, transport, finish }, act) {
    const before = provider.authorizations;
    try {
        return await act();
    } catch (error) {
        if (provider.authorizations === before) throw error;
    }
    await finish(transport, provider.redirect.searchParams);
    return act();
}
