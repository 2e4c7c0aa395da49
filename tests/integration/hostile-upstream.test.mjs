// SPDX-License-Identifier: Apache-2.0
// T13: whatever an upstream sends, the client gets a valid answer, a 502, or an answer that is
// visibly broken; never a header or a second answer made of the upstream's bytes, never a truncated
// body that looks complete; and the next request works.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { assertRpcError } from './lib/answers.mjs';
import { sleep } from './lib/observe.mjs';
import { openStage } from './lib/stage.mjs';
import { BrokenAnswer } from './lib/wire.mjs';

const CRLF = '\r\n';
const head = (...fields) => ['HTTP/1.1 200 OK', ...fields, '', ''].join(CRLF);
const withLine = (line, ...fields) => [line, ...fields, 'Content-Length: 2', '', '{}'].join(CRLF);
const INJECTED = `HTTP/1.1 200 OK${CRLF}X-Injected: 1${CRLF}Content-Length: 8${CRLF}${CRLF}injected`;
const CHUNKED = head('Transfer-Encoding: chunked');

// What the client may see: 'bad' = 502; 'ok:TEXT' = a complete answer with this body; 'broken' = a
// broken answer, or a 502 when nothing of it had left. Behind the bytes the connection is closed
// when HOW says so, else it stays open.
const ROWS = [
    // status lines
    ['no HTTP at all', 'bad', 'hello\r\n\r\n'],
    ['an SSH banner', 'bad', 'SSH-2.0-OpenSSH_9.2\r\n\r\n'],
    ['HTTP/2.0', 'bad', withLine('HTTP/2.0 200 OK')],
    ['HTTP/0.9', 'bad', '<html>hello</html>', 'end'],
    ['ICY', 'bad', withLine('ICY 200 OK')],
    ['lower case http', 'bad', withLine('http/1.1 200 OK')],
    ['status 999', 'bad', withLine('HTTP/1.1 999 Odd')],
    ['status 99', 'bad', withLine('HTTP/1.1 99 Odd')],
    ['status 0200', 'bad', withLine('HTTP/1.1 0200 OK')],
    ['status 000', 'bad', withLine('HTTP/1.1 000 Odd')],
    ['status 2x0', 'bad', withLine('HTTP/1.1 2x0 OK')],
    ['status 600', 'bad', withLine('HTTP/1.1 600 Odd')],
    ['status -200', 'bad', withLine('HTTP/1.1 -200 OK')],
    ['no reason phrase', 'ok:{}', withLine('HTTP/1.1 200 ')],
    ['a NUL in the reason', 'bad', withLine('HTTP/1.1 200 O\0K')],
    ['a CR in the reason', 'bad', withLine('HTTP/1.1 200 O\rK')],
    ['lines ended by LF', 'bad', withLine('HTTP/1.1 200 OK').replaceAll(CRLF, '\n')],
    ['a blank line first', 'bad', CRLF + withLine('HTTP/1.1 200 OK')],
    ['101 switching protocols', 'bad', withLine('HTTP/1.1 101 Switching', 'Upgrade: websocket')],
    [
        'a flood of 1xx',
        'bad',
        'HTTP/1.1 100 Continue\r\n\r\n'.repeat(2000) + withLine('HTTP/1.1 200 OK'),
    ],
    [
        '1xx without end',
        'bad',
        'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n'.repeat(5000),
        'end',
    ],
    // fields
    ['a name with a space', 'bad', withLine('HTTP/1.1 200 OK', 'X Y: z')],
    ['a space before the colon', 'bad', withLine('HTTP/1.1 200 OK', 'X : z')],
    ['no name', 'bad', withLine('HTTP/1.1 200 OK', ': z')],
    ['no colon', 'bad', withLine('HTTP/1.1 200 OK', 'nonsense')],
    ['a folded field', 'bad', withLine('HTTP/1.1 200 OK', 'X: a', ' b')],
    ['a NUL in a name', 'bad', withLine('HTTP/1.1 200 OK', 'X\0Y: z')],
    ['a NUL in a value', 'bad', withLine('HTTP/1.1 200 OK', 'X: a\0b')],
    ['a bare CR in a value', 'bad', withLine('HTTP/1.1 200 OK', 'X: a\rX-Injected: 1')],
    ['a bare LF in a value', 'bad', withLine('HTTP/1.1 200 OK', 'X: a\nX-Injected: 1')],
    ['a control byte in a value', 'bad', withLine('HTTP/1.1 200 OK', 'X: a\x01b')],
    ['a colon in a value', 'ok:{}', withLine('HTTP/1.1 200 OK', 'X: a: b:c')],
    ['bytes above 0x7f in a value', 'ok:{}', withLine('HTTP/1.1 200 OK', 'Y: Zo\xeb')],
    ['a head of 400 KiB', 'bad', withLine('HTTP/1.1 200 OK', `X: ${'x'.repeat(400 * 1024)}`)],
    ['a head without end', 'bad', `HTTP/1.1 200 OK${CRLF}X: ${'x'.repeat(2 ** 20)}`],
    ['5000 fields', 'bad', withLine('HTTP/1.1 200 OK', ...Array(5000).fill('X: y'))],
    // framing
    ['differing Content-Lengths', 'bad', head('Content-Length: 2', 'Content-Length: 10') + '{}'],
    ['a list of differing lengths', 'bad', head('Content-Length: 2, 10') + '{}'],
    [
        'Content-Length and chunked',
        'bad',
        head('Content-Length: 2', 'Transfer-Encoding: chunked') + '{}',
    ],
    [
        'chunked and Content-Length',
        'bad',
        head('Transfer-Encoding: chunked', 'Content-Length: 2') + '0\r\n\r\n',
    ],
    ['Content-Length: -1', 'bad', head('Content-Length: -1')],
    ['Content-Length: +2', 'bad', head('Content-Length: +2') + '{}'],
    ['Content-Length: 0x2', 'bad', head('Content-Length: 0x2') + '{}'],
    ['Content-Length: 2a', 'bad', head('Content-Length: 2a') + '{}'],
    ['Content-Length past 2^64', 'bad', head('Content-Length: 18446744073709551618') + '{}'],
    ['an empty Content-Length', 'bad', head('Content-Length:') + '{}'],
    ['Transfer-Encoding: gzip', 'bad', head('Transfer-Encoding: gzip') + 'x', 'end'],
    [
        'Transfer-Encoding: chunked, gzip',
        'bad',
        head('Transfer-Encoding: chunked, gzip') + 'x',
        'end',
    ],
    ['Transfer-Encoding: xchunked', 'bad', head('Transfer-Encoding: xchunked') + '0\r\n\r\n'],
    [
        'chunked twice',
        'bad',
        head('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked') + '0\r\n\r\n',
    ],
    [
        'chunked in HTTP/1.0',
        'bad',
        `HTTP/1.0 200 OK${CRLF}Transfer-Encoding: chunked${CRLF}${CRLF}0\r\n\r\n`,
    ],
    // chunks
    ['a chunk size of letters', 'broken', `${CHUNKED}zz\r\nhello`],
    ['a negative chunk size', 'broken', `${CHUNKED}-5\r\nhello`],
    ['a chunk size past 2^64', 'broken', `${CHUNKED}10000000000000005\r\nhello`],
    ['an empty chunk size', 'broken', `${CHUNKED}\r\nhello`],
    ['a chunk size with 0x', 'broken', `${CHUNKED}0x5\r\nhello\r\n0\r\n\r\n`],
    ['a chunk ended by nothing', 'broken', `${CHUNKED}5\r\nhello0\r\n\r\n`],
    ['a chunk size ended by LF', 'broken', `${CHUNKED}5\nhello\r\n0\r\n\r\n`],
    ['a chunk extension without end', 'broken', `${CHUNKED}5;${'x'.repeat(2 ** 20)}`],
    ['trailers without end', 'broken', `${CHUNKED}0\r\n${'X-T: y\r\n'.repeat(50_000)}`],
    ['a huge chunk, cut', 'broken', `${CHUNKED}ffffffff\r\nhello`, 'end'],
    ['no last chunk', 'broken', `${CHUNKED}5\r\nhello\r\n`, 'end'],
    // the end comes early, or not at all, or too late
    ['nothing', 'bad', '', 'end'],
    ['a reset', 'bad', '', 'reset'],
    ['half a status line', 'bad', 'HTTP/1.1 2', 'end'],
    ['half a head', 'bad', 'HTTP/1.1 200 OK\r\nContent-Le', 'end'],
    ['half a head, reset', 'bad', 'HTTP/1.1 200 OK\r\nContent-Le', 'reset'],
    ['a short body', 'broken', `${head('Content-Length: 100')}half`, 'end'],
    ['a short body, reset', 'broken', `${head('Content-Length: 100')}half`, 'reset'],
    ['no body where one was announced', 'broken', head('Content-Length: 100'), 'end'],
    ['interim answers only', 'bad', 'HTTP/1.1 100 Continue\r\n\r\n', 'end'],
    ['more bytes than announced', 'ok:{}', `${head('Content-Length: 2')}{}${INJECTED}`],
    [
        'more bytes behind the last chunk',
        'ok:hello',
        `${CHUNKED}5\r\nhello\r\n0\r\n\r\n${INJECTED}`,
    ],
    ['a body with 204', 'ok:', `HTTP/1.1 204 No Content${CRLF}${CRLF}${INJECTED}`],
    [
        'a body with 204 and a length',
        'ok:',
        `HTTP/1.1 204 No Content${CRLF}Content-Length: 8${CRLF}${CRLF}injected`,
    ],
    [
        'a body with 304',
        'ok:',
        `HTTP/1.1 304 Not Modified${CRLF}Content-Length: 8${CRLF}${CRLF}injected`,
    ],
    ['two answers at once', 'ok:{}', withLine('HTTP/1.1 200 OK') + INJECTED],
    // what is allowed stays allowed
    [
        'an equal Content-Length twice',
        'ok?:{}',
        head('Content-Length: 2', 'Content-Length: 2') + '{}',
    ],
    ['a chunk extension', 'ok?:hello', `${CHUNKED}5;a=b\r\nhello\r\n0\r\n\r\n`],
    ['trailers', 'ok:hello', `${CHUNKED}5\r\nhello\r\n0\r\nX-Injected: 1\r\n\r\n`],
];

describe('hostile upstreams (T13)', () => {
    let stage;
    before(async () => {
        stage = await openStage({ route: { upstream: { response_timeout: '5s' } } });
    });
    after(() => stage?.close());

    // What the client made of it: { answer } or { broken }.
    async function ask() {
        try {
            return { answer: await stage.ask({}) };
        } catch (error) {
            if (!(error instanceof BrokenAnswer)) throw error;
            return { broken: true };
        }
    }

    function assertSeen(expected, { answer, broken }) {
        const [kind, text] = expected.split(/:(.*)/s);
        if (broken) {
            assert.equal(kind, 'broken', 'a broken answer');
            return;
        }
        assert.deepEqual(answer.all('x-injected'), [], 'an injected header');
        assert.ok(!/inject/i.test(answer.text), 'injected bytes');
        if (answer.status === 502) {
            assert.ok(['bad', 'broken', 'ok?'].includes(kind), '502');
            assertRpcError(answer, 502, 1);
            return;
        }
        assert.ok(kind === 'ok' || kind === 'ok?', `${answer.status} ${answer.text.slice(0, 100)}`);
        assert.equal(answer.text, text);
    }

    for (const [what, expected, bytes, how = 'stay'] of ROWS)
        test(`${what}: ${expected}`, async () => {
            stage.upstream.forget();
            stage.upstream.respond = async (request, link) => {
                await link.send(Buffer.from(bytes, 'latin1'));
                await sleep(10);
                if (how !== 'stay') link[how]();
            };
            assertSeen(expected, await ask());
            assert.equal(stage.upstream.requests.length, 1, 'asked more than once');
            stage.upstream.forget();
            const next = await stage.ask({});
            assert.equal(next.status, 200, 'the next request');
            assert.equal(next.json.id, 1);
        });

    test('bytes before any request make a connection unusable, not an answer', async () => {
        stage.upstream.forget();
        assert.equal((await stage.ask({})).status, 200);
        for (const link of stage.upstream.links) if (!link.socket.destroyed) link.send(INJECTED);
        await sleep(50);
        const { answer } = await ask();
        assert.equal(answer.status, 200);
        assert.deepEqual(answer.all('x-injected'), []);
        assert.equal(answer.json.id, 1);
    });
});
