// SPDX-License-Identifier: Apache-2.0
// T29: mixed traffic for minutes, with one fault in a hundred: calls of all revisions, lists,
// streams, sessions, bad tokens, aborts, an upstream that breaks off. Memory and descriptors stay
// where they are.
import { openFds, rssKib, sleep } from '../../integration/lib/observe.mjs';
import { call, openStage } from '../../integration/lib/stage.mjs';
import { Wire } from '../../integration/lib/wire.mjs';

export const row = 'T29';
export const title = 'a soak';
export const limitS = 180; // and the minutes asked for

const CLIENTS = 24;
const FAULT_SHARE = 0.01;
const SAMPLE_MS = 2000;
const SETTLE_SHARE = 0.2; // of the time: what is allocated for good is there then
const REVISIONS = ['2025-03-26', '2025-06-18', '2025-11-25', '2026-07-28'];
const SSE =
    'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n';
const META = '{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}';
const TOKENS = 300; // so many are known at the end, however long it takes
const pick = (list) => list[Math.floor(Math.random() * list.length)];
const json = (text, more = '') =>
    [
        'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n',
        `${more}Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
    ].join('');
const event = (text) => `${(text.length + 8).toString(16)}\r\ndata: ${text}\n\n\r\n`;

function respond(request, link) {
    const isFault = Math.random() < FAULT_SHARE;
    if (request.method === 'GET') {
        link.send(SSE);
        for (let i = 0; i < 5; i++) link.send(event('{"jsonrpc":"2.0","method":"x"}'));
        if (isFault) link.reset();
        else link.send('0\r\n\r\n');
        return;
    }
    const { id = null, method } = JSON.parse(request.body);
    const tools = ['echo', 'never'].map((name) => ({ name, inputSchema: {} }));
    const result = method === 'tools/list' ? { tools } : { pad: 'p'.repeat(Math.random() * 5000) };
    const text = JSON.stringify({ jsonrpc: '2.0', id, result });
    if (isFault)
        pick([() => link.reset(), () => link.end(json(text).slice(0, 60)), () => link.end()])();
    else link.send(json(text, method === 'initialize' ? 'Mcp-Session-Id: s\r\n' : ''));
}

/** The kinds of traffic: [how often, what is sent]. */
function traffic(stage) {
    const version = () => [`MCP-Protocol-Version: ${pick(REVISIONS.slice(0, 3))}`];
    const tokens = Array.from({ length: TOKENS }, () => stage.token({}));
    const tool = (name) => call('tools/call', { name });
    return [
        [40, () => ({ body: call('ping'), headers: version() })],
        [10, () => ({ body: tool('echo') })],
        [
            10,
            () => ({
                body: tool('echo').replace('"params":{', `"params":{"_meta":${META},`),
                headers: [
                    'MCP-Protocol-Version: 2026-07-28',
                    'Mcp-Method: tools/call',
                    'Mcp-Name: echo',
                ],
            }),
        ],
        [10, () => ({ body: call('tools/list') })],
        [10, () => ({ method: 'GET', body: null })],
        [5, () => ({ body: call('initialize', { protocolVersion: pick(REVISIONS) }) })],
        [5, () => ({ token: pick(tokens) })],
        [3, () => ({ token: 'a.b.c' })],
        [3, () => ({ token: `${stage.token()}x` })],
        [2, () => ({ token: null })],
        [2, () => ({ body: '{"jsonrpc":' })],
        [3, () => ({ body: tool('never') })],
    ].flatMap(([times, make]) => Array(times).fill(make));
}

async function client(stage, kinds, counts, running) {
    let wire = null;
    while (running()) {
        const options = pick(kinds)();
        const bytes = stage.request(options);
        try {
            wire ??= await Wire.open(stage.gate.port);
            if (Math.random() < FAULT_SHARE) {
                await wire.send(bytes.subarray(0, Math.random() * bytes.length));
                wire.reset();
                wire = null;
                counts.aborted++;
                continue;
            }
            wire.send(bytes);
            const answer = await wire.answer({ method: options.method ?? 'POST' });
            counts[answer.status] = (counts[answer.status] ?? 0) + 1;
            const isBad = 'token' in options && options.token?.split('.').length !== 3;
            if (isBad && answer.status === 200) counts.letIn++;
            if (answer.get('connection')?.toLowerCase() === 'close') {
                wire.close();
                wire = null;
            }
        } catch {
            counts.broken++;
            wire?.close();
            wire = null;
        }
        await sleep(2);
    }
    wire?.close();
}

/** Least squares: how much Y grows with each unit of X. */
function slope(points) {
    const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const [mx, my] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))];
    const over = points.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0);
    return over / points.reduce((sum, [x]) => sum + (x - mx) ** 2, 0);
}

export async function run(report, { minutes = 10 } = {}) {
    const stage = await openStage({
        policy: { session_secret: 's'.repeat(32) },
        route: {
            rules: [
                { tools: ['never'], allow: false },
                { methods: ['*'], allow: true },
            ],
        },
    });
    stage.upstream.respond = respond;
    const counts = { aborted: 0, broken: 0, letIn: 0 };
    const samples = [];
    const end = performance.now() + minutes * 60_000;
    try {
        const running = () => performance.now() < end && stage.gate.exit === null;
        const kinds = traffic(stage);
        const clients = Array.from({ length: CLIENTS }, () =>
            client(stage, kinds, counts, running),
        );
        const begin = performance.now();
        while (running()) {
            await sleep(SAMPLE_MS);
            samples.push([
                (performance.now() - begin) / 60_000,
                rssKib(stage.gate.pid),
                openFds(stage.gate.pid),
            ]);
            stage.upstream.requests.length = 0;
            stage.upstream.links = stage.upstream.links.filter((link) => !link.socket.destroyed);
            stage.gate.log.length = 0;
            stage.gate.stderr = stage.gate.stderr.slice(-10_000);
        }
        await Promise.all(clients);
        const steady = samples.filter(([at]) => at > minutes * SETTLE_SHARE);
        report.note(
            Object.entries(counts)
                .map(([what, n]) => `${what}: ${n}`)
                .join(', '),
        );
        report.atMost('growth of resident memory', 64, slope(steady), ' KiB/min');
        const fds = steady.map(([, , n]) => n);
        const half = Math.ceil(fds.length / 2);
        const most = (list) => Math.max(...list);
        report.atMost(
            'most descriptors in the second half, against the first',
            most(fds.slice(0, half)) + 16,
            most(fds.slice(half)),
        );
        report.equal('bad tokens that were let in', 0, counts.letIn);
        report.figure(
            'the daemon',
            'lives',
            stage.gate.exit === null ? 'lives' : 'ended',
            stage.gate.exit === null,
        );
    } finally {
        await stage.close();
    }
}
