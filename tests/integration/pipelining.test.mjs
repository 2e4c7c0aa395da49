// SPDX-License-Identifier: Apache-2.0
// Requests that come before the answer to an earlier one is out, next to streams: a stream leaves
// libmicrohttpd, which may hold bytes of later requests by then.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';

import { okJson } from './lib/byte-upstream.mjs';
import { eventually, sleep } from './lib/observe.mjs';
import { call, openStage } from './lib/stage.mjs';

const STREAM =
    'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n';
const EVENT = 'data: 1\n\n';
const chunk = (text) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;

// Streams the answers to requests called "stream", after a moment; the others are answered at once.
async function respond(request, link) {
    if (JSON.parse(request.body).method !== 'stream') return link.send(okJson('{}'));
    await sleep(100);
    await link.send(STREAM + chunk(EVENT));
    await sleep(50);
    return link.send('0\r\n\r\n');
}

describe('requests in a pipeline', () => {
    let stage;
    before(async () => (stage = await openStage()));
    after(() => stage?.close());
    beforeEach(() => {
        stage.upstream.forget();
        stage.upstream.respond = respond;
    });

    const request = (method) => stage.request({ body: call(method) });

    test('one that comes while a stream has not begun is answered behind it', async () => {
        const wire = await stage.wire();
        wire.send(request('stream'));
        await eventually(() => stage.upstream.requests.length === 1, 'the first is under way');
        wire.send(request('ping'));
        assert.equal((await wire.answer()).text, EVENT);
        assert.equal((await wire.answer()).text, '{}');
        wire.close();
    });

    test('one behind a stream that is second in line ends the connection, and hears so', async () => {
        const wire = await stage.wire();
        wire.send(Buffer.concat(['ping', 'stream', 'ping'].map(request)));
        assert.equal((await wire.answer()).get('connection'), null);
        const stream = await wire.answer();
        assert.equal(stream.text, EVENT);
        assert.equal(stream.get('connection'), 'close');
        await wire.drainToEnd({ timeoutMs: 5000 });
        assert.equal(wire.excess, 0);
        wire.close();
    });

    test('bytes that are no request do not cut the stream before them', async () => {
        const wire = await stage.wire();
        wire.send(Buffer.concat([request('stream'), Buffer.from('GARBAGE\n\n')]));
        const stream = await wire.answer();
        assert.equal(stream.text, EVENT);
        assert.equal(stream.get('connection'), 'close');
        wire.close();
    });
});

describe('a stream that was second in a pipeline is no idle connection', () => {
    // Opens such a stream on a stage with these limits and calls FN(stage, wire, link).
    async function withStream(limits, fn) {
        const stage = await openStage({ policy: { workers: 1, limits } });
        try {
            let link = null;
            stage.upstream.respond = (request, upstreamLink) => {
                if (JSON.parse(request.body).method !== 'stream') {
                    upstreamLink.send(okJson('{}'));
                    return;
                }
                link = upstreamLink;
                link.send(STREAM + chunk(EVENT));
            };
            const wire = await stage.wire();
            const requests = ['ping', 'stream'].map((m) => stage.request({ body: call(m) }));
            wire.send(Buffer.concat(requests));
            await wire.answer();
            await wire.head();
            assert.equal((await wire.part()).toString(), EVENT);
            await fn(stage, wire, link);
            wire.close();
        } finally {
            await stage.close();
        }
    }

    async function assertGoesOn(wire, link) {
        await link.send(chunk(EVENT) + '0\r\n\r\n');
        assert.equal((await wire.part()).toString(), EVENT);
        assert.equal(await wire.part(), null);
    }

    test('and makes no room at the connection limit', () =>
        withStream({ connections: 1 }, async (stage, wire, link) => {
            const other = await stage.wire();
            other.send(stage.request({ body: call('ping') }));
            await sleep(300);
            await assertGoesOn(wire, link);
            assert.equal((await other.answer()).status, 200);
            other.close();
        }));

    test('and ends in order while draining', () =>
        withStream({}, async (stage, wire, link) => {
            stage.gate.signal('SIGTERM');
            await stage.gate.logged((line) => line.event === 'stop_signal', 'draining');
            await sleep(200);
            await assertGoesOn(wire, link);
        }));
});
