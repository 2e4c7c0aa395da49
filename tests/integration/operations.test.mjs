// SPDX-License-Identifier: Apache-2.0
// What an operator sees: health, metrics and logs that agree with what happened.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { eventually, sleep } from './lib/observe.mjs';
import { openStage, RESOURCE } from './lib/stage.mjs';
import { Wire } from './lib/wire.mjs';

const sha256 = (text) => crypto.createHash('sha256').update(text).digest('hex');

describe('the admin address', () => {
    let stage;
    before(async () => (stage = await openStage()));
    after(() => stage?.close());

    const admin = (target, options) => fetch(stage.gate.adminUrl(target), options);

    test('/healthz and /readyz are 200', async () => {
        for (const target of ['/healthz', '/readyz']) {
            const answer = await admin(target);
            assert.equal(answer.status, 200, target);
            assert.equal(answer.headers.get('cache-control'), 'no-store', target);
            assert.ok((await answer.text()).length > 0, target);
        }
    });

    test('anything else is 404, and another method 405', async () => {
        for (const target of [
            '/',
            '/mcp',
            '/healthz/',
            '/health',
            '/.well-known/oauth-protected-resource',
        ])
            assert.equal((await admin(target)).status, 404, target);
        for (const target of ['/healthz', '/readyz', '/metrics'])
            assert.equal((await admin(target, { method: 'POST' })).status, 405, target);
    });

    test('raw nonsense does not hurt it', async () => {
        for (const bytes of [
            '\0\0\0\0',
            'GET /metrics\r\n\r\n',
            `GET /${'x'.repeat(100_000)}`,
            '{}\n\n',
        ]) {
            const wire = await Wire.open(stage.gate.adminPort);
            wire.send(bytes);
            await sleep(20);
            wire.close();
        }
        assert.equal((await admin('/healthz')).status, 200);
    });

    test('a scraper that does not read does not hold the others up', async () => {
        const slow = await Promise.all(
            Array.from({ length: 20 }, () => Wire.open(stage.gate.adminPort)),
        );
        for (const wire of slow) {
            wire.pause();
            wire.send('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(50));
        }
        assert.equal((await admin('/healthz')).status, 200);
        for (const wire of slow) wire.reset();
    });
});

describe('readiness', () => {
    test('/readyz is 503 and calls are 503 until the issuer has keys; nothing else waits', async () => {
        const stage = await openStage({ start: false });
        const { keys } = stage.tenant;
        stage.tenant.keys = [];
        try {
            await stage.start({}, { ready: false });
            const readyz = () => fetch(stage.gate.adminUrl('/readyz'));
            assert.equal((await readyz()).status, 503);
            assert.equal((await fetch(stage.gate.adminUrl('/healthz'))).status, 200);
            const answer = await stage.ask({});
            assert.equal(answer.status, 503);
            assert.match(answer.get('retry-after'), /^[1-9]\d*$/);
            assert.equal(answer.get('www-authenticate'), null);
            assert.equal((await stage.ask({ token: null })).status, 401);
            stage.tenant.keys = keys;
            await eventually(async () => (await readyz()).status === 200, '/readyz is 200');
            assert.equal((await stage.ask({})).status, 200);
        } finally {
            await stage.close();
        }
    });
});

describe('metrics and logs', () => {
    let stage;
    before(async () => (stage = await openStage({ route: { scopes: ['mcp:use'] } })));
    after(() => stage?.close());

    // [how often, request, status, reason]
    const MIX = [
        [7, {}, 200, 'ok'],
        [3, { token: null }, 401, 'no_token'],
        [2, { token: 'x' }, 401, /./],
        [4, { target: '/nowhere' }, 404, 'not_found'],
        [2, { method: 'PUT' }, 405, /./],
        [3, { typed: false }, 415, /./],
        [1, { host: 'a b' }, 400, 'bad_host'],
        [2, { scopeless: true }, 403, 'route_scope_missing'],
    ];
    const WITH_TOKEN = 7 + 2 + 3 + 2;
    const TOTAL = MIX.reduce((sum, [times]) => sum + times, 0);

    test('/metrics is valid and complete', async () => {
        const metrics = await stage.metrics();
        for (const [name, family] of metrics.families) {
            assert.match(name, /^portcullis_|^process_/);
            assert.ok(family.type, `${name} has no type`);
            assert.equal(name.endsWith('_total'), family.type === 'counter', name);
        }
        const types = {
            requests_total: 'counter',
            request_duration_seconds: 'histogram',
            jwks_age_seconds: 'gauge',
            jwks_fetches_total: 'counter',
            token_cache_hits_total: 'counter',
            open_streams: 'gauge',
            connections: 'gauge',
            reloads_total: 'counter',
        };
        for (const [name, type] of Object.entries(types))
            assert.equal(metrics.families.get(`portcullis_${name}`)?.type, type, name);
        const answer = await fetch(stage.gate.adminUrl('/metrics'));
        assert.match(answer.headers.get('content-type'), /^text\/plain; version=0\.0\.4/);
    });

    test('counters, log lines and answers tell the same story', async () => {
        const earlier = await stage.metrics();
        const from = stage.gate.log.length;
        const seen = [];
        for (const [times, options, status, reason] of MIX)
            for (let i = 0; i < times; i++) {
                const token = options.scopeless
                    ? stage.token({ claims: { scope: 'other' } })
                    : options.token;
                const answer = await stage.ask({ ...options, token });
                assert.equal(answer.status, status);
                seen.push([answer.get('x-request-id'), status, reason, token]);
            }
        assert.equal(new Set(seen.map(([id]) => id)).size, TOTAL, 'request ids');

        for (const [id, status, reason, token] of seen) {
            const line = await eventually(() => stage.event(id), `${id} is in the log`);
            assert.equal(line.status, status);
            if (token === 'x') assert.equal(line.token, sha256(token).slice(0, 8));
            if (token === null) assert.equal(line.token, undefined);
            assert.match(
                line.reason,
                reason instanceof RegExp ? reason : new RegExp(`^${reason}$`),
            );
        }
        const requests = stage.gate.log.slice(from).filter((line) => line.request_id !== undefined);
        assert.equal(requests.length, TOTAL, 'one line per request');

        const sum = (metrics, labels) => metrics.sum('portcullis_requests_total', labels);
        await eventually(
            async () => sum(await stage.metrics(), {}) - sum(earlier, {}) === TOTAL,
            'all requests are counted',
        );
        const later = await stage.metrics();
        const delta = (labels) => sum(later, labels) - sum(earlier, labels);
        for (const status of new Set(MIX.map((row) => row[2]))) {
            const times = MIX.filter((row) => row[2] === status).reduce((n, row) => n + row[0], 0);
            assert.equal(delta({ status }), times, `status ${status}`);
        }
        for (const [times, , , reason] of MIX)
            if (typeof reason === 'string') assert.equal(delta({ reason }), times, reason);
        // each worker has a cache of its own, so that only the sum is known
        const looked = (metrics) =>
            metrics.sum('portcullis_token_cache_hits_total') +
            metrics.sum('portcullis_token_cache_misses_total');
        assert.equal(looked(later) - looked(earlier), WITH_TOKEN);
        assert.ok(later.sum('portcullis_token_cache_hits_total') >= 7);
    });

    test('the histogram is consistent', async () => {
        const metrics = await stage.metrics();
        const name = 'portcullis_request_duration_seconds';
        const { samples } = metrics.families.get(name);
        const routes = new Set(samples.map((sample) => sample.labels.route));
        assert.ok(routes.has(RESOURCE) || routes.size > 0);
        for (const route of routes) {
            const buckets = samples.filter(
                (s) => s.name === `${name}_bucket` && s.labels.route === route,
            );
            const bounds = buckets.map((s) => Number(s.labels.le.replace('Inf', 'Infinity')));
            assert.deepEqual(
                bounds,
                [...bounds].sort((a, b) => a - b),
            );
            assert.equal(bounds.at(-1), Infinity);
            for (let i = 1; i < buckets.length; i++)
                assert.ok(buckets[i].value >= buckets[i - 1].value, 'buckets are cumulative');
            assert.equal(metrics.sum(`${name}_count`, { route }), buckets.at(-1).value);
            assert.ok(metrics.sum(`${name}_sum`, { route }) >= 0);
        }
    });

    test('keys, upstream errors and gauges are there', async () => {
        let metrics = await stage.metrics();
        assert.ok(metrics.sum('portcullis_jwks_fetches_total', { result: 'ok' }) >= 1);
        assert.ok(metrics.has('portcullis_jwks_age_seconds'));
        assert.equal(metrics.sum('portcullis_jwks_keys'), 1);
        assert.equal(metrics.sum('portcullis_open_streams'), 0);
        const errors = (m) => m.sum('portcullis_requests_total', { reason: 'upstream_closed' });
        const earlier = errors(metrics);
        stage.upstream.respond = (request, link) => link.reset();
        assert.equal((await stage.ask({})).status, 502);
        stage.upstream.forget();
        await eventually(
            async () => errors((metrics = await stage.metrics())) === earlier + 1,
            'counted',
        );
    });

    test('every log line is JSON with time, level and event', async () => {
        await eventually(() => stage.gate.stderr.endsWith('\n'), 'a whole line');
        const lines = stage.gate.stderr.split('\n').filter((line) => line !== '');
        for (const text of lines) {
            const line = JSON.parse(text);
            assert.ok(!Number.isNaN(Date.parse(line.time)), text);
            assert.ok(['debug', 'info', 'warn', 'error'].includes(line.level), text);
            assert.equal(typeof line.event, 'string', text);
        }
    });

    test('what a client sends cannot break a log line', async () => {
        const from = stage.gate.log.length;
        const nasty = '/%22%0a%7b"x'.replace('"', '%22');
        const answer = await stage.ask({
            target: nasty,
            headers: ['User-Agent: "}\t{"level":"error'],
        });
        const line = await eventually(() => stage.event(answer.get('x-request-id')), 'logged');
        assert.equal(line.status, answer.status);
        assert.ok(stage.gate.log.length > from);
    });
});
