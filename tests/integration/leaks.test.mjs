// SPDX-License-Identifier: Apache-2.0
// What a client trusts us with stays here (T8), and nothing in a token makes us connect anywhere
// (T9).
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { okJson } from './lib/byte-upstream.mjs';
import { eventually, sleep } from './lib/observe.mjs';
import { wordsInMemory } from './lib/process-memory.mjs';
import { call, openStage } from './lib/stage.mjs';
import { newSigningKey, signCompact, tokenClaims, tokenHeader } from './lib/tokens.mjs';

// Each canary is a word that appears nowhere else.
let serial = 0;
const canary = () => `canary${process.pid}x${String(serial++).padStart(3, '0')}`;

const cannotLook =
    (process.getuid() !== 0 && 'needs root, to read the memory of the daemon') ||
    (process.env.PORTCULLIS_SANITIZED && 'a sanitizer keeps what was freed');

describe('leaks (T8)', () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-leaks-'));
    const canaries = []; // [text, what it was]
    const sown = (what, text = canary()) => {
        canaries.push([text, what]);
        return text;
    };
    const secretFile = path.join(folder, 'secret');
    const fileSecret = canary();
    const sessionSecret = canary();
    const answers = []; // heads and bodies of everything that came back
    let stage;

    before(async () => {
        fs.writeFileSync(secretFile, `${fileSecret}\n`);
        stage = await openStage({
            policy: { log: { level: 'debug' }, session_secret: sessionSecret.padEnd(40, 'x') },
            route: {
                upstream: {
                    headers: { 'X-Api-Key': `$file(${secretFile})` },
                    response_timeout: '300ms',
                },
                limits: { body: 4096 },
            },
        });
        await sow();
    });
    after(async () => {
        await stage?.close();
        fs.rmSync(folder, { recursive: true });
    });

    async function note(options) {
        const answer = await stage.ask(options);
        answers.push(JSON.stringify(answer.fields) + answer.text);
        return answer.status;
    }

    // Every way in which a secret can come in, and every way in which a request can end.
    async function sow() {
        const good = stage.token({ claims: { jti: canary() } });
        for (const [i, segment] of good.split('.').entries())
            sown(`segment ${i} of a good token`, segment);
        assert.equal(await note({ token: good }), 200);
        assert.equal(await note({ token: good, method: 'GET', body: null }), 200);

        const forged = `${good.split('.').slice(0, 2).join('.')}.${sown('a bad signature', canary())}`;
        assert.equal(await note({ token: forged }), 401);
        assert.equal(await note({ token: sown('an opaque token') }), 401);
        assert.equal(await note({ token: `${sown('a token with odd bytes')}!"` }), 401);
        const expired = stage.token({ claims: { exp: 1000 } });
        assert.equal(await note({ token: sown('an expired token', expired) }), 401);
        const foreign = stage.token({ claims: { aud: 'https://other.example/' } });
        assert.equal(await note({ token: sown('a token for another audience', foreign) }), 401);
        const odd = stage.token({ header: { kid: sown('an unknown kid') } });
        assert.equal(await note({ token: odd }), 401);

        const without = { token: null };
        const basic = Buffer.from(`user:${canary()}`).toString('base64');
        assert.equal(
            await note({ ...without, headers: [`Authorization: Basic ${sown('Basic', basic)}`] }),
            401,
        );
        const inQuery = `/mcp?access_token=${sown('a token in the query')}`;
        assert.equal(await note({ ...without, target: inQuery }), 400);
        assert.equal(await note({ target: inQuery }), 400);
        assert.equal(
            await note({ headers: [`Authorization: Bearer ${sown('a second credential')}`] }),
            400,
        );
        assert.equal(
            await note({ ...without, headers: [`Cookie: session=${sown('a cookie')}`] }),
            401,
        );
        assert.equal(
            await note({ headers: [`Cookie: session=${sown('a cookie that was let in')}`] }),
            200,
        );
        const proxy = `Proxy-Authorization: Bearer ${sown('a proxy credential')}`;
        assert.equal(await note({ headers: [proxy] }), 200);

        // requests that the filter refuses, with the secret before or behind the bad byte
        const header = (what) => `Authorization: Bearer ${sown(what)}`;
        assert.equal(
            await note({ ...without, headers: [header('before a bad field'), 'bad field: x'] }),
            400,
        );
        assert.equal(
            await note({ ...without, headers: ['bad field: x', header('behind one')] }),
            400,
        );
        assert.equal(await note({ ...without, target: `/mcp#${sown('in a bad target')}` }), 400);
        assert.equal(
            await note({
                ...without,
                headers: [header('a huge head'), `X: ${'x'.repeat(40_000)}`],
            }),
            431,
        );
        assert.equal(
            await note({ ...without, target: `/nowhere?code=${sown('the query of a 404')}` }),
            404,
        );
        assert.equal(
            await note({ method: 'PUT', target: `/mcp?x=${sown('the query of a 405')}` }),
            405,
        );
        assert.equal(
            await note({
                body: JSON.stringify({ x: sown('a body that is too large').padEnd(5000) }),
            }),
            413,
        );

        // upstream failures
        stage.upstream.respond = (request, link) => link.reset();
        assert.equal(await note({ body: call('x', { password: sown('the body of a 502') }) }), 502);
        stage.upstream.respond = () => {};
        assert.equal(await note({ body: call('x', { password: sown('the body of a 504') }) }), 504);
        const bad = `HTTP/1.1 200 OK\r\nX: ${sown('a bad answer')}\0\r\n\r\n`;
        stage.upstream.respond = (request, link) => link.send(bad);
        assert.equal(await note({}), 502);
        stage.upstream.respond = (request, link) => link.send(okJson('{}'));
    }

    // What was allowed to pass: the words that belong to the caller's own body, upstream only.
    const body = (what) => /^the body of/.test(what);

    function assertNowhere(text, where, except = () => false) {
        const found = canaries.filter(([word, what]) => !except(what) && text.includes(word));
        assert.deepEqual(
            found.map(([, what]) => what),
            [],
            where,
        );
        if (where !== 'the upstream') assert.ok(!text.includes(fileSecret), `$file() in ${where}`);
    }

    /** What each of [word, what] is that stands in the daemon's memory. */
    function stillInMemory(words) {
        const found = wordsInMemory(
            stage.gate.pid,
            words.map(([word]) => word),
        );
        return words.filter(([word]) => found.has(word)).map(([, what]) => what);
    }

    async function reload(policy) {
        const times = () => stage.gate.log.filter((line) => line.event === 'reloaded').length;
        const before = times();
        stage.gate.reload(policy);
        await eventually(() => times() > before, 'the policy is reloaded');
    }

    test('the seeds were sown', () => {
        assert.ok(canaries.length >= 20);
        assert.ok(
            stage.upstream.everything.includes(fileSecret),
            'the upstream gets its own secret',
        );
        assert.ok(stage.gate.log.length >= answers.length, 'the log has a line for each');
    });

    test('no credential and no cookie reaches the upstream', () =>
        assertNowhere(stage.upstream.everything, 'the upstream', body));

    test('no answer repeats what was sent', () => assertNowhere(answers.join('\n'), 'the answers'));

    test('nothing is in the metrics', async () =>
        assertNowhere(await stage.gate.metrics(), '/metrics'));

    test('nothing is in the health answers', async () => {
        for (const target of ['/healthz', '/readyz'])
            assertNowhere(await (await fetch(stage.gate.adminUrl(target))).text(), target);
    });

    test('nothing is in the process’s arguments, environment or name', () => {
        for (const file of ['cmdline', 'environ', 'comm'])
            assertNowhere(fs.readFileSync(`/proc/${stage.gate.pid}/${file}`, 'latin1'), file);
    });

    test('nothing of a policy that was replaced stays in memory', { skip: cannotLook }, async () => {
        const literal = sown('a secret in the policy');
        const inFile = canary();
        const file = path.join(folder, 'another-secret');
        fs.writeFileSync(file, inFile);
        const route = stage.policy().routes[0];
        const withHeaders = (headers) =>
            stage.policy({
                session_secret: `${literal} session`.padEnd(40, 'x'),
                routes: [{ ...route, upstream: { ...route.upstream, headers } }],
            });
        const first = [
            [fileSecret, 'the $file() of the start'],
            [sessionSecret, 'the session_secret of the start'],
        ];
        assert.deepEqual(stillInMemory(first).sort(), first.map(([, what]) => what).sort());
        const old = [
            ...first,
            [literal, 'the literal'],
            [inFile, 'the $file()'],
        ];
        await reload(withHeaders({ 'X-Api-Key': `$file(${file})`, 'X-Literal': literal }));
        assert.equal(await note({}), 200);
        await eventually(() => {
            assert.deepEqual(stillInMemory(old).sort(), ['the $file()', 'the literal']);
            return true;
        }, 'nothing of the start is in memory');
        const routes = [{ ...route, upstream: stage.upstreamUrl }];
        await reload(stage.policy({ session_secret: undefined, routes }));
        await eventually(() => {
            assert.deepEqual(stillInMemory(old), []);
            return true;
        }, 'the memory is clean');
    });

    test('nothing is in the log, also after a reload and the end', async () => {
        stage.gate.reload(stage.policy());
        await sleep(200);
        await stage.gate.stop();
        assertNowhere(stage.gate.stderr, 'the log');
    });
});

describe('a token names places (T9)', () => {
    let stage;
    let trap; // a listener that nobody may connect to
    let connections = 0;
    before(async () => {
        trap = net.createServer((socket) => {
            connections++;
            socket.destroy();
        });
        trap.listen(0, '127.0.0.1');
        await once(trap, 'listening');
        stage = await openStage({ policy: { jwks: { unknown_kid_cooldown: '1s' } } });
    });
    after(async () => {
        trap.close();
        await stage?.close();
    });

    test('and no connection is ever made to them', async () => {
        const attacker = await newSigningKey();
        const at = `http://127.0.0.1:${trap.address().port}`;
        const jwks = `${at}/jwks.json`;
        const named = { jku: jwks, x5u: `${at}/cert.pem`, jwk: attacker.publicJwk, x5c: ['MIIB'] };
        const mint = (header, claims = {}, key = attacker) =>
            signCompact({
                header: { ...tokenHeader('rfc9068', key), ...header },
                payload: {
                    ...tokenClaims('rfc9068', {
                        issuer: stage.tenant.issuer,
                        resource: 'https://mcp.example.com/mcp',
                    }),
                    ...claims,
                },
                key,
            });
        const ours = stage.tenant.key;
        const tokens = [
            mint({ jku: jwks }),
            mint({ x5u: named.x5u }),
            mint({ jwk: attacker.publicJwk }),
            mint(named),
            mint({ ...named, kid: jwks }),
            mint({ ...named, kid: ours.kid }),
            mint({ kid: `${at}/x` }),
            mint({}, { iss: `${at}/` }),
            mint({ ...named }, { iss: `${at}/`, jku: jwks }),
            mint({}, { iss: `${at}/.well-known/openid-configuration` }),
            mint(named, { iss: `file:///etc/passwd` }),
            mint({}, { iss: `${stage.tenant.issuer}@127.0.0.1:${trap.address().port}/` }),
        ];
        stage.upstream.forget();
        for (const token of tokens) assert.equal((await stage.ask({ token })).status, 401);
        assert.equal(stage.upstream.requests.length, 0);
        // our own key beside the same names is still our own key
        assert.equal((await stage.ask({ token: mint(named, {}, ours) })).status, 200);
        await sleep(300);
        assert.equal(connections, 0);
    });
});
