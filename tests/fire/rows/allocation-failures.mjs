// SPDX-License-Identifier: Apache-2.0
// T32: each allocation of a start, of requests and of a reload fails once (and, for requests, all
// behind it too). Nothing crashes, nothing hangs, and a bad token is never let through.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { okJson } from '../../integration/lib/byte-upstream.mjs';
import { eventually, openFds, sleep } from '../../integration/lib/observe.mjs';
import { portcullisBinary } from '../../integration/lib/portcullis.mjs';
import { call, openStage, RESOURCE } from '../../integration/lib/stage.mjs';
import { Wire } from '../../integration/lib/wire.mjs';
import { Allocations } from '../lib/allocations.mjs';

export const row = 'T32';
export const title = 'every allocation fails once';
export const limitS = 3600; // some 14,000 starts

const AT_ONCE = 6;
const HANG_MS = 15_000;
const QUIET_MS = 8; // the audit log gathers its lines for so long
const AUDIT_RETRY_MS = 3000; // it is tried again every second
const BEFORE_MAIN = 5; // libraries that are loaded end the process without a word
const IN_A_ROW = 3; // so many runs in which nothing was left to fail are the end

const SSE =
    'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n';
const EVENT = 'data: {"jsonrpc":"2.0","method":"x"}\n\n';
const TOOLS = JSON.stringify({
    jsonrpc: '2.0',
    id: 1,
    result: { tools: ['echo', 'never', 'other'].map((name) => ({ name, inputSchema: {} })) },
});

/** A policy that has something of everything that is built or kept. */
const POLICY = {
    workers: 1,
    trusted_proxies: ['127.0.0.0/8'],
    session_secret: 's'.repeat(32),
};
const ROUTE = {
    scopes: ['mcp:use'],
    rules: [
        { tools: ['never'], allow: false },
        { tools: ['echo', 'a*'], scopes: ['mcp:use'] },
        { resources: ['doc://*'], permission: 'read:{name}' },
        { methods: ['*'], allow: true },
    ],
    identity: { 'X-User': 'sub' },
};

function respond(request, link) {
    if (request.method === 'GET') {
        link.send(SSE);
        const size = Buffer.byteLength(EVENT).toString(16);
        link.send(`${size}\r\n${EVENT}\r\n0\r\n\r\n`);
    } else if (request.body.includes('tools/list')) {
        link.send(okJson(TOOLS));
    } else {
        link.send(okJson('{"jsonrpc":"2.0","id":1,"result":{}}', ['Mcp-Session-Id: abc']));
    }
}

/** The status that came, or null for a connection that ended without a whole answer. */
async function statusOf(to, bytes, method, timeoutMs = HANG_MS) {
    let wire;
    try {
        wire = await Wire.open(to);
        wire.send(bytes);
        return (await wire.answer({ method, timeoutMs })).status;
    } catch (error) {
        if (/timeout/.test(error.message)) throw error;
        return null;
    } finally {
        wire?.close();
    }
}

/* ---- start-up: one process for each N ---- */

/**
 * Starts the daemon with its Nth allocation failing. What became of it: 'refused' (it ended by
 * itself,
 * with an error), 'served', or 'no failure' (there are fewer than N). Throws when it is none of
 * these.
 */
async function startOnce(stage, folder, n) {
    const allocations = new Allocations(path.join(folder, `control-${n}`));
    const socket = path.join(folder, `${n}.sock`);
    const file = path.join(folder, `${n}.json`);
    const audit = { file: path.join(folder, `${n}.log`) };
    const policy = stage.policy({ ...POLICY, audit, listen: `unix:${socket}`, admin: null });
    fs.writeFileSync(file, JSON.stringify(policy));
    allocations.failAt(n);
    const child = spawn(portcullisBinary(), ['serve', file], {
        env: { ...process.env, ...allocations.env },
        stdio: ['ignore', 'ignore', 'pipe'],
    });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
    let exit = null;
    child.once('close', (code, signal) => (exit = { code, signal }));
    const ended = () => exit !== null;
    try {
        const served = await eventually(
            async () => {
                if (ended()) return 'refused';
                const bad = await statusOf(socket, stage.request({ token: 'bad.bad.bad' }));
                if (bad === 200) throw new Error('a bad token was let through');
                if (bad !== 401) return null;
                const good = await statusOf(socket, stage.request());
                if (good === 401) return 'a good token was refused';
                return good === 200 && 'served';
            },
            'it serves or ends',
            { timeoutMs: HANG_MS },
        ).catch((error) => {
            throw new Error(`${error.message}: ${stderr.slice(-1000)}`);
        });
        if (served === 'served') {
            child.kill('SIGTERM');
            await eventually(ended, 'it ends', { timeoutMs: HANG_MS });
        }
        if (exit === null) throw new Error(`${served}: ${stderr.slice(-1000)}`);
        if (exit.signal !== null) throw new Error(`ended by ${exit.signal}: ${stderr.slice(-1000)}`);
        if (served === 'served' && exit.code !== 0)
            throw new Error(`served, then ended with ${exit.code}: ${stderr.slice(-1000)}`);
        if (served === 'refused' && exit.code !== 1 && exit.code !== 2)
            throw new Error(`refused to start with ${exit.code}: ${stderr.slice(-1000)}`);
        if (served === 'refused' && stderr === '' && n > BEFORE_MAIN)
            throw new Error('said nothing at its end');
        return allocations.failed === 0 ? 'no failure' : served;
    } finally {
        if (!ended()) child.kill('SIGKILL');
        allocations.close();
        for (const name of [`control-${n}`, `${n}.json`, `${n}.log`, `${n}.sock`])
            fs.rmSync(path.join(folder, name), { force: true });
    }
}

async function everyStart(report, { stride = 1, from = 1, limit = Infinity } = {}) {
    const stage = await openStage({ start: false, route: ROUTE });
    stage.upstream.respond = respond;
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-fire-'));
    const faults = [];
    const count = { refused: 0, served: 0, 'no failure': 0 };
    let next = from;
    const worker = async () => {
        while (count['no failure'] < IN_A_ROW && next <= limit) {
            const n = next;
            next += stride;
            try {
                count[await startOnce(stage, folder, n)]++;
            } catch (error) {
                faults.push(`N=${n}: ${error.message}`);
                if (faults.length > 40) return;
            }
            stage.upstream.forget();
            stage.upstream.respond = respond;
        }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    await stage.close();
    fs.rmSync(folder, { recursive: true });
    const runs = count.refused + count.served + faults.length;
    report.none('start-up: crash, hang, silent end, or a token judged wrongly', faults, runs);
    report.note(
        `start-up: ${count.refused} ended with an error, ${count.served} served all the same`,
    );
    report.atLeast('start-up: allocations that were made to fail', 500 / stride, runs);
}

/* ---- requests and reloads: one process, armed again and again ---- */

const KINDS = [
    ['a good request, known token', () => ({})],
    ['a good request, new token', (stage) => ({ token: stage.token({}) })],
    [
        'a good request, no idle upstream connection',
        (stage) => {
            for (const link of stage.upstream.links) link.socket.destroy();
            return {};
        },
    ],
    ['a call that a rule lets in', () => ({ body: call('tools/call', { name: 'echo' }) })],
    ['a list that is filtered', () => ({ body: call('tools/list') })],
    [
        'a session that begins',
        () => ({
            body: call('initialize', {
                protocolVersion: '2025-06-18',
                capabilities: {},
                clientInfo: { name: 'a', version: '1' },
            }),
        }),
    ],
    ['a stream', () => ({ method: 'GET', body: null })],
    ['a long head', () => ({ headers: [`X-Long: ${'l'.repeat(12_000)}`] })],
    ['a long body', () => ({ body: call('ping', { pad: 'p'.repeat(200_000) }) })],
];
const REFUSED = [
    ['no token', () => ({ token: null }), 401],
    ['a bad signature', (stage) => ({ token: badSignature(stage.token({})) }), 401],
    ['an expired token', (stage) => ({ token: stage.token({ claims: { exp: 1000 } }) }), 401],
    ['a foreign audience', (stage) => ({ token: stage.token({ claims: { aud: 'x' } }) }), 401],
    ['an unknown kid', (stage) => ({ token: stage.token({ header: { kid: 'nobody' } }) }), 401],
    ['a denied call', () => ({ body: call('tools/call', { name: 'never' }) }), 403],
    ['a body that is no JSON', () => ({ body: '{"jsonrpc":' }), 400],
    ['bytes that are no request', () => ({ host: 'a b' }), 400],
];

function badSignature(token) {
    const [header, payload, signature] = token.split('.');
    const other = signature[10] === 'A' ? 'B' : 'A';
    return `${header}.${payload}.${signature.slice(0, 10)}${other}${signature.slice(11)}`;
}

/** The status of a good request; when the audit log is what failed, after it was tried again. */
async function servesAgain(scene) {
    const { stage } = scene;
    const giveUp = performance.now() + AUDIT_RETRY_MS;
    let status = await statusOf(stage.gate.port, stage.request());
    if (status === 503) scene.waits++;
    while (status === 503 && performance.now() < giveUp) {
        await sleep(50);
        status = await statusOf(stage.gate.port, stage.request());
    }
    return status;
}

const lastReason = ({ stage }) => {
    const {
        reason,
        detail,
        stage: where,
    } = stage.gate.log.findLast((l) => l.event === 'request') ?? {};
    return [reason, where, detail].filter(Boolean).join(', ');
};

/**
 * Arms one failure after the other while RUN() is done; RUN gives a text that says what is wrong.
 */
async function everyAllocation(scene, run, { lasting, stride = 1 }) {
    const result = { runs: 0, faults: [] };
    let silent = 0;
    for (let n = 1; silent < IN_A_ROW; n += stride) {
        await sleep(QUIET_MS);
        scene.allocations.failAt(n, { lasting });
        let wrong;
        try {
            wrong = await run();
        } catch (error) {
            wrong = error.message;
        }
        await sleep(QUIET_MS);
        const failed = scene.allocations.stop();
        silent = failed === 0 ? silent + 1 : 0;
        if (failed > 0) result.runs++;
        if (wrong) result.faults.push(`N=${n}: ${wrong}`);
        if (scene.stage.gate.exit)
            throw new Error(
                `N=${n}: the process ended: ${JSON.stringify(scene.stage.gate.exit)} ` +
                    scene.stage.gate.stderr.slice(-800),
            );
        const after = await servesAgain(scene);
        if (after !== 200) result.faults.push(`N=${n}: the next good request got ${after}`);
        if (scene.stage.upstream.requests.length > 500) {
            scene.stage.upstream.requests = [];
            scene.stage.upstream.links = scene.stage.upstream.links.filter(
                (link) => !link.socket.destroyed,
            );
        }
        if (result.faults.length > 20) break;
    }
    return result;
}

async function everyRequest(report, scene, stride, lasting) {
    const { stage } = scene;
    const isFault = (status) => status === null || status >= 500;
    const total = { good: 0, refused: 0 };
    const faults = { good: [], refused: [] };
    const rows = [
        ...KINDS.map(([what, make]) => ['good', what, make, 200]),
        ...REFUSED.map(([what, make, status]) => ['refused', what, make, status]),
    ];
    const how = lasting ? ', with all behind it' : '';
    for (const [kind, what, make, wanted] of rows) {
        const before = performance.now();
        const result = await everyAllocation(
            scene,
            async () => {
                const options = make(stage);
                const bytes = stage.request(options);
                const status = await statusOf(stage.gate.port, bytes, options.method);
                return status === wanted || isFault(status)
                    ? null
                    : `status ${status}, ${lastReason(scene)}`;
            },
            { lasting, stride },
        );
        total[kind] += result.runs;
        faults[kind].push(...result.faults.map((fault) => `${what}: ${fault}`));
        const took = ((performance.now() - before) / 1000).toFixed(1);
        report.note(`${what}${how}: ${result.runs} in ${took} s`);
    }
    report.none(
        `good requests${how}: crash, hang, or an answer that is neither 200 nor 5xx`,
        faults.good,
        total.good,
    );
    report.none(
        `refused requests${how}: crash, hang, or let through`,
        faults.refused,
        total.refused,
    );
}

async function everyReload(report, scene, stride) {
    const { stage } = scene;
    const isEnd = ({ event }) => event === 'reloaded' || event === 'reload_failed';
    const counts = { reloaded: 0, reload_failed: 0, silent: 0 };
    const result = await everyAllocation(
        scene,
        async () => {
            const from = stage.gate.log.length;
            stage.gate.reload(stage.policy());
            const line = await stage.gate.logged(isEnd, 'the end of the reload', {
                from,
                timeoutMs: HANG_MS,
            });
            counts[line.event]++;
            return null;
        },
        { lasting: false, stride },
    );
    report.none(
        'reloads: crash, hang, or a good request that fails behind it',
        result.faults,
        result.runs,
    );
    report.note(
        `reloads: ${counts.reloaded} took over, ${counts.reload_failed} kept the old policy`,
    );
}

/** LASTING goes without an audit log: it would refuse calls for the second until it tries again. */
async function withDaemon(report, stride, lasting) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-fire-'));
    const allocations = new Allocations(path.join(folder, 'control'));
    const audit = lasting ? null : { file: path.join(folder, 'audit.log') };
    const stage = await openStage({
        policy: { ...POLICY, audit, jwks: { unknown_kid_cooldown: '1s', timeout: '500ms' } },
        route: ROUTE,
        env: allocations.env,
    });
    stage.upstream.respond = respond;
    const scene = { stage, allocations, waits: 0 };
    try {
        for (let i = 0; i < 20; i++) await statusOf(stage.gate.port, stage.request());
        const fds = openFds(stage.gate.pid);
        await everyRequest(report, scene, stride, lasting);
        if (!lasting) await everyReload(report, scene, stride);
        const settled = await eventually(
            () => openFds(stage.gate.pid) <= fds + 2,
            'descriptors as before',
            { timeoutMs: 5000 },
        ).catch(() => false);
        report.figure('descriptors afterwards', `<= ${fds} + 2`, openFds(stage.gate.pid), settled);
        if (audit)
            report.note(
                `after ${scene.waits} failures the audit log was out of order for a moment`,
            );
        const metrics = await stage.metrics();
        report.equal('streams open afterwards', 0, metrics.sum('portcullis_open_streams'));
        await stage.gate.stop();
        report.figure('the end', 'status 0', 'status 0', true);
    } finally {
        if (stage.gate.exit === null) await stage.gate.kill();
        await stage.close();
        allocations.close();
        fs.rmSync(folder, { recursive: true });
    }
}

export async function run(
    report,
    { stride = 1, parts = ['requests', 'lasting', 'start'], ...range } = {},
) {
    if (parts.includes('requests')) await withDaemon(report, stride, false);
    if (parts.includes('lasting')) await withDaemon(report, stride, true);
    if (parts.includes('start')) await everyStart(report, { stride, ...range });
}
