// SPDX-License-Identifier: Apache-2.0
// What we say about the caller to the upstream: configured headers, headers made of verified claims
// that no client can fake (T6), and where the request came from.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { assertOwnError } from './lib/answers.mjs';
import { eventually } from './lib/observe.mjs';
import { openStage } from './lib/stage.mjs';

const JSON_TYPE = 'Content-Type: application/json';
// How an upstream that folds names (CGI, WSGI, PHP) sees them.
const folded = (name) => name.toLowerCase().replaceAll('_', '-');
const seenAs = (request, name) =>
    request.fields.filter(([n]) => folded(n) === folded(name)).map(([, value]) => value);

describe('upstream URL and headers', () => {
    let stage;
    before(async () => {
        stage = await openStage({
            upstreamPath: '/deep/path?fixed=1',
            route: {
                upstream: {
                    headers: {
                        Authorization: 'Bearer static-secret',
                        'X-Api-Key': '$env(API_KEY)',
                    },
                },
                identity: {
                    'X-User': 'sub',
                    'X-Org_Id': 'org_id',
                    'X-Email': ['email', 'https://example.com/email'],
                    'X-Client': ['client_id', 'azp'],
                },
            },
            env: { API_KEY: 'key-from-env' },
        });
    });
    after(() => stage?.close());
    beforeEach(() => stage.upstream.forget());

    test('the query of the URL stays, that of the request is added', async () => {
        await stage.ask({});
        await stage.ask({ target: '/mcp?a=b' });
        assert.deepEqual(
            stage.upstream.requests.map((r) => r.target),
            ['/deep/path?fixed=1', '/deep/path?fixed=1&a=b'],
        );
    });

    test('upstream.headers replace what the client sent under any spelling', async () => {
        await stage.ask({
            headers: [JSON_TYPE, 'X-API-KEY: mine', 'x_api_key: mine', 'X-Api_Key: mine'],
        });
        assert.deepEqual(seenAs(stage.upstream.last, 'authorization'), ['Bearer static-secret']);
        assert.deepEqual(seenAs(stage.upstream.last, 'x-api-key'), ['key-from-env']);
    });

    test('identity headers hold verified claims, the first that is present', async () => {
        const claims = {
            sub: 'auth0|42',
            org_id: 'org_1',
            'https://example.com/email': 'a@b.example',
        };
        await stage.ask({ token: stage.token({ claims }) });
        assert.deepEqual(seenAs(stage.upstream.last, 'x-user'), ['auth0|42']);
        assert.deepEqual(seenAs(stage.upstream.last, 'x-org-id'), ['org_1']);
        assert.deepEqual(seenAs(stage.upstream.last, 'x-email'), ['a@b.example']);
        assert.equal(seenAs(stage.upstream.last, 'x-client').length, 1);
    });

    // T6: every spelling that some server takes for the same header.
    const spellings = (name) => {
        const flips = [name, name.toLowerCase(), name.toUpperCase()];
        return [
            ...new Set(
                flips.flatMap((n) => [
                    n,
                    n.replaceAll('-', '_'),
                    n.replaceAll('_', '-'),
                    n.replace('-', '_'),
                    n.replace(/[-_]([^-_]*)$/, '_$1'),
                    n.replace(/[-_]([^-_]*)$/, '-$1'),
                ]),
            ),
        ];
    };

    for (const [name, given] of [
        ['X-User', ['auth0|42']],
        ['X-Org_Id', []],
        ['X-Email', []],
        ['X-Client', null],
        ['X-Forwarded-For', ['127.0.0.1']],
        ['X-Forwarded-Host', ['mcp.example.com']],
        ['X-Forwarded-Proto', ['https']],
        ['X-Forwarded-Port', []],
        ['X-Request-Id', null],
        ['Authorization', ['Bearer static-secret'], 'not-a-credential'],
    ])
        test(`no client can fake ${name} (T6)`, async () => {
            const token = stage.token({ claims: { sub: 'auth0|42' } });
            const list = spellings(name).filter((n) => n.toLowerCase() !== 'authorization');
            const lines = list.map((spelling) => `${spelling}: evil`);
            for (const headers of [...lines.map((line) => [line]), lines, [...lines, ...lines]]) {
                const answer = await stage.ask({ token, headers: [JSON_TYPE, ...headers] });
                assert.ok([200, 400].includes(answer.status), `${headers}: ${answer.status}`);
                if (answer.status === 400) continue; // not even passed through
                const values = seenAs(stage.upstream.last, name);
                assert.ok(!values.includes('evil'), `${headers} reached the upstream`);
                if (given) assert.deepEqual(values, given);
            }
        });

    test('Connection cannot take an identity header away', async () => {
        const token = stage.token({ claims: { sub: 'auth0|42' } });
        await stage.ask({
            token,
            headers: [JSON_TYPE, 'Connection: X-User, X-Api-Key, Authorization'],
        });
        assert.deepEqual(seenAs(stage.upstream.last, 'x-user'), ['auth0|42']);
        assert.deepEqual(seenAs(stage.upstream.last, 'x-api-key'), ['key-from-env']);
        assert.deepEqual(seenAs(stage.upstream.last, 'authorization'), ['Bearer static-secret']);
    });

    for (const sub of ['a\r\nX-Admin: 1', 'a\nX-Admin: 1', 'a\0b', 'a\x7fb', 'a\tb'])
        test(`a claim with a control byte never becomes a header: ${JSON.stringify(sub)}`, async () => {
            const answer = await stage.ask({ token: stage.token({ claims: { sub } }) });
            assert.ok(answer.status >= 400, `${answer.status}`);
            assertOwnError(answer, answer.status);
            assert.equal(stage.upstream.requests.length, 0);
        });

    test('a claim that is not ASCII arrives percent-encoded, and no other can pose as it', async () => {
        for (const [sub, value] of [
            ['google|é', 'google|%C3%A9'],
            ['google|%C3%A9', 'google|%25C3%25A9'],
        ]) {
            await stage.ask({ token: stage.token({ claims: { sub } }) });
            assert.deepEqual(seenAs(stage.upstream.last, 'x-user'), [value]);
        }
    });
});

describe('trusted proxies', () => {
    let stage;
    before(async () => {
        stage = await openStage({ policy: { trusted_proxies: ['127.0.0.0/8', '10.0.0.0/8'] } });
    });
    after(() => stage?.close());
    beforeEach(() => stage.upstream.forget());

    for (const [sent, client, why] of [
        [[], '127.0.0.1', 'nothing was said'],
        [['203.0.113.9'], '203.0.113.9', 'one proxy'],
        [['203.0.113.9, 10.1.2.3'], '203.0.113.9', 'two trusted proxies'],
        [['1.1.1.1, 203.0.113.9, 10.1.2.3'], '203.0.113.9', 'the client made one up'],
        [['1.1.1.1', '203.0.113.9'], '203.0.113.9', 'two lines are one list'],
        [
            ['203.0.113.9', '10.1.2.3'],
            '203.0.113.9',
            'two lines are one list, the last one trusted',
        ],
        [['10.9.9.9, 10.1.2.3'], '10.9.9.9', 'all of them trusted: the first'],
        [['203.0.113.9, garbage, 10.1.2.3'], '127.0.0.1', 'a list with garbage is not believed'],
        [['2001:db8::1'], '2001:db8::1', 'IPv6'],
    ])
        test(`X-Forwarded-For ${JSON.stringify(sent)}: the client is ${client} (${why})`, async () => {
            const headers = [JSON_TYPE, ...sent.map((value) => `X-Forwarded-For: ${value}`)];
            const answer = await stage.ask({ headers });
            const id = answer.get('x-request-id');
            const line = await eventually(() => stage.event(id), 'the request is in the log');
            assert.equal(line.client_ip, client);
            const values = seenAs(stage.upstream.last, 'x-forwarded-for');
            assert.equal(values.length, 1);
            assert.ok(values[0].split(', ').includes(client), values[0]);
            assert.ok(!values[0].includes('garbage'), values[0]);
        });
});
