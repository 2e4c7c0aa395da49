// SPDX-License-Identifier: Apache-2.0
// Runs one row in this process and prints what it measured as JSON: row.mjs NAME [OPTIONS AS JSON].
import process from 'node:process';

import { Report } from './report.mjs';

const [name, options = '{}'] = process.argv.slice(2);
const module = await import(`../rows/${name}.mjs`);
const report = new Report();
try {
    await module.run(report, JSON.parse(options));
} catch (error) {
    report.figure('the row itself', 'runs to its end', error.message.slice(0, 1000), false);
    process.stderr.write(`${error.stack}\n`);
}
process.stdout.write(JSON.stringify({ figures: report.figures, notes: report.notes }), () =>
    process.exit(0),
);
