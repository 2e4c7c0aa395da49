// SPDX-License-Identifier: Apache-2.0
// How the daemon starts, what it listens on, what it does when descriptors run out (T15), and how
// it ends: nothing that is under way is lost (T23).
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { okJson } from './lib/byte-upstream.mjs';
import { cpuSeconds, eventually, openFds, rounds, sleep } from './lib/observe.mjs';
import { portcullisBinary } from './lib/portcullis.mjs';
import { freePort } from './lib/ports.mjs';
import { call, openStage } from './lib/stage.mjs';
import { BrokenAnswer, Wire } from './lib/wire.mjs';

const SSE = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n';

async function askAt(stage, to, options) {
    const wire = await Wire.open(to);
    wire.send(stage.request(options));
    const answer = await wire.answer();
    wire.close();
    return answer;
}

const refusesConnections = (port) =>
    Wire.open(port).then(
        (wire) => {
            wire.close();
            return false;
        },
        (error) => error.code === 'ECONNREFUSED',
    );

describe('listeners', () => {
    test('a unix socket and two ports serve the same routes', async () => {
        const ports = [await freePort(), await freePort()];
        const stage = await openStage({ start: false });
        const socket = path.join(stage.folder, 'gate.sock');
        try {
            await stage.start({
                listen: [`unix:${socket}`, ...ports.map((port) => `127.0.0.1:${port}`)],
            });
            for (const to of [socket, ...ports]) {
                assert.equal((await askAt(stage, to)).status, 200, `${to}`);
                assert.equal((await askAt(stage, to, { token: null })).status, 401, `${to}`);
            }
            const viaSocket = stage.upstream.requests[0];
            assert.equal(viaSocket.all('x-forwarded-for').length <= 1, true);
            await stage.gate.stop();
            assert.ok(!fs.existsSync(socket), 'the socket file is gone');
        } finally {
            await stage.close();
        }
    });

    test('a socket file that a killed daemon left does not stop the next one', async () => {
        const stage = await openStage({ start: false });
        const socket = path.join(stage.folder, 'gate.sock');
        try {
            await stage.start({ listen: `unix:${socket}` });
            await stage.gate.kill();
            assert.ok(fs.existsSync(socket), 'kill -9 leaves the file');
            await stage.start({ listen: `unix:${socket}` });
            assert.equal((await askAt(stage, socket)).status, 200);
        } finally {
            await stage.close();
        }
    });

    test('an object with an address is a listener, IPv6 too', async () => {
        const port = await freePort();
        const stage = await openStage({ start: false });
        try {
            await stage.start({ listen: { address: `[::1]:${port}` } });
            const wire = await Wire.open(port, { host: '::1' });
            wire.send(stage.request());
            assert.equal((await wire.answer()).status, 200);
            assert.deepEqual(stage.upstream.last.all('x-forwarded-for'), ['::1']);
            wire.close();
        } finally {
            await stage.close();
        }
    });

    test('without an admin address there is none, and the rest works', async () => {
        const port = await freePort();
        const stage = await openStage({ start: false });
        try {
            await stage.start({ admin: null, listen: `127.0.0.1:${port}` }, { ready: false });
            await eventually(async () => (await askAt(stage, port)).status === 200, 'it serves');
        } finally {
            await stage.close();
        }
    });
});

describe('standard error', () => {
    // A daemon whose stderr is a pipe of ours, not read by anybody unless we do.
    async function withChild(run) {
        const stage = await openStage({ start: false });
        const [port, adminPort] = [await freePort(), await freePort()];
        const policy = stage.policy({
            listen: `127.0.0.1:${port}`,
            admin: `127.0.0.1:${adminPort}`,
        });
        const file = path.join(stage.folder, 'policy.json');
        fs.writeFileSync(file, JSON.stringify(policy));
        const child = spawn(portcullisBinary(), ['serve', file], {
            stdio: ['ignore', 'ignore', 'pipe'],
        });
        const ended = once(child, 'exit');
        const admin = (target) => fetch(`http://127.0.0.1:${adminPort}${target}`);
        try {
            await eventually(async () => (await admin('/readyz')).status === 200, 'ready');
            await run({ stage, port, child, admin });
            child.kill('SIGTERM');
            assert.deepEqual(await ended, [0, null]);
        } finally {
            child.kill('SIGKILL');
            await stage.close();
        }
    }

    test('that nobody reads any more does not kill it', () =>
        withChild(async ({ stage, port, child }) => {
            child.stderr.destroy();
            for (let i = 0; i < 50; i++) assert.equal((await askAt(stage, port)).status, 200);
        }));

    test('that is full does not hold it up, and lost lines are counted', () =>
        withChild(async ({ stage, port, child, admin }) => {
            const wire = await Wire.open(port);
            const line = stage.request({ token: null, target: `/mcp?${'q'.repeat(100)}` });
            const lost = async () =>
                Number(
                    /^portcullis_log_lines_lost_total (\d+)$/m.exec(
                        await (await admin('/metrics')).text(),
                    )[1],
                );
            for (let i = 0; i < 200 && (await lost()) === 0; i++) {
                wire.send(Buffer.concat(Array(50).fill(line)));
                for (let n = 0; n < 50; n++) assert.equal((await wire.answer()).status, 401);
            }
            assert.ok((await lost()) > 0, 'no line was lost');
            child.stderr.resume();
            wire.close();
        }));

    test('closed from the start is no reason not to start', async () => {
        const stage = await openStage({ prelude: 'exec 2>&-' });
        try {
            for (let i = 0; i < 5; i++) assert.equal((await stage.ask({})).status, 200);
            assert.equal(
                stage.upstream.bytes,
                stage.upstream.requests.reduce(
                    (sum, request) => sum + request.head.length + 4 + request.body.length,
                    0,
                ),
                'log lines went upstream',
            );
        } finally {
            await stage.close();
        }
    });
});

describe('no descriptors left (T15)', () => {
    for (const [what, limits] of [
        ['the derived limit of connections', {}],
        ['a limit of connections that is too high', { connections: 1000 }],
    ])
        test(`200 clients with 64 descriptors: no busy loop, and it recovers (${what})`, async (t) => {
            const stage = await openStage({
                prelude: 'ulimit -n 64',
                policy: { workers: 1, limits },
            });
            const crowd = [];
            try {
                assert.equal((await stage.ask({})).status, 200);
                for (let i = 0; i < 200; i++)
                    crowd.push(net.connect(stage.gate.port, '127.0.0.1').on('error', () => {}));
                for (const socket of crowd) socket.write(stage.request());
                await sleep(500);
                assert.ok(openFds(stage.gate.pid) <= 64);
                const start = cpuSeconds(stage.gate.pid);
                await sleep(2000);
                const share = ((cpuSeconds(stage.gate.pid) - start) / 2) * 100;
                t.diagnostic(`${share.toFixed(1)} % CPU while full`);
                assert.ok(share < 30, `${share.toFixed(1)} % CPU: a busy loop`);
                for (const socket of crowd) socket.destroy();
                const released = performance.now();
                await eventually(
                    async () => (await stage.ask({})).status === 200,
                    'it serves again',
                );
                t.diagnostic(
                    `served ${(performance.now() - released).toFixed(0)} ms after the release`,
                );
            } finally {
                for (const socket of crowd) socket.destroy();
                await stage.close();
            }
        });
});

describe('the end', () => {
    // A stage of its own for each test: it does not survive.
    const ending = (name, options, run) =>
        test(name, async (t) => {
            const stage = await openStage(options);
            try {
                await run(stage, t);
            } finally {
                await stage.close();
            }
        });

    ending('an idle daemon ends at once on SIGTERM and on SIGINT', {}, async (stage) => {
        const wire = await stage.wire(); // an idle keep-alive connection does not hold it
        wire.send(stage.request());
        await wire.answer();
        stage.gate.signal('SIGTERM');
        assert.deepEqual(await stage.gate.exited, { code: 0, signal: null });
        await wire.drainToEnd();
        wire.close();
        await stage.start();
        stage.gate.signal('SIGINT');
        assert.deepEqual(await stage.gate.exited, { code: 0, signal: null });
    });

    ending(
        'SIGTERM with requests and streams under way: 0 fail, exit 0 (T23)',
        {},
        async (stage, t) => {
            const CALLS = rounds(200);
            const STREAMS = rounds(50);
            const held = [];
            stage.upstream.respond = (request, link) => {
                if (request.method === 'POST') held.push([request, link]);
                else link.send(`${SSE}data: 1\n\n`);
            };
            const calls = await Promise.all(
                Array.from({ length: CALLS }, async (_, id) => {
                    const wire = await stage.wire();
                    wire.send(stage.request({ body: call('ping', {}, id) }));
                    return wire;
                }),
            );
            const streams = await Promise.all(
                Array.from({ length: STREAMS }, async () => {
                    const wire = await stage.wire();
                    wire.send(stage.request({ method: 'GET', body: null }));
                    await wire.head({ method: 'GET' });
                    await wire.part();
                    return wire;
                }),
            );
            await eventually(() => held.length === CALLS, 'all calls are under way');

            stage.gate.signal('SIGTERM');
            await eventually(
                () => refusesConnections(stage.gate.port),
                'new connections are refused',
            );
            assert.equal(stage.gate.exit, null, 'it waits for what is under way');
            for (const [request, link] of held) link.send(okJson(request.body.toString()));
            const results = await Promise.allSettled(
                calls.map(async (wire, id) => {
                    const answer = await wire.answer();
                    assert.equal(answer.status, 200);
                    assert.equal(answer.json.id, id);
                    assert.equal(answer.get('connection')?.toLowerCase(), 'close');
                }),
            );
            assert.deepEqual(
                results.filter((r) => r.status === 'rejected').map((r) => r.reason.message),
                [],
            );
            // a GET stream may always end (the client opens a new one, elsewhere): in order, not
            // broken
            for (const wire of streams) assert.equal((await wire.body()).length, 0);
            const start = performance.now();
            assert.deepEqual(await stage.gate.exited, { code: 0, signal: null });
            t.diagnostic(
                `ended ${(performance.now() - start).toFixed(0)} ms after the last answer`,
            );
        },
    );

    ending('a request that was sent before the signal is answered', {}, async (stage) => {
        const kept = await stage.wire();
        kept.send(stage.request());
        assert.equal((await kept.answer()).status, 200);
        // the daemon sleeps while these requests and then the signal come
        stage.gate.signal('SIGSTOP');
        const fresh = await Promise.all(Array.from({ length: 5 }, () => stage.wire()));
        for (const wire of [kept, ...fresh]) await wire.send(stage.request());
        stage.gate.signal('SIGTERM');
        stage.gate.signal('SIGCONT');
        for (const wire of [kept, ...fresh]) {
            assert.equal((await wire.answer()).status, 200);
            await wire.drainToEnd();
        }
        assert.deepEqual(await stage.gate.exited, { code: 0, signal: null });
    });

    ending('a streamed answer to a POST is carried to its end', {}, async (stage) => {
        stage.upstream.respond = (request, link) => link.send(SSE);
        const wire = await stage.wire();
        wire.send(stage.request());
        await wire.head();
        stage.gate.signal('SIGTERM');
        await eventually(() => refusesConnections(stage.gate.port), 'it drains');
        for (let i = 0; i < 5; i++) {
            await stage.upstream.last.link.send(`data: ${i}\n\n`);
            assert.equal((await wire.part()).toString(), `data: ${i}\n\n`);
        }
        stage.upstream.last.link.end();
        assert.equal(await wire.part(), null);
        assert.deepEqual(await stage.gate.exited, { code: 0, signal: null });
    });

    ending('not ready while it drains, but alive', {}, async (stage) => {
        stage.upstream.respond = () => {};
        const wire = await stage.wire();
        wire.send(stage.request());
        await eventually(() => stage.upstream.last, 'the request is there');
        stage.gate.signal('SIGTERM');
        await eventually(
            async () => (await fetch(stage.gate.adminUrl('/readyz'))).status === 503,
            '/readyz',
        );
        assert.equal((await fetch(stage.gate.adminUrl('/healthz'))).status, 200);
        stage.upstream.last.link.send(okJson('{}'));
        assert.equal((await wire.answer()).status, 200);
        assert.deepEqual(await stage.gate.exited, { code: 0, signal: null });
    });

    const SHORT = { policy: { limits: { drain_timeout: '500ms' } } };
    ending(
        'what does not end is cut at drain_timeout, visibly, and the exit is clean',
        SHORT,
        async (stage) => {
            stage.upstream.respond = (request, link) => link.send(`${SSE}data: 1\n\n`);
            const wire = await stage.wire();
            wire.send(stage.request());
            await wire.head();
            await wire.part();
            stage.gate.signal('SIGTERM');
            await assert.rejects(wire.part(), BrokenAnswer);
            assert.deepEqual(await stage.gate.exited, { code: 0, signal: null });
            await stage.upstream.last.link.closed;
        },
    );

    ending('a second signal ends it at once', {}, async (stage) => {
        stage.upstream.respond = () => {};
        const wire = await stage.wire();
        wire.send(stage.request());
        await eventually(() => stage.upstream.last, 'the request is there');
        stage.gate.signal('SIGTERM');
        await eventually(() => refusesConnections(stage.gate.port), 'it drains');
        assert.equal(stage.gate.exit, null);
        const start = performance.now();
        stage.gate.signal('SIGTERM');
        const exit = await stage.gate.exited;
        assert.ok(performance.now() - start < 15_000, 'at once, not after drain_timeout (30 s)');
        assert.ok(exit.code === 0 || exit.code === 1, JSON.stringify(exit));
        await assert.rejects(wire.answer(), BrokenAnswer);
    });

    ending('signals in a row do not confuse it', {}, async (stage) => {
        for (let i = 0; i < 20; i++) stage.gate.signal('SIGHUP');
        assert.equal((await stage.ask({})).status, 200);
        stage.gate.signal('SIGHUP');
        stage.gate.signal('SIGTERM');
        stage.gate.signal('SIGHUP');
        assert.deepEqual(await stage.gate.exited, { code: 0, signal: null });
    });
});
