// SPDX-License-Identifier: Apache-2.0
// Protected resource metadata (RFC 9728) and what several routes and several issuers in one process
// have to do with each other: nothing.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { assertOwnError } from './lib/answers.mjs';
import { ByteUpstream } from './lib/byte-upstream.mjs';
import { startPortcullis } from './lib/portcullis.mjs';
import { call } from './lib/stage.mjs';
import { startTenant } from './lib/tenant.mjs';
import { newSigningKey, signCompact, tokenClaims, tokenHeader } from './lib/tokens.mjs';
import { requestBytes, Wire } from './lib/wire.mjs';

const WELL_KNOWN = '/.well-known/oauth-protected-resource';
const FIRST = 'https://mcp.example.com/mcp';
const TEAM = 'https://mcp.example.com/team/a%20b/mcp';
const GUEST = 'https://guests.example.com:8443/guest/';
const API_IDENTIFIER = 'https://api.example.com/guests';

let one; // tenants
let two;
let upstreams; // one for each route
let gate;

async function startGate(routes) {
    return startPortcullis({
        policy: {
            issuers: {
                one: { issuer: one.issuer, jwks_uri: one.jwksUri },
                two: { issuer: two.issuer, jwks_uri: two.jwksUri },
            },
            routes,
        },
        ready: true,
    });
}

before(async () => {
    [one, two] = await Promise.all([startTenant(), startTenant()]);
    upstreams = await Promise.all([1, 2, 3].map(() => ByteUpstream.open()));
    const url = (i) => `http://127.0.0.1:${upstreams[i].port}/mcp`;
    gate = await startGate([
        { resource: FIRST, upstream: url(0), name: 'Tools – für alle', scopes: ['mcp:use'] },
        {
            resource: TEAM,
            upstream: url(1),
            issuers: ['one'],
            scopes: ['mcp:use', 'mcp:team'],
            scopes_supported: ['mcp:use', 'mcp:team', 'offline_access'],
        },
        { resource: GUEST, upstream: url(2), audiences: [API_IDENTIFIER, GUEST] },
    ]);
});
after(async () => {
    await gate?.stop();
    for (const part of [one, two, ...(upstreams ?? [])]) await part?.close();
});

/** One raw request: fetch() would tidy the target up. */
async function ask(options, port = gate.port) {
    const wire = await Wire.open(port);
    try {
        wire.send(requestBytes(options));
        return await wire.answer({ method: options.method ?? 'POST' });
    } finally {
        wire.close();
    }
}

const get = (target, more = {}) => ask({ method: 'GET', target, ...more });

/** POSTs a ping to PATH with TOKEN. */
const ping = (target, token) =>
    ask({
        target,
        headers: ['Content-Type: application/json', `Authorization: Bearer ${token}`],
        body: call('ping'),
    });

const challengeParameter = (answer, name) =>
    new RegExp(`${name}="([^"]*)"`).exec(answer.get('www-authenticate'))?.[1];

describe('the document', () => {
    const expected = () => ({
        [FIRST]: {
            resource: FIRST,
            authorization_servers: [one.issuer, two.issuer],
            scopes_supported: ['mcp:use'],
            bearer_methods_supported: ['header'],
            resource_name: 'Tools – für alle',
        },
        [TEAM]: {
            resource: TEAM,
            authorization_servers: [one.issuer],
            scopes_supported: ['mcp:use', 'mcp:team', 'offline_access'],
            bearer_methods_supported: ['header'],
        },
        [GUEST]: {
            resource: GUEST,
            authorization_servers: [one.issuer, two.issuer],
            bearer_methods_supported: ['header'],
        },
    });
    const places = [
        [`${WELL_KNOWN}/mcp`, FIRST, 'with the path inserted (RFC 9728 3.1)'],
        [`${WELL_KNOWN}/mcp/`, FIRST, 'with a final slash'],
        [WELL_KNOWN, FIRST, 'bare: the first route'],
        [`${WELL_KNOWN}/team/a%20b/mcp`, TEAM, 'of another route'],
        [`${WELL_KNOWN}/guest/`, GUEST, 'of a resource that ends in a slash'],
        [`${WELL_KNOWN}/guest`, GUEST, 'of that without its slash'],
    ];
    for (const [target, resource, why] of places)
        test(`${target}: ${why}`, async () => {
            const answer = await get(target);
            assert.equal(answer.status, 200);
            assert.deepEqual(answer.json, expected()[resource]);
            assert.equal(answer.get('content-type'), 'application/json');
            assert.equal(answer.get('access-control-allow-origin'), '*');
            assert.match(answer.get('cache-control'), /max-age=[1-9]/);
        });

    test('says the same whatever Host and forwarding headers say', async () => {
        const answer = await get(`${WELL_KNOWN}/mcp`, {
            host: 'evil.example',
            headers: ['X-Forwarded-Host: evil.example', 'X-Forwarded-Proto: http'],
        });
        assert.equal(answer.json.resource, FIRST);
        assert.ok(!answer.text.includes('evil'));
    });

    test('HEAD has the same fields and no body', async () => {
        const whole = await get(`${WELL_KNOWN}/mcp`);
        const head = await get(`${WELL_KNOWN}/mcp`, { method: 'HEAD' });
        assert.equal(head.status, 200);
        assert.equal(head.get('content-length'), String(whole.bytes.length));
        assert.equal(head.get('content-type'), 'application/json');
    });

    test('a query does not matter, a token is not needed and not looked at', async () => {
        const answer = await get(`${WELL_KNOWN}/mcp?x=1`, {
            headers: ['Authorization: Bearer nonsense'],
        });
        assert.equal(answer.status, 200);
    });

    test('preflight is answered for browsers', async () => {
        const answer = await ask({
            method: 'OPTIONS',
            target: `${WELL_KNOWN}/mcp`,
            headers: [
                'Origin: https://inspector.example',
                'Access-Control-Request-Method: GET',
                'Access-Control-Request-Headers: mcp-protocol-version',
            ],
        });
        assert.equal(answer.status, 204);
        assert.equal(answer.get('access-control-allow-origin'), '*');
        assert.match(answer.get('access-control-allow-headers'), /mcp-protocol-version/i);
        assert.match(answer.get('access-control-allow-methods'), /GET/);
    });

    for (const method of ['POST', 'DELETE', 'PUT'])
        test(`${method} is 405`, async () => {
            const answer = await ask({ method, target: `${WELL_KNOWN}/mcp` });
            assertOwnError(answer, 405);
            assert.equal(answer.get('allow'), 'GET, HEAD, OPTIONS');
        });

    const nowhere = [
        `${WELL_KNOWN}/nothing`,
        `${WELL_KNOWN}/MCP`,
        `${WELL_KNOWN}/mcp/x`,
        `${WELL_KNOWN}mcp`,
        `${WELL_KNOWN}/team/a b/mcp`.replace(' ', '+'),
        '/mcp/.well-known/oauth-protected-resource',
        '/.well-known/oauth-authorization-server',
    ];
    for (const target of nowhere)
        test(`${target} is 404`, async () => assertOwnError(await get(target), 404));
});

describe('the challenge leads to the document of its own route', () => {
    for (const [target, resource] of [
        ['/mcp', FIRST],
        ['/mcp/', FIRST],
        ['/team/a%20b/mcp', TEAM],
        ['/guest', GUEST],
    ])
        test(target, async () => {
            const refused = await ask({ target, body: call('ping') });
            assert.equal(refused.status, 401);
            const url = new URL(challengeParameter(refused, 'resource_metadata'));
            assert.equal(url.origin, new URL(resource).origin);
            const document = await get(url.pathname);
            assert.equal(document.json.resource, resource);
        });
});

test('a route at the root answers the bare place', async () => {
    const rooted = await startGate([
        { resource: FIRST, upstream: 'http://127.0.0.1:1/' },
        { resource: 'https://mcp.example.com', upstream: 'http://127.0.0.1:1/' },
    ]);
    try {
        const bare = await ask({ method: 'GET', target: WELL_KNOWN }, rooted.port);
        assert.equal(bare.json.resource, 'https://mcp.example.com');
        const inserted = await ask({ method: 'GET', target: `${WELL_KNOWN}/mcp` }, rooted.port);
        assert.equal(inserted.json.resource, FIRST);
    } finally {
        await rooted.stop();
    }
});

describe('a token is good for its own route only', () => {
    const heard = () => upstreams.map((upstream) => upstream.requests.length);
    const rows = [
        ['the first', '/mcp', () => one.mint({ aud: FIRST }), 0],
        ['the first, from the second issuer', '/mcp', () => two.mint({ aud: FIRST }), 0],
        [
            'the team',
            '/team/a%20b/mcp',
            () => one.mint({ aud: TEAM, scope: 'mcp:use mcp:team' }),
            1,
        ],
        ['the guests, by API identifier', '/guest', () => one.mint({ aud: API_IDENTIFIER }), 2],
        ['the guests, by resource', '/guest/', () => two.mint({ aud: GUEST }), 2],
    ];
    for (const [why, target, token, upstream] of rows)
        test(`${why}: reaches its upstream and no other`, async () => {
            const before = heard();
            assert.equal((await ping(target, token())).status, 200);
            before[upstream]++;
            assert.deepEqual(heard(), before);
        });

    const AUDIENCE = 'The access token was issued for another audience';
    const ISSUER = 'The access token was not issued by an accepted authorization server';
    const refused = [
        [
            'the first token at the team',
            '/team/a%20b/mcp',
            () => one.mint({ aud: FIRST }),
            AUDIENCE,
        ],
        ['the team token at the first', '/mcp', () => one.mint({ aud: TEAM }), AUDIENCE],
        ['the guests token at the first', '/mcp', () => one.mint({ aud: GUEST }), AUDIENCE],
        [
            'audiences take the place of the resource, they do not join it',
            '/mcp',
            () => one.mint({ aud: API_IDENTIFIER }),
            AUDIENCE,
        ],
        [
            'an issuer that the route does not accept',
            '/team/a%20b/mcp',
            () => two.mint({ aud: TEAM, scope: 'mcp:use mcp:team' }),
            ISSUER,
        ],
    ];
    for (const [why, target, token, description] of refused)
        test(`refused: ${why}`, async () => {
            const before = heard();
            const answer = await ping(target, token());
            assert.equal(assertOwnError(answer, 401).error, 'invalid_token');
            assert.equal(challengeParameter(answer, 'error_description'), description);
            assert.deepEqual(heard(), before);
        });

    test('a token seen on one route is checked again on the next', async () => {
        const token = one.mint({ aud: FIRST });
        assert.equal((await ping('/mcp', token)).status, 200);
        assert.equal((await ping('/guest', token)).status, 401);
        assert.equal((await ping('/mcp', token)).status, 200);
    });
});

describe('a key is good for its own issuer only', () => {
    const forge = (claimed, key, header = {}) =>
        signCompact({
            header: { ...tokenHeader('rfc9068', key), ...header },
            payload: tokenClaims('rfc9068', { issuer: claimed.issuer, resource: FIRST }),
            key,
        });

    test("the other issuer's name over one's own signature", async () => {
        const answer = await ping('/mcp', forge(one, two.key));
        assert.equal(answer.status, 401);
        assert.equal(
            challengeParameter(answer, 'error_description'),
            'The access token is signed with a key that its issuer does not publish',
        );
    });

    test("the other issuer's name and key id over one's own signature", async () => {
        const answer = await ping('/mcp', forge(one, two.key, { kid: one.key.kid }));
        assert.equal(answer.status, 401);
        assert.equal(
            challengeParameter(answer, 'error_description'),
            'The signature of the access token is wrong',
        );
    });

    test('two issuers may use the same key id for different keys', async () => {
        const twins = await Promise.all([1, 2].map(() => newSigningKey({ kid: 'main' })));
        await one.addKey(twins[0]);
        await two.addKey(twins[1]);
        const fresh = await startGate([
            { resource: FIRST, upstream: `http://127.0.0.1:${upstreams[0].port}/mcp` },
        ]);
        try {
            const at = async (token) => {
                const headers = [
                    'Content-Type: application/json',
                    `Authorization: Bearer ${token}`,
                ];
                return (await ask({ headers, body: call('ping') }, fresh.port)).status;
            };
            assert.equal(await at(forge(one, twins[0])), 200);
            assert.equal(await at(forge(two, twins[1])), 200);
            assert.equal(await at(forge(one, twins[1])), 401);
            assert.equal(await at(forge(two, twins[0])), 401);
        } finally {
            await fresh.stop();
        }
    });
});
