// SPDX-License-Identifier: Apache-2.0
// A reload is atomic: a good policy takes over without anybody noticing (T20), a bad one changes
// nothing and the log says why.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { okJson } from './lib/byte-upstream.mjs';
import { eventually, SANITIZED, sleep } from './lib/observe.mjs';
import { freePort } from './lib/ports.mjs';
import { call, openStage } from './lib/stage.mjs';
import { BrokenAnswer, Wire } from './lib/wire.mjs';

describe('reload', () => {
    let stage;
    before(async () => (stage = await openStage()));
    after(() => stage?.close());
    beforeEach(() => stage.upstream.forget());

    const reloads = async (result) =>
        (await stage.metrics()).sum('portcullis_reloads_total', { result });

    async function reload(policy, result) {
        const earlier = await reloads(result);
        stage.gate.reload(policy);
        await eventually(
            async () => (await reloads(result)) === earlier + 1,
            `a reload was ${result}`,
        );
    }
    const twoRoutes = () => {
        const policy = stage.policy();
        policy.routes.push({
            resource: 'https://mcp.example.com/new',
            upstream: stage.upstreamUrl,
        });
        return policy;
    };

    test('a good policy takes over at once', async () => {
        const token = stage.token({ claims: { aud: 'https://mcp.example.com/new' } });
        assert.equal((await stage.ask({ target: '/new', token })).status, 404);
        await reload(twoRoutes(), 'ok');
        await eventually(
            async () => (await stage.ask({ target: '/new', token })).status === 200,
            '/new',
        );
        await reload(stage.policy(), 'ok');
        await eventually(
            async () => (await stage.ask({ target: '/new', token })).status === 404,
            'gone',
        );
        assert.equal((await stage.ask({})).status, 200);
    });

    const insert = (text) => (policy) => policy.replace('"routes"', `${text}\n  "routes"`);
    for (const [what, edit, pointer] of [
        ['an unknown key', insert('"bogus": 1,'), '/bogus'],
        ['a wrong type', insert('"clock_skew": 5,'), '/clock_skew'],
        ['broken JSON', insert('bogus'), ''],
        ['an empty file', () => '', ''],
    ])
        test(`a bad policy (${what}) changes nothing, and the log says where`, async () => {
            await reload(twoRoutes(), 'ok');
            const token = stage.token({ claims: { aud: 'https://mcp.example.com/new' } });
            const askNew = async () => (await stage.ask({ target: '/new', token })).status;
            await eventually(async () => (await askNew()) === 200, 'the new route');
            const addresses = {
                listen: `127.0.0.1:${stage.gate.port}`,
                admin: `127.0.0.1:${stage.gate.adminPort}`,
            };
            const good = JSON.stringify({ ...addresses, ...stage.policy() }, null, 2);
            const bad = edit(good);
            const from = stage.gate.log.length;
            await reload(bad, 'failed');
            const isFinding = (entry) => entry.event === 'policy_error';
            const finding = await stage.gate.logged(isFinding, 'what is wrong', { from });
            assert.equal(finding.level, 'error');
            assert.equal(finding.pointer, pointer);
            const line = bad.split('\n').findIndex((text, i) => text !== good.split('\n')[i]) + 1;
            assert.equal(finding.line, line);
            assert.equal(await askNew(), 200, 'the old policy stays');
            await reload(stage.policy(), 'ok');
        });

    test('a request under way ends under the policy it was born with', async () => {
        stage.upstream.respond = () => {};
        const wire = await stage.wire();
        wire.send(stage.request({ body: call('ping', {}, 77) }));
        const request = await eventually(() => stage.upstream.last, 'the request is there');
        const elsewhere = stage.policy();
        elsewhere.routes[0].resource = 'https://mcp.example.com/moved';
        await reload(elsewhere, 'ok');
        await eventually(async () => (await stage.ask({})).status === 404, 'the new policy');
        request.link.send(okJson('{"late":true}'));
        const answer = await wire.answer();
        assert.equal(answer.status, 200);
        assert.equal(answer.text, '{"late":true}');
        // the same connection is now under the new policy
        wire.send(stage.request());
        assert.equal((await wire.answer()).status, 404);
        wire.close();
        await reload(stage.policy(), 'ok');
    });

    test('a stream goes on through reloads', async () => {
        const head = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n';
        stage.upstream.respond = (request, link) => link.send(head);
        const wire = await stage.wire();
        wire.send(stage.request({ method: 'GET', body: null }));
        await wire.head({ method: 'GET' });
        for (let i = 0; i < 3; i++) {
            await reload(i % 2 ? stage.policy() : twoRoutes(), 'ok');
            stage.upstream.requests[0].link.send(`data: ${i}\n\n`);
            assert.equal((await wire.part()).toString(), `data: ${i}\n\n`);
        }
        wire.close();
        await reload(stage.policy(), 'ok');
    });

    test('a token that the new policy does not accept is refused, cached or not', async () => {
        const token = stage.token();
        assert.equal((await stage.ask({ token })).status, 200);
        const stricter = stage.policy();
        stricter.routes[0].audiences = ['https://other.example/'];
        await reload(stricter, 'ok');
        await eventually(async () => (await stage.ask({ token })).status === 401, 'refused');
        await reload(stage.policy(), 'ok');
        await eventually(async () => (await stage.ask({ token })).status === 200, 'accepted');
    });

    test('what a running daemon cannot change is told, and the rest takes over', async () => {
        const port = await freePort();
        const policy = twoRoutes();
        policy.admin = null;
        policy.listen = [`127.0.0.1:${stage.gate.port}`, `127.0.0.1:${port}`];
        policy.workers = 7;
        policy.limits = { header: '16KiB', connections: 50, client_timeout: '20s' };
        policy.log = { format: 'text' };
        const from = stage.gate.log.length;
        await reload(policy, 'ok');
        await stage.gate.logged((line) => line.event === 'reloaded', 'the end of it', { from });
        const told = stage.gate.log
            .slice(from)
            .filter((line) => line.event === 'reload_needs_restart' && line.level === 'warn');
        assert.deepEqual(told.map((line) => line.pointer).sort(), [
            '/admin',
            '/limits/client_timeout',
            '/limits/connections',
            '/limits/header',
            '/listen',
            '/log/format',
            '/workers',
        ]);
        await assert.rejects(Wire.open(port), /ECONNREFUSED/);
        const token = stage.token({ claims: { aud: 'https://mcp.example.com/new' } });
        await eventually(
            async () => (await stage.ask({ target: '/new', token })).status === 200,
            'the new route',
        );
        await reload(stage.policy(), 'ok');
    });

    test('10 reloads in 5 seconds under load, good and bad ones: 0 failed (T20)', async (t) => {
        let running = true;
        let served = 0;
        const failures = [];
        const client = async (fresh) => {
            let wire = await stage.wire();
            while (running) {
                try {
                    wire.send(stage.request());
                    const answer = await wire.answer();
                    if (answer.status !== 200) failures.push(`${answer.status} ${answer.text}`);
                    else served++;
                } catch (error) {
                    failures.push(error.message);
                    if (!(error instanceof BrokenAnswer)) throw error;
                    wire = await stage.wire();
                }
                if (fresh) {
                    wire.close();
                    wire = await stage.wire();
                }
                if (SANITIZED) await sleep(2);
            }
            wire.close();
        };
        const clients = Array.from({ length: 8 }, (_, i) => client(i % 4 === 0));
        const [good, bad] = [await reloads('ok'), await reloads('failed')];
        for (let i = 0; i < 10; i++) {
            await sleep(500);
            stage.gate.reload(i % 3 === 2 ? '{"routes": 1}' : i % 2 ? stage.policy() : twoRoutes());
        }
        await eventually(async () => (await reloads('ok')) === good + 7, '7 good ones');
        await eventually(async () => (await reloads('failed')) === bad + 3, '3 bad ones');
        running = false;
        await Promise.all(clients);
        assert.deepEqual(failures, []);
        assert.ok(served > 100, `${served} served`);
        t.diagnostic(`${served} requests served`);
        await reload(stage.policy(), 'ok');
    });
});
