// SPDX-License-Identifier: Apache-2.0
// Runs the current row once more inside of namespaces of its own, where it may be root of a network
// and of mounts without touching those of the machine.
import { spawnSync } from 'node:child_process';
import process from 'node:process';

/** True inside; outside it runs the row inside, and adds what that measured to REPORT. */
export function isInside(report, name, setUp) {
    if (process.env.FIRE_INSIDE === name) return true;
    const row = new URL('./row.mjs', import.meta.url).pathname;
    const script = `ip link set lo up && ${setUp} exec "$0" "$@"`;
    const { stdout, status } = spawnSync(
        'unshare',
        ['--net', '--mount', 'sh', '-c', script, process.execPath, row, name],
        {
            env: { ...process.env, FIRE_INSIDE: name },
            stdio: ['ignore', 'pipe', 'inherit'],
            encoding: 'utf8',
        },
    );
    if (status !== 0) throw new Error(`namespaces (are you root?): status ${status}`);
    const inner = JSON.parse(stdout);
    report.figures.push(...inner.figures);
    report.notes.push(...inner.notes);
    return false;
}
