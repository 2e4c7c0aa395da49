// SPDX-License-Identifier: Apache-2.0
// The log in a file, its rotation without a lost line, and the lines that sampling leaves out.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';

import { okJson } from './lib/byte-upstream.mjs';
import { eventually, Metrics, rounds } from './lib/observe.mjs';
import { runPortcullis } from './lib/portcullis.mjs';
import { openScene } from './lib/scene.mjs';
import { call } from './lib/stage.mjs';

async function withLog(log, body, more = {}) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-log-'));
    const file = path.join(folder, 'gate.log');
    const policy = { log: typeof log === 'function' ? log(file) : log, ...more };
    const scene = await openScene({ policy, start: false });
    scene.folder = folder;
    scene.file = file;
    scene.lines = (name = file) =>
        fs.existsSync(name)
            ? fs.readFileSync(name, 'utf8').split('\n').slice(0, -1).map((line) => JSON.parse(line))
            : [];
    scene.inFile = (event, name) => scene.lines(name).filter((line) => line.event === event);
    try {
        await scene.start();
        await body(scene);
    } finally {
        await scene.close();
        fs.rmSync(folder, { recursive: true, force: true });
    }
}

const requestsIn = (lines) => lines.filter((line) => line.event === 'request');

describe('log.file', () => {
    for (const signal of ['SIGUSR1', 'SIGHUP'])
        test(`is opened anew on ${signal}, under load, without a lost line`, async () => {
            await withLog((file) => ({ file }), async (scene) => {
                const token = scene.tenant.mint();
                let goes = true;
                let sent = 0;
                const loop = async () => {
                    for (; goes; sent++) assert.equal((await scene.post(token)).status, 200);
                };
                const loops = Array.from({ length: 4 }, loop);
                const files = [scene.file];
                for (let turn = 1; turn <= 5; turn++) {
                    const moved = `${scene.file}.${turn}`;
                    const before = sent;
                    await eventually(() => sent > before + 10, 'requests');
                    fs.renameSync(scene.file, moved);
                    files.push(moved);
                    scene.gate.signal(signal);
                    await eventually(() => scene.inFile('log_reopened').length === 1, 'reopened');
                }
                goes = false;
                await Promise.all(loops);
                await eventually(
                    () => requestsIn(files.flatMap((name) => scene.lines(name))).length === sent,
                    'every request has its line',
                );
                const ids = files
                    .flatMap((name) => requestsIn(scene.lines(name)))
                    .map((line) => line.request_id);
                assert.equal(new Set(ids).size, sent);
                assert.equal(scene.inFile('started', files[1]).length, 1);
                assert.equal(fs.statSync(scene.file).mode & 0o137, 0);
                assert.equal(scene.gate.stderr, '');
            });
        });

    test('goes on in the old file when the new one cannot be opened', async () => {
        await withLog((file) => ({ file }), async (scene) => {
            fs.renameSync(scene.file, `${scene.file}.1`);
            fs.mkdirSync(scene.file);
            scene.gate.signal('SIGUSR1');
            const failed = () => scene.inFile('log_reopen_failed', `${scene.file}.1`);
            await eventually(() => failed().length === 1, 'told');
            assert.equal(failed()[0].key, 'log.file');
            assert.equal((await scene.post(scene.tenant.mint())).status, 200);
            const lines = () => scene.inFile('request', `${scene.file}.1`);
            await eventually(() => lines().length === 1, 'in the old file');
            fs.rmdirSync(scene.file);
            scene.gate.signal('SIGUSR1');
            await eventually(() => scene.inFile('log_reopened').length === 1, 'reopened');
        });
    });

    test('SIGUSR1 without a file to open does no harm', async () => {
        await withLog({}, async (scene) => {
            scene.gate.signal('SIGUSR1');
            assert.equal((await scene.post(scene.tenant.mint())).status, 200);
        });
    });

    test('that cannot be opened is an error at the start, told on stderr', async () => {
        const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-log-'));
        const file = path.join(folder, 'policy.json');
        for (const log of ['/nonexistent/gate.log', folder, '/dev/null']) {
            const policy = {
                listen: `unix:${path.join(folder, 'socket')}`,
                admin: null,
                auth0: 'tenant.us.auth0.com',
                log: { file: log },
                routes: [{ resource: 'https://mcp.example.com/mcp', upstream: 'http://127.0.0.1:9' }],
            };
            fs.writeFileSync(file, JSON.stringify(policy));
            const { code, stderr } = await runPortcullis(['serve', file]);
            assert.equal(code, 1, stderr);
            const lines = stderr.trim().split('\n').map((line) => JSON.parse(line));
            assert.equal(lines.find((line) => line.event === 'log_open_failed').file, log);
        }
        fs.rmSync(folder, { recursive: true });
    });

    test('cannot be changed by a reload', async () => {
        await withLog((file) => ({ file }), async (scene) => {
            scene.gate.reload(scene.policy(scene.gate.port, { log: { file: '/other/file' } }));
            await eventually(() => scene.inFile('reload_needs_restart').length === 1, 'named');
            assert.equal(scene.inFile('reload_needs_restart')[0].pointer, '/log/file');
        });
    });
});

describe('log.access.sample', () => {
    const metric = async (scene) =>
        new Metrics(await scene.gate.metrics()).sum('portcullis_log_lines_skipped_total');

    test('0 leaves errors, refusals and slow requests only', async () => {
        await withLog({ access: { sample: 0, slow: '300ms' } }, async (scene) => {
            const token = scene.tenant.mint();
            for (let i = 0; i < 20; i++) assert.equal((await scene.post(token)).status, 200);
            const path = '/.well-known/oauth-protected-resource/mcp';
            await (await fetch(scene.gate.url(path))).text();
            const kept = [
                await scene.post(null),
                await scene.post('x'),
                await scene.post(token, { body: '{}' }),
                await fetch(scene.gate.url('/nowhere')),
            ];
            scene.server.respond = (request, link) => {
                setTimeout(() => link.send(okJson('{"jsonrpc":"2.0","id":1,"result":{}}')), 500);
            };
            kept.push(await scene.post(token));
            scene.server.respond = (request, link) => link.reset();
            kept.push(await scene.post(token));
            assert.deepEqual(kept.map((answer) => answer.status), [401, 401, 400, 404, 200, 502]);
            const lines = () => requestsIn(scene.gate.log);
            await eventually(() => lines().length === kept.length, 'lines');
            // two workers write in an order of their own
            assert.deepEqual(
                lines().map((line) => line.request_id).sort(),
                kept.map((answer) => answer.headers.get('x-request-id')).sort(),
            );
            await eventually(async () => (await metric(scene)) === 21, 'counted');
        });
    });

    test('a share is written, and what is not is counted', async () => {
        await withLog({ access: { sample: 0.5, slow: null } }, async (scene) => {
            const token = scene.tenant.mint();
            const total = rounds(600);
            for (let i = 0; i < total; i++) assert.equal((await scene.post(token)).status, 200);
            let skipped;
            await eventually(
                async () =>
                    requestsIn(scene.gate.log).length + (skipped = await metric(scene)) === total,
                'each is written or counted',
            );
            // half, give or take six standard deviations
            assert.ok(Math.abs(skipped - total / 2) < 3 * Math.sqrt(total), `${skipped} of ${total}`);
        });
    });

    test('a reload changes it; audit records are always complete', async () => {
        const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-log-'));
        const audit = { file: path.join(folder, 'audit.log') };
        const records = () => fs.readFileSync(audit.file, 'utf8').split('\n').length - 1;
        await withLog({ access: { sample: 0 } }, async (scene) => {
            const token = scene.tenant.mint();
            await scene.post(token, { body: call('tools/list') });
            scene.gate.reload(scene.policy(scene.gate.port, { log: {} }));
            await scene.gate.logged((line) => line.event === 'reloaded', 'reloaded');
            const answer = await scene.post(token);
            const id = answer.headers.get('x-request-id');
            await scene.gate.logged((line) => line.request_id === id, 'written now');
            assert.equal(requestsIn(scene.gate.log).length, 1);
            await eventually(() => records() === 2, 'both are audited');
        }, { audit });
        fs.rmSync(folder, { recursive: true });
    });
});
