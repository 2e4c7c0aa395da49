// SPDX-License-Identifier: Apache-2.0
// T20: twenty reloads in ten seconds, good and bad policies, while clients call without ever trying
// again: nobody notices.
import { eventually, sleep } from '../../integration/lib/observe.mjs';
import { GoodClients } from '../lib/good-clients.mjs';
import { numberedRequest, openGate } from '../lib/gate.mjs';

export const row = 'T20';
export const title = 'reloads under load';

const RELOADS = 20;

export async function run(report) {
    const { stage, close } = await openGate();
    try {
        const reloads = async (result) =>
            (await stage.metrics()).sum('portcullis_reloads_total', { result });
        const [good, bad] = [await reloads('ok'), await reloads('failed')];
        const clients = new GoodClients(stage.gate.port, [numberedRequest(stage)], { clients: 16 });
        const BAD = [
            '{"routes": 1}',
            '',
            '{"bogus"',
            JSON.stringify({ ...stage.policy(), bogus: 1 }),
        ];
        for (let i = 0; i < RELOADS; i++) {
            await sleep(500);
            const more = { routes: [{ ...stage.policy().routes[0], name: `policy ${i}` }] };
            stage.gate.reload(i % 4 === 3 ? BAD[(i >> 2) % BAD.length] : stage.policy(more));
        }
        await eventually(async () => (await reloads('ok')) === good + 15, '15 good ones');
        await eventually(async () => (await reloads('failed')) === bad + 5, '5 bad ones');
        const { served, failures } = await clients.stop();
        report.none('failed requests', failures, served + failures.length);
        report.atLeast('requests served in these 10 seconds', 15_000, served);
        report.figure('reloads', '15 took over, 5 refused', '15 and 5', true);
    } finally {
        await close();
    }
}
