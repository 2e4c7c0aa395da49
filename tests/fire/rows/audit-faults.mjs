// SPDX-License-Identifier: Apache-2.0
// T25: the audit log cannot be written: a full file system, /dev/full, a pipe whose reader has
// stopped; and it is rotated under load. Calls are refused or go on, as the policy chose, nobody
// waits for the log, and what is in it is a chain.
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { eventually, sleep } from '../../integration/lib/observe.mjs';
import { portcullisBinary } from '../../integration/lib/portcullis.mjs';
import { numberedRequest, openGate } from '../lib/gate.mjs';
import { GoodClients, measure } from '../lib/good-clients.mjs';
import { isInside } from '../lib/namespace.mjs';

export const row = 'T25';
export const title = 'an audit log that cannot be written';

const PACE = { clients: 4, paceMs: 2 };
const BLOCKED_MS = 10; // nothing may block the loop for longer; what the machine adds is measured

const verify = (...files) =>
    spawnSync(portcullisBinary(), ['audit', 'verify', ...files], { encoding: 'utf8' });

/** What clients see while FAULT(stage, file) is done and then undone by the function it returns. */
async function whileFailing(report, { what, file, onError, fault, quietMs }) {
    const audit = { file, on_error: onError };
    const { stage, close } = await openGate({ policy: { audit, workers: 1 } });
    const failing = async () => (await stage.metrics()).sum('portcullis_audit_failing') === 1;
    const name = `${what}, ${onError}`;
    try {
        const before = new GoodClients(stage.gate.port, [numberedRequest(stage)], PACE);
        const undo = await fault(stage, file);
        await eventually(failing, 'the log fails');
        await before.stop();
        const during = await measure(stage.gate.port, [numberedRequest(stage)], 1500, PACE);
        const others = during.results.filter(({ status }) => status !== 503 && status !== 200);
        report.none(`${name}: answers that are neither 200 nor 503`, others, during.results.length);
        const refused = during.results.filter(({ status }) => status === 503).length;
        const asChosen = onError === 'refuse' ? during.served === 0 : refused === 0;
        report.figure(
            `${name}: calls`,
            onError === 'refuse' ? 'all refused' : 'all pass',
            `${refused} refused, ${during.served} passed`,
            asChosen,
        );
        const times = during.results.map(({ start, end }) => end - start);
        report.atMost(
            `${name}: longest answer (${quietMs.toFixed(1)} ms without a fault)`,
            Number((quietMs + BLOCKED_MS).toFixed(1)),
            Math.max(...times),
            ' ms',
        );
        await undo?.();
        if (undo) {
            await eventually(async () => !(await failing()), 'the log works again');
            const after = await measure(stage.gate.port, [numberedRequest(stage)], 500, PACE);
            report.none(
                `${name}: calls that fail once it works again`,
                after.failures,
                after.served,
            );
        }
    } finally {
        await close();
    }
}

/** Fills the file system that FILE is on; gives what makes room again. */
function fillUp(file) {
    const filler = path.join(path.dirname(file), 'filler');
    const fd = fs.openSync(filler, 'w');
    try {
        for (;;) fs.writeSync(fd, Buffer.alloc(4096));
    } catch {
        fs.closeSync(fd);
    }
    return () => fs.rmSync(filler);
}

/** The clients' calls fill what is left of the last block. */
async function waitFull(stage, file) {
    return fillUp(file);
}

function stopReader(fifo) {
    const reader = spawn('cat', [fifo], { stdio: ['ignore', 'ignore', 'inherit'] });
    return {
        stop: () => reader.kill('SIGSTOP'),
        go: () => reader.kill('SIGCONT'),
        end: () => reader.kill('SIGKILL'),
    };
}

async function rotate(report, folder) {
    const file = path.join(folder, 'rotated.log');
    const { stage, close } = await openGate({ policy: { audit: { file } } });
    const files = [];
    let result;
    try {
        const clients = new GoodClients(stage.gate.port, [numberedRequest(stage)], { clients: 8 });
        for (let i = 0; i < 10; i++) {
            await sleep(200);
            files.push(`${file}.${i}`);
            fs.renameSync(file, files.at(-1));
            stage.gate.signal('SIGHUP');
            await eventually(() => fs.existsSync(file), 'a new file');
        }
        result = await clients.stop();
    } finally {
        await close();
    }
    report.none('rotation: calls that failed', result.failures, result.served);
    const { status, stdout, stderr } = verify(...files, file);
    report.figure(
        'rotation: chain over 11 files',
        'holds',
        status === 0 ? 'holds' : stderr,
        status === 0,
    );
    const lines = [...files, file].reduce(
        (sum, name) => sum + fs.readFileSync(name, 'utf8').split('\n').length - 1,
        0,
    );
    report.equal('rotation: lines', result.results.length, lines);
    report.note(`rotation: ${stdout.split('\n').slice(0, 4).join(', ')}`);
}

export async function run(report) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-fire-'));
    if (!isInside(report, 'audit-faults', '')) return fs.rmSync(folder, { recursive: true });
    const disk = path.join(folder, 'disk');
    fs.mkdirSync(disk);
    spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', disk]);
    const quiet = await (async () => {
        const { stage, close } = await openGate({
            policy: { workers: 1, audit: { file: path.join(folder, 'quiet.log') } },
        });
        try {
            return await measure(stage.gate.port, [numberedRequest(stage)], 1500, PACE);
        } finally {
            await close();
        }
    })();
    const quietMs = quiet.max;
    for (const onError of ['refuse', 'continue']) {
        const file = path.join(disk, `${onError}.log`);
        const full = { what: 'a full tmpfs', file, onError, fault: waitFull, quietMs };
        await whileFailing(report, full);
        await whileFailing(report, {
            what: '/dev/full',
            file: '/dev/full',
            onError,
            fault: () => null,
            quietMs,
        });
        const fifo = path.join(folder, `${onError}.fifo`);
        spawnSync('mkfifo', ['-m', '600', fifo]);
        const reader = stopReader(fifo);
        const fault = () => {
            reader.stop();
            return reader.go;
        };
        await whileFailing(report, {
            what: 'a stopped reader of a pipe',
            file: fifo,
            onError,
            fault,
            quietMs,
        });
        reader.end();
    }
    await rotate(report, folder);
    spawnSync('umount', [disk]);
    fs.rmSync(folder, { recursive: true });
}
