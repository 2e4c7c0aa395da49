// SPDX-License-Identifier: Apache-2.0
// What is decided on is what is forwarded: a body that Portcullis and another parser could read
// differently is refused, with the id of the request when it can be read; every other one goes up
// byte for byte, and other parsers see in it what was decided on (T5).
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';

import { openDoors, toolCall } from './lib/doors.mjs';
import { call } from './lib/stage.mjs';

const PARSE_ERROR = -32700;
const INVALID_REQUEST = -32600;
const INVALID_PARAMS = -32602;
const USE = 'mcp:use';
const MOST_TEXT_BYTES = 32 * 1024; // of a name, URI, method or id, as written

const rpc = (members) => `{"jsonrpc":"2.0","id":7,${members}}`;
const nested = (depth) => '['.repeat(depth) + ']'.repeat(depth);

/** [body, code, id, why]. */
const REFUSED = [
    ['', PARSE_ERROR, null, 'nothing'],
    [' ', PARSE_ERROR, null, 'a blank'],
    ['hello', PARSE_ERROR, null, 'no JSON'],
    ['{', PARSE_ERROR, null, 'half of an object'],
    [`${call('ping')}x`, PARSE_ERROR, null, 'bytes behind it'],
    [`${call('ping')}${call('ping')}`, PARSE_ERROR, null, 'two values'],
    [`${call('ping')}\0`, PARSE_ERROR, null, 'a NUL behind it'],
    [`\ufeff${call('ping')}`, PARSE_ERROR, null, 'a byte order mark'],
    [`${rpc('"method":"ping"').slice(0, -1)},}`, PARSE_ERROR, null, 'a comma too many'],
    [`/* hi */${call('ping')}`, PARSE_ERROR, null, 'a comment'],
    [rpc('"method":"ping" // hi\n'), PARSE_ERROR, null, 'another comment'],
    [rpc("'method':'ping'"), PARSE_ERROR, null, 'single quotes'],
    [rpc('"method":"ping","params":{"a":NaN}'), PARSE_ERROR, null, 'NaN'],
    [rpc('"method":"ping","params":{"a":01}'), PARSE_ERROR, null, 'a leading zero'],
    [rpc('"method":"ping","params":{"a":1e999}'), PARSE_ERROR, null, 'a number past a double'],
    [rpc('"method":"ping","params":{"a":"\t"}'), PARSE_ERROR, null, 'a raw tab in a string'],
    [rpc('"method":"ping","params":{"a":"\\ud800"}'), PARSE_ERROR, null, 'a lone surrogate'],
    [rpc('"method":"ping","params":{"a":"\\udc00\\ud800"}'), PARSE_ERROR, null, 'swapped halves'],
    [rpc('"method":"ping","params":{"a\\u0000b":1}'), PARSE_ERROR, null, 'a NUL in a key'],
    [rpc(`"method":"ping","params":{"a":${nested(64)}}`), PARSE_ERROR, null, 'too deep'],
    [rpc('"method":"ping","method":"ping"'), PARSE_ERROR, null, 'a key twice'],
    [rpc('"method":"tools/call","m\\u0065thod":"ping"'), PARSE_ERROR, null, 'twice, escaped'],
    [rpc('"method":"ping","params":{"a":{"b":1,"b":1}}'), PARSE_ERROR, null, 'twice, deep inside'],
    [rpc('"method":"ping","id":8'), PARSE_ERROR, null, 'two ids'],
    ['"text"', INVALID_REQUEST, null, 'a string'],
    ['17', INVALID_REQUEST, null, 'a number'],
    ['null', INVALID_REQUEST, null, 'null'],
    ['{}', INVALID_REQUEST, null, 'an empty object'],
    ['{"id":7,"method":"ping"}', INVALID_REQUEST, 7, 'no jsonrpc'],
    ['{"jsonrpc":"1.0","id":7,"method":"ping"}', INVALID_REQUEST, 7, 'JSON-RPC 1.0'],
    ['{"jsonrpc":2.0,"id":7,"method":"ping"}', INVALID_REQUEST, 7, 'a number for jsonrpc'],
    ['{"jsonrpc":"2.0","id":null,"method":"ping"}', INVALID_REQUEST, null, 'null for an id'],
    ['{"jsonrpc":"2.0","id":1.5,"method":"ping"}', INVALID_REQUEST, null, 'a fraction for an id'],
    ['{"jsonrpc":"2.0","id":9007199254740993,"method":"ping"}', INVALID_REQUEST, null, 'a big id'],
    ['{"jsonrpc":"2.0","id":[7],"method":"ping"}', INVALID_REQUEST, null, 'an array for an id'],
    ['{"jsonrpc":"2.0","id":true,"method":"ping"}', INVALID_REQUEST, null, 'true for an id'],
    [rpc('"method":7'), INVALID_REQUEST, 7, 'a number for a method'],
    [rpc('"method":""'), INVALID_REQUEST, 7, 'an empty method'],
    [rpc('"method":"ping\\u0000"'), INVALID_REQUEST, 7, 'a NUL in a method'],
    [rpc('"method":"ping\\n"'), INVALID_REQUEST, 7, 'a line end in a method'],
    [rpc('"method":"ping","METHOD":"tools/call"'), INVALID_REQUEST, 7, 'a key in capitals'],
    [rpc('"method":"ping","Params":{"name":"x"}'), INVALID_REQUEST, 7, 'one capital'],
    [rpc('"method":"ping","param\u017f":{}'), INVALID_REQUEST, 7, 'a long s'],
    [rpc('"method":"ping","ID":8'), INVALID_REQUEST, 7, 'another id'],
    [rpc('"method":"ping","result":{}'), INVALID_REQUEST, null, 'request and response in one'],
    [rpc('"method":"tools/call","params":{"name":"echo","NAME":"x"}'), INVALID_REQUEST, 7, 'name'],
    [
        rpc('"method":"tools/call","params":{"name":"echo","\u0130":1,"Name":""}'),
        INVALID_REQUEST,
        7,
        '',
    ],
    [
        rpc('"method":"resources/read","params":{"uri":"a:b","URI":"c:d"}'),
        INVALID_REQUEST,
        7,
        'uri',
    ],
    [rpc('"method":"ping","params":[]'), INVALID_PARAMS, 7, 'params as an array'],
    [rpc('"method":"ping","params":"x"'), INVALID_PARAMS, 7, 'params as text'],
    [rpc('"method":"ping","params":null'), INVALID_PARAMS, 7, 'params as null'],
    [rpc('"method":"tools/call"'), INVALID_PARAMS, 7, 'a call without params'],
    [rpc('"method":"tools/call","params":{}'), INVALID_PARAMS, 7, 'a call without a name'],
    [rpc('"method":"tools/call","params":{"name":7}'), INVALID_PARAMS, 7, 'a number for a name'],
    [rpc('"method":"tools/call","params":{"name":["echo"]}'), INVALID_PARAMS, 7, 'an array'],
    [
        rpc('"method":"tools/call","params":{"name":"echo\\u0000"}'),
        INVALID_PARAMS,
        7,
        'a NUL in it',
    ],
    [rpc('"method":"tools/call","params":{"name":"echo\\n"}'), INVALID_PARAMS, 7, 'a line end'],
    [rpc('"method":"prompts/get","params":{}'), INVALID_PARAMS, 7, 'a prompt without a name'],
    [rpc('"method":"resources/read","params":{"name":"x"}'), INVALID_PARAMS, 7, 'no uri'],
    [rpc('"method":"completion/complete","params":{"ref":{}}'), INVALID_PARAMS, 7, 'an empty ref'],
];

const raw = (hex) => Buffer.from(hex, 'hex');
const withBytes = (hex) =>
    Buffer.concat([
        Buffer.from(rpc('"method":"ping","params":{"a":"').slice(0, -1)),
        raw(hex),
        Buffer.from('"}}'),
    ]);
/** Bytes that are no UTF-8 inside a string. */
const BAD_UTF8 = [
    'ff',
    'c0af',
    'c1bf',
    'e08080',
    'eda080',
    'edb080',
    'f0808080',
    'f4908080',
    'c3',
    '80',
];

/** Calls of "echo", which is allowed, in odd forms that mean the same to everybody. */
const GOOD = [
    [` \t\r\n${toolCall('echo')}\n `, 'blanks around it'],
    [rpc('"method":"tools\\/call","params":{"name":"echo"}'), 'an escaped slash'],
    [rpc('"method":"tools\\u002Fcall","params":{"name":"echo"}'), 'an escaped slash, in hex'],
    [rpc('"m\\u0065thod":"tools/call","p\\u0061rams":{"n\\u0061me":"ech\\u006f"}'), 'escapes'],
    [rpc('"params":{"arguments":{"name":"never"},"name":"echo"},"method":"tools/call"'), 'order'],
    [rpc('"method":"tools/call","params":{"name":"echo","x":{"method":"never","id":9}}'), 'inside'],
    [
        rpc('"method":"tools/call","params":{"name":"echo","arguments":{"NAME":1,"Name":2}}'),
        'others',
    ],
    [rpc(`"method":"tools/call","params":{"name":"echo","a":${nested(50)}}`), 'deep, but not too'],
    [rpc('"method":"tools/call","params":{"name":"echo","a":"\\ud83d\\ude00 \\u0000"}'), 'pairs'],
    [
        rpc('"method":"tools/call","params":{"name":"echo","a":[1e5,-0,0.1,12345678901234567890]}'),
        '',
    ],
    [rpc('"method":"tools/call","params":{"name":"echo","__proto__":{"name":"never"}}'), 'proto'],
    [
        rpc('"method":"tools/call","params":{"name":"echo"},"extra":[null,true,false]'),
        'more members',
    ],
];

/** What a call means to Node and to Python: [method, name], or null where it is no such call. */
function nodeReads(bytes) {
    const body = JSON.parse(bytes.toString());
    return [body.method, body.params.name];
}
const PYTHON = `
import json, sys
body = json.loads(sys.stdin.buffer.read())
print(json.dumps([body["method"], body["params"]["name"]]))`;
function pythonReads(bytes) {
    const { status, stdout, stderr } = spawnSync('python3', ['-c', PYTHON], { input: bytes });
    assert.equal(status, 0, String(stderr));
    return JSON.parse(stdout);
}
const hasPython = spawnSync('python3', ['--version']).status === 0;

describe('inspection', () => {
    let stage;
    let doors;
    before(async () => {
        ({ stage, doors } = await openDoors({
            mcp: { scopes: [USE], rules: [{ tools: ['echo'], allow: true }] },
            bare: {},
            scoped: { scopes: [USE] },
        }));
    });
    after(() => stage?.close());

    test('a body with more than one reading is refused', async (t) => {
        for (const [body, code, id, why] of REFUSED)
            await t.test(`${why}: ${body.slice(0, 100)}`, async () => {
                await doors.mcp.refuses(body, USE, { code, id });
                await doors.bare.refuses(body, USE, { code, id });
            });
    });

    test('a string that is no UTF-8 is refused', async () => {
        for (const hex of BAD_UTF8)
            await doors.mcp.refuses(withBytes(hex), USE, { code: PARSE_ERROR, id: null });
        await doors.mcp.allows(withBytes('c3a9'), USE);
    });

    test('every other body goes up byte for byte, and means to others what was decided', async (t) => {
        for (const [body, why] of GOOD)
            await t.test(why || body, async () => {
                await doors.mcp.allows(body, USE);
                const got = stage.upstream.last.body;
                assert.deepEqual(nodeReads(got), ['tools/call', 'echo']);
                if (hasPython) assert.deepEqual(pythonReads(got), ['tools/call', 'echo']);
                await doors.mcp.forbids(body.replace('cho', 'XX').replace('ch\\u006f', 'X'), USE);
            });
    });

    test('ids come back as they were sent', async () => {
        for (const id of ['7', '-3', '0', '"x"', '""', '"a\\u0062c"', '9007199254740991', '"é"']) {
            const body = `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":{}}`;
            const answer = await doors.mcp.refuses(body, USE, {
                code: INVALID_PARAMS,
                id: JSON.parse(id),
            });
            assert.ok(answer.text.includes(`"id":${id}`), answer.text);
        }
    });

    test('the names of a batch have a length together', async () => {
        const names = Array.from({ length: 63 }, () => '"'.repeat(15_000));
        const body = `[${names.map((name, id) => toolCall(name, id)).join(',')}]`;
        const seen = stage.upstream.requests.length;
        const answer = await doors.mcp.ask(body, USE);
        assert.equal(answer.status, 413, answer.text);
        assert.equal(answer.json.error.data.reason, 'names_too_large');
        assert.equal(stage.upstream.requests.length, seen);
    });

    test('names, methods and ids have a length', async () => {
        const name = (length) => 'x'.repeat(length - 2); // the quotes count
        const call = (text) => rpc(`"method":"tools/call","params":{"name":"${text}"}`);
        const read = (uri) => rpc(`"method":"resources/read","params":{"uri":"${uri}"}`);
        const ping = (id) => `{"jsonrpc":"2.0","id":"${id}","method":"ping"}`;
        for (const [make, code, id] of [
            [call, INVALID_PARAMS, 7],
            [read, INVALID_PARAMS, 7],
            [(method) => rpc(`"method":"${method}"`), INVALID_REQUEST, 7],
            [ping, INVALID_REQUEST, null],
        ]) {
            await doors.bare.allows(make(name(MOST_TEXT_BYTES)), USE);
            await doors.bare.refuses(make(name(MOST_TEXT_BYTES + 1)), USE, { code, id });
        }
    });

    test('without a token there is no inspection: the body is nobody’s business', async () => {
        const answer = await stage.ask({ token: null, body: '{', target: '/mcp' });
        assert.equal(answer.status, 401);
        const poor = await doors.scoped.ask('{', 'other');
        assert.equal(poor.status, 403, 'nor without its scopes, where there is no rule to ask');
    });
});
