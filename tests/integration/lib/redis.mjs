// SPDX-License-Identifier: Apache-2.0
// A real redis-server on an ephemeral port, never as a service; and stores that are none.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

import { eventually } from './observe.mjs';
import { freePort } from './ports.mjs';

export class Redis {
    #child = null;

    /** OPTIONS: password, for everybody. */
    static async open({ password } = {}) {
        const redis = new Redis();
        redis.port = await freePort();
        redis.password = password;
        redis.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-redis-'));
        await redis.start();
        return redis;
    }

    get url() {
        const secret = this.password ? `:${encodeURIComponent(this.password)}@` : '';
        return `redis://${secret}127.0.0.1:${this.port}/3`;
    }

    async start() {
        const args = ['--port', `${this.port}`, '--bind', '127.0.0.1', '--save', '', '--dir'];
        args.push(this.folder, ...(this.password ? ['--requirepass', this.password] : []));
        this.#child = spawn('redis-server', args, { stdio: 'ignore' });
        await eventually(async () => {
            const answer = await this.command('PING');
            return answer.startsWith('+PONG');
        }, 'redis-server answers');
    }

    async kill(signal = 'SIGKILL') {
        const ended = once(this.#child, 'exit');
        this.#child.kill(signal);
        await ended;
    }

    signal(name) {
        this.#child.kill(name);
    }

    /** The answers to all words, as text. */
    command(...words) {
        const lines = this.password ? [`AUTH ${this.password}`] : [];
        lines.push('SELECT 3', words.join(' '), 'QUIT');
        return new Promise((resolve, reject) => {
            let text = '';
            const socket = net.connect(this.port, '127.0.0.1');
            socket.setEncoding('utf8').on('data', (part) => (text += part));
            socket.once('error', reject);
            socket.once('close', () => {
                const skip = this.password ? 2 : 1;
                resolve(text.split('\r\n').slice(skip, -2).join('\n'));
            });
            socket.write(`${lines.join('\r\n')}\r\n`);
        });
    }

    async close() {
        if (this.#child?.exitCode === null && this.#child.signalCode === null) await this.kill();
        fs.rmSync(this.folder, { recursive: true, force: true });
    }
}

/** A server that answers whatever comes with what ANSWER gives; null: nothing at all. */
export class FalseStore {
    static async open(answer) {
        const store = new FalseStore();
        store.sockets = new Set();
        store.connections = 0;
        store.server = net.createServer((socket) => {
            store.connections++;
            store.sockets.add(socket);
            socket.on('error', () => {}).on('close', () => store.sockets.delete(socket));
            socket.on('data', () => {
                const bytes = answer();
                if (bytes !== null) socket.write(bytes);
            });
        });
        store.server.listen(0, '127.0.0.1');
        await once(store.server, 'listening');
        store.url = `redis://127.0.0.1:${store.server.address().port}`;
        return store;
    }

    close() {
        for (const socket of this.sockets) socket.destroy();
        this.server.close();
    }
}
