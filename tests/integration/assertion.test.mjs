// SPDX-License-Identifier: Apache-2.0
// What the upstream is told about the caller, and why it can believe it: an upstream written with an
// ordinary JWT library (npm jose) verifies the assertion with the keys that the gate publishes; no
// client can fake one; keys rotate without a gap; and the private keys stay where they are.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';
import { assertOwnError } from './lib/answers.mjs';
import { okJson } from './lib/byte-upstream.mjs';
import { eventually, sleep } from './lib/observe.mjs';
import { runPortcullis } from './lib/portcullis.mjs';
import { openStage, RESOURCE } from './lib/stage.mjs';
import { newSigningKey } from './lib/tokens.mjs';

const HEADER = 'X-Portcullis-Assertion';
const JWKS_PATH = '/.well-known/portcullis/jwks.json';
const JSON_TYPE = 'Content-Type: application/json';

// How an upstream that folds names (CGI, WSGI, PHP) sees them.
const folded = (name) => name.toLowerCase().replaceAll('_', '-');
const seenAs = (request, name) =>
    request.fields.filter(([n]) => folded(n) === folded(name)).map(([, value]) => value);

const now = () => Math.floor(Date.now() / 1000);

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-assertion-'));
after(() => fs.rmSync(folder, { recursive: true }));

// A key of newSigningKey() as a file: { ...key, file, reference }.
function asFile(key, name) {
    const file = path.join(folder, `${name}.pem`);
    fs.writeFileSync(file, key.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    return { ...key, file, reference: `$file(${file})` };
}

// Answers every request with what the assertion in it says, after verifying it as its documentation
// tells a server to: { claims, header } as the result, or 401.
function believeAssertions(stage, jwks, name = HEADER) {
    stage.upstream.respond = async (request, link) => {
        const [jwt, ...more] = seenAs(request, name);
        try {
            assert.equal(more.length, 0, 'one assertion');
            const { payload, protectedHeader } = await jwtVerify(jwt ?? '', jwks, {
                issuer: RESOURCE,
                audience: stage.upstreamUrl,
                algorithms: ['RS256'],
                typ: 'JWT',
                requiredClaims: ['sub', 'exp', 'iat', 'client_id', 'sub_id'],
            });
            const { id = null } = request.body.length > 0 ? JSON.parse(request.body) : {};
            const result = { claims: payload, header: protectedHeader };
            await link.send(okJson(JSON.stringify({ jsonrpc: '2.0', id, result })));
        } catch (error) {
            link.end(
                `HTTP/1.1 401 Unauthorized\r\nContent-Length: ${error.message.length}\r\n` +
                    `Connection: close\r\n\r\n${error.message}`,
            );
        }
    };
}

describe('the assertion', () => {
    let stage;
    let first;
    let second;
    const jwksUrl = () => new URL(`http://127.0.0.1:${stage.gate.port}${JWKS_PATH}`);

    before(async () => {
        first = asFile(await newSigningKey(), 'first');
        second = asFile(await newSigningKey({ bits: 3072 }), 'second');
        stage = await openStage({
            policy: {
                workers: 1,
                limits: { header: '64KiB', token: '32KiB' },
                log: { level: 'debug' },
            },
            route: {
                upstream: {
                    assertion: {
                        key: [first.reference, second.reference],
                        claims: ['org_id', 'https://example.com/roles', 'absent'],
                    },
                },
            },
        });
    });
    after(() => stage?.close());
    beforeEach(() => {
        stage.upstream.forget();
        believeAssertions(stage, createRemoteJWKSet(jwksUrl()));
    });

    async function told(options) {
        const answer = await stage.ask(options);
        assert.equal(answer.status, 200, answer.text);
        return answer.json.result;
    }

    test('an upstream verifies it with jose and the published keys, and learns who calls', async () => {
        const claims = {
            sub: 'auth0|é42',
            scope: 'mcp:use files:read',
            org_id: 'org_1',
            'https://example.com/roles': ['admin', 1, { a: null }],
            email: 'not@asked.for',
        };
        const token = stage.token({ claims });
        const asked = now();
        const { claims: said, header } = await told({ token });
        assert.deepEqual(header, { alg: 'RS256', typ: 'JWT', kid: first.kid });
        const { iat, exp, ...rest } = said;
        assert.deepEqual(rest, {
            iss: RESOURCE,
            aud: stage.upstreamUrl,
            sub: claims.sub,
            sub_id: { format: 'iss_sub', iss: stage.tenant.issuer, sub: claims.sub },
            client_id: decodeJwt(token).client_id,
            scope: claims.scope,
            resource: RESOURCE,
            token: crypto.createHash('sha256').update(token).digest('hex').slice(0, 8),
            org_id: claims.org_id,
            'https://example.com/roles': claims['https://example.com/roles'],
        });
        assert.ok(iat >= asked && iat <= now(), `iat ${iat}`);
        assert.equal(exp, iat + 60);
    });

    test('it goes with GET and DELETE, too', async () => {
        for (const method of ['GET', 'DELETE'])
            assert.equal((await stage.ask({ method, body: null })).status, 200, method);
    });

    test('it never outlives the token', async () => {
        const exp = now() + 20;
        const { claims } = await told({ token: stage.token({ claims: { exp } }) });
        assert.equal(claims.exp, exp);
    });

    test('one is used for many requests of a token, and another one for another token', async () => {
        const tokens = [1, 2].map((n) => stage.token({ claims: { sub: `auth0|${n}` } }));
        for (let i = 0; i < 20; i++) {
            assert.equal((await told({ token: tokens[i % 2] })).claims.sub, `auth0|${1 + (i % 2)}`);
            if (i === 10) await sleep(1100); // the same moment would give the same signature
        }
        const sent = stage.upstream.requests.map((request) => seenAs(request, HEADER)[0]);
        assert.equal(new Set(sent).size, 2);
    });

    test('the keys are public, and nothing else about them is', async () => {
        const answer = await stage.ask({ token: null, method: 'GET', target: JWKS_PATH, body: null });
        assert.equal(answer.status, 200, answer.text);
        assert.match(answer.get('content-type'), /^application\/(jwk-set\+)?json$/);
        const publicHalf = ({ publicJwk: { kty, n, e, kid } }) => ({
            kty,
            n,
            e,
            kid,
            use: 'sig',
            alg: 'RS256',
        });
        assert.deepEqual(answer.json, { keys: [publicHalf(first), publicHalf(second)] });
        assert.equal(stage.upstream.requests.length, 0);
        const head = await stage.ask({ token: null, method: 'HEAD', target: JWKS_PATH, body: null });
        assert.equal(head.status, 200);
        assert.equal(head.get('content-length'), answer.get('content-length'));
        const post = await stage.ask({ target: JWKS_PATH });
        assert.equal(post.status, 405);
    });

    // T6: every spelling that some server takes for the same header.
    const spellings = [HEADER, HEADER.toLowerCase(), HEADER.toUpperCase()].flatMap((name) => [
        name,
        name.replaceAll('-', '_'),
        name.replace('-', '_'),
        name.replace(/-([^-]*)$/, '_$1'),
    ]);
    test('no client can fake it, in whatever spelling (T6)', async () => {
        const alien = await newSigningKey();
        const { claims } = await told({});
        const forged = [
            'evil',
            seenAs(stage.upstream.last, HEADER)[0].replace(/[^.]*$/, 'evil'),
            `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from(
                JSON.stringify({ ...claims, sub: 'evil' }),
            ).toString('base64url')}.`,
            alien.kid,
        ];
        const lines = spellings.flatMap((name) => forged.map((value) => `${name}: ${value}`));
        for (const headers of [...lines.map((line) => [line]), lines]) {
            stage.upstream.requests = [];
            const answer = await stage.ask({ headers: [JSON_TYPE, ...headers] });
            assert.ok([200, 400].includes(answer.status), `${headers}: ${answer.status}`);
            for (const request of stage.upstream.requests) {
                const values = seenAs(request, HEADER);
                assert.equal(values.length, 1, `${headers} reached the upstream`);
                assert.ok(!forged.includes(values[0]), `${headers} reached the upstream`);
            }
            if (answer.status === 200) assert.deepEqual(answer.json.result.claims.sub, claims.sub);
        }
    });

    test('one that was issued for another caller does not arrive either', async () => {
        await told({ token: stage.token({ claims: { sub: 'auth0|admin' } }) });
        const [stolen] = seenAs(stage.upstream.last, HEADER);
        const { claims } = await told({
            token: stage.token({ claims: { sub: 'auth0|mallory' } }),
            headers: [JSON_TYPE, `${HEADER}: ${stolen}`],
        });
        assert.equal(claims.sub, 'auth0|mallory');
        assert.equal(seenAs(stage.upstream.last, HEADER).length, 1);
    });

    test('Connection cannot take it away', async () => {
        await told({ headers: [JSON_TYPE, `Connection: ${HEADER}`] });
    });

    test('the bearer token and cookies never arrive beside it', async () => {
        const token = stage.token({ claims: { jti: 'canary' } });
        await told({ token, headers: [JSON_TYPE, 'Cookie: a=canary', 'Proxy-Authorization: x'] });
        for (const name of ['Authorization', 'Cookie', 'Proxy-Authorization'])
            assert.deepEqual(seenAs(stage.upstream.last, name), [], name);
        assert.ok(!stage.upstream.everything.includes('canary'));
        assert.ok(!stage.upstream.everything.includes(token.split('.')[1]));
    });

    test('who is refused by the gate is not vouched for', async () => {
        for (const token of [null, 'opaque', stage.token({ claims: { exp: 1000 } })])
            assert.equal((await stage.ask({ token })).status, 401);
        assert.equal(stage.upstream.requests.length, 0);
    });

    test('what cannot be said is not sent without it', async () => {
        for (const claims of [
            { sub: 'a\0b' },
            { org_id: 'x'.repeat(13_000) }, // as base64url more than 16 KiB
        ]) {
            const answer = await stage.ask({ token: stage.token({ claims }) });
            assert.equal(answer.status, 503, answer.text);
            assertOwnError(answer, answer.status);
        }
        assert.equal(stage.upstream.requests.length, 0);
    });

    // One JWKS object for all of it, with jose's own idea of when to fetch again: not at all here.
    test('keys rotate by order without a gap', async () => {
        const jwks = createRemoteJWKSet(jwksUrl());
        believeAssertions(stage, jwks);
        const signedBy = async () => (await told({})).header.kid;
        const published = async () =>
            (await (await fetch(jwksUrl())).json()).keys.map((key) => key.kid);
        const withKeys = (...keys) => {
            const policy = structuredClone(stage.policy());
            policy.routes[0].upstream.assertion.key = keys.map((key) => key.reference);
            return policy;
        };
        assert.equal(await signedBy(), first.kid);
        stage.gate.reload(withKeys(second, first));
        await eventually(async () => (await signedBy()) === second.kid, 'the second key signs');
        assert.deepEqual(await published(), [second.kid, first.kid]);
        stage.gate.reload(withKeys(second));
        await eventually(async () => (await published()).length === 1, 'the first key is gone');
        assert.equal(await signedBy(), second.kid);
        stage.gate.reload(stage.policy());
        await eventually(async () => (await signedBy()) === first.kid, 'the first key is back');
    });

    test('a reload with a broken key changes nothing', async () => {
        const policy = structuredClone(stage.policy());
        policy.routes[0].upstream.assertion.key = 'broken';
        const from = stage.gate.log.length;
        stage.gate.reload(policy);
        const isFinding = (entry) => entry.event === 'policy_error';
        const finding = await stage.gate.logged(isFinding, 'what is wrong', { from });
        assert.equal(finding.pointer, '/routes/0/upstream/assertion/key');
        assert.equal((await told({})).header.kid, first.kid);
        stage.gate.reload(stage.policy());
        const isDone = (entry) => entry.event === 'reloaded';
        await stage.gate.logged(isDone, 'the good policy is back', { from });
    });

    test('the private keys are nowhere to be seen', async () => {
        const secrets = [first, second].flatMap((key) => [
            ...fs.readFileSync(key.file, 'utf8').split('\n').slice(1, -2),
            ...['d', 'p', 'q', 'dp', 'dq', 'qi'].map((name) => key.privateJwk[name]),
        ]);
        const assertNowhere = (text, where) =>
            secrets.forEach((secret) => assert.ok(!text.includes(secret), where));
        const printed = await runPortcullis(['print', stage.gate.policyFile]);
        assert.equal(printed.code, 0, printed.stderr);
        assert.match(printed.stdout, /\[redacted\]/);
        assertNowhere(printed.stdout + printed.stderr, 'print');
        assertNowhere(await (await fetch(jwksUrl())).text(), 'the published keys');
        assertNowhere(await stage.gate.metrics(), 'metrics');
        for (const file of ['cmdline', 'environ', 'comm'])
            assertNowhere(fs.readFileSync(`/proc/${stage.gate.pid}/${file}`, 'latin1'), file);
        assertNowhere(stage.upstream.everything, 'the upstream');
        const [assertion] = seenAs(stage.upstream.last ?? (await ask()), HEADER);
        assert.ok(!stage.gate.stderr.includes(assertion.split('.')[1]), 'an assertion in the log');
        assertNowhere(stage.gate.stderr, 'the log');

        async function ask() {
            await told({});
            return stage.upstream.last;
        }
    });
});

describe('a short-lived assertion', () => {
    let stage;
    let key;
    const TTL_S = 4;

    before(async () => {
        key = asFile(await newSigningKey(), 'short');
        stage = await openStage({
            policy: { workers: 1 },
            route: {
                upstream: {
                    assertion: { header: 'X-Caller', key: key.reference, ttl: `${TTL_S}s` },
                },
            },
        });
        const url = new URL(`http://127.0.0.1:${stage.gate.port}${JWKS_PATH}`);
        believeAssertions(stage, createRemoteJWKSet(url), 'X-Caller');
    });
    after(() => stage?.close());

    test('is renewed before it ends, and never before its last quarter', async () => {
        const until = Date.now() + (TTL_S + 3) * 1000;
        while (Date.now() < until) {
            const answer = await stage.ask({});
            assert.equal(answer.status, 200, answer.text); // good at each moment
            await sleep(100);
        }
        const sent = stage.upstream.requests.map((request) => seenAs(request, 'X-Caller')[0]);
        const distinct = [...new Set(sent)].map((jwt) => decodeJwt(jwt));
        assert.ok(distinct.length >= 2 && distinct.length <= 3, `${distinct.length} assertions`);
        for (const [i, { iat, exp }] of distinct.entries()) {
            assert.equal(exp, iat + TTL_S);
            if (i === 0) continue;
            assert.ok(iat > distinct[i - 1].iat + (3 * TTL_S) / 4, 'not too early');
            assert.ok(iat <= distinct[i - 1].exp, 'not too late');
        }
    });

    test('has the header of the policy, and no other', async () => {
        await stage.ask({ headers: [JSON_TYPE, 'x_caller: evil', 'X-CALLER: evil'] });
        const { last } = stage.upstream;
        assert.equal(seenAs(last, 'X-Caller').length, 1);
        assert.equal(decodeProtectedHeader(seenAs(last, 'X-Caller')[0]).kid, key.kid);
        assert.deepEqual(seenAs(last, HEADER), []);
    });
});

describe('a gate without assertions', () => {
    let stage;
    before(async () => (stage = await openStage()));
    after(() => stage?.close());

    test('publishes no keys and sends no assertion', async () => {
        const answer = await stage.ask({ token: null, method: 'GET', target: JWKS_PATH, body: null });
        assert.equal(answer.status, 404);
        await stage.ask({});
        assert.deepEqual(seenAs(stage.upstream.last, HEADER), []);
    });
});

describe('a key that cannot sign', () => {
    const pem = (name, text) => {
        const file = path.join(folder, `${name}.pem`);
        fs.writeFileSync(file, text);
        return file;
    };
    const rsa = (bits) => crypto.generateKeyPairSync('rsa', { modulusLength: bits }).privateKey;
    const exported = (key, more = {}) => key.export({ type: 'pkcs8', format: 'pem', ...more });
    const small = rsa(1024);
    const good = rsa(2048);
    const curve = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    const locked = { cipher: 'aes-256-cbc', passphrase: 'open sesame' };

    for (const [what, text, why] of [
        ['empty', '', /must not be empty/],
        ['no PEM', 'secret words', /is no PEM text/],
        ['half', exported(good).slice(0, 700), /is no private key in PEM form/],
        ['encrypted', exported(good, locked), /is encrypted/],
        [
            'public',
            crypto.createPublicKey(good).export({ type: 'spki', format: 'pem' }),
            /is a public key/,
        ],
        ['elliptic', exported(curve), /is not an RSA key/],
        ['small', exported(small), /2048 to 8192 bits/],
    ])
        for (const list of [false, true])
            test(`is a finding of its own: ${what}${list ? ', second of two' : ''}`, async () => {
                const good_ = pem('good', exported(good));
                const bad = `$file(${pem('bad', text)})`;
                const policy = {
                    auth0: 'tenant.us.auth0.com',
                    routes: [
                        {
                            resource: RESOURCE,
                            upstream: {
                                url: 'http://127.0.0.1:3000/mcp',
                                assertion: { key: list ? [`$file(${good_})`, bad] : bad },
                            },
                        },
                    ],
                };
                const file = path.join(folder, 'policy.json');
                fs.writeFileSync(file, JSON.stringify(policy, null, 2));
                const { code, stdout, stderr } = await runPortcullis(['check', file]);
                assert.equal(code, 2, stdout + stderr);
                const pointer = `/routes/0/upstream/assertion/key${list ? '/1' : ''}`;
                const line = (stdout + stderr).split('\n').find((l) => l.includes(`${pointer}: `));
                assert.match(line ?? stdout + stderr, why);
                assert.ok(!(stdout + stderr).includes('open sesame'));
                for (const secret of text.split('\n').slice(1, -2).concat('secret words'))
                    assert.ok(!(stdout + stderr).includes(secret), 'the key is quoted');
                const served = await runPortcullis(['serve', file]);
                assert.equal(served.code, 2, 'serve says the same');
            });
});
