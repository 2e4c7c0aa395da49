// SPDX-License-Identifier: Apache-2.0
// Bar and line charts as SVG. They bring their own background and follow the reader's light or dark
// theme; contenders differ by colour and by mark.

const FONT = 'system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif';

const style = `
  text { font: 12px ${FONT}; fill: #24292f }
  .title { font-size: 16px; font-weight: 600 }
  .panel { font-size: 13px; font-weight: 600 }
  .soft { fill: #57606a }
  .end { text-anchor: end }
  .middle { text-anchor: middle }
  .back { fill: #ffffff; stroke: #d0d7de }
  .grid { stroke: #d8dee4; stroke-width: 1 }
  .axis { stroke: #8c959f; stroke-width: 1 }
  .line { fill: none; stroke-width: 2 }
  .spread { stroke-width: 1.5; opacity: 0.55 }
  .over { stroke: #24292f; stroke-width: 1.5; opacity: 0.6 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .soft { fill: #9198a1 }
    .back { fill: #0d1117; stroke: #3d444d }
    .grid { stroke: #262c36 }
    .axis { stroke: #656c76 }
    .over { stroke: #e6edf3 }
  }`;

// Middle tones that show on white and on black.
const looks = [
    [/^portcullis/, { color: '#e8743b', mark: 'circle' }],
    [/^nginx/, { color: '#2f8f5b', mark: 'square' }],
    [/^haproxy-plain/, { color: '#7aa6e0', mark: 'triangle' }],
    [/^haproxy/, { color: '#3f78c9', mark: 'triangle' }],
    [/^caddy/, { color: '#1f9fb0', mark: 'square' }],
    [/^apache/, { color: '#a05fb5', mark: 'triangle' }],
    [/^node/, { color: '#b08a2e', mark: 'circle' }],
    [/./, { color: '#808890', mark: 'circle' }],
];

const lookOf = (name) => looks.find(([pattern]) => pattern.test(name))[1];

const escape = (text) =>
    String(text).replace(
        /[&<>"]/g,
        (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c],
    );

const tag = (name, attributes, content = '') => {
    const list = Object.entries(attributes)
        .map(
            ([key, value]) =>
                ` ${key}="${typeof value === 'number' ? Number(value.toFixed(2)) : value}"`,
        )
        .join('');
    return content === '' ? `<${name}${list}/>` : `<${name}${list}>${content}</${name}>`;
};

const text = (x, y, content, attributes = {}) =>
    tag('text', { x, y, ...attributes }, escape(content));

const line = (x1, y1, x2, y2, attributes) => tag('line', { x1, y1, x2, y2, ...attributes });

function mark({ color, mark: shape }, x, y) {
    if (shape === 'circle') return tag('circle', { cx: x, cy: y, r: 4, fill: color });
    if (shape === 'square')
        return tag('rect', { x: x - 4, y: y - 4, width: 8, height: 8, fill: color });
    return tag('path', { d: `M${x} ${y - 5}l5 9h-10z`, fill: color });
}

function document(width, height, title, content) {
    return `${[
        `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" ` +
            `viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(title)}">`,
        `<title>${escape(title)}</title>`,
        `<style>${style}\n</style>`,
        tag('rect', { x: 0.5, y: 0.5, width: width - 1, height: height - 1, rx: 6, class: 'back' }),
        text(20, 30, title, { class: 'title' }),
        ...content,
        '</svg>',
    ].join('\n')}\n`;
}

// Three significant digits at most, with separators.
const short = (value) =>
    value >= 100
        ? Math.round(value).toLocaleString('en')
        : String(Number(value.toPrecision(value >= 10 ? 3 : 2)));

// Steps of 1, 2 or 5 from 0 to the first one that is not below max.
function linearTicks(max) {
    const rough = max / 4;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
    const count = Math.ceil(max / step - 1e-9);
    return Array.from({ length: count + 1 }, (_, i) => i * step);
}

function logTicks(min, max) {
    const ticks = [];
    for (let power = Math.floor(Math.log10(min)); power <= Math.ceil(Math.log10(max)); power++)
        ticks.push(10 ** power);
    return ticks;
}

const scale = (low, high, from, to) => (value) =>
    from + ((value - low) / (high - low)) * (to - from);

// Where the values of an axis are: {at(value), ticks}.
function valueAxis(values, isLog, from, to) {
    const max = Math.max(...values);
    const ticks = isLog ? logTicks(Math.min(...values), max) : linearTicks(max * 1.05);
    const map = isLog ? Math.log10 : (value) => value;
    const place = scale(map(ticks[0]), map(ticks.at(-1)), from, to);
    return { ticks, at: (value) => place(map(Math.max(value, isLog ? ticks[0] : 0))) };
}

// A logarithmic axis has no 0: it stands where a quarter of the smallest value would.
function pointAxis(points, from, to) {
    const positive = points.filter((x) => x > 0);
    const map = (x) => Math.log10(x > 0 ? x : Math.min(...positive) / 4);
    const low = Math.min(...points.map(map));
    const high = Math.max(...points.map(map));
    return low === high ? () => (from + to) / 2 : (x) => scale(low, high, from, to)(map(x));
}

// bars: [{name, low, median, high}], longest last.
export function barChart(title, xTitle, bars) {
    const width = 760;
    const row = 30;
    const left = 150;
    const right = width - 90;
    const top = 56;
    const bottom = top + bars.length * row;
    const axis = valueAxis(
        bars.map((bar) => bar.high),
        false,
        left,
        right,
    );
    const content = axis.ticks.flatMap((tick) => [
        line(axis.at(tick), top, axis.at(tick), bottom, { class: 'grid' }),
        text(axis.at(tick), bottom + 18, short(tick), { class: 'soft middle' }),
    ]);
    bars.forEach((bar, i) => {
        const y = top + i * row + row / 2;
        const { color } = lookOf(bar.name);
        content.push(
            text(left - 10, y + 4, bar.name, { class: 'end' }),
            tag('rect', {
                x: left,
                y: y - 9,
                width: axis.at(bar.median) - left,
                height: 18,
                rx: 2,
                fill: color,
            }),
            line(axis.at(bar.low), y, axis.at(bar.high), y, { class: 'over' }),
            text(axis.at(bar.high) + 8, y + 4, short(bar.median)),
        );
    });
    content.push(
        line(left, top, left, bottom, { class: 'axis' }),
        text(
            (left + right) / 2,
            bottom + 40,
            `${xTitle}; the thin line is the middle half of the rounds`,
            {
                class: 'soft middle',
            },
        ),
    );
    return document(width, bottom + 56, title, content);
}

function panelParts({ title, isLog, series }, xTitle, box) {
    const points = [...new Set(series.flatMap(({ values }) => values.map(({ x }) => x)))].sort(
        (a, b) => a - b,
    );
    const all = series.flatMap(({ values }) => values.flatMap(({ low, high }) => [low, high]));
    const at = pointAxis(points, box.left + 12, box.right - 12);
    const axis = valueAxis(all, isLog, box.bottom, box.top);
    const content = [text(box.left, box.top - 14, title, { class: 'panel' })];
    for (const tick of axis.ticks)
        content.push(
            line(box.left, axis.at(tick), box.right, axis.at(tick), { class: 'grid' }),
            text(box.left - 8, axis.at(tick) + 4, short(tick), { class: 'soft end' }),
        );
    for (const x of points)
        content.push(
            line(at(x), box.bottom, at(x), box.bottom + 5, { class: 'axis' }),
            text(at(x), box.bottom + 20, x.toLocaleString('en'), { class: 'soft middle' }),
        );
    content.push(
        line(box.left, box.bottom, box.right, box.bottom, { class: 'axis' }),
        text((box.left + box.right) / 2, box.bottom + 42, xTitle, { class: 'soft middle' }),
    );
    for (const { name, values } of series) {
        const look = lookOf(name);
        const path = values.map(
            ({ x, median }) => `${at(x).toFixed(2)} ${axis.at(median).toFixed(2)}`,
        );
        for (const { x, low, high } of values)
            content.push(
                line(at(x), axis.at(low), at(x), axis.at(high), {
                    class: 'spread',
                    stroke: look.color,
                }),
            );
        content.push(tag('path', { d: `M${path.join('L')}`, class: 'line', stroke: look.color }));
        for (const { x, median } of values) content.push(mark(look, at(x), axis.at(median)));
    }
    return content;
}

// panels: [{title, isLog, series: [{name, values: [{x, low, median, high}]}]}], side by side.
export function lineChart(title, xTitle, panels) {
    const width = 920;
    const height = 390;
    const names = [...new Set(panels.flatMap(({ series }) => series.map(({ name }) => name)))];
    const content = panels.flatMap((panel, i) => {
        const left = 70 + i * (width / panels.length);
        const right = (i + 1) * (width / panels.length) - 24;
        return panelParts(panel, xTitle, { left, right, top: 88, bottom: height - 62 });
    });
    let x = width - 24;
    for (const name of names.reverse()) {
        x -= name.length * 7 + 34;
        content.push(mark(lookOf(name), x, 26), text(x + 12, 30, name));
    }
    return document(width, height, title, content);
}
