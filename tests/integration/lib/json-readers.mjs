// SPDX-License-Identifier: Apache-2.0
// What other parsers see in the body of a JSON-RPC request: Node's JSON.parse, and Python's json in a
// process of its own. Each gives the calls, [method, name or null] of each request and notification.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const NAMED_BY = {
    'tools/call': 'name',
    'prompts/get': 'name',
    'resources/read': 'uri',
    'resources/subscribe': 'uri',
    'resources/unsubscribe': 'uri',
};

function namesOf({ method, params }) {
    if (Object.hasOwn(NAMED_BY, method)) return [params?.[NAMED_BY[method]]];
    if (method === 'completion/complete')
        return [params?.ref?.[params.ref.type === 'ref/prompt' ? 'name' : 'uri']];
    const uris = method === 'subscriptions/listen' ? params?.notifications?.resourceSubscriptions : [];
    return uris?.length > 0 ? uris : [undefined];
}

/** The calls that JSON.parse finds in BYTES; throws where it, or the decoder before it, does. */
export function readWithNode(bytes) {
    const value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
    return [value]
        .flat()
        .filter((message) => typeof message?.method === 'string')
        .flatMap((message) => namesOf(message).map((name) => [message.method, name ?? null]));
}

/** Python's json; close() ends it. */
export class PythonReader {
    #child;
    #answers;

    /** Fails when there is no python3. */
    static async open() {
        const reader = new PythonReader();
        const script = fileURLToPath(new URL('json_reader.py', import.meta.url));
        reader.#child = spawn('python3', ['-I', script], { stdio: ['pipe', 'pipe', 'inherit'] });
        await new Promise((resolve, reject) => {
            reader.#child.once('spawn', resolve);
            reader.#child.once('error', reject);
        });
        reader.#child.stdin.on('error', () => {}); // shows as a missing answer
        reader.#answers = createInterface({ input: reader.#child.stdout })[Symbol.asyncIterator]();
        return reader;
    }

    /** { ok, why } or { ok, twice, calls, folded } of BYTES: see json_reader.py. One at a time. */
    async read(bytes) {
        this.#child.stdin.write(`${bytes.toString('base64')}\n`);
        const { value, done } = await this.#answers.next();
        if (done) throw new Error('python3 has ended');
        return JSON.parse(value);
    }

    close() {
        this.#child.stdin.end();
    }
}
