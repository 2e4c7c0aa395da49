// SPDX-License-Identifier: Apache-2.0
// What a token may say: rules 16 to 22 and 26 of the token validation (RFC 7519, RFC 9068, RFC 6750),
// for both Auth0 profiles, at each limit and past it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { eventually } from './lib/observe.mjs';
import { openStage, RESOURCE } from './lib/stage.mjs';
import { PROFILES, signCompact, tokenClaims, tokenHeader } from './lib/tokens.mjs';
import { assertAccepted, assertRefused, challenge, invalidToken } from './lib/verdict.mjs';

const SAYS = {
    payload: 'The payload of the access token is malformed',
    issuer: 'The access token was not issued by an accepted authorization server',
    audience: 'The access token was issued for another audience',
    expired: 'The access token expired',
    expiry: 'The access token has no valid expiry time',
    early: 'The access token is not yet valid',
    ahead: 'The access token was issued in the future',
    time: 'A time in the access token is malformed',
    subject: 'The access token names no subject',
    client: 'The access token does not name one client',
    bound: 'The access token is bound to a key and is no bearer token',
    scope: 'The scope of the access token is malformed',
    missing: 'The access token lacks a scope that every call needs',
};

const SCOPES = ['mcp:use', 'mcp:read'];
const NEEDED = SCOPES.join(' ');
const IMPLIES = { 'mcp:admin': ['mcp:editor'], 'mcp:editor': ['mcp:use', 'mcp:read'] };
const SKEW_S = 30; // clock_skew unless told
const AHEAD_S = 300; // how far ahead iat may be
// A second may pass between minting and checking: at a limit stay so far on the good side of it.
const MARGIN_S = 5;

let stage;
before(async () => {
    stage = await openStage({ route: { scopes: SCOPES, scope_implies: IMPLIES } });
});
after(() => stage?.close());

const now = () => Math.floor(Date.now() / 1000);

for (const profile of PROFILES) {
    const isNew = profile === 'rfc9068';
    const mint = (claims) =>
        stage.token({ profile, claims: { scope: `openid ${NEEDED}`, ...claims } });
    const mintText = (change) => {
        const usual = tokenClaims(profile, { issuer: stage.tenant.issuer, resource: RESOURCE });
        return signCompact({
            header: tokenHeader(profile, stage.tenant.key),
            payload: change(JSON.stringify({ ...usual, scope: NEEDED })),
            key: stage.tenant.key,
        });
    };

    /** Rows of [why, claims or a function that makes them]. */
    const accepts = (rows) => {
        for (const [why, claims] of rows)
            test(`accepts ${why}`, () =>
                assertAccepted(stage, {
                    token: mint(typeof claims === 'function' ? claims() : claims),
                }));
    };
    /** The same, each with what the answer says unless it is USUAL. */
    const refuses = (rows, usual) => {
        for (const [why, claims, says = usual] of rows)
            test(`refuses ${why}`, () =>
                assertRefused(
                    stage,
                    { token: mint(typeof claims === 'function' ? claims() : claims) },
                    invalidToken(says, NEEDED),
                ));
    };
    const refusesText = (rows, says) => {
        for (const [why, change] of rows)
            test(`refuses ${why}`, () =>
                assertRefused(stage, { token: mintText(change) }, invalidToken(says, NEEDED)));
    };

    describe(`the payload is one JSON object (${profile})`, () => {
        accepts([['what Auth0 issues', {}]]);
        refusesText(
            [
                ['what is not JSON', () => '{"iss":'],
                ['an array', (json) => `[${json}]`],
                ['junk behind it', (json) => `${json} x`],
                ['a duplicate claim', (json) => json.replace('{', '{"sub":"auth0|root",')],
                [
                    'bytes that are not UTF-8',
                    (json) => Buffer.from(`${json.slice(0, -1)},"a":"\xff"}`, 'latin1'),
                ],
            ],
            SAYS.payload,
        );
    });

    describe(`rule 16: the issuer, byte for byte (${profile})`, () => {
        refuses(
            [
                ['without the final slash', () => ({ iss: stage.tenant.issuer.slice(0, -1) })],
                ['with one slash more', () => ({ iss: `${stage.tenant.issuer}/` })],
                ['in capitals', () => ({ iss: stage.tenant.issuer.toUpperCase() })],
                ['another one', { iss: 'https://evil.eu.auth0.com/' }],
                ['none', { iss: undefined }],
                ['null', { iss: null }],
                ['an array with the right one', () => ({ iss: [stage.tenant.issuer] })],
            ],
            SAYS.issuer,
        );
    });

    describe(`rule 17: the audience, byte for byte (${profile})`, () => {
        accepts([
            ['a string', { aud: RESOURCE }],
            ['an array with one', { aud: [RESOURCE] }],
            ['the right one among others', { aud: ['https://api.example.com', RESOURCE] }],
        ]);
        refuses(
            [
                ['another one', { aud: 'https://api.example.com' }],
                [
                    'others',
                    () => ({ aud: ['https://a.example', `${stage.tenant.issuer}userinfo`] }),
                ],
                ['a final slash', { aud: `${RESOURCE}/` }],
                ['another case', { aud: RESOURCE.toUpperCase() }],
                ['a beginning of it', { aud: RESOURCE.slice(0, -1) }],
                ['one that begins like it', { aud: `${RESOURCE}2` }],
                ['two in one string', { aud: `${RESOURCE} ${RESOURCE}` }],
                ['none', { aud: undefined }],
                ['null', { aud: null }],
                ['an empty string', { aud: '' }],
                ['an empty array', { aud: [] }],
                ['a number beside the right one', { aud: [RESOURCE, 1] }],
                ['null beside the right one', { aud: [null, RESOURCE] }],
                ['an array within', { aud: [[RESOURCE]] }],
                ['an object', { aud: { [RESOURCE]: true } }],
            ],
            SAYS.audience,
        );
    });

    describe(`rule 18: the expiry (${profile})`, () => {
        accepts([
            ['past, within the skew', () => ({ exp: now() - SKEW_S + MARGIN_S })],
            ['a fraction', () => ({ exp: now() + 60.5 })],
            ['the largest integer', { exp: 2 ** 53 - 1 }],
        ]);
        refuses(
            [
                ['past, beyond the skew', () => ({ exp: now() - SKEW_S - 1 }), SAYS.expired],
                ['past, exactly by the skew', () => ({ exp: now() - SKEW_S }), SAYS.expired],
                ['the epoch', { exp: 0 }, SAYS.expired],
                ['none', { exp: undefined }],
                ['null', { exp: null }],
                ['a string', () => ({ exp: String(now() + 60) })],
                ['true', { exp: true }],
                ['a number beyond 2^53', { exp: 1e300 }],
            ],
            SAYS.expiry,
        );
        refusesText(
            [
                [
                    'a number too large for a double',
                    (json) => json.replace(/"exp":\d+/, '"exp":1e999'),
                ],
            ],
            SAYS.payload,
        );
    });

    describe(`rule 19: not before, and issued when (${profile})`, () => {
        accepts([
            ['nbf now', () => ({ nbf: now() })],
            ['nbf ahead, within the skew', () => ({ nbf: now() + SKEW_S })],
            ['iat ahead, within five minutes', () => ({ iat: now() + AHEAD_S })],
            ['no iat', { iat: undefined }],
        ]);
        refuses([
            ['nbf ahead, beyond the skew', () => ({ nbf: now() + SKEW_S + MARGIN_S }), SAYS.early],
            ['iat ahead, beyond that', () => ({ iat: now() + AHEAD_S + MARGIN_S }), SAYS.ahead],
            ['a string as nbf', { nbf: '0' }, SAYS.time],
            ['null as nbf', { nbf: null }, SAYS.time],
            ['a string as iat', { iat: '0' }, SAYS.time],
        ]);
    });

    describe(`rule 20: a subject and a client (${profile})`, () => {
        const client = isNew ? 'client_id' : 'azp';
        const other = isNew ? 'azp' : 'client_id';
        accepts([
            ['a machine', { sub: 'tpc_4f9Kq2mZ@clients', gty: 'client-credentials' }],
            ['a subject of one byte', { sub: 'x' }],
            ['both names of the client, equal', { client_id: 'a', azp: 'a' }],
            ['the other name of the client', { [client]: undefined, [other]: 'a' }],
            ['a client that is a metadata URL', { [client]: 'https://app.example/client.json' }],
        ]);
        refuses([
            ['no subject', { sub: undefined }, SAYS.subject],
            ['an empty subject', { sub: '' }, SAYS.subject],
            ['a number as subject', { sub: 1 }, SAYS.subject],
            ['null as subject', { sub: null }, SAYS.subject],
            ['two clients', { client_id: 'a', azp: 'b' }, SAYS.client],
            ['no client', { client_id: undefined, azp: undefined }, SAYS.client],
            ['a number as client', { [client]: 1 }, SAYS.client],
            ['a number as its other name', { [client]: 'a', [other]: 1 }, SAYS.client],
        ]);
    });

    describe(`rule 21: a token bound to a key is no bearer token (${profile})`, () => {
        refuses(
            [
                ['DPoP', { cnf: { jkt: '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I' } }],
                ['mTLS', { cnf: { 'x5t#S256': 'bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2' } }],
                ['an empty confirmation', { cnf: {} }],
            ],
            SAYS.bound,
        );
    });

    describe(`rule 22: the route's scopes (${profile})`, () => {
        accepts([
            ['exactly them', { scope: NEEDED }],
            ['in another order, among others', { scope: 'openid mcp:read mcp:x mcp:use' }],
            ['one that implies them', { scope: 'mcp:editor' }],
            ['one that implies that', { scope: 'mcp:admin' }],
        ]);
        const lacks = [
            ['no scope claim', { scope: undefined }],
            ['an empty one', { scope: '' }],
            ['others', { scope: 'openid email' }],
            ['one of two', { scope: 'mcp:use' }],
            ['another case', { scope: NEEDED.toUpperCase() }],
            ['a beginning', { scope: 'mcp:us mcp:read' }],
            ['more than the name', { scope: 'mcp:use2 mcp:read' }],
            ['permissions instead', { scope: undefined, permissions: SCOPES }],
        ];
        for (const [why, claims] of lacks)
            test(`403 with all that is needed: ${why}`, () =>
                assertRefused(
                    stage,
                    { token: mint(claims) },
                    {
                        status: 403,
                        scope: NEEDED,
                        error: 'insufficient_scope',
                        description: SAYS.missing,
                    },
                ));
        refuses(
            [
                ['an array', { scope: SCOPES }],
                ['a tab between', { scope: SCOPES.join('\t') }],
                ['null', { scope: null }],
                ['a quote', { scope: `${NEEDED} "x"` }],
            ],
            SAYS.scope,
        );
    });

    describe(`rule 26: a verdict is not remembered past its time (${profile})`, () => {
        test('a token that was good ends at exp + skew', async () => {
            const token = mint({ exp: now() - SKEW_S + 3 });
            await assertAccepted(stage, { token });
            await assertAccepted(stage, { token });
            const answer = await eventually(async () => {
                const next = await stage.ask({ token });
                return next.status === 401 && next;
            }, 'the token expires');
            const { scope, error, description } = invalidToken(SAYS.expired, NEEDED);
            assert.equal(answer.get('www-authenticate'), challenge({ scope, error, description }));
            assert.ok(
                now() >= JSON.parse(Buffer.from(token.split('.')[1], 'base64url')).exp + SKEW_S,
            );
        });

        test('another signature under the same claims is not taken for it', async () => {
            const token = mint({ jti: 'twice' });
            await assertAccepted(stage, { token });
            const [header, payload, signature] = token.split('.');
            const bytes = Buffer.from(signature, 'base64url');
            bytes[100] ^= 0x10;
            await assertRefused(
                stage,
                { token: `${header}.${payload}.${bytes.toString('base64url')}` },
                invalidToken('The signature of the access token is wrong', NEEDED),
            );
        });
    });
}
