// SPDX-License-Identifier: Apache-2.0
// The official TypeScript SDK, second generation: revision 2026-07-28 (stateless, POST only, with
// Mcp-Method and Mcp-Name), and the same client against a server that knows the revisions of 2025.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

import { startEverything } from './lib/everything.mjs';
import { startMcp2026 } from './lib/mcp2026.mjs';
import { connectWithLogin, MemoryOAuthClient } from './lib/oauth-client.mjs';
import { openScene } from './lib/scene.mjs';
import { PROFILES } from './lib/tokens.mjs';

const REVISION = '2026-07-28';

/** A client that logged in at SCENE, negotiating as MODE says. */
async function connected(scene, mode) {
    const provider = new MemoryOAuthClient();
    const client = new Client(
        { name: 'integration-test', version: '1.0.0' },
        { versionNegotiation: { mode } },
    );
    const transport = await connectWithLogin({
        client,
        provider,
        makeTransport: () =>
            new StreamableHTTPClientTransport(new URL(scene.gate.url()), {
                authProvider: provider,
            }),
        finish: (refused, redirect) => refused.finishAuth(redirect),
    });
    return { client, provider, transport };
}

for (const profile of PROFILES)
    describe(`SDK v2, revision ${REVISION}, with ${profile} tokens`, () => {
        let scene;
        let client;
        let provider;
        before(async () => {
            scene = await openScene({
                tenant: { profile },
                server: startMcp2026,
                route: { scopes: ['mcp:use'] },
            });
        });
        after(async () => {
            await client?.close();
            await scene?.close();
        });

        test('logs in with the issuer checked byte for byte', async () => {
            ({ client, provider } = await connected(scene, { pin: REVISION }));
            assert.equal(client.getNegotiatedProtocolVersion(), REVISION);
            assert.equal(provider.redirect.searchParams.get('iss'), scene.tenant.issuer);
            assert.deepEqual(scene.tenant.errors, []);
        });

        test('asked for the scope of the challenge, and for a refresh token', () => {
            const scopes = provider.authorizationUrl.searchParams.get('scope').split(' ');
            assert.deepEqual(scopes.sort(), ['mcp:use', 'offline_access']);
            assert.ok(provider.saved.refresh_token);
        });

        test('lists and calls tools', async () => {
            const { tools } = await client.listTools();
            assert.deepEqual(tools.map((tool) => tool.name).sort(), ['add', 'count', 'echo']);
            const sum = await client.callTool({ name: 'add', arguments: { a: 2, b: 40 } });
            assert.deepEqual(sum.content, [{ type: 'text', text: '42' }]);
        });

        test('the headers of the revision arrive as sent', () => {
            const { headers } = scene.server.requests.at(-1);
            assert.equal(headers['mcp-protocol-version'], REVISION);
            assert.equal(headers['mcp-method'], 'tools/call');
            assert.equal(headers['mcp-name'], 'add');
            assert.equal(headers.authorization, undefined);
        });

        test('gets the progress of a call as server-sent events', async () => {
            const progress = [];
            const result = await client.callTool(
                { name: 'count', arguments: { to: 5 } },
                { onprogress: (step) => progress.push(step.progress) },
            );
            assert.deepEqual(progress, [1, 2, 3, 4, 5]);
            assert.deepEqual(result.content, [{ type: 'text', text: '5' }]);
        });

        test('errors of the server arrive as its own', async () => {
            await assert.rejects(
                client.callTool({ name: 'no-such-tool', arguments: {} }),
                /no-such-tool/,
            );
        });

        test('a refused token is refreshed without a new login', async () => {
            const before = provider.saves;
            const { redirect } = provider;
            provider.saved = { ...provider.saved, access_token: scene.tenant.mint({ exp: 1 }) };
            const echoed = await client.callTool({ name: 'echo', arguments: { message: 'again' } });
            assert.deepEqual(echoed.content, [{ type: 'text', text: 'again' }]);
            assert.equal(provider.saves, before + 1);
            assert.equal(provider.redirect, redirect);
        });
    });

test('SDK v2 falls back to the handshake of 2025 behind the gate', async () => {
    const scene = await openScene({ server: startEverything, route: { scopes: ['mcp:use'] } });
    try {
        const { client } = await connected(scene, 'auto');
        assert.match(client.getNegotiatedProtocolVersion(), /^2025-/);
        const { tools } = await client.listTools();
        assert.ok(tools.some((tool) => tool.name === 'echo'));
        await client.close();
    } finally {
        await scene.close();
    }
});

test('SDK v2 asks for more when a scope is missing: step-up by 403', async () => {
    const scene = await openScene({ server: startMcp2026, route: { scopes: ['mcp:use'] } });
    try {
        const { client, provider, transport } = await connected(scene, { pin: REVISION });
        const first = provider.authorizationUrl;
        provider.saved = {
            ...provider.saved,
            access_token: scene.tenant.mint({ scope: 'offline_access' }),
            scope: 'offline_access',
        };
        await assert.rejects(client.listTools(), /Unauthorized/);
        assert.notEqual(provider.authorizationUrl, first, 'it went for another authorization');
        const scopes = provider.authorizationUrl.searchParams.get('scope').split(' ');
        assert.ok(
            scopes.includes('mcp:use') && scopes.includes('offline_access'),
            scopes.join(' '),
        );
        await transport.finishAuth(provider.redirect.searchParams);
        assert.equal((await client.listTools()).tools.length, 3);
        await client.close();
    } finally {
        await scene.close();
    }
});
