// SPDX-License-Identifier: Apache-2.0
// The life of an issuer's keys: start without the issuer, rotation, outage, floods (rules 13, 24 and 25
// of docs/TOKENS.md, and its "The life of keys"). What it publishes is in jwks-documents.test.mjs.
import assert from 'node:assert/strict';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { describe, test } from 'node:test';

import {
    assertGood,
    assertNoKeys,
    assertUnknownKey,
    jwksPolicy,
    statusOf,
    strangeToken,
    withScene,
} from './lib/key-outcomes.mjs';
import { eventually, Metrics, rounds, rssKib, SANITIZED, sleep } from './lib/observe.mjs';
import { newSigningKey } from './lib/tokens.mjs';

/**
 * Calls from CLIENTS loops with fresh tokens until the returned function is called; that gives every
 * answer that was not 200, and how many were.
 */
function load(scene, { clients = 4, token = () => scene.tenant.mint() } = {}) {
    const result = { good: 0, bad: [] };
    let goes = true;
    const loop = async () => {
        while (goes) {
            const answer = await scene.post(token());
            if (answer.status === 200) result.good++;
            else result.bad.push(`${answer.status} ${answer.content}`);
        }
    };
    const loops = Array.from({ length: clients }, loop);
    return async () => {
        goes = false;
        await Promise.all(loops);
        return result;
    };
}

test('starts without the issuer, says so, and recovers by itself', async () => {
    await withScene({ start: false }, async (scene) => {
        await scene.tenant.down();
        await scene.start({ ready: false });

        const path = '/.well-known/oauth-protected-resource/mcp';
        const document = await fetch(scene.gate.url(path));
        assert.equal((await document.json()).resource, scene.gate.url());
        assert.equal(await statusOf(scene, '/healthz'), 200);
        assert.equal(await statusOf(scene, '/readyz'), 503);
        await assertNoKeys(scene, scene.tenant.mint());
        const challenged = await scene.post(null);
        assert.equal(challenged.status, 401);
        assert.match(challenged.headers.get('www-authenticate'), /resource_metadata=/);
        assert.equal(scene.server.requests.length, 0);

        await scene.tenant.up();
        await scene.gate.ready();
        await assertGood(scene, scene.tenant.mint());
    });
});

describe('rotation', () => {
    test('a request with a new key waits for one fetch and then passes', async () => {
        await withScene(jwksPolicy({ unknown_kid_cooldown: '100ms' }), async (scene) => {
            const { tenant } = scene;
            await sleep(100);
            tenant.signWith(await tenant.addKey());
            const from = tenant.fetches.length;
            await assertGood(scene, tenant.mint());
            assert.equal(tenant.fetchCount('jwks', from), 1);
        });
    });

    test('many of them wait together, and nobody else waits', async () => {
        await withScene(jwksPolicy({ unknown_kid_cooldown: '100ms' }), async (scene) => {
            const { tenant } = scene;
            await sleep(100);
            const old = tenant.key;
            tenant.signWith(await tenant.addKey());
            const from = tenant.fetches.length;
            tenant.faults.jwks = { kind: 'slow', ms: 3000 };

            const start = performance.now();
            const waiting = Array.from({ length: 50 }, () => scene.post(tenant.mint()));
            await eventually(() => tenant.fetchCount('jwks', from) === 1, 'the fetch begins');
            const others = Array.from({ length: 50 }, () =>
                scene.post(tenant.mint({}, { key: old })),
            );
            for (const answer of await Promise.all(others)) assert.equal(answer.status, 200);
            assert.ok(performance.now() - start < 2900, 'the others did not wait for the issuer');

            for (const answer of await Promise.all(waiting)) assert.equal(answer.status, 200);
            assert.equal(tenant.fetchCount('jwks', from), 1);
        });
    });

    test('under load not one request fails', async () => {
        await withScene(jwksPolicy({ unknown_kid_cooldown: '100ms' }), async (scene) => {
            const { tenant } = scene;
            const stop = load(scene);
            for (let turn = 0; turn < 5; turn++) {
                await sleep(300);
                // As Auth0 does it: the next key is published first, the previous one stays.
                tenant.signWith(await tenant.addKey());
            }
            await sleep(300);
            const { good, bad } = await stop();
            assert.deepEqual(bad, []);
            assert.ok(good > 50, `${good} requests`);
        });
    });

    test('a key that is published no more is revoked, also for tokens seen before', async () => {
        await withScene(jwksPolicy({ unknown_kid_cooldown: '100ms' }), async (scene) => {
            const { tenant } = scene;
            const seen = tenant.mint();
            await assertGood(scene, seen);
            await sleep(100);
            await tenant.rotate();
            await assertGood(scene, tenant.mint()); // which fetches the new set
            await assertUnknownKey(scene, seen);
        });
    });

    test('the background refresh finds a rotation before any token does', async () => {
        await withScene(jwksPolicy({ refresh: '1s' }), async (scene) => {
            const { tenant } = scene;
            const old = tenant.mint();
            await tenant.rotate();
            const from = tenant.fetches.length;
            await eventually(() => tenant.fetchCount('jwks', from) >= 1, 'a refresh');
            await eventually(
                async () => (await scene.post(old)).status === 401,
                'the old key ends',
            );
            await assertGood(scene, tenant.mint());
        });
    });
});

describe('outage', () => {
    test('known keys go on, not one request fails, and it recovers', async () => {
        await withScene(jwksPolicy({ refresh: '1s' }), async (scene) => {
            const { tenant } = scene;
            const stop = load(scene);
            await tenant.down();
            await sleep(3000); // two refreshes that fail
            assert.equal(await statusOf(scene, '/readyz'), 200);
            await tenant.up();
            const from = tenant.fetches.length;
            await eventually(() => tenant.fetchCount('jwks', from) >= 1, 'a refresh again');
            const { good, bad } = await stop();
            assert.deepEqual(bad, []);
            assert.ok(good > 100, `${good} requests`);
        });
    });

    test('what stale keys let through is counted, also a token seen before', async () => {
        await withScene(jwksPolicy({ refresh: '1s' }), async (scene) => {
            const token = scene.tenant.mint();
            const accepts = async () =>
                new Metrics(await scene.gate.metrics()).sum('portcullis_stale_key_accepts_total');
            await assertGood(scene, token);
            assert.equal(await accepts(), 0);
            await scene.tenant.down();
            await eventually(async () => {
                await assertGood(scene, token);
                return (await accepts()) > 0;
            }, 'a count');
        });
    });

    test('keys older than max_stale are used no more: 503, not 401', async () => {
        const jwks = { refresh: '1s', max_stale: '1s', unknown_kid_cooldown: '100ms' };
        await withScene(jwksPolicy(jwks), async (scene) => {
            const { tenant } = scene;
            await assertGood(scene, tenant.mint());
            await tenant.down();
            await eventually(async () => (await scene.post(tenant.mint())).status === 503, '503');
            await assertNoKeys(scene, tenant.mint());
            await tenant.up();
            await eventually(async () => (await scene.post(tenant.mint())).status === 200, '200');
        });
    });
});

describe('bounds', () => {
    test(
        'an endless set and a gzip bomb cost no memory',
        { skip: SANITIZED && 'the sanitizer keeps freed memory' },
        async () => {
            await withScene(jwksPolicy({ unknown_kid_cooldown: '100ms' }), async (scene) => {
                const { tenant, gate } = scene;
                const fetchWith = async (fault) => {
                    await sleep(110);
                    tenant.faults.jwks = fault;
                    await assertUnknownKey(scene, strangeToken(scene));
                };
                await fetchWith({ kind: 'huge', bytes: 1024 * 1024 }); // what is allocated once
                const before = rssKib(gate.pid);
                await fetchWith({ kind: 'huge' });
                await fetchWith({ kind: 'gzip_bomb' });
                const grown = rssKib(gate.pid) - before;
                assert.ok(grown <= 1024, `${grown} KiB more`);
                await assertGood(scene, tenant.mint());
            });
        },
    );

    test('a flood of unknown keys costs one fetch per cool-down', async () => {
        const COOLDOWN_MS = 1000;
        await withScene(jwksPolicy({ unknown_kid_cooldown: `${COOLDOWN_MS}ms` }), async (scene) => {
            const { tenant } = scene;
            await sleep(COOLDOWN_MS);
            const from = tenant.fetches.length;
            const start = performance.now();
            let left = rounds(10_000);
            const [, payload, signature] = tenant.mint().split('.');
            const flood = async () => {
                while (left-- > 0) {
                    const odd = JSON.stringify({ alg: 'RS256', typ: 'JWT', kid: `${left}` });
                    const name = Buffer.from(odd).toString('base64url');
                    const answer = await scene.post(`${name}.${payload}.${signature}`);
                    assert.equal(answer.status, 401);
                }
            };
            // The tenant lives in this process, which is busy with the flood, and sees a fetch late.
            const delays = monitorEventLoopDelay({ resolution: 10 });
            delays.enable();
            const stop = load(scene, { clients: 1 });
            await Promise.all(Array.from({ length: 16 }, flood));
            const { bad } = await stop();
            delays.disable();
            const late_ms = delays.max / 1e6;
            assert.deepEqual(bad, [], 'good clients notice nothing');

            const fetches = tenant.fetches.slice(from);
            const most = Math.floor((performance.now() - start) / COOLDOWN_MS) + 1;
            assert.ok(fetches.length >= 1 && fetches.length <= most, `${fetches.length}`);
            for (let i = 1; i < fetches.length; i++) {
                const pause = fetches[i].at_ms - fetches[i - 1].at_ms;
                assert.ok(pause >= COOLDOWN_MS * 0.95 - late_ms, `${pause} ms between two fetches`);
            }
        });
    });

    test('the cool-down counts failed fetches too', async () => {
        await withScene(jwksPolicy({ unknown_kid_cooldown: '2s' }), async (scene) => {
            const { tenant } = scene;
            await sleep(2000);
            tenant.faults.jwks = { kind: 'status', status: 500 };
            const from = tenant.fetches.length;
            for (let n = 0; n < 20; n++) await assertUnknownKey(scene, strangeToken(scene, n));
            // One by the unknown key; one by the retry that follows a failure after a second.
            assert.ok(tenant.fetchCount('jwks', from) <= 2);
        });
    });

    test('a bad signature under a known key never fetches', async () => {
        await withScene(jwksPolicy({ unknown_kid_cooldown: '100ms' }), async (scene) => {
            const { tenant } = scene;
            await sleep(110);
            const from = tenant.fetches.length;
            const forger = await newSigningKey({ kid: tenant.key.kid });
            for (let n = 0; n < 20; n++) {
                const answer = await scene.post(tenant.mint({}, { key: forger }));
                assert.equal(answer.status, 401);
            }
            assert.equal(tenant.fetchCount('jwks', from), 0);
        });
    });
});
