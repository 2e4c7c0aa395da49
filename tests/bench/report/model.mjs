// SPDX-License-Identifier: Apache-2.0
// The figures of a run: raw.tsv (part, contender, round, key, value) in memory, what follows from
// them, medians over the rounds, and ratios within each round.
import { readFileSync } from 'node:fs';

const rows = (file) =>
    readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'))
        .map((line) => line.split('\t'));

export const readFacts = (file) => rows(file).map(([name, text]) => ({ name, text }));

// Text, limit ("<= 1.0", ">= 1.0", or "-": shown and not judged), numerator, denominator or "-".
export const readGoals = (file) =>
    rows(file).map(([text, limit, above, below]) => ({ text, limit, above, below }));

// Linear between the two nearest; values are sorted.
function quantile(values, fraction) {
    const at = (values.length - 1) * fraction;
    const low = Math.floor(at);
    return values[low] + (at - low) * ((values[low + 1] ?? values[low]) - values[low]);
}

// Median and quartiles; undefined when there is no value.
export function summarize(values) {
    if (values.length === 0) return undefined;
    const sorted = [...values].sort((a, b) => a - b);
    return {
        median: quantile(sorted, 0.5),
        low: quantile(sorted, 0.25),
        high: quantile(sorted, 0.75),
        rounds: values.length,
    };
}

const kib = (figures, to, from) => {
    if (figures[from] !== undefined) figures[to] = figures[from] / 1024;
};

const difference = (figures, to, a, b) => {
    if (figures[a] !== undefined && figures[b] !== undefined) figures[to] = figures[a] - figures[b];
};

export class Model {
    #parts = new Map(); // part -> contender -> round -> key -> value

    constructor(file) {
        for (const [part, contender, round, key, value] of rows(file))
            this.#round(part, contender, round)[key] = Number(value);
        for (const part of this.#parts.keys())
            for (const contender of this.contenders(part))
                for (const [round, figures] of this.#parts.get(part).get(contender))
                    this.#derive(figures, part, contender, round);
    }

    #round(part, contender, round) {
        const make = (map, key, value) => {
            if (!map.has(key)) map.set(key, value);
            return map.get(key);
        };
        return make(make(make(this.#parts, part, new Map()), contender, new Map()), round, {});
    }

    #derive(figures, part, contender, round) {
        kib(figures, 'rss_before_mib', 'rss_before_kib');
        kib(figures, 'rss_after_mib', 'rss_after_kib');
        kib(figures, 'rss_rest_mib', 'rss_rest_kib');
        difference(figures, 'rss_growth_mib', 'rss_after_mib', 'rss_before_mib');
        difference(figures, 'rss_kept_mib', 'rss_rest_mib', 'rss_before_mib');
        if (part.startsWith('sse-') && figures.cpu_us !== undefined)
            figures.each_event_cpu_us = figures.cpu_us / 20;
        if (part.startsWith('answer-kib@'))
            figures.kib_cpu_us = figures.cpu_us / Number(part.split('@')[1]);
        const direct = this.#parts.get(part).get('direct')?.get(round);
        if (contender !== 'direct' && direct?.event_p50_us !== undefined)
            figures.event_added_us = figures.event_p50_us - direct.event_p50_us;
        // Without a process there is no CPU time.
        if (contender === 'direct')
            for (const key of ['cpu_us', 'event_cpu_us', 'busy']) delete figures[key];
    }

    parts() {
        return [...this.#parts.keys()];
    }

    contenders(part) {
        return [...(this.#parts.get(part)?.keys() ?? [])];
    }

    keys(part, contender) {
        const all = [...(this.#parts.get(part)?.get(contender)?.values() ?? [])];
        return [...new Set(all.flatMap((figures) => Object.keys(figures)))];
    }

    // Points of a curve: "NAME@X", in the order of X.
    points(name) {
        return this.parts()
            .filter((part) => part.startsWith(`${name}@`))
            .map((part) => ({ part, x: Number(part.slice(name.length + 1)) }))
            .sort((a, b) => a.x - b.x);
    }

    figure(part, contender, key) {
        const all = [...(this.#parts.get(part)?.get(contender)?.values() ?? [])];
        return summarize(all.map((figures) => figures[key]).filter((value) => value !== undefined));
    }

    // Of two figures, each [part, contender, key]: summarized over the rounds that have both, so
    // that what slows both at once does not count.
    ratio([part, contender, key], [basePart, baseContender, baseKey]) {
        const above = this.#parts.get(part)?.get(contender);
        const below = this.#parts.get(basePart)?.get(baseContender);
        const values = [];
        for (const [round, figures] of above ?? []) {
            const value = figures[key] / below?.get(round)?.[baseKey];
            if (Number.isFinite(value)) values.push(value);
        }
        return summarize(values);
    }

    // {measured, verdict}; measured is undefined when it was not.
    judge(goal) {
        const measured =
            goal.below === '-'
                ? this.figure(...goal.above.split(' '))
                : this.ratio(goal.above.split(' '), goal.below.split(' '));
        if (measured === undefined) return { verdict: 'not measured' };
        if (goal.limit === '-') return { measured, verdict: 'shown' };
        const [sign, limit] = goal.limit.split(' ');
        const isMet =
            sign === '<=' ? measured.median <= Number(limit) : measured.median >= Number(limit);
        return { measured, verdict: isMet ? 'met' : 'MISSED' };
    }
}
