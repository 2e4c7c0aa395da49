// SPDX-License-Identifier: Apache-2.0
// T21: see tests/integration/jwks.test.mjs; and a rotation under load.
import { eventually, sleep } from '../../integration/lib/observe.mjs';
import { newSigningKey } from '../../integration/lib/tokens.mjs';
import { numberedRequest, openGate } from '../lib/gate.mjs';
import { GoodClients } from '../lib/good-clients.mjs';
import { runTests } from '../lib/suite.mjs';

export const row = 'T21';
export const title = 'keys: absent, rotated, out of reach, asked for in floods';

/** The issuer changes its key while clients go on with the old one, and begin with the new one. */
async function rotation(report) {
    const { stage, close } = await openGate({ policy: { jwks: { unknown_kid_cooldown: '1s' } } });
    const { tenant } = stage;
    try {
        const old = new GoodClients(stage.gate.port, [numberedRequest(stage)], { clients: 4 });
        await sleep(1500); // longer than the cool-down, which the first fetch has begun
        const fetches = tenant.fetches;
        const next = await newSigningKey();
        const [first] = tenant.keys;
        tenant.keys = [first, next.publicJwk];
        tenant.key = next;
        const fresh = numberedRequest(stage, { token: stage.token({}) });
        const changed = new GoodClients(stage.gate.port, [fresh], { clients: 4 });
        await sleep(3000);
        const [before, after] = [await old.stop(), await changed.stop()];
        report.none('rotation: failures with the old key', before.failures, before.served);
        report.none('rotation: failures with the new key', after.failures, after.served);
        report.atMost('rotation: fetches of keys', 2, tenant.fetches - fetches);
    } finally {
        await close();
    }
}

/** The issuer is gone while known tokens, and tokens with unknown keys, come in. */
async function outage(report) {
    const { stage, close } = await openGate({
        policy: { jwks: { unknown_kid_cooldown: '1s', refresh: '1s' } },
    });
    const { tenant } = stage;
    try {
        const known = new GoodClients(stage.gate.port, [numberedRequest(stage)], { clients: 4 });
        const stranger = stage.token({ header: { kid: 'nobody' } });
        const [answer] = tenant.server.listeners('request');
        tenant.server.removeAllListeners('request');
        let asked = 0;
        tenant.server.on('request', (request, response) => {
            asked++;
            response.socket.destroy();
        });
        const start = performance.now();
        let strangers = 0;
        for (; performance.now() - start < 5000; strangers++)
            await stage.ask({ token: stranger }).catch(() => {});
        tenant.server.removeAllListeners('request');
        tenant.server.on('request', answer);
        const { failures, served } = await known.stop();
        report.none('outage: failures of tokens with a known key', failures, served);
        report.atMost(
            `outage: fetches for ${strangers} tokens with an unknown key in 5 s`,
            8,
            asked,
        );
        await eventually(
            async () => (await stage.ask({ token: stage.token({}) })).status === 200,
            'ok',
        );
        report.figure('outage: new tokens once it is over', '200', '200', true);
    } finally {
        await close();
    }
}

export async function run(report) {
    runTests(report, 'jwks.test.mjs', '.');
    await rotation(report);
    await outage(report);
}
