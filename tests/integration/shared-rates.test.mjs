// SPDX-License-Identifier: Apache-2.0
// Replicas share their rates in a Redis: one bucket for all of them; and whatever becomes of the
// store, no request waits longer than it may, and the policy says what counts meanwhile.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import { okJson } from './lib/byte-upstream.mjs';
import { eventually, openFds, sleep } from './lib/observe.mjs';
import { FalseStore, Redis } from './lib/redis.mjs';
import { openStage } from './lib/stage.mjs';

const OK = okJson('{"jsonrpc":"2.0","id":1,"result":{}}');
const SECRET = 'a secret that all replicas of this test share';
const PASSWORD = 'p@ss/w:rd%';

describe('shared rates', () => {
    let redis;
    const stages = [];
    before(async () => {
        redis = await Redis.open({ password: PASSWORD });
    });
    afterEach(async () => {
        for (const stage of stages.splice(0)) await stage.close();
    });
    after(() => redis?.close());

    /** One replica. All of them have the same issuer by name only: tokens are each one's own. */
    async function replica({ store = redis.url, limits = {}, policy = {}, route = {} } = {}) {
        const stage = await openStage({
            policy: {
                session_secret: SECRET,
                workers: 2,
                limits: { store, store_timeout: '2s', ...limits },
                ...policy,
            },
            route: { limits: { subject_rate: '6/m', subject_burst: 4, ...route } },
        });
        stage.upstream.respond = (request, link) => link.send(OK);
        stages.push(stage);
        return stage;
    }
    const isUp = (stage) =>
        eventually(
            async () => (await stage.metrics()).sum('portcullis_store_workers_up') === 2,
            'both workers reach the store',
        );
    const statuses = async (stage, n, options) => {
        const seen = [];
        for (let i = 0; i < n; i++) seen.push((await stage.ask(options)).status);
        return seen;
    };
    const events = (stage, name) => stage.gate.log.filter((line) => line.event === name);

    test('two daemons have one bucket, and the store learns nobody’s name', async () => {
        const one = await replica();
        const issuer = one.tenant;
        const two = await openStage({ start: false });
        stages.push(two);
        two.options = one.options;
        two.upstream.respond = (request, link) => link.send(OK);
        await two.start({ issuers: { tenant: issuer.policy } });
        await isUp(one);
        await isUp(two);
        const token = issuer.token({ claims: { sub: 'auth0|shared-canary' } });
        const seen = [];
        for (const stage of [one, two, one, two]) seen.push((await stage.ask({ token })).status);
        assert.deepEqual(seen, [200, 200, 200, 200]);
        for (const stage of [one, two]) {
            const answer = await stage.ask({ token });
            assert.equal(answer.status, 429, answer.text);
            const wait = Number(answer.get('retry-after'));
            assert.ok(wait >= 1 && wait <= 10, `${wait}`);
            assert.equal(JSON.parse(answer.text).error.data.retry_after, wait);
        }
        const keys = await redis.command('KEYS', '*');
        assert.match(keys, /portcullis:[0-9a-f]{32}/);
        assert.doesNotMatch(keys, /canary|auth0|127\.0/);
        const [, key] = /(portcullis:[0-9a-f]{32})/.exec(keys);
        const ttl = Number((await redis.command('PTTL', key)).slice(1));
        assert.ok(ttl > 20_000 && ttl <= 41_000, `${ttl}`);
    });

    test('addresses are counted there, too, before the token', async () => {
        const stage = await replica({ route: { ip_rate: '6/m', ip_burst: 2 } });
        await isUp(stage);
        assert.deepEqual(await statuses(stage, 4, { token: 'bad' }), [401, 401, 429, 429]);
    });

    test('scripts that were flushed are sent again', async () => {
        const stage = await replica();
        await isUp(stage);
        const token = stage.token({ claims: { sub: 'auth0|flush' } });
        assert.equal((await stage.ask({ token })).status, 200);
        assert.match(await redis.command('SCRIPT', 'FLUSH'), /OK/);
        assert.deepEqual(await statuses(stage, 4, { token }), [200, 200, 200, 429]);
        assert.equal(events(stage, 'limits_store_down').length, 0);
        assert.equal((await stage.metrics()).sum('portcullis_store_errors_total'), 0);
        assert.ok((await stage.metrics()).sum('portcullis_store_answers_total') >= 5);
    });

    for (const [mode, expected] of [
        ['local', [200, 200, 200, 200, 429]],
        ['allow', [200, 200, 200, 200, 200]],
        ['refuse', [503, 503, 503, 503, 503]],
    ])
        test(`the store is killed and comes back under load: ${mode}`, async () => {
            const stage = await replica({ limits: { store_on_error: mode } });
            await isUp(stage);
            const sub = (name) => ({ token: stage.token({ claims: { sub: name } }) });
            let running = true;
            const odd = [];
            const load = Array.from({ length: 6 }, async (_, i) => {
                for (let n = 0; running; n++) {
                    const answer = await stage.ask(sub(`auth0|${mode}-${i}-${n}`));
                    const fine = answer.status === 200 || (mode === 'refuse' && answer.status === 503);
                    if (!fine) odd.push(answer.text);
                }
            });
            await sleep(100);
            await redis.kill();
            await stage.gate.logged((l) => l.event === 'limits_store_down', 'the store is down');
            const down = await statuses(stage, 5, sub(`auth0|${mode}-down`));
            await sleep(300);
            await redis.start();
            await isUp(stage);
            const up = await statuses(stage, 5, sub(`auth0|${mode}-up`));
            running = false;
            await Promise.all(load);
            assert.deepEqual(odd, []);
            assert.deepEqual(down, expected);
            assert.deepEqual(up, [200, 200, 200, 200, 429]);
            await stage.gate.logged((l) => l.event === 'limits_store_up', 'the store is up');
            assert.equal(events(stage, 'limits_store_down').length, 1, 'said once');
            assert.ok((await stage.metrics()).sum('portcullis_store_errors_total') > 0);
            if (mode === 'refuse') {
                await redis.kill();
                const answer = await eventually(async () => {
                    const a = await stage.ask(sub('auth0|refused'));
                    return a.status === 503 ? a : null;
                }, 'refused');
                assert.match(answer.get('retry-after'), /^\d+$/);
                assert.equal(answer.json?.error?.data?.reason ?? 'limits_unavailable', 'limits_unavailable');
                await redis.start();
            }
        });

    test('a store that falls silent costs one time-out, and then nothing', async () => {
        const stage = await replica({ limits: { store_timeout: '1s' } });
        await isUp(stage);
        redis.signal('SIGSTOP');
        try {
            const took = [];
            for (let i = 0; i < 10; i++) {
                const start = performance.now();
                const token = stage.token({ claims: { sub: `auth0|silent-${i}` } });
                assert.equal((await stage.ask({ token })).status, 200);
                took.push(performance.now() - start);
            }
            const slow = took.filter((ms) => ms >= 990);
            assert.ok(slow.length >= 1 && slow.length <= 2, `one for each worker: ${took}`);
            const down = events(stage, 'limits_store_down');
            assert.equal(down.length, 1);
            assert.match(down[0].reason, /in time/);
        } finally {
            redis.signal('SIGCONT');
        }
        await isUp(stage);
    });

    test('clients that leave while the store is silent leave nothing behind', async () => {
        const stage = await replica({ limits: { store_timeout: '1s' } });
        await isUp(stage);
        await stage.ask();
        const connections = async () => (await stage.metrics()).sum('portcullis_connections');
        await eventually(async () => (await connections()) === 0, 'nobody is there');
        redis.signal('SIGSTOP');
        try {
            const wires = await Promise.all(Array.from({ length: 20 }, () => stage.wire()));
            stage.upstream.forget();
            for (const wire of wires) wire.send(stage.request());
            await sleep(200);
            for (const wire of wires) wire.close();
            await eventually(async () => (await connections()) === 0, 'they have left');
        } finally {
            redis.signal('SIGCONT');
        }
        await isUp(stage);
        const token = stage.token({ claims: { sub: 'auth0|after' } });
        assert.equal((await stage.ask({ token })).status, 200);
    });

    const FALSE_STORES = [
        ['is silent from the start', () => null, /does not answer/],
        ['answers garbage', () => 'HTTP/1.1 400 Bad Request\r\n\r\n', /broke|script/],
        ['answers something else', () => '+OK\r\n+OK\r\n+OK\r\n', /script/],
        ['answers with a number without end', () => '*2147483647\r\n', /broke|not answer|script/],
    ];
    for (const [what, answer, reason] of FALSE_STORES)
        test(`a store that ${what} is no store`, async () => {
            const store = await FalseStore.open(answer);
            try {
                const stage = await replica({ store: store.url });
                assert.deepEqual(await statuses(stage, 5), [200, 200, 200, 200, 429]);
                const line = await stage.gate.logged(
                    (l) => l.event === 'limits_store_down',
                    'the store is down',
                );
                assert.match(line.reason, reason);
                const fds = openFds(stage.gate.pid);
                await sleep(700);
                assert.ok(store.connections < 30, `${store.connections}: it backs off`);
                assert.ok(openFds(stage.gate.pid) <= fds + 2);
            } finally {
                store.close();
            }
        });

    for (const [what, store, reason] of [
        ['a wrong password', () => redis.url.replace(/:[^:@/]*@/, ':wrong-canary@'), /password is not/],
        ['no password', () => redis.url.replace(/:[^:@/]*@/, ''), /wants a password/],
        ['a name that nobody has', () => 'redis://store.invalid:6379', /name cannot be resolved/],
        ['nobody there', () => 'redis://127.0.0.1:1', /cannot be reached/],
        ['no such socket', () => 'unix:/nowhere/redis.sock', /cannot be reached/],
    ])
        test(`${what}: the log says so, once, and does not show it`, async () => {
            const stage = await replica({ store: store() });
            const line = await stage.gate.logged(
                (l) => l.event === 'limits_store_down',
                'the store is down',
            );
            assert.match(line.reason, reason);
            assert.deepEqual(await statuses(stage, 5), [200, 200, 200, 200, 429]);
            await sleep(500);
            assert.equal(events(stage, 'limits_store_down').length, 1);
            assert.doesNotMatch(stage.gate.stderr, /canary|p%40ss/);
        });

    test('a reload moves to another store, and back', async () => {
        const stage = await replica({ store: redis.url.replace('127.0.0.1', '127.0.0.9') });
        await stage.gate.logged((l) => l.event === 'limits_store_down', 'the store is down');
        const policy = stage.policy();
        policy.limits = { ...policy.limits, store: redis.url.replace('127.0.0.1', 'localhost') };
        stage.gate.reload(policy);
        await isUp(stage);
        await stage.gate.logged((l) => l.event === 'limits_store_up', 'the store is up');
        const from = stage.gate.log.length;
        stage.gate.reload({ ...policy, limits: {} });
        await stage.gate.logged((l) => l.event === 'reloaded', 'reloaded', { from });
        assert.equal((await stage.metrics()).has('portcullis_store_workers_up'), false);
        const token = stage.token({ claims: { sub: 'auth0|moved' } });
        assert.equal((await stage.ask({ token })).status, 200);
    });
});
