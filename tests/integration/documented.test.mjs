// SPDX-License-Identifier: Apache-2.0
// What an operator meets is in the documentation: every metric, every field of a log line and of an
// audit record, every event, every reason. And nothing is documented that is not there.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { toolCall } from './lib/doors.mjs';
import { eventually } from './lib/observe.mjs';
import { openStage } from './lib/stage.mjs';

const root = path.join(import.meta.dirname, '../..');
const read = (file) => fs.readFileSync(path.join(root, file), 'utf8');
const operations = read('docs/OPERATIONS.md');
const quoted = (text) => new Set([...text.matchAll(/`([^`\s]+)`/g)].map((match) => match[1]));

/** The text of one section of docs/OPERATIONS.md, without those inside it. */
const section = (title) => operations.split(/^#+ /m).find((part) => part.startsWith(`${title}\n`));

/** What REGEX, with one group, finds in the files of src/ whose path matches. */
function inSource(files, regex) {
    const names = fs.readdirSync(path.join(root, 'src'), { recursive: true });
    const found = names
        .filter((name) => name.endsWith('.c') && files.test(name))
        .flatMap((name) => [...read(`src/${name}`).matchAll(regex)].map((match) => match[1]));
    assert.ok(found.length > 0, `${files} ${regex} finds nothing`);
    return found;
}

function assertDocumented(names, text, what) {
    const documented = quoted(text);
    const missing = [...new Set(names)].filter((name) => !documented.has(name));
    assert.deepEqual(missing, [], `${what} that the documentation does not name`);
}

describe('documented is', () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-documented-'));
    const file = path.join(folder, 'audit.log');
    let stage;
    before(async () => {
        const tracing = { endpoint: 'http://127.0.0.1:9/v1/traces' };
        const rules = [{ tools: ['echo'], allow: true }];
        const limits = { store: 'redis://127.0.0.1:1' };
        const policy = { audit: { file }, jwks: { cache_dir: folder }, limits, tracing };
        stage = await openStage({ policy, route: { rules } });
        await stage.ask({ body: toolCall('echo') });
        await stage.ask({ body: toolCall('é'.repeat(3000)) });
        await stage.ask({ token: 'x' });
    });
    after(() => {
        stage?.close();
        fs.rmSync(folder, { recursive: true });
    });

    test('every metric, and no other', async () => {
        const { families } = await stage.metrics();
        const ours = [...families.keys()];
        const documented = [...quoted(section('Metrics'))].filter((name) =>
            /^(portcullis|process)_[a-z_]+$/.test(name),
        );
        assertDocumented(ours, section('Metrics'), 'metrics');
        for (const name of documented)
            if (!name.endsWith('_')) assert.ok(families.has(name), `${name} is not on the page`);
    });

    test('every metric that the dashboard and the alerts ask for', () => {
        const asked = ['grafana-dashboard.json', 'alerts.yaml']
            .map((name) => read(`config/monitoring/${name}`))
            .flatMap((text) => text.match(/\b(portcullis|process)_[a-z_]+/g));
        assert.ok(asked.length > 50);
        const families = asked.map((name) => name.replace(/_bucket$/, ''));
        assertDocumented(families, section('Metrics'), 'metrics');
    });

    test('every alert', () => {
        const alerts = read('config/monitoring/alerts.yaml').match(/Portcullis[A-Za-z]+/g);
        assertDocumented(alerts, section('When an alert fires'), 'alerts');
    });

    test('every field of the line of a request', async () => {
        const lines = () => stage.gate.log.filter((line) => line.event === 'request');
        await eventually(() => lines().length === 3, 'all requests are in the log');
        const fields = lines().flatMap((line) => Object.keys(line));
        assertDocumented(fields, section('The log'), 'fields');
    });

    test('every field of an audit record', async () => {
        const written = () => fs.readFileSync(file, 'utf8').trim().split('\n');
        await eventually(() => written().length === 3, 'all decisions are written');
        const fields = written().flatMap((line) => Object.keys(JSON.parse(line)));
        assert.ok(fields.includes('name_bytes') && fields.includes('rule'));
        assertDocumented(fields, section('The audit log'), 'fields');
    });

    test('every event of the log', () => {
        const events = inSource(/^gate\//, /LOG_LEVEL_[A-Z]+,\s*(?:[a-z.]+ \? )?"([a-z_]+)"/g);
        assertDocumented(events, section('The log'), 'events');
    });

    test('every reason', () => {
        const reasons = [
            ...inSource(/^gate\/.*\.c$/, /\breason = "([a-z_]+)"/g),
            ...inSource(/^gate\/stages/, /\b(?:refused|answered)\(\s*txn, \d+, (?:\w+, )?"(\w+)"/g),
            ...inSource(/^gate\/list_filter/, /\] = \{"(\w+)"/g),
            ...inSource(/^proto\/mcp\.c/, /\[MCP_\w+\] = \{"(\w+)"/g).filter((n) => n !== 'ok'),
            ...inSource(/^policy\/rules\.c/, /\[REASON_\w+\] =\s*\{\s*"(\w+)"/g),
            ...inSource(/^auth\/token\.c/, /\[TOKEN_\w+\] = \{\s*"(\w+)"/g),
        ];
        const text = ['OPERATIONS', 'TOKENS', 'POLICY'].map((name) => read(`docs/${name}.md`));
        assertDocumented(reasons, text.join('\n'), 'reasons');
    });
});
