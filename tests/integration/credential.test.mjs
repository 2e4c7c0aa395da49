// SPDX-License-Identifier: Apache-2.0
// How a credential is presented: rules 1 to 8 of the token validation (RFC 6750, RFC 7515), one row
// for each way in and each way out. What a token says is in header.test.mjs and claims.test.mjs.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { openStage } from './lib/stage.mjs';
import { PROFILES } from './lib/tokens.mjs';
import { assertAccepted, assertRefused, invalidToken } from './lib/verdict.mjs';

const MALFORMED = 'The Authorization field is not Bearer followed by one token';
const NO_AUDIENCE_HINT =
    ': the client asked for no audience; enable the Resource Parameter Compatibility Profile or ' +
    'set a default audience at the authorization server';
const OPAQUE = `The access token is opaque, not a JWT${NO_AUDIENCE_HINT}`;
const ENCRYPTED = `The access token is encrypted${NO_AUDIENCE_HINT}`;
const SEGMENTS = 'The access token is not a compact JWS';
const ENCODING = 'The access token is not strict base64url';
const TOO_LARGE = 'The access token is larger than this server accepts';

let stage;
before(async () => {
    stage = await openStage({ route: { scopes: ['mcp:use'] } });
});
after(() => stage?.close());

/** One request whose Authorization fields are exactly VALUES. */
const authorization = (...values) => ({
    token: null,
    headers: values.map((value) => `Authorization: ${value}`),
});

const NO_CREDENTIALS = { status: 401, scope: 'mcp:use' };

describe('rules 1 and 2: no bearer credential gets the challenge without an error', () => {
    const rows = [
        ['no Authorization header', []],
        ['an empty one', ['']],
        ['Basic', ['Basic YWRhOnNlY3JldA==']],
        ['DPoP', ['DPoP abc.def.ghi']],
        ['a scheme that only begins like Bearer', ['BearerToken abc.def.ghi']],
        ['a token without a scheme', ['abc.def.ghi']],
    ];
    for (const [why, values] of rows)
        test(why, () => assertRefused(stage, authorization(...values), NO_CREDENTIALS));

    for (const method of ['GET', 'DELETE'])
        test(`${method} without a token`, () =>
            assertRefused(stage, { method, token: null, body: null }, NO_CREDENTIALS));
});

describe('rule 3: the scheme in any case, then spaces, then a token', () => {
    const accepted = ['Bearer ', 'bearer ', 'BEARER ', 'bEaReR ', 'Bearer    '];
    for (const scheme of accepted)
        test(`${JSON.stringify(scheme)} is accepted`, () =>
            assertAccepted(stage, authorization(scheme + stage.token())));

    const refused = [
        ['the scheme alone', () => 'Bearer'],
        ['a tab instead of the space', (token) => `Bearer\t${token}`],
        ['a second token', (token) => `Bearer ${token} ${token}`],
        ['a parameter', (token) => `Bearer ${token}, realm="x"`],
        ['quotes', (token) => `Bearer "${token}"`],
        ['an equals sign within', (token) => `Bearer ${token.replace('.', '=.')}`],
        ['a percent sign', (token) => `Bearer ${token}%20`],
        ['a byte beyond ASCII', (token) => `Bearer ${token}\xe9`],
    ];
    for (const [why, value] of refused)
        test(why, () =>
            assertRefused(stage, authorization(value(stage.token())), invalidToken(MALFORMED)),
        );
});

describe('rules 4 and 5: one credential, in the header only', () => {
    const refuse = (options, description) =>
        assertRefused(stage, options, {
            status: 400,
            scope: 'mcp:use',
            error: 'invalid_request',
            description,
        });
    const TWO = 'More than one Authorization field was sent';
    const QUERY = 'An access token may not be sent in the query';

    test('two equal Authorization headers', () => {
        const value = `Bearer ${stage.token()}`;
        return refuse(authorization(value, value), TWO);
    });
    test('a good one and an empty one', () =>
        refuse(authorization(`Bearer ${stage.token()}`, ''), TWO));
    test('a Basic one and a good one', () =>
        refuse(authorization('Basic YTpi', `Bearer ${stage.token()}`), TWO));
    test('header and query', () => refuse({ target: `/mcp?access_token=${stage.token()}` }, QUERY));
    test('query alone', () =>
        refuse({ target: `/mcp?access_token=${stage.token()}`, token: null }, QUERY));
    test('behind other parameters', () => refuse({ target: '/mcp?a=1&access_token=x' }, QUERY));
    test('with its name percent-encoded', () => refuse({ target: '/mcp?access%5Ftoken=x' }, QUERY));
    test('without a value', () => refuse({ target: '/mcp?access_token' }, QUERY));
    test('a parameter that only ends so is none of ours', () =>
        assertAccepted(stage, { target: '/mcp?my_access_token=x' }));
    test('a value that says so is none of ours', () =>
        assertAccepted(stage, { target: '/mcp?a=access_token' }));
    test('a token in the body is none of ours', () =>
        assertRefused(
            stage,
            {
                token: null,
                headers: ['Content-Type: application/x-www-form-urlencoded'],
                body: `access_token=${stage.token()}`,
            },
            NO_CREDENTIALS,
        ));
});

for (const profile of PROFILES) {
    const mint = (claims = {}, header = {}) => stage.token({ profile, claims, header });

    // Header and payload lengths are adjusted until the whole has exactly LENGTH characters: base64url
    // alone leaves one length in four out.
    function tokenOfLength(length) {
        for (let pad = 0; pad < 4; pad++) {
            const bare = mint({ pad: '' }, { pad: 'x'.repeat(pad) }).length;
            const guess = Math.floor(((length - bare) * 3) / 4);
            for (let n = guess - 3; n <= guess + 3; n++) {
                const token = mint({ pad: 'x'.repeat(n) }, { pad: 'x'.repeat(pad) });
                if (token.length === length) return token;
            }
        }
        throw new Error(`no token of ${length} characters`);
    }

    describe(`rule 6: limits.token is 16 KiB unless told (${profile})`, () => {
        test('a token of 16384 characters is accepted', () =>
            assertAccepted(stage, { token: tokenOfLength(16384) }));
        test('one of 16385 is refused', () =>
            assertRefused(stage, { token: tokenOfLength(16385) }, invalidToken(TOO_LARGE)));
    });

    describe(`rule 7: three segments, none of them empty (${profile})`, () => {
        const rows = [
            ['an opaque token gets a hint', () => 'v2.local-looks-odd'.split('.')[1], OPAQUE],
            ['a JWE gets a hint', (t) => `${t}.${t.split('.')[0]}.AAAA`, ENCRYPTED],
            ['two segments', (t) => t.split('.').slice(0, 2).join('.'), SEGMENTS],
            ['four segments', (t) => `${t}.AAAA`, SEGMENTS],
            ['six segments', (t) => `${t}.${t}`, SEGMENTS],
            ['an empty header', (t) => t.replace(/^[^.]+/, ''), SEGMENTS],
            ['an empty payload', (t) => t.replace(/\.[^.]+\./, '..'), SEGMENTS],
            ['an empty signature', (t) => t.replace(/[^.]+$/, ''), SEGMENTS],
            ['dots only', () => '..', SEGMENTS],
        ];
        for (const [why, change, description] of rows)
            test(why, () =>
                assertRefused(stage, { token: change(mint()) }, invalidToken(description)),
            );
    });

    describe(`rule 8: strict base64url (${profile})`, () => {
        const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
        // The last character of a 256-byte signature carries two bits that must be zero.
        const withUnusedBit = (token) => {
            const last = ALPHABET.indexOf(token.at(-1));
            assert.equal(last % 4, 0, 'the test expects unused bits here');
            return token.slice(0, -1) + ALPHABET[last + 1];
        };
        const rows = [
            ['padding', (t) => `${t}==`],
            ['the plus of base64 in the payload', (t) => t.replace(/\..../, '.+abc')],
            ['the slash of base64 in the header', (t) => t.replace(/^.../, 'e/J')],
            ['a tilde', (t) => t.replace(/\..../, '.~abc')],
            ['a length of 4n + 1', (t) => t.replace(/\.[^.]+$/, `.${'A'.repeat(341)}`)],
            ['a bit that no byte uses', withUnusedBit],
        ];
        for (const [why, change] of rows)
            test(why, () =>
                assertRefused(stage, { token: change(mint()) }, invalidToken(ENCODING)),
            );
    });
}

test('rules 5 and 27: neither a token nor a query is in the log', () => {
    assert.ok(stage.gate.log.length > 50, 'there is a log');
    const [header, payload, signature] = stage.token().split('.');
    for (const secret of [header, payload, signature, 'access_token', 'YWRhOnNlY3JldA'])
        assert.ok(!stage.gate.stderr.includes(secret), `${secret} is in the log`);
});
