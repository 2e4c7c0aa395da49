// SPDX-License-Identifier: Apache-2.0
// Login without registration: the client id is the URL of a Client ID Metadata Document, which is then
// the `client_id` or `azp` of the token.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { decodeJwt } from 'jose';

import { startMcp2026 } from './lib/mcp2026.mjs';
import { connectWithLogin, MemoryOAuthClient } from './lib/oauth-client.mjs';
import { openScene } from './lib/scene.mjs';
import { PROFILES } from './lib/tokens.mjs';

const CLIENT_ID = 'https://app.example.com/oauth/client.json';

for (const profile of PROFILES)
    test(`a client whose id is a URL gets through with its ${profile} token`, async () => {
        const scene = await openScene({
            tenant: { profile },
            server: startMcp2026,
            route: { scopes: ['mcp:use'], identity: { 'X-Client': ['client_id', 'azp'] } },
        });
        try {
            const provider = new MemoryOAuthClient({ clientMetadataUrl: CLIENT_ID });
            scene.tenant.documents.set(CLIENT_ID, {
                client_id: CLIENT_ID,
                ...provider.clientMetadata,
            });
            const client = new Client(
                { name: 'integration-test', version: '1.0.0' },
                { versionNegotiation: { mode: { pin: '2026-07-28' } } },
            );
            await connectWithLogin({
                client,
                provider,
                makeTransport: () =>
                    new StreamableHTTPClientTransport(new URL(scene.gate.url()), {
                        authProvider: provider,
                    }),
                finish: (refused, redirect) => refused.finishAuth(redirect),
            });
            assert.equal(provider.authorizationUrl.searchParams.get('client_id'), CLIENT_ID);
            const claims = decodeJwt(provider.saved.access_token);
            assert.equal(claims.client_id ?? claims.azp, CLIENT_ID);

            const sum = await client.callTool({ name: 'add', arguments: { a: 1, b: 2 } });
            assert.deepEqual(sum.content, [{ type: 'text', text: '3' }]);
            assert.equal(scene.server.requests.at(-1).headers['x-client'], CLIENT_ID);
            assert.deepEqual(scene.tenant.errors, []);
            await client.close();
        } finally {
            await scene.close();
        }
    });
