// SPDX-License-Identifier: Apache-2.0
// Portcullis as a service: service_manager.py starts it as systemd would, with sockets, notifications
// and watchdog, and tells what it hears.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { eventually } from './observe.mjs';
import { portcullisBinary } from './portcullis.mjs';

const SCRIPT = fileURLToPath(new URL('service_manager.py', import.meta.url));

export class ServiceManager {
    #child;

    /**
     * STAGE: see stage.mjs; its policy with MORE is what is served. OPTIONS are those of
     * service_manager.py.
     */
    static async open(stage, more, options = {}) {
        const manager = new ServiceManager();
        manager.events = [];
        manager.stderr = '';
        manager.policyFile = path.join(stage.folder, 'policy.json');
        const whole = {
            folder: stage.folder,
            command: [portcullisBinary(), 'serve', manager.policyFile],
            ...options,
        };
        const child = spawn('python3', ['-I', SCRIPT, JSON.stringify(whole)], {
            stdio: ['pipe', 'pipe', 'pipe'],
        });
        manager.#child = child;
        child.stdin.on('error', () => {});
        child.stderr.setEncoding('utf8').on('data', (text) => (manager.stderr += text));
        // the policy may need to know the ports that the manager opened; the service reads it later
        manager.write = (policy) => fs.writeFileSync(manager.policyFile, JSON.stringify(policy));
        manager.write(stage.policy(more));
        createInterface({ input: child.stdout }).on('line', (line) =>
            manager.events.push(JSON.parse(line)),
        );
        return manager;
    }

    /** The first event from index FROM on for which MATCHES(event) is true. */
    event(matches, what, { from = 0, timeoutMs = 20_000 } = {}) {
        return eventually(
            () => this.events.slice(from).find(matches),
            `${what}; so far ${JSON.stringify(this.events)} ${this.stderr}`,
            { timeoutMs },
        );
    }

    /** The first message of the service for which MATCHES(fields) is true. */
    told(matches, what, options) {
        return this.event(({ fields }) => fields && matches(fields), what, options);
    }

    ready(options) {
        return this.told((fields) => fields.READY === '1', 'READY=1', options);
    }

    get messages() {
        return this.events.flatMap(({ fields }) => (fields ? [fields] : []));
    }

    get pid() {
        return this.events.findLast(({ event }) => event === 'started')?.pid;
    }

    /** The lines of its log. */
    get log() {
        return this.stderr
            .split('\n')
            .filter((line) => line.startsWith('{'))
            .map((line) => JSON.parse(line));
    }

    async noRestart() {
        this.#child.stdin.write('no restart\n');
        await this.event(({ event }) => event === 'will not restart', 'no restart');
    }

    /** SIGTERM, and the exit status. */
    async stop() {
        await this.noRestart();
        const { pid } = this;
        process.kill(pid, 'SIGTERM');
        const exited = await this.event(
            (one) => one.event === 'exited' && one.pid === pid,
            'it ends',
        );
        return exited.status;
    }

    async close() {
        const ended = once(this.#child, 'exit');
        this.#child.stdin.end();
        if (this.#child.exitCode === null) await ended;
    }
}
