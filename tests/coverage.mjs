// SPDX-License-Identifier: Apache-2.0
// Judges gcovr's counts (tests/coverage): figures for each folder, the goals of some, and a list of all
// that no test ran.
//
// usage: coverage.mjs FOLDER, with gcovr.json in it; exit status 1 when a goal is missed.
import fs from 'node:fs';
import path from 'node:path';

// Per cent of lines and of branches, for the code that reads strangers' bytes and decides.
const GOALS = {
    proto: [96, 80],
    policy: [96, 80],
    auth: [96, 80],
};

const folder = process.argv[2];
const { files } = JSON.parse(fs.readFileSync(path.join(folder, 'gcovr.json'), 'utf8'));
const sums = new Map();
const uncovered = [];

for (const { file, lines } of files) {
    const name = file.split('/')[1];
    const sum = sums.get(name) ?? { lines: 0, lines_run: 0, branches: 0, branches_run: 0 };
    sums.set(name, sum);
    const source = fs.readFileSync(file, 'utf8').split('\n');
    for (const line of lines.filter((one) => !one['gcovr/noncode'])) {
        const branches = (line.branches ?? []).filter((branch) => !branch['gcovr/noncode']);
        const run = branches.filter((branch) => branch.count > 0).length;
        sum.lines++;
        sum.lines_run += line.count > 0;
        sum.branches += branches.length;
        sum.branches_run += run;
        const text = source[line.line_number - 1]?.trim();
        const where = `${file}:${line.line_number}`;
        if (line.count === 0) uncovered.push(`${where}: never: ${text}`);
        else if (run < branches.length)
            uncovered.push(`${where}: ${run} of ${branches.length} branches: ${text}`);
    }
}

const percent = (part, whole) => (whole === 0 ? 100 : (100 * part) / whole);
const rows = [...sums].sort().map(([name, sum]) => {
    const figures = [percent(sum.lines_run, sum.lines), percent(sum.branches_run, sum.branches)];
    const missed = GOALS[name]?.some((goal, i) => figures[i] < goal) ?? false;
    return { name, sum, figures, missed };
});
const missing = Object.keys(GOALS).filter((name) => !sums.has(name));
const summary = rows.map(({ name, sum, figures, missed }) => {
    const [lines, branches] = figures.map((figure) => figure.toFixed(1).padStart(5));
    const goal = GOALS[name] ? `  goal ${GOALS[name].join(' / ')}${missed ? ', MISSED' : ''}` : '';
    return (
        `${name.padEnd(8)} lines ${lines} % (${sum.lines_run}/${sum.lines})` +
        `  branches ${branches} % (${sum.branches_run}/${sum.branches})${goal}`
    );
});

fs.writeFileSync(path.join(folder, 'summary.txt'), `${summary.join('\n')}\n`);
fs.writeFileSync(path.join(folder, 'uncovered.txt'), `${uncovered.join('\n')}\n`);
console.log(summary.map((line) => `note     ${line}`).join('\n'));
console.log(`all that no test runs: ${path.join(folder, 'uncovered.txt')}`);
process.exitCode = rows.some(({ missed }) => missed) || missing.length > 0 ? 1 : 0;
