// SPDX-License-Identifier: Apache-2.0
// The rows, one after the other, each in a process of its own that is ended when it takes too long;
// then the table, as Markdown and as JSON in build/fire/.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

import { portcullisBinary } from '../../integration/lib/portcullis.mjs';
import { outputFolder } from './shims.mjs';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const ROWS = path.join(HERE, '..', 'rows');
const DEFAULT_LIMIT_S = 120;

const USAGE = `usage: ./dev fire [--list] [--soak-minutes N] [NAME...]

Runs every row but the soak, or those named (by name or by number: T32). --soak-minutes
adds the soak. The binary is PORTCULLIS_BIN, or that of the release build. The table is written to
build/fire/report.md and build/fire/report.json; the exit status is 1 when a goal was missed.
`;

function parseArguments(args) {
    const options = { names: [], list: false, soakMinutes: 0 };
    for (let i = 0; i < args.length; i++) {
        if (args[i] === '--list') options.list = true;
        else if (args[i] === '--soak-minutes') options.soakMinutes = Number(args[++i]);
        else if (args[i].startsWith('-')) usage();
        else options.names.push(args[i]);
    }
    if (!Number.isFinite(options.soakMinutes) || options.soakMinutes < 0) usage();
    return options;
}

function usage() {
    process.stderr.write(USAGE);
    process.exit(2);
}

async function allRows() {
    const rows = [];
    for (const file of fs.readdirSync(ROWS)) {
        const name = path.basename(file, '.mjs');
        const { row, title, limitS = DEFAULT_LIMIT_S } = await import(path.join(ROWS, file));
        rows.push({ name, row, title, limitS });
    }
    const number = ({ row }) => Number(row.slice(1));
    return rows.sort((a, b) => number(a) - number(b) || a.name.localeCompare(b.name));
}

function choose(rows, { names, soakMinutes }) {
    const isNamed = (row, name) =>
        row.name === name || row.row.toLowerCase() === name.toLowerCase();
    const unknown = names.filter((name) => !rows.some((row) => isNamed(row, name)));
    if (unknown.length > 0) {
        process.stderr.write(`no such row: ${unknown.join(', ')}\n`);
        process.exit(2);
    }
    if (names.length > 0) return rows.filter((row) => names.some((name) => isNamed(row, name)));
    return rows.filter((row) => row.name !== 'soak' || soakMinutes > 0);
}

/** Runs one row; what it printed, or a figure that says how it ended. */
async function runRow(row, options) {
    const args = [path.join(HERE, 'row.mjs'), row.name, JSON.stringify(options)];
    const limitS = row.limitS + 60 * (options.minutes ?? 0);
    const child = spawn(process.execPath, args, {
        stdio: ['ignore', 'pipe', 'inherit'],
        detached: true, // a process group of its own: what it started ends with it
    });
    const endGroup = () => {
        try {
            process.kill(-child.pid, 'SIGKILL');
        } catch {
            // it is gone
        }
    };
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (part) => (text += part));
    const timer = setTimeout(endGroup, limitS * 1000);
    const status = await new Promise((resolve) => child.once('close', resolve));
    clearTimeout(timer);
    endGroup();
    try {
        return JSON.parse(text);
    } catch {
        const measured = status === null ? `ended after ${limitS} s` : `ended with ${status}`;
        const figure = { what: 'the row itself', goal: 'runs to its end', measured, ok: false };
        return { figures: [figure], notes: [] };
    }
}

const cell = (text) => String(text).replaceAll('|', '\\|').replaceAll('\n', ' ');

function markdown(results) {
    const lines = ['| row | what | goal | measured | verdict |', '|---|---|---|---|---|'];
    for (const { row, figures } of results)
        for (const { what, goal, measured, ok } of figures) {
            const cells = [row, what, goal, measured, ok ? 'ok' : '**missed**'].map(cell);
            lines.push(`| ${cells.join(' | ')} |`);
        }
    const notes = results.flatMap(({ row, notes: own }) =>
        own.map((note) => `- ${row}: ${cell(note)}`),
    );
    return `${lines.join('\n')}\n\n${notes.join('\n')}\n`;
}

/** The binary and the machine, without which figures say little. */
function circumstances() {
    return {
        binary: portcullisBinary(),
        cpus: os.cpus().length,
        kernel: os.release(),
        load: os.loadavg().map((load) => load.toFixed(2)),
    };
}

const options = parseArguments(process.argv.slice(2));
const rows = await allRows();
if (options.list) {
    for (const { row, name, title } of rows) process.stdout.write(`${row}\t${name}\t${title}\n`);
    process.exit(0);
}
const results = [];
const started = performance.now();
for (const row of choose(rows, options)) {
    process.stderr.write(`\n${row.row} ${row.name}: ${row.title}\n`);
    const before = performance.now();
    const own = row.name === 'soak' ? { minutes: options.soakMinutes || 10 } : {};
    const result = await runRow(row, own);
    const seconds = Math.round((performance.now() - before) / 1000);
    results.push({ row: row.row, name: row.name, title: row.title, seconds, ...result });
    const report = { circumstances: circumstances(), results };
    const folder = outputFolder();
    fs.writeFileSync(path.join(folder, 'report.json'), JSON.stringify(report, null, 2));
    fs.writeFileSync(path.join(folder, 'report.md'), markdown(results));
}
const figures = results.flatMap((result) => result.figures);
const seconds = Math.round((performance.now() - started) / 1000);
const missed = figures.filter(({ ok }) => !ok).length;
process.stderr.write(
    `\n${figures.length} figures, ${missed} missed, in ${seconds} s; build/fire/report.md\n`,
);
process.exit(missed > 0 ? 1 : 0);
