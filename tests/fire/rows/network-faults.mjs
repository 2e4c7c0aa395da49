// SPDX-License-Identifier: Apache-2.0
// T28: what a network does, on both sides of the gate: delay, a trickle, a reset or an end at any
// byte, and silence. A status that the documentation names, in time, and nothing is left behind.
import { sleep } from '../../integration/lib/observe.mjs';
import { openStage } from '../../integration/lib/stage.mjs';
import { BrokenAnswer } from '../../integration/lib/wire.mjs';
import { GoodClients } from '../lib/good-clients.mjs';
import { fdsAtRest, reportLeaks } from '../lib/leaks.mjs';

export const row = 'T28';
export const title = 'faults of the network, on both sides';

const RESPONSE_MS = 1500;
const IDLE_MS = 1000;
const CLIENT_MS = 2000;
const SLACK_MS = 700;

const TEXT = JSON.stringify({ jsonrpc: '2.0', id: 1, result: { pad: 'p'.repeat(2000) } });
const HEAD = 'HTTP/1.1 200 OK\r\nContent-Type:';
const CHUNKED = 'Transfer-Encoding: chunked\r\n\r\n';
const chunks = (text) => `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`;
const ANSWERS = {
    'with a length': `${HEAD} application/json\r\nContent-Length: ${TEXT.length}\r\n\r\n${TEXT}`,
    'in chunks': `${HEAD} application/json\r\n${CHUNKED}${chunks(TEXT)}`,
    'as events': `${HEAD} text/event-stream\r\n${CHUNKED}${chunks(`data: ${TEXT}\n\n`)}`,
};

/** Sends BYTES in pieces of SIZE, with a pause after each. */
async function trickle(send, bytes, size, pauseMs) {
    for (let at = 0; at < bytes.length; at += size) {
        await send(bytes.slice(at, at + size));
        await sleep(pauseMs);
    }
}

/**
 * What the way to the upstream does to an answer; DEADLINE in ms, and the outcomes that are
 * right.
 */
function upstreamFaults(answer) {
    const cuts = [
        0,
        1,
        16,
        40,
        answer.indexOf('\r\n\r\n') + 4,
        answer.length - 1500,
        answer.length - 1,
    ];
    return [
        [
            'latency of 300 ms',
            async (link) => {
                await sleep(300);
                link.send(answer);
            },
            ['200'],
            300,
        ],
        ['1 KB/s', (link) => trickle((part) => link.send(part), answer, 100, 100), ['200'], 3000],
        [
            'one byte at a time',
            (link) =>
                trickle((part) => link.send(part), answer.slice(0, 400), 1, 1).then(() =>
                    link.send(answer.slice(400)),
                ),
            ['200'],
            2500,
        ],
        ['black hole from the start', () => {}, ['504'], RESPONSE_MS],
        [
            'black hole in the answer',
            (link) => link.send(answer.slice(0, -500)),
            ['502', '504', 'broken'],
            RESPONSE_MS + IDLE_MS,
        ],
        ...cuts.map((at) => [
            `reset at byte ${at}`,
            async (link) => {
                await link.send(answer.slice(0, at));
                await sleep(20);
                link.reset();
            },
            ['502', 'broken'],
            500,
        ]),
        ...cuts.map((at) => [
            `end at byte ${at}`,
            (link) => link.end(answer.slice(0, at)),
            ['502', 'broken'],
            500,
        ]),
        ['half close, then the answer', (link) => link.end(answer), ['200'], 500],
    ];
}

const outcomeOf = (error) => (error instanceof BrokenAnswer ? 'broken' : error.message);

async function onTheUpstreamsSide(report, stage) {
    const wrong = [];
    const late = [];
    let n = 0;
    for (const [form, answer] of Object.entries(ANSWERS)) {
        const ask = async ([what, fault, outcomes, deadlineMs]) => {
            const start = performance.now();
            const outcome = await stage
                .ask({ headers: [`X-Fault: ${what}`] })
                .then(({ status }) => String(status), outcomeOf);
            const tookMs = performance.now() - start;
            n++;
            if (!outcomes.includes(outcome)) wrong.push(`${what}, ${form}: ${outcome}`);
            if (tookMs > deadlineMs + SLACK_MS)
                late.push(`${what}, ${form}: ${tookMs.toFixed(0)} ms`);
        };
        const faults = upstreamFaults(answer);
        stage.upstream.respond = (request, link) => {
            const fault = faults.find(([what]) => what === request.get('x-fault'));
            if (fault) fault[1](link);
            else link.send(answer);
        };
        await Promise.all([...faults, ...faults].map(ask));
    }
    report.none('upstream: outcomes that are not documented', wrong, n);
    report.none('upstream: outcomes after their deadline', late, n);
}

async function onTheClientsSide(report, stage) {
    stage.upstream.forget();
    const bytes = stage.request();
    const wrong = [];
    const late = [];
    let n = 0;
    const faults = [
        ['latency of 300 ms', (wire) => sleep(300).then(() => wire.send(bytes)), ['200'], 300],
        ['1 KB/s', (wire) => trickle((part) => wire.send(part), bytes, 100, 100), ['200'], 1600],
        [
            'a segment for each byte',
            (wire) =>
                trickle((part) => wire.send(part), bytes.subarray(0, 300), 1, 1).then(() =>
                    wire.send(bytes.subarray(300)),
                ),
            ['200'],
            1500,
        ],
        [
            'black hole in the head',
            (wire) => wire.send(bytes.subarray(0, 200)),
            ['408', 'broken'],
            CLIENT_MS,
        ],
        [
            'black hole in the body',
            (wire) => wire.send(bytes.subarray(0, -5)),
            ['408', 'broken'],
            CLIENT_MS,
        ],
        [
            'half close in the head',
            (wire) => {
                wire.send(bytes.subarray(0, 200));
                wire.halfClose();
            },
            ['400', '408', 'broken'],
            CLIENT_MS,
        ],
        [
            'half close behind the request',
            (wire) => {
                wire.send(bytes);
                wire.halfClose();
            },
            ['200', 'broken'],
            500,
        ],
    ];
    const one = async ([what, fault, outcomes, deadlineMs]) => {
        const wire = await stage.wire();
        const start = performance.now();
        fault(wire);
        const outcome = await wire
            .answer({ timeoutMs: 10_000 })
            .then(({ status }) => String(status), outcomeOf);
        const tookMs = performance.now() - start;
        wire.close();
        n++;
        if (!outcomes.includes(outcome)) wrong.push(`${what}: ${outcome}`);
        if (tookMs > deadlineMs + SLACK_MS) late.push(`${what}: ${tookMs.toFixed(0)} ms`);
    };
    await Promise.all(
        Array.from({ length: 10 }, () => faults)
            .flat()
            .map(one),
    );
    report.none('clients: outcomes that are not documented', wrong, n);
    report.none('clients: outcomes after their deadline', late, n);

    let resets = 0;
    for (let at = 0; at < bytes.length; at += 7) {
        const wire = await stage.wire();
        await wire.send(bytes.subarray(0, at));
        wire.reset();
        resets++;
    }
    report.equal(
        'clients: good request after resets at every seventh byte',
        200,
        (await stage.ask({})).status,
    );
    report.note(`${resets} resets of clients`);
}

export async function run(report) {
    const stage = await openStage({
        policy: { limits: { client_timeout: `${CLIENT_MS}ms` } },
        route: { upstream: { response_timeout: `${RESPONSE_MS}ms`, idle_timeout: `${IDLE_MS}ms` } },
    });
    try {
        await Promise.all(Array.from({ length: 64 }, () => stage.ask({})));
        await sleep(CLIENT_MS + 500);
        const fds = await fdsAtRest(stage);
        const beside = new GoodClients(
            stage.gate.port,
            [
                stage.request({
                    method: 'GET',
                    target: '/.well-known/oauth-protected-resource/mcp',
                    body: null,
                    token: null,
                }),
            ],
            { clients: 2, paceMs: 5 },
        );
        await onTheUpstreamsSide(report, stage);
        await onTheClientsSide(report, stage);
        const { served, failures } = await beside.stop();
        report.none('good requests beside that failed', failures, served);
        await reportLeaks(report, stage, fds);
    } finally {
        await stage.close();
    }
}
