// SPDX-License-Identifier: Apache-2.0
// What a debugger would find in the memory of a running process. Needs root, as the debugger would.
import fs from 'node:fs';

const CHUNK = 16 * 1024 * 1024;

/** The parts of PID's memory that it can write to, as [begin, end, name]. */
function* writableRanges(pid) {
    for (const line of fs.readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
        const match = /^([0-9a-f]+)-([0-9a-f]+) rw\S+ \S+ \S+ \S+ *(.*)$/.exec(line);
        if (match) yield [parseInt(match[1], 16), parseInt(match[2], 16), match[3]];
    }
}

/** Reads what there is between BEGIN and END; pages that cannot be read end it. */
function* chunks(fd, begin, end) {
    for (let at = begin; at < end; at += CHUNK) {
        const bytes = Buffer.alloc(Math.min(CHUNK, end - at));
        try {
            const n = fs.readSync(fd, bytes, 0, bytes.length, at);
            yield bytes.subarray(0, n);
        } catch {
            return;
        }
    }
}

/** How often each of WORDS stands in the memory of PID: a Map of those that do. */
export function wordsInMemory(pid, words) {
    const found = new Map();
    const fd = fs.openSync(`/proc/${pid}/mem`, 'r');
    try {
        for (const [begin, end] of writableRanges(pid))
            for (const bytes of chunks(fd, begin, end))
                for (const word of words)
                    for (let at = -1; (at = bytes.indexOf(word, at + 1)) >= 0; )
                        found.set(word, (found.get(word) ?? 0) + 1);
    } finally {
        fs.closeSync(fd);
    }
    return found;
}
