// SPDX-License-Identifier: Apache-2.0
// T34: 64 MiB of data and not a byte more, with 2,000 streams that are not read: what does not fit is
// refused, and the daemon lives. A request on a connection that was there before gets 503; where there
// is no memory for the connection itself, nobody can have read a request, and it is closed.
import { eventually, rssKib, sleep } from '../../integration/lib/observe.mjs';
import { call, openStage } from '../../integration/lib/stage.mjs';
import { Wire } from '../../integration/lib/wire.mjs';

export const row = 'T34';
export const title = 'a limit on memory';

const LIMIT_KIB = 64 * 1024;
const STREAMS = 2000;
const OLD_CLIENTS = 100; // whose connections were there before
const PART = Buffer.from(`10000\r\n${'x'.repeat(65_536)}\r\n`);
const HEAD =
    'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n';

export async function run(report) {
    // RLIMIT_DATA counts what may be written: heap, arenas, stacks of threads
    const stage = await openStage({ prelude: `ulimit -d ${LIMIT_KIB}`, policy: { workers: 1 } });
    stage.upstream.respond = (request, link) => {
        stage.upstream.requests.length = 0;
        link.send(HEAD);
        for (let i = 0; i < 16; i++) link.send(PART);
    };
    const wires = [];
    const outcomes = new Map();
    const countIn = (map, what) => map.set(what, (map.get(what) ?? 0) + 1);
    const textOf = (map) => [...map].map(([what, n]) => `${what}: ${n}`).join(', ');
    const note = (what) => countIn(outcomes, what);
    try {
        const old = [];
        for (let i = 0; i < OLD_CLIENTS; i++) {
            const wire = await stage.wire();
            wires.push(wire);
            old.push(wire);
            await wire.send(stage.request({ token: null }));
            await wire.answer();
        }
        const open = async () => {
            let wire;
            try {
                wire = await Wire.open(stage.gate.port);
                wires.push(wire);
                wire.send(
                    stage.request({
                        body: call('ping', { pad: 'p'.repeat(20_000) }),
                    }),
                );
                const head = await wire.head({ timeoutMs: 20_000 });
                wire.pause();
                note(head.status);
            } catch (error) {
                note(/timeout/.test(error.message) ? 'timeout' : 'closed');
            }
        };
        let left = STREAMS;
        const worker = async () => {
            while (left-- > 0 && stage.gate.exit === null) await open();
        };
        await Promise.all(Array.from({ length: 50 }, worker));
        await sleep(1000);
        report.note(`new clients: ${textOf(outcomes)}; resident ${stage.gate.exit ? 0 : rssKib(stage.gate.pid)} KiB`);
        const odd = [...outcomes.keys()].filter((what) => ![200, 503, 'closed'].includes(what));
        report.none('outcomes other than 200, 503 and a closed connection', odd, STREAMS);
        report.atLeast(
            'streams that were shed',
            1,
            (outcomes.get(503) ?? 0) + (outcomes.get('closed') ?? 0),
        );
        const again = new Map();
        for (const wire of old) {
            await wire.send(stage.request({ body: call('ping', { pad: 'p'.repeat(200_000) }) }));
            const status = await wire.head().then(
                (head) => head.status,
                () => 'closed',
            );
            wire.pause();
            countIn(again, status);
        }
        report.note(`clients that were there before: ${textOf(again)}`);
        report.atLeast('of their requests, those shed with 503', OLD_CLIENTS / 2, again.get(503) ?? 0);
        const logged = new Map();
        for (const line of stage.gate.log)
            if (line.event === 'request') countIn(logged, `${line.status} ${line.reason}`);
        report.note(`log: ${textOf(logged)}`);
        report.figure(
            'the daemon',
            'lives',
            stage.gate.exit ? JSON.stringify(stage.gate.exit) : 'lives',
            !stage.gate.exit,
        );
        const bad = await stage.ask({ token: 'a.b.c' }).then(
            ({ status }) => status,
            () => 'closed',
        );
        report.figure('a bad token while memory is short', 'not 200', bad, bad !== 200);
        for (const wire of wires) wire.reset();
        stage.upstream.forget();
        await eventually(async () => (await stage.ask({})).status === 200, 'it serves again');
        report.figure('a good request after the crowd has left', '200', '200', true);
    } finally {
        for (const wire of wires) wire.close();
        if (stage.gate.exit === null) await stage.close();
    }
}
