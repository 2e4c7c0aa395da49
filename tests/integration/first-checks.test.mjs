// SPDX-License-Identifier: Apache-2.0
// A flood of tokens that were never seen: each worker checks only so many in one turn, the others
// wait. What waits is treated as if it had not: no byte of its body is read before its token was
// checked, and what may not be said of a body is refused by the head alone.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { assertOwnError } from './lib/answers.mjs';
import { okJson } from './lib/byte-upstream.mjs';
import { sleep } from './lib/observe.mjs';
import { openStage } from './lib/stage.mjs';
import { Wire } from './lib/wire.mjs';

const FLOOD = 48; // a worker checks 8 in a turn
const BODY_BYTES = 2000;
const HUGE_BYTES = 1024 * 1024; // the rest of a small body is read and dropped before an answer
const BODY = '{"jsonrpc":"2.0","id":1,"method":"ping"}';
const LONG = 'x'.repeat(BODY_BYTES + 1);
const TYPE = 'Content-Type: application/json';

describe('tokens that wait for their first check', () => {
    let stage;
    before(async () => {
        stage = await openStage({
            policy: { workers: 1 },
            route: { limits: { body: BODY_BYTES } },
        });
        stage.upstream.respond = (request, link) =>
            link.send(okJson('{"jsonrpc":"2.0","id":1,"result":{}}'));
    });
    after(() => stage.close());

    let serial = 0;
    const goodToken = () => stage.token({ claims: { jti: `new-${serial++}` } });
    const badToken = () => `${goodToken().slice(0, -8)}AAAAAAAA`;

    function head(token, lines) {
        const start = ['POST /mcp HTTP/1.1', 'Host: mcp.example.com'];
        return `${[...start, `Authorization: Bearer ${token}`, ...lines].join('\r\n')}\r\n\r\n`;
    }

    /** The answer to BYTES, which the daemon gets in the same turn as a flood, behind it. */
    async function answerBehindFlood(bytes) {
        const wires = [];
        for (let i = 0; i <= FLOOD; i++) wires.push(await Wire.open(stage.gate.port));
        const probe = wires.at(-1);
        await sleep(50); // they are accepted
        try {
            stage.gate.signal('SIGSTOP');
            for (const wire of wires.slice(0, -1)) {
                const token = badToken();
                await wire.send(stage.request({ token, method: 'GET', body: null }));
            }
            await probe.send(bytes);
            await sleep(20);
            stage.gate.signal('SIGCONT');
            for (const wire of wires.slice(0, -1))
                assert.equal((await wire.answer({ method: 'GET' })).status, 401);
            return await probe.answer({ timeoutMs: 5000 });
        } finally {
            stage.gate.signal('SIGCONT');
            for (const wire of wires) wire.close();
        }
    }

    const length = (n) => `Content-Length: ${n}`;
    const chunked = 'Transfer-Encoding: chunked';
    const chunk = `${(3 * BODY_BYTES).toString(16)}\r\n${'x'.repeat(3 * BODY_BYTES)}\r\n`;

    // [what, token, lines of the head, what follows it at once, status]: nothing else ever comes
    for (const [what, token, lines, rest, status] of [
        ['a good call', goodToken, [TYPE, length(BODY.length)], BODY, 200],
        ['a wrong type', goodToken, ['Content-Type: text/plain', length(HUGE_BYTES)], '', 415],
        [
            'a wrong type, its body beside it',
            goodToken,
            ['Content-Type: text/plain', length(BODY.length)],
            BODY,
            415,
        ],
        ['no type', goodToken, [length(BODY.length)], BODY, 415],
        ['a coded body', goodToken, [TYPE, 'Content-Encoding: gzip', length(HUGE_BYTES)], '', 415],
        ['a body that is too large', goodToken, [TYPE, length(HUGE_BYTES)], '', 413],
        ['one byte too many', goodToken, [TYPE, length(BODY_BYTES + 1)], LONG, 413],
        ['one that turns out to be', goodToken, [TYPE, chunked], chunk, 413],
        ['a bad token and no body yet', badToken, [TYPE, length(HUGE_BYTES)], '', 401],
        ['a bad token, its body beside it', badToken, [TYPE, length(BODY.length)], BODY, 401],
        ['a bad token and a wrong type', badToken, ['Content-Type: text/plain', length(HUGE_BYTES)], '', 401],
        ['a bad token, too large a body', badToken, [TYPE, length(BODY_BYTES + 1)], LONG, 401],
    ])
        test(`${what}: ${status}`, async () => {
            const before = stage.upstream.requests.length;
            const answer = await answerBehindFlood(head(token(), lines) + rest);
            assert.equal(answer.status, status, answer.text);
            if (status !== 200) assertOwnError(answer, status);
            assert.equal(stage.upstream.requests.length - before, status === 200 ? 1 : 0);
        });
});
