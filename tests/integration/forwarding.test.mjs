// SPDX-License-Identifier: Apache-2.0
// What goes upstream: the body byte for byte, the exact list of headers and nothing of what belongs
// to the client's connection.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { assertOwnError } from './lib/answers.mjs';
import { okJson } from './lib/byte-upstream.mjs';
import { call, openStage } from './lib/stage.mjs';
import { chunked, requestBytes } from './lib/wire.mjs';

const JSON_TYPE = 'Content-Type: application/json';

describe('requests', () => {
    let stage;
    before(async () => (stage = await openStage()));
    after(() => stage?.close());
    beforeEach(() => stage.upstream.forget());

    // The id that a client gets for the upstream's session ID.
    async function openSession(id) {
        stage.upstream.respond = (request, link) =>
            link.send(okJson('{}', [`Mcp-Session-Id: ${id}`]));
        const answer = await stage.ask({});
        stage.upstream.forget();
        return answer.get('mcp-session-id');
    }

    const BODIES = [
        ['a tools/call', call('tools/call', { name: 'echo', arguments: { text: 'hi' } })],
        ['blanks and line ends around the value', ` \r\n\t${call('ping')}\r\n `],
        [
            'escapes and multi-byte characters',
            '{"jsonrpc":"2.0","id":1,"method":"pin\\u0067","m":"\\u00e9\\ud83d\\ude00 é😀"}',
        ],
        ['numbers as they are written', `{"jsonrpc":"2.0","id":1,"method":"ping","n":[1.0,-0,1E2]}`],
        ['1 MiB', call('tools/call', { name: 'echo', arguments: { text: 'abcdefgh'.repeat(1 << 17) } })],
    ];
    for (const [what, body] of BODIES)
        test(`forwards a body byte for byte: ${what}`, async () => {
            assert.equal((await stage.ask({ body })).status, 200);
            const forms = [1, 7, 4096, 70000].filter((size) => size * 3000 > body.length);
            for (const size of forms) {
                const answer = await stage.ask({
                    headers: [JSON_TYPE, 'Transfer-Encoding: chunked'],
                    body: chunked(body, size),
                });
                assert.equal(answer.status, 200);
            }
            assert.equal(stage.upstream.requests.length, 1 + forms.length);
            for (const request of stage.upstream.requests) {
                assert.ok(request.body.equals(Buffer.from(body)));
                assert.equal(request.get('content-length'), String(request.body.length));
                assert.equal(request.get('transfer-encoding'), null);
            }
        });

    test('sends exactly these headers upstream, and no others', async () => {
        const body = call('tools/call', { name: 'echo' });
        const session = await openSession('0123-abc');
        const answer = await stage.ask({
            headers: [
                JSON_TYPE,
                'Accept: application/json, text/event-stream',
                'Accept-Encoding: gzip',
                'User-Agent: test/1',
                'MCP-Protocol-Version: 2025-11-25',
                `Mcp-Session-Id: ${session}`,
                'Mcp-Method: tools/call',
                'Mcp-Name: echo',
                'Mcp-Param-City: =?base64?WsO8cmljaA==?=',
                'Last-Event-ID: 17',
                'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
                'tracestate: a=b',
                'X-Custom: 1',
                'X-Custom: 2',
                'X-Empty:',
            ],
            body,
        });
        const { fields, method, target, version } = stage.upstream.last;
        assert.deepEqual([method, target, version], ['POST', '/mcp', 'HTTP/1.1']);
        assert.deepEqual(fields.map(([name, value]) => [name.toLowerCase(), value]).sort(), [
            ['accept', 'application/json, text/event-stream'],
            ['accept-encoding', 'gzip'],
            ['content-length', String(body.length)],
            ['content-type', 'application/json'],
            ['host', `127.0.0.1:${stage.upstream.port}`],
            ['last-event-id', '17'],
            ['mcp-method', 'tools/call'],
            ['mcp-name', 'echo'],
            ['mcp-param-city', '=?base64?WsO8cmljaA==?='],
            ['mcp-protocol-version', '2025-11-25'],
            ['mcp-session-id', '0123-abc'],
            ['traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'],
            ['tracestate', 'a=b'],
            ['user-agent', 'test/1'],
            ['x-custom', '1'],
            ['x-custom', '2'],
            ['x-empty', ''],
            ['x-forwarded-for', '127.0.0.1'],
            ['x-forwarded-host', 'mcp.example.com'],
            ['x-forwarded-proto', 'https'],
            ['x-request-id', answer.get('x-request-id')],
        ]);
    });

    test('no hop-by-hop header, no credential and no cookie goes upstream', async () => {
        await stage.ask({
            headers: [
                JSON_TYPE,
                'Connection: keep-alive, X-Hop , x-hop-two',
                'Connection: X-Hop-Three',
                'X-Hop: 1',
                'X-HOP-TWO: 2',
                'x-hop-three: 3',
                'Keep-Alive: timeout=5',
                'Proxy-Connection: keep-alive',
                'Proxy-Authorization: Basic eDp5',
                'Proxy-Authenticate: Basic',
                'TE: trailers',
                'Trailer: X-T',
                'Upgrade: h2c',
                'HTTP2-Settings: AAMAAABk',
                'Cookie: session=1',
                'Cookie2: $Version=1',
                'Proxy: http://evil.example',
                'Forwarded: for=1.2.3.4',
                'X-Real-IP: 1.2.3.4',
                'X-Original-URL: /admin',
                'X-HTTP-Method-Override: DELETE',
            ],
        });
        assert.deepEqual(stage.upstream.last.fields.map(([name]) => name.toLowerCase()).sort(), [
            'content-length',
            'content-type',
            'host',
            'x-forwarded-for',
            'x-forwarded-host',
            'x-forwarded-proto',
            'x-request-id',
        ]);
    });

    test('Connection cannot take away what we add', async () => {
        await stage.ask({
            headers: [JSON_TYPE, 'Connection: X-Forwarded-For, X-Request-Id, Host, Content-Length'],
        });
        const request = stage.upstream.last;
        for (const name of ['x-forwarded-for', 'x-request-id', 'host', 'content-length'])
            assert.equal(request.all(name).length, 1, name);
    });

    test('the query string is appended as it came', async () => {
        for (const query of ['a=b', 'a=b&a=b', 'x=%2f..%2f%41', 'q=?&r=/', ''])
            await stage.ask({ target: `/mcp?${query}` });
        assert.deepEqual(
            stage.upstream.requests.map((r) => r.target),
            ['/mcp?a=b', '/mcp?a=b&a=b', '/mcp?x=%2f..%2f%41', '/mcp?q=?&r=/', '/mcp?'],
        );
    });

    test('a final slash of the mount path does not change the upstream URL', async () => {
        await stage.ask({ target: '/mcp/' });
        await stage.ask({ target: '/mcp/?a=b' });
        assert.deepEqual(
            stage.upstream.requests.map((r) => r.target),
            ['/mcp', '/mcp?a=b'],
        );
    });

    test('each request has an id of its own, which the client sees too', async () => {
        const ids = [];
        for (let i = 0; i < 5; i++) {
            const answer = await stage.ask({
                headers: [JSON_TYPE, 'X-Request-Id: from-the-client'],
            });
            assert.equal(answer.get('x-request-id'), stage.upstream.last.get('x-request-id'));
            ids.push(answer.get('x-request-id'));
        }
        assert.equal(new Set(ids).size, 5);
        assert.ok(!ids.includes('from-the-client'));
    });

    for (const [coding, status] of [
        ['identity', 200],
        ['Identity', 200],
        ['gzip', 415],
        ['br', 415],
        ['deflate', 415],
        ['identity, br', 415],
        ['', 415],
    ])
        test(`a POST with Content-Encoding ${JSON.stringify(coding)} is ${status}`, async () => {
            const headers = [JSON_TYPE, `Content-Encoding: ${coding}`];
            const answer = await stage.ask({ headers });
            assert.equal(answer.status, status, answer.text);
            assert.equal(stage.upstream.requests.length, status === 200 ? 1 : 0);
            if (status !== 200) assertOwnError(answer, status);
        });

    for (const [type, status] of [
        ['application/json', 200],
        ['Application/JSON', 200],
        ['application/json; charset=utf-8', 200],
        ['application/json;charset=utf-8', 200],
        ['application/json; charset="UTF-8"', 200],
        ['application/json; charset=utf-7', 415],
        ['application/json; charset=utf-16le', 415],
        ['application/json; charset=utf-8; charset=utf-7', 415],
        ['application/json; charset=latin1', 415],
        ['text/plain', 415],
        ['application/json-rpc', 415],
        ['application/jsonx', 415],
        ['text/json', 415],
        ['application/x-www-form-urlencoded', 415],
        ['multipart/form-data; boundary=application/json', 415],
        ['text/plain; application/json', 415],
        ['application/json, text/plain', 415],
        ['', 415],
        [null, 415],
    ])
        test(`a POST of ${type === null ? 'no type' : JSON.stringify(type)} is ${status}`, async () => {
            const headers = type === null ? [] : [`Content-Type: ${type}`];
            const answer = await stage.ask({ headers, typed: false });
            assert.equal(answer.status, status, answer.text);
            assert.equal(stage.upstream.requests.length, status === 200 ? 1 : 0);
            if (status !== 200) assertOwnError(answer, status);
        });

    test('GET and DELETE pass with their headers and without a body', async () => {
        const session = `Mcp-Session-Id: ${await openSession('s1')}`;
        for (const method of ['GET', 'DELETE']) {
            const headers = ['Accept: text/event-stream', session, 'Last-Event-ID: 9'];
            assert.equal((await stage.ask({ method, headers, body: null })).status, 200);
            const request = stage.upstream.last;
            assert.equal(request.method, method);
            assert.equal(request.get('mcp-session-id'), 's1');
            assert.equal(request.get('last-event-id'), '9');
            assert.equal(request.body.length, 0);
            assert.equal(request.get('transfer-encoding'), null);
            assert.ok([null, '0'].includes(request.get('content-length')));
        }
    });

    test('100-continue: the body is asked for, and Expect stays here', async () => {
        const wire = await stage.wire();
        const body = call('ping');
        const headers = [JSON_TYPE, `Content-Length: ${body.length}`, 'Expect: 100-continue'];
        wire.send(stage.request({ headers, body: null }));
        assert.equal((await wire.head({ interim: true })).status, 100);
        assert.equal(stage.upstream.requests.length, 0);
        wire.send(body);
        assert.equal((await wire.answer()).status, 200);
        assert.equal(stage.upstream.last.get('expect'), null);
        assert.equal(stage.upstream.last.body.toString(), body);
        wire.close();
    });

    test('100-continue: a refusal comes instead of the 100', async () => {
        const wire = await stage.wire();
        wire.send(
            requestBytes({ headers: [JSON_TYPE, 'Content-Length: 9', 'Expect: 100-continue'] }),
        );
        assert.equal((await wire.head({ interim: true })).status, 401);
        wire.close();
    });
});
