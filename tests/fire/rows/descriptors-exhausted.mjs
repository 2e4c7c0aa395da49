// SPDX-License-Identifier: Apache-2.0
// T15: 200 clients want to be served by a daemon that has 64 descriptors: while it is full it does not
// turn in circles, and once they have left it serves at once. With the limit of connections that it
// derives by itself, and with one that is too high.
import net from 'node:net';

import { cpuSeconds, eventually, openFds, sleep } from '../../integration/lib/observe.mjs';
import { openStage } from '../../integration/lib/stage.mjs';

export const row = 'T15';
export const title = 'no descriptors left';

const DESCRIPTORS = 64;
const CLIENTS = 200;
const FULL_S = 5;
const LIMITS = [
    ['the derived limit of connections', {}],
    ['a limit that is too high', { connections: 1000 }],
];

async function fill(stage) {
    const crowd = [];
    for (let i = 0; i < CLIENTS; i++)
        crowd.push(net.connect(stage.gate.port, '127.0.0.1').on('error', () => {}));
    for (const socket of crowd) socket.write(stage.request());
    await sleep(500);
    return crowd;
}

async function measure(report, what, limits) {
    const stage = await openStage({
        prelude: `ulimit -n ${DESCRIPTORS}`,
        policy: { workers: 1, limits },
    });
    let crowd = [];
    try {
        await stage.ask({});
        crowd = await fill(stage);
        report.atMost(`${what}: descriptors while full`, DESCRIPTORS, openFds(stage.gate.pid));
        const before = cpuSeconds(stage.gate.pid);
        await sleep(FULL_S * 1000);
        const share = ((cpuSeconds(stage.gate.pid) - before) / FULL_S) * 100;
        report.atMost(`${what}: CPU while full`, 2, share, ' %');
        for (const socket of crowd) socket.destroy();
        const released = performance.now();
        await eventually(
            async () => (await stage.ask({}).catch(() => null))?.status === 200,
            'it serves again',
        );
        const ms = performance.now() - released;
        report.atMost(`${what}: first new request after the release`, 1000, ms, ' ms');
    } finally {
        for (const socket of crowd) socket.destroy();
        await stage.close();
    }
}

export async function run(report) {
    for (const [what, limits] of LIMITS) await measure(report, what, limits);
}
