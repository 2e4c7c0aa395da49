// SPDX-License-Identifier: Apache-2.0
// Reaching the upstream: what its absence, slowness and certificates mean for the caller.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { assertOwnError, assertRpcError } from './lib/answers.mjs';
import { makeCertificates } from './lib/certs.mjs';
import { okJson } from './lib/byte-upstream.mjs';
import { eventually } from './lib/observe.mjs';
import { freePort } from './lib/ports.mjs';
import { call, openStage, RESOURCE } from './lib/stage.mjs';

// A failure is told to a caller that asked something with an id, under that id; to others as it is.
async function assertFailureForms(ask, status) {
    for (const id of [7, 'seven', 'é"\\']) {
        const body = assertRpcError(await ask({ body: call('tools/list', {}, id) }), status, id);
        assert.ok(body.error.code <= -32000, `${body.error.code}`);
    }
    const note = JSON.stringify({ jsonrpc: '2.0', method: 'notifications/initialized' });
    for (const options of [{ body: note }, { method: 'GET', body: null }])
        assertOwnError(await ask(options), status);
}

describe('an upstream that cannot be reached', () => {
    let stage;
    before(async () => (stage = await openStage()));
    after(() => stage?.close());

    test('is 502, and 200 again once it is back', async () => {
        assert.equal((await stage.ask({})).status, 200);
        const { port } = stage.upstream;
        for (const link of stage.upstream.links) link.socket.destroy();
        await new Promise((resolve) => stage.upstream.server.close(resolve));
        await assertFailureForms((options) => stage.ask(options), 502);
        await new Promise((resolve) => stage.upstream.server.listen(port, '127.0.0.1', resolve));
        assert.equal((await stage.ask({})).status, 200);
    });
});

describe('an upstream that does not take the connection', () => {
    let stage;
    let deaf;
    const fillers = [];

    // Listens with a queue of one and never accepts: once the queue is full, a SYN stays
    // unanswered.
    const DEAF = `
        const { parentPort } = require('node:worker_threads');
        const server = require('node:net').createServer();
        server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
            parentPort.postMessage(server.address().port);
            setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0), 50);
        });`;

    before(async () => {
        deaf = new Worker(DEAF, { eval: true });
        const port = await new Promise((resolve) => deaf.once('message', resolve));
        await new Promise((resolve) => setTimeout(resolve, 200));
        for (let i = 0; i < 4; i++)
            fillers.push(net.connect(port, '127.0.0.1').on('error', () => {}));
        await eventually(
            () => fillers.filter((f) => !f.connecting).length >= 2,
            'the queue is full',
        );
        const url = `http://127.0.0.1:${port}/mcp`;
        stage = await openStage({
            routes: () => [{ resource: RESOURCE, upstream: { url, connect_timeout: '300ms' } }],
        });
    });
    after(async () => {
        for (const filler of fillers) filler.destroy();
        await deaf?.terminate();
        await stage?.close();
    });

    test('is 502 after connect_timeout', async () => {
        const answer = await stage.ask({ body: call('ping', {}, 5) });
        assertRpcError(answer, answer.status, 5);
        assert.ok([502, 504].includes(answer.status), `${answer.status}`);
    });
});

describe('an upstream that does not answer', () => {
    let stage;
    before(async () => {
        stage = await openStage({ route: { upstream: { response_timeout: '300ms' } } });
    });
    after(() => stage?.close());
    beforeEach(() => stage.upstream.forget());

    for (const [what, bytes] of [
        ['nothing', ''],
        ['half a head', 'HTTP/1.1 200 OK\r\nContent-'],
        ['interim answers only', 'HTTP/1.1 100 Continue\r\n\r\n'],
    ])
        test(`is 504 after response_timeout (${what} came)`, async () => {
            stage.upstream.respond = (request, link) => link.send(bytes);
            await assertFailureForms((options) => stage.ask(options), 504);
            for (const request of stage.upstream.requests) await request.link.closed;
        });

    test('response_timeout ends with the head: a slow body is no timeout', async () => {
        stage.upstream.respond = (request, link) => {
            link.send('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n');
            setTimeout(() => link.send('late'), 900);
        };
        assert.equal((await stage.ask({})).text, 'late');
    });

    test('an upstream that goes away instead of answering is 502, and is not asked twice', async () => {
        for (const how of ['end', 'reset']) {
            stage.upstream.forget();
            stage.upstream.respond = (request, link) => link[how]();
            assertRpcError(await stage.ask({}), 502, 1);
            assert.equal(stage.upstream.requests.length, 1, how);
        }
    });

    test('a used connection that goes away instead of answering: a POST is not sent twice', async () => {
        assert.equal((await stage.ask({})).status, 200);
        stage.upstream.respond = (request, link) => link.end();
        const answer = await stage.ask({});
        assertRpcError(answer, 502, 1);
        assert.equal(stage.upstream.requests.length, 2);
    });
});

describe('max_connections', () => {
    let stage;
    before(async () => {
        stage = await openStage({
            policy: { workers: 1 },
            route: { upstream: { max_connections: 2, connect_timeout: '1s' } },
        });
    });
    after(() => stage?.close());
    beforeEach(() => stage.upstream.forget());

    async function hold(n) {
        stage.upstream.respond = () => {};
        const wires = [];
        for (let i = 0; i < n; i++) {
            const wire = await stage.wire();
            wire.send(stage.request({ body: call('ping', {}, i) }));
            wires.push(wire);
            const there = Math.min(i + 1, 2);
            await eventually(() => stage.upstream.requests.length === there, `${there} are there`);
        }
        return wires;
    }

    test('at the limit a request waits for a connection that becomes free', async () => {
        const wires = await hold(4);
        assert.equal(stage.upstream.openLinks(), 2);
        stage.upstream.respond = (request, link) => link.send(okJson('{}'));
        for (const { link } of stage.upstream.requests.slice(0, 2)) link.send(okJson('{}'));
        for (const wire of wires) assert.equal((await wire.answer()).status, 200);
        assert.equal(stage.upstream.openLinks(), 2);
        for (const wire of wires) wire.close();
    });

    test('when none becomes free in connect_timeout it is 503', async () => {
        const wires = await hold(3);
        const answer = await wires[2].answer();
        assertRpcError(answer, 503, 2);
        assert.equal(JSON.parse(answer.text).error.message, 'The MCP server is busy; try again');
        assert.match(answer.get('retry-after'), /^[0-9]+$/);
        assert.equal(stage.upstream.requests.length, 2);
        for (const wire of wires) wire.close();
    });
});

describe('an upstream over https', () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-certs-'));
    const certs = makeCertificates(folder);
    const pem = (file) => fs.readFileSync(file);
    const serverTls = (pair, more = {}) => ({ key: pem(pair.key), cert: pem(pair.cert), ...more });
    after(() => fs.rmSync(folder, { recursive: true }));

    async function withStage(upstreamTls, upstream, run) {
        const stage = await openStage({ upstreamTls, route: { upstream } });
        try {
            await run(stage);
        } finally {
            await stage.close();
        }
    }

    test('is reached when its certificate is signed by ca_file', () =>
        withStage(serverTls(certs.server), { ca_file: certs.ca.cert }, async (stage) => {
            const body = call('x', { pad: 'p'.repeat(300_000) });
            const big = JSON.stringify({ pad: 'q'.repeat(2_000_000) });
            stage.upstream.respond = (request, link) => link.send(okJson(big));
            for (let i = 0; i < 5; i++) assert.equal((await stage.ask({ body })).text, big);
            assert.equal(stage.upstream.last.body.toString(), body);
            assert.ok(stage.upstream.links.length <= 2, 'connections are used again');
        }));

    test('streams event by event', () =>
        withStage(serverTls(certs.server), { ca_file: certs.ca.cert }, async (stage) => {
            const head = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n';
            stage.upstream.respond = (request, link) => link.send(head);
            const wire = await stage.wire();
            wire.send(stage.request());
            await wire.head();
            for (let i = 0; i < 20; i++) {
                stage.upstream.last.link.send(`data: ${i}\n\n`);
                assert.equal((await wire.part()).toString(), `data: ${i}\n\n`);
            }
            wire.close();
            await stage.upstream.last.link.closed;
        }));

    test('a connection that is reset breaks an answer that ends with it', () =>
        withStage(serverTls(certs.server), { ca_file: certs.ca.cert }, async (stage) => {
            stage.upstream.respond = async (request, link) => {
                await link.send('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhalf');
                setTimeout(() => link.reset(), 50);
            };
            const wire = await stage.wire();
            wire.send(stage.request());
            await wire.head();
            await assert.rejects(wire.body(), /ended/);
            wire.close();
        }));

    for (const [what, pair, ca] of [
        ['is signed by somebody else', certs.server, certs.otherCa.cert],
        ['is made for another host', certs.otherHost, certs.ca.cert],
        ['is not known to the system', certs.server, undefined],
    ])
        test(`is 502 when its certificate ${what}, and sees no request`, () =>
            withStage(serverTls(pair), ca ? { ca_file: ca } : {}, async (stage) => {
                assertRpcError(await stage.ask({}), 502, 1);
                assert.equal(stage.upstream.bytes, 0);
            }));

    const mutual = { requestCert: true, rejectUnauthorized: true, ca: pem(certs.ca.cert) };

    test('gets our client certificate', () =>
        withStage(
            serverTls(certs.server, mutual),
            {
                ca_file: certs.ca.cert,
                client_certificate: certs.client.cert,
                client_key: certs.client.key,
            },
            async (stage) => {
                assert.equal((await stage.ask({})).status, 200);
                assert.equal(
                    stage.upstream.last.link.socket.getPeerCertificate().subject.CN,
                    'client',
                );
            },
        ));

    test('is 502 when it asks for a client certificate and there is none', () =>
        withStage(serverTls(certs.server, mutual), { ca_file: certs.ca.cert }, async (stage) => {
            assertRpcError(await stage.ask({}), 502, 1);
        }));

    test('is 502 when it does not speak TLS', async () => {
        const port = await freePort();
        const plain = net.createServer((socket) =>
            socket.on('error', () => {}).end('HTTP/1.1 200 OK\r\n\r\nhello'),
        );
        plain.on('error', () => {});
        await new Promise((resolve) => plain.listen(port, '127.0.0.1', resolve));
        const upstream = { url: `https://127.0.0.1:${port}/mcp`, ca_file: certs.ca.cert };
        const stage = await openStage({ routes: () => [{ resource: RESOURCE, upstream }] });
        try {
            assertRpcError(await stage.ask({}), 502, 1);
        } finally {
            await stage.close();
            plain.close();
        }
    });
});
