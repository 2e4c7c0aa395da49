// SPDX-License-Identifier: Apache-2.0
// `portcullis explain` as a child process, with files for what it reads.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { portcullisBinary } from './portcullis.mjs';

export const ALLOWED = 0;
export const DENIED = 1;
export const USAGE = 2;

/** A folder with files that come and go with a test. */
export class Files {
    #count = 0;
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-explain-'));

    /** Writes CONTENT (an object: as JSON) to a new file and returns its path. */
    add(content) {
        const where = path.join(this.folder, `file-${++this.#count}`);
        fs.writeFileSync(where, typeof content === 'object' ? JSON.stringify(content) : content);
        return where;
    }

    /** The path of a file that is not there. */
    get nothing() {
        return path.join(this.folder, 'nothing');
    }

    remove() {
        fs.rmSync(this.folder, { recursive: true });
    }
}

/**
 * Runs explain with ARGS to its end: { status, stdout, stderr, report }, the last one when it
 * printed JSON. No part of TOKEN may be in what it prints.
 */
export function explain(args, { token = '', input } = {}) {
    const { status, stdout, stderr } = spawnSync(portcullisBinary(), ['explain', ...args], {
        input,
        encoding: 'utf8',
    });
    assert.doesNotMatch(stderr, /Sanitizer|runtime error:/);
    for (const part of token.replace(/^\s*Bearer\s+/i, '').trim().split('.'))
        if (part.length > 20) assert.ok(!(stdout + stderr).includes(part), 'it prints the token');
    const report = stdout.startsWith('{') ? JSON.parse(stdout) : null;
    return { status, stdout, stderr, report };
}
