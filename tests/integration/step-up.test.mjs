// SPDX-License-Identifier: Apache-2.0
// Step-up from end to end: clients of both SDKs begin with little, see only what they may use, are told
// which scopes would help, get them by themselves, and are let in; where nothing would help, nobody is
// sent to log in for it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import * as v2 from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

import { denialText } from './lib/doors.mjs';
import { startEverything } from './lib/everything.mjs';
import { NOTE, startMcp2026 } from './lib/mcp2026.mjs';
import { connectWithLogin, MemoryOAuthClient, withStepUp } from './lib/oauth-client.mjs';
import { openScene } from './lib/scene.mjs';

const INFO = { name: 'integration-test', version: '1.0.0' };

/** Servers, and what the tests use of them. */
const everything = {
    server: startEverything,
    first: { name: 'echo', arguments: { message: 'hello' } },
    firstSays: 'Echo: hello',
    second: { name: 'get-sum', arguments: { a: 2, b: 40 } },
    never: { name: 'get-env', arguments: {} },
    prompt: 'simple-prompt',
    resource: 'demo://resource/dynamic/text/1',
    resources: 'demo://resource/dynamic/text/*',
    template: 'demo://resource/dynamic/text/{resourceId}',
};
const mcp2026 = {
    server: startMcp2026,
    first: { name: 'echo', arguments: { message: 'hello' } },
    firstSays: 'hello',
    second: { name: 'add', arguments: { a: 2, b: 40 } },
    never: { name: 'count', arguments: { to: 1 } },
    prompt: 'greet',
    resource: NOTE,
    resources: 'test://*',
    template: null,
};

/** How an application makes a client and a transport of each SDK. KEEPS: a new token has the scopes of
 *  the old one, too, and not only those that the challenge names. */
const newer = (mode) => ({
    client: () => new v2.Client(INFO, { versionNegotiation: { mode } }),
    transport: (url, options) => new v2.StreamableHTTPClientTransport(url, options),
    finish: (transport, redirect) => transport.finishAuth(redirect),
    keeps: true,
});
const older = {
    client: () => new ClientV1(INFO),
    transport: (url, options) => new TransportV1(url, options),
    finish: (transport, redirect) => transport.finishAuth(redirect.get('code')),
    keeps: false,
};

const CASES = [
    ['SDK 1.x, server-everything', older, everything],
    ['SDK 2.x, server-everything', newer('auto'), everything],
    ['SDK 2.x, revision 2026-07-28', newer({ pin: '2026-07-28' }), mcp2026],
];

const rulesFor = (parts) => [
    { tools: [parts.never.name], allow: false },
    { tools: ['*'], permission: 'tool:{name}' },
    { prompts: ['*'], permission: 'prompt:{name}' },
    { resources: [parts.resources], scopes: ['read:text'] },
];
const scopesFor = (parts) => [
    'mcp:use',
    `tool:${parts.first.name}`,
    `tool:${parts.second.name}`,
    `tool:${parts.never.name}`,
    `prompt:${parts.prompt}`,
    'read:text',
];

/** Logs in at SCENE: { client, provider, transport, finish }. */
async function logIn(scene, sdk) {
    const provider = new MemoryOAuthClient();
    const client = sdk.client();
    const makeTransport = () =>
        sdk.transport(new URL(scene.gate.url()), { authProvider: provider });
    const { finish } = sdk;
    const transport = await connectWithLogin({ client, provider, makeTransport, finish });
    return { client, provider, transport, finish };
}

const open = (parts, route = {}, tenant = {}) =>
    openScene({
        tenant: { scopes: scopesFor(parts), ...tenant },
        server: parts.server,
        route: { scopes: ['mcp:use'], rules: rulesFor(parts), ...route },
    });

for (const [title, sdk, parts] of CASES)
    describe(`step-up with ${title}`, () => {
        let scene;
        let connection;
        before(async () => {
            scene = await open(parts);
            connection = await logIn(scene, sdk);
        });
        after(async () => {
            await connection?.client.close();
            await scene?.close();
        });

        const toolNames = async () =>
            (await connection.client.listTools()).tools.map((tool) => tool.name).sort();
        const asked = () =>
            connection.provider.authorizationUrl.searchParams
                .get('scope')
                .split(' ')
                .filter((scope) => scope !== 'offline_access')
                .sort();

        /** ACT needs one more authorization, which asks for SCOPES at least. */
        async function stepsUp(act, ...scopes) {
            const { provider } = connection;
            const before = provider.authorizations;
            const result = await withStepUp(connection, act);
            assert.equal(provider.authorizations, before + 1);
            for (const scope of ['mcp:use', ...scopes]) assert.ok(asked().includes(scope), scope);
            if (!sdk.keeps) assert.deepEqual(asked(), ['mcp:use', ...scopes].sort());
            assert.deepEqual(scene.tenant.errors, []);
            return result;
        }

        test('the login is for the scope of the route, and all lists are empty', async () => {
            const { client } = connection;
            assert.deepEqual(asked(), ['mcp:use']);
            assert.deepEqual(await toolNames(), []);
            assert.deepEqual((await client.listPrompts()).prompts, []);
            assert.deepEqual((await client.listResources()).resources, []);
            const { resourceTemplates } = await client.listResourceTemplates();
            assert.deepEqual(resourceTemplates, []);
        });

        test('a tool is called after a step-up, and then it is in the list, alone', async () => {
            const scope = `tool:${parts.first.name}`;
            const result = await stepsUp(() => connection.client.callTool(parts.first), scope);
            assert.deepEqual(result.content, [{ type: 'text', text: parts.firstSays }]);
            assert.deepEqual(await toolNames(), [parts.first.name]);
        });

        test('it may be called again without another login', async () => {
            const before = connection.provider.authorizations;
            const result = await connection.client.callTool(parts.first);
            assert.equal(result.content[0].text, parts.firstSays);
            assert.equal(connection.provider.authorizations, before);
        });

        test('another tool is another step-up', async () => {
            const scope = `tool:${parts.second.name}`;
            const result = await stepsUp(() => connection.client.callTool(parts.second), scope);
            assert.match(result.content[0].text, /42/);
            const names = sdk.keeps
                ? [parts.first.name, parts.second.name].sort()
                : [parts.second.name];
            assert.deepEqual(await toolNames(), names);
        });

        test('a prompt is the same', async () => {
            const { client } = connection;
            const got = await stepsUp(
                () => client.getPrompt({ name: parts.prompt }),
                `prompt:${parts.prompt}`,
            );
            assert.ok(got.messages.length > 0);
            const { prompts } = await client.listPrompts();
            assert.deepEqual(
                prompts.map((prompt) => prompt.name),
                [parts.prompt],
            );
        });

        test('a resource is the same', async () => {
            const { client } = connection;
            const got = await stepsUp(
                () => client.readResource({ uri: parts.resource }),
                'read:text',
            );
            assert.equal(got.contents[0].uri, parts.resource);
            const { resourceTemplates } = await client.listResourceTemplates();
            const templates = resourceTemplates.map((template) => template.uriTemplate);
            assert.deepEqual(templates, parts.template ? [parts.template] : []);
            const { resources } = await client.listResources();
            assert.deepEqual(
                resources.map((resource) => resource.uri),
                parts.template ? [] : [parts.resource],
            );
        });

        test('what nobody may use is refused at once, and sends nobody to log in', async () => {
            const { client, provider } = connection;
            const { authorizations, saves } = provider;
            for (let i = 0; i < 3; i++)
                await assert.rejects(client.callTool(parts.never), /access_denied/);
            assert.equal(provider.authorizations, authorizations);
            assert.equal(provider.saves, saves, 'nor for another token');
        });
    });

for (const [title, sdk, parts] of CASES)
    test(`on_deny "tool_error" is a result for ${title}`, async () => {
        const scene = await open(parts, { on_deny: 'tool_error' });
        try {
            const { client, provider } = await logIn(scene, sdk);
            const { authorizations } = provider;
            for (const call of [parts.first, parts.never]) {
                const result = await client.callTool(call);
                assert.equal(result.isError, true);
                assert.deepEqual(result.content, [{ type: 'text', text: denialText(call.name) }]);
            }
            assert.equal(provider.authorizations, authorizations);
            await client.close();
        } finally {
            await scene.close();
        }
    });

test('permissions of the tenant decide, whatever was consented', async () => {
    const permissions = { 'auth0|ada': ['mcp:use', 'tool:echo'] };
    const scene = await open(everything, { authorize_on: 'permissions' }, { permissions });
    try {
        const { client, provider } = await logIn(scene, newer('auto'));
        const { authorizations } = provider;
        const { tools } = await client.listTools();
        assert.deepEqual(
            tools.map((tool) => tool.name),
            ['echo'],
        );
        const echoed = await client.callTool(everything.first);
        assert.equal(echoed.content[0].text, everything.firstSays);
        await assert.rejects(client.callTool(everything.second), /access_denied/);
        assert.equal(provider.authorizations, authorizations);
        await client.close();
    } finally {
        await scene.close();
    }
});

test('with "both", consent is asked for what the user may, and for nothing else', async () => {
    const permissions = { 'auth0|ada': ['mcp:use', 'tool:echo'] };
    const scene = await open(everything, { authorize_on: 'both' }, { permissions });
    try {
        const connection = await logIn(scene, newer('auto'));
        const { client, provider } = connection;
        const { authorizations } = provider;
        await assert.rejects(client.callTool(everything.second), /access_denied/);
        assert.equal(provider.authorizations, authorizations);
        const echoed = await withStepUp(connection, () => client.callTool(everything.first));
        assert.equal(echoed.content[0].text, everything.firstSays);
        assert.equal(provider.authorizations, authorizations + 1);
        await client.close();
    } finally {
        await scene.close();
    }
});

test('a scope that the tenant does not give ends in an error, not in a loop', async () => {
    const permissions = { 'auth0|ada': ['mcp:use'] };
    const scene = await open(everything, {}, { permissions });
    try {
        for (const sdk of [older, newer('auto')]) {
            const connection = await logIn(scene, sdk);
            const { client, provider } = connection;
            const { authorizations } = provider;
            const act = () => client.callTool(everything.first);
            await assert.rejects(withStepUp(connection, act), /403|insufficient|Unauthorized/i);
            assert.ok(provider.authorizations - authorizations <= 2);
            await client.close();
        }
    } finally {
        await scene.close();
    }
});
