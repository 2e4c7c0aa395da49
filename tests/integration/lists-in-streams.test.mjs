// SPDX-License-Identifier: Apache-2.0
// Lists in event streams: wherever the bytes are cut, a client's parser sees the same events with the
// lists filtered; what is too large ends the stream with an error that the client can read.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';

import { openDoors, toolCall } from './lib/doors.mjs';
import { chunk, eventOf, LAST_CHUNK, readEvents, STREAM_HEAD, streamOf } from './lib/events.mjs';
import { rounds, sleep } from './lib/observe.mjs';
import { call } from './lib/stage.mjs';
import { BrokenAnswer } from './lib/wire.mjs';

const INSPECT_BYTES = 4096;
const SECRET = 'topsecret';
const RULES = [
    { tools: ['echo'], allow: true },
    { prompts: ['*'], allow: true },
];
const ROUTES = {
    mcp: { rules: RULES },
    small: { rules: RULES, limits: { response_inspect: INSPECT_BYTES } },
    pass: { rules: RULES, list: 'pass' },
    free: {},
};
const LIST_TOOLS = call('tools/list');

const tool = (name) => ({ name, inputSchema: { type: 'object' } });
const listOf = (...names) => ({ jsonrpc: '2.0', id: 1, result: { tools: names.map(tool) } });
const progress = { jsonrpc: '2.0', method: 'notifications/progress', params: { progress: 1 } };

/** A stream with everything that the format has, its list among other things. */
const STREAM = [
    ': a comment\n',
    'id: 1\ndata: \n\n', // an event that only has an id (2025-11-25)
    eventOf(progress, { id: '2', event: 'message' }),
    'retry: 3000\n\n',
    'event: message\r\nid: 3\r\ndata: {"jsonrpc":"2.0","id":1,\r\n',
    `data: "result":{"tools":[{"name":"${SECRET}"},\r\ndata:{"name":"echo"}]}}\r\n\r\n`,
    ': bye\n\n',
    eventOf(progress, { id: '4' }),
].join('');

/** STREAM as a client has to see it. */
const SEEN = readEvents(STREAM).map((event) =>
    event.data.includes(SECRET)
        ? { ...event, data: { jsonrpc: '2.0', id: 1, result: { tools: [{ name: 'echo' }] } } }
        : { ...event, data: event.data && JSON.parse(event.data) },
);

const parsed = (text) =>
    readEvents(text).map((event) => ({ ...event, data: event.data && JSON.parse(event.data) }));

describe('lists in event streams', () => {
    let stage;
    let doors;
    before(async () => {
        ({ stage, doors } = await openDoors(ROUTES));
    });
    beforeEach(() => stage.upstream.forget());
    after(() => stage?.close());

    function through(door, bytes, { body = LIST_TOOLS, ...more } = {}) {
        stage.upstream.respond = (request, link) => link.send(bytes);
        return doors[door].ask(body, '', more);
    }

    test('the stream of the test has what it should', () => {
        assert.equal(SEEN.length, 4);
        assert.equal(SEEN[2].id, '3');
    });

    test('a list is filtered, all other events stay', async () => {
        const answer = await through('mcp', streamOf(STREAM));
        assert.equal(answer.status, 200);
        assert.equal(answer.get('content-type'), 'text/event-stream');
        assert.equal(answer.get('x-accel-buffering'), 'no');
        assert.deepEqual(parsed(answer.text), SEEN);
        assert.ok(answer.text.includes('retry: 3000'), answer.text);
    });

    test('an answer that came in one piece leaves in one piece, others as they come', async () => {
        const whole = await through('mcp', streamOf(STREAM));
        assert.equal(whole.get('content-length'), String(Buffer.byteLength(whole.text)));
        assert.equal(whole.get('transfer-encoding'), null);
        stage.upstream.respond = async (request, link) => {
            await link.send(Buffer.concat([STREAM_HEAD, chunk(STREAM)]));
            await sleep(20);
            await link.send(LAST_CHUNK);
        };
        const cut = await doors.mcp.ask(LIST_TOOLS, '');
        assert.equal(cut.get('content-length'), null);
        assert.equal(cut.text, whole.text);
    });

    test('wherever the bytes are cut', async () => {
        const bytes = Buffer.from(STREAM);
        const step = rounds(1) === 1 ? 1 : 5;
        for (let at = 1; at < bytes.length; at += step) {
            stage.upstream.respond = async (request, link) => {
                await link.send(Buffer.concat([STREAM_HEAD, chunk(bytes.subarray(0, at))]));
                await sleep(0);
                await link.send(Buffer.concat([chunk(bytes.subarray(at)), LAST_CHUNK]));
            };
            const answer = await doors.mcp.ask(LIST_TOOLS, '');
            assert.deepEqual(parsed(answer.text), SEEN, `cut at ${at}`);
        }
        const single = await through('mcp', streamOf(...STREAM.split('')));
        assert.deepEqual(parsed(single.text), SEEN, 'byte by byte');
    });

    for (const [name, end] of [
        ['LF', '\n'],
        ['CR LF', '\r\n'],
        ['CR', '\r'],
    ])
        test(`lines that end in ${name} are lines`, async () => {
            const text = STREAM.replaceAll('\r\n', '\n').replaceAll('\n', end);
            const answer = await through('mcp', streamOf(text, `: end${end}`));
            assert.deepEqual(parsed(answer.text), SEEN);
        });

    test('forms of a data line that parsers differ on hide nothing', async () => {
        const json = JSON.stringify(listOf(SECRET, 'echo'));
        for (const text of [
            `data:${json}\n\n`,
            `\ufeffdata: ${json}\n\n`,
            `data: ${json}\r\r`,
            `data: ${json.slice(0, 20)}\ndata: ${json.slice(20)}\n\n`,
            `event: x\ndata: ${json}\n\n`,
            `data: ${json}`,
            `data: ${json}\n`,
            `: \rdata: ${json}\n\n`,
            `id: 1\0\ndata: ${json}\n\n`,
            `data\ndata: ${json}\n\n`,
            `data: []\ndata: ${json}\n\n`,
            `DATA: ${json}\n\ndata: ${json}\n\n`,
        ]) {
            let answer;
            try {
                answer = await through('mcp', streamOf(text));
            } catch (error) {
                assert.ok(error instanceof BrokenAnswer, error);
                continue;
            }
            const names = readEvents(answer.text).map(({ data }) => data ?? '');
            assert.ok(!names.join().includes(SECRET), JSON.stringify(text));
        }
    });

    test('a stream of which nothing is removed is the same, byte for byte', async () => {
        const text = STREAM.replaceAll(SECRET, 'echo');
        assert.equal((await through('mcp', streamOf(text))).text, text);
    });

    test('events before the list come at once', async () => {
        let link;
        stage.upstream.respond = (request, opened) => {
            link = opened;
            link.send(Buffer.concat([STREAM_HEAD, chunk(eventOf(progress))]));
        };
        const wire = await stage.wire();
        try {
            wire.send(stage.request(doors.mcp.options(LIST_TOOLS, '')));
            await wire.head();
            const first = await wire.part({ timeoutMs: 5000 });
            assert.deepEqual(parsed(first.toString()).length, 1);
            link.send(Buffer.concat([chunk(eventOf(listOf(SECRET, 'echo'))), LAST_CHUNK]));
            const rest = (await wire.body()).toString();
            assert.deepEqual(parsed(rest)[0].data, listOf('echo'));
        } finally {
            wire.close();
        }
    });

    /** The text that came, also of a stream that broke off. */
    async function readAll(door, bytes) {
        stage.upstream.respond = (request, link) => link.send(bytes);
        const wire = await stage.wire();
        let text = '';
        try {
            wire.send(stage.request(doors[door].options(LIST_TOOLS, '')));
            assert.equal((await wire.head()).status, 200);
            for (let part = await wire.part(); part !== null; part = await wire.part())
                text += part;
        } catch (error) {
            if (!(error instanceof BrokenAnswer)) throw error;
        } finally {
            wire.close();
        }
        return text;
    }

    test('a list larger than response_inspect ends the stream with an error', async () => {
        for (const size of [INSPECT_BYTES, 64 * 1024, 1024 * 1024]) {
            const large = { ...listOf('echo', SECRET), pad: 'p'.repeat(size) };
            const bytes = streamOf(eventOf(progress), eventOf(large), eventOf(listOf(SECRET)));
            const text = await readAll('small', bytes);
            assert.ok(!text.includes(SECRET));
            const events = parsed(text);
            assert.equal(events.length, 2, text.slice(0, 500));
            assert.equal(events[1].data.id, 1);
            assert.match(events[1].data.error.message, /large/);
        }
        const fits = await readAll('small', streamOf(eventOf(listOf('echo', SECRET))));
        assert.deepEqual(parsed(fits)[0].data, listOf('echo'));
    });

    // While the gate is stopped the end of the stream comes first and the client's leaving second, so
    // that the gate learns of it in the middle of sending what it has to say.
    test('a client that leaves while a list is refused harms nobody', async () => {
        let link;
        stage.upstream.respond = (request, opened) => {
            link = opened;
            link.send(Buffer.concat([STREAM_HEAD, chunk(eventOf(progress))]));
        };
        const wire = await stage.wire();
        wire.send(stage.request(doors.mcp.options(LIST_TOOLS, '')));
        await wire.head();
        await wire.part();
        stage.gate.signal('SIGSTOP');
        try {
            await link.send(chunk(eventOf(listOf('echo', SECRET)) + eventOf('{no JSON')));
            await sleep(50);
            wire.reset();
            await sleep(50);
        } finally {
            stage.gate.signal('SIGCONT');
        }
        const answer = await through('mcp', streamOf(STREAM));
        assert.deepEqual(parsed(answer.text), SEEN);
    });

    test('an event with a line that never ends is an error, too', async () => {
        const text = await readAll(
            'small',
            streamOf(eventOf(progress), `data: ${JSON.stringify(listOf(SECRET)).padEnd(9999)}`),
        );
        assert.ok(!text.includes(SECRET));
    });

    test('an event that could be read in two ways is not passed on', async () => {
        for (const data of [
            `{"jsonrpc":"2.0","id":1,"result":{"tools":[],"tools":[{"name":"${SECRET}"}]}}`,
            `{"jsonrpc":"2.0","id":1,"result":{"tools":{"a":{"name":"${SECRET}"}}}}`,
            `${JSON.stringify(listOf(SECRET))} x`,
        ]) {
            const text = await readAll('mcp', streamOf(eventOf(progress), eventOf(data)));
            assert.ok(!text.includes(SECRET), text);
            assert.deepEqual(parsed(text)[0].data, progress);
        }
    });

    test('a compressed stream is refused', async () => {
        const head = Buffer.from(
            STREAM_HEAD.toString().replace('\r\n\r\n', '\r\nContent-Encoding: gzip\r\n\r\n'),
        );
        const answer = await through('mcp', Buffer.concat([head, chunk(STREAM), LAST_CHUNK]));
        assert.equal(answer.status, 502, answer.text);
        assert.equal(answer.json.id, 1);
    });

    test('a GET stream, which may bring the rest of an answer, is filtered as well', async () => {
        const more = { method: 'GET', typed: false, body: null };
        const headers = ['Accept: text/event-stream', 'Last-Event-ID: 1', 'Accept-Encoding: gzip'];
        const answer = await through('mcp', streamOf(STREAM), { ...more, headers });
        assert.deepEqual(parsed(answer.text), SEEN);
        assert.equal(stage.upstream.last.get('accept-encoding'), null);
        for (const door of ['pass', 'free'])
            assert.equal((await through(door, streamOf(STREAM), more)).text, STREAM);
    });

    test('the stream of another call is not looked into', async () => {
        const text = STREAM.replaceAll('"tools"', '"content"');
        const answer = await through('mcp', streamOf(text), { body: toolCall('echo') });
        assert.equal(answer.text, text);
    });

    test('with list "pass", and where nothing can be denied, streams are not looked into', async () => {
        for (const door of ['pass', 'free'])
            assert.equal((await through(door, streamOf(STREAM))).text, STREAM);
    });
});
