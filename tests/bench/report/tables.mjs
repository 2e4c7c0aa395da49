// SPDX-License-Identifier: Apache-2.0
// The report in Markdown and in JSON.
import { columns, curves, parts } from './parts.mjs';

const mainKey = (part) => (part.keys.includes('event_cpu_us') ? 'event_cpu_us' : 'cpu_us');

const number = (value, digits) => value.toFixed(digits);

// Ratios below 0.1 need a digit more to mean something.
const ratioText = (value) => number(value, Math.abs(value) < 0.1 ? 3 : 2);

function withSpread(summary, text) {
    const whole = text(summary.median);
    return summary.rounds < 3 ? whole : `${whole} (${text(summary.low)}-${text(summary.high)})`;
}

function cell(model, part, contender, key) {
    if (key === 'ratio') {
        const own = mainKey(part);
        const ratio = model.ratio([part.name, contender, own], [part.name, part.base, own]);
        return ratio === undefined ? '' : withSpread(ratio, ratioText);
    }
    const summary = model.figure(part.name, contender, key);
    if (summary === undefined) return '';
    const { digits, spread } = columns[key];
    const text = (value) => number(value, digits);
    return spread ? withSpread(summary, text) : text(summary.median);
}

const header = (part, key) =>
    key === 'ratio' ? `x ${part.base.replace(/^portcullis\+/, '')}` : columns[key].title;

function table(head, rows) {
    const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => row[i].length), 3));
    const pad = (text, i) => (i === 0 ? text.padEnd(widths[i]) : text.padStart(widths[i]));
    const line = (cells) => `| ${cells.map(pad).join(' | ')} |`;
    const rule = widths.map((width, i) =>
        i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
    );
    return [line(head), line(rule), ...rows.map(line)].join('\n');
}

function roundsText(model, part, contenders) {
    const counts = contenders.map((name) =>
        Math.max(...model.keys(part, name).map((key) => model.figure(part, name, key).rounds)),
    );
    const most = Math.max(...counts);
    const fewer = contenders
        .map((name, i) => [name, counts[i]])
        .filter(([, count]) => count < most)
        .map(([name, count]) => `${name} ${count}`);
    return `(${most} rounds${fewer.length > 0 ? `; ${fewer.join(', ')}` : ''})`;
}

function partText(model, part) {
    const contenders = model.contenders(part.name);
    const keys = part.keys.filter(
        (key) => key === 'ratio' || contenders.some((name) => model.figure(part.name, name, key)),
    );
    const rows = contenders.map((name) => [
        name,
        ...keys.map((key) => cell(model, part, name, key)),
    ]);
    return [
        `### ${part.name}: ${part.title}`,
        table(['', ...keys.map((key) => header(part, key))], rows),
        roundsText(model, part.name, contenders),
    ].join('\n\n');
}

function curveText(model, curve) {
    const points = model.points(curve.name);
    const contenders = model.contenders(points[0].part);
    const keys = curve.panels.map((panel) => panel.key);
    const head = contenders.flatMap((name) => keys.map((key) => `${name} ${columns[key].title}`));
    const text = (part, name, key) => {
        const summary = model.figure(part, name, key);
        return summary === undefined ? '' : number(summary.median, columns[key].digits);
    };
    const rows = points.map(({ part, x }) => [
        x.toLocaleString('en'),
        ...contenders.flatMap((name) => keys.map((key) => text(part, name, key))),
    ]);
    return `### growth: ${curve.x}\n\n${table(['', ...head], rows)}`;
}

function goalsText(model, goals) {
    const rows = goals.map((goal) => {
        const { measured, verdict } = model.judge(goal);
        const limit = goal.limit === '-' ? '' : goal.limit;
        return [
            goal.text,
            limit,
            measured === undefined ? '' : withSpread(measured, ratioText),
            verdict,
        ];
    });
    return `### Goals\n\n${table(['figure', 'goal', 'measured', ''], rows)}`;
}

// In a closed loop the contender is busy all the time, unless somebody else has its CPU.
function cautionText(model) {
    const busy = model.figure('small', 'nginx', 'busy')?.median;
    if (busy === undefined || busy >= 0.8) return [];
    return [
        `The machine was not idle: nginx got ${number(busy * 100, 0)} % of its CPU. Ratios of ` +
            'CPU time hold, latencies and requests/s do not.',
    ];
}

export function markdown(model, facts, goals, failures, plots) {
    const measured = new Set(model.parts());
    return `${[
        '## Results',
        facts.map(({ name, text }) => `- ${name}: ${text}`).join('\n'),
        'A figure is the median over the rounds, in brackets the middle half of them.',
        ...plots.map(({ file, title }) => `![${title}](plots/${file})`),
        ...parts.filter((part) => measured.has(part.name)).map((part) => partText(model, part)),
        ...curves
            .filter((curve) => model.points(curve.name).length > 0)
            .map((curve) => curveText(model, curve)),
        ...(failures.length > 0
            ? [`### Failed\n\n${failures.map((text) => `- ${text}`).join('\n')}`]
            : []),
        goalsText(model, goals),
        ...cautionText(model),
    ].join('\n\n')}\n`;
}

export function json(model, facts, goals, failures) {
    const figures = (part, contender) =>
        Object.fromEntries(
            model.keys(part, contender).map((key) => [key, model.figure(part, contender, key)]),
        );
    return {
        facts: Object.fromEntries(facts.map(({ name, text }) => [name, text])),
        parts: model.parts().map((part) => ({
            part,
            contenders: Object.fromEntries(
                model.contenders(part).map((contender) => [contender, figures(part, contender)]),
            ),
        })),
        goals: goals.map((goal) => ({ ...goal, ...model.judge(goal) })),
        failures,
    };
}
