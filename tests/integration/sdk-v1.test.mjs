// SPDX-License-Identifier: Apache-2.0
// The official TypeScript SDK, first generation (revisions up to 2025-11-25), through Portcullis to
// the reference server: from the first 401 to a login, calls, a session with its stream, refresh, end.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { LoggingMessageNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import { decodeJwt, decodeProtectedHeader } from 'jose';

import { startEverything } from './lib/everything.mjs';
import { connectWithLogin, MemoryOAuthClient } from './lib/oauth-client.mjs';
import { eventually } from './lib/observe.mjs';
import { openScene } from './lib/scene.mjs';
import { PROFILES } from './lib/tokens.mjs';

for (const profile of PROFILES)
    describe(`SDK v1 with ${profile} tokens`, () => {
        let scene;
        let client;
        let provider;
        let transport;
        const streams = []; // answers to GET
        before(async () => {
            scene = await openScene({
                tenant: { profile },
                server: startEverything,
                // What a client asks for when the challenge names no scopes.
                route: { scopes_supported: ['mcp:use', 'offline_access'] },
            });
            provider = new MemoryOAuthClient();
            client = new Client({ name: 'integration-test', version: '1.0.0' });
        });
        after(async () => {
            await client?.close();
            await scene?.close();
        });

        test('logs in: challenge, metadata, registration, code with PKCE', async () => {
            transport = await connectWithLogin({
                client,
                provider,
                makeTransport: () =>
                    new StreamableHTTPClientTransport(new URL(scene.gate.url()), {
                        authProvider: provider,
                        fetch: async (url, init) => {
                            const answer = await fetch(url, init);
                            if (init?.method === 'GET') streams.push(answer);
                            return answer;
                        },
                    }),
                finish: (refused, redirect) => refused.finishAuth(redirect.get('code')),
            });
            const asked = provider.authorizationUrl.searchParams;
            assert.equal(asked.get('resource'), scene.gate.url());
            assert.equal(asked.get('code_challenge_method'), 'S256');
            assert.match(asked.get('scope'), /\bmcp:use\b/);
            assert.ok(provider.client.client_id, 'it was registered');
            assert.deepEqual(scene.tenant.errors, []);
        });

        test('its token is of the profile that is tested', () => {
            const { access_token: token } = provider.saved;
            const isNew = profile === 'rfc9068';
            assert.equal(decodeProtectedHeader(token).typ, isNew ? 'at+jwt' : 'JWT');
            assert.deepEqual(
                [decodeJwt(token).aud].flat().includes(scene.gate.url()),
                true,
                'the audience is the resource',
            );
        });

        test('lists and calls tools', async () => {
            const { tools } = await client.listTools();
            assert.ok(tools.some((tool) => tool.name === 'echo'));
            const echoed = await client.callTool({ name: 'echo', arguments: { message: 'hello' } });
            assert.deepEqual(echoed.content, [{ type: 'text', text: 'Echo: hello' }]);
            const sum = await client.callTool({ name: 'get-sum', arguments: { a: 2, b: 40 } });
            assert.match(sum.content[0].text, /42/);
        });

        test('lists and reads resources and prompts', async () => {
            const { resources } = await client.listResources();
            const read = await client.readResource({ uri: resources[0].uri });
            assert.equal(read.contents[0].uri, resources[0].uri);
            const { prompts } = await client.listPrompts();
            assert.ok(prompts.length > 0);
        });

        test('gets the progress of a long call while it runs', async () => {
            const progress = [];
            await client.callTool(
                { name: 'trigger-long-running-operation', arguments: { duration: 1, steps: 4 } },
                undefined,
                { onprogress: (step) => progress.push({ ...step, at_ms: performance.now() }) },
            );
            assert.deepEqual(
                progress.map((step) => step.progress),
                [1, 2, 3, 4],
            );
            const first = progress[0].at_ms;
            assert.ok(progress.at(-1).at_ms - first > 400, 'events came one by one');
        });

        test('gets notifications on the GET stream of its session', async () => {
            const [stream] = streams.filter((answer) => answer.url === scene.gate.url());
            assert.equal(stream.status, 200);
            assert.equal(stream.headers.get('content-type'), 'text/event-stream');
            assert.equal(stream.headers.get('x-accel-buffering'), 'no');
            const messages = [];
            client.setNotificationHandler(LoggingMessageNotificationSchema, (message) =>
                messages.push(message),
            );
            await client.callTool({ name: 'toggle-simulated-logging', arguments: {} });
            await eventually(() => messages.length > 0, 'a log message', { timeoutMs: 30_000 });
            await client.callTool({ name: 'toggle-simulated-logging', arguments: {} });
        });

        test('a refused token is refreshed without a new login', async () => {
            const before = provider.saves;
            const { redirect } = provider;
            // What happens when the token expires between two calls.
            provider.saved = {
                ...provider.saved,
                access_token: scene.tenant.mint({ exp: 1 }),
            };
            const echoed = await client.callTool({ name: 'echo', arguments: { message: 'again' } });
            assert.deepEqual(echoed.content, [{ type: 'text', text: 'Echo: again' }]);
            assert.equal(provider.saves, before + 1);
            assert.equal(provider.redirect, redirect);
        });

        test('ends its session with DELETE', async () => {
            const { sessionId } = transport;
            assert.ok(sessionId);
            await transport.terminateSession();
            const answer = await scene.post(provider.saved.access_token, {
                headers: { 'Mcp-Session-Id': sessionId },
            });
            assert.equal(answer.status, 400, 'server-everything does not know it any more');
            assert.match(answer.content, /No valid session ID/);
        });
    });

test('a user who says no gets no token, and the client hears why', async () => {
    const scene = await openScene({ server: startEverything });
    try {
        const provider = new MemoryOAuthClient({ answer: 'deny' });
        const client = new Client({ name: 'integration-test', version: '1.0.0' });
        const transport = new StreamableHTTPClientTransport(new URL(scene.gate.url()), {
            authProvider: provider,
        });
        await assert.rejects(client.connect(transport), /Unauthorized/);
        assert.equal(provider.redirect.searchParams.get('error'), 'access_denied');
        assert.equal(provider.saved, undefined);
    } finally {
        await scene.close();
    }
});
