// SPDX-License-Identifier: Apache-2.0
// Rows whose proof is a test of the integration suite: run here for their figures.
import { spawnSync } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

/** Runs the tests of FILE (in tests/integration) whose names match PATTERN. */
export function runTests(report, file, pattern) {
    const path = fileURLToPath(new URL(`../../integration/${file}`, import.meta.url));
    const args = ['--test', '--test-reporter=tap', `--test-name-pattern=${pattern}`, path];
    const { stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    const count = (word) => Number(new RegExp(`^# ${word} (\\d+)$`, 'm').exec(stdout)?.[1] ?? 0);
    const [passed, failed] = [count('pass'), count('fail') + count('cancelled')];
    report.figure(
        `tests of ${file} (${pattern})`,
        'at least one, all pass',
        `${passed} passed, ${failed} failed`,
        passed > 0 && failed === 0,
    );
    for (const [, text] of stdout.matchAll(
        /^\s*# (?!Subtest|tests|suites|pass|fail|cancelled|skipped|todo|duration)(.+)$/gm,
    ))
        report.note(text);
}
