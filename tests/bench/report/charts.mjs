// SPDX-License-Identifier: Apache-2.0
// Which plots a run gives.
import { bars, curves } from './parts.mjs';
import { barChart, lineChart } from './svg.mjs';

function barPlot(model, { part, key, file, title, x }) {
    const values = model
        .contenders(part)
        .map((name) => ({ name, ...model.figure(part, name, key) }))
        .filter(({ median }) => median !== undefined)
        .sort((a, b) => a.median - b.median);
    if (values.length < 2) return [];
    return [{ file: `${file}.svg`, title, svg: barChart(title, x, values) }];
}

function curvePlot(model, { name, title, x, panels }) {
    const points = model.points(name);
    if (points.length < 2) return [];
    const contenders = model.contenders(points[0].part);
    const values = (contender, key) =>
        points
            .map((point) => ({ x: point.x, ...model.figure(point.part, contender, key) }))
            .filter(({ median }) => median !== undefined);
    const drawn = panels.map((panel) => ({
        ...panel,
        series: contenders
            .map((contender) => ({ name: contender, values: values(contender, panel.key) }))
            .filter((series) => series.values.length > 0),
    }));
    return [{ file: `growth-${name}.svg`, title, svg: lineChart(title, x, drawn) }];
}

// [{file, title, svg}]
export const plotsOf = (model) => [
    ...bars.flatMap((bar) => barPlot(model, bar)),
    ...curves.flatMap((curve) => curvePlot(model, curve)),
];
