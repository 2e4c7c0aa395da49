// SPDX-License-Identifier: Apache-2.0
// Clients that take 1 KiB a second of their answers, in a process of their own: slow_readers.py.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('slow_readers.py', import.meta.url));

export class SlowReaders {
    #child;
    #answers;

    /** N clients send REQUEST (bytes) to PORT. Fails when there is no python3. */
    static async open({ port, n, request }) {
        const readers = new SlowReaders();
        const child = spawn('python3', ['-I', SCRIPT, port, n], { stdio: ['pipe', 'pipe', 'inherit'] });
        await once(child, 'spawn');
        child.stdin.on('error', () => {}); // shows as a missing answer
        child.stdin.write(`${Buffer.from(request).toString('base64')}\n`);
        readers.#child = child;
        readers.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
        return readers;
    }

    async #ask(command) {
        this.#child.stdin.write(`${command}\n`);
        const { value, done } = await this.#answers.next();
        if (done) throw new Error(`slow_readers.py ended before its answer to ${command}`);
        return JSON.parse(value);
    }

    /** How many bytes each has read so far. */
    counts() {
        return this.#ask('counts');
    }

    /** Each reads on without a pause: [{ status, length, sha256 } or { fault }]. */
    finish() {
        return this.#ask('finish');
    }

    /** All close their connections. */
    leave() {
        return this.#ask('leave');
    }

    close() {
        this.#child.stdin.end();
    }
}
