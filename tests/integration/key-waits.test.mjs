// SPDX-License-Identifier: Apache-2.0
// A request has one wait for the keys of its issuer. What happens elsewhere meanwhile must not use it
// up: a good token would be refused, and clients throw away what was refused.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { test } from 'node:test';

import { sleep } from './lib/observe.mjs';
import { openStage } from './lib/stage.mjs';

const SLOW_MS = 1500; // longer than the first retry of an issuer that is down

// A stage that has not started, whose issuer takes SLOW_MS for its keys.
async function openSlowStage() {
    const stage = await openStage({ start: false });
    const [answer] = stage.tenant.server.listeners('request');
    stage.tenant.server.removeAllListeners('request');
    stage.tenant.server.on('request', async (request, response) => {
        await sleep(SLOW_MS);
        answer(request, response);
    });
    return stage;
}

test('the failures of another issuer do not end the wait for a slow one', async () => {
    const down = http.createServer((request, response) => response.writeHead(500).end());
    down.listen(0, '127.0.0.1');
    await once(down, 'listening');
    const issuer = `http://127.0.0.1:${down.address().port}/`;
    const stage = await openSlowStage();
    try {
        const issuers = { tenant: stage.tenant.policy, down: { issuer, jwks_uri: `${issuer}jwks` } };
        await stage.start({ issuers }, { ready: false });
        const answer = stage.ask();
        await stage.gate.logged((line) => line.event === 'jwks_failed', 'the other one failed');
        assert.equal((await answer).status, 200);
    } finally {
        await stage.close();
        down.closeAllConnections();
        down.close();
    }
});

test('a reload does not end the wait, and its policy counts', async () => {
    const stage = await openSlowStage();
    try {
        await stage.start({}, { ready: false });
        const answer = stage.ask();
        await sleep(300);
        const routes = [{ ...stage.policy().routes[0], scopes: ['new'] }];
        stage.gate.reload(stage.policy({ routes }));
        await stage.gate.logged((line) => line.event === 'reloaded', 'reloaded');
        assert.equal((await answer).status, 403);
        assert.match((await answer).get('www-authenticate'), /scope="new"/);
    } finally {
        await stage.close();
    }
});
