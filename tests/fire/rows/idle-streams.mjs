// SPDX-License-Identifier: Apache-2.0
// T16: ten thousand event streams on which nothing happens, or as many as the limit on descriptors
// of one process allows, which needs two for each.
import fs from 'node:fs';

import { cpuSeconds, eventually, rssKib, sleep } from '../../integration/lib/observe.mjs';
import { numberedRequest, openGate } from '../lib/gate.mjs';
import { measure } from '../lib/good-clients.mjs';
import { IdleStreams } from '../lib/idle-streams.mjs';

export const row = 'T16';
export const title = 'idle event streams';

const WANTED = 10_000;
const RESERVE = 800; // descriptors for everything else
const IDLE_MS = 10_000;

function howMany() {
    const limits = fs.readFileSync('/proc/self/limits', 'utf8');
    const descriptors = Number(/^Max open files\s+(\d+)/m.exec(limits)[1]);
    return Math.min(WANTED, Math.floor((descriptors - RESERVE) / 2));
}

export async function run(report) {
    const count = howMany();
    const { stage, close } = await openGate();
    try {
        await measure(stage.gate.port, [numberedRequest(stage)], 1000);
        await sleep(1500);
        const { pid } = stage.gate;
        const beforeKib = rssKib(pid);
        const request = stage.request({ method: 'GET', body: null });
        const streams = await IdleStreams.open(stage.gate.port, count, request);
        report.equal(
            `streams that opened (of ${WANTED} wanted, descriptors allow)`,
            count,
            streams.opened,
        );
        await sleep(2000);
        const heldKib = rssKib(pid) - beforeKib;
        report.atMost('resident memory for each stream', 24, heldKib / count, ' KiB');
        const spent = cpuSeconds(pid);
        await sleep(IDLE_MS);
        const share = ((cpuSeconds(pid) - spent) / (IDLE_MS / 1000)) * 100;
        report.atMost('CPU while they are idle', 1, share, ' %');
        const beside = await measure(stage.gate.port, [numberedRequest(stage)], 2000, {
            paceMs: 5,
        });
        report.none('good requests beside that failed', beside.failures, beside.served);
        await streams.close();
        const gauge = async () => (await stage.metrics()).sum('portcullis_open_streams');
        await eventually(async () => (await gauge()) === 0, 'all streams are closed');
        await eventually(() => rssKib(pid) - beforeKib <= heldKib / 5, 'memory is given back', {
            timeoutMs: 10_000,
            everyMs: 200,
        }).catch(() => {});
        const leftShare = ((rssKib(pid) - beforeKib) / heldKib) * 100;
        report.atMost('of that memory after their end', 20, leftShare, ' %');
    } finally {
        await close();
    }
}
