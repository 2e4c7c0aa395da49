// SPDX-License-Identifier: Apache-2.0
// T5: every body of tests/data/json-bodies.json through the real daemon, with a policy that allows
// the tool "echo" alone. A body is refused and the upstream sees nothing, or it arrives byte for
// byte; and what was decided on, as the audit log has it, is what Node, Python and a reader without
// regard to case find in it.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { PythonReader, readWithNode } from './lib/json-readers.mjs';
import { eventually } from './lib/observe.mjs';
import { openStage } from './lib/stage.mjs';

const ROWS = JSON.parse(fs.readFileSync(new URL('../data/json-bodies.json', import.meta.url)));
const GROUPS = [...new Set(ROWS.map((row) => row.group))];
const STATUS = { pass: 200, deny: 403, refuse: 400 };
// What a refusal says in JSON-RPC, by its reason.
const CODES = {
    not_json: -32700,
    too_deep: -32700,
    duplicate_key: -32700,
    bad_params: -32602,
};

const part = ([text, times]) => {
    const bytes = Buffer.from(text, 'base64');
    return Buffer.alloc(bytes.length * times, bytes);
};
const bytesOf = ({ body }) =>
    Array.isArray(body) ? Buffer.concat(body.map(part)) : Buffer.from(body, 'base64');

const RECORDED_BYTES = 2048; // of a name, in an audit record

describe('JSON that parsers may read differently (T5)', () => {
    let folder, auditFile, stage, python;

    before(async () => {
        folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-bodies-'));
        auditFile = path.join(folder, 'audit.log');
        python = await PythonReader.open();
        stage = await openStage({
            policy: { audit: { file: auditFile } },
            route: { rules: [{ tools: ['echo'], allow: true }], limits: { body: '4MiB' } },
        });
    });
    after(async () => {
        python?.close();
        await stage?.close();
        fs.rmSync(folder, { recursive: true, force: true });
    });

    // The calls that were decided on, in order; a message that is no call has none.
    async function decided(requestId, count) {
        const mine = () =>
            fs
                .readFileSync(auditFile, 'utf8')
                .split('\n')
                .filter((line) => line.includes(requestId))
                .map((line) => JSON.parse(line));
        const lines = await eventually(() => {
            const found = mine();
            return found.length >= Math.max(1, count) && found;
        }, `the decisions about ${requestId}`);
        return lines
            .filter((line) => line.mcp_method !== undefined)
            .map((line) => [line.mcp_method, line.name ?? null, line.name_bytes ?? null]);
    }

    /** A call as an audit record has it, which cuts long names and says how long they were. */
    function asRecorded([method, name]) {
        const bytes = Buffer.from(name ?? '');
        if (bytes.length <= RECORDED_BYTES) return [method, name, null];
        return [method, bytes.subarray(0, RECORDED_BYTES).toString(), bytes.length];
    }

    async function assertSameReading(row, bytes, requestId) {
        const { calls } = row;
        const other = await python.read(bytes);
        const records = await decided(requestId, calls.length);
        assert.deepEqual(records, calls.map(asRecorded), 'what was decided on');
        assert.deepEqual(readWithNode(bytes), calls, 'Node');
        assert.equal(other.ok, true, `Python: ${other.why}`);
        assert.equal(other.twice, false, 'a key that comes twice was let through');
        assert.deepEqual(other.calls, calls, 'Python');
        assert.deepEqual(other.folded, calls, 'without regard to case');
    }

    function assertRefusal(row, answer) {
        const { jsonrpc, error, id } = answer.json;
        assert.equal(jsonrpc, '2.0');
        assert.equal(error.code, CODES[row.reason] ?? -32600);
        assert.notEqual(id, undefined);
    }

    async function send(row) {
        const bytes = bytesOf(row);
        stage.upstream.forget();
        const answer = await stage.ask({ body: bytes });
        assert.equal(answer.status, STATUS[row.expect], answer.text);
        const arrived = stage.upstream.requests.map((request) => request.body);
        assert.equal(arrived.length, row.expect === 'pass' ? 1 : 0, 'requests at the upstream');
        if (row.expect === 'pass') assert.ok(arrived[0].equals(bytes), 'other bytes arrived');
        if (row.expect === 'refuse') assertRefusal(row, answer);
        else await assertSameReading(row, bytes, answer.get('x-request-id'));
    }

    test('there are enough of them', () => {
        assert.ok(ROWS.length >= 250);
        for (const expect of Object.keys(STATUS))
            assert.ok(ROWS.filter((row) => row.expect === expect).length >= 30, expect);
    });

    for (const group of GROUPS) {
        const rows = ROWS.filter((row) => row.group === group);
        test(`${group}: ${rows.length} bodies`, async () => {
            for (const row of rows)
                await send(row).catch((error) => {
                    error.message = `${row.id}, ${row.why}: ${error.message}`;
                    throw error;
                });
        });
    }

    test('the oracle sees the difference where there is one', async () => {
        const twice = await python.read(Buffer.from('{"method":"a","method":"b"}'));
        assert.deepEqual([twice.ok, twice.twice, twice.calls], [true, true, [['b', null]]]);
        const folded = await python.read(Buffer.from('{"method":"a","METHOD":"b","param\u017f":{}}'));
        assert.deepEqual([folded.calls, folded.folded], [[['a', null]], [['b', null]]]);
        assert.equal((await python.read(Buffer.from('[NaN]'))).ok, false);
    });
});
