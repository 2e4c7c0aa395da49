// SPDX-License-Identifier: Apache-2.0
// T22: the upstream is killed and started again ten times under load. Its answers take various times,
// some come in two parts, and some requests are long: a kill meets all phases. What is lost is what
// was under way or came while it was gone, each told as 502 or 504, or by an answer that breaks off;
// no POST is sent twice; and once it is back, so is the service.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { sleep } from '../../integration/lib/observe.mjs';
import { GoodClients } from '../lib/good-clients.mjs';
import { numberedRequest, openGate } from '../lib/gate.mjs';

export const row = 'T22';
export const title = 'an upstream that crashes under load';

const CLIENTS = 16;
const LONG_BYTES = 300_000; // more than a socket takes at once
const now = () => performance.timeOrigin + performance.now();

export async function run(report, { crashes = 10 } = {}) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-fire-'));
    const { stage, upstream, close } = await openGate({
        idFile: path.join(folder, 'ids'),
        varied: true,
    });
    const outages = []; // [killed, listening again]
    try {
        const short = numberedRequest(stage);
        const requests = [short, short, short, numberedRequest(stage, { pad: LONG_BYTES })];
        const clients = new GoodClients(stage.gate.port, requests, { clients: CLIENTS });
        for (let i = 0; i < crashes; i++) {
            await sleep(700);
            const killed = now();
            await upstream.kill();
            await sleep(100);
            outages.push([killed, await upstream.start()]);
        }
        await sleep(700);
        const { results, served } = await clients.stop();
        judge(report, { results, served, outages, ids: upstream.ids });
    } finally {
        await close();
        fs.rmSync(folder, { recursive: true });
    }
}

function judge(report, { results, served, outages, ids }) {
    const lost = results.filter(({ status }) => status !== 200);
    const wrong = lost.filter(({ status, begun }) => status !== 502 && status !== 504 && !begun);
    const isExcused = ({ start, end }) =>
        outages.some(([killed, back]) => end >= killed && start <= back);
    const count = new Map();
    for (const id of ids) count.set(id, (count.get(id) ?? 0) + 1);
    const twice = [...count].filter(([, times]) => times > 1);
    const backs = outages.map(([, back]) => {
        const first = results.filter(({ status, end }) => status === 200 && end > back);
        return Math.min(...first.map(({ end }) => end)) - back;
    });
    const underWay = lost.filter(({ id }) => count.has(String(id)));
    const cut = underWay.filter(({ begun }) => begun);
    report.atLeast('requests served', 100 * outages.length, served);
    report.atLeast(
        'requests that a kill met before their answer',
        outages.length,
        underWay.length - cut.length,
    );
    report.atLeast('requests that a kill met in the middle of it', 1, cut.length);
    report.none(
        'failures that are neither 502 nor 504, nor an answer that breaks off',
        wrong.map((r) => `${r.status}`),
        lost.length,
    );
    report.none(
        'failures of requests that began after it was back, or ended before it went',
        lost.filter((r) => !isExcused(r)).map((r) => `${r.status}`),
        lost.length,
    );
    report.atMost(
        'lost although they had reached it, for each crash',
        CLIENTS,
        underWay.length / outages.length,
    );
    report.none(
        'POSTs that were sent twice',
        twice.map(([id]) => id),
        ids.length,
    );
    report.atMost('first success after it is back, worst', 100, Math.max(...backs), ' ms');
}
