// SPDX-License-Identifier: Apache-2.0
// Answers without a body, and fields without a value: whatever way they take through the gate, not a
// byte too many reaches the client, whose next answer would begin with it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { openStage } from './lib/stage.mjs';

const BIG = `X-Big: ${'x'.repeat(9000)}\r\n`; // more than an answer in one piece may have
const EVENTS = 'Content-Type: text/event-stream\r\n';

describe('an answer without a body', () => {
    let stage;
    before(async () => (stage = await openStage()));
    after(() => stage?.close());

    for (const [why, status, fields, length] of [
        ['204', '204 No Content', '', null],
        ['204 with a large head', '204 No Content', BIG, null],
        ['204 that calls itself an event stream', '204 No Content', EVENTS, null],
        ['304 with a large head', '304 Not Modified', BIG, null],
        ['304 that calls itself an event stream', '304 Not Modified', EVENTS, null],
        ['202 with a large head', '202 Accepted', `${BIG}Content-Length: 0\r\n`, '0'],
        ['an event stream of no bytes', '200 OK', `${EVENTS}Content-Length: 0\r\n`, '0'],
    ])
        test(`${why}: nothing comes behind its head`, async () => {
            stage.upstream.forget();
            stage.upstream.respond = (request, link) =>
                link.send(`HTTP/1.1 ${status}\r\n${fields}\r\n`);
            const wire = await stage.wire();
            wire.send(stage.request());
            const answer = await wire.answer();
            assert.equal(answer.status, Number(status.slice(0, 3)));
            assert.equal(answer.get('transfer-encoding'), null);
            assert.equal(answer.get('content-length'), length);
            stage.upstream.forget();
            wire.send(stage.request());
            assert.equal((await wire.answer()).status, 200);
            wire.close();
        });

    test('a field without a value passes', async () => {
        stage.upstream.forget();
        stage.upstream.respond = (request, link) =>
            link.send('HTTP/1.1 200 OK\r\nX-Empty:\r\nContent-Length: 2\r\n\r\n{}');
        const answer = await stage.ask();
        assert.equal(answer.status, 200);
        assert.equal(answer.get('x-empty'), '');
        assert.equal(answer.text, '{}');
    });
});
