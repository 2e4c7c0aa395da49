// SPDX-License-Identifier: Apache-2.0
// T17: ten thousand clients leave at a random byte of their request or of its answer. The upstream
// hears of it at once, and nothing is left behind.
import { eventually, sleep } from '../../integration/lib/observe.mjs';
import { call, openStage } from '../../integration/lib/stage.mjs';
import { Wire } from '../../integration/lib/wire.mjs';
import { quantile } from '../lib/good-clients.mjs';
import { fdsAtRest, reportLeaks } from '../lib/leaks.mjs';

export const row = 'T17';
export const title = 'clients that leave at any byte';

const ABORTS = 10_000;
const AT_ONCE = 16;
const EVENTS = 20;
const HEAD =
    'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n';
const ANSWER =
    HEAD + Array.from({ length: EVENTS }, (_, i) => `9\r\ndata: ${i % 10}\n\n\r\n`).join('');

/** One client, which leaves; WENT is told when, by its id. */
async function abortOne(stage, id, went) {
    const bytes = stage.request({ body: call('x', {}, id) });
    const wire = await Wire.open(stage.gate.port);
    const isWhole = Math.random() < 0.5;
    await wire.send(isWhole ? bytes : bytes.subarray(0, Math.floor(Math.random() * bytes.length)));
    if (isWhole) {
        const wanted = Math.floor(Math.random() * 9 * EVENTS);
        await wire.head();
        for (let got = 0; got < wanted;) {
            const part = await Promise.race([wire.part(), sleep(50)]);
            if (!part) break;
            got += part.length;
        }
    }
    went.set(id, performance.now());
    wire[Math.random() < 0.5 ? 'close' : 'reset']();
}

export async function run(report) {
    const stage = await openStage({ policy: { workers: 1 } });
    const went = new Map();
    const delays = [];
    try {
        await Promise.all(Array.from({ length: AT_ONCE }, () => stage.ask({})));
        const fds = await fdsAtRest(stage);
        stage.upstream.respond = (request, link) => {
            const { id } = JSON.parse(request.body);
            stage.upstream.requests.length = 0;
            link.closed.then((at) => went.has(id) && delays.push(at - went.get(id)));
            link.send(ANSWER);
        };
        let next = 0;
        const worker = async () => {
            while (next < ABORTS) {
                if (next % 500 === 0)
                    stage.upstream.links = stage.upstream.links.filter((l) => !l.socket.destroyed);
                await abortOne(stage, next++, went);
            }
        };
        await Promise.all(Array.from({ length: AT_ONCE }, worker));
        await eventually(
            () => stage.upstream.openLinks() === 0,
            'every cancel reached the upstream',
        );
        delays.sort((a, b) => a - b);
        report.atLeast('cancels that the upstream could see', ABORTS / 4, delays.length);
        report.atMost('the upstream sees a cancel, p99', 100, quantile(delays, 0.99), ' ms');
        stage.upstream.forget();
        await reportLeaks(report, stage, fds);
        report.equal('a good request afterwards', 200, (await stage.ask({})).status);
    } finally {
        await stage.close();
    }
}
