// SPDX-License-Identifier: Apache-2.0
// What an issuer publishes, good and bad: key sets that must never replace a good one, and metadata
// that leads to the keys or does not ("JWKS life cycle" of the token validation).
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';

import {
    assertGood,
    assertNoKeys,
    assertUnknownKey,
    jwksPolicy,
    statusOf,
    strangeToken,
    withScene,
} from './lib/key-outcomes.mjs';
import { sleep } from './lib/observe.mjs';
import { openScene } from './lib/scene.mjs';
import { newSigningKey } from './lib/tokens.mjs';

describe('a set that cannot be used never replaces one that can', () => {
    let scene;
    let canary;
    let canaryCalls = 0;
    let unusable;
    before(async () => {
        unusable = (await newSigningKey({ bits: 1024 })).publicJwk;
        canary = net.createServer((socket) => {
            canaryCalls++;
            socket.destroy();
        });
        canary.listen(0, '127.0.0.1');
        await once(canary, 'listening');
        scene = await openScene(jwksPolicy({ unknown_kid_cooldown: '100ms', timeout: '500ms' }));
    });
    after(async () => {
        canary?.close();
        await scene?.close();
    });

    const json = (value) => ({ kind: 'body', body: JSON.stringify(value) });
    const goodSet = () => scene.tenant.jwks;
    const manyKeys = (n) =>
        json({ keys: Array.from({ length: n }, (_, i) => ({ ...unusable, kid: `k${i}` })) });

    const rows = [
        ['no JSON', () => ({ kind: 'body', body: 'keys: none' })],
        ['an empty answer', () => ({ kind: 'body', body: '' })],
        ['a page of HTML with 200', () => ({ kind: 'body', body: '<html>', type: 'text/html' })],
        ['an empty object', () => json({})],
        ['an empty set', () => json({ keys: [] })],
        ['keys that are no array', () => json({ keys: {} })],
        ['a bare array', () => json([])],
        ['only keys that cannot be used', () => json({ keys: [unusable, 'x', null] })],
        ['33 keys', () => manyKeys(33)],
        ['more than 256 KiB', () => json({ ...goodSet(), pad: 'x'.repeat(256 * 1024) })],
        [
            'a duplicate member',
            () => ({
                kind: 'body',
                body: JSON.stringify(goodSet()).replace('{', '{"keys":[],'),
            }),
        ],
        ['status 500', () => ({ kind: 'status', status: 500 })],
        ['status 404', () => ({ kind: 'status', status: 404 })],
        ['status 429', () => ({ kind: 'status', status: 429 })],
        ['a redirect', () => ({ kind: 'redirect', to: canaryUrl('http') })],
        ['a redirect to a file', () => ({ kind: 'redirect', to: 'file:///etc/passwd' })],
        ['half an answer', () => ({ kind: 'truncated' })],
        ['silence', () => ({ kind: 'hang' })],
        ['an answer after the timeout', () => ({ kind: 'slow', ms: 700 })],
        ['a gzip bomb', () => ({ kind: 'gzip_bomb', bytes: 50 * 1024 * 1024 })],
    ];
    const canaryUrl = (scheme) => `${scheme}://127.0.0.1:${canary.address().port}/`;

    for (const [why, fault] of rows)
        test(why, async () => {
            const { tenant } = scene;
            await sleep(110); // out of the cool-down
            tenant.faults.jwks = fault();
            const from = tenant.fetches.length;
            await assertUnknownKey(scene, strangeToken(scene));
            assert.equal(tenant.fetchCount('jwks', from), 1, 'it was fetched');
            await assertGood(scene, tenant.mint());
            assert.equal(await statusOf(scene, '/readyz'), 200);
        });

    test('nobody followed a redirect', () => assert.equal(canaryCalls, 0));

    test('and a good one is taken again afterwards', async () => {
        const { tenant } = scene;
        tenant.faults.jwks = null;
        await sleep(110);
        await tenant.rotate();
        await assertGood(scene, tenant.mint());
    });
});

describe('discovery', () => {
    const fetched = (tenant) => tenant.fetches.map((one) => one.endpoint);
    const wrong = (tenant, change) => ({
        kind: 'body',
        body: JSON.stringify({ issuer: tenant.issuer, jwks_uri: tenant.jwksUri, ...change }),
    });

    test('asks the RFC 8414 place first', () =>
        withScene({ discover: true }, async (scene) => {
            assert.deepEqual(fetched(scene.tenant), ['oauth', 'jwks']);
            await assertGood(scene, scene.tenant.mint());
        }));

    const fallbacks = [
        ['is not there', () => ({ kind: 'status', status: 404 })],
        ['is no JSON', () => ({ kind: 'body', body: 'oops' })],
        ['names another issuer', (t) => wrong(t, { issuer: 'https://evil.example/' })],
        ['lacks the final slash', (t) => wrong(t, { issuer: t.issuer.slice(0, -1) })],
        ['names no keys', (t) => wrong(t, { jwks_uri: undefined })],
        ['sends us to another host', (t) => wrong(t, { jwks_uri: 'http://127.0.0.1:1/keys' })],
        ['sends us to a file', (t) => wrong(t, { jwks_uri: 'file:///etc/passwd' })],
    ];
    for (const [why, fault] of fallbacks)
        test(`asks the OpenID place when the first ${why}`, () =>
            withScene({ discover: true, start: false }, async (scene) => {
                scene.tenant.faults.oauth = fault(scene.tenant);
                await scene.start();
                assert.deepEqual(fetched(scene.tenant), ['oauth', 'openid', 'jwks']);
                await assertGood(scene, scene.tenant.mint());
            }));

    test('without metadata there are no keys, until there is some', () =>
        withScene({ discover: true, start: false }, async (scene) => {
            const { tenant } = scene;
            tenant.faults.oauth = { kind: 'status', status: 500 };
            tenant.faults.openid = { kind: 'status', status: 500 };
            await scene.start({ ready: false });
            await assertNoKeys(scene, tenant.mint());
            tenant.faults = {};
            await scene.gate.ready();
            await assertGood(scene, tenant.mint());
        }));
});
