// SPDX-License-Identifier: Apache-2.0
// Many event streams on which nothing happens, held by a process of its own: descriptors are
// counted
// for each process. idle-streams.mjs PORT COUNT, the bytes of a request on standard input; it says
// "open" when every one has its head, and closes them when its input ends.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const AT_ONCE = 200;

export class IdleStreams {
    /** Opens COUNT streams at PORT with REQUEST; the returned object's close() ends them. */
    static async open(port, count, request) {
        const streams = new IdleStreams();
        const args = [fileURLToPath(import.meta.url), String(port), String(count)];
        streams.child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
        streams.child.stdin.write(`${request.toString('base64')}\n`);
        const [said] = await once(streams.child.stdout, 'data');
        streams.opened = Number(/open (\d+)/.exec(said)?.[1] ?? 0);
        return streams;
    }

    async close() {
        const closed = once(this.child, 'close');
        this.child.stdin.end();
        await closed;
    }
}

async function openOne(port, request) {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(request);
    const [bytes] = await Promise.race([once(socket, 'data'), once(socket, 'close')]);
    return Buffer.isBuffer(bytes) && bytes.toString('latin1').startsWith('HTTP/1.1 200');
}

async function hold(port, count) {
    const [text] = await once(process.stdin, 'data');
    const request = Buffer.from(text.toString(), 'base64');
    let opened = 0;
    let next = 0;
    const worker = async () => {
        while (next++ < count) if (await openOne(port, request)) opened++;
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    process.stdout.write(`open ${opened}\n`);
    process.stdin.once('end', () => process.exit(0));
    process.stdin.resume();
}

if (process.argv[1] === fileURLToPath(import.meta.url))
    await hold(Number(process.argv[2]), Number(process.argv[3]));
