// SPDX-License-Identifier: Apache-2.0
// Bound sessions with real parts: the SDK's client and the reference server notice nothing of it, and
// another user gets nowhere with the id.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

import { startEverything } from './lib/everything.mjs';
import { openScene } from './lib/scene.mjs';

test('a session of server-everything is refused to another user on all methods', async () => {
    const scene = await openScene({ server: startEverything });
    const client = new Client({ name: 'integration-test', version: '1.0.0' });
    try {
        const tokens = ['auth0|ada', 'auth0|eve'].map((sub) => scene.tenant.mint({ sub }));
        const [ada, eve] = tokens.map((token) => ({ Authorization: `Bearer ${token}` }));
        const url = new URL(scene.gate.url());
        const transport = new StreamableHTTPClientTransport(url, { requestInit: { headers: ada } });
        await client.connect(transport);
        const session = { 'Mcp-Session-Id': transport.sessionId, Accept: 'text/event-stream' };
        for (const method of ['GET', 'DELETE']) {
            const answer = await fetch(url, { method, headers: { ...eve, ...session } });
            assert.equal(answer.status, 404);
            await answer.text();
        }
        const answer = await scene.post(tokens[1], { headers: session });
        assert.equal(answer.status, 404);
        const echoed = await client.callTool({ name: 'echo', arguments: { message: 'mine' } });
        assert.deepEqual(echoed.content, [{ type: 'text', text: 'Echo: mine' }]);
        await transport.terminateSession();
    } finally {
        await client.close();
        await scene.close();
    }
});
