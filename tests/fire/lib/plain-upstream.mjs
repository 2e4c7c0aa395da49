// SPDX-License-Identifier: Apache-2.0
// An MCP server of few words in a process of its own: every POST is answered with its own id, a GET
// is a stream without events. It may write each id into a file before anything else happens, and
// take its time in various ways, so that a kill meets requests in every phase.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export class PlainUpstream {
    /**
     * Listens on PORT. FILE, if any, gets the ids of all POSTs that ever come, one in a line, as soon
     * as the beginning of their body is there. VARIED: each answer in another one of
     * the WAYS.
     */
    constructor(port, { file = null, varied = false } = {}) {
        this.port = port;
        this.file = file;
        this.varied = varied;
        this.child = null;
    }

    /** All of them, also those that came before a kill. */
    get ids() {
        return fs.readFileSync(this.file, 'utf8').split('\n').slice(0, -1);
    }

    /** Resolves when it listens, with the time in ms since the epoch. */
    async start() {
        const { port, file, varied } = this;
        const args = [fileURLToPath(import.meta.url), JSON.stringify({ port, file, varied })];
        this.child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
        let partial = '';
        const listening = new Promise((resolve) => {
            this.child.stdout.setEncoding('utf8').on('data', (text) => {
                const lines = (partial + text).split('\n');
                partial = lines.pop();
                for (const line of lines) resolve(Number(line.slice('listening '.length)));
            });
        });
        return listening;
    }

    async kill() {
        const closed = once(this.child, 'close');
        this.child.kill('SIGKILL');
        await closed;
    }
}

const MAX_DELAY_MS = 30;
const delay = () => sleep(Math.random() * MAX_DELAY_MS);

/** Ways to answer: at once, late, in two parts with and without a length, and by a stream. */
const WAYS = [
    async (response, text) => {
        response.end(text);
    },
    async (response, text) => {
        await delay();
        response.end(text);
    },
    async (response, text) => {
        await delay();
        response.write(text.slice(0, text.length / 2));
        await delay();
        response.end(text.slice(text.length / 2));
    },
    async (response, text) => {
        response.setHeader('Content-Type', 'text/event-stream');
        response.write('data: {"jsonrpc":"2.0","method":"x"}\n\n');
        await delay();
        response.end(`data: ${text}\n\n`);
    },
    async (response, text) => {
        response.setHeader('Content-Length', text.length);
        response.flushHeaders();
        await delay();
        response.write(text.slice(0, text.length / 2));
        await delay();
        response.end(text.slice(text.length / 2));
    },
];

function serve({ port, file, varied }) {
    const ids = file ? fs.openSync(file, 'a') : null;
    let served = 0;
    const server = http.createServer(
        { keepAliveTimeout: 0, requestTimeout: 0 },
        (request, response) => {
            const parts = [];
            if (request.method === 'GET') {
                response.writeHead(200, { 'Content-Type': 'text/event-stream' });
                response.flushHeaders();
                return;
            }
            request.on('data', (part) => {
                if (parts.length === 0 && ids !== null)
                    fs.writeSync(ids, `${/"id":(\d+)/.exec(part.toString())?.[1] ?? null}\n`);
                parts.push(part);
            });
            request.on('end', () => {
                const { id = null } = JSON.parse(Buffer.concat(parts).toString());
                const way = WAYS[varied ? served++ % WAYS.length : 0];
                response.setHeader('Content-Type', 'application/json');
                void way(response, JSON.stringify({ jsonrpc: '2.0', id, result: {} }));
            });
        },
    );
    server.listen({ port, host: '127.0.0.1', backlog: 4096 }, () =>
        fs.writeSync(1, `listening ${performance.timeOrigin + performance.now()}\n`),
    );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) serve(JSON.parse(process.argv[2]));
