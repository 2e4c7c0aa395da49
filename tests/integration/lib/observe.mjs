// SPDX-License-Identifier: Apache-2.0
// Looking at the daemon from outside: waiting for something to become true, what /proc knows about
// the process, and what /metrics says.
import fs from 'node:fs';

// 1 without sanitizers, less with them: how many rounds a test makes. Deadlines never depend on it.
export const SANITIZED = process.env.PORTCULLIS_SANITIZED === '1';
export const rounds = (n) => (SANITIZED ? Math.ceil(n / 5) : n);

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Polls PROBE until it gives something true, and gives that back. The deadline is generous: it only
// decides how long a failing test takes.
export async function eventually(probe, what, { timeoutMs = 20_000, everyMs = 10 } = {}) {
    const deadline = Date.now() + timeoutMs;
    let last;
    for (;;) {
        try {
            last = await probe();
            if (last) return last;
        } catch (error) {
            last = error;
        }
        if (Date.now() > deadline) throw new Error(`never came true: ${what}; last seen: ${last}`);
        await sleep(everyMs);
    }
}

export const openFds = (pid) => fs.readdirSync(`/proc/${pid}/fd`).length;

export function rssKib(pid) {
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
}

// User and system time of all threads, in seconds (the kernel counts in hundredths).
export function cpuSeconds(pid) {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
}

// The same in milliseconds, from the scheduler: exact, of the threads that are still there.
export function cpuMs(pid) {
    const threads = fs.readdirSync(`/proc/${pid}/task`);
    const spentNs = threads.map((thread) =>
        Number(fs.readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]),
    );
    return spentNs.reduce((sum, ns) => sum + ns, 0) / 1e6;
}

// The most memory the process had since resetPeak(), in KiB.
export function peakKib(pid) {
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
}
export const resetPeak = (pid) => fs.writeFileSync(`/proc/${pid}/clear_refs`, '5');

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (NaN|[+-]Inf|[0-9.eE+-]+)$`);
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/y;

function parseLabels(text, line) {
    const labels = {};
    let at = 0;
    while (at < text.length) {
        LABEL.lastIndex = at;
        const match = LABEL.exec(text);
        if (!match) throw new Error(`bad labels: ${line}`);
        if (Object.hasOwn(labels, match[1])) throw new Error(`label twice: ${line}`);
        labels[match[1]] = match[2];
        at = LABEL.lastIndex;
    }
    return labels;
}

// A strict reader of the Prometheus text format 0.0.4: every sample belongs to a family announced
// by # HELP and # TYPE, families are not scattered, no sample comes twice.
export class Metrics {
    constructor(text) {
        this.families = new Map(); // name -> { type, help, samples: [{ name, labels, value }] }
        this.samples = [];
        if (!text.endsWith('\n')) throw new Error('the last line has no end');
        const seen = new Set();
        let current = null;
        for (const line of text.slice(0, -1).split('\n')) {
            if (line.startsWith('#')) {
                current = this.#comment(line, current);
                continue;
            }
            const match = SAMPLE.exec(line);
            if (!match) throw new Error(`no sample: ${line}`);
            const [, name, labelText = '', number] = match;
            const base = name.replace(/_(bucket|sum|count)$/, '');
            const owner = current?.type === 'histogram' ? base : name;
            if (owner !== current?.name) throw new Error(`sample outside its family: ${line}`);
            const labels = parseLabels(labelText, line);
            const key = name + JSON.stringify(Object.entries(labels).sort());
            if (seen.has(key)) throw new Error(`sample twice: ${line}`);
            seen.add(key);
            const value = Number(number.replace('Inf', 'Infinity'));
            const sample = { name, labels, value };
            current.samples.push(sample);
            this.samples.push(sample);
        }
    }

    #comment(line, current) {
        const [, kind, name, rest] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
        if (!kind) throw new Error(`odd comment: ${line}`);
        if (kind === 'TYPE') {
            if (current?.name !== name || current.type) throw new Error(`stray TYPE: ${line}`);
            if (!['counter', 'gauge', 'histogram'].includes(rest)) throw new Error(line);
            current.type = rest;
            return current;
        }
        if (this.families.has(name)) throw new Error(`family twice: ${line}`);
        const family = { name, help: rest, type: null, samples: [] };
        this.families.set(name, family);
        return family;
    }

    // The sum of all samples called NAME that carry these labels.
    sum(name, labels = {}) {
        return this.samples
            .filter((s) => s.name === name)
            .filter((s) => Object.entries(labels).every(([k, v]) => s.labels[k] === String(v)))
            .reduce((total, s) => total + s.value, 0);
    }

    has(name) {
        return this.samples.some((s) => s.name === name);
    }
}
