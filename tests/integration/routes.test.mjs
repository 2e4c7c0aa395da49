// SPDX-License-Identifier: Apache-2.0
// Which request reaches which route: nothing is served without a token whatever the spelling of its
// target (T7), and metadata is found in all its forms.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { assertOwnError } from './lib/answers.mjs';
import { openStage } from './lib/stage.mjs';

const WELL_KNOWN = '/.well-known/oauth-protected-resource';
const names = (value) => (value ?? '').split(',').map((name) => name.trim().toLowerCase());

// Every row is sent with POST and with GET, without a token; a row with headers adds them.
const BYPASSES = String.raw`
    /mcp/. /mcp/.. /mcp/../mcp /./mcp /../mcp /x/../mcp /mcp/x/.. /%2e/mcp /%2e%2e/mcp /x/%2e%2e/mcp
    /mcp/%2E%2e/ /x/.%2e/mcp /mcp/..;/ /..;/mcp /x/..;/mcp /.;/mcp /%252e%252e/mcp /..%00/mcp /..%0d/mcp
    //mcp /mcp// ///mcp //mcp/ /mcp%2f /%2fmcp /x%2f..%2fmcp /%5cmcp /\mcp \mcp /mcp\ /mcp\..\mcp /mcp%5c
    /mcp%252f //evil.example/mcp /mcp; /mcp;x=1 /mcp;/ /;/mcp /mcp# /mcp#/x /x#/mcp /MCP /Mcp /%6dcp
    /m%63p /%6D%63%70 /mcp%00 /mcp%00.json /mcp%20 /mcp%09 /mcp. /mcp.json /mcp/x /mcp/tools /mcpx /mc /
    /index.html /mcp%3f /mcp%23 /mcp%0a /mcp%0d%0aX:y /mcp%c0%af /mcp%ef%bc%8f /mcp% /mcp%2 /mcp%zz
    /mcp? /mcp?/healthz /mcp?x=/.well-known/oauth-protected-resource /mcp/?a=b
    /mcp?/.well-known/oauth-protected-resource /.well-known/oauth-protected-resource/../../mcp
    /.well-known/oauth-protected-resource/mcp/../../../mcp /.well-known/oauth-protected-resource%2fmcp
    /.well-known/oauth-protected-resource/mcp%2f..%2f..%2f..%2fmcp
    /.well-known/oauth-protected-resource/..;/..;/mcp
    http://mcp.example.com/mcp https://mcp.example.com/mcp http://evil.example/mcp mcp
    mcp.example.com:443 * file:///mcp http:/mcp HTTP://mcp.example.com/mcp
`
    .trim()
    .split(/\s+/);

const HEADER_TRICKS = [
    'X-Original-URL: /healthz',
    `X-Original-URL: ${WELL_KNOWN}`,
    `X-Rewrite-URL: ${WELL_KNOWN}`,
    `X-Original-URI: ${WELL_KNOWN}`,
    'X-HTTP-Method-Override: OPTIONS',
    'X-HTTP-Method: OPTIONS',
    'X-Method-Override: OPTIONS',
    'X-Original-Method: OPTIONS',
    'X-Forwarded-Method: OPTIONS',
    'X-Forwarded-Uri: /healthz',
    'X-Forwarded-Prefix: /x',
    'X-Forwarded-For: 127.0.0.1',
    'X-Real-IP: 127.0.0.1',
    'Forwarded: for=127.0.0.1;host=localhost',
    'X-Custom-IP-Authorization: 127.0.0.1',
    'X-Auth-Request-User: admin',
    'Proxy-Authorization: Bearer x',
    'Upgrade: websocket',
    'Access-Control-Request-Method: POST',
    'Sec-Fetch-Mode: cors',
];

describe('route bypass (T7)', () => {
    let stage;
    before(async () => (stage = await openStage()));
    after(() => stage?.close());
    beforeEach(() => stage.upstream.forget());

    // An answer, and one that nobody but us can have made.
    async function assertNotServed(options) {
        const answer = await stage.ask({ token: null, ...options });
        assert.ok([400, 401, 404, 405].includes(answer.status), `${answer.status}`);
        assert.equal(stage.upstream.requests.length, 0, 'the upstream was asked');
    }

    for (const target of BYPASSES)
        test(`is not served without a token: ${target}`, async () => {
            await assertNotServed({ target });
            await assertNotServed({ target, method: 'GET', body: null });
        });

    for (const header of HEADER_TRICKS)
        test(`is not served without a token: ${header}`, async () => {
            await assertNotServed({ headers: [header] });
            await assertNotServed({ headers: [header], method: 'GET', body: null });
        });

    test('what is not spelled like the mount path is not served with a token either', async () => {
        for (const target of BYPASSES.filter((t) => !/^\/mcp\/?(\?.*)?$/.test(t))) {
            const answer = await stage.ask({ target });
            assert.ok([400, 404].includes(answer.status), `${target}: ${answer.status}`);
        }
        assert.equal(stage.upstream.requests.length, 0);
    });
});

describe('methods and paths', () => {
    let stage;
    before(async () => (stage = await openStage()));
    after(() => stage?.close());
    beforeEach(() => stage.upstream.forget());

    for (const target of ['/mcp', '/mcp/', '/mcp?a=b'])
        test(`serves the mount path: ${target}`, async () => {
            assert.equal((await stage.ask({ target })).status, 200);
            assert.equal(stage.upstream.requests.length, 1);
        });

    for (const method of ['PUT', 'PATCH', 'HEAD', 'TRACE', 'PROPFIND', 'QUERY', 'get', 'Post'])
        test(`405 with Allow: ${method} on the mount path`, async () => {
            const answer = await stage.ask({ method, body: null });
            assert.equal(answer.status, 405);
            assert.deepEqual(names(answer.get('allow')).sort(), [
                'delete',
                'get',
                'options',
                'post',
            ]);
            assert.equal(stage.upstream.requests.length, 0);
            if (method !== 'HEAD') assertOwnError(answer, 405);
        });

    test('CONNECT is refused', async () => {
        const answer = await stage.ask({ method: 'CONNECT', target: 'upstream:443', body: null });
        assertOwnError(answer, 400);
    });

    for (const method of ['POST', 'PUT', 'DELETE'])
        test(`405 with Allow: ${method} on the metadata path`, async () => {
            const answer = await stage.ask({ method, target: `${WELL_KNOWN}/mcp` });
            assertOwnError(answer, 405);
            assert.deepEqual(names(answer.get('allow')).sort(), ['get', 'head', 'options']);
        });

    for (const target of [
        '/',
        '/x',
        '/mcp/x',
        '/mcpx',
        '/healthz',
        '/readyz',
        '/metrics',
        '/favicon.ico',
        '/.well-known/oauth-authorization-server',
        '/.well-known/openid-configuration',
        `${WELL_KNOWN}/other`,
        `${WELL_KNOWN}x`,
    ])
        test(`404: ${target}`, async () => {
            assertOwnError(await stage.ask({ method: 'GET', target, body: null }), 404);
            assert.equal(stage.upstream.requests.length, 0);
        });
});

describe('metadata', () => {
    const A = 'https://mcp.example.com/mcp';
    const B = 'https://mcp.example.com/b/deep/';
    let stage;
    before(async () => {
        stage = await openStage({
            routes: (upstream) => [
                { resource: A, upstream, name: 'The first', scopes: ['mcp:use'] },
                { resource: B, upstream, scopes_supported: ['b:read', 'b:write'] },
            ],
        });
    });
    after(() => stage?.close());

    const metadata = (target, more = {}) =>
        stage.ask({ method: 'GET', target, token: null, body: null, ...more });

    for (const [target, resource] of [
        [`${WELL_KNOWN}/mcp`, A],
        [`${WELL_KNOWN}/mcp/`, A],
        [`${WELL_KNOWN}/mcp?x=y`, A],
        [WELL_KNOWN, A],
        [`${WELL_KNOWN}/`, A],
        [`${WELL_KNOWN}/b/deep`, B],
        [`${WELL_KNOWN}/b/deep/`, B],
    ])
        test(`GET ${target} is about ${resource}`, async () => {
            const answer = await metadata(target);
            assert.equal(answer.status, 200);
            assert.equal(answer.get('content-type'), 'application/json');
            assert.equal(answer.get('access-control-allow-origin'), '*');
            assert.match(answer.get('cache-control'), /max-age=[1-9]/);
            assert.equal(answer.json.resource, resource);
            assert.deepEqual(answer.json.authorization_servers, [stage.tenant.issuer]);
            assert.deepEqual(answer.json.bearer_methods_supported, ['header']);
        });

    test('holds name and scopes where there are some, and nothing where there are none', async () => {
        const a = (await metadata(`${WELL_KNOWN}/mcp`)).json;
        assert.equal(a.resource_name, 'The first');
        assert.deepEqual(a.scopes_supported, ['mcp:use']);
        const b = (await metadata(`${WELL_KNOWN}/b/deep`)).json;
        assert.ok(!('resource_name' in b));
        assert.deepEqual(b.scopes_supported, ['b:read', 'b:write']);
    });

    test('HEAD has the head of GET and no body', async () => {
        const get = await metadata(`${WELL_KNOWN}/mcp`);
        const head = await metadata(`${WELL_KNOWN}/mcp`, { method: 'HEAD' });
        assert.equal(head.status, 200);
        assert.equal(head.bytes.length, 0);
        assert.equal(head.get('content-length'), String(get.bytes.length));
        assert.equal(head.get('content-type'), get.get('content-type'));
    });

    test('never depends on Host, X-Forwarded-Host or a token', async () => {
        const plain = await metadata(`${WELL_KNOWN}/mcp`);
        for (const more of [
            { host: 'evil.example' },
            { headers: ['X-Forwarded-Host: evil.example', 'X-Forwarded-Proto: http'] },
            { headers: ['Forwarded: host=evil.example;proto=http'] },
            { token: 'not-a-token' },
        ])
            assert.equal((await metadata(`${WELL_KNOWN}/mcp`, more)).text, plain.text);
    });

    test('the challenge of each route names its own document', async () => {
        for (const [target, path] of [
            ['/mcp', '/mcp'],
            ['/b/deep', '/b/deep/'],
            ['/b/deep/', '/b/deep/'],
        ]) {
            const answer = await stage.ask({ target, token: null });
            assert.equal(answer.status, 401);
            const url = /resource_metadata="([^"]*)"/.exec(answer.get('www-authenticate'))[1];
            assert.equal(url, `https://mcp.example.com${WELL_KNOWN}${path}`);
        }
    });

    test('a token for one route does not open the other', async () => {
        stage.upstream.forget();
        const token = stage.token({ claims: { aud: A, scope: 'mcp:use' } });
        assert.equal((await stage.ask({ target: '/mcp', token })).status, 200);
        const answer = await stage.ask({ target: '/b/deep', token });
        assertOwnError(answer, 401);
        assert.match(answer.get('www-authenticate'), /error="invalid_token"/);
        assert.equal(stage.upstream.requests.length, 1);
    });
});

describe('metadata of a route at the root', () => {
    let stage;
    before(async () => {
        stage = await openStage({
            routes: (upstream) => [
                { resource: 'https://mcp.example.com/first', upstream },
                { resource: 'https://mcp.example.com', upstream },
            ],
        });
    });
    after(() => stage?.close());

    test('the bare form names the root, not the first route', async () => {
        const answer = await stage.ask({
            method: 'GET',
            target: WELL_KNOWN,
            token: null,
            body: null,
        });
        assert.equal(answer.json.resource, 'https://mcp.example.com');
    });

    test('the root route serves / and nothing below it', async () => {
        const token = stage.token({ claims: { aud: 'https://mcp.example.com' } });
        assert.equal((await stage.ask({ target: '/', token })).status, 200);
        assert.equal((await stage.ask({ target: '/x', token })).status, 404);
    });
});
