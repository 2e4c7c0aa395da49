// SPDX-License-Identifier: Apache-2.0
// How much one caller may ask for: token buckets by address and by subject, and open streams. What
// is refused is refused with words that an agent can read, reaches no upstream, and says when to
// come back.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';

import { assertOwnError, assertRpcError } from './lib/answers.mjs';
import { okJson } from './lib/byte-upstream.mjs';
import { chunk, eventOf, LAST_CHUNK, STREAM_HEAD } from './lib/events.mjs';
import { eventually, rounds, sleep } from './lib/observe.mjs';
import { call, openStage, RESOURCE } from './lib/stage.mjs';
import { Wire } from './lib/wire.mjs';

const OK = okJson('{"jsonrpc":"2.0","id":1,"result":{}}');
const TOO_MANY = /^Too many requests: try again in (\d+) seconds?$/;

/** The refusal that a limit gives; returns its JSON-RPC error. */
function assertLimited(answer, reason) {
    assert.equal(answer.status, 429, answer.text);
    assertOwnError(answer, 429);
    assert.equal(answer.get('cache-control'), 'no-store');
    assert.match(answer.get('retry-after'), /^[1-9]\d*$/);
    const { error } = JSON.parse(answer.text);
    assert.equal(error.data.reason, reason);
    assert.equal(error.data.retry_after, Number(answer.get('retry-after')));
    return error;
}

describe('rates', () => {
    let stage;
    let auditFile;
    before(async () => {
        stage = await openStage({ start: false });
        auditFile = path.join(stage.folder, 'audit.jsonl');
        stage.options.routes = (url) => [
            { resource: RESOURCE, upstream: url, limits: { subject_rate: '6/m', subject_burst: 3 } },
            {
                resource: 'https://mcp.example.com/ip',
                audiences: [RESOURCE],
                upstream: url,
                origins: ['https://app.example.com'],
                limits: { ip_rate: '6/m', ip_burst: 4 },
            },
        ];
        stage.options.policy = {
            workers: 3,
            trusted_proxies: ['127.0.0.0/8'],
            audit: { file: auditFile },
        };
        await stage.start();
    });
    beforeEach(() => {
        stage.upstream.forget();
        stage.upstream.respond = (request, link) => link.send(OK);
    });
    after(() => stage?.close());

    const as = (sub, more) => stage.token({ claims: { sub, ...more } });
    const from = (ip) => `X-Forwarded-For: ${ip}`;
    const limitedBy = async (limit) =>
        (await stage.metrics()).sum('portcullis_rate_limited_total', { limit });

    test('a subject gets its burst, from all workers together, and then a JSON-RPC error', async () => {
        const earlier = await limitedBy('subject_rate');
        for (let i = 0; i < 3; i++)
            assert.equal((await stage.ask({ token: as('auth0|a', { jti: `${i}` }) })).status, 200);
        const answer = await stage.ask({ token: as('auth0|a'), body: call('ping', {}, 'id-7') });
        const error = assertLimited(answer, 'rate_limited');
        assertRpcError(answer, 429, 'id-7');
        const [, seconds] = TOO_MANY.exec(error.message);
        assert.equal(Number(seconds), error.data.retry_after);
        assert.ok(Number(seconds) <= 10, seconds);
        assert.equal(stage.upstream.requests.length, 3);
        assert.equal((await stage.ask({ token: as('auth0|b') })).status, 200, 'somebody else');
        assert.equal((await limitedBy('subject_rate')) - earlier, 1);
        const line = await stage.gate.logged(
            (l) => l.request_id === error.data.request_id,
            'of the refusal',
        );
        assert.equal(line.reason, 'rate_limited');
        assert.equal(line.stage, 'subject_rate');
        assert.equal(line.subject, 'auth0|a');
        await eventually(() => {
            const records = fs.readFileSync(auditFile, 'utf8').trim().split('\n').map(JSON.parse);
            const record = records.find((r) => r.request_id === error.data.request_id);
            return record?.decision === 'deny' && record.reason === 'rate_limited';
        }, 'an audit record that denies');
    });

    test('GET and DELETE count one, a batch each of its calls', async () => {
        const token = as('auth0|batch');
        const batch = `[${[1, 2].map((id) => call('ping', {}, id)).join(',')}]`;
        assert.equal((await stage.ask({ token, body: batch })).status, 200);
        assert.equal(
            (await stage.ask({ token, method: 'DELETE', body: null, typed: false })).status,
            200,
        );
        const get = await stage.ask({ token, method: 'GET', body: null, typed: false });
        assertLimited(get, 'rate_limited');
        const five = `[${[1, 2, 3, 4].map((id) => call('ping', {}, id)).join(',')}]`;
        const answer = await stage.ask({ token: as('auth0|large'), body: five });
        assert.match(assertLimited(answer, 'rate_limited').message, /one batch: at most 3 /);
    });

    test('a flood of bad tokens from one address ends in 429, and others are not touched', async () => {
        const flood = () =>
            stage.ask({ target: '/ip', token: 'bad', headers: [from('198.51.100.1')] });
        for (let i = 0; i < 4; i++) assert.equal((await flood()).status, 401);
        for (let i = 0; i < 4; i++) {
            const answer = await flood();
            assertLimited(answer, 'rate_limited');
            assert.equal(answer.get('www-authenticate'), null);
        }
        const good = { target: '/ip', token: stage.token() };
        assertLimited(
            await stage.ask({ ...good, headers: [from('198.51.100.1:4711')] }),
            'rate_limited',
        );
        assert.equal((await stage.ask({ ...good, headers: [from('198.51.100.2')] })).status, 200);
        assert.equal((await stage.ask({ token: as('auth0|elsewhere') })).status, 200);
    });

    test('what the client writes into X-Forwarded-For gives it no fresh bucket', async () => {
        const ask = (left) =>
            stage.ask({ target: '/ip', token: 'bad', headers: [from(`${left}, 198.51.100.3`)] });
        for (let i = 0; i < 4; i++) assert.equal((await ask(`203.0.113.${i}`)).status, 401);
        assertLimited(await ask('203.0.113.9'), 'rate_limited');
        assertLimited(await ask('x'), 'rate_limited');
        const long = Array.from({ length: 1500 }, () => '10.0.0.1').join(', ');
        assertLimited(await ask(long), 'rate_limited');
    });

    test('documents and preflights are not counted, and a browser may read Retry-After', async () => {
        const headers = [from('198.51.100.4'), 'Origin: https://app.example.com'];
        const ask = (options) => stage.ask({ target: '/ip', token: null, headers, ...options });
        const metadata = '/.well-known/oauth-protected-resource/ip';
        for (let i = 0; i < 10; i++) {
            assert.equal((await ask({ method: 'OPTIONS', body: null, typed: false })).status, 204);
            assert.equal(
                (await ask({ method: 'GET', target: metadata, body: null, typed: false })).status,
                200,
            );
        }
        for (let i = 0; i < 4; i++) assert.equal((await ask({})).status, 401);
        const refused = await ask({});
        assertLimited(refused, 'rate_limited');
        assert.match(refused.get('access-control-expose-headers'), /\bRetry-After\b/);
        assert.equal(refused.get('access-control-allow-origin'), 'https://app.example.com');
    });

    test('a reload keeps the buckets, and the new rate counts', async () => {
        const token = as('auth0|reload');
        for (let i = 0; i < 3; i++) assert.equal((await stage.ask({ token })).status, 200);
        const from = stage.gate.log.length;
        const policy = stage.policy();
        policy.routes[0].limits = { subject_rate: '20/m', subject_burst: 2 };
        stage.gate.reload(policy);
        await stage.gate.logged((l) => l.event === 'reloaded', 'reloaded', { from });
        const error = assertLimited(await stage.ask({ token }), 'rate_limited');
        assert.ok(error.data.retry_after <= 3, error.message);
        await sleep(error.data.retry_after * 1000 + 50);
        assert.equal((await stage.ask({ token })).status, 200);
    });

    test('the sizes of the tables are metrics', async () => {
        const metrics = await stage.metrics();
        assert.ok(metrics.sum('portcullis_rate_buckets') >= 1);
        assert.equal(metrics.sum('portcullis_rate_bucket_capacity'), 262144);
        assert.equal(metrics.sum('portcullis_rate_bucket_evictions_total'), 0);
    });
});

describe('streams of a subject', () => {
    const LIMIT = 4;
    const EVENT = chunk(eventOf({ jsonrpc: '2.0', method: 'notifications/message', params: {} }));
    let stage;
    let links;
    before(async () => {
        stage = await openStage({
            policy: { workers: 2, limits: { drain_timeout: '2s' } },
            route: { limits: { subject_streams: LIMIT } },
        });
    });
    beforeEach(() => {
        links = [];
        stage.upstream.forget();
        stage.upstream.respond = (request, link) => {
            links.push(link);
            link.send(Buffer.concat([STREAM_HEAD, EVENT]));
        };
    });
    after(() => stage?.close());

    const GET = { method: 'GET', body: null, typed: false };
    const LISTEN = { body: call('subscriptions/listen', {}, 'sub') };
    const counted = async () => (await stage.metrics()).sum('portcullis_limited_streams');
    const settled = (n) => eventually(async () => (await counted()) === n, `${n} streams counted`);

    async function open(options) {
        const wire = await stage.wire();
        wire.send(stage.request(options));
        const head = await wire.head({ method: options.method ?? 'POST' });
        return { wire, status: head.status };
    }

    test('a GET or a listen past the limit is 429, and a place that is free again is given', async () => {
        const streams = [];
        for (let i = 0; i < LIMIT; i++) streams.push(await open(i % 2 ? GET : LISTEN));
        assert.deepEqual(
            streams.map((s) => s.status),
            Array(LIMIT).fill(200),
        );
        for (const options of [GET, LISTEN]) {
            const error = assertLimited(await stage.ask(options), 'too_many_streams');
            assert.match(error.message, /Too many open streams/);
        }
        assertRpcError(await stage.ask(LISTEN), 429, 'sub');
        const other = { ...GET, token: stage.token({ claims: { sub: 'auth0|other' } }) };
        streams.push(await open(other));
        assert.equal(streams.at(-1).status, 200);
        streams.shift().wire.close();
        await settled(LIMIT);
        streams.push(await open(GET));
        assert.equal(streams.at(-1).status, 200);
        for (const { wire } of streams) wire.close();
        await settled(0);
    });

    test('an answer that streams counts, and is never cut', async () => {
        const posts = [];
        for (let i = 0; i < LIMIT + 2; i++) posts.push(await open({}));
        assert.ok(posts.every((s) => s.status === 200));
        await settled(LIMIT + 2);
        assertLimited(await stage.ask(GET), 'too_many_streams');
        for (const link of links) link.send(LAST_CHUNK);
        await settled(0);
        for (const { wire } of posts) wire.close();
    });

    // However a stream ends: the client leaves or resets, the upstream ends it, breaks it off or
    // dies before its head, the policy is loaded anew in the middle.
    test('no end of a stream leaves its place taken', async () => {
        let seed = 11;
        const dice = (n) => (seed = (seed * 48271) % 2147483647) % n;
        stage.upstream.respond = (request, link) => {
            links.push(link);
            if (dice(6) === 0) return link.reset();
            if (dice(6) === 0) return link.send(OK);
            link.send(Buffer.concat([STREAM_HEAD, EVENT]));
            if (dice(3) === 0) link.send(LAST_CHUNK);
        };
        for (let round = 0; round < rounds(15); round++) {
            const wires = await Promise.all(Array.from({ length: 8 }, () => stage.wire()));
            wires.forEach((wire, i) => {
                const token = stage.token({ claims: { sub: `auth0|${i % 2}` } });
                wire.send(stage.request({ ...[GET, LISTEN, {}][dice(3)], token }));
            });
            if (round % 5 === 2) {
                const from = stage.gate.log.length;
                stage.gate.reload(stage.policy());
                await stage.gate.logged((l) => l.event === 'reloaded', 'reloaded', { from });
            }
            await sleep(dice(15));
            for (const wire of wires) [() => wire.close(), () => wire.reset(), () => {}][dice(3)]();
            for (const link of links.splice(0)) [() => link.reset(), () => link.end()][dice(2)]();
            for (const wire of wires) wire.close();
        }
        await settled(0);
        assert.equal((await stage.metrics()).sum('portcullis_open_streams'), 0);
    });
});

describe('connections of one address', () => {
    const LIMIT = 6;
    let stage;
    before(async () => {
        stage = await openStage({ policy: { workers: 2, limits: { ip_connections: LIMIT } } });
        stage.upstream.respond = (request, link) => link.send(OK);
    });
    after(() => stage?.close());

    const works = async (wire) => {
        wire.send(stage.request());
        return (await wire.answer()).status === 200;
    };

    test('past the limit they are closed at once, and one that leaves makes room', async () => {
        const wires = [];
        for (let i = 0; i < LIMIT; i++) {
            wires.push(await stage.wire());
            assert.ok(await works(wires[i]));
        }
        const refused = await stage.wire();
        await refused.drainToEnd();
        const other = new Wire(
            net.connect({ port: stage.gate.port, host: '127.0.0.1', localAddress: '127.0.0.2' }),
        );
        assert.ok(await works(other), 'another address');
        other.close();
        assert.ok(await works(wires[0]), 'those that are there go on');
        wires.shift().close();
        await eventually(async () => {
            const wire = await stage.wire();
            try {
                return await works(wire);
            } catch {
                return false;
            } finally {
                wire.close();
            }
        }, 'a connection in the place of the one that left');
        const metrics = await stage.metrics();
        assert.ok(metrics.sum('portcullis_connections_refused_total') >= 1);
        for (const wire of wires) wire.close();
    });
});

describe('a flood of requests that anybody can send', () => {
    let stage;
    let folder;
    before(async () => {
        folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-flood-'));
        stage = await openStage({
            policy: { workers: 1, audit: { file: path.join(folder, 'audit.log') } },
            route: { limits: { ip_rate: '2/h' } },
        });
    });
    after(async () => {
        await stage?.close();
        fs.rmSync(folder, { recursive: true });
    });
    const records = () =>
        fs.readFileSync(path.join(folder, 'audit.log'), 'utf8').trim().split('\n').map(JSON.parse);
    const lines = (event) => stage.gate.log.filter((line) => line.event === event);

    test('is counted, fills neither the audit log nor the log, and both go on', async () => {
        assert.equal((await stage.ask()).status, 200);
        assert.equal((await stage.ask({ token: null })).status, 401);
        const flood = [
            [{}, 429],
            [{ method: 'PUT' }, 405],
            [{ headers: ['Origin: https://evil.example'] }, 403],
        ];
        const started = performance.now();
        for (let i = 0; i < 40; i++)
            for (const [options, status] of flood)
                assert.equal((await stage.ask(options)).status, status);
        const seconds = (performance.now() - started) / 1000;
        const metrics = await stage.metrics();
        for (const [, status] of flood)
            assert.equal(metrics.sum('portcullis_requests_total', { status: `${status}` }), 40);
        await sleep(1100);
        await stage.ask({ method: 'PUT' });
        const [told] = await eventually(() => {
            const found = lines('requests_not_logged');
            return found.length > 0 && found;
        }, 'how many were not told');
        assert.equal(told.level, 'warn');
        const untold = lines('requests_not_logged').reduce((sum, line) => sum + line.refused, 0);
        const refused = lines('request').filter((line) => [429, 405, 403].includes(line.status));
        assert.equal(untold + refused.length, 121);
        assert.ok(refused.length <= 20 * (Math.ceil(seconds) + 2), `${refused.length} lines`);
        assert.deepEqual(records().map((record) => record.decision).sort(), ['allow', 'deny']);
    });
});
