// SPDX-License-Identifier: Apache-2.0
// T19: 20,000 tokens with signatures that are wrong, each another one, sent as fast as they are
// answered, beside clients that behave.
import { rssKib, sleep } from '../../integration/lib/observe.mjs';
import { Wire } from '../../integration/lib/wire.mjs';
import { GoodClients, measure } from '../lib/good-clients.mjs';
import { numberedRequest, openGate } from '../lib/gate.mjs';

export const row = 'T19';
export const title = 'a flood of bad signatures';

const TOKENS = 20_000;
const ATTACKERS = 32;
const AT_ONCE = 8; // pipelined
const PACE = { clients: 8, paceMs: 5 };

/** TOKEN with a signature of its own that nobody made. */
function spoilt(token, i) {
    const [header, payload, signature] = token.split('.');
    const mark = Buffer.from(String(i).padStart(9, '0')).toString('base64url');
    return `${header}.${payload}.${mark}${signature.slice(mark.length)}`;
}

async function attack(stage) {
    const token = stage.token({});
    const requests = Array.from({ length: TOKENS }, (_, i) =>
        stage.request({ token: spoilt(token, i), body: null, method: 'GET' }),
    );
    let next = 0;
    let refused = 0;
    const wrong = [];
    const one = async () => {
        const wire = await Wire.open(stage.gate.port);
        while (next < TOKENS) {
            const mine = requests.slice(next, next + AT_ONCE);
            next += mine.length;
            wire.send(Buffer.concat(mine));
            for (let i = 0; i < mine.length; i++) {
                const { status } = await wire.answer({ method: 'GET' });
                if (status === 401) refused++;
                else wrong.push(`${status}`);
            }
        }
        wire.close();
    };
    await Promise.all(Array.from({ length: ATTACKERS }, one));
    return { refused, wrong };
}

export async function run(report) {
    const { stage, close } = await openGate();
    const request = [numberedRequest(stage)];
    try {
        await measure(stage.gate.port, request, 1000, PACE);
        const calm = await measure(stage.gate.port, request, 5000, PACE);
        const beforeKib = rssKib(stage.gate.pid);
        const clients = new GoodClients(stage.gate.port, request, PACE);
        const started = performance.now();
        const { refused, wrong } = await attack(stage);
        const seconds = (performance.now() - started) / 1000;
        const beside = await clients.stop();
        await sleep(500);
        report.none('bad signatures that were not refused with 401', wrong, TOKENS);
        report.none('good requests that failed', beside.failures, beside.served);
        report.note(
            [
                `${(refused / seconds).toFixed(0)} bad tokens a second`,
                `good p50 ${calm.p50.toFixed(2)} ms alone, ${beside.p50.toFixed(2)} ms beside`,
            ].join('; '),
        );
        report.atMost(`good p99, alone ${calm.p99.toFixed(2)} ms, times`, 3, beside.p99 / calm.p99);
        report.atMost(
            'growth of resident memory',
            1024,
            rssKib(stage.gate.pid) - beforeKib,
            ' KiB',
        );
    } finally {
        await close();
    }
}
