// SPDX-License-Identifier: Apache-2.0
// What the bench makes of its figures: medians, paired ratios, verdicts, and readable plots.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../bench/report/main.mjs', import.meta.url));
const BEGIN = '<!-- results: from here on written by ./dev bench --publish -->';
const END = '<!-- results: end -->';

/** Lines of raw.tsv: VALUES[i] is the figure of round i + 1; undefined: the round has none. */
const rounds = (part, contender, key, values) =>
    values.flatMap((value, i) =>
        value === undefined ? [] : [[part, contender, i + 1, key, value].join('\t')],
    );

/** Reports RAW (lines) against GOALS (lines); the folder goes after test T. */
function report(t, raw, goals, { failures = [], page } = {}) {
    const out = mkdtempSync(join(tmpdir(), 'bench-report-'));
    t.after(() => rmSync(out, { recursive: true }));
    const write = (name, lines) => writeFileSync(join(out, name), `${lines.join('\n')}\n`);
    write('raw.tsv', raw);
    write('goals.tsv', goals);
    write('facts.tsv', ['cpu\tsome']);
    write('failures', failures);
    const args = [MAIN, '--out', out, '--goals', join(out, 'goals.tsv')];
    if (page !== undefined) {
        mkdirSync(join(out, 'docs'));
        writeFileSync(join(out, 'docs/BENCHMARKS.md'), page);
        args.push('--publish', join(out, 'docs'));
    }
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    return {
        read: (name) => readFileSync(join(out, name), 'utf8'),
        results: JSON.parse(readFileSync(join(out, 'results.json'), 'utf8')),
    };
}

test('bench_ratio_is_the_median_of_the_ratios_within_each_round', (t) => {
    // The medians are 20 and 20; within the rounds it is 2, 2 and 1/2, and one round has no pair.
    const raw = [
        ...rounds('small', 'portcullis', 'cpu_us', [20, 200, 10, 7]),
        ...rounds('small', 'nginx', 'cpu_us', [10, 100, 20, undefined]),
    ];
    const goal = 'figure\t<= 1.0\tsmall portcullis cpu_us\tsmall nginx cpu_us';
    const [judged] = report(t, raw, [goal]).results.goals;
    assert.deepEqual(judged.measured, { median: 2, low: 1.25, high: 2, rounds: 3 });
    assert.equal(judged.verdict, 'MISSED');
});

test('bench_goal_is_judged_in_its_direction', (t) => {
    const raw = rounds('two', 'portcullis-2w', 'rps', [50, 60, 70]);
    const rows = [
        { limit: '<= 60', verdict: 'met', why: 'the limit itself is met' },
        { limit: '<= 59.9', verdict: 'MISSED', why: 'above' },
        { limit: '>= 60', verdict: 'met', why: 'the limit itself is met' },
        { limit: '>= 60.1', verdict: 'MISSED', why: 'below' },
        { limit: '-', verdict: 'shown', why: 'nothing to judge by' },
        { limit: '<= 60', key: 'p99_us', verdict: 'not measured', why: 'no such figure' },
    ];
    const goals = rows.map(({ limit, key }) => `x\t${limit}\ttwo portcullis-2w ${key ?? 'rps'}\t-`);
    const verdicts = report(t, raw, goals).results.goals.map(({ verdict }) => verdict);
    rows.forEach(({ verdict, why }, i) => assert.equal(verdicts[i], verdict, why));
});

test('bench_failures_stand_in_the_report_beside_what_worked', (t) => {
    const raw = rounds('small', 'nginx', 'cpu_us', [1, 2, 3]);
    const { read } = report(t, raw, [], { failures: ['fresh: ended early'] });
    assert.match(read('results.md'), /### Failed\n\n- fresh: ended early\n/);
    assert.match(read('results.md'), /\| nginx \| +2\.0 \(1\.5-2\.5\) \|/);
});

test('bench_direct_has_no_cpu_time', (t) => {
    const raw = rounds('small', 'direct', 'cpu_us', [0.1]);
    const { results } = report(t, [...raw, ...rounds('small', 'direct', 'rps', [9])], []);
    assert.deepEqual(Object.keys(results.parts[0].contenders.direct), ['rps']);
});

test('bench_curve_is_plotted_from_zero_on_a_logarithmic_axis', (t) => {
    const raw = [0, 1000, 10000].flatMap((x) => [
        ...rounds(`idle-streams@${x}`, 'portcullis', 'cpu_us', [20, 21, 22]),
        ...rounds(`idle-streams@${x}`, 'nginx', 'cpu_us', [24]),
        ...rounds(`idle-streams@${x}`, 'portcullis', 'p99_us', [2000]),
    ]);
    const { read } = report(t, raw, []);
    const svg = read('plots/growth-idle-streams.svg');
    assert.doesNotMatch(svg, /NaN|Infinity|undefined/);
    for (const text of ['Idle streams', 'CPU µs per request', 'portcullis', 'nginx', '10,000'])
        assert.ok(svg.includes(`>${text}<`), `${text} is in the plot`);
    assert.match(svg, /prefers-color-scheme: dark/);
    assert.match(read('results.md'), /!\[Idle streams\]\(plots\/growth-idle-streams\.svg\)/);
});

test('bench_publishing_replaces_the_results_and_nothing_else', (t) => {
    const raw = [
        ...rounds('small', 'nginx', 'cpu_us', [1]),
        ...rounds('small', 'portcullis', 'cpu_us', [1]),
    ];
    const page = `before\n${BEGIN}\nold\n${END}\nafter\n`;
    const text = report(t, raw, [], { page }).read('docs/BENCHMARKS.md');
    assert.ok(text.startsWith(`before\n${BEGIN}\n\n## Results\n`));
    assert.ok(text.endsWith(`\n${END}\nafter\n`));
    assert.ok(text.includes('](benchmarks/small.svg)') && !text.includes('old'));
});
