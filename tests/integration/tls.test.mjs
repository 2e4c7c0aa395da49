// SPDX-License-Identifier: Apache-2.0
// TLS on `listen`: what a handshake may use, that everything else is as without it, client
// certificates, several addresses, and files that are wrong.
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import tls from 'node:tls';
import { promisify } from 'node:util';

import { assertOwnError } from './lib/answers.mjs';
import { okJson } from './lib/byte-upstream.mjs';
import { makeCertificates } from './lib/certs.mjs';
import { eventually, openFds, rounds, sleep } from './lib/observe.mjs';
import { runPortcullis } from './lib/portcullis.mjs';
import { freePort } from './lib/ports.mjs';
import { call, openStage, RESOURCE } from './lib/stage.mjs';
import { BrokenAnswer, Wire } from './lib/wire.mjs';

const SSE_HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-tls-'));
const certs = makeCertificates(folder);
const ca = fs.readFileSync(certs.ca.cert);
const pair = { certificate: certs.server.cert, key: certs.server.key };
after(() => fs.rmSync(folder, { recursive: true }));

const handshakes = async (stage, result) =>
    (await stage.metrics()).sum('portcullis_tls_handshakes_total', { result });

/** RUN fails the handshake, which is counted as RESULT. */
async function assertRefused(stage, run, error, result) {
    const earlier = await handshakes(stage, result);
    await assert.rejects(run(), error);
    await eventually(
        async () => (await handshakes(stage, result)) === earlier + 1,
        `a handshake is counted as ${result}`,
    );
}

describe('TLS on listen', () => {
    let stage;
    before(async () => (stage = await openStage({ tls: pair, ca })));
    after(() => stage?.close());
    beforeEach(() => stage.upstream.forget());

    for (const version of ['TLSv1.2', 'TLSv1.3'])
        test(`speaks ${version}, with an AEAD`, async () => {
            const wire = await stage.wire({ minVersion: version, maxVersion: version });
            assert.equal(wire.tls.getProtocol(), version);
            assert.match(wire.tls.getCipher().name, /GCM|CHACHA20/);
            for (let i = 0; i < 3; i++) {
                wire.send(stage.request());
                assert.equal((await wire.answer()).status, 200);
            }
            assert.equal(stage.upstream.last.get('x-forwarded-proto'), 'https');
            wire.close();
        });

    const OLD = { ciphers: 'ALL:@SECLEVEL=0' };
    for (const version of ['TLSv1', 'TLSv1.1'])
        test(`does not speak ${version}`, () =>
            assertRefused(
                stage,
                () => stage.wire({ ...OLD, minVersion: version, maxVersion: version }),
                /alert protocol version/,
                'version',
            ));

    for (const ciphers of ['AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-SHA384'])
        test(`does not use ${ciphers}`, () =>
            assertRefused(
                stage,
                () => stage.wire({ maxVersion: 'TLSv1.2', ciphers }),
                /handshake failure/,
                'cipher',
            ));

    test('is HTTP/1.1 in ALPN, and nothing else', async () => {
        const wire = await stage.wire({ ALPNProtocols: ['h2', 'http/1.1'] });
        assert.equal(wire.tls.alpnProtocol, 'http/1.1');
        wire.close();
        await assertRefused(
            stage,
            () => stage.wire({ ALPNProtocols: ['h2'] }),
            /no application protocol/,
            'alpn',
        );
    });

    // Node looks at the certificate when the handshake is over, and sends no alert.
    test('counts clients that do not trust it', () =>
        assertRefused(
            stage,
            () =>
                promisify(execFile)('openssl', [
                    ...['s_client', '-connect', `127.0.0.1:${stage.gate.port}`],
                    ...['-verify_return_error', '-CAfile', certs.otherCa.cert],
                ]),
            /verify error/,
            'refused',
        ));

    test('resumes sessions of TLS 1.3', async () => {
        const first = await stage.wire();
        const ticket = new Promise((resolve) => first.tls.once('session', resolve));
        first.send(stage.request());
        assert.equal((await first.answer()).status, 200);
        const session = await ticket;
        first.close();
        const second = await stage.wire({ session });
        assert.ok(second.tls.isSessionReused());
        second.send(stage.request());
        assert.equal((await second.answer()).status, 200);
        second.close();
        assert.equal(await handshakes(stage, 'resumed'), 1);
    });

    test('plain HTTP on its port is refused in plain, and told', async () => {
        const wire = await Wire.open(stage.gate.port);
        wire.send(stage.request());
        const answer = await wire.answer();
        assertOwnError(answer, 400);
        assert.match(answer.json.error_description, /plain HTTP/);
        await wire.drainToEnd();
        assert.equal(wire.error, null);
        const line = await eventually(
            () => stage.event(answer.get('x-request-id')),
            'it is in the log',
        );
        assert.equal(line.reason, 'plain_http');
        assert.ok((await handshakes(stage, 'plain_http')) > 0);
        assert.equal(stage.upstream.requests.length, 0);
    });

    test('failed handshakes are told with their reason, and not each', async () => {
        await sleep(1100); // a second later than any before
        const from = stage.gate.log.length;
        const isTold = (line) => line.event === 'handshake_failed';
        for (let i = 0; i < 30; i++) await assert.rejects(stage.wire({ ALPNProtocols: ['h2'] }));
        const line = await stage.gate.logged(isTold, 'a failed handshake', { from });
        assert.equal(line.reason, 'alpn');
        assert.equal(line.client_ip, '127.0.0.1');
        assert.ok(stage.gate.log.slice(from).filter(isTold).length < 15);
    });

    test('many requests at once in one write', async () => {
        const wire = await stage.wire();
        const many = Array.from({ length: 40 }, (_, i) =>
            stage.request({ body: call('ping', {}, i) }),
        );
        stage.upstream.respond = (request, link) =>
            link.send(okJson(JSON.stringify({ id: JSON.parse(request.body).id })));
        wire.send(Buffer.concat(many));
        for (let i = 0; i < many.length; i++) assert.equal((await wire.answer()).json.id, i);
        wire.close();
    });

    test('large bodies both ways, also to a slow reader', async () => {
        const wire = await stage.wire();
        const body = call('x', { pad: crypto.randomBytes(1_500_000).toString('base64') });
        const big = JSON.stringify({ pad: crypto.randomBytes(6_000_000).toString('base64') });
        stage.upstream.respond = (request, link) => link.send(okJson(big));
        for (let i = 0; i < 2; i++) {
            wire.send(stage.request({ body }));
            await wire.head();
            wire.pause();
            await sleep(300);
            wire.resume();
            assert.equal((await wire.body()).toString(), big);
            assert.equal(stage.upstream.last.body.toString(), body);
        }
        wire.close();
    });

    test('events come one by one, and the connection serves on', async () => {
        stage.upstream.respond = (request, link) => link.send(SSE_HEAD);
        const wire = await stage.wire();
        wire.send(stage.request({ method: 'GET', body: null }));
        await wire.head({ method: 'GET' });
        for (let i = 0; i < 50; i++) {
            stage.upstream.last.link.send(`data: ${i}\n\n`);
            assert.equal((await wire.part()).toString(), `data: ${i}\n\n`);
        }
        stage.upstream.last.link.end();
        assert.equal(await wire.part(), null);
        stage.upstream.forget();
        wire.send(stage.request());
        assert.equal((await wire.answer()).status, 200);
        wire.close();
    });

    test('an upstream that dies in a stream breaks it', async () => {
        stage.upstream.respond = async (request, link) => {
            await link.send('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n');
            await link.send('Transfer-Encoding: chunked\r\n\r\n7\r\ndata: 1\r\n');
            setTimeout(() => link.reset(), 30);
        };
        const wire = await stage.wire();
        wire.send(stage.request());
        await wire.head();
        await assert.rejects(wire.body(), BrokenAnswer);
        wire.close();
    });

    for (const [how, leave] of [
        ['closes', (wire) => wire.close()],
        ['is cut off', (wire) => wire.reset()],
    ])
        test(`a client that ${how} cancels its request`, async () => {
            stage.upstream.respond = () => {};
            const wire = await stage.wire();
            wire.send(stage.request());
            const request = await eventually(() => stage.upstream.last, 'the request is there');
            const left = performance.now();
            leave(wire);
            assert.ok((await request.link.closed) - left < 2000);
        });

    test('bad bytes inside of it are refused inside of it', async () => {
        const wire = await stage.wire();
        wire.send('GET /mcp HTTP/1.1\r\nHost: x\r\nBad : y\r\n\r\n');
        assertOwnError(await wire.answer(), 400);
        await wire.drainToEnd();
        assert.equal(wire.error, null); // with a close_notify
    });

    test('200 handshakes that are abandoned half way leave nothing', async () => {
        const hello = await helloBytes();
        const settled = async () => (await stage.metrics()).sum('portcullis_connections') === 0;
        await eventually(settled, 'no connection is left');
        const before = openFds(stage.gate.pid);
        for (let i = 0; i < rounds(200); i++) {
            const socket = net.connect(stage.gate.port, '127.0.0.1');
            socket.on('error', () => {});
            await new Promise((resolve) => socket.once('connect', resolve));
            socket.write(hello.subarray(0, i % 4 === 0 ? hello.length : (i * 7) % hello.length));
            if (i % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
            if (i % 2) socket.resetAndDestroy();
            else socket.end();
            socket.resume();
        }
        await eventually(settled, 'no connection is left');
        assert.ok(openFds(stage.gate.pid) <= before);
        const wire = await stage.wire();
        wire.send(stage.request());
        assert.equal((await wire.answer()).status, 200);
        wire.close();
    });

    // What a client says first.
    function helloBytes() {
        return new Promise((resolve) => {
            const server = net.createServer((socket) =>
                socket.once('data', (bytes) => {
                    socket.destroy();
                    server.close();
                    resolve(bytes);
                }),
            );
            server.listen(0, '127.0.0.1', () =>
                tls.connect(server.address().port, '127.0.0.1').on('error', () => {}),
            );
        });
    }

    test('a drain ends idle connections and lets the others finish', async () => {
        const idle = await stage.wire();
        const busy = await stage.wire();
        stage.upstream.respond = () => {};
        busy.send(stage.request());
        const request = await eventually(() => stage.upstream.last, 'the request is there');
        stage.gate.signal('SIGTERM');
        assert.equal(await idle.drainToEnd(), null);
        request.link.send(okJson('{"late":true}'));
        assert.equal((await busy.answer()).text, '{"late":true}');
        await busy.drainToEnd();
        assert.deepEqual(await stage.gate.exited, { code: 0, signal: null });
    });
});

describe('a client CA', () => {
    let stage;
    const client_ca = certs.ca.cert;
    before(async () => (stage = await openStage({ tls: { ...pair, client_ca }, ca })));
    after(() => stage?.close());

    const as = ({ cert, key }) => ({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) });
    // In TLS 1.3 the client learns of it when it reads.
    const askAs = async (options) => {
        const wire = await stage.wire(options);
        try {
            wire.send(stage.request());
            return await wire.answer();
        } catch (error) {
            throw new Error(wire.error ?? error.message);
        } finally {
            wire.close();
        }
    };

    for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
        test(`lets its clients in (${maxVersion}), who still need a token`, async () => {
            assert.equal((await askAs({ ...as(certs.client), maxVersion })).status, 200);
            const wire = await stage.wire({ ...as(certs.client), maxVersion });
            wire.send(stage.request({ token: null }));
            assert.equal((await wire.answer()).status, 401);
            wire.close();
        });

        test(`refuses clients without a certificate (${maxVersion})`, () =>
            assertRefused(stage, () => askAs({ maxVersion }), /./, 'no_certificate'));

        test(`refuses those that it did not sign (${maxVersion})`, () =>
            assertRefused(
                stage,
                () => askAs({ ...as(certs.otherCa), maxVersion }),
                /./,
                'bad_certificate',
            ));
    }
});

describe('several addresses', () => {
    const socket = path.join(folder, 'http.sock');
    let stage;
    let plainPort;
    let tlsPort;
    before(async () => {
        [plainPort, tlsPort] = [await freePort(), await freePort()];
        const listen = [
            `127.0.0.1:${plainPort}`,
            { address: `127.0.0.1:${tlsPort}`, tls: pair },
            { address: `unix:${socket}`, mode: '0660' },
            { address: `unix:${socket}.tls`, mode: '606', tls: pair },
        ];
        stage = await openStage({ policy: { listen }, prelude: 'umask 027' });
    });
    after(() => stage?.close());

    const doors = () => [
        ['TCP', plainPort, {}],
        ['TLS', tlsPort, { secure: { ca } }],
        ['a unix socket', socket, {}],
        ['TLS on a unix socket', `${socket}.tls`, { secure: { ca } }],
    ];

    test('all serve the same routes', async () => {
        for (const [what, to, options] of doors()) {
            const wire = await Wire.open(to, options);
            for (let i = 0; i < 2; i++) {
                wire.send(stage.request());
                assert.equal((await wire.answer()).status, 200, what);
            }
            wire.close();
        }
        const told = stage.gate.log.filter((line) => line.event === 'listening');
        assert.deepEqual(
            told.map((line) => line.tls),
            [false, true, false, true],
        );
    });

    test('the modes are those of the policy, whatever the umask is', () => {
        assert.equal(fs.statSync(socket).mode & 0o777, 0o660);
        assert.equal(fs.statSync(`${socket}.tls`).mode & 0o777, 0o606);
        assert.ok(fs.statSync(socket).isSocket());
    });

    test('print shows them as they are', async () => {
        const { stdout } = await runPortcullis(['print', stage.gate.policyFile]);
        const { listen } = JSON.parse(stdout);
        assert.equal(listen[0], `127.0.0.1:${plainPort}`);
        assert.deepEqual(listen[1].tls, { ...pair, client_ca: null });
        assert.equal(listen[2].mode, '0660');
    });

    test('unix sockets are gone after the end', async () => {
        await stage.gate.stop();
        assert.ok(!fs.existsSync(socket));
        assert.ok(!fs.existsSync(`${socket}.tls`));
    });
});

describe('certificates that are of no use', () => {
    const openssl = (...args) => execFileSync('openssl', args, { stdio: 'pipe' });
    const file = (name) => path.join(folder, name);
    before(() => {
        const locked = ['-aes128', '-passout', 'pass:x', '-out', file('locked')];
        openssl('pkey', '-in', certs.server.key, ...locked);
        const pem = (...names) => names.map((name) => fs.readFileSync(name)).join('');
        fs.writeFileSync(file('swapped'), pem(certs.ca.cert, certs.server.cert));
        fs.writeFileSync(file('chain'), pem(certs.server.cert, certs.ca.cert));
        fs.writeFileSync(file('cut'), pem(certs.server.cert, certs.ca.cert).slice(0, -100));
        makeExpired();
    });

    function makeExpired() {
        const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
        const [key, csr] = [file('old.key'), file('old.csr')];
        openssl('req', ...ec, '-keyout', key, '-out', csr, '-subj', '/CN=old');
        fs.writeFileSync(file('index'), '');
        fs.writeFileSync(
            file('ca.cnf'),
            `[ca]\ndefault_ca=a\n[a]\ndatabase=${file('index')}\nnew_certs_dir=${folder}\n` +
                'rand_serial=yes\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n',
        );
        const dates = ['-startdate', '20200101000000Z', '-enddate', '20200201000000Z'];
        const self = ['-selfsign', '-keyfile', key, '-in', csr, '-out', file('old')];
        openssl('ca', '-batch', '-notext', '-config', file('ca.cnf'), ...dates, ...self);
    }

    async function check(listenTls) {
        const policy = {
            auth0: 'your-tenant.us.auth0.com',
            listen: { address: '127.0.0.1:8443', tls: listenTls },
            routes: [{ resource: RESOURCE, upstream: 'http://127.0.0.1:3000/' }],
        };
        fs.writeFileSync(file('policy.json'), JSON.stringify(policy, null, 2));
        return runPortcullis(['check', file('policy.json')]);
    }

    for (const [what, change, pointer, line, text] of [
        ['another key', { key: certs.client.key }, 'key', 7, /does not belong to the certificate/],
        ['a key with a password', { key: 'locked' }, 'key', 7, /is encrypted/],
        ['the CA first', { certificate: 'swapped' }, 'certificate', 6, /put that one first/],
        ['a chain cut off', { certificate: 'cut' }, 'certificate', 6, /cannot be read/],
        ['a missing file', { certificate: 'nowhere' }, 'certificate', 6, /No such file/],
        ['a folder', { key: '.' }, 'key', 7, /regular file/],
        ['no CA for clients', { client_ca: certs.ca.key }, 'client_ca', 8, /holds no certificate/],
    ])
        test(`${what}: refused, with pointer and line`, async () => {
            const { code, stderr } = await check({ ...pair, ...change });
            assert.equal(code, 2);
            assert.match(stderr, text);
            const where = `policy.json:${line}: error: /listen/tls/${pointer}: `;
            assert.ok(stderr.includes(where), stderr);
            assert.doesNotMatch(stderr, /BEGIN|pass:/);
        });

    test('a chain behind the certificate is good', async () => {
        assert.equal((await check({ ...pair, certificate: 'chain' })).code, 0);
    });

    test('one that has expired is warned about', async () => {
        const { code, stderr } = await check({ certificate: 'old', key: 'old.key' });
        assert.equal(code, 0);
        assert.match(stderr, /warning: \/listen\/tls\/certificate: .* has expired, at 2020-02-01/);
    });
});
