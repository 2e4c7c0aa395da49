// SPDX-License-Identifier: Apache-2.0
// Head and body agree (2026-07-28, Streamable HTTP, "Server Validation"; T12): a field that mirrors
// the body and differs from it, came twice, or is missing where the revision requires it, is refused
// with the request's id, and the upstream sees nothing. Older revisions need none of the fields.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

import { batch, notification, openDoors, toolCall } from './lib/doors.mjs';
import { startEverything } from './lib/everything.mjs';
import { NOTE, PROMPTS, startMcp2026 } from './lib/mcp2026.mjs';
import { openScene } from './lib/scene.mjs';
import { call } from './lib/stage.mjs';

const MODERN = '2026-07-28';
const HEADER_MISMATCH = -32020;
const USE = 'mcp:use';

const meta = (revision) => ({
    'io.modelcontextprotocol/protocolVersion': revision,
    'io.modelcontextprotocol/clientCapabilities': {},
});
const modern = (method, params = {}, revision = MODERN) =>
    call(method, { _meta: meta(revision), ...params }, 7);
const legacy = (method, params = {}) => call(method, params, 7);
const sentinel = (text) => `=?base64?${Buffer.from(text).toString('base64')}?=`;

/** Header lines from values; null leaves a field out, an array sends it several times. */
function head({ version = MODERN, method = null, name = null }) {
    const lines = (field, value) =>
        value === null ? [] : [value].flat().map((one) => `${field}: ${one}`);
    return [
        ...lines('MCP-Protocol-Version', version),
        ...lines('Mcp-Method', method),
        ...lines('Mcp-Name', name),
    ];
}
const toolHead = (more = {}) => head({ method: 'tools/call', name: 'echo', ...more });

const echo = modern('tools/call', { name: 'echo' });
const oldEcho = legacy('tools/call', { name: 'echo' });
const named = (name) => modern('tools/call', { name });
const read = modern('resources/read', { uri: 'demo://a' });

/** [header lines, body, why] that pass. */
const GOOD = [
    [toolHead(), echo, 'all that the revision asks for'],
    [toolHead().map((line) => line.toLowerCase()), echo, 'fields in lower case'],
    [toolHead().map((line) => line.replace(/^[^:]+/, (n) => n.toUpperCase())), echo, 'in capitals'],
    [toolHead({ name: sentinel('echo') }), echo, 'base64 of what needs none'],
    [toolHead({ name: sentinel('grüße ☃') }), named('grüße ☃'), 'base64 of what needs it'],
    [toolHead({ name: sentinel(' echo ') }), named(' echo '), 'blanks around'],
    [toolHead({ name: sentinel(sentinel('x')) }), named(sentinel('x')), 'what looks like base64'],
    [toolHead({ name: 'a b' }), named('a b'), 'a blank inside'],
    [toolHead({ name: '=?base64?' }), named('=?base64?'), 'the begin of the form only'],
    [head({ method: 'resources/read', name: 'demo://a' }), read, 'a uri'],
    [head({ method: 'prompts/get', name: 'p' }), modern('prompts/get', { name: 'p' }), 'a prompt'],
    [head({ method: 'tools/list' }), modern('tools/list'), 'a method without a name'],
    [head({ method: 'server/discover' }), modern('server/discover'), 'the probe'],
    [
        head({ version: '2027-01-01', method: 'tools/list' }),
        modern('tools/list', {}, '2027-01-01'),
        'a later revision',
    ],
    [head({}), notification('notifications/cancelled', { requestId: 1 }), 'a notification'],
    [
        head({ method: 'notifications/cancelled' }),
        notification('notifications/cancelled', { requestId: 1 }),
        'a notification with its method',
    ],
    [[], oldEcho, 'no field at all: before 2025-06-18'],
    [head({ version: '2025-03-26' }), oldEcho, 'an older revision'],
    [head({ version: '2025-11-25' }), oldEcho, 'another older revision'],
    [toolHead({ version: '2025-06-18' }), oldEcho, 'fields of a later revision that are true'],
    [toolHead({ version: null }), oldEcho, 'the same without a revision'],
    [head({ version: 'banana' }), oldEcho, 'a revision that the server may know'],
    [head({ version: '2025-11-25' }), '{"jsonrpc":"2.0","id":1,"result":{}}', 'an old response'],
    [head({ version: '2025-03-26' }), batch(oldEcho, oldEcho.replace('7', '8')), 'an old batch'],
];

/** [header lines, body, why] that are refused with -32020. */
const BAD = [
    [[], echo, 'no field, but the body says which revision it is'],
    [toolHead({ version: null }), echo, 'no revision'],
    [toolHead({ method: null }), echo, 'no method'],
    [toolHead({ name: null }), echo, 'no name'],
    [head({ method: 'resources/read' }), read, 'no uri'],
    [head({ method: 'prompts/get' }), modern('prompts/get', { name: 'p' }), 'no name of a prompt'],
    [toolHead({ version: '2025-11-25' }), echo, 'another revision, older'],
    [toolHead({ version: '2026-07-29' }), echo, 'another revision, later'],
    [toolHead({ version: `${MODERN}, ${MODERN}` }), echo, 'the revision twice in a line'],
    [toolHead({ method: 'tools/list' }), echo, 'another method'],
    [toolHead({ method: 'Tools/Call' }), echo, 'the method in another case'],
    [toolHead({ method: 'tools/call, tools/list' }), echo, 'two methods in a line'],
    [toolHead({ method: sentinel('tools/call') }), echo, 'base64 is for the name only'],
    [toolHead({ method: '' }), echo, 'an empty method'],
    [toolHead({ name: 'add' }), echo, 'another name'],
    [toolHead({ name: 'Echo' }), echo, 'the name in another case'],
    [toolHead({ name: '' }), echo, 'an empty name'],
    [toolHead({ name: '"echo"' }), echo, 'a name in quotes'],
    [toolHead({ name: 'ech%6f' }), echo, 'a name in percent-encoding'],
    [toolHead({ name: sentinel('add') }), echo, 'another name in base64'],
    [toolHead({ name: '=?base64?ZWNobw?=' }), echo, 'base64 without padding'],
    [toolHead({ name: '=?base64?ZWNobw=?=' }), echo, 'half of the padding'],
    [toolHead({ name: '=?base64?ZWNobw===?=' }), echo, 'too much padding'],
    [toolHead({ name: '=?base64?ZWNobx==?=' }), echo, 'unused bits'],
    [toolHead({ name: '=?base64?ZWNo bw==?=' }), echo, 'a blank inside'],
    [toolHead({ name: '=?BASE64?ZWNobw==?=' }), echo, 'the marker in capitals'],
    [toolHead({ name: '=?Base64?ZWNobw==?=' }), echo, 'the marker with a capital'],
    [toolHead({ name: '=?utf-8?B?ZWNobw==?=' }), echo, 'an encoded word of mail'],
    [toolHead({ name: '=?base64?/w==?=' }), named('\ufffd'), 'base64 of what is no UTF-8'],
    [toolHead({ name: '=?base64?Pz8_?=' }), named('???'), 'the alphabet of URLs'],
    [toolHead({ name: '=?base64??=' }), echo, 'base64 of nothing'],
    [toolHead({ name: sentinel('x') }), named(sentinel('x')), 'a name that looks like base64'],
    [head({ method: 'resources/read', name: 'demo://A' }), read, 'another uri'],
    [toolHead(), legacy('tools/call', { name: 'echo' }), 'no _meta'],
    [toolHead(), legacy('tools/call', { name: 'echo', _meta: {} }), 'an empty _meta'],
    [toolHead(), named('echo').replace(`"${MODERN}"`, '"2025-06-18"'), 'an older _meta'],
    [toolHead(), named('echo').replace(`"${MODERN}"`, '"2026-07-28 "'), 'a blank in _meta'],
    [head({ method: 'tools/list' }), legacy('tools/list'), 'no _meta, no name'],
    [head({ method: 'initialize' }), legacy('initialize'), 'a handshake under this revision'],
    [toolHead({ version: '2025-06-18', method: 'ping' }), oldEcho, 'older: another method'],
    [toolHead({ version: '2025-06-18', name: 'add' }), oldEcho, 'older: another name'],
    [toolHead({ version: null, name: 'add' }), oldEcho, 'no revision: another name'],
    [toolHead({ version: null, method: 'ping' }), oldEcho, 'no revision: another method'],
    [toolHead({ version: 'banana', method: 'ping' }), oldEcho, 'odd revision: another method'],
];

/** [header lines, body, why]: a field twice. */
const TWICE = [
    [toolHead({ version: [MODERN, MODERN] }), echo, 'the revision twice'],
    [toolHead({ version: [MODERN, '2025-11-25'] }), echo, 'two revisions'],
    [toolHead({ version: ['2025-06-18', '2025-06-18'] }), oldEcho, 'an older one twice'],
    [toolHead({ method: ['tools/call', 'tools/call'] }), echo, 'the method twice'],
    [toolHead({ method: ['tools/call', 'tools/list'] }), echo, 'two methods'],
    [toolHead({ name: ['echo', 'echo'] }), echo, 'the name twice'],
    [toolHead({ name: ['echo', 'add'] }), echo, 'two names'],
];

const cancelled = notification('notifications/cancelled', { requestId: 1 });
/** [header lines, body, code, why]: without an id. */
const BAD_WITHOUT_ID = [
    [
        head({ method: 'tools/list' }),
        cancelled,
        HEADER_MISMATCH,
        'a notification of another method',
    ],
    [head({ version: null, method: 'ping' }), cancelled, HEADER_MISMATCH, 'the same, older'],
    [head({ version: '2025-03-26', method: 'ping' }), batch(oldEcho), HEADER_MISMATCH, 'a batch'],
    [head({}), batch(echo), -32600, 'a batch in this revision'],
    [toolHead(), batch(echo), -32600, 'a batch with the fields of its member'],
];

describe('head and body', () => {
    let stage;
    let doors;
    before(async () => {
        const rules = [{ tools: ['secret'], allow: false }];
        ({ stage, doors } = await openDoors({ mcp: { rules, default: 'allow' }, bare: {} }));
    });
    after(() => stage?.close());

    test('what agrees passes, and arrives as it was sent', async (t) => {
        for (const [headers, body, why] of GOOD)
            await t.test(why, async () => {
                await doors.mcp.allows(body, USE, { headers });
                for (const line of headers) {
                    const [field, value] = line.split(/: ?(.*)/s);
                    assert.ok(stage.upstream.last.all(field).includes(value), line);
                }
                await doors.bare.allows(body, USE, { headers });
            });
    });

    test('what differs is refused, with rules and without', async (t) => {
        for (const [headers, body, why] of BAD)
            await t.test(why, async () => {
                for (const door of [doors.mcp, doors.bare]) {
                    const expected = { code: HEADER_MISMATCH, id: 7 };
                    await door.refuses(body, USE, expected, { headers });
                }
            });
    });

    test('what has no id is refused without one', async (t) => {
        for (const [headers, body, code, why] of BAD_WITHOUT_ID)
            await t.test(why, () => doors.mcp.refuses(body, USE, { code, id: null }, { headers }));
    });

    test('what comes twice is refused, even when both say the same', async (t) => {
        for (const [headers, body, why] of TWICE)
            await t.test(why, async () => {
                await doors.mcp.refuses(body, USE, { code: HEADER_MISMATCH, id: 7 }, { headers });
            });
    });

    test('a response has no place in this revision', async () => {
        const answer = await doors.mcp.ask('{"jsonrpc":"2.0","id":7,"result":{}}', USE, {
            headers: head({}),
        });
        assert.equal(answer.status, 400, answer.text);
        assert.equal(answer.json.error.code, -32600);
    });

    test('a field with raw bytes of UTF-8 does not stand for the name', async () => {
        const name = Buffer.from('grüße').toString('latin1');
        const before = stage.upstream.requests.length;
        const answer = await doors.mcp.ask(named('grüße'), USE, { headers: toolHead({ name }) });
        assert.equal(answer.status, 400, answer.text);
        assert.equal(stage.upstream.requests.length, before);
    });

    test('agreement allows nothing: the rules decide on the body', async () => {
        await doors.mcp.forbids(named('secret'), USE, { headers: toolHead({ name: 'secret' }) });
        await doors.mcp.forbids(toolCall('secret'), USE);
        await doors.mcp.refuses(
            named('secret'),
            USE,
            { code: HEADER_MISMATCH, id: 7 },
            {
                headers: toolHead(),
            },
        );
    });
});

/** A client of the SDK with a token that was minted; it talks through SCENE as MODE says. */
async function connected(scene, mode) {
    const client = new Client(
        { name: 'integration-test', version: '1.0.0' },
        { versionNegotiation: { mode } },
    );
    const token = scene.tenant.mint({ scope: 'mcp:use' });
    await client.connect(
        new StreamableHTTPClientTransport(new URL(scene.gate.url()), {
            requestInit: { headers: { Authorization: `Bearer ${token}` } },
        }),
    );
    return client;
}

const RULES = [
    { tools: ['echo'], allow: true },
    { prompts: ['*'], allow: true },
    { resources: ['*'], allow: true },
];

test('a real client of this revision passes, names in base64 included', async () => {
    const scene = await openScene({ server: startMcp2026, route: { rules: RULES } });
    try {
        const client = await connected(scene, { pin: MODERN });
        const echoed = await client.callTool({ name: 'echo', arguments: { message: 'hello' } });
        assert.deepEqual(echoed.content, [{ type: 'text', text: 'hello' }]);
        const read = await client.readResource({ uri: NOTE });
        assert.equal(read.contents[0].text, 'note');
        for (const [name, greeting] of Object.entries(PROMPTS)) {
            const prompt = await client.getPrompt({ name });
            assert.equal(prompt.messages[0].content.text, greeting);
        }
        assert.match(scene.server.requests.at(-1).headers['mcp-name'], /^=\?base64\?/);
        await client.close();
    } finally {
        await scene.close();
    }
});

test('a real client that tries this revision falls back to the handshake of 2025', async () => {
    const scene = await openScene({ server: startEverything, route: { rules: RULES } });
    try {
        const client = await connected(scene, 'auto');
        assert.match(client.getNegotiatedProtocolVersion(), /^2025-/);
        const echoed = await client.callTool({ name: 'echo', arguments: { message: 'hello' } });
        assert.deepEqual(echoed.content, [{ type: 'text', text: 'Echo: hello' }]);
        const { tools } = await client.listTools();
        assert.deepEqual(
            tools.map((tool) => tool.name),
            ['echo'],
        );
        await client.close();
    } finally {
        await scene.close();
    }
});
