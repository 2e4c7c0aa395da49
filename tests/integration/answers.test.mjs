// SPDX-License-Identifier: Apache-2.0
// What comes back: statuses, headers and bodies of the upstream are passed on as they are, however
// they were framed; what belongs to its connection is not.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { okJson } from './lib/byte-upstream.mjs';
import { openStage } from './lib/stage.mjs';
import { chunked } from './lib/wire.mjs';

describe('answers', () => {
    let stage;
    before(async () => (stage = await openStage()));
    after(() => stage?.close());
    beforeEach(() => stage.upstream.forget());

    const answerWith = (status, headers, body) => {
        const lines = [`HTTP/1.1 ${status} Whatever`, ...headers];
        stage.upstream.respond = (request, link) =>
            link.send(`${lines.join('\r\n')}\r\n\r\n${body}`);
        return stage.ask({});
    };

    for (const status of [
        200, 201, 202, 302, 307, 400, 401, 403, 404, 405, 409, 422, 429, 500, 501, 502, 503,
    ])
        test(`a ${status} of the upstream is passed on with its body`, async () => {
            const body = `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"${status} é"}}`;
            const answer = await answerWith(
                status,
                [
                    'Content-Type: application/json; charset=utf-8',
                    `Content-Length: ${Buffer.byteLength(body)}`,
                    'Location: http://elsewhere.example/',
                    'Retry-After: 7',
                ],
                body,
            );
            assert.equal(answer.status, status);
            assert.equal(answer.text, body);
            assert.equal(answer.get('content-type'), 'application/json; charset=utf-8');
            assert.equal(answer.get('location'), 'http://elsewhere.example/');
            assert.equal(answer.get('retry-after'), '7');
            assert.equal(stage.upstream.requests.length, 1);
        });

    test('202 and 204 without a body end at once and keep the connection', async () => {
        const wire = await stage.wire();
        for (const [status, headers] of [
            [202, ['Content-Length: 0']],
            [204, []],
            [204, ['Content-Length: 0']],
            [202, ['Transfer-Encoding: chunked']],
        ]) {
            const end = headers.includes('Transfer-Encoding: chunked') ? '0\r\n\r\n' : '';
            stage.upstream.respond = (request, link) =>
                link.send([`HTTP/1.1 ${status} OK`, ...headers, '', end].join('\r\n'));
            wire.send(stage.request());
            const answer = await wire.answer();
            assert.equal(answer.status, status);
            assert.equal(answer.bytes.length, 0);
            if (status === 204) assert.equal(answer.get('transfer-encoding'), null);
        }
        wire.close();
    });

    test('headers for the client arrive, those for the connection do not', async () => {
        const answer = await answerWith(
            200,
            [
                'Content-Length: 2',
                'Content-Type: application/json',
                'Mcp-Session-Id: s-1',
                'MCP-Protocol-Version: 2025-11-25',
                'Set-Cookie: a=1',
                'Set-Cookie: b=2',
                'Cache-Control: no-cache, no-transform',
                'ETag: "x"',
                'X-Up: 1',
                'Server: upstream/1',
                'Date: Thu, 01 Jan 1970 00:00:00 GMT',
                'Connection: keep-alive, X-Internal',
                'X-Internal: secret',
                'Keep-Alive: timeout=5',
                'Proxy-Connection: keep-alive',
                'Proxy-Authenticate: Basic realm="x"',
                'Upgrade: h2c',
                'Trailer: X-T',
                'X-Accel-Redirect: /internal',
                'X-Request-Id: of-the-upstream',
            ],
            '{}',
        );
        assert.match(answer.get('mcp-session-id'), /^s-1\.[\w-]{43}$/); // see sessions.test.mjs
        assert.equal(answer.get('mcp-protocol-version'), '2025-11-25');
        assert.deepEqual(answer.all('set-cookie'), ['a=1', 'b=2']);
        assert.equal(answer.get('cache-control'), 'no-cache, no-transform');
        assert.equal(answer.get('etag'), '"x"');
        assert.equal(answer.get('x-up'), '1');
        for (const name of [
            'x-internal',
            'keep-alive',
            'proxy-connection',
            'proxy-authenticate',
            'upgrade',
            'trailer',
            'x-accel-redirect',
        ])
            assert.deepEqual(answer.all(name), [], name);
        assert.equal(answer.all('date').length, 1);
        assert.ok(
            Date.parse(answer.get('date')) > Date.parse('2020-01-01'),
            'the date of the upstream',
        );
        assert.equal(answer.get('x-request-id'), stage.upstream.last.get('x-request-id'));
    });

    const BIG = Buffer.alloc(300_000, '0123456789');
    for (const [how, bytes] of [
        [
            'Content-Length',
            Buffer.concat([Buffer.from(`Content-Length: ${BIG.length}\r\n\r\n`), BIG]),
        ],
        [
            'chunks',
            Buffer.concat([
                Buffer.from('Transfer-Encoding: chunked\r\n\r\n'),
                chunked(BIG, 10_007),
            ]),
        ],
        [
            'tiny chunks',
            Buffer.concat([Buffer.from('Transfer-Encoding: chunked\r\n\r\n'), chunked(BIG, 13)]),
        ],
        ['the end of the connection', Buffer.concat([Buffer.from('\r\n'), BIG])],
    ])
        test(`a body framed by ${how} arrives byte for byte`, async () => {
            stage.upstream.respond = async (request, link) => {
                await link.send('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n');
                await link.send(bytes);
                if (how.startsWith('the end')) link.end();
            };
            const answer = await stage.ask({});
            assert.ok(answer.bytes.equals(BIG), answer.text.slice(0, 300));
        });

    test('an answer cut into single bytes arrives whole', async () => {
        stage.upstream.respond = async (request, link) => {
            for (const byte of okJson('{"a":1}')) {
                await link.send(Buffer.from([byte]));
                await new Promise(setImmediate);
            }
        };
        assert.equal((await stage.ask({})).text, '{"a":1}');
    });

    test('interim answers of the upstream are skipped', async () => {
        stage.upstream.respond = (request, link) => {
            link.send(
                'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n',
            );
            link.send(okJson('{}'));
        };
        const wire = await stage.wire();
        wire.send(stage.request());
        const head = await wire.head({ interim: true });
        assert.equal(head.status, 200);
        assert.equal(head.get('link'), null);
        wire.close();
    });

    test('an HTTP/1.0 upstream is understood', async () => {
        stage.upstream.respond = (request, link) =>
            link.end('HTTP/1.0 200 OK\r\nX-Up: 1\r\n\r\nhello');
        const answer = await stage.ask({});
        assert.equal(answer.text, 'hello');
        assert.equal(answer.get('x-up'), '1');
    });
});
