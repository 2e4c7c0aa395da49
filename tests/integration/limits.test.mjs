// SPDX-License-Identifier: Apache-2.0
// Every resource that a stranger can cause has a limit: each is tested at the limit and one past
// it, and a client that is too slow or too many loses its connection, not the daemon's attention.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { assertOwnError } from './lib/answers.mjs';
import { okJson } from './lib/byte-upstream.mjs';
import { eventually, sleep } from './lib/observe.mjs';
import { call, openStage } from './lib/stage.mjs';
import { chunked, requestBytes } from './lib/wire.mjs';

const HEADER_BYTES = 8192;
const BODY_BYTES = 32768;
const CRLF = '\r\n';

// A request whose head, blank line included, is exactly BYTES long.
function headOf(bytes, headers, body = call('ping')) {
    const bare = requestBytes({ headers: [...headers, 'X-Pad: '], body });
    const pad = bytes - (bare.length - Buffer.byteLength(body));
    return requestBytes({ headers: [...headers, `X-Pad: ${'p'.repeat(pad)}`], body });
}

// A JSON-RPC request of exactly BYTES bytes.
function bodyOf(bytes) {
    const bare = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping', params: { pad: '' } });
    return bare.replace('"pad":""', `"pad":"${'b'.repeat(bytes - bare.length)}"`);
}

describe('sizes', () => {
    let stage;
    before(async () => {
        stage = await openStage({
            policy: { limits: { header: HEADER_BYTES, token: '4KiB' } },
            route: { limits: { body: BODY_BYTES } },
        });
    });
    after(() => stage?.close());

    const send = async (bytes, options) => {
        const wire = await stage.wire();
        wire.send(bytes);
        return [await wire.answer(options), wire];
    };
    const good = () => [`Authorization: Bearer ${stage.token()}`, 'Content-Type: application/json'];

    test('a head of exactly limits.header passes', async () => {
        const [answer, wire] = await send(headOf(HEADER_BYTES, good()));
        assert.equal(answer.status, 200);
        wire.close();
    });

    test('a head one byte past limits.header is 431 and ends the connection', async () => {
        stage.upstream.forget();
        const [answer, wire] = await send(headOf(HEADER_BYTES + 1, good()));
        assertOwnError(answer, 431);
        await wire.drainToEnd();
        assert.equal(wire.excess, 0);
        assert.equal(stage.upstream.requests.length, 0);
    });

    test('a head that never ends is refused as soon as it is too large', async () => {
        const wire = await stage.wire();
        wire.send(`GET /mcp HTTP/1.1${CRLF}Host: mcp.example.com${CRLF}X-Pad: `);
        for (let sent = 0; sent <= HEADER_BYTES && !wire.ended; sent += 512)
            await wire.send('p'.repeat(512));
        assertOwnError(await wire.answer({ method: 'GET' }), 431);
        wire.close();
    });

    test('100 fields pass, 101 are 431', async () => {
        const fields = (n) => Array.from({ length: n }, (_, i) => `X-F${i}: ${i}`);
        const base = good().length + 2; // and Host, Content-Length
        const most = requestBytes({
            headers: [...good(), ...fields(100 - base)],
            body: call('ping'),
        });
        const [fine, wire] = await send(most);
        assert.equal(fine.status, 200);
        wire.close();
        const more = requestBytes({
            headers: [...good(), ...fields(101 - base)],
            body: call('ping'),
        });
        assertOwnError((await send(more))[0], 431);
    });

    test('a target past its limit is 414', async () => {
        const target = `/mcp?q=${'x'.repeat(8192)}`;
        const bytes = requestBytes({ method: 'GET', target });
        const wire = await stage.wire();
        wire.send(bytes);
        const answer = await wire.answer({ method: 'GET' });
        assert.ok([414, 431].includes(answer.status), `${answer.status}`);
        assertOwnError(answer, answer.status);
        wire.close();
    });

    for (const [how, form] of [
        ['Content-Length', (body) => ({ body })],
        [
            'chunks',
            (body) => ({ headers: ['Transfer-Encoding: chunked'], body: chunked(body, 4093) }),
        ],
    ]) {
        const request = (bytes) => {
            const { headers = [], body } = form(bodyOf(bytes));
            return requestBytes({ headers: [...good(), ...headers], body });
        };

        test(`a body of exactly limits.body passes (${how})`, async () => {
            stage.upstream.forget();
            const [answer, wire] = await send(request(BODY_BYTES));
            assert.equal(answer.status, 200);
            assert.equal(stage.upstream.last.body.toString(), bodyOf(BODY_BYTES));
            wire.close();
        });

        test(`a body one byte past limits.body is 413 (${how})`, async () => {
            stage.upstream.forget();
            const [answer, wire] = await send(request(BODY_BYTES + 1));
            assertOwnError(answer, 413);
            assert.equal(stage.upstream.requests.length, 0);
            const id = answer.get('x-request-id');
            const line = await eventually(() => stage.event(id), 'its log line');
            assert.equal(line.reason, 'body_too_large');
            wire.close();
        });
    }

    test('a preflight that names as many fields as a head can hold is answered', async () => {
        const names = `Access-Control-Request-Headers: ${'x'.repeat(HEADER_BYTES - 300)}`;
        const headers = ['Origin: https://mcp.example.com', names];
        const [answer, wire] = await send(requestBytes({ method: 'OPTIONS', headers }));
        assert.equal(answer.status, 204);
        assert.match(answer.get('access-control-allow-headers'), /^Authorization, /);
        wire.close();
    });

    test('a body announced as too large is refused before it is sent', async () => {
        const headers = [...good(), 'Content-Length: 9000000000000'];
        const [answer, wire] = await send(requestBytes({ headers }));
        assertOwnError(answer, 413);
        await wire.drainToEnd();
        assert.equal(wire.excess, 0);
    });

    test('a large body without a token is 401 before it is sent, and the connection ends', async () => {
        const headers = ['Content-Type: application/json', 'Content-Length: 9000000000000'];
        const [answer, wire] = await send(requestBytes({ headers }));
        assert.equal(answer.status, 401);
        await wire.drainToEnd();
        assert.equal(wire.excess, 0);
    });
});

describe('limits.token', () => {
    // Two tokens whose lengths differ by one byte, the shorter exactly at the limit.
    let stage;
    let tokens;
    before(async () => {
        stage = await openStage({ start: false });
        tokens = neighbours((claims) => stage.token({ claims }));
        await stage.start({ limits: { token: tokens[0].length } });
    });
    after(() => stage?.close());

    // base64url turns 3k+1 and 3k+2 bytes into lengths that differ by one.
    function neighbours(mint) {
        for (let pad = 0; pad < 3; pad++) {
            const pair = [pad, pad + 1].map((n) => mint({ pad: 'x'.repeat(600 + n) }));
            if (pair[1].length === pair[0].length + 1) return pair;
        }
        throw new Error('no two tokens differ in length by one');
    }

    test('a token of exactly limits.token passes', async () => {
        assert.equal((await stage.ask({ token: tokens[0] })).status, 200);
    });

    test('a token one byte past limits.token is 401 invalid_token', async () => {
        stage.upstream.forget();
        const answer = await stage.ask({ token: tokens[1] });
        assertOwnError(answer, 401);
        assert.match(answer.get('www-authenticate'), /error="invalid_token"/);
        assert.equal(stage.upstream.requests.length, 0);
    });
});

describe('defaults', () => {
    let stage;
    before(async () => (stage = await openStage()));
    after(() => stage?.close());

    test('a head of 32 KiB passes and one byte more is 431', async () => {
        const headers = [
            `Authorization: Bearer ${stage.token()}`,
            'Content-Type: application/json',
        ];
        for (const [bytes, status] of [
            [32768, 200],
            [32769, 431],
        ]) {
            const wire = await stage.wire();
            wire.send(headOf(bytes, headers));
            assert.equal((await wire.answer()).status, status, `${bytes} bytes`);
            wire.close();
        }
    });

    test('a body of 4 MiB passes and one byte more is 413', async () => {
        for (const [bytes, status] of [
            [4194304, 200],
            [4194305, 413],
        ])
            assert.equal(
                (await stage.ask({ body: bodyOf(bytes) })).status,
                status,
                `${bytes} bytes`,
            );
    });
});

describe('slow clients', () => {
    const TIMEOUT_MS = 1000;
    let stage;
    before(async () => {
        stage = await openStage({ policy: { limits: { client_timeout: `${TIMEOUT_MS}ms` } } });
    });
    after(() => stage?.close());

    // Sends one byte at a time, for as long as the other side listens; how long it did, in ms.
    async function drip(wire, byte) {
        const start = performance.now();
        const deadline = start + 30_000;
        while (!wire.ended && performance.now() < deadline) {
            wire.send(byte);
            await sleep(50);
        }
        return performance.now() - start;
    }

    test('a head that drips is cut at client_timeout, not at the last byte', async () => {
        const wire = await stage.wire();
        wire.send(`POST /mcp HTTP/1.1${CRLF}Host: mcp.example.com${CRLF}X-Slow: `);
        const ms = await drip(wire, 'x');
        assert.ok(wire.ended, 'still open after 30 s');
        assert.ok(ms >= TIMEOUT_MS * 0.8, `cut after ${ms} ms`);
        wire.close();
    });

    test('a body that drips is cut at its deadline', async () => {
        stage.upstream.forget();
        const headers = [
            `Authorization: Bearer ${stage.token()}`,
            'Content-Type: application/json',
            'Content-Length: 1000',
        ];
        const wire = await stage.wire();
        wire.send(requestBytes({ headers }));
        const ms = await drip(wire, ' ');
        assert.ok(wire.ended, 'still open after 30 s');
        assert.ok(ms >= TIMEOUT_MS * 0.8, `cut after ${ms} ms`);
        assert.equal(stage.upstream.requests.length, 0);
        wire.close();
    });

    test('a connection that says nothing is closed', async () => {
        const wire = await stage.wire();
        await wire.drainToEnd({ timeoutMs: 30_000 });
        wire.close();
    });

    test('a keep-alive connection that says no more is closed', async () => {
        const wire = await stage.wire();
        wire.send(stage.request());
        assert.equal((await wire.answer()).status, 200);
        await wire.drainToEnd({ timeoutMs: 30_000 });
        assert.equal(wire.excess, 0);
        wire.close();
    });

    test('a reader that takes nothing loses its answer, and the upstream its request', async () => {
        stage.upstream.respond = (request, link) => {
            link.send(
                Buffer.concat([
                    Buffer.from('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n'),
                    Buffer.from('Content-Length: 64000000\r\n\r\n'),
                    Buffer.alloc(64_000_000, 0x20),
                ]),
            );
        };
        const wire = await stage.wire();
        wire.pause();
        wire.send(stage.request());
        const request = await eventually(() => stage.upstream.last, 'the request is there');
        await request.link.closed;
        wire.resume();
        await assert.rejects(wire.answer(), /ended/);
        stage.upstream.forget();
    });

    test('a stream whose reader reads on is not cut by client_timeout', async () => {
        stage.upstream.respond = async (request, link) => {
            link.send('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n');
            for (let i = 0; i < 5; i++) {
                await sleep(TIMEOUT_MS / 2);
                link.send(`data: ${i}\n\n`);
            }
            link.end();
        };
        const answer = await stage.ask({});
        assert.equal(answer.text, [0, 1, 2, 3, 4].map((i) => `data: ${i}\n\n`).join(''));
        stage.upstream.forget();
    });

    test('a stream on which nothing flows is not cut by client_timeout', async () => {
        stage.upstream.respond = async (request, link) => {
            link.send('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n');
            await sleep(TIMEOUT_MS * 3);
            link.end('data: late\n\n');
        };
        assert.equal((await stage.ask({})).text, 'data: late\n\n');
        stage.upstream.forget();
    });
});

describe('limits.connections', () => {
    const MOST = 8;
    let stage;
    before(async () => {
        stage = await openStage({ policy: { workers: 1, limits: { connections: MOST } } });
    });
    after(() => stage?.close());

    // Connections that wait for the upstream, as many as there may be.
    async function fill() {
        stage.upstream.forget();
        stage.upstream.respond = () => {};
        const wires = [];
        for (let i = 0; i < MOST; i++) {
            const wire = await stage.wire();
            wire.send(stage.request({ body: call('ping', {}, i) }));
            wires.push(wire);
        }
        await eventually(() => stage.upstream.requests.length === MOST, 'all are under way');
        stage.upstream.respond = (request, link) => link.send(okJson('{}'));
        return wires;
    }

    test('past the limit a client waits, and is served when another one is done', async () => {
        const busy = await fill();
        const waiting = await stage.wire();
        waiting.send(stage.request());
        await sleep(300);
        assert.equal(stage.upstream.requests.length, MOST, 'served past the limit');
        stage.upstream.requests[3].link.send(okJson('{}'));
        assert.equal((await waiting.answer()).status, 200);
        for (const wire of [...busy, waiting]) wire.close();
    });

    test('an idle connection makes room for a new one, a busy one does not', async () => {
        const busy = await fill();
        const fifth = stage.upstream.requests.find(({ body }) => JSON.parse(body).id === 5);
        fifth.link.send(okJson('{}'));
        assert.equal((await busy[5].answer()).status, 200);
        assert.equal((await stage.ask({})).status, 200);
        await busy[5].drainToEnd();
        assert.equal(busy[5].excess, 0);
        for (const request of stage.upstream.requests.slice(0, MOST))
            if (request !== fifth) request.link.send(okJson('{}'));
        for (const wire of busy.filter((w) => w !== busy[5]))
            assert.equal((await wire.answer()).status, 200);
        for (const wire of busy) wire.close();
    });
});
