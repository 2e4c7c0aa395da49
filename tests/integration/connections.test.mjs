// SPDX-License-Identifier: Apache-2.0
// Connections on both sides carry many requests: in order, each with its own answer, whatever comes
// in between; and what is sent behind a request neither mixes with its answer nor fills memory.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { okJson } from './lib/byte-upstream.mjs';
import { eventually, rounds, rssKib, SANITIZED, sleep } from './lib/observe.mjs';
import { call, openStage } from './lib/stage.mjs';

const JSON_TYPE = 'Content-Type: application/json';
const SSE = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n';
const BAD = Buffer.from('GET /mcp HTTP/1.1\r\nHost: a b\r\n\r\n');

describe('connections', () => {
    let stage;
    before(async () => (stage = await openStage({ policy: { workers: 1 } })));
    after(() => stage?.close());
    beforeEach(() => stage.upstream.forget());

    test('a connection carries request after request', async () => {
        const wire = await stage.wire();
        for (let i = 0; i < 20; i++) {
            wire.send(stage.request({ body: call('ping', {}, i) }));
            assert.equal((await wire.answer()).json.id, i);
        }
        wire.close();
    });

    test('a refusal does not end the connection when its body was small', async () => {
        const wire = await stage.wire();
        wire.send(stage.request({ token: null }));
        assert.equal((await wire.answer()).status, 401);
        wire.send(stage.request());
        assert.equal((await wire.answer()).status, 200);
        wire.close();
    });

    test('pipelined requests are answered in order', async () => {
        const wire = await stage.wire();
        const ids = Array.from({ length: 16 }, (_, i) => i);
        stage.upstream.respond = (request, link) =>
            // the first ones take longest
            setTimeout(
                () => link.send(okJson(request.body.toString())),
                40 - 2 * JSON.parse(request.body).id,
            );
        wire.send(Buffer.concat(ids.map((id) => stage.request({ body: call('ping', {}, id) }))));
        for (const id of ids) assert.equal((await wire.answer()).json.id, id);
        wire.close();
    });

    test('Connection: close is honoured', async () => {
        const wire = await stage.wire();
        wire.send(stage.request({ headers: [JSON_TYPE, 'Connection: close'] }));
        const answer = await wire.answer();
        assert.equal(answer.status, 200);
        assert.equal(answer.get('connection')?.toLowerCase(), 'close');
        await wire.drainToEnd();
        assert.equal(wire.excess, 0);
    });

    test('an HTTP/1.0 client gets an answer that it can read', async () => {
        stage.upstream.respond = (request, link) =>
            link.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n');
        const wire = await stage.wire();
        const text = stage.request().toString('latin1').replace('HTTP/1.1', 'HTTP/1.0');
        wire.send(text);
        const answer = await wire.answer();
        assert.equal(answer.status, 200);
        assert.equal(answer.get('transfer-encoding'), null);
        assert.equal(answer.text, 'abc');
        await wire.drainToEnd();
    });

    test('connections to the upstream are used again', async () => {
        const earlier = stage.upstream.links.length;
        for (let i = 0; i < 20; i++) assert.equal((await stage.ask({})).status, 200);
        assert.ok(stage.upstream.links.length - earlier <= 4, 'more than one per worker');
    });

    test('a connection that the upstream announced to close is not used again', async () => {
        stage.upstream.respond = (request, link) => link.send(okJson('{}', ['Connection: close']));
        for (let i = 0; i < 5; i++) assert.equal((await stage.ask({})).status, 200);
        const links = stage.upstream.requests.map((request) => request.link);
        assert.equal(new Set(links).size, 5);
    });

    test('an idle connection that the upstream closed costs no request', async () => {
        for (let i = 0; i < 20; i++) {
            assert.equal((await stage.ask({})).status, 200);
            const idle = stage.upstream.links.filter((link) => !link.socket.destroyed);
            for (const link of idle) link.end();
            await Promise.all(idle.map((link) => link.closed));
        }
        assert.equal(stage.upstream.requests.length, 20);
    });

    test('a connection serves on after a streamed answer', async () => {
        stage.upstream.respond = (request, link) => {
            if (request.method === 'GET') link.end(`${SSE}data: 1\n\n`);
            else link.send(okJson('{}'));
        };
        const wire = await stage.wire();
        for (let i = 0; i < 5; i++) {
            wire.send(stage.request({ method: 'GET', body: null }));
            assert.equal((await wire.answer({ method: 'GET' })).text, 'data: 1\n\n');
            wire.send(stage.request());
            assert.equal((await wire.answer()).text, '{}');
        }
        wire.close();
    });

    // A refusal must wait for the answers before it, on fresh connections and beside used ones.
    test('a bad request behind good ones: they are answered, then it is refused', async () => {
        const kept = await stage.wire();
        stage.upstream.respond = (request, link) => link.end(`${SSE}data: 1\n\n`);
        kept.send(stage.request({ method: 'GET', body: null }));
        await kept.answer({ method: 'GET' });
        stage.upstream.forget();
        for (let i = 0; i < rounds(60); i++) {
            const goods = 1 + (i % 3);
            const behind = i % 2 ? [stage.request()] : [];
            const wire = await stage.wire();
            const good = Array.from({ length: goods }, (_, id) =>
                stage.request({ body: call('ping', {}, id) }),
            );
            wire.send(Buffer.concat([...good, BAD, ...behind]));
            for (let id = 0; id < goods; id++) assert.equal((await wire.answer()).json.id, id);
            assert.equal((await wire.answer()).status, 400);
            await wire.drainToEnd();
            assert.equal(wire.excess, 0);
        }
        kept.close();
    });

    test('a request behind a streamed one waits for the end of the stream', async () => {
        stage.upstream.respond = (request, link) =>
            link.send(request.method === 'GET' ? SSE : okJson('{}'));
        const wire = await stage.wire();
        wire.send(stage.request({ method: 'GET', body: null }));
        await wire.head({ method: 'GET' });
        wire.send(stage.request());
        await sleep(50);
        assert.equal(stage.upstream.requests.length, 1);
        const { link } = stage.upstream.last;
        link.send('data: 1\n\n');
        assert.equal((await wire.part()).toString(), 'data: 1\n\n');
        link.end();
        assert.equal(await wire.part(), null);
        assert.equal((await wire.answer()).text, '{}');
        wire.close();
    });

    test('a stream that ends its connection says so in its head', async () => {
        stage.upstream.respond = (request, link) =>
            request.method === 'GET' ? link.end(`${SSE}data: 1\n\n`) : link.send(okJson('{}'));
        const wire = await stage.wire();
        const get = stage.request({ method: 'GET', body: null });
        wire.send(Buffer.concat([get, stage.request()]));
        const first = await wire.answer({ method: 'GET' });
        assert.equal(first.text, 'data: 1\n\n');
        if (first.get('connection') === 'close') await wire.drainToEnd();
        else assert.equal((await wire.answer()).text, '{}');
        wire.close();
    });

    test('a flood of bytes during a stream costs no memory and does not disturb it', async () => {
        stage.upstream.respond = (request, link) => link.send(SSE);
        const wire = await stage.wire();
        wire.send(stage.request({ method: 'GET', body: null }));
        await wire.head({ method: 'GET' });
        const baseKib = rssKib(stage.gate.pid);
        for (let i = 0; i < 32; i++) wire.send(Buffer.alloc(1 << 20, 'x'));
        await sleep(200);
        const grownKib = rssKib(stage.gate.pid) - baseKib;
        if (!SANITIZED) assert.ok(grownKib < 1024, `${grownKib} KiB`);
        stage.upstream.last.link.send('data: 1\n\n');
        assert.equal((await wire.part()).toString(), 'data: 1\n\n');
        wire.reset();
    });

    test('thousands of pipelined requests go upstream one by one', async () => {
        stage.upstream.respond = () => {};
        const wire = await stage.wire();
        wire.send(Buffer.concat(Array(5000).fill(stage.request())));
        await eventually(() => stage.upstream.requests.length > 0, 'the first one');
        await sleep(100);
        assert.equal(stage.upstream.requests.length, 1);
        const { link } = stage.upstream.last;
        wire.reset();
        await link.closed;
        assert.equal(stage.upstream.requests.length, 1);
    });
});
