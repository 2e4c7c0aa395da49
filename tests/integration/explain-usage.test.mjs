// SPDX-License-Identifier: Apache-2.0
// How `portcullis explain` is used: what it reads and refuses to read, the choice of the route and
// of the moment, and the lines that it prints for people. What it decides: explain.test.mjs.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { ALLOWED, DENIED, explain, Files, USAGE } from './lib/explain.mjs';
import { openStage, RESOURCE } from './lib/stage.mjs';
import { newSigningKey } from './lib/tokens.mjs';

const RULES = [
    { tools: ['files_*'], scopes: ['files:read', 'files:write'] },
    { prompts: ['*'], allow: true },
];

const files = new Files();
let stage; // its daemon is not needed
let policyFile;
let jwks;
before(async () => {
    stage = await openStage({ route: { scopes: ['mcp:use'], rules: RULES }, start: false });
    policyFile = files.add(stage.policy());
    jwks = files.add({ keys: stage.tenant.keys });
});
after(async () => {
    files.remove();
    await stage?.close();
});

const policy = () => policyFile;

/** What explain says as JSON about TOKEN and the call TEXT. */
function ask(token, text, args = []) {
    const usual = [policy(), '--token-file', files.add(token), '--call', text, '--jwks', jwks];
    return explain([...usual, '--json', ...args], { token });
}

describe('what it prints for people', () => {
    const lines = (token, text, args = ['--jwks', jwks]) => {
        const run = explain(
            [policy(), '--token-file', files.add(token), '--call', text, ...args],
            { token },
        );
        const map = new Map();
        let last;
        for (const line of run.stdout.trimEnd().split('\n')) {
            const [, name, value] = /^(?:([\w-]+(?: \w+)?):)? +(\S.*)$/.exec(line) ?? [];
            assert.ok(value, line);
            last = name ?? last;
            map.set(last, [...(map.get(last) ?? []), value]);
        }
        return { ...run, map };
    };

    test('names and values, one each line', () => {
        const token = stage.token({ claims: { scope: 'mcp:use files:read' } });
        const { status, map } = lines(token, 'tools/call:files_get');
        const { report } = ask(token, 'tools/call:files_get');
        assert.equal(status, DENIED);
        assert.deepEqual(map.get('route'), [RESOURCE]);
        assert.deepEqual(map.get('call'), ['tools/call files_get']);
        assert.deepEqual(map.get('signature'), [`verified with key ${stage.tenant.key.kid}`]);
        assert.deepEqual(map.get('rule'), ['/routes/0/rules/0']);
        assert.deepEqual(map.get('needs'), ['scopes mcp:use files:read files:write']);
        assert.deepEqual(map.get('claims used'), ['scope = "mcp:use files:read"']);
        assert.deepEqual(map.get('missing'), ['scopes files:write']);
        assert.deepEqual(map.get('status'), ['403']);
        assert.deepEqual(map.get('WWW-Authenticate'), [report.answer.www_authenticate]);
        assert.deepEqual(map.get('error'), ['insufficient_scope']);
        assert.match(map.get('verdict')[0], /^denied/);
    });

    test('an allowed call has no answer', () => {
        const { status, map } = lines(stage.token({ claims: {} }), 'prompts/get:x');
        assert.equal(status, ALLOWED);
        assert.deepEqual(map.get('verdict'), ['allowed']);
        assert.equal(map.get('status'), undefined);
        assert.equal(map.get('WWW-Authenticate'), undefined);
    });

    test('a signature that was not checked is said so', () => {
        const { map } = lines(stage.token({ claims: {} }), 'prompts/get:x', []);
        assert.deepEqual(map.get('signature'), ['not checked (give --jwks FILE)']);
    });

    test('a refused token has the number of its rule', () => {
        const { map } = lines(stage.token({ claims: { exp: 1 } }), 'initialize');
        assert.deepEqual(map.get('rule'), ['18 of docs/TOKENS.md']);
        assert.deepEqual(map.get('claims used'), ['exp = 1']);
        assert.deepEqual(map.get('expires'), ['1970-01-01T00:00:01Z']);
    });

    test('what a token says cannot play tricks with a terminal', () => {
        const sub = 'a\u001b]0;x\u0007\nverdict: allowed\u202e\u0085b';
        const { stdout, map } = lines(stage.token({ claims: { sub } }), 'initialize');
        assert.doesNotMatch(stdout, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]/);
        assert.equal(map.get('verdict').length, 1);
        assert.match(map.get('subject')[0], /^a\\x1b\]0;x\\x07\\x0averdict: allowed/);
    });
});

describe('the moment', () => {
    const exp = 1785240000; // 2026-07-28T12:00:00Z
    const at = (time) => {
        const token = stage.token({ claims: { iat: exp - 60, exp } });
        return ask(token, 'initialize', ['--time', time]);
    };
    // clock_skew is 30 s.
    for (const [time, status] of [
        [`${exp}`, ALLOWED],
        ['2026-07-28T12:00:29Z', ALLOWED],
        ['2026-07-28T12:00:30Z', DENIED],
        ['2026-07-28T14:00:29+02:00', ALLOWED],
        ['2026-07-28T11:50:00Z', DENIED],
    ])
        test(`--time ${time} is ${status}`, () => {
            const answer = at(time);
            assert.equal(answer.status, status);
            if (status === DENIED)
                assert.match(answer.report.reason, /^(token_expired|issued_ahead)$/);
        });

    test('the moment is printed as it was understood', () => {
        assert.equal(at(`${exp}`).report.time, '2026-07-28T12:00:00Z');
        assert.equal(at('2026-07-28T14:00:00+02:00').report.time, '2026-07-28T12:00:00Z');
    });
});

describe('the token file', () => {
    const run = (content, extra = {}) =>
        explain(
            [policy(), '--token-file', extra.path ?? files.add(content), '--call', 'initialize'],
            { token: content, ...extra },
        );

    for (const [why, wrap] of [
        ['"Bearer" in front', (token) => `Bearer ${token}`],
        ['"bearer" and blanks', (token) => `  bearer   ${token}\r\n`],
        ['blanks and line ends around it', (token) => `\n\t ${token} \n\n`],
    ])
        test(`may have ${why}`, () => {
            const { status, stderr } = run(wrap(stage.token()));
            assert.equal(status, ALLOWED, stderr);
        });

    test('may be standard input', () => {
        const token = stage.token();
        assert.equal(run(token, { path: '-', input: `${token}\n` }).status, ALLOWED);
    });

    for (const [why, make] of [
        ['is not there', () => files.nothing],
        ['is a folder', () => files.folder],
        ['is empty', () => files.add('')],
        ['holds blanks only', () => files.add(' \n')],
        ['holds two lines', () => files.add(`${stage.token()}\n${stage.token()}`)],
        ['holds a NUL', () => files.add('a\0b')],
        ['is larger than a request may be', () => files.add('a'.repeat(32 * 1024 + 1))],
    ])
        test(`that ${why} is ${USAGE}`, () => {
            const where = make();
            const { status, stdout, stderr } = run('', { path: where });
            assert.equal(status, USAGE);
            assert.equal(stdout, '');
            assert.ok(stderr.includes(where), stderr);
        });
});

describe('keys and policies', () => {
    const run = (policyFile, keys) =>
        explain([
            policyFile,
            '--token-file',
            files.add(stage.token()),
            '--call',
            'initialize',
            '--jwks',
            keys,
        ]);
    const weak = async () => ({ keys: [(await newSigningKey({ bits: 1024 })).publicJwk] });
    for (const [why, keys] of [
        ['are not there', () => files.nothing],
        ['are a folder', () => files.folder],
        ['are no JSON', () => files.add('keys')],
        ['are no set', () => files.add({ key: [] })],
        ['have no key', () => files.add({ keys: [] })],
        ['have no usable key', async () => files.add(await weak())],
        ['are larger than 256 KiB', () => files.add(`{"keys":[]}${' '.repeat(256 * 1024)}`)],
    ])
        test(`keys that ${why} are ${USAGE}`, async () => {
            const where = await keys();
            const { status, stdout, stderr } = run(policy(), where);
            assert.equal(status, USAGE);
            assert.equal(stdout, '');
            assert.ok(stderr.includes(where), stderr);
        });

    test('keys that cannot be used are mentioned, the others are used', async () => {
        const keys = [...(await weak()).keys, stage.tenant.key.publicJwk];
        const { status, stdout, stderr } = run(policy(), files.add({ keys }));
        assert.equal(status, ALLOWED);
        assert.match(stderr, /1 of 2 keys cannot be used/);
        assert.match(stdout, /verified with key/);
    });

    for (const [why, policyFile] of [
        ['is not there', () => files.nothing],
        ['has errors', () => files.add({ routes: [] })],
    ])
        test(`a policy that ${why} is ${USAGE}`, () => {
            const { status, stdout, stderr } = run(policyFile(), jwks);
            assert.equal(status, USAGE);
            assert.equal(stdout, '');
            assert.notEqual(stderr, '');
        });
});

describe('several routes', () => {
    const BILLING = 'https://mcp.example.com/billing';
    const route = (resource, more = {}) => ({
        resource,
        upstream: 'http://127.0.0.1:1/mcp',
        ...more,
    });
    let policyFile;
    before(() => {
        policyFile = files.add({
            issuers: { tenant: stage.tenant.policy },
            routes: [
                route(RESOURCE),
                route(BILLING, { scopes: ['billing'], audiences: [BILLING, 'both'] }),
                route('https://mcp.example.com/third', { audiences: ['both'] }),
            ],
        });
    });
    const run = (claims, args = []) => {
        const token = stage.token({ claims });
        const usual = ['--token-file', files.add(token), '--call', 'initialize', '--json'];
        return explain([policyFile, ...usual, ...args], { token });
    };

    test('the only one that the audience fits is taken', () => {
        const first = run({});
        assert.equal(first.report.route, RESOURCE);
        assert.equal(first.status, ALLOWED);
        const billing = run({ aud: BILLING });
        assert.equal(billing.report.route, BILLING);
        assert.equal(billing.status, DENIED);
    });

    for (const [why, claims] of [
        ['two', { aud: 'both' }],
        ['none', { aud: 'nobody' }],
    ])
        test(`when the audience fits ${why}, one has to be named`, () => {
            const { status, stdout, stderr } = run(claims);
            assert.equal(status, USAGE);
            assert.equal(stdout, '');
            assert.match(stderr, /--route/);
            for (const resource of [RESOURCE, BILLING, 'https://mcp.example.com/third'])
                assert.ok(stderr.includes(resource), stderr);
        });

    test('--route says which one', () => {
        const named = run({ aud: 'both' }, ['--route', BILLING]);
        assert.equal(named.report.route, BILLING);
        const other = run({}, [`--route=${BILLING}`]);
        assert.equal(other.report.reason, 'wrong_audience');
        assert.match(other.report.answer.www_authenticate, /protected-resource\/billing"/);
    });

    test('an unknown route is bad usage, and those that there are get listed', () => {
        const { status, stderr } = run({}, ['--route', `${BILLING}/`]);
        assert.equal(status, USAGE);
        assert.ok(stderr.includes(`  ${BILLING}\n`), stderr);
    });
});

describe('bad usage', () => {
    const rows = [
        [],
        ['POLICY'],
        ['POLICY', '--token-file', 'TOKEN'],
        ['POLICY', '--call', 'initialize'],
        ['--token-file', 'TOKEN', '--call', 'initialize'],
        ['POLICY', 'POLICY', '--token-file', 'TOKEN', '--call', 'initialize'],
        ['POLICY', '--token-file', 'TOKEN', '--call', 'initialize', '--nonsense'],
        ['POLICY', '--token-file', 'TOKEN', '--call', 'initialize', '--call', 'ping'],
        ['POLICY', '--token-file', 'TOKEN', '--call'],
        ['POLICY', '--token-file', 'TOKEN', '--call', '--json'],
        ['POLICY', '--token-file', 'TOKEN', '--call='],
        ['POLICY', '--token-file', 'TOKEN', '--calls', 'initialize'],
        ['POLICY', '--token-file', 'TOKEN', '--call', 'initialize', '--time', 'noon'],
        ['POLICY', '--token-file', 'TOKEN', '--call', 'ping', '--time', '2026-02-30T00:00:00Z'],
        ['POLICY', '--token-file', 'TOKEN', '--call', 'tools/call'],
        ['POLICY', '--token-file', 'TOKEN', '--call', 'tools/call:'],
        ['POLICY', '--token-file', 'TOKEN', '--call', 'prompts/get'],
        ['POLICY', '--token-file', 'TOKEN', '--call', 'resources/read'],
        ['POLICY', '--token-file', 'TOKEN', '--call', 'completion/complete:greeting'],
        ['POLICY', '--token-file', 'TOKEN', '--call', 'initialize:x'],
        ['POLICY', '--token-file', 'TOKEN', '--call', ':x'],
        ['POLICY', '--token-file', 'TOKEN', '--call', 'tools/call:a\u0007b'],
    ];
    for (const row of rows)
        test(`"${row.join(' ')}" is ${USAGE}`, () => {
            const token = stage.token();
            const real = { POLICY: policy(), TOKEN: files.add(token) };
            const { status, stdout, stderr } = explain(
                row.map((word) => real[word] ?? word),
                { token },
            );
            assert.equal(status, USAGE);
            assert.equal(stdout, '');
            assert.match(stderr, /usage: portcullis explain/);
        });
});
