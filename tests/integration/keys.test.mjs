// SPDX-License-Identifier: Apache-2.0
// Which published keys are used: rule 14 of the token validation (RFC 7517, RFC 7518 6.3). Each row is
// a real key with something about it, and a token properly signed with it.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { after, before, describe, test } from 'node:test';

import { openStage, RESOURCE } from './lib/stage.mjs';
import { newSigningKey, PROFILES, signCompact, tokenClaims, tokenHeader } from './lib/tokens.mjs';
import { assertAccepted, assertRefused, invalidToken } from './lib/verdict.mjs';

const UNKNOWN_KEY = 'The access token is signed with a key that its issuer does not publish';

const without =
    (...names) =>
    (jwk) =>
        Object.fromEntries(Object.entries(jwk).filter(([name]) => !names.includes(name)));
const plus = (more) => (jwk) => ({ ...jwk, ...more });
/** The same number with a leading zero byte: not how RFC 7518 2 writes it. */
const longer = (name) => (jwk) => ({
    ...jwk,
    [name]: Buffer.concat([Buffer.alloc(1), Buffer.from(jwk[name], 'base64url')]).toString(
        'base64url',
    ),
});

/** [why, how the published key is changed, how the key is made] */
const USED = [
    ['as Auth0 publishes it', (jwk) => jwk],
    ['3072 bits', (jwk) => jwk, { bits: 3072 }],
    ['an exponent of 32 bits', (jwk) => jwk, { exponent: 4294967291 }],
    ['without use', without('use')],
    ['without alg', without('alg')],
    ['with key_ops that contain verify', plus({ key_ops: ['verify'] })],
    ['with x5c and x5t that are nonsense', plus({ x5c: ['AAAA'], x5t: 'nonsense' })],
    ['with a member that nobody knows', plus({ colour: 'blue' })],
];
const SKIPPED = [
    ['2047 bits', (jwk) => jwk, { bits: 2047 }],
    ['1024 bits', (jwk) => jwk, { bits: 1024 }],
    ['an exponent of 3', (jwk) => jwk, { exponent: 3 }],
    ['an exponent of 16 bits', (jwk) => jwk, { exponent: 65521 }],
    ['a leading zero in the modulus', longer('n')],
    ['a leading zero in the exponent', longer('e')],
    ['padding in the modulus', (jwk) => ({ ...jwk, n: `${jwk.n}=` })],
    ['without a modulus', without('n')],
    ['without an exponent', without('e')],
    ['meant for encryption', plus({ use: 'enc' })],
    ['a use that is no string', plus({ use: ['sig'] })],
    ['key_ops without verify', plus({ key_ops: ['encrypt'] })],
    ['key_ops that are empty', plus({ key_ops: [] })],
    ['for another algorithm', plus({ alg: 'RS512' })],
    ['for HS256', plus({ alg: 'HS256' })],
    ['of another type', plus({ kty: 'EC' })],
    ['a shared secret', plus({ kty: 'oct', k: 'c2VjcmV0' })],
    ['with a private member', plus({ d: 'AQAB' })],
    ['with another private member', plus({ oth: [] })],
    ['without a name', without('kid')],
];

let stage;
const keys = new Map(); // why -> key
const TWICE = ['two keys of one name, the first', 'two keys of one name, the second'];

before(async () => {
    const rows = [...USED, ...SKIPPED];
    const made = await Promise.all(
        rows.map(([why, , how]) =>
            newSigningKey({ ...how, kid: `key ${rows.findIndex((row) => row[0] === why)}` }),
        ),
    );
    const published = rows.map(([why, change], i) => {
        keys.set(why, made[i]);
        return change(made[i].publicJwk);
    });
    for (const why of TWICE) {
        keys.set(why, await newSigningKey({ kid: 'twice' }));
        published.push(keys.get(why).publicJwk);
    }
    stage = await openStage({ route: { scopes: ['mcp:use'] }, start: false });
    // Rule "at most 32 keys": the rows are fewer.
    assert.ok(published.length < 32, 'the set is within its limit');
    stage.tenant.keys.push('not an object', ...published);
    await stage.start();
});
after(() => stage?.close());

for (const profile of PROFILES) {
    const tokenOf = (why) => {
        const key = keys.get(why);
        const payload = tokenClaims(profile, { issuer: stage.tenant.issuer, resource: RESOURCE });
        return signCompact({ header: tokenHeader(profile, key), payload, key });
    };
    describe(`rule 14: keys that are used (${profile})`, () => {
        for (const [why] of USED) test(why, () => assertAccepted(stage, { token: tokenOf(why) }));
    });
    describe(`rule 14: keys that are skipped (${profile})`, () => {
        for (const why of [...SKIPPED.map(([name]) => name), ...TWICE])
            test(why, () =>
                assertRefused(stage, { token: tokenOf(why) }, invalidToken(UNKNOWN_KEY)),
            );
    });
}

test('a certificate of an attacker in x5c is not what verifies', async () => {
    const { privateKey } = crypto.generateKeyPairSync('rsa', { modulusLength: 2048 });
    const key = { kid: keys.get('with x5c and x5t that are nonsense').kid, privateKey };
    const payload = tokenClaims('rfc9068', { issuer: stage.tenant.issuer, resource: RESOURCE });
    const token = signCompact({ header: tokenHeader('rfc9068', key), payload, key });
    await assertRefused(
        stage,
        { token },
        invalidToken('The signature of the access token is wrong'),
    );
});
