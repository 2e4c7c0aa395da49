// SPDX-License-Identifier: Apache-2.0
// The command line as scripts and service managers use it: exit statuses, what goes to stdout and
// what to stderr, and one verdict on a policy whoever is asked (T40).
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runPortcullis } from './lib/portcullis.mjs';
import { freePort } from './lib/ports.mjs';
import { openStage } from './lib/stage.mjs';

const COMMANDS = ['serve', 'check', 'print', 'explain', 'schema', 'healthcheck', 'version'];
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-commands-'));
after(() => fs.rmSync(folder, { recursive: true }));

const GOOD = {
    auth0: 'your-tenant.us.auth0.com',
    routes: [{ resource: 'https://mcp.example.com/mcp', upstream: 'http://127.0.0.1:3000/mcp' }],
};

function policyFile(policy, name = 'policy.json') {
    const file = path.join(folder, name);
    fs.writeFileSync(file, typeof policy === 'string' ? policy : JSON.stringify(policy, null, 2));
    return file;
}

describe('usage', () => {
    for (const args of [
        ['--help'],
        ['-h'],
        ['help'],
        ...COMMANDS.map((command) => [command, '--help']),
    ])
        test(`${args.join(' ')} explains on stdout and is 0`, async () => {
            const { code, stdout, stderr } = await runPortcullis(args);
            assert.equal(code, 0, stderr);
            assert.match(stdout, /usage/i);
            assert.equal(stderr, '');
        });

    test('the overview names every command', async () => {
        const { stdout } = await runPortcullis(['--help']);
        for (const command of COMMANDS) assert.match(stdout, new RegExp(`\\b${command}\\b`));
    });

    for (const args of [
        [],
        ['nonsense'],
        ['--nonsense'],
        ['serv'],
        ['serve'],
        ['serve', 'a.json', 'b.json'],
        ['serve', '--nonsense', 'a.json'],
        ['check'],
        ['healthcheck', '--nonsense'],
        ['print'],
        ['schema', 'x'],
        ['version', 'x'],
        ['healthcheck', 'a', 'b'],
    ])
        test(`"${args.join(' ')}" is bad usage: 2, said on stderr`, async () => {
            const { code, stdout, stderr } = await runPortcullis(args);
            assert.equal(code, 2);
            assert.equal(stdout, '');
            assert.match(stderr, /usage|portcullis/i);
        });

    test('version names itself and its libraries', async () => {
        for (const args of [['version'], ['--version']]) {
            const { code, stdout } = await runPortcullis(args);
            assert.equal(code, 0);
            for (const name of ['portcullis', 'libmicrohttpd', 'libcurl', 'jansson', 'hiredis', 'OpenSSL'])
                assert.match(stdout, new RegExp(`${name}[ /]+\\d+\\.\\d+`, 'i'), name);
        }
    });

    test('schema prints the file that is shipped', async () => {
        const { code, stdout } = await runPortcullis(['schema']);
        assert.equal(code, 0);
        const shipped = new URL('../../config/policy.schema.json', import.meta.url);
        assert.deepEqual(JSON.parse(stdout), JSON.parse(fs.readFileSync(shipped, 'utf8')));
    });

    test('an answer that stdout does not take is a failure', async () => {
        const stdoutFull = fs.openSync('/dev/full', 'w');
        const { spawnSync } = await import('node:child_process');
        const { portcullisBinary } = await import('./lib/portcullis.mjs');
        const { status } = spawnSync(portcullisBinary(), ['version'], {
            stdio: ['ignore', stdoutFull, 'pipe'],
        });
        fs.closeSync(stdoutFull);
        assert.equal(status, 1);
    });
});

describe('policies', () => {
    test('check of a good policy is 0', async () => {
        assert.equal((await runPortcullis(['check', policyFile(GOOD)])).code, 0);
    });

    test('a file that is not there, or is a folder, is 2', async () => {
        for (const command of ['check', 'print', 'serve'])
            for (const file of [path.join(folder, 'missing.json'), folder]) {
                const { code, stderr } = await runPortcullis([command, file]);
                assert.equal(code, 2, `${command} ${file}`);
                assert.ok(stderr.includes(file), stderr);
            }
    });

    test('print fills in defaults and hides secrets', async () => {
        const policy = structuredClone(GOOD);
        policy.routes[0].upstream = {
            url: 'http://127.0.0.1:3000/mcp',
            headers: { 'X-Key': '$env(THE_KEY)' },
        };
        const { code, stdout } = await runPortcullis(['print', policyFile(policy)], {
            env: { THE_KEY: 'canary-of-print' },
        });
        assert.equal(code, 0);
        assert.ok(!stdout.includes('canary-of-print'));
        const printed = JSON.parse(stdout);
        assert.equal(printed.listen, '127.0.0.1:8080');
        assert.equal(printed.routes[0].resource, GOOD.routes[0].resource);
        assert.equal(printed.clock_skew, '30s');
    });

    test('an insecure switch is told at every start', async () => {
        const stage = await openStage({ policy: { insecure: { http_issuer: true } } });
        try {
            assert.match(stage.gate.stderr, /http_issuer/);
        } finally {
            await stage.close();
        }
    });

    test('an address in use is 1, and says which', async () => {
        const holder = net.createServer();
        await new Promise((resolve) => holder.listen(0, '127.0.0.1', resolve));
        const taken = holder.address().port;
        const free = await freePort();
        for (const [listen, admin] of [
            [taken, free],
            [free, taken],
        ]) {
            const file = policyFile({
                ...GOOD,
                listen: `127.0.0.1:${listen}`,
                admin: `127.0.0.1:${admin}`,
            });
            const { code, stderr } = await runPortcullis(['serve', file]);
            assert.equal(code, 1, stderr);
            assert.ok(stderr.includes(String(taken)), stderr);
        }
        holder.close();
    });
});

describe('the self-check of serve', () => {
    test('an OpenSSL that may not do what tokens need is 1, and told', async () => {
        const openssl = path.join(folder, 'openssl.cnf');
        const section = (name, line) => `[${name}]\n${line}\n`;
        const forbids = section('properties', 'default_properties = provider=nobody');
        const init = section('init', 'alg_section = properties');
        fs.writeFileSync(openssl, `openssl_conf = init\n${init}${forbids}`);
        const { code, stderr } = await runPortcullis(['serve', policyFile(GOOD)], {
            env: { OPENSSL_CONF: openssl },
        });
        assert.equal(code, 1, stderr);
        assert.match(stderr, /^portcullis: self-check failed: OpenSSL has no working SHA-256\b.*\n$/);
    });
});

describe('healthcheck', () => {
    test('is 0 while the daemon lives and 1 when it does not', async () => {
        const stage = await openStage();
        try {
            const file = stage.gate.policyFile;
            assert.equal((await runPortcullis(['healthcheck', file])).code, 0);
            fs.copyFileSync(file, path.join(folder, 'health.json'));
            await stage.gate.stop();
            const { code, stderr } = await runPortcullis([
                'healthcheck',
                path.join(folder, 'health.json'),
            ]);
            assert.equal(code, 1);
            assert.notEqual(stderr, '');
        } finally {
            await stage.close();
        }
    });

    test('of something that never answers ends by itself', async () => {
        const silent = net.createServer(() => {});
        await new Promise((resolve) => silent.listen(0, '127.0.0.1', resolve));
        const file = policyFile({ ...GOOD, admin: `127.0.0.1:${silent.address().port}` });
        assert.equal((await runPortcullis(['healthcheck', file])).code, 1);
        silent.close();
    });

    test('without an admin address it is told apart: 2 or 1, with a reason', async () => {
        const { code, stderr } = await runPortcullis([
            'healthcheck',
            policyFile({ ...GOOD, admin: null }),
        ]);
        assert.ok([1, 2].includes(code), `${code}`);
        assert.match(stderr, /admin/);
    });
});

describe('examples', () => {
    const examples = new URL('../../config/examples/', import.meta.url);
    const keys = new URL('../data/keys/', import.meta.url);
    const credentials = path.join(folder, 'credentials');
    before(() => {
        fs.mkdirSync(credentials);
        fs.copyFileSync(new URL('signer.pem', keys), path.join(credentials, 'assertion-key'));
        fs.copyFileSync(new URL('next.pem', keys), path.join(credentials, 'assertion-key-next'));
        fs.writeFileSync(path.join(credentials, 'session-secret'), 'canary-of-check'.repeat(3));
    });

    for (const name of fs.readdirSync(examples))
        test(`check of ${name} is 0, says nothing, and counts its tests`, async () => {
            const { code, stdout, stderr } = await runPortcullis(
                ['check', fileURLToPath(new URL(name, examples))],
                { env: { CREDENTIALS_DIRECTORY: credentials } },
            );
            const { tests } = JSON.parse(fs.readFileSync(new URL(name, examples), 'utf8'));
            assert.equal(code, 0, stderr);
            assert.equal(stderr, '');
            assert.match(stdout, new RegExp(`^tests: ${tests.length} passed$`, 'm'));
        });

    test('print of an example shows no credential', async () => {
        for (const name of ['told-upstream.json', 'sessions.json']) {
            const { code, stdout } = await runPortcullis(
                ['print', fileURLToPath(new URL(name, examples))],
                { env: { CREDENTIALS_DIRECTORY: credentials } },
            );
            assert.equal(code, 0);
            assert.doesNotMatch(stdout, /PRIVATE KEY|canary-of-check/);
            assert.match(stdout, /\[redacted\]/);
        }
    });

    test('a test of the policy that fails is an error of check and serve alike', async () => {
        const file = policyFile({
            ...GOOD,
            tests: [{ call: ['tools/call', 'echo'], expect: 'deny' }],
        });
        const check = await runPortcullis(['check', file]);
        const serve = await runPortcullis(['serve', file]);
        assert.equal(check.code, 2);
        assert.equal(serve.code, 2);
        assert.match(check.stderr, /\/tests\/0: expected "deny", but this is "allow"/);
        assert.equal(serve.stderr, check.stderr);
    });
});

const broken = new URL('data/broken-policies/', import.meta.url);
describe('broken policies (T40)', () => {
    const rows = JSON.parse(fs.readFileSync(new URL('manifest.json', broken), 'utf8'));
    before(() => assert.ok(rows.length >= 60, `${rows.length} rows`));

    for (const row of rows)
        test(`check and serve refuse ${row.file} alike: ${row.why}`, async () => {
            const file = fileURLToPath(new URL(row.file, broken));
            const [check, serve] = [
                await runPortcullis(['check', file], { env: row.env }),
                await runPortcullis(['serve', file], { env: row.env }),
            ];
            assert.equal(check.code, 2, check.stderr);
            assert.equal(serve.code, 2, serve.stderr);
            assert.equal(serve.stderr, check.stderr);
            assert.ok(check.stderr.includes(row.pointer), check.stderr);
            assert.match(check.stderr, new RegExp(`:${row.line}\\b`));
        });
});
