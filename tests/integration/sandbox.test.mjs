// SPDX-License-Identifier: Apache-2.0
// The real daemon inside its sandbox: what the kernel says about it (T37; what it cannot do is tried
// in tests/unit/ops/test_sandbox.c), what it can still do, and reloads that would need more.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';

import { ByteUpstream } from './lib/byte-upstream.mjs';
import { eventually, SANITIZED } from './lib/observe.mjs';
import { runPortcullis } from './lib/portcullis.mjs';
import { openStage, RESOURCE } from './lib/stage.mjs';

const asRoot = process.getuid() === 0 ? {} : { skip: 'needs root' };
const locked = SANITIZED ? { skip: 'a sanitizer needs more of the system' } : {};
const SANDBOX = { insecure: { no_sandbox: false } }; // also where the tests go without: portcullis.mjs

/** What the kernel says about the process and each of its threads. */
function statuses(pid) {
    return fs.readdirSync(`/proc/${pid}/task`).map((thread) => {
        const text = fs.readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8');
        return Object.fromEntries(text.split('\n').map((line) => line.split(/:\s*/)));
    });
}

const stageTest = (name, settings, options, run) =>
    test(name, settings, async (t) => {
        const stage = await openStage({ policy: SANDBOX, ...options });
        try {
            await run(stage, t);
        } finally {
            await stage.close();
        }
    });

const event = (stage, name) => stage.gate.log.find((line) => line.event === name);

/** Reloads POLICY and returns the lines that it led to, with its outcome as the last one. */
async function reload(stage, policy) {
    const from = stage.gate.log.length;
    stage.gate.reload(policy);
    const over = (line) => ['reloaded', 'reload_failed'].includes(line.event);
    await stage.gate.logged(over, 'the reload is over', { from });
    const lines = stage.gate.log.slice(from);
    return lines.slice(0, lines.findIndex(over) + 1);
}

describe('the sandbox', () => {
    stageTest('is in force in every thread, and the log says so', locked, {}, async (stage) => {
        assert.equal((await stage.ask()).status, 200);
        const all = statuses(stage.gate.pid);
        assert.ok(all.length > 1);
        for (const status of all) {
            assert.equal(status.NoNewPrivs, '1');
            assert.equal(status.Seccomp, '2');
            for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'])
                assert.equal(status[set], '0000000000000000', set);
            if (process.getuid() === 0) assert.equal(status.CapBnd, '0000000000000000');
        }
        const limits = fs.readFileSync(`/proc/${stage.gate.pid}/limits`, 'utf8');
        assert.match(limits, /^Max core file size +0 +0/m);
        // not dumpable: its files in /proc are root's, whoever it runs as
        const line = event(stage, 'sandbox');
        for (const name of ['no_new_privs', 'no_capabilities', 'no_dumps', 'seccomp'])
            assert.equal(line[name], true, name);
        assert.equal(typeof line.landlock_abi, 'number');
        const missing = stage.gate.log.filter((l) => l.event === 'sandbox_incomplete');
        const parts = ['files', 'tcp', 'scopes'].filter((name) => !line[name]);
        assert.deepEqual(missing.map((l) => l.missing), parts.map((name) => `landlock ${name}`));
        if (line.landlock_abi >= 6) assert.deepEqual(parts, []);
    });

    stageTest(
        'can be switched off, which every start says',
        {},
        { policy: { insecure: { no_sandbox: true } } },
        async (stage) => {
            assert.equal((await stage.ask()).status, 200);
            assert.equal(statuses(stage.gate.pid)[0].Seccomp, '0');
            assert.equal(event(stage, 'sandbox'), undefined);
            assert.equal(event(stage, 'insecure_switch_is_on').switch, 'no_sandbox');
        },
    );

    stageTest('lets names be looked up', {}, { start: false }, async (stage) => {
        const upstream = stage.upstreamUrl.replace('127.0.0.1', 'localhost');
        await stage.start({ routes: [{ resource: RESOURCE, upstream }] });
        assert.equal((await stage.ask()).status, 200);
    });

    // The kernel is asked what a reader has not taken, which the filter of system calls has to let pass.
    stageTest(
        'knows slow readers from those that read nothing',
        locked,
        { start: false },
        async (stage) => {
            const BIG = 256 * 1024 * 1024;
            const block = Buffer.alloc(1024 * 1024);
            stage.upstream.respond = async (request, link) => {
                await link.send(`HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: ${BIG}\r\n\r\n`);
                for (let sent = 0; sent < BIG && !link.socket.destroyed; sent += block.length)
                    await link.send(block);
            };
            await stage.start({ limits: { client_timeout: '1s', min_rate: '16KiB' } });
            const sockets = [0, 1].map(() => net.connect(stage.gate.port, '127.0.0.1'));
            const [reader] = sockets;
            const open = async () => (await stage.metrics()).sum('portcullis_open_streams');
            let reading;
            try {
                for (const socket of sockets) {
                    socket.on('error', () => {}).pause();
                    socket.write(stage.request());
                }
                await eventually(async () => (await open()) === 2, 'both are streams');
                reading = setInterval(() => reader.read(64 * 1024) ?? reader.read(), 100);
                await eventually(async () => (await open()) === 1, 'one is cut off');
                await new Promise((resolve) => setTimeout(resolve, 3500)); // three times its time
                assert.equal(await open(), 1, 'the one that reads is still there');
                assert.equal(reader.readableEnded, false);
            } finally {
                clearInterval(reading);
                for (const socket of sockets) socket.destroy();
            }
            assert.equal(event(stage, 'readers_unmeasured'), undefined);
        },
    );

    stageTest('keeps the limit of descriptors raised', {}, { prelude: 'ulimit -S -n 200' }, async (stage) => {
        const limits = fs.readFileSync(`/proc/${stage.gate.pid}/limits`, 'utf8');
        const [, soft, hard] = /^Max open files +(\d+) +(\d+)/m.exec(limits);
        assert.equal(soft, hard);
    });
});

describe('user', () => {
    const open = (stage) => fs.chmodSync(stage.folder, 0o755);

    test('is who it becomes, without any group but its own', asRoot, async () => {
        const stage = await openStage({ start: false });
        open(stage);
        try {
            await stage.start({ ...SANDBOX, user: 'nobody' });
            assert.equal((await stage.ask()).status, 200);
            if (SANITIZED) return;
            const nobody = /^nobody:[^:]*:(\d+):(\d+):/m.exec(fs.readFileSync('/etc/passwd', 'utf8'));
            for (const status of statuses(stage.gate.pid)) {
                assert.deepEqual(status.Uid.split('\t'), Array(4).fill(nobody[1]));
                assert.deepEqual(status.Gid.split('\t'), Array(4).fill(nobody[2]));
                assert.equal(status.Groups.trim(), '');
                assert.equal(status.CapEff, '0000000000000000');
            }
            assert.equal(event(stage, 'runs_as_root'), undefined);
            // its own folder of the policy is root's alone
            assert.equal(event(stage, 'reload_will_fail').file, stage.gate.policyFile);
        } finally {
            await stage.close();
        }
    });

    test('that can read its files reloads them', { ...asRoot }, async () => {
        const stage = await openStage({ start: false });
        try {
            await stage.start({ ...SANDBOX, user: 'nobody:nogroup' });
            fs.chmodSync(path.dirname(stage.gate.policyFile), 0o755);
            const lines = await reload(stage, stage.policy({ ...SANDBOX, user: 'nobody:nogroup' }));
            assert.equal(lines.at(-1).event, 'reloaded');
            const changed = await reload(stage, stage.policy(SANDBOX));
            assert.equal(event({ gate: { log: changed } }, 'reload_needs_restart').pointer, '/user');
        } finally {
            await stage.close();
        }
    });

    test('that does not exist is an error at the start', asRoot, async () => {
        const stage = await openStage({ start: false });
        try {
            const file = path.join(stage.folder, 'policy.json');
            const policy = stage.policy({ user: 'no-such-user', listen: 'unix:/tmp/x', admin: null });
            policy.listen = `unix:${path.join(stage.folder, 'sock')}`;
            fs.writeFileSync(file, JSON.stringify(policy));
            const { code, stderr } = await runPortcullis(['serve', file]);
            assert.equal(code, 1);
            assert.match(stderr, /"user_failed".*there is no such user or group/);
        } finally {
            await stage.close();
        }
    });

    stageTest('root without one is told', asRoot, {}, async (stage) => {
        assert.equal(event(stage, 'runs_as_root').level, 'warn');
    });
});

describe('a reload', () => {
    stageTest('to a port that was not in the policy is refused, and the old one stays', locked, {}, async (stage) => {
        const other = await ByteUpstream.open();
        try {
            const upstream = `http://127.0.0.1:${other.port}/mcp`;
            const lines = await reload(stage, stage.policy({ routes: [{ resource: RESOURCE, upstream }] }));
            const line = lines.find((l) => l.event === 'reload_needs_restart');
            assert.equal(line.pointer, '/routes/0/upstream');
            assert.equal(line.level, 'error');
            assert.equal(lines.at(-1).event, 'reload_failed');
            assert.equal((await stage.ask()).status, 200);
            assert.equal(other.requests.length, 0);
        } finally {
            await other.close();
        }
    });

    stageTest('to another path on the same port is none of its business', {}, {}, async (stage) => {
        const upstream = stage.upstreamUrl.replace(/\/mcp$/, '/other');
        const lines = await reload(stage, stage.policy({ routes: [{ resource: RESOURCE, upstream }] }));
        assert.equal(lines.at(-1).event, 'reloaded');
        await eventually(async () => {
            await stage.ask();
            return stage.upstream.last.target === '/other';
        }, 'the new path');
    });

    stageTest('with an issuer on another port is refused', locked, {}, async (stage) => {
        const issuers = {
            tenant: stage.tenant.policy,
            more: { issuer: 'http://127.0.0.1:9/', jwks_uri: 'http://127.0.0.1:9/jwks' },
        };
        const lines = await reload(stage, stage.policy({ issuers }));
        assert.equal(lines.at(-1).event, 'reload_failed');
        const line = lines.find((l) => l.event === 'reload_needs_restart');
        assert.equal(line.pointer, '/issuers/more');
    });

    stageTest('reads files that were replaced by renaming', {}, { start: false }, async (stage) => {
        const key = path.join(stage.folder, 'key');
        const routes = (file) => [
            {
                resource: RESOURCE,
                upstream: { url: stage.upstreamUrl, headers: { 'X-Key': `$file(${file})` } },
            },
        ];
        fs.writeFileSync(key, 'one');
        await stage.start({ routes: routes(key) });
        fs.writeFileSync(`${key}.new`, 'two');
        fs.renameSync(`${key}.new`, key);
        const lines = await reload(stage, stage.policy({ routes: routes(key) }));
        assert.equal(lines.at(-1).event, 'reloaded');
        await eventually(async () => {
            await stage.ask();
            return stage.upstream.last.all('x-key')[0] === 'two';
        }, 'the new key');
    });

    const anew = 'from a folder that was made anew is refused, and the log names it';
    stageTest(anew, locked, { start: false }, async (stage) => {
        const folder = path.join(stage.folder, 'keys');
        const key = path.join(folder, 'key');
        const upstream = { url: stage.upstreamUrl, headers: { 'X-Key': `$file(${key})` } };
        const routes = [{ resource: RESOURCE, upstream }];
        fs.mkdirSync(folder);
        fs.writeFileSync(key, 'one');
        await stage.start({ routes });
        fs.renameSync(folder, `${folder}.old`);
        fs.mkdirSync(folder);
        fs.writeFileSync(key, 'two');
        const lines = await reload(stage, stage.policy({ routes }));
        assert.equal(lines.at(-1).event, 'reload_failed');
        assert.equal(lines.find((l) => l.event === 'reload_needs_restart').file, key);
    });

    stageTest('with a file in another folder is refused, and the log names it', locked, {}, async (stage) => {
        const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-elsewhere-'));
        const file = path.join(folder, 'key');
        fs.writeFileSync(file, 'one');
        try {
            const upstream = { url: stage.upstreamUrl, headers: { 'X-Key': `$file(${file})` } };
            const lines = await reload(stage, stage.policy({ routes: [{ resource: RESOURCE, upstream }] }));
            assert.equal(lines.at(-1).event, 'reload_failed');
            const line = lines.find((l) => l.event === 'reload_needs_restart');
            assert.equal(line.file, file);
            assert.equal(
                lines.find((l) => l.event === 'policy_error').pointer,
                '/routes/0/upstream/headers/X-Key',
            );
        } finally {
            fs.rmSync(folder, { recursive: true });
        }
    });
});
