// SPDX-License-Identifier: Apache-2.0
// Lists show only what the caller may use, in JSON and in event streams; all else in the answer stays
// as it was, and what cannot be looked into is refused, never passed on unfiltered.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import zlib from 'node:zlib';

import { assertRpcError } from './lib/answers.mjs';
import { okJson } from './lib/byte-upstream.mjs';
import { batch, notification, openDoors, toolCall } from './lib/doors.mjs';
import { call } from './lib/stage.mjs';

const INSPECT_BYTES = 4096;
const SECRET = 'topsecret'; // in the name of everything that nobody may use

const RULES = [
    { tools: ['echo', 'get-*'], allow: true },
    { prompts: ['simple'], allow: true },
    { prompts: ['*'], permission: 'prompt:{name}' },
    { resources: ['demo://open/*', 'demo://t/{id}'], allow: true },
    { tools: ['*'], permission: 'tool:{name}' },
];
const ROUTES = {
    mcp: { rules: RULES },
    small: { rules: RULES, limits: { response_inspect: INSPECT_BYTES } },
    pass: { rules: RULES, list: 'pass' },
    free: {},
    generous: { rules: [{ tools: ['*'], allow: true }], default: 'allow' },
    sealed: { rules: [{ methods: ['tools/call'], allow: false }], default: 'allow' },
};

/** The four lists: [method, member of the result, what names an entry, kept, removed]. */
const LISTS = [
    ['tools/list', 'tools', 'name', 'echo', SECRET],
    ['prompts/list', 'prompts', 'name', 'simple', SECRET],
    ['resources/list', 'resources', 'uri', 'demo://open/1', `demo://${SECRET}`],
    ['resources/templates/list', 'resourceTemplates', 'uriTemplate', 'demo://t/{id}', SECRET],
];

const LIST_TOOLS = call('tools/list');
const tool = (name) => ({ name, description: `The tool ${name}`, inputSchema: { type: 'object' } });
const listOf = (...names) => ({ jsonrpc: '2.0', id: 1, result: { tools: names.map(tool) } });
const both = JSON.stringify(listOf('echo', SECRET));

/** A JSON answer that is as long as BYTES. */
function paddedTo(bytes) {
    const bare = JSON.stringify({ ...listOf('echo', SECRET), pad: '' });
    return bare.replace('"pad":""', `"pad":"${'p'.repeat(bytes - bare.length)}"`);
}

/** The bytes of an answer with these head lines. */
const answerOf = (status, lines, body) =>
    Buffer.concat([
        Buffer.from(
            [
                `HTTP/1.1 ${status} Whatever`,
                `Content-Length: ${Buffer.byteLength(body)}`,
                ...lines,
                '',
                '',
            ].join('\r\n'),
        ),
        Buffer.from(body),
    ]);

describe('lists in JSON', () => {
    let stage;
    let doors;
    before(async () => {
        ({ stage, doors } = await openDoors(ROUTES));
    });
    beforeEach(() => stage.upstream.forget());
    after(() => stage?.close());

    /** What the caller of DOOR gets when the upstream says BYTES. */
    function through(door, bytes, { body = LIST_TOOLS, caller = '', ...more } = {}) {
        stage.upstream.respond = (request, link) => link.send(bytes);
        return doors[door].ask(body, caller, more);
    }

    for (const [method, member, key, kept, removed] of LISTS)
        test(`${method} shows what may be used, and every other member`, async () => {
            const entry = (name) => ({ title: 't', [key]: name, x: { [key]: removed } });
            const rest = { nextCursor: 'next', _meta: { a: [1] }, unknown: null };
            const result = (...names) => ({
                jsonrpc: '2.0',
                id: 1,
                result: { a: 1, [member]: names.map(entry), ...rest },
            });
            const orders = [
                [kept, removed],
                [removed, kept],
                [removed, kept, removed, kept, kept, removed],
                [removed],
                [removed, removed],
            ];
            for (const names of orders) {
                const from = result(...names);
                const answer = await through('mcp', okJson(JSON.stringify(from)), {
                    body: call(method),
                });
                assert.equal(answer.status, 200, answer.text);
                assert.equal(answer.get('content-type'), 'application/json');
                assert.deepEqual(answer.json, result(...names.filter((name) => name === kept)));
            }
        });

    test('numbers, blanks and escapes of what stays are kept byte for byte', async () => {
        const kept = '{ "name" : "ech\\u006f" ,"n": [1.00,1e2, 12345678901234567890] }';
        const text = (entries) =>
            ` {"jsonrpc":"2.0", "id":1,\n"result":{"tools":[${entries}], "nextCursor":"\\u0061"}} \n`;
        const gone = `{"name":"${SECRET}"}`;
        const answer = await through('mcp', okJson(text(`${gone},${kept}`)));
        assert.ok(answer.text.includes(kept), answer.text);
        assert.ok(answer.text.endsWith('"nextCursor":"\\u0061"}} \n'), answer.text);
        assert.equal(answer.json.result.tools.length, 1);
    });

    test('an answer of which nothing is removed is the same, byte for byte', async () => {
        const text = ` {"result" : {"tools":[ {"name":"\\u0065cho"} ,{"name":"get-x"}\t]},"id":1}\n`;
        for (const answer of [
            await through('mcp', okJson(text)),
            await through('mcp', okJson(both), { caller: `tool:${SECRET}` }),
            await through('generous', okJson(both)),
        ])
            assert.ok([text, both].includes(answer.text), answer.text);
        const empty = '{"jsonrpc":"2.0","id":1,"result":{"tools":[ ]}}';
        assert.equal((await through('mcp', okJson(empty))).text, empty);
        const failed = '{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no  lists"}}';
        assert.equal((await through('mcp', okJson(failed))).text, failed);
    });

    test('each caller sees their own list', async () => {
        const names = async (caller, door = 'mcp') => {
            const answer = await through(door, okJson(both), { caller });
            return answer.json.result.tools.map((entry) => entry.name);
        };
        assert.deepEqual(await names(''), ['echo']);
        assert.deepEqual(await names(`tool:${SECRET}`), ['echo', SECRET]);
        assert.deepEqual(await names('tool:other'), ['echo']);
        assert.deepEqual(await names('', 'sealed'), [], 'a rule on the method empties the list');
    });

    test('names are read as parsers read them', async () => {
        const escaped = '"top\\u0073ecret"';
        const odd = [
            `{"name":${escaped}}`,
            `{"n\\u0061me":${escaped}}`,
            '{"title":"no name"}',
            '{"name":["echo"]}',
            '{"name":null}',
            '"echo"',
            '[]',
            '{"name":"Echo"}',
            '{"name":"echo "}',
            '{"name":"echo\\u0000"}',
        ];
        for (const entry of odd) {
            const text = `{"jsonrpc":"2.0","id":1,"result":{"tools":[${entry},{"name":"echo"}]}}`;
            const answer = await through('mcp', okJson(text));
            if (answer.status === 200)
                assert.deepEqual(answer.json.result.tools, [{ name: 'echo' }], entry);
            else assertRpcError(answer, 502, 1);
        }
    });

    test('a crooked resource is not shown', async () => {
        const result = { resources: [{ uri: 'demo://open/../x' }, { uri: 'demo://open/x' }] };
        const text = JSON.stringify({ jsonrpc: '2.0', id: 1, result });
        const answer = await through('mcp', okJson(text), { body: call('resources/list') });
        assert.deepEqual(answer.json.result.resources, [{ uri: 'demo://open/x' }]);
    });

    test('a list that was asked for without an id is filtered, if a server gives it', async () => {
        const body = notification('tools/list');
        const answer = await through('mcp', okJson(both), { body });
        assert.ok(!answer.text.includes(SECRET), answer.text);
    });

    test('the answers to a batch are filtered one by one', async () => {
        const body = batch(LIST_TOOLS, toolCall('echo', 2), call('prompts/list', {}, 3));
        const prompts = { prompts: [{ name: SECRET }, { name: 'simple' }] };
        const called = { jsonrpc: '2.0', id: 2, result: { content: [], tools: 'mine' } };
        const from = (tools, list) => [
            { jsonrpc: '2.0', id: 3, result: list },
            called,
            { jsonrpc: '2.0', id: 1, result: { tools } },
        ];
        const given = JSON.stringify(from([tool(SECRET), tool('echo')], prompts));
        const answer = await through('mcp', okJson(given), { body });
        if (answer.status === 502) assert.ok(!answer.text.includes(SECRET));
        else assert.deepEqual(answer.json, from([tool('echo')], { prompts: [{ name: 'simple' }] }));
        called.result.tools = undefined;
        const plain = JSON.stringify(from([tool(SECRET), tool('echo')], prompts));
        const filtered = await through('mcp', okJson(plain), { body });
        assert.deepEqual(
            filtered.json,
            JSON.parse(JSON.stringify(from([tool('echo')], { prompts: [{ name: 'simple' }] }))),
        );
    });

    test('a list that could be read in two ways is refused', async () => {
        const rest = '"jsonrpc":"2.0","id":1';
        const entry = `{"name":"${SECRET}"}`;
        const texts = [
            'hello',
            both.slice(0, -1),
            `${both}${both}`,
            `\ufeff${both}`,
            `{${rest},"result":{"tools":[],"tools":[${entry}]}}`,
            `{${rest},"result":{"tools":[],"to\\u006fls":[${entry}]}}`,
            `{${rest},"result":{"tools":[]},"result":{"tools":[${entry}]}}`,
            `{${rest},"result":{"tools":[{"name":"echo","name":"${SECRET}"}]}}`,
            `{${rest},"result":{"tools":{"0":${entry}}}}`,
        ];
        for (const text of texts) {
            const answer = await through('mcp', okJson(text));
            assertRpcError(answer, 502, 1);
            assert.ok(!answer.text.includes(SECRET), answer.text);
        }
    });

    test('a list under a type that is not looked into is refused', async () => {
        for (const lines of [
            ['Content-Type: text/plain'],
            ['Content-Type: application/octet-stream'],
            [],
        ]) {
            const answer = await through('mcp', answerOf(200, lines, both));
            assert.ok(!answer.text.includes(SECRET), `${lines}`);
        }
        for (const type of ['application/json; charset=utf-8', 'Application/JSON']) {
            const bytes = answerOf(200, [`Content-Type: ${type}`], both);
            const answer = await through('mcp', bytes);
            assert.deepEqual(answer.json, listOf('echo'), type);
            assert.equal(answer.get('content-type'), type);
        }
    });

    test('a list larger than response_inspect is refused, and says so', async () => {
        const fits = await through('small', okJson(paddedTo(INSPECT_BYTES)));
        assert.equal(fits.status, 200, fits.text);
        assert.deepEqual(fits.json.result, listOf('echo').result);
        for (const bytes of [INSPECT_BYTES + 1, 64 * 1024, 1024 * 1024]) {
            const answer = await through('small', okJson(paddedTo(bytes)));
            const body = assertRpcError(answer, 502, 1);
            assert.match(body.error.message, /large/);
            assert.ok(!answer.text.includes(SECRET));
        }
        const other = await through('small', okJson(paddedTo(INSPECT_BYTES + 1)), {
            body: toolCall('echo'),
        });
        assert.equal(other.status, 200, 'what is no list has no such limit');
    });

    // The client may ask for any part (Range), and each entry is JSON by itself.
    test('a part of an answer is refused', async () => {
        const part = JSON.stringify([tool(SECRET)]);
        const bytes = answerOf(206, ['Content-Type: application/json'], part);
        const more = { headers: ['Range: bytes=40-99'] };
        assertRpcError(await through('mcp', bytes, more), 502, 1);
        assert.equal((await through('free', bytes, more)).status, 206);
    });

    test('of two types, or two codings, none is believed', async () => {
        for (const lines of [
            ['Content-Type: application/json', 'Content-Type: text/event-stream'],
            ['Content-Type: application/json', 'content-type: application/json'],
            [
                'Content-Type: application/json',
                'Content-Encoding: identity',
                'Content-Encoding: gzip',
            ],
        ])
            assertRpcError(await through('mcp', answerOf(200, lines, both)), 502, 1);
    });

    test('a compressed list is refused, and none is asked for', async () => {
        const headers = ['Accept-Encoding: gzip, br'];
        for (const [encoding, bytes] of [
            ['gzip', zlib.gzipSync(both)],
            ['deflate', zlib.deflateSync(both)],
            ['br', zlib.brotliCompressSync(both)],
            ['x-odd', both],
        ]) {
            const lines = ['Content-Type: application/json', `Content-Encoding: ${encoding}`];
            const answer = await through('mcp', answerOf(200, lines, bytes), { headers });
            assertRpcError(answer, 502, 1);
            assert.equal(stage.upstream.last.get('accept-encoding'), null);
        }
    });

    test('errors of the upstream pass as they are', async () => {
        const failed = '{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no"}}';
        for (const [status, type, text] of [
            [400, 'application/json', failed],
            [404, 'application/json', failed],
            [404, 'text/html', '<p>Not here</p>'],
            [500, 'text/plain', 'oh no'],
            [503, 'application/json', ''],
        ]) {
            const bytes = answerOf(status, [`Content-Type: ${type}`], text);
            const answer = await through('mcp', bytes);
            assert.equal(answer.status, status);
            assert.equal(answer.text, text);
        }
    });

    test('an answer that breaks off is no list', async () => {
        stage.upstream.respond = (request, link) => {
            const bytes = okJson(both);
            link.end(bytes.subarray(0, bytes.length - 2));
        };
        assertRpcError(await doors.mcp.ask(LIST_TOOLS, ''), 502, 1);
    });

    test('with list "pass", and where nothing can be denied, lists are not looked into', async () => {
        const gzip = answerOf(
            200,
            ['Content-Type: application/json', 'Content-Encoding: gzip'],
            zlib.gzipSync(both),
        );
        for (const door of ['pass', 'free']) {
            assert.equal((await through(door, okJson(both))).text, both);
            assert.equal((await through(door, okJson('hello'))).text, 'hello');
            const answer = await through(door, gzip);
            assert.equal(zlib.gunzipSync(answer.bytes).toString(), both);
        }
    });
});
