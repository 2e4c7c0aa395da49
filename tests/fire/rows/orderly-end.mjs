// SPDX-License-Identifier: Apache-2.0
// T23: see tests/integration/lifecycle.test.mjs.
import { runTests } from '../lib/suite.mjs';

export const row = 'T23';
export const title = 'SIGTERM with requests and streams under way';

export async function run(report) {
    runTests(report, 'lifecycle.test.mjs', 'T23');
}
