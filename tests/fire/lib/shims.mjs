// SPDX-License-Identifier: Apache-2.0
// The small libraries in shim/ that are put before libc: built on first use, into build/fire/.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const FLAGS = ['-O2', '-g', '-shared', '-fPIC', '-Wall', '-Wextra', '-Werror'];

/** build/fire/, which is there afterwards. */
export function outputFolder() {
    const folder = path.join(ROOT, 'build', 'fire');
    fs.mkdirSync(folder, { recursive: true });
    return folder;
}

/** The path of the library of shim/NAME.c. */
export function buildShim(name) {
    const source = path.join(ROOT, 'tests', 'fire', 'shim', `${name}.c`);
    const library = path.join(outputFolder(), `${name}.so`);
    const isFresh = () => fs.statSync(library).mtimeMs > fs.statSync(source).mtimeMs;
    if (fs.existsSync(library) && isFresh()) return library;
    const partial = `${library}.${process.pid}`;
    const { status, stderr } = spawnSync('cc', [...FLAGS, '-o', partial, source, '-ldl'], {
        encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`${source}: ${stderr}`);
    fs.renameSync(partial, library); // rows may run at the same time
    return library;
}
