// SPDX-License-Identifier: Apache-2.0
// Runs the demo's own steps in one shell, as a reader would, and says which of them showed what they
// promise.
import { spawn } from 'node:child_process';
import { once } from 'node:events';

const MARK = '=== end of step ===';

/** The output of each of COMMANDS, run one after the other in one shell. */
async function runInShell(commands) {
    const script = commands.map((command) => `${command}\necho\necho '${MARK}'`).join('\n');
    const shell = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    shell.stdout.setEncoding('utf8').on('data', (text) => (output += text));
    await once(shell, 'close');
    return output.split(MARK).map((part) => part.trim());
}

/**
 * Runs STEPS (see steps.mjs) and prints a verdict on each.
 *
 * @returns {Promise<boolean>} every one of them showed what it promises
 */
export async function checkSteps(steps) {
    const checked = steps.filter((step) => step.shows !== null);
    const outputs = await runInShell(checked.map((step) => step.command));
    let good = true;
    for (const [i, step] of checked.entries()) {
        const shown = step.shows.test(outputs[i] ?? '');
        good &&= shown;
        console.log(`${shown ? 'ok    ' : 'FAILED'}  ${step.title}`);
        if (!shown) console.log(`expected ${step.shows}, but it printed:\n${outputs[i]}\n`);
    }
    return good;
}
