// SPDX-License-Identifier: Apache-2.0
// What stays in memory once the start is over: not the pages of libraries that only the start needed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { peakKib, rssKib, SANITIZED } from './lib/observe.mjs';
import { openStage } from './lib/stage.mjs';

const skip = SANITIZED && 'a sanitizer has memory of its own';
const CEILING_KIB = 12 * 1024; // with pages of 4 KiB and the libraries of Debian 12 it is 7 MiB

test('a daemon that has begun to serve is smaller than its start was', { skip }, async () => {
    const stage = await openStage();
    try {
        assert.equal((await stage.ask()).status, 200);
        const [peak, now] = [peakKib(stage.gate.pid), rssKib(stage.gate.pid)];
        assert.ok(now < peak * 0.85, `${now} of ${peak} KiB are still there`);
        assert.ok(now < CEILING_KIB, `${now} KiB`);
    } finally {
        await stage.close();
    }
});
