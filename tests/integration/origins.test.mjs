// SPDX-License-Identifier: Apache-2.0
// Browsers get exactly the answers that their Origin earns, whatever the Host (T10): nobody else's
// page calls, and allowed pages can read what they need.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { assertOwnError } from './lib/answers.mjs';
import { okJson } from './lib/byte-upstream.mjs';
import { openStage } from './lib/stage.mjs';

const WELL_KNOWN = '/.well-known/oauth-protected-resource';
const names = (value) => (value ?? '').split(',').map((name) => name.trim().toLowerCase());

// T10. [Origin lines, allowed?, why]
const ORIGINS = [
    [[], true, 'no browser'],
    [['https://mcp.example.com'], true, "the resource's own"],
    [['https://mcp.example.com:443'], true, 'the default port written out'],
    [['HTTPS://MCP.EXAMPLE.COM'], true, 'scheme and host have no case'],
    [['https://app.example.com'], true, 'configured'],
    [['http://localhost:6274'], true, 'configured with a port'],
    [['http://localhost:6275'], false, 'another port'],
    [['http://localhost'], false, 'the port is missing'],
    [['http://mcp.example.com'], false, 'another scheme'],
    [['https://mcp.example.com:8443'], false, 'another port'],
    [['https://evil.example'], false, 'foreign'],
    [['https://mcp.example.com.evil.example'], false, 'a longer host'],
    [['https://evilmcp.example.com'], false, 'a prefix before the host'],
    [['https://mcp.example.com@evil.example'], false, 'userinfo'],
    [['https://mcp.example.com/'], false, 'an origin has no path'],
    [['https://mcp.example.com?'], false, 'an origin has no query'],
    [['null'], false, 'opaque'],
    [[''], false, 'empty'],
    [['*'], false, 'no wildcard from a client'],
    [['https://app.example.com, https://evil.example'], false, 'a list'],
    [['https://app.example.com https://evil.example'], false, 'the old list form'],
    [['https://evil.example, https://app.example.com'], false, 'a list, bad one first'],
    [['https://app.example.com', 'https://app.example.com'], false, 'twice'],
    [['https://app.example.com', 'https://evil.example'], false, 'twice, differing'],
];
const HOSTS = [
    'mcp.example.com',
    'mcp.example.com:443',
    'localhost',
    '127.0.0.1:8080',
    'evil.example',
];
const EXPOSED = ['www-authenticate', 'mcp-session-id', 'mcp-protocol-version'];

describe('Host and Origin (T10)', () => {
    let stage;
    before(async () => {
        stage = await openStage({
            route: { origins: ['https://app.example.com', 'http://localhost:6274'] },
        });
    });
    after(() => stage?.close());
    beforeEach(() => stage.upstream.forget());

    for (const [origins, allowed, why] of ORIGINS)
        test(`Origin ${JSON.stringify(origins)} is ${allowed ? 'served' : 'refused'}: ${why}`, async () => {
            const headers = origins.map((origin) => `Origin: ${origin}`);
            for (const host of HOSTS) {
                const answer = await stage.ask({ headers, host });
                if (allowed) {
                    assert.equal(answer.status, 200, host);
                    assert.equal(answer.get('access-control-allow-origin'), origins[0] ?? null);
                    continue;
                }
                assertOwnError(answer, origins.length > 1 ? 400 : 403);
                assert.deepEqual(answer.all('access-control-allow-origin'), []);
            }
            assert.equal(stage.upstream.requests.length, allowed ? HOSTS.length : 0);
        });

    test('an allowed origin may read the challenge and the session headers', async () => {
        const headers = ['Origin: https://app.example.com'];
        for (const [token, status] of [
            [undefined, 200],
            [null, 401],
            ['bad', 401],
        ]) {
            const answer = await stage.ask({ headers, token });
            assert.equal(answer.status, status);
            assert.equal(answer.get('access-control-allow-origin'), 'https://app.example.com');
            const exposed = names(answer.get('access-control-expose-headers'));
            for (const name of EXPOSED) assert.ok(exposed.includes(name), name);
            assert.ok(names(answer.all('vary').join(',')).includes('origin'));
        }
    });

    const preflight = (origin, more = {}) =>
        stage.ask({
            method: 'OPTIONS',
            body: null,
            token: null,
            headers: [
                ...(origin === null ? [] : [`Origin: ${origin}`]),
                'Access-Control-Request-Method: POST',
                'Access-Control-Request-Headers: authorization,content-type,mcp-protocol-version',
            ],
            ...more,
        });

    test('a preflight is answered without a token', async () => {
        const answer = await preflight('https://app.example.com');
        assert.ok([200, 204].includes(answer.status), `${answer.status}`);
        assert.equal(answer.get('access-control-allow-origin'), 'https://app.example.com');
        for (const method of ['get', 'post', 'delete'])
            assert.ok(names(answer.get('access-control-allow-methods')).includes(method), method);
        const wanted = [
            'authorization',
            'content-type',
            'accept',
            'last-event-id',
            'mcp-session-id',
            'mcp-protocol-version',
            'mcp-method',
            'mcp-name',
        ];
        const allowed = names(answer.get('access-control-allow-headers'));
        for (const name of wanted.slice(0, 2).concat('mcp-protocol-version'))
            assert.ok(allowed.includes(name), name);
        assert.ok(names(answer.all('vary').join(',')).includes('origin'));
        assert.equal(stage.upstream.requests.length, 0);
    });

    test('a preflight may ask for every header of Streamable HTTP', async () => {
        const wanted = [
            'authorization',
            'content-type',
            'accept',
            'last-event-id',
            'mcp-session-id',
            'mcp-protocol-version',
            'mcp-method',
            'mcp-name',
            'mcp-param-city',
            'traceparent',
        ];
        const answer = await preflight('https://app.example.com', {
            headers: [
                'Origin: https://app.example.com',
                'Access-Control-Request-Method: POST',
                `Access-Control-Request-Headers: ${wanted.join(', ')}`,
            ],
        });
        const allowed = names(answer.get('access-control-allow-headers'));
        for (const name of wanted) assert.ok(allowed.includes(name), name);
    });

    test('a preflight of a foreign origin is refused, with and without a token', async () => {
        for (const token of [null, undefined]) {
            const answer = await preflight('https://evil.example', { token });
            assertOwnError(answer, 403);
            assert.deepEqual(answer.all('access-control-allow-origin'), []);
        }
        assert.equal(stage.upstream.requests.length, 0);
    });

    test('OPTIONS without Origin is answered here, never by the upstream', async () => {
        const answer = await preflight(null, { headers: [] });
        assert.ok([200, 204].includes(answer.status), `${answer.status}`);
        assert.deepEqual(names(answer.get('allow')).sort(), ['delete', 'get', 'options', 'post']);
        assert.equal(stage.upstream.requests.length, 0);
    });

    test('the metadata may be read by any page, with MCP-Protocol-Version', async () => {
        const target = `${WELL_KNOWN}/mcp`;
        const answer = await preflight('https://anything.example', {
            target,
            headers: [
                'Origin: https://anything.example',
                'Access-Control-Request-Method: GET',
                'Access-Control-Request-Headers: mcp-protocol-version',
            ],
        });
        assert.ok([200, 204].includes(answer.status), `${answer.status}`);
        assert.equal(answer.get('access-control-allow-origin'), '*');
        const allowed = names(answer.get('access-control-allow-headers'));
        assert.ok(allowed.includes('mcp-protocol-version') || allowed.includes('*'));
        assert.ok(names(answer.get('access-control-allow-methods')).includes('get'));
        const got = await stage.ask({
            method: 'GET',
            target,
            body: null,
            token: null,
            headers: ['Origin: https://anything.example'],
        });
        assert.equal(got.status, 200);
        assert.equal(got.get('access-control-allow-origin'), '*');
    });

    test("the upstream's own CORS headers are replaced", async () => {
        const own = [
            'Access-Control-Allow-Origin: *',
            'Access-Control-Allow-Credentials: true',
            'Access-Control-Expose-Headers: X-Upstream',
            'access-control-allow-methods: PUT',
            'Access-Control-Max-Age: 99999',
        ];
        stage.upstream.respond = (request, link) => link.send(okJson('{}', own));
        const browser = await stage.ask({ headers: ['Origin: https://app.example.com'] });
        assert.equal(browser.get('access-control-allow-origin'), 'https://app.example.com');
        assert.deepEqual(browser.all('access-control-allow-credentials'), []);
        assert.deepEqual(browser.all('access-control-allow-methods'), []);
        assert.deepEqual(browser.all('access-control-max-age'), []);
        assert.ok(
            EXPOSED.every((n) => names(browser.get('access-control-expose-headers')).includes(n)),
        );
        const other = await stage.ask({});
        assert.equal(other.status, 200);
        assert.deepEqual(other.all('access-control-allow-origin'), []);
    });
});

describe('origins: "*"', () => {
    let stage;
    before(async () => (stage = await openStage({ route: { origins: ['*'] } })));
    after(() => stage?.close());

    test('any page may call, a list is still no origin', async () => {
        for (const [origin, status] of [
            ['https://anything.example', 200],
            ['null', 200],
            ['https://a.example, https://b.example', 403],
        ]) {
            const answer = await stage.ask({ headers: [`Origin: ${origin}`] });
            assert.equal(answer.status, status, origin);
            const allowed = answer.get('access-control-allow-origin');
            assert.ok(status === 403 ? allowed === null : ['*', origin].includes(allowed), origin);
        }
    });
});
