// SPDX-License-Identifier: Apache-2.0
// The worst that a caller can send costs little more than its size (T18): at most ten times its bytes
// of memory and 20 ms of CPU, and before authentication no more than its own bytes. A list of the same
// size, which is looked into entry by entry and comes from the upstream, may take twice as long.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { okJson } from './lib/byte-upstream.mjs';
import { eventOf, streamOf } from './lib/events.mjs';
import { cpuMs, eventually, peakKib, resetPeak, rssKib, SANITIZED } from './lib/observe.mjs';
import { call, openStage } from './lib/stage.mjs';

const MIB = 1024 * 1024;
const BODY_BYTES = 4 * MIB; // the default of limits.body and limits.response_inspect
const LIST_BYTES = BODY_BYTES - 64;
const MOST_MEMORY = 10;
const MOST_CPU_MS = 20;
const MOST_LIST_CPU_MS = 40;
const TRIES = 5;
/** Figures are of an idle machine. A busy one may need several times as much; what grows faster than
 *  the input needs a hundred times as much. */
const NOISE = 5;
/** What any first request costs once: arenas, connections, buffers. */
const FLOOR_KIB = 1024;

const RULES = [
    { tools: ['echo', '*a*b*c*d*e'], allow: true },
    { tools: ['s-*'], scopes: ['a', 'b'], permission: 'tool:{name}' },
    { resources: ['demo://*/*/x?z', 'file:///pub/*'], allow: true },
    { prompts: ['*'], permission: 'prompt:{name}' },
    ...Array.from({ length: 8 }, (_, i) => ({ tools: [`*_end${i}`], allow: false })),
    { tools: ['*'], permission: 'tool:{name}' },
];

/** PIECE again and again, as often as fits between BEGIN and END into BYTES. */
function fill(begin, piece, end, bytes = BODY_BYTES) {
    const make = typeof piece === 'function' ? piece : () => piece;
    const parts = [begin];
    let length = Buffer.byteLength(begin) + Buffer.byteLength(end);
    for (let i = 0; ; i++) {
        const next = make(i);
        length += Buffer.byteLength(next);
        if (length > bytes) break;
        parts.push(next);
    }
    return parts.join('') + end;
}
const padded = (begin, piece, end) =>
    begin + piece.repeat(Math.floor((BODY_BYTES - begin.length - end.length) / piece.length)) + end;

const OPEN = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":';
const inArguments = (value) => `${OPEN}${value}}}`;
const within = (begin, piece, end) => fill(`${OPEN}${begin}`, piece, `${end}}}`);
const comma = (piece) => (i) => (i === 0 ? '' : ',') + piece(i);
const DEEP = 60;
const tower = `${'['.repeat(DEEP)}${']'.repeat(DEEP)}`;
const objects = `${'{"a":'.repeat(DEEP)}0${'}'.repeat(DEEP)}`;
const BATCH = 250;
const NAME_BYTES = 8000;
const share = Math.floor(BODY_BYTES / BATCH) - NAME_BYTES - 200;

const LONGEST_NAME_BYTES = 32_000;

/** Bodies of POST, each close to limits.body. */
const BODIES = {
    'names of the greatest length, for patterns that look for an end': () =>
        fill(
            '[',
            comma((i) => call('tools/call', { name: '_'.repeat(LONGEST_NAME_BYTES) }, i)),
            ']',
        ),
    'opened arrays that never close': () => '['.repeat(BODY_BYTES),
    'opened objects that never close': () => padded('', '{"a":', ''),
    'towers of arrays': () =>
        within(
            '[',
            comma(() => tower),
            ']',
        ),
    'towers of objects': () =>
        within(
            '[',
            comma(() => objects),
            ']',
        ),
    'a million empty arrays': () =>
        within(
            '[',
            comma(() => '[]'),
            ']',
        ),
    'two million numbers': () =>
        within(
            '[',
            comma(() => '0'),
            ']',
        ),
    'numbers of a thousand digits': () =>
        within(
            '[',
            comma(() => '9'.repeat(300)),
            ']',
        ),
    'numbers with exponents': () =>
        within(
            '[',
            comma(() => '1.7976931348623157e308'),
            ']',
        ),
    'one number of four million digits': () => inArguments('1'.repeat(BODY_BYTES - 100)),
    'an object with very many keys': () =>
        within(
            '{',
            comma((i) => `"${i}":0`),
            '}',
        ),
    'long keys that differ in the end': () =>
        within(
            '{',
            comma((i) => `"${'k'.repeat(200)}${i}":0`),
            '}',
        ),
    'keys that differ in the middle': () =>
        within(
            '{',
            comma((i) => `"${'k'.repeat(16)}${i}${'k'.repeat(16)}":0`),
            '}',
        ),
    'keys made of escapes': () =>
        within(
            '{',
            comma((i) => `"\\u006b${[...String(i)].map((d) => `\\u003${d}`).join('')}":0`),
            '}',
        ),
    'keys that fold to others': () =>
        within(
            '{',
            comma((i) => `"Method${i}":0,"mETHOD${i}":0`),
            '}',
        ),
    'a duplicate key at the very end': () =>
        within(
            '{"0":0,',
            comma((i) => `"${i + 1}":0`),
            ',"0":1}',
        ),
    'many objects of a few keys': () =>
        within(
            '[',
            comma((i) => `{"a":${i},"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"h":0}`),
            ']',
        ),
    'many members beside the known ones': () =>
        fill(
            '{"jsonrpc":"2.0","id":1,"method":"ping",',
            comma((i) => `"x${i}":0`),
            '}',
        ),
    'a string of everything': () => inArguments(`"${'x'.repeat(BODY_BYTES - 100)}"`),
    'a string of escapes': () => within('"', () => '\\u0041', '"'),
    'a string of surrogate pairs': () => within('"', () => '\\ud83d\\ude00', '"'),
    'a string of four-byte letters': () => within('"', () => '😀', '"'),
    'blanks only': () => ' '.repeat(BODY_BYTES),
    'blanks around': () => call('ping').padStart(BODY_BYTES),
    'a name of four million letters': () =>
        padded('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"', 'abcd', '"}}'),
    'the same in escapes': () =>
        padded(
            '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"',
            '\\u0061',
            '"}}',
        ),
    'a uri of four million letters': () =>
        padded(
            '{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"demo://',
            '/x%2',
            '"}}',
        ),
    'an id of four million letters': () =>
        padded('{"jsonrpc":"2.0","id":"', '\\"', '","method":"tools/call","params":{}}'),
    'a method of four million letters': () =>
        padded('{"jsonrpc":"2.0","id":1,"method":"', 'x', '"}'),
    'a batch of scopes to ask for': () =>
        `[${Array.from({ length: BATCH }, (_, i) =>
            call('tools/call', { name: `s-${i}-`.padEnd(NAME_BYTES, 'x'), x: 'x'.repeat(share) }),
        )}]`,
    'a batch of names that nearly match': () =>
        `[${Array.from({ length: BATCH }, (_, i) =>
            call('tools/call', { name: 'abcd'.repeat(NAME_BYTES / 4), x: 'x'.repeat(share) }, i),
        )}]`,
    'a batch of notifications': () =>
        fill(
            '[',
            comma(() => '{"jsonrpc":"2.0","method":"n"}'),
            ']',
        ),
    'a batch of a million numbers': () =>
        fill(
            '[',
            comma(() => '1'),
            ']',
        ),
    'a subscription to many resources': () =>
        call('subscriptions/listen', {
            x: 'x'.repeat(BATCH * share),
            notifications: {
                resourceSubscriptions: Array.from({ length: BATCH }, (_, i) =>
                    `demo://${i}/`.padEnd(NAME_BYTES, 'a/.a%2'),
                ),
            },
        }),
};

const LIST = '{"jsonrpc":"2.0","id":1,"result":{"tools":[';
const entriesOf = (piece) => fill(LIST, comma(piece), ']}}', LIST_BYTES);
/** Answers to tools/list, as large as response_inspect but for the lines of an event around them. */
const ANSWERS = {
    'a hundred thousand tools': () =>
        entriesOf((i) => `{"name":"tool-${i}","description":"12345"}`),
    'tools with names in escapes': () =>
        entriesOf((i) => `{"name":"\\u0065\\u0063\\u0068\\u006f","n":${i}}`),
    'tools that are removed one by one': () =>
        entriesOf((i) => (i % 2 ? '{"name":"echo","x":"12345678"}' : '{"name":"none"}')),
    'tools with towers': () => entriesOf(() => `{"name":"echo","inputSchema":${objects}}`),
    'one tool with very many members': () =>
        fill(`${LIST}{"name":"echo"`, (i) => `,"${i}":0`, '}]}}', LIST_BYTES),
    'tools with long names': () => entriesOf((i) => `{"name":"${`abcd${i}`.repeat(500)}"}`),
    'tools without anything': () => entriesOf(() => '{}'),
    'entries that are no objects': () => entriesOf(() => '0'),
};

const usual = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

/** What ASK costs the daemon: { cpuMs, growthKib }, the median of some tries and the worst of them. */
async function cost(stage, ask) {
    const { pid } = stage.gate;
    await stage.ask();
    const before = rssKib(pid);
    const spent = [];
    resetPeak(pid);
    for (let i = 0; i < TRIES; i++) {
        const start = cpuMs(pid);
        const logged = stage.gate.log.length;
        await ask();
        await eventually(() => stage.gate.log.length > logged, 'the request is over');
        spent.push(cpuMs(pid) - start);
        stage.upstream.forget();
    }
    return { cpuMs: usual(spent), growthKib: peakKib(pid) - before };
}

function assertCheap({ cpuMs: spent, growthKib }, bytes, limits = {}) {
    const { factor = MOST_MEMORY, mostMs = MOST_CPU_MS } = limits;
    if (SANITIZED) return;
    const most = Math.max((factor * bytes) / 1024, FLOOR_KIB);
    assert.ok(growthKib <= most, `${growthKib} KiB for ${bytes} bytes`);
    assert.ok(spent <= mostMs * NOISE, `${spent.toFixed(1)} ms`);
}

/** A stage of its own for each input, so that what one left behind is no help for the next. */
async function withStage(use) {
    const stage = await openStage({
        route: { rules: RULES, scopes: ['mcp:use'] },
        policy: { workers: 1 },
    });
    try {
        await use(stage);
    } finally {
        await stage.close();
    }
}

describe('amplification', () => {
    for (const [name, make] of Object.entries(BODIES))
        test(`body: ${name}`, async (t) => {
            const body = Buffer.from(make());
            assert.ok(
                body.length <= BODY_BYTES && body.length > BODY_BYTES * 0.7,
                `${body.length}`,
            );
            await withStage(async (stage) => {
                const statuses = new Set();
                const figures = await cost(stage, async () =>
                    statuses.add((await stage.ask({ body })).status),
                );
                t.diagnostic(`${[...statuses]}: ${JSON.stringify(figures)}`);
                for (const status of statuses) assert.ok([200, 400, 403].includes(status));
                assertCheap(figures, body.length);
            });
        });

    for (const [name, make] of Object.entries(ANSWERS))
        for (const [form, bytesOf] of [
            ['JSON', okJson],
            ['an event', (text) => streamOf(eventOf(text))],
        ])
            test(`list: ${name}, as ${form}`, async (t) => {
                const text = make();
                const bytes = bytesOf(text);
                await withStage(async (stage) => {
                    let shown;
                    const figures = await cost(stage, async () => {
                        stage.upstream.respond = (request, link) => link.send(bytes);
                        shown = await stage.ask({ body: call('tools/list') });
                    });
                    t.diagnostic(`${shown.bytes.length} bytes: ${JSON.stringify(figures)}`);
                    assert.equal(shown.status, 200);
                    assertCheap(figures, text.length, { mostMs: MOST_LIST_CPU_MS });
                });
            });

    test('before authentication a body costs no more than its own bytes', async (t) => {
        const body = BODIES['an object with very many keys']();
        await withStage(async (stage) => {
            const nobody = stage.token({ claims: { aud: 'https://other.example.com/' } });
            for (const token of [null, 'x.y.z', nobody]) {
                const figures = await cost(stage, async () => {
                    const answer = await stage.ask({ token, body });
                    assert.equal(answer.status, 401);
                });
                t.diagnostic(JSON.stringify(figures));
                assertCheap(figures, body.length, { factor: 1 });
            }
        });
    });
});
