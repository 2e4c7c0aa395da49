// SPDX-License-Identifier: Apache-2.0
// Which answers draining ends at once, and which may finish (docs/decisions/0004).
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { eventually } from './lib/observe.mjs';
import { call, openStage } from './lib/stage.mjs';

const chunk = (text) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
const head = (type) =>
    `HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n`;

const GET = { method: 'GET', body: null };
const LISTEN = { body: call('subscriptions/listen', {}, 'sub') };

// REQUEST is with the upstream, which has not answered; calls FN(stage, wire, link).
async function withRequest(request, fn) {
    const stage = await openStage({ policy: { limits: { drain_timeout: '20s' } } });
    try {
        let link = null;
        stage.upstream.respond = (_, upstreamLink) => (link = upstreamLink);
        const wire = await stage.wire();
        wire.send(stage.request(request));
        await eventually(() => link, 'the upstream has the request');
        await fn(stage, wire, link);
        wire.close();
    } finally {
        await stage.close();
    }
}

async function drain(stage) {
    const started = performance.now();
    stage.gate.signal('SIGTERM');
    await stage.gate.logged((line) => line.event === 'stop_signal', 'draining');
    return started;
}

const EVENTS = head('text/event-stream') + chunk('data: 1\n\n');

for (const [what, request] of [
    ['a GET', GET],
    ['a call that asks for nothing else', LISTEN],
]) {
    const { method } = { method: 'POST', ...request };
    test(`an event stream of ${what} ends at once and in order`, () =>
        withRequest(request, async (stage, wire, link) => {
            link.send(EVENTS);
            await wire.head({ method });
            const started = await drain(stage);
            await wire.body();
            await stage.gate.exited;
            assert.ok(performance.now() - started < 10_000);
        }));

    test(`so does one of ${what} that begins while draining`, () =>
        withRequest(request, async (stage, wire, link) => {
            const started = await drain(stage);
            link.send(EVENTS);
            await wire.head({ method });
            await wire.body();
            await stage.gate.exited;
            assert.ok(performance.now() - started < 10_000);
        }));
}

test('an event stream that answers a call is sent to its end', () =>
    withRequest({ body: call('tools/call', { name: 'x' }) }, async (stage, wire, link) => {
        link.send(EVENTS);
        await wire.head({ method: 'POST' });
        await wire.part();
        await drain(stage);
        link.send(chunk('data: 2\n\n') + '0\r\n\r\n');
        assert.match((await wire.body()).toString(), /data: 2/);
    }));

test('any other answer to a GET is sent to its end', () =>
    withRequest(GET, async (stage, wire, link) => {
        link.send(head('application/octet-stream') + chunk('half '));
        await wire.head({ method: 'GET' });
        assert.equal((await wire.part()).toString(), 'half ');
        await drain(stage);
        link.send(chunk('and half') + '0\r\n\r\n');
        assert.equal((await wire.body()).toString(), 'and half');
    }));
