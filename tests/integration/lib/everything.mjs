// SPDX-License-Identifier: Apache-2.0
// The MCP project's own reference server (npm @modelcontextprotocol/server-everything) over streamable
// HTTP: revisions of 2025 with sessions, GET streams and DELETE.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(
    new URL(
        '../../node_modules/@modelcontextprotocol/server-everything/dist/index.js',
        import.meta.url,
    ),
);
const LOOPBACK_ONLY = new URL('./loopback-only.mjs', import.meta.url).href;

/**
 * Starts the server on 127.0.0.1 and waits until it listens.
 *
 * @param {object} [options]
 * @param {number} [options.port] default: any that is free
 * @param {boolean} [options.foreground] a Ctrl-C is for us to pass on
 * @returns {Promise<object>} { url, port, pid, exited, close() }
 */
export async function startEverything({ port = 0, foreground = false } = {}) {
    const child = fork(PROGRAM, ['streamableHttp'], {
        execArgv: ['--import', LOOPBACK_ONLY],
        env: { ...process.env, PORT: String(port) },
        stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
        detached: foreground, // in a process group of its own
    });
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text) => (errors += text));
    const exited = once(child, 'exit');
    const bound = await Promise.race([
        once(child, 'message').then(([message]) => message.port),
        exited.then(() => {
            throw new Error(`server-everything did not start: ${errors}`);
        }),
    ]);
    return {
        url: `http://127.0.0.1:${bound}/mcp`,
        port: bound,
        pid: child.pid,
        exited,
        close: async () => {
            child.kill('SIGKILL'); // it has nothing to save, and waits for open streams otherwise
            await exited;
        },
    };
}
