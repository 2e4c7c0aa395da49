// SPDX-License-Identifier: Apache-2.0
// The audit log from outside: `portcullis audit verify`, one line per decision, a chain that goes on
// over rotation and restart, and what happens to calls while it cannot be written (T25).
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { assertRpcError } from './lib/answers.mjs';
import { eventually, sleep } from './lib/observe.mjs';
import { portcullisBinary, runPortcullis } from './lib/portcullis.mjs';
import { call, openStage, RESOURCE } from './lib/stage.mjs';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-audit-'));
after(() => fs.rmSync(folder, { recursive: true }));

let serial = 0;
const newPath = (name = 'audit.log') => path.join(folder, `${serial++}-${name}`);
const sha256 = (text) => crypto.createHash('sha256').update(text).digest('hex');
const verify = (...args) => runPortcullis(['audit', 'verify', ...args]);

function readLines(file) {
    if (!fs.existsSync(file)) return [];
    const lines = fs.readFileSync(file, 'utf8').split('\n');
    lines.pop(); // behind the last line end
    return lines.map((line) => JSON.parse(line));
}

/** The chain as the documentation describes it, made anew. */
function chain(n, { seq = 1, prev = '0'.repeat(64) } = {}) {
    const lines = [];
    for (let i = 0; i < n; i++) {
        lines.push(`{"seq":${seq + i},"prev":"${prev}","name":"tool ${i}"}`);
        prev = sha256(lines.at(-1));
    }
    return { lines, text: lines.map((line) => `${line}\n`).join(''), head: prev, next: seq + n };
}

function written(text, name) {
    const file = newPath(name);
    fs.writeFileSync(file, text);
    return file;
}

/** What `audit verify` printed, as an object. */
function findings(stdout) {
    return Object.fromEntries(stdout.split('\n').map((line) => line.split(/ +/)));
}

describe('audit verify', () => {
    test('explains itself', async () => {
        for (const args of [['--help'], ['verify', '--help']]) {
            const { code, stdout } = await runPortcullis(['audit', ...args]);
            assert.equal(code, 0);
            assert.match(stdout, /Examples:/);
        }
    });

    for (const args of [
        [],
        ['check'],
        ['verify'],
        ['verify', '--head'],
        ['verify', '--head', 'abc', 'x'],
        ['verify', '--head', 'a'.repeat(64)],
        ['verify', '--nonsense', 'x'],
    ])
        test(`"audit ${args.join(' ')}" is bad usage`, async () => {
            const { code, stdout, stderr } = await runPortcullis(['audit', ...args]);
            assert.equal(code, 2);
            assert.equal(stdout, '');
            assert.match(stderr, /usage: portcullis audit verify/);
        });

    test('a file that cannot be read is 2', async () => {
        const good = written(chain(3).text);
        for (const file of [newPath(), folder]) {
            const { code, stderr } = await verify(good, file);
            assert.equal(code, 2);
            assert.ok(stderr.includes(file), stderr);
        }
    });

    test('prints what it found in a chain that holds', async () => {
        const { text, head } = chain(5);
        const { code, stdout } = await verify(written(text));
        assert.equal(code, 0);
        const all = { lines: '5', first: '1', last: '5', prev: '0'.repeat(64), lost: '0', torn: '0' };
        for (const [name, value] of Object.entries({ ...all, head }))
            assert.equal(findings(stdout)[name], value, name);
    });

    test('takes a chain in several files, and from standard input', async () => {
        const first = chain(4);
        const second = chain(3, { seq: first.next, prev: first.head });
        const files = [written(first.text), written(second.text)];
        const whole = await verify(...files);
        assert.equal(whole.code, 0, whole.stderr);
        assert.equal(findings(whole.stdout).last, '7');
        const wrongWay = await verify(...files.toReversed());
        assert.equal(wrongWay.code, 1);
        assert.ok(wrongWay.stderr.includes(`${files[0]}:1: `), wrongWay.stderr);
        const piped = spawnSync(portcullisBinary(), ['audit', 'verify', '-', files[1]], {
            input: first.text,
            encoding: 'utf8',
        });
        assert.equal(piped.status, 0, piped.stderr);
        assert.equal(findings(piped.stdout).head, second.head);
    });

    const edit = (lines, i, change) => lines.with(i, change(lines[i]));
    for (const [what, change, line] of [
        ['a value', (l) => edit(l, 1, (s) => s.replace('tool', 'fool')), 3],
        ['a removed line', (l) => l.toSpliced(2, 1), 3],
        ['a swapped pair', (l) => l.with(1, l[2]).with(2, l[1]), 2],
        ['an inserted line', (l) => l.toSpliced(2, 0, l[1]), 3],
        ['a cut line', (l) => edit(l, 2, (s) => s.slice(0, -4)), 3],
        ['another chain', (l) => [...l, ...chain(2).lines], 6],
    ])
        test(`names file and line: ${what}`, async () => {
            const good = chain(2);
            const first = written(good.text);
            const bad = change(chain(5, { seq: 3, prev: good.head }).lines);
            const file = written(bad.map((text) => `${text}\n`).join(''));
            const { code, stdout, stderr } = await verify(first, file);
            assert.equal(code, 1);
            assert.equal(stdout, '');
            assert.ok(stderr.includes(`${file}:${line}: `), stderr);
        });

    test('a break that began at the end of one file is told there', async () => {
        const first = chain(3);
        const next = chain(2, { seq: 4, prev: first.head });
        const file = written(first.text.slice(0, -10)); // a line that is only half there
        const { code, stderr } = await verify(file, written(next.text));
        assert.equal(code, 1);
        assert.ok(stderr.includes(`${file}:3: `), stderr);
    });

    test('a line that a crash cut off is torn, and that is no break', async () => {
        const { code, stdout } = await verify(written(chain(3).text.slice(0, -10)));
        assert.equal(code, 0);
        assert.equal(findings(stdout).torn, '1');
    });

    test('--head passes when the chain has that line, and fails when it does not', async () => {
        const early = chain(3);
        const file = written(chain(6).text);
        assert.equal((await verify('--head', early.head, file)).code, 0);
        const { code, stdout, stderr } = await verify('--head', sha256('another'), file);
        assert.equal(code, 1);
        assert.equal(stdout, '');
        assert.match(stderr, /no line has the hash/);
        assert.equal((await verify('--head', chain(6).head, written(early.text))).code, 1);
    });
});

const ROUTE = {
    rules: [
        { tools: ['echo'], allow: true },
        { tools: ['admin_*'], scopes: ['mcp:admin'] },
        { prompts: ['*'], allow: true },
        { resources: ['demo://*'], allow: true },
        { tools: ['never'], allow: false },
    ],
};
const tool = (name, id = 1) => call('tools/call', { name, arguments: { text: 'canary-args' } }, id);

/** Resolves with the lines of FILE once there are N; fails when there are more. */
async function linesOf(file, n) {
    await eventually(() => readLines(file).length >= n, `${n} lines in ${file}`);
    await sleep(30);
    const lines = readLines(file);
    assert.equal(lines.length, n, JSON.stringify(lines, null, 1));
    return lines;
}

async function assertChain(n, ...files) {
    const { code, stdout, stderr } = await verify(...files);
    assert.equal(code, 0, stderr);
    assert.equal(findings(stdout).lines, String(n));
    assert.equal(findings(stdout).torn, '0');
    return findings(stdout);
}

describe('one line per decision', () => {
    const file = newPath();
    let stage;
    let seen = 0;
    before(async () => {
        stage = await openStage({ policy: { audit: { file } }, route: ROUTE });
    });
    after(() => stage?.close());

    /** The lines that ASK(), which makes requests, adds. */
    async function added(n, options) {
        const answer = await stage.ask(options);
        const lines = (await linesOf(file, seen + n)).slice(seen);
        seen += n;
        for (const line of lines)
            assert.match(line.time, /^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$/);
        return { answer, lines };
    }

    test('an allowed call', async () => {
        const { answer, lines } = await added(1, { body: tool('echo') });
        assert.equal(answer.status, 200);
        const { seq, prev, time, duration_us, bytes, reason, ...rest } = lines[0];
        assert.deepEqual([seq, prev], [1, '0'.repeat(64)]);
        assert.deepEqual(rest, {
            request_id: answer.get('x-request-id'),
            client_ip: '127.0.0.1',
            route: RESOURCE,
            issuer: stage.tenant.issuer,
            subject: 'auth0|64b7c1',
            client_id: 'tpc_4f9Kq2mZ',
            token: sha256(stage.token()).slice(0, 8),
            http_method: 'POST',
            mcp_method: 'tools/call',
            target: 'tool',
            name: 'echo',
            decision: 'allow',
            rule: '/routes/0/rules/0',
            policy: sha256(fs.readFileSync(stage.gate.policyFile)),
            status: 200,
            upstream_status: 200,
        });
        assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000);
        assert.ok(Number.isInteger(duration_us) && duration_us > 0);
        assert.equal(bytes, answer.text.length);
        assert.equal(typeof reason, 'string');
    });

    for (const [what, name, rule] of [
        ['for want of a scope', 'admin_reset', '/routes/0/rules/1'],
        ['by a rule', 'never', '/routes/0/rules/4'],
        ['by the default', 'unknown', undefined],
    ])
        test(`a call that is denied ${what}`, async () => {
            const { answer, lines } = await added(1, { body: tool(name) });
            assert.equal(answer.status, 403);
            const [line] = lines;
            assert.equal(line.decision, 'deny');
            assert.equal(line.rule, rule);
            assert.equal(line.name, name);
            assert.equal(line.target, 'tool');
            assert.equal(line.status, 403);
            assert.equal(line.subject, 'auth0|64b7c1');
            assert.notEqual(line.reason, undefined);
            assert.ok(!line.upstream_status);
        });

    test('prompts, resources, and methods without a target', async () => {
        const rows = [
            [call('prompts/get', { name: 'greet' }), 'prompt', 'greet', '/routes/0/rules/2'],
            [call('resources/read', { uri: 'demo://a' }), 'resource', 'demo://a', '/routes/0/rules/3'],
            [call('ping'), undefined, undefined, undefined],
            ['{"jsonrpc":"2.0","method":"notifications/initialized"}', undefined, undefined, undefined],
        ];
        for (const [body, target, name, rule] of rows) {
            const { lines } = await added(1, { body });
            assert.equal(lines[0].decision, 'allow', body);
            assert.equal(lines[0].mcp_method, JSON.parse(body).method);
            assert.deepEqual([lines[0].target, lines[0].name, lines[0].rule], [target, name, rule]);
        }
    });

    test('a name that is too long for a line is cut, and nobody hides behind it', async () => {
        for (const [letter, length] of [
            ['x', 2_049],
            ['x', 32_000], // names may have 32 KiB
            ['"', 16_000], // two bytes of JSON each
        ]) {
            const { answer, lines } = await added(1, { body: tool(letter.repeat(length)) });
            assert.equal(answer.status, 403);
            const [line] = lines;
            assert.equal(line.request_id, answer.get('x-request-id'));
            assert.deepEqual([line.decision, line.status], ['deny', 403]);
            assert.deepEqual([line.name, line.name_bytes], [letter.repeat(2048), length]);
            assert.ok(stage.event(line.request_id), 'the log has it, too');
        }
        const long = call(`m${'x'.repeat(32_000)}`);
        const { lines } = await added(1, { body: long });
        assert.equal(lines[0].decision, 'deny');
        assert.match(lines[0].mcp_method, /^mx{2047}$/);
        const tooLong = await added(1, { body: tool('x'.repeat(100_000)) });
        assert.deepEqual(
            [tooLong.lines[0].decision, tooLong.lines[0].reason, tooLong.lines[0].status],
            ['deny', 'bad_params', 400],
        );
    });

    test('a batch: one line for each of its messages', async () => {
        const batch = (...bodies) => `[${bodies.join(',')}]`;
        const good = await added(3, {
            body: batch(tool('echo', 1), call('ping', {}, 2), tool('echo', 3)),
        });
        assert.equal(good.answer.status, 200);
        assert.deepEqual(
            good.lines.map((line) => [line.request_id, line.mcp_method, line.decision]),
            ['tools/call', 'ping', 'tools/call'].map((method) => [
                good.answer.get('x-request-id'),
                method,
                'allow',
            ]),
        );
        const bad = await added(2, { body: batch(tool('echo', 1), tool('never', 2)) });
        assert.equal(bad.answer.status, 403);
        assert.deepEqual(
            bad.lines.map((line) => [line.name, line.status]),
            [
                ['echo', 403],
                ['never', 403],
            ],
        );
        assert.equal(bad.lines[1].decision, 'deny');
    });

    test('refused tokens', async () => {
        const expired = stage.token({ claims: { exp: 1000 } });
        const rows = [
            [null, undefined],
            ['canary-opaque', sha256('canary-opaque').slice(0, 8)],
            [expired, sha256(expired).slice(0, 8)],
        ];
        for (const [token, digest] of rows) {
            const { answer, lines } = await added(1, { token, body: tool('echo') });
            assert.equal(answer.status, 401);
            const [line] = lines;
            assert.deepEqual([line.decision, line.status], ['deny', 401]);
            assert.equal(line.token, digest);
            assert.equal(line.subject, undefined, 'nothing was verified');
            assert.equal(line.reason, stage.event(answer.get('x-request-id')).reason);
        }
    });

    test('a body that is not understood', async () => {
        const { answer, lines } = await added(1, { body: '{"jsonrpc":"2.0",' });
        assert.equal(answer.status, 400);
        assert.equal(lines[0].decision, 'deny');
    });

    test('nothing for metadata and preflights, which decide nothing', async () => {
        const target = '/.well-known/oauth-protected-resource/mcp';
        await added(0, { method: 'GET', target, token: null, body: null });
        await added(0, {
            method: 'OPTIONS',
            token: null,
            body: null,
            headers: ['Origin: https://mcp.example.com', 'Access-Control-Request-Method: POST'],
        });
    });

    test('never a token, an argument, or an answer', () => {
        const text = fs.readFileSync(file, 'utf8');
        for (const secret of [...stage.token().split('.'), 'canary-opaque', 'canary-args'])
            assert.ok(!text.includes(secret), secret);
    });

    test('it is a chain, and only its owner may read it', async () => {
        await assertChain(seen, file);
        assert.equal(fs.statSync(file).mode & 0o777, 0o600);
    });

    test('is counted', async () => {
        const metrics = await stage.metrics();
        assert.equal(metrics.sum('portcullis_audit_written_total'), seen);
        assert.equal(metrics.sum('portcullis_audit_failing'), 0);
        assert.equal(metrics.sum('portcullis_audit_lost_total'), 0);
        const calls = (labels) => metrics.sum('portcullis_tool_calls_total', labels);
        assert.ok(calls({ tool: 'echo', decision: 'allow', route: RESOURCE }) >= 3);
        assert.ok(calls({ tool: 'other', decision: 'deny' }) >= 3);
        assert.equal(calls({ tool: 'unknown' }), 0, 'strangers make no labels');
    });
});

test('without "audit" there is neither file nor metric', async () => {
    const stage = await openStage();
    try {
        assert.equal((await stage.ask({ body: tool('echo') })).status, 200);
        assert.ok(!(await stage.metrics()).has('portcullis_audit_failing'));
    } finally {
        await stage.close();
    }
});

describe('one chain', () => {
    const file = newPath();
    const options = { policy: { audit: { file } }, route: ROUTE };

    test('over a rotation', async () => {
        const moved = `${file}.1`;
        const stage = await openStage(options);
        try {
            for (let i = 0; i < 5; i++) await stage.ask({ body: tool('echo') });
            await linesOf(file, 5);
            fs.renameSync(file, moved);
            await stage.ask({ body: tool('echo') });
            await linesOf(moved, 6); // nobody has said so yet
            stage.gate.signal('SIGHUP');
            await eventually(() => fs.existsSync(file), 'a new file');
            for (let i = 0; i < 3; i++) await stage.ask({ body: tool('never') });
            await linesOf(file, 3);
            await assertChain(9, moved, file);
            fs.rmSync(moved);
        } finally {
            await stage.close();
        }
        const { first, last } = await assertChain(3, file);
        assert.deepEqual([first, last], ['7', '9']);
    });

    test('over a restart, and over a kill', async () => {
        for (const end of ['stop', 'kill']) {
            const before = readLines(file).length;
            const stage = await openStage(options);
            try {
                for (let i = 0; i < 4; i++) await stage.ask({ body: tool('echo') });
                await linesOf(file, before + 4);
            } finally {
                if (end === 'kill') await stage.gate.kill();
                await stage.close();
            }
        }
        fs.appendFileSync(file, '{"seq":18,"prev":"12'); // as a power failure leaves it
        const stage = await openStage(options);
        try {
            await stage.ask({ body: tool('echo') });
        } finally {
            await stage.close();
        }
        const { code, stdout, stderr } = await verify(file);
        assert.equal(code, 0, stderr);
        assert.deepEqual([findings(stdout).torn, findings(stdout).last], ['1', '19']);
    });

    test('under load, with reloads', async () => {
        const busy = newPath();
        const stage = await openStage({ ...options, policy: { audit: { file: busy }, workers: 2 } });
        const parts = [];
        let asked = 0;
        try {
            for (let round = 0; round < 4; round++) {
                const many = Array.from({ length: 25 }, () => stage.ask({ body: tool('echo') }));
                parts.push(`${busy}.${round}`);
                if (fs.existsSync(busy)) fs.renameSync(busy, parts.at(-1));
                else parts.pop();
                stage.gate.signal('SIGHUP');
                for (const answer of await Promise.all(many)) assert.equal(answer.status, 200);
                asked += many.length;
                await eventually(() => fs.existsSync(busy), 'the new file');
            }
        } finally {
            await stage.close();
        }
        await assertChain(asked, ...parts, busy);
    });
});

describe('what cannot be opened', () => {
    const rows = [
        ['a folder', folder],
        ['a folder that is not there', path.join(folder, 'no', 'audit.log')],
        ['no audit log', written('{ "listen": "127.0.0.1:8080" }\n', 'policy.json')],
    ];
    for (const [what, file] of rows)
        test(`is an error at the start: ${what}`, async () => {
            const stage = await openStage({ start: false });
            try {
                const text = JSON.stringify({
                    ...stage.policy(),
                    audit: { file },
                    listen: `unix:${newPath('socket')}`,
                    admin: null,
                });
                const policy = written(text, 'policy.json');
                const { code, stderr } = await runPortcullis(['serve', policy]);
                assert.equal(code, 1, stderr);
                assert.ok(stderr.includes(file), stderr);
            } finally {
                await stage.close();
            }
        });

    test('a second daemon never writes the file of the first', async () => {
        const file = newPath();
        const stage = await openStage({ policy: { audit: { file } } });
        try {
            const text = JSON.stringify({
                ...stage.policy(),
                listen: `unix:${newPath('socket')}`,
                admin: null,
            });
            const { code, stderr } = await runPortcullis(['serve', written(text, 'policy.json')]);
            assert.equal(code, 1, stderr);
            assert.ok(stderr.includes(file), stderr);
        } finally {
            await stage.close();
        }
    });
});

/** A reader of the FIFO at FILE: collects what comes. */
function openReader(file) {
    const reader = spawn('cat', [file], { stdio: ['ignore', 'pipe', 'inherit'] });
    const collected = { text: '', close: () => reader.kill() };
    reader.stdout.setEncoding('utf8').on('data', (text) => (collected.text += text));
    return collected;
}

function makeFifo() {
    const file = newPath('fifo');
    assert.equal(spawnSync('mkfifo', ['-m', '600', file]).status, 0);
    return file;
}

/** A batch whose records are a quarter of a MiB. */
const MANY = `[${Array.from({ length: 100 }, (_, i) => tool('x'.repeat(2000), i)).join(',')}]`;

const isFailing = async (stage) =>
    (await stage.metrics()).sum('portcullis_audit_failing') === 1;

describe('while it cannot be written', () => {
    test('calls are refused, and everything else works: /dev/full', async () => {
        const stage = await openStage({ policy: { audit: { file: '/dev/full' } } });
        try {
            assert.equal((await stage.ask({ body: tool('echo') })).status, 200);
            await eventually(() => isFailing(stage), 'the log fails');
            stage.upstream.forget();

            const answer = await stage.ask({ body: tool('echo', 'my-id') });
            assertRpcError(answer, 503, 'my-id');
            assert.match(answer.get('retry-after'), /^[1-9]\d*$/);
            assert.equal(answer.get('www-authenticate'), null);
            assert.equal(stage.upstream.requests.length, 0);

            assert.equal((await stage.ask({ token: null, body: tool('echo') })).status, 401);
            const target = '/.well-known/oauth-protected-resource/mcp';
            const metadata = await stage.ask({ method: 'GET', target, token: null, body: null });
            assert.equal(metadata.status, 200);

            const started = performance.now(); // nothing waits for the log
            await Promise.all(Array.from({ length: 50 }, () => stage.ask({ body: tool('echo') })));
            assert.ok(performance.now() - started < 5000);
            const metrics = await stage.metrics();
            assert.ok(metrics.sum('portcullis_audit_failures_total') >= 1);
            assert.equal(metrics.sum('portcullis_audit_written_total'), 0);
        } finally {
            await stage.close();
        }
    });

    test('calls go on once it can be written again', async () => {
        const file = makeFifo();
        const stage = await openStage({ policy: { audit: { file } } });
        let reader;
        try {
            assert.equal((await stage.ask({ body: tool('echo') })).status, 503);
            reader = openReader(file);
            await eventually(async () => !(await isFailing(stage)), 'it can be written');
            assert.equal((await stage.ask({ body: tool('echo') })).status, 200);
            await eventually(() => reader.text.includes('"decision":"allow"'), 'the line');
            reader.close();
            await stage.ask({ body: tool('echo') });
            await eventually(() => isFailing(stage), 'the reader has left');
            assert.equal((await stage.ask({ body: tool('echo') })).status, 503);
        } finally {
            reader?.close();
            await stage.close();
        }
    });

    test('"continue": calls pass, and the next line says how many records are missing', async () => {
        const file = makeFifo();
        const stage = await openStage({ policy: { audit: { file, on_error: 'continue' } } });
        let reader;
        try {
            let lost = 0;
            for (let i = 0; i < 40 && lost < 5; i++) {
                assert.equal((await stage.ask({ body: MANY })).status, 200);
                lost = (await stage.metrics()).sum('portcullis_audit_lost_total');
            }
            assert.ok(lost >= 5, `${lost} lost`);
            reader = openReader(file);
            await eventually(async () => !(await isFailing(stage)), 'it can be written');
            lost = (await stage.metrics()).sum('portcullis_audit_lost_total');
            assert.equal((await stage.ask({ body: tool('after') })).status, 200);
            await eventually(() => reader.text.includes('"name":"after"'), 'the line');
            const line = JSON.parse(reader.text.split('\n').find((l) => l.includes('"after"')));
            assert.equal(line.lost, lost);
            const checked = await verify(written(reader.text));
            assert.equal(checked.code, 0, checked.stderr);
            assert.equal(findings(checked.stdout).lost, String(lost));
        } finally {
            reader?.close();
            await stage.close();
        }
    });

    test('a stopped reader holds up neither calls nor the end of the process', async () => {
        const file = makeFifo();
        const reader = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
        const stage = await openStage({ policy: { audit: { file, on_error: 'continue' } } });
        try {
            for (let i = 0; i < 3; i++) {
                const started = performance.now();
                assert.equal((await stage.ask({ body: MANY })).status, 200);
                assert.ok(performance.now() - started < 2000);
            }
            await eventually(() => isFailing(stage), 'nobody reads');
            const started = performance.now();
            await stage.gate.stop();
            assert.ok(performance.now() - started < 15_000);
        } finally {
            await stage.close();
            fs.closeSync(reader);
        }
    });

    // A limit on the size of files fills up at any byte, and can be raised while the process runs.
    test('a full disk: refused, then as if nothing had been', async () => {
        const file = newPath();
        const stage = await openStage({
            policy: { audit: { file } },
            prelude: 'ulimit -S -f 8', // 4 KiB
        });
        try {
            let allowed = 0;
            await eventually(async () => {
                const { status } = await stage.ask({ body: tool('echo') });
                if (status === 200) allowed++;
                else assert.equal(status, 503);
                return status === 503;
            }, 'the disk is full');
            assert.ok(allowed > 2, `${allowed}`);
            assert.equal(fs.statSync(file).size, 4096, 'full in the middle of a line');
            await stage.gate.logged(({ event }) => event === 'audit_failing', 'that it fails');
            const raised = spawnSync('prlimit', ['--fsize=unlimited', '--pid', stage.gate.pid]);
            assert.equal(raised.status, 0, String(raised.stderr));
            await eventually(async () => !(await isFailing(stage)), 'there is room');
            await stage.gate.logged(({ event }) => event === 'audit_works_again', 'that it works');
            assert.equal((await stage.ask({ body: tool('echo') })).status, 200);
            await stage.gate.stop();
            const { lost } = await assertChain(readLines(file).length, file);
            assert.equal(lost, '0');
            const decided = readLines(file).filter((line) => line.decision === 'allow');
            assert.equal(decided.length, allowed + 1);
        } finally {
            await stage.close();
        }
    });
});
