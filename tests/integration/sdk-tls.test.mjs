// SPDX-License-Identifier: Apache-2.0
// Both generations of the official TypeScript SDK over https: discovery, login, calls, and streams
// that begin and end as without it.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import tls from 'node:tls';

import * as v2 from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import * as v1 from '@modelcontextprotocol/sdk/client/streamableHttp.js';

import { makeCertificates } from './lib/certs.mjs';
import { startEverything } from './lib/everything.mjs';
import { startMcp2026 } from './lib/mcp2026.mjs';
import { connectWithLogin, MemoryOAuthClient } from './lib/oauth-client.mjs';
import { openScene } from './lib/scene.mjs';

const NAME = { name: 'integration-test', version: '1.0.0' };

for (const [what, options] of [
    [
        'v1',
        {
            server: startEverything,
            Client: ClientV1,
            Transport: v1.StreamableHTTPClientTransport,
            finish: (refused, redirect) => refused.finishAuth(redirect.get('code')),
        },
    ],
    [
        'v2, revision 2026-07-28',
        {
            server: startMcp2026,
            Client: v2.Client,
            Transport: v2.StreamableHTTPClientTransport,
            more: { versionNegotiation: { mode: { pin: '2026-07-28' } } },
            finish: (refused, redirect) => refused.finishAuth(redirect),
        },
    ],
])
    describe(`SDK ${what} over https`, () => {
        const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-sdk-tls-'));
        const system = tls.getCACertificates();
        let scene;
        let client;
        before(async () => {
            const { ca, server } = makeCertificates(folder);
            tls.setDefaultCACertificates([...system, fs.readFileSync(ca.cert, 'utf8')]);
            scene = await openScene({
                server: options.server,
                tls: { certificate: server.cert, key: server.key },
                route: { scopes: ['mcp:use'] },
            });
        });
        after(async () => {
            await client?.close();
            await scene?.close();
            tls.setDefaultCACertificates(system);
            fs.rmSync(folder, { recursive: true });
        });

        test('finds its way from the challenge to a login', async () => {
            const provider = new MemoryOAuthClient();
            client = new options.Client(NAME, options.more);
            assert.match(scene.gate.url(), /^https:/);
            await connectWithLogin({
                client,
                provider,
                makeTransport: () =>
                    new options.Transport(new URL(scene.gate.url()), { authProvider: provider }),
                finish: options.finish,
            });
            assert.equal(provider.authorizations, 1);
        });

        test('lists and calls tools', async () => {
            const { tools } = await client.listTools();
            assert.ok(tools.some((tool) => tool.name === 'echo'));
            const echo = await client.callTool({ name: 'echo', arguments: { message: 'hi' } });
            assert.match(JSON.stringify(echo.content), /hi/);
        });

        test('many calls at once', async () => {
            const calls = Array.from({ length: 50 }, (_, i) =>
                client.callTool({ name: 'echo', arguments: { message: `number ${i}` } }),
            );
            for (const [i, result] of (await Promise.all(calls)).entries())
                assert.match(JSON.stringify(result.content), new RegExp(`number ${i}\\b`));
        });
    });
