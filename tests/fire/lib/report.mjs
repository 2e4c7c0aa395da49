// SPDX-License-Identifier: Apache-2.0
// What a row has measured: one line for each figure that has a goal, and notes beside.
import process from 'node:process';

export class Report {
    constructor() {
        this.figures = []; // { what, goal, measured, ok }
        this.notes = [];
    }

    /** One figure. OK says whether it meets its goal; the text of both is for people. */
    figure(what, goal, measured, ok) {
        this.figures.push({
            what,
            goal: String(goal),
            measured: String(measured),
            ok: Boolean(ok),
        });
        process.stderr.write(`  ${ok ? 'ok  ' : 'FAIL'} ${what}: ${measured} (goal: ${goal})\n`);
    }

    atMost(what, limit, measured, unit = '') {
        const text = Number.isInteger(measured) ? measured : measured.toFixed(2);
        this.figure(what, `<= ${limit}${unit}`, `${text}${unit}`, measured <= limit);
    }

    atLeast(what, limit, measured, unit = '') {
        const text = Number.isInteger(measured) ? measured : measured.toFixed(2);
        this.figure(what, `>= ${limit}${unit}`, `${text}${unit}`, measured >= limit);
    }

    equal(what, wanted, measured) {
        this.figure(what, wanted, measured, measured === wanted);
    }

    /** FAULTS is a list of texts, which should be empty; the first ones are shown. */
    none(what, faults, of = null) {
        const among = of === null ? '' : ` of ${of}`;
        this.figure(what, `0${among}`, `${faults.length}${among}`, faults.length === 0);
        for (const fault of faults.slice(0, 12)) this.note(`${what}: ${fault}`);
    }

    note(text) {
        this.notes.push(text);
        process.stderr.write(`       ${text}\n`);
    }
}
