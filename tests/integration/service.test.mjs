// SPDX-License-Identifier: Apache-2.0
// Under a service manager: what it is told and when, sockets that it opened, its watchdog, its
// journal, its credentials; and a crash that no client of an inherited socket notices (T23).
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { describe, test } from 'node:test';

import { okJson } from './lib/byte-upstream.mjs';
import { eventually, SANITIZED, sleep } from './lib/observe.mjs';
import { freePort } from './lib/ports.mjs';
import { runPortcullis } from './lib/portcullis.mjs';
import { ServiceManager } from './lib/service-manager.mjs';
import { openStage } from './lib/stage.mjs';
import { Wire } from './lib/wire.mjs';

async function askAt(stage, to) {
    const wire = await Wire.open(to);
    try {
        wire.send(stage.request());
        return (await wire.answer()).status;
    } finally {
        wire.close();
    }
}

/** Runs RUN(manager, stage, t) with a service that was started with MORE in its policy. */
const service = (name, { more = {}, stage: stageOptions = {}, ...options }, run) =>
    test(name, async (t) => {
        const stage = await openStage({ start: false, ...stageOptions });
        let manager;
        try {
            const given = typeof more === 'function' ? await more(stage) : more;
            const asked = typeof options.with === 'function' ? await options.with(stage) : options.with;
            manager = await ServiceManager.open(stage, { admin: null, ...given }, asked);
            await run(manager, stage, t);
        } finally {
            await manager?.close();
            await stage.close();
        }
    });

/** Stops a worker's thread as a debugger does; null when that is not allowed here. */
async function seizeWorker(pid) {
    const tid = fs
        .readdirSync(`/proc/${pid}/task`)
        .find((id) => fs.readFileSync(`/proc/${pid}/task/${id}/comm`, 'utf8') === 'worker\n');
    const script = path.join(import.meta.dirname, 'lib/seize.py');
    const child = spawn('python3', ['-I', script, tid], { stdio: ['pipe', 'pipe', 'inherit'] });
    const [said] = await once(child.stdout, 'data');
    if (!String(said).startsWith('seized')) return null;
    const release = async () => {
        const ended = once(child, 'exit');
        child.stdin.end();
        await ended;
    };
    return { release };
}

const ephemeral = async () => ({ listen: `127.0.0.1:${await freePort()}` });

describe('a service manager is told', () => {
    for (const abstract of [false, true])
        service(
            `READY once it accepts, RELOADING and READY around a reload, STOPPING (${abstract ? 'abstract' : 'path'})`,
            {
                more: ephemeral,
                with: (stage) => ({ folder: `${abstract ? '@' : ''}${stage.folder}` }),
            },
            async (manager, stage) => {
                const port = Number(JSON.parse(fs.readFileSync(manager.policyFile)).listen.slice(10));
                const first = await manager.told(() => true, 'a first message');
                assert.equal(first.fields.READY, '1');
                assert.match(first.fields.STATUS, /^Serving 1 route with \d+ workers?/);
                await manager.told(
                    ({ STATUS }) => /^Serving 1 route with \d+ workers?$/.test(STATUS),
                    'a status without a missing key',
                );
                assert.equal(await askAt(stage, port), 200);

                let from = manager.events.length;
                process.kill(manager.pid, 'SIGHUP');
                const reloading = await manager.told(() => true, 'news of the reload', { from });
                assert.equal(reloading.fields.RELOADING, '1');
                assert.match(reloading.fields.MONOTONIC_USEC, /^\d+$/);
                const after = await manager.ready({ from });
                assert.match(after.fields.STATUS, /^Serving/);

                from = manager.events.length;
                fs.writeFileSync(manager.policyFile, '{');
                process.kill(manager.pid, 'SIGHUP');
                const failed = await manager.ready({ from });
                assert.match(failed.fields.STATUS, /the last reload failed/);

                from = manager.events.length;
                assert.equal(await manager.stop(), 0);
                const stopping = await manager.told(() => true, 'the end', { from });
                assert.equal(stopping.fields.STOPPING, '1');
                assert.match(stopping.fields.STATUS, /^Draining, 0 connections left/);
            },
        );

    const crowd = (stage) =>
        Array.from({ length: 300 }, (_, i) => ({
            resource: `https://mcp.example.com/r${i}`,
            upstream: stage.upstreamUrl,
        }));
    service(
        'of a reload with a time that is later than the signal, also of one during a reload',
        { more: async (stage) => ({ ...(await ephemeral()), routes: crowd(stage) }) },
        async (manager) => {
            await manager.ready();
            for (let round = 0; round < 3; round++) {
                let sentUs;
                for (let i = 0; i < 20; i++) {
                    sentUs = Number(process.hrtime.bigint() / 1000n);
                    process.kill(manager.pid, 'SIGHUP');
                    await sleep(2);
                }
                await manager.told(
                    ({ MONOTONIC_USEC }) => Number(MONOTONIC_USEC) >= sentUs,
                    `a reload since ${sentUs}`,
                );
            }
        },
    );

    service(
        'whose keys it waits for, and that it serves all the same',
        {
            more: async (stage) => ({
                ...(await ephemeral()),
                issuers: {
                    tenant: stage.tenant.policy,
                    away: { issuer: 'http://127.0.0.1:9/', jwks_uri: 'http://127.0.0.1:9/jwks' },
                },
            }),
        },
        async (manager) => {
            const message = await manager.told(
                ({ STATUS }) => STATUS?.endsWith('; waiting for the keys of issuer away'),
                'the issuer',
            );
            assert.ok(message);
            await manager.ready();
        },
    );

    service(
        'that a drain goes on, and how many are left',
        { more: ephemeral },
        async (manager, stage) => {
            const held = [];
            stage.upstream.respond = (request, link) => held.push(link);
            const port = Number(JSON.parse(fs.readFileSync(manager.policyFile)).listen.slice(10));
            await manager.ready();
            const wire = await Wire.open(port);
            wire.send(stage.request());
            await eventually(() => held.length === 1, 'the request is under way');
            await sleep(50);
            const from = manager.events.length;
            const stopped = manager.stop();
            await manager.told(
                (fields) =>
                    fields.STOPPING === undefined &&
                    Number(fields.EXTEND_TIMEOUT_USEC) > 1e6 &&
                    fields.STATUS === 'Draining, 1 connection left',
                'more time',
                { from },
            );
            held[0].send(okJson('{}'));
            assert.equal((await wire.answer()).status, 200);
            assert.equal(await stopped, 0);
            wire.close();
        },
    );

    test('nothing is wrong without one, and a wrong address is no reason not to serve', async () => {
        for (const socket of ['/no/such/socket', 'nonsense']) {
            const stage = await openStage({ env: { NOTIFY_SOCKET: socket } });
            try {
                assert.equal((await stage.ask()).status, 200);
                assert.ok(stage.gate.log.some((line) => line.event === 'notify_failed'));
            } finally {
                await stage.close();
            }
        }
    });
});

describe('the watchdog', () => {
    service(
        'hears a beat in half of its time, as long as all is well',
        { more: ephemeral, with: { watchdog: 600_000 } },
        async (manager) => {
            await manager.ready();
            const beats = () => manager.events.filter(({ fields }) => fields?.WATCHDOG === '1');
            await eventually(() => beats().length >= 8, 'beats');
            const all = beats();
            const mean = (all.at(-1).at - all[0].at) / (all.length - 1);
            assert.ok(mean > 150 && mean < 600, `${mean} ms between two`);
        },
    );

    service(
        'hears none when a worker is stuck',
        { more: async () => ({ ...(await ephemeral()), workers: 2 }), with: { watchdog: 400_000 } },
        async (manager, stage, t) => {
            await manager.ready();
            const beats = () => manager.messages.filter(({ WATCHDOG }) => WATCHDOG === '1').length;
            await eventually(() => beats() >= 3, 'beats');
            // One thread alone cannot be stopped from outside but by a debugger.
            const worker = await seizeWorker(manager.pid);
            if (worker === null) return t.skip('no debugging here');
            try {
                await sleep(600); // what was under way
                const before = beats();
                await sleep(1500);
                assert.equal(beats(), before, 'beats of a process with a stuck worker');
            } finally {
                await worker.release();
            }
            const before = beats();
            await eventually(() => beats() > before, 'beats again');
        },
    );

    service(
        'that is for another process hears nothing',
        { more: ephemeral, with: { watchdog: 200_000, pid: 1 } },
        async (manager) => {
            await manager.ready();
            await sleep(600);
            assert.equal(manager.messages.filter(({ WATCHDOG }) => WATCHDOG).length, 0);
        },
    );
});

describe('inherited sockets', () => {
    const withPort = (extra = {}) => {
        const shared = {};
        return {
            more: async () => {
                shared.port = await freePort();
                return { listen: `127.0.0.1:${shared.port}`, ...extra };
            },
            with: () => ({ listen: [{ port: shared.port }], names: 'web' }),
            shared,
        };
    };

    const byAddress = withPort();
    service('serve the entry with their address', byAddress, async (manager, stage) => {
        await manager.ready();
        assert.equal(await askAt(stage, byAddress.shared.port), 200);
        const line = manager.log.find(({ event }) => event === 'listening');
        assert.equal(line.from, 'the service manager');
    });

    service(
        'serve the entries that name them, "listen" and "admin"',
        { more: { listen: ['fd:web', 'fd:5'], admin: 'fd:inside' }, with: { listen: [{}, {}, {}], names: 'web:inside:more' } },
        async (manager, stage) => {
            await manager.ready();
            const { ports } = manager.events[0];
            assert.equal(await askAt(stage, ports[0]), 200);
            assert.equal(await askAt(stage, ports[2]), 200);
            const answer = await fetch(`http://127.0.0.1:${ports[1]}/healthz`);
            assert.equal(answer.status, 200);
        },
    );

    const unixSocket = {
        more: (stage) => ({ listen: `unix:${path.join(stage.folder, 'web.sock')}` }),
        with: (stage) => ({ listen: [{ path: path.join(stage.folder, 'web.sock') }] }),
    };
    service('of the unix kind keep their file at the end', unixSocket, async (manager, stage) => {
        await manager.ready();
        const file = path.join(stage.folder, 'web.sock');
        assert.equal(await askAt(stage, file), 200);
        assert.equal(await manager.stop(), 0);
        assert.ok(fs.existsSync(file));
        net.connect(file).on('error', assert.ifError).destroy(); // the manager still listens
    });

    const withMode = (mode) => ({
        more: (stage) => ({ listen: { address: `unix:${path.join(stage.folder, 'web.sock')}`, mode: '0660' } }),
        with: (stage) => ({ listen: [{ path: path.join(stage.folder, 'web.sock'), mode }] }),
    });
    service(
        'of the unix kind may let in fewer than the policy says',
        withMode('0620'),
        async (manager, stage) => {
            await manager.ready();
            assert.equal(await askAt(stage, path.join(stage.folder, 'web.sock')), 200);
        },
    );
    service(
        'of the unix kind that let in more than the policy says are an error at the start',
        withMode('0666'),
        async (manager) => {
            await manager.noRestart();
            const exited = await manager.event(({ event }) => event === 'exited', 'it ends');
            assert.equal(exited.status, 1);
            const line = manager.log.find(({ event }) => event === 'listen_failed');
            assert.match(line.address, /^unix:/);
            assert.match(line.reason, /SocketMode=/);
        },
    );

    service(
        'that no entry uses are named and closed',
        { more: ephemeral, with: { listen: [{}], names: 'forgotten' } },
        async (manager) => {
            await manager.ready();
            const line = manager.log.find(({ event }) => event === 'inherited_socket_unused');
            assert.equal(line.name, 'forgotten');
            assert.equal(line.address, `127.0.0.1:${manager.events[0].ports[0]}`);
            assert.equal(line.level, 'warn');
        },
    );

    service(
        'may be fewer than it is told: what it opens itself is never taken for one of them',
        { more: ephemeral, with: { listen: [{}], names: 'forgotten', count: 40 } },
        async (manager, stage) => {
            const { listen } = JSON.parse(fs.readFileSync(manager.policyFile));
            await manager.ready();
            const unused = manager.log.filter(({ event }) => event === 'inherited_socket_unused');
            assert.equal(unused.length, 40);
            assert.ok(unused.slice(1).every(({ reason }) => reason === 'is not open'));
            assert.equal(await askAt(stage, Number(listen.slice(10))), 200);
            assert.equal(await manager.stop(), 0);
        },
    );

    for (const [what, options, reason] of [
        ['nobody has opened', {}, /no socket of this name/],
        ['does not listen', { listen: [{ listen: false }], names: 'web' }, /does not listen/],
        ['is for another process', { listen: [{}], names: 'web', pid: 1 }, /no socket of this name/],
    ])
        service(
            `an entry whose socket ${what} is an error at the start`,
            { more: { listen: 'fd:web' }, with: options },
            async (manager) => {
                await manager.noRestart();
                const exited = await manager.event(({ event }) => event === 'exited', 'it ends');
                assert.equal(exited.status, 1);
                const line = manager.log.find(({ event }) => event === 'listen_failed');
                assert.equal(line.address, 'fd:web');
                assert.match(line.reason, reason);
            },
        );

    const crash = withPort({ workers: 2 });
    service(
        'outlive a kill -9: no client is refused, and it serves again soon (T23)',
        crash,
        async (manager, stage, t) => {
            const { port } = crash.shared;
            await manager.ready();
            const outcomes = { answered: 0, refused: 0, cut: 0 };
            let goOn = true;
            const client = async () => {
                while (goOn) {
                    try {
                        if ((await askAt(stage, port)) === 200) outcomes.answered++;
                    } catch (error) {
                        if (error.code === 'ECONNREFUSED') outcomes.refused++;
                        else outcomes.cut++;
                    }
                }
            };
            const clients = Array.from({ length: 8 }, client);
            const times = [];
            for (let i = 0; i < 5; i++) {
                await sleep(200);
                const from = manager.events.length;
                process.kill(manager.pid, 'SIGKILL');
                const started = await manager.event(({ event }) => event === 'started', 'again', { from });
                const ready = await manager.ready({ from });
                times.push(ready.at - started.at);
                const before = outcomes.answered;
                await eventually(() => outcomes.answered > before, 'clients are served again');
            }
            goOn = false;
            await Promise.all(clients);
            t.diagnostic(
                `${JSON.stringify(outcomes)}; ready after ${times.map((ms) => ms.toFixed(0)).join(', ')} ms`,
            );
            assert.equal(outcomes.refused, 0);
            assert.ok(outcomes.answered > 0);
            // at most those that a killed process had accepted: eight clients, five times
            assert.ok(outcomes.cut <= 5 * clients.length, `${outcomes.cut} were cut`);
            if (!SANITIZED) assert.ok(Math.min(...times) < 1000, `${times}`);
        },
    );
});

describe('the journal', () => {
    service(
        'gets lines with their priority',
        { more: ephemeral, with: { journal: true } },
        async (manager) => {
            await manager.ready();
            const text = () =>
                manager.events.flatMap(({ event, text: t }) => (event === 'journal' ? [t] : [])).join('');
            await eventually(() => /^<6>\{.*"event":"started"/m.test(text()), `lines: ${text()}`);
            fs.writeFileSync(manager.policyFile, '{');
            process.kill(manager.pid, 'SIGHUP');
            await eventually(() => /^<3>\{.*"event":"reload_failed"/m.test(text()), 'an error');
            for (const line of text().trim().split('\n')) assert.match(line, /^<[3467]>\{.*\}$/);
        },
    );

    test('is not meant when standard error goes elsewhere', async () => {
        const stage = await openStage({ env: { JOURNAL_STREAM: '8:12345' } });
        try {
            assert.ok(stage.gate.log.some((line) => line.event === 'started'));
        } finally {
            await stage.close();
        }
    });
});

describe('credentials (LoadCredential=)', () => {
    test('are what $cred() gives, also at a reload, and stay secret', async () => {
        const stage = await openStage({ start: false });
        const folder = path.join(stage.folder, 'credentials');
        fs.mkdirSync(folder);
        const write = (secret) => fs.writeFileSync(path.join(folder, 'api_key'), `${secret}\n`);
        write('first-secret');
        const upstream = (url) => ({ url, headers: { 'X-Api-Key': '$cred(api_key)' } });
        const policy = { routes: [{ resource: 'https://mcp.example.com/mcp', upstream: upstream(stage.upstreamUrl) }] };
        try {
            await stage.start(policy, { env: { CREDENTIALS_DIRECTORY: folder } });
            assert.equal((await stage.ask()).status, 200);
            assert.deepEqual(stage.upstream.last.all('x-api-key'), ['first-secret']);
            write('second-secret');
            const from = stage.gate.log.length;
            stage.gate.reload(stage.policy(policy));
            await stage.gate.logged((line) => line.event === 'reloaded', 'reloaded', { from });
            await eventually(async () => {
                await stage.ask();
                return stage.upstream.last.all('x-api-key')[0] === 'second-secret';
            }, 'the new credential');
            assert.doesNotMatch(stage.gate.stderr, /-secret/);
            const printed = await runPortcullis(['print', stage.gate.policyFile], {
                env: { CREDENTIALS_DIRECTORY: folder },
            });
            assert.equal(printed.code, 0);
            assert.doesNotMatch(printed.stdout, /-secret/);
        } finally {
            await stage.close();
        }
    });
});
