// SPDX-License-Identifier: Apache-2.0
// Turns the files of a run (facts.tsv, raw.tsv, failures) into results.md, results.json and plots,
// and prints the first.
//
// usage: main.mjs --out DIRECTORY --goals FILE [--publish DOCS]
// With --publish the results also replace those between the two marks in DOCS/BENCHMARKS.md, and
// the plots those in DOCS/benchmarks/.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { plotsOf } from './charts.mjs';
import { Model, readFacts, readGoals } from './model.mjs';
import { json, markdown } from './tables.mjs';

const BEGIN = '<!-- results: from here on written by ./dev bench --publish -->';
const END = '<!-- results: end -->';

function writePlots(directory, plots) {
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
    for (const { file, svg } of plots) writeFileSync(join(directory, file), svg);
}

function publish(docs, text, plots) {
    const file = join(docs, 'BENCHMARKS.md');
    const page = readFileSync(file, 'utf8');
    const begin = page.indexOf(BEGIN);
    const end = page.indexOf(END);
    if (begin < 0 || end < begin) throw new Error(`${file} has no place for results`);
    const results = text.replaceAll('](plots/', '](benchmarks/');
    writeFileSync(file, `${page.slice(0, begin)}${BEGIN}\n\n${results}\n${page.slice(end)}`);
    writePlots(join(docs, 'benchmarks'), plots);
}

const { values: options } = parseArgs({
    options: { out: { type: 'string' }, goals: { type: 'string' }, publish: { type: 'string' } },
});
const inOut = (name) => join(options.out, name);
const failures = existsSync(inOut('failures'))
    ? readFileSync(inOut('failures'), 'utf8')
          .split('\n')
          .filter((text) => text.trim() !== '')
    : [];
const model = new Model(inOut('raw.tsv'));
const facts = readFacts(inOut('facts.tsv'));
const goals = readGoals(options.goals);
const plots = plotsOf(model);
const text = markdown(model, facts, goals, failures, plots);

writeFileSync(
    inOut('results.json'),
    `${JSON.stringify(json(model, facts, goals, failures), null, 1)}\n`,
);
writeFileSync(inOut('results.md'), text);
writePlots(inOut('plots'), plots);
process.stdout.write(text);
if (options.publish !== undefined) publish(options.publish, text, plots);
