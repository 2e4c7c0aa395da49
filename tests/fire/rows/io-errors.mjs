// SPDX-License-Identifier: Apache-2.0
// T33: five of a hundred system calls for input and output fail (libfiu), at random, under load:
// requests may fail, but the daemon does not, and no bad token gets in; once it is over, all is
// well.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { eventually, openFds, sleep } from '../../integration/lib/observe.mjs';
import { Wire } from '../../integration/lib/wire.mjs';
import { numberedRequest, openGate } from '../lib/gate.mjs';
import { GoodClients, measure } from '../lib/good-clients.mjs';

export const row = 'T33';
export const title = 'system calls that fail';

const FAULTY_MS = 15_000;
const DEADLINE_MS = 2000; // of the gate, which ends what a call that lied has left hanging
// All but close() and shutdown(), which in truth always do what they are for.
const NET = [
    'socket',
    'accept',
    'connect',
    'recv',
    'recvfrom',
    'recvmsg',
    'send',
    'sendto',
    'sendmsg',
];
const FAILURE_POINTS = [
    'posix/io/rw/*',
    'posix/io/oc/open',
    ...NET.map((n) => `posix/io/net/${n}`),
];

/** Where the C library of the fault injector is. */
function findLibrary(name) {
    for (const folder of [
        '/usr/lib/x86_64-linux-gnu/fiu',
        '/usr/lib/aarch64-linux-gnu/fiu',
        '/usr/lib/fiu',
        '/usr/lib/x86_64-linux-gnu',
        '/usr/lib/aarch64-linux-gnu',
        '/usr/lib',
    ])
        if (fs.existsSync(path.join(folder, name))) return path.join(folder, name);
    throw new Error(`${name} is not there (package fiu-utils)`);
}

async function badClients(stage, until) {
    const seen = new Map();
    const requests = [
        stage.request({ token: 'a.b.c' }),
        stage.request({ token: `${stage.token()}x` }),
        stage.request({ token: null }),
        stage.request({ token: stage.token({ claims: { exp: 1000 } }) }),
    ];
    for (let i = 0; performance.now() < until(); i++) {
        let status;
        try {
            const wire = await Wire.open(stage.gate.port);
            wire.send(requests[i % requests.length]);
            status = await wire
                .answer({ timeoutMs: 3 * DEADLINE_MS })
                .then((answer) => answer.status);
            wire.close();
        } catch (error) {
            status = /timeout/.test(error.message) ? 'timeout' : 'broken';
        }
        seen.set(status, (seen.get(status) ?? 0) + 1);
    }
    return seen;
}

export async function run(report) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-fire-'));
    const { stage, close } = await openGate({
        policy: {
            audit: { file: path.join(folder, 'audit.log'), on_error: 'continue' },
            limits: { client_timeout: `${DEADLINE_MS}ms` },
            insecure: { no_sandbox: true }, // else the injector could not be spoken to
        },
        upstream: { response_timeout: `${DEADLINE_MS}ms` },
        env: {
            LD_PRELOAD: [
                findLibrary('fiu_run_preload.so'),
                findLibrary('fiu_posix_preload.so'),
            ].join(':'),
            FIU_CTRL_FIFO: path.join(folder, 'fiu'),
        },
    });
    const control = (...commands) =>
        spawnSync('fiu-ctrl', [
            '-f',
            path.join(folder, 'fiu'),
            ...commands.flatMap((c) => ['-c', c]),
            String(stage.gate.pid),
        ]);
    try {
        await measure(stage.gate.port, [numberedRequest(stage)], 1000);
        const fds = openFds(stage.gate.pid);
        const before = new GoodClients(stage.gate.port, [numberedRequest(stage)], {
            clients: 8,
            timeoutMs: 3 * DEADLINE_MS,
        });
        const { status } = control(
            ...FAILURE_POINTS.map((name) => `enable_random name=${name},probability=0.05`),
        );
        report.equal('fault injection: fiu-ctrl', 0, status);
        const end = performance.now() + FAULTY_MS;
        const bad = await badClients(stage, () => end);
        const during = await before.stop();
        control(...FAILURE_POINTS.map((name) => `disable name=${name}`));
        report.figure(
            'the daemon under faults',
            'lives',
            stage.gate.exit === null ? 'lives' : JSON.stringify(stage.gate.exit),
            stage.gate.exit === null,
        );
        report.equal('bad tokens that were let in', 0, bad.get(200) ?? 0);
        report.equal(
            'bad requests without an answer and without an end',
            0,
            bad.get('timeout') ?? 0,
        );
        report.note(`bad requests: ${[...bad].map(([what, n]) => `${what}: ${n}`).join(', ')}`);
        report.note(
            `good requests under faults: ${during.served} served, ${during.failures.length} failed`,
        );
        report.atLeast(
            'good requests that failed (or nothing was injected)',
            1,
            during.failures.length,
        );
        const unexpected = during.results.filter(
            ({ status: s }) => typeof s === 'number' && s < 500 && s !== 200 && s !== 408,
        );
        report.none(
            'good requests with an answer below 500 that is not 200',
            unexpected.map((r) => `${r.status}`),
        );
        await sleep(1500);
        const after = await measure(stage.gate.port, [numberedRequest(stage)], 2000);
        report.none('good requests that fail once it is over', after.failures, after.served);
        await eventually(() => openFds(stage.gate.pid) <= fds + 8, 'descriptors').catch(() => {});
        report.atMost('descriptors afterwards', fds + 8, openFds(stage.gate.pid));
    } finally {
        // the injector's thread takes signals as they come: there is no orderly end
        await stage.gate.kill();
        await close().catch(() => {});
        fs.rmSync(folder, { recursive: true });
    }
}
