// SPDX-License-Identifier: Apache-2.0
// The other end of shim/allocations.c: says which allocation of a process fails, while it runs.
import fs from 'node:fs';

import { buildShim } from './shims.mjs';

const SIZE = 32;
const AT = { calls: 0, countdown: 8, lasting: 16, failed: 24 };

export class Allocations {
    #fd;

    /** FILE is made; ENV starts a process that it governs. */
    constructor(file) {
        fs.writeFileSync(file, Buffer.alloc(SIZE));
        this.#fd = fs.openSync(file, 'r+');
        this.env = { LD_PRELOAD: buildShim('allocations'), FIRE_ALLOCATIONS: file };
    }

    #write(name, value) {
        const bytes = Buffer.alloc(8);
        bytes.writeBigInt64LE(BigInt(value));
        fs.writeSync(this.#fd, bytes, 0, 8, AT[name]);
    }

    #read(name) {
        const bytes = Buffer.alloc(8);
        fs.readSync(this.#fd, bytes, 0, 8, AT[name]);
        return Number(bytes.readBigInt64LE());
    }

    /** The Nth allocation from now fails; with LASTING every one behind it as well. */
    failAt(n, { lasting = false } = {}) {
        this.#write('countdown', 0);
        this.#write('failed', 0);
        this.#write('lasting', lasting ? 1 : 0);
        this.#write('countdown', n);
    }

    /** Nothing fails any more; how many did. */
    stop() {
        this.#write('countdown', 0);
        return this.failed;
    }

    get calls() {
        return this.#read('calls');
    }

    get failed() {
        return this.#read('failed');
    }

    close() {
        fs.closeSync(this.#fd);
    }
}
