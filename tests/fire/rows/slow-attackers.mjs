// SPDX-License-Identifier: Apache-2.0
// T14: a thousand connections that are slow on purpose, in all the ways that slowhttptest knows and
// one of our own, beside eight clients that behave.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';

import { eventually, sleep } from '../../integration/lib/observe.mjs';
import { GoodClients, measure, quantile } from '../lib/good-clients.mjs';
import { numberedRequest, openGate } from '../lib/gate.mjs';

export const row = 'T14';
export const title = 'slow attackers';

const ATTACKERS = 1000;
const DEADLINE_MS = 4000;
const ATTACK_S = 10;
const PACE = { clients: 8, paceMs: 5 };

/** The tool's arguments for each of its attacks. */
const ATTACKS = [
    ['slow heads (-H)', ['-H', '-i', '2']],
    ['slow bodies (-B)', ['-B', '-i', '2', '-s', '8192', '-t', 'POST']],
    ['ranges (-R)', ['-R', '-t', 'HEAD', '-a', '10', '-b', '3000']],
    ['slow readers (-X)', ['-X', '-w', '1', '-y', '16', '-n', '2', '-z', '8', '-k', '3']],
];

async function slowhttptest(port, args) {
    const all = [
        '-c',
        ATTACKERS,
        '-r',
        500,
        '-l',
        ATTACK_S,
        '-p',
        3,
        '-u',
        `http://127.0.0.1:${port}/mcp`,
    ];
    const child = spawn('slowhttptest', [...args, ...all.map(String)], { stdio: 'ignore' });
    await once(child, 'close');
}

/**
 * Connections that send one byte of a good request each half second; how long each one lived, in
 * ms.
 */
async function drips(port, request) {
    const lives = [];
    const one = async () => {
        const socket = net.connect(port, '127.0.0.1');
        socket.on('error', () => {});
        await Promise.race([once(socket, 'connect'), once(socket, 'close')]);
        const start = performance.now();
        socket.once('close', () => lives.push(performance.now() - start));
        socket.once('end', () => socket.destroy());
        socket.resume();
        for (let at = 0; !socket.destroyed && at < 40; at++) {
            socket.write(request.subarray(at, at + 1));
            await sleep(500);
        }
        socket.destroy();
    };
    await Promise.all(
        Array.from({ length: ATTACKERS }, async (_, i) => {
            await sleep(i);
            await one();
        }),
    );
    await eventually(() => lives.length === ATTACKERS, 'all are closed');
    return lives.sort((a, b) => a - b);
}

export async function run(report) {
    const { stage, close } = await openGate({
        policy: { limits: { client_timeout: `${DEADLINE_MS}ms` } },
    });
    const request = [numberedRequest(stage)];
    const beside = async (what, attack, calm) => {
        const clients = new GoodClients(stage.gate.port, request, PACE);
        const result = await attack();
        const { served, failures, p99 } = await clients.stop();
        report.none(`${what}: good requests that failed`, failures, served + failures.length);
        report.atMost(
            `${what}: good p99 (alone ${calm.p99.toFixed(2)} ms)`,
            (3 * calm.p99 + 10).toFixed(2),
            p99,
            ' ms',
        );
        return result;
    };
    try {
        await measure(stage.gate.port, request, 1000, PACE);
        const calm = await measure(stage.gate.port, request, 5000, PACE);
        for (const [what, args] of ATTACKS)
            await beside(what, () => slowhttptest(stage.gate.port, args), calm);
        const lives = await beside('drips', () => drips(stage.gate.port, stage.request()), calm);
        report.atMost(
            'drips: longest life of a connection',
            DEADLINE_MS + 1000,
            lives.at(-1),
            ' ms',
        );
        report.atLeast(
            'drips: median life of a connection',
            DEADLINE_MS - 500,
            quantile(lives, 0.5),
            ' ms',
        );
    } finally {
        await close();
    }
}
