// SPDX-License-Identifier: Apache-2.0
// An MCP server of few words in a process of its own: every POST is answered with its own id, a GET
// is a stream without events. It may write each id into a file before anything else happens.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

export class PlainUpstream {
    /** Listens on PORT. FILE, if any, gets the ids of all POSTs that ever come, one in a line. */
    constructor(port, { file = null } = {}) {
        this.port = port;
        this.file = file;
        this.child = null;
    }

    /** All of them, also those that came before a kill. */
    get ids() {
        return fs.readFileSync(this.file, 'utf8').split('\n').slice(0, -1);
    }

    /** Resolves when it listens, with the time in ms since the epoch. */
    async start() {
        const args = [fileURLToPath(import.meta.url), String(this.port)];
        if (this.file) args.push(this.file);
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

function serve(port, file) {
    const ids = file ? fs.openSync(file, 'a') : null;
    const server = http.createServer(
        { keepAliveTimeout: 0, requestTimeout: 0 },
        (request, response) => {
            const parts = [];
            if (request.method === 'GET') {
                response.writeHead(200, { 'Content-Type': 'text/event-stream' });
                response.flushHeaders();
                return;
            }
            request.on('data', (part) => parts.push(part));
            request.on('end', () => {
                const { id = null } = JSON.parse(Buffer.concat(parts).toString());
                if (ids !== null) fs.writeSync(ids, `${id}\n`);
                response.writeHead(200, { 'Content-Type': 'application/json' });
                response.end(JSON.stringify({ jsonrpc: '2.0', id, result: {} }));
            });
        },
    );
    server.listen({ port, host: '127.0.0.1', backlog: 4096 }, () =>
        fs.writeSync(1, `listening ${performance.timeOrigin + performance.now()}\n`),
    );
}

if (process.argv[1] === fileURLToPath(import.meta.url))
    serve(Number(process.argv[2]), process.argv[3] ?? null);
