// SPDX-License-Identifier: Apache-2.0
// What the compiler and the linker did to the program that is shipped (T39).
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

import { SANITIZED } from './lib/observe.mjs';
import { portcullisBinary } from './lib/portcullis.mjs';

const skip = SANITIZED && 'a build with sanitizers is another program';

test('the program is hardened (T39)', { skip }, () => {
    const file = portcullisBinary();
    const said = execFileSync('checksec', [`--file=${file}`, '--output=json'], { encoding: 'utf8' });
    const { symbols, fortified, 'fortify-able': able, ...facts } = JSON.parse(said)[file];
    assert.ok(symbols !== undefined && Number(able) > 0 && Number(fortified) > 0, said);
    assert.deepEqual(facts, {
        relro: 'full',
        canary: 'yes',
        nx: 'yes',
        pie: 'yes',
        rpath: 'no',
        runpath: 'no',
        fortify_source: 'yes',
    });
});
