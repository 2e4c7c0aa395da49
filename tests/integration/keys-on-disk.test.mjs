// SPDX-License-Identifier: Apache-2.0
// jwks.cache_dir: the last good keys survive a restart, and nothing else than what we wrote ourselves is
// believed (docs/TOKENS.md, "The life of keys"; T21 with a restart in the outage).
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { assertGood, assertNoKeys, assertUnknownKey, statusOf } from './lib/key-outcomes.mjs';
import { eventually, Metrics, rounds, sleep } from './lib/observe.mjs';
import { runPortcullis } from './lib/portcullis.mjs';
import { openScene } from './lib/scene.mjs';

const JWKS = { refresh: '10m', unknown_kid_cooldown: '100ms' };

/** A scene with a folder for keys, which is gone with it. */
async function withKeys(options, body) {
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-keys-'));
    const { jwks = {}, ...more } = options;
    const policy = { jwks: { ...JWKS, cache_dir: dir, ...jwks } };
    const scene = await openScene({ policy, start: false, ...more });
    scene.dir = dir;
    scene.files = () => fs.readdirSync(dir);
    scene.file = () => path.join(dir, scene.files().find((name) => name.endsWith('.jwks.json')));
    scene.entry = () => JSON.parse(fs.readFileSync(scene.file(), 'utf8'));
    scene.change = (change) => {
        const entry = scene.entry();
        change(entry);
        fs.writeFileSync(scene.file(), JSON.stringify(entry));
    };
    try {
        await body(scene);
    } finally {
        await scene.close();
        fs.rmSync(dir, { recursive: true, force: true });
    }
}

/** Starts once with the issuer, until its keys are on disk. */
async function fillCache(scene) {
    await scene.start();
    await eventually(() => scene.files().length === 1 && scene.file(), 'keys are on disk');
    await scene.gate.stop();
}

const logged = (scene, event) => scene.gate.log.filter((line) => line.event === event);
const metricsOf = async (scene) => new Metrics(await scene.gate.metrics());

describe('keys on disk', () => {
    for (const discover of [false, true])
        test(`a restart in an outage serves known keys (${discover ? 'discovered' : 'jwks_uri'})`, async () => {
            await withKeys({ discover }, async (scene) => {
                await fillCache(scene);
                const stat = fs.statSync(scene.file());
                assert.equal(stat.mode & 0o7777, 0o600);
                assert.equal(scene.entry().issuer, scene.tenant.issuer);
                await scene.tenant.down();
                await scene.start(); // ready without the issuer
                await assertGood(scene, scene.tenant.mint());
                await assertUnknownKey(scene, scene.tenant.mint({}, { header: { kid: 'other' } }));
                const [line] = logged(scene, 'jwks_from_cache');
                assert.equal(line.issuer, scene.tenant.issuer);
                assert.equal(line.keys, 1);
                assert.ok(line.age_s >= 0 && line.age_s < 60, `${line.age_s}`);
                assert.equal((await metricsOf(scene)).sum('portcullis_jwks_from_cache'), 1);

                await scene.tenant.up();
                await eventually(
                    async () => (await metricsOf(scene)).sum('portcullis_jwks_from_cache') === 0,
                    'fetched keys take their place',
                );
                await assertGood(scene, scene.tenant.mint());
            });
        });

    test('keys past their refresh wait for the first attempt; one that was revoked never works', async () => {
        await withKeys({}, async (scene) => {
            await fillCache(scene);
            scene.change((entry) => (entry.fetched_at -= 1200));
            const old = scene.tenant.mint();
            await scene.tenant.rotate();
            scene.tenant.faults.jwks = { kind: 'slow', ms: 1000 };
            await scene.start({ ready: false });
            await assertUnknownKey(scene, old); // which waited for the fetch
            await assertGood(scene, scene.tenant.mint());
            assert.deepEqual(logged(scene, 'jwks_from_cache'), []);
        });
    });

    test('an age goes on: the gauge, stale accepts, and the end of max_stale', async () => {
        await withKeys({ jwks: { refresh: '10s', max_stale: '100s' } }, async (scene) => {
            await fillCache(scene);
            scene.change((entry) => (entry.fetched_at -= 60));
            await scene.tenant.down();
            await scene.start();
            await assertGood(scene, scene.tenant.mint());
            const metrics = await metricsOf(scene);
            const age = metrics.sum('portcullis_jwks_age_seconds');
            assert.ok(age >= 60 && age < 100, `${age}`);
            assert.equal(metrics.sum('portcullis_stale_key_accepts_total'), 1);
            await scene.gate.stop();

            scene.change((entry) => (entry.fetched_at -= 55));
            await scene.start({ ready: false });
            await eventually(() => logged(scene, 'jwks_cache_refused').length === 1, 'refused');
            assert.equal(logged(scene, 'jwks_cache_refused')[0].reason, 'was fetched too long ago');
            await assertNoKeys(scene, scene.tenant.mint());
            assert.equal(await statusOf(scene, '/readyz'), 503);
        });
    });

    test('cache_max_age is a bound of its own', async () => {
        await withKeys({ jwks: { cache_max_age: '30s' } }, async (scene) => {
            await fillCache(scene);
            scene.change((entry) => (entry.fetched_at -= 31));
            await scene.tenant.down();
            await scene.start({ ready: false });
            await assertNoKeys(scene, scene.tenant.mint());
        });
    });

    const BROKEN = [
        ['cut off', (file, text) => fs.writeFileSync(file, text.slice(0, -10)), /not what this/],
        ['empty', (file) => fs.writeFileSync(file, ''), /not what this/],
        ['a set without its frame', (file, text) =>
            fs.writeFileSync(file, JSON.stringify(JSON.parse(text).jwks)), /not what this/],
        ['of another issuer', (file, text) =>
            fs.writeFileSync(file, text.replace('"issuer":"http', '"issuer":"https')), /another issuer/],
        ['from another place', (file, text) =>
            fs.writeFileSync(file, text.replace('jwks.json"', 'other.json"')), /another jwks_uri/],
        ['from the future', (file, text) =>
            fs.writeFileSync(file, text.replace(/"fetched_at":\d/, '"fetched_at":9')), /future/],
        ['without a usable key', (file, text) =>
            fs.writeFileSync(file, text.replace('"kty":"RSA"', '"kty":"EC"')), /no usable key/],
        ['writable for the group', (file) => fs.chmodSync(file, 0o620), /written by others/],
        ['a symbolic link', (file) => {
            fs.renameSync(file, `${file}.there`);
            fs.symlinkSync(`${file}.there`, file);
        }, /no regular file/],
        ['too large', (file, text) => fs.writeFileSync(file, text + ' '.repeat(400_000)), /too large/],
    ];
    for (const [why, spoil, reason] of BROKEN)
        test(`a file that is ${why} is refused, and the start goes on`, async () => {
            await withKeys({}, async (scene) => {
                await fillCache(scene);
                spoil(scene.file(), fs.readFileSync(scene.file(), 'utf8'));
                await scene.tenant.down();
                await scene.start({ ready: false });
                await eventually(() => logged(scene, 'jwks_cache_refused').length === 1, 'refused');
                assert.match(logged(scene, 'jwks_cache_refused')[0].reason, reason);
                await assertNoKeys(scene, scene.tenant.mint());
                assert.equal(await statusOf(scene, '/healthz'), 200);
                await scene.tenant.up();
                await scene.gate.ready();
                await assertGood(scene, scene.tenant.mint());
            });
        });

    test('no process that is killed while it writes leaves anything that counts', async () => {
        await withKeys({ jwks: { refresh: '1s' } }, async (scene) => {
            await fillCache(scene);
            for (let round = 0; round < rounds(6); round++) {
                await scene.start({ ready: false });
                await sleep(20 * round);
                await scene.gate.kill();
                assert.equal(scene.entry().issuer, scene.tenant.issuer);
            }
        });
    });

    test('a write that fails is told once, and the gate goes on', async () => {
        await withKeys({ jwks: { refresh: '1s' } }, async (scene) => {
            await fillCache(scene);
            await scene.start();
            // root may write everywhere, but nobody renames a file over a folder
            const file = scene.file();
            await eventually(() => {
                fs.rmSync(file, { force: true });
                try {
                    return fs.mkdirSync(file) === undefined;
                } catch {
                    return false; // it was quicker
                }
            }, 'a folder in the place of the file');
            await eventually(() => logged(scene, 'jwks_cache_failing').length > 0, 'told');
            await eventually(
                async () =>
                    (await metricsOf(scene)).sum('portcullis_jwks_cache_failures_total') >= 2,
                'and counted',
            );
            assert.equal(logged(scene, 'jwks_cache_failing').length, 1);
            await assertGood(scene, scene.tenant.mint());
        });
    });

    test('it works under a reload, which cannot move it', async () => {
        await withKeys({}, async (scene) => {
            await fillCache(scene);
            await scene.tenant.down();
            await scene.start();
            const moved = scene.policy(scene.gate.port, { jwks: { ...JWKS, cache_dir: '/other' } });
            scene.gate.reload(moved);
            const line = await scene.gate.logged((l) => l.event === 'reload_needs_restart', 'named');
            assert.equal(line.pointer, '/jwks/cache_dir');
            await assertGood(scene, scene.tenant.mint());
        });
    });
});

describe('a folder for keys', () => {
    let folder;
    before(() => (folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-keys-'))));
    after(() => fs.rmSync(folder, { recursive: true }));

    for (const [why, dir] of [
        ['that is not there', '/nonexistent/keys'],
        ['that is a file', '/etc/passwd'],
    ])
        test(`${why} is an error at the start`, async () => {
            const file = path.join(folder, 'policy.json');
            const policy = {
                listen: `unix:${path.join(folder, 'socket')}`,
                admin: null,
                auth0: 'tenant.us.auth0.com',
                jwks: { cache_dir: dir },
                routes: [{ resource: 'https://mcp.example.com/mcp', upstream: 'http://127.0.0.1:9' }],
            };
            fs.writeFileSync(file, JSON.stringify(policy));
            const { code, stderr } = await runPortcullis(['serve', file]);
            assert.equal(code, 1, stderr);
            const lines = stderr.trim().split('\n').map((line) => JSON.parse(line));
            const line = lines.find((l) => l.event === 'jwks_cache_open_failed');
            assert.equal(line.key, 'jwks.cache_dir');
            assert.equal(line.dir, dir);
        });
});
