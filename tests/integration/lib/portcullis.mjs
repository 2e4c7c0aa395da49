// SPDX-License-Identifier: Apache-2.0
// The real binary as a child process: a policy in a temporary folder, ports of its own, its log lines
// parsed, and an end that must be clean.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { eventually } from './observe.mjs';
import { freePort } from './ports.mjs';

const DEFAULT_BINARY = fileURLToPath(new URL('../../../build/dev/portcullis', import.meta.url));
const SANITIZER_REPORT = /ERROR: AddressSanitizer|LeakSanitizer|runtime error:|ThreadSanitizer/;
const START_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 45_000;

/** The binary under test: PORTCULLIS_BIN, or that of the dev build. */
export const portcullisBinary = () => path.resolve(process.env.PORTCULLIS_BIN ?? DEFAULT_BINARY);

/** Runs `portcullis ARGS` to its end: { code, signal, stdout, stderr }. */
export async function runPortcullis(args, { env = {}, binary = portcullisBinary(), cwd } = {}) {
    const child = spawn(binary, args, {
        env: { ...process.env, ...env },
        cwd,
        stdio: ['ignore', 'pipe', 'pipe'],
    });
    const output = { stdout: '', stderr: '' };
    for (const name of Object.keys(output))
        child[name].setEncoding('utf8').on('data', (text) => (output[name] += text));
    const [code, signal] = await once(child, 'close');
    assert.doesNotMatch(output.stderr, SANITIZER_REPORT);
    return { code, signal, ...output };
}

/** A running `portcullis serve`; made by startPortcullis(). */
export class Portcullis {
    #child;
    #folder;
    #partialLine = '';
    #exit = null;

    constructor({ child, folder, port, adminPort, tls, policyFile }) {
        this.#child = child;
        this.#folder = folder;
        this.pid = child.pid;
        this.port = port; // of `listen`; null when the policy names its own
        this.adminPort = adminPort; // of `admin`; null when the policy names its own
        this.tls = tls; // `listen.tls`, or undefined
        this.policyFile = policyFile;
        this.stderr = ''; // everything, as text
        this.log = []; // its JSON lines, parsed, in order
        this.exited = new Promise((resolve) => {
            child.once('close', (code, signal) => {
                this.#exit = { code, signal };
                resolve(this.#exit);
            });
            child.once('error', (error) => {
                this.stderr += error.message;
                this.#exit = { code: null, signal: null };
                resolve(this.#exit);
            });
        });
        child.stderr?.setEncoding('utf8').on('data', (text) => this.#collect(text));
    }

    #collect(text) {
        this.stderr += text;
        const lines = (this.#partialLine + text).split('\n');
        this.#partialLine = lines.pop();
        for (const line of lines) {
            try {
                this.log.push(JSON.parse(line));
            } catch {
                // not a log line: stays in `stderr`, where stop() looks for sanitizer reports
            }
        }
    }

    /** http://127.0.0.1:PORT + TARGET on the public address, https with TLS. */
    url(target = '/mcp') {
        return `http${this.tls ? 's' : ''}://127.0.0.1:${this.port}${target}`;
    }

    /** The same on the admin address. */
    adminUrl(target) {
        return `http://127.0.0.1:${this.adminPort}${target}`;
    }

    /** { code, signal } once the process is gone, else null. */
    get exit() {
        return this.#exit;
    }

    async #untilStatusOk(target, timeoutMs) {
        await eventually(
            async () => {
                if (this.#exit) return true;
                const answer = await fetch(this.adminUrl(target));
                await answer.arrayBuffer();
                return answer.status === 200;
            },
            `${target} says 200; stderr so far: ${this.stderr}`,
            { timeoutMs },
        );
        if (this.#exit) throw new Error(`portcullis ended at its start: ${this.stderr}`);
    }

    /** Resolves when /healthz says 200. */
    healthy({ timeoutMs = START_TIMEOUT_MS } = {}) {
        return this.#untilStatusOk('/healthz', timeoutMs);
    }

    /** Resolves when /readyz says 200: every issuer has keys. */
    ready({ timeoutMs = START_TIMEOUT_MS } = {}) {
        return this.#untilStatusOk('/readyz', timeoutMs);
    }

    /** The text of /metrics. */
    async metrics() {
        const answer = await fetch(this.adminUrl('/metrics'));
        assert.equal(answer.status, 200);
        return answer.text();
    }

    /** Resolves with the first log line, from index FROM on, for which MATCHES(line) is true. */
    logged(matches, what, { from = 0, timeoutMs } = {}) {
        return eventually(() => this.log.slice(from).find(matches), `log line: ${what}`, {
            timeoutMs,
        });
    }

    /**
     * Replaces the policy file (an object, or text as it is) and sends SIGHUP. Listener and admin
     * addresses are kept. Does not wait: see logged().
     */
    reload(policy) {
        fs.writeFileSync(this.policyFile, policyText(policy, this));
        this.signal('SIGHUP');
    }

    signal(name) {
        if (!this.#exit) process.kill(this.pid, name);
    }

    /** Drains and ends it; fails unless that was clean: exit status 0, no sanitizer report. */
    async stop() {
        this.signal('SIGTERM');
        const exit = await this.#exitWithin(STOP_TIMEOUT_MS);
        this.#tidy();
        assert.doesNotMatch(this.stderr, SANITIZER_REPORT);
        assert.deepEqual(exit, { code: 0, signal: null }, this.stderr.slice(-2000));
    }

    /** Ends it without asking. */
    async kill() {
        this.signal('SIGKILL');
        await this.exited;
        this.#tidy();
    }

    async #exitWithin(timeoutMs) {
        let timer;
        const late = new Promise((resolve) => {
            timer = setTimeout(() => {
                this.signal('SIGKILL');
                resolve({ code: null, signal: `none within ${timeoutMs} ms` });
            }, timeoutMs);
        });
        const exit = await Promise.race([this.exited, late]);
        clearTimeout(timer);
        return exit;
    }

    #tidy() {
        fs.rmSync(this.#folder, { recursive: true, force: true });
    }
}

function policyText(policy, { port, adminPort, tls }) {
    if (typeof policy === 'string') return policy;
    const addresses = {};
    const address = `127.0.0.1:${port}`;
    if (port !== null) addresses.listen = tls ? { address, tls } : address;
    if (adminPort !== null) addresses.admin = `127.0.0.1:${adminPort}`;
    // Much of what the kernel tells about a process in a sandbox only root may read.
    const insecure = process.getuid() === 0 ? {} : { no_sandbox: true };
    const merged = { ...addresses, ...policy, insecure: { ...insecure, ...policy.insecure } };
    if (policy.insecure === undefined && process.getuid() === 0) delete merged.insecure;
    return JSON.stringify(merged, null, 2);
}

/**
 * Starts `portcullis serve` and waits until it is healthy.
 *
 * @param {object} options
 * @param {object|string|((addresses: {port: number, adminPort: number}) => object)} options.policy
 *     The policy; `listen` and `admin` are filled in with free ports unless it has its own. A function
 *     is called with the ports, for a `resource` that has to name them. Text is written as it is.
 * @param {object} [options.env] further environment variables
 * @param {string[]} [options.args] further arguments of `serve`
 * @param {string} [options.binary] default: PORTCULLIS_BIN or build/dev/portcullis
 * @param {boolean} [options.ready] wait until every issuer has keys, too
 * @param {boolean} [options.foreground] it logs to our own stderr, and a Ctrl-C is for us to pass on
 * @param {number} [options.port] of `listen`, default: any that is free
 * @param {number} [options.adminPort] of `admin`, the same
 * @param {object} [options.tls] `listen.tls`: certificate, key, client_ca
 * @returns {Promise<Portcullis>} to be ended with stop()
 */
export async function startPortcullis({
    policy,
    env = {},
    args = [],
    binary = portcullisBinary(),
    ready = false,
    foreground = false,
    port,
    adminPort,
    tls,
}) {
    const addresses = {
        tls,
        port: port ?? (await freePort()),
        adminPort: adminPort ?? (await freePort()),
    };
    const given = typeof policy === 'function' ? policy(addresses) : policy;
    if (given.listen !== undefined) addresses.port = null;
    if (given.admin !== undefined) addresses.adminPort = null;

    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-test-'));
    const policyFile = path.join(folder, 'policy.json');
    fs.writeFileSync(policyFile, policyText(given, addresses));
    const child = spawn(binary, ['serve', ...args, policyFile], {
        env: { ...process.env, ...env },
        stdio: ['ignore', 'ignore', foreground ? 'inherit' : 'pipe'],
        detached: foreground, // in a process group of its own
    });
    const portcullis = new Portcullis({ child, folder, policyFile, ...addresses });
    try {
        if (addresses.adminPort !== null) await portcullis.healthy();
        if (ready) await portcullis.ready();
    } catch (error) {
        await portcullis.kill();
        throw error;
    }
    return portcullis;
}
