// SPDX-License-Identifier: Apache-2.0
// Rows of ./dev fire that are quick, in part: what they find is told by any machine, but for times.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Report } from '../fire/lib/report.mjs';
import { run as allocationFailures } from '../fire/rows/allocation-failures.mjs';
import { run as upstreamCrashes } from '../fire/rows/upstream-crashes.mjs';
import { SANITIZED } from './lib/observe.mjs';

async function assertGoals(row, options) {
    const report = new Report();
    await row(report, options);
    const missed = report.figures.filter(({ ok, measured }) => !ok && !measured.endsWith(' ms'));
    assert.ok(report.figures.length > 0);
    assert.deepEqual(missed, [], report.notes.join('\n'));
}

// A sanitizer has an allocator of its own, which cannot be told to fail.
test('allocations that fail (T32)', { skip: SANITIZED }, () =>
    assertGoals(allocationFailures, { parts: ['requests'], stride: 9 }),
);

test('an upstream that crashes under load (T22)', () =>
    assertGoals(upstreamCrashes, { crashes: 3 }));
