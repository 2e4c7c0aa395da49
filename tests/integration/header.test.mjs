// SPDX-License-Identifier: Apache-2.0
// What the header of a token may say, and its signature: rules 9 to 13 and 15 of the token validation
// (RFC 7515, RFC 8725, RFC 9068), for both Auth0 profiles.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';

import { openStage, RESOURCE } from './lib/stage.mjs';
import { newSigningKey, PROFILES, signCompact, tokenClaims, tokenHeader } from './lib/tokens.mjs';
import { assertAccepted, assertRefused, invalidToken } from './lib/verdict.mjs';

const HEADER = 'The header of the access token is malformed';
const ALGORITHM = 'The access token is not signed with an accepted algorithm';
const TYPE = 'The token is not an access token';
const EXTENSION = 'The access token needs an extension that is not supported';
const KEY_ID = 'The access token does not name its signing key';
const UNKNOWN_KEY = 'The access token is signed with a key that its issuer does not publish';
const SIGNATURE = 'The signature of the access token is wrong';

const LONG_KID = 'k'.repeat(256);

let stage;
let longKey; // published under a kid of 256 bytes
let strange; // published nowhere
let canary; // asked by nobody
let canaryCalls = 0;
before(async () => {
    [longKey, strange] = await Promise.all([newSigningKey({ kid: LONG_KID }), newSigningKey()]);
    canary = net.createServer((socket) => {
        canaryCalls++;
        socket.destroy();
    });
    canary.listen(0, '127.0.0.1');
    await once(canary, 'listening');
    stage = await openStage({ route: { scopes: ['mcp:use'] }, start: false });
    stage.tenant.keys.push(longKey.publicJwk);
    await stage.start();
});
after(async () => {
    canary?.close();
    await stage?.close();
});

const canaryUrl = () => `http://127.0.0.1:${canary.address().port}/keys`;

for (const profile of PROFILES) {
    const claims = () => tokenClaims(profile, { issuer: stage.tenant.issuer, resource: RESOURCE });
    const goodHeader = () => tokenHeader(profile, stage.tenant.key);
    const withHeader = (header) => stage.token({ profile, header });
    /** A token whose header is exactly TEXT. */
    const withHeaderText = (text, key = stage.tenant.key) =>
        signCompact({ header: text, payload: claims(), key });

    const accepts = (rows) => {
        for (const [why, token] of rows) test(why, () => assertAccepted(stage, { token: token() }));
    };
    const refuses = (rows, usual) => {
        for (const [why, token, description = usual] of rows)
            test(why, () => assertRefused(stage, { token: token() }, invalidToken(description)));
    };

    describe(`rule 9: the header is a JSON object (${profile})`, () => {
        const text = (change) => () => withHeaderText(change(JSON.stringify(goodHeader())));
        const padded = (bytes) => {
            const bare = JSON.stringify({ ...goodHeader(), pad: '' });
            return bare.replace('"pad":""', `"pad":"${'x'.repeat(bytes - bare.length)}"`);
        };
        accepts([['4096 bytes of it', () => withHeaderText(padded(4096))]]);
        refuses(
            [
                ['4097 bytes of it', () => withHeaderText(padded(4097))],
                ['not JSON', text(() => '{"alg":"RS256"')],
                ['an array', text((json) => `[${json}]`)],
                ['a string', text(() => '"RS256"')],
                ['junk behind the object', text((json) => `${json}x`)],
                ['a second object behind it', text((json) => `${json}{}`)],
                ['a NUL behind it', text((json) => `${json}\0`)],
                ['a duplicate member', text((json) => json.replace('{', '{"alg":"none",'))],
                [
                    'a duplicate member, spelt with an escape',
                    text((json) => json.replace('{', '{"\\u0061lg":"none",')),
                ],
                [
                    'bytes that are not UTF-8',
                    () =>
                        withHeaderText(
                            Buffer.from(JSON.stringify({ ...goodHeader(), pad: '\xff' }), 'latin1'),
                        ),
                ],
            ],
            HEADER,
        );
    });

    describe(`rule 10: the policy says which algorithm, not the token (${profile})`, () => {
        // RFC 8725 2.1: the public key taken for a shared secret.
        const hmacWithPublicKey = () => {
            const pem = crypto
                .createPublicKey(stage.tenant.key.privateKey)
                .export({ type: 'spki', format: 'pem' });
            const unsigned = withHeader({ alg: 'HS256' }).split('.').slice(0, 2).join('.');
            const mac = crypto.createHmac('sha256', pem).update(unsigned).digest('base64url');
            return `${unsigned}.${mac}`;
        };
        const signedAs = (alg, digest) => () => {
            const unsigned = withHeader({ alg }).split('.').slice(0, 2).join('.');
            const signature = crypto.sign(digest, unsigned, stage.tenant.key.privateKey);
            return `${unsigned}.${signature.toString('base64url')}`;
        };
        refuses(
            [
                ['none', () => withHeader({ alg: 'none' })],
                ['None', () => withHeader({ alg: 'None' })],
                ['HS256 with the public key as its secret', hmacWithPublicKey],
                ['RS384, properly signed', signedAs('RS384', 'RSA-SHA384')],
                ['RS512, properly signed', signedAs('RS512', 'RSA-SHA512')],
                ['PS256', () => withHeader({ alg: 'PS256' })],
                ['ES256', () => withHeader({ alg: 'ES256' })],
                ['rs256', () => withHeader({ alg: 'rs256' })],
                ['RS256 with a blank', () => withHeader({ alg: 'RS256 ' })],
                ['an empty string', () => withHeader({ alg: '' })],
                ['nothing', () => withHeader({ alg: undefined })],
                ['a number', () => withHeader({ alg: 256 })],
                ['an array', () => withHeader({ alg: ['RS256'] })],
            ],
            ALGORITHM,
        );
    });

    describe(`rule 11: the type is that of an access token (${profile})`, () => {
        const typ = (value) => () => withHeader({ typ: value });
        accepts([
            ['absent', typ(undefined)],
            ['JWT', typ('JWT')],
            ['jwt', typ('jwt')],
            ['at+jwt', typ('at+jwt')],
            ['AT+JWT', typ('AT+JWT')],
            ['application/at+jwt', typ('application/at+jwt')],
            ['Application/AT+JWT', typ('Application/AT+JWT')],
        ]);
        refuses(
            [
                ['a DPoP proof', typ('dpop+jwt')],
                ['a logout token', typ('logout+jwt')],
                ['an identity assertion grant', typ('oauth-id-jag+jwt')],
                ['application/jwt', typ('application/jwt')],
                ['JOSE', typ('JOSE')],
                ['at+jwt with a blank', typ('at+jwt ')],
                ['an empty string', typ('')],
                ['null', typ(null)],
                ['a number', typ(1)],
            ],
            TYPE,
        );
    });

    describe(`rule 12: no extensions, and keys come from the policy alone (${profile})`, () => {
        refuses(
            [
                ['crit', () => withHeader({ crit: ['exp'], exp: 1 })],
                ['an empty crit', () => withHeader({ crit: [] })],
                ['crit that is null', () => withHeader({ crit: null })],
                ['b64', () => withHeader({ b64: false })],
                ['b64 with its default', () => withHeader({ b64: true })],
            ],
            EXTENSION,
        );
        accepts([
            ['jku is ignored', () => withHeader({ jku: canaryUrl() })],
            ['x5u is ignored', () => withHeader({ x5u: canaryUrl() })],
            ['x5c is ignored', () => withHeader({ x5c: ['AAAA'] })],
            ['jwk is ignored', () => withHeader({ jwk: strange.publicJwk })],
        ]);

        const forged = (more) => () =>
            withHeaderText(JSON.stringify({ ...goodHeader(), ...more() }), strange);
        refuses(
            [
                ['a key brought along in jwk', forged(() => ({ jwk: strange.publicJwk }))],
                ['a key to be fetched from jku', forged(() => ({ jku: canaryUrl() }))],
                ['a key to be fetched from x5u', forged(() => ({ x5u: canaryUrl() }))],
            ],
            SIGNATURE,
        );
        test('nothing of it was fetched', () => assert.equal(canaryCalls, 0));
    });

    describe(`rule 13: the key is named (${profile})`, () => {
        const kid = (value) => () => withHeader({ kid: value });
        const longHeader = (name) => JSON.stringify({ ...goodHeader(), kid: name });
        accepts([['a name of 256 bytes', () => withHeaderText(longHeader(LONG_KID), longKey)]]);
        refuses(
            [
                ['one of 257', () => withHeaderText(longHeader(`${LONG_KID}k`), longKey)],
                ['absent', kid(undefined)],
                ['empty', kid('')],
                ['a number', kid(1)],
                ['null', kid(null)],
                ['an unknown one', kid('who-is-this'), UNKNOWN_KEY],
                ['in another case', () => withHeader({ kid: swapCase() }), UNKNOWN_KEY],
                [
                    'with a blank',
                    () => withHeader({ kid: `${stage.tenant.key.kid} ` }),
                    UNKNOWN_KEY,
                ],
                ['only a beginning', () => withHeader({ kid: 'k'.repeat(255) }), UNKNOWN_KEY],
            ],
            KEY_ID,
        );
        const swapCase = () => {
            const { kid: name } = stage.tenant.key;
            return name === name.toLowerCase() ? name.toUpperCase() : name.toLowerCase();
        };
    });

    describe(`rule 15: the signature is over the bytes received (${profile})`, () => {
        const parts = () => stage.token({ profile }).split('.');
        const signatureBytes = (change) => () => {
            const [header, payload, signature] = parts();
            const bytes = change(Buffer.from(signature, 'base64url'));
            return `${header}.${payload}.${bytes.toString('base64url')}`;
        };
        const flip = (at) => (bytes) => {
            bytes[at < 0 ? bytes.length + at : at] ^= 1;
            return bytes;
        };
        const withPayloadOf = (changes) => () => {
            const [header, , signature] = parts();
            const other = stage.token({ profile, claims: changes }).split('.')[1];
            return `${header}.${other}.${signature}`;
        };
        refuses(
            [
                ['one bit of the first byte', signatureBytes(flip(0))],
                ['one bit of the last byte', signatureBytes(flip(-1))],
                ['a byte too few', signatureBytes((bytes) => bytes.subarray(1))],
                ['a byte too many', signatureBytes((b) => Buffer.concat([Buffer.alloc(1), b]))],
                ['zeros', signatureBytes((bytes) => Buffer.alloc(bytes.length))],
                ['one byte', signatureBytes(() => Buffer.alloc(1))],
                ['of another payload', withPayloadOf({ sub: 'auth0|mallory' })],
                ['of another key', () => withHeaderText(JSON.stringify(goodHeader()), strange)],
                [
                    'of a header that says the same in other words',
                    () => {
                        const [, payload, signature] = parts();
                        const spaced = JSON.stringify(goodHeader(), null, 1);
                        const header = Buffer.from(spaced).toString('base64url');
                        return `${header}.${payload}.${signature}`;
                    },
                ],
            ],
            SIGNATURE,
        );
    });
}
