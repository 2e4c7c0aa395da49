// SPDX-License-Identifier: Apache-2.0
// T15: see tests/integration/lifecycle.test.mjs.
import { runTests } from '../lib/suite.mjs';

export const row = 'T15';
export const title = 'no descriptors left';

export async function run(report) {
    runTests(report, 'lifecycle.test.mjs', 'T15');
}
