// SPDX-License-Identifier: Apache-2.0
// `portcullis explain`: the decision on a token and a call, offline. Whatever it says is held
// against a running daemon: same status, same reason, same challenge, byte for byte.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { ALLOWED, DENIED, explain, Files } from './lib/explain.mjs';
import { call, openStage, RESOURCE } from './lib/stage.mjs';
import { signCompact, tokenClaims, tokenHeader } from './lib/tokens.mjs';

// ---- one route with every kind of rule, and a daemon that has the same policy ----

const SCOPES = ['mcp:use'];
const RULES = [
    { tools: ['admin_*'], allow: false }, // 0
    { tools: ['echo', 'odd name'], permission: 'tool:{name}' }, // 1
    { tools: ['files_*'], scopes: ['files:read', 'files:write'] }, // 2
    { tools: ['org_*'], claims: { org_id: ['org_1', 'org_2'], '/act/sub': ['agent'] } }, // 3
    { prompts: ['*'], allow: true }, // 4
    { resources: ['file:///public/*'], scopes: ['files:read'], permission: 'read:public' }, // 5
    { methods: ['resources/templates/list'], scopes: ['templates'] }, // 6
];
const IMPLIES = { 'files:all': ['files:read', 'files:write'] };

const files = new Files();
let stage;
let jwks;
before(async () => {
    stage = await openStage({
        route: { scopes: SCOPES, rules: RULES, scope_implies: IMPLIES },
    });
    jwks = files.add({ keys: stage.tenant.keys });
});
after(async () => {
    files.remove();
    await stage?.close();
});

/** Method, name and params of the call that TEXT ("METHOD:NAME") means. */
function split(text) {
    const at = text.indexOf(':');
    const [method, name] = at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
    if (name === undefined) return { method, params: {} };
    if (method.startsWith('resources/')) return { method, name, params: { uri: name } };
    if (method !== 'completion/complete') return { method, name, params: { name } };
    const [, type, target] = /^(ref\/[a-z]+):(.*)$/s.exec(name);
    const ref = { type, [type === 'ref/prompt' ? 'name' : 'uri']: target };
    return { method, name: target, params: { ref, argument: { name: 'x', value: 'y' } } };
}

/** What explain says as JSON, with and without keys, and its exit status. */
function ask(token, text, { keys = jwks, policy = stage.gate.policyFile } = {}) {
    const args = [policy, '--token-file', files.add(token), '--call', text, '--json'];
    if (keys) args.push('--jwks', keys);
    return explain(args, { token });
}

/** Sends the same to the daemon and checks that it answers as REPORT says. */
async function assertSameAsGate(on, token, text, report) {
    const { method, params } = split(text);
    const notification = method.startsWith('notifications/');
    const answer = await on.ask({
        token: null,
        headers: [`Authorization: Bearer ${token}`],
        body: notification ? JSON.stringify({ jsonrpc: '2.0', method }) : call(method, params),
    });
    if (report.answer === null) {
        assert.equal(answer.status, 200, answer.text);
        return;
    }
    assert.equal(answer.status, report.answer.status, answer.text);
    assert.equal(answer.get('www-authenticate'), report.answer.www_authenticate ?? null);
    if (report.answer.result) {
        assert.deepEqual(answer.json, { jsonrpc: '2.0', id: 1, result: report.answer.result });
        return;
    }
    assert.equal(answer.json.error, report.answer.error);
    assert.equal(answer.json.error_description, report.answer.error_description);
    const id = answer.get('x-request-id');
    const line = await on.gate.logged((event) => event.request_id === id, 'the refusal');
    assert.equal(line.reason, report.reason);
}

describe('the decision is the one of the daemon', () => {
    const rows = [
        // [call, claims, verdict, rule, missing]
        ['initialize', {}, 'allow', null],
        ['tools/list', {}, 'allow', null],
        ['notifications/initialized', {}, 'allow', null],
        ['initialize', { scope: 'openid' }, 'step_up', null, { scopes: SCOPES }],
        ['tools/call:echo', { scope: 'mcp:use tool:echo' }, 'allow', 1],
        ['tools/call:echo', {}, 'step_up', 1, { scopes: ['tool:echo'], permission: 'tool:echo' }],
        [
            'tools/call:odd name',
            { scope: 'mcp:use tool:odd name' },
            'forbidden',
            1,
            { permission: 'tool:odd name' },
        ],
        ['tools/call:files_get', { scope: 'mcp:use files:all' }, 'allow', 2],
        [
            'tools/call:files_get',
            { scope: 'mcp:use files:read' },
            'step_up',
            2,
            { scopes: ['files:write'] },
        ],
        ['tools/call:files_get', {}, 'step_up', 2, { scopes: ['files:read', 'files:write'] }],
        ['tools/call:org_x', { org_id: 'org_2', act: { sub: 'agent' } }, 'allow', 3],
        ['tools/call:org_x', { org_id: ['org_9', 'org_1'], act: { sub: 'agent' } }, 'allow', 3],
        ['tools/call:org_x', { act: { sub: 'agent' } }, 'forbidden', 3, { claims: ['org_id'] }],
        [
            'tools/call:org_x',
            { org_id: 'org_9', act: 'agent' },
            'forbidden',
            3,
            { claims: ['org_id', '/act/sub'] },
        ],
        ['tools/call:admin_reset', { scope: 'mcp:use admin' }, 'forbidden', 0],
        ['tools/call:other', {}, 'forbidden', null],
        ['tools/call:other', { scope: undefined }, 'forbidden', null],
        ['prompts/get:greeting', {}, 'allow', 4],
        ['completion/complete:ref/prompt:greeting', {}, 'allow', 4],
        [
            'completion/complete:ref/resource:file:///public/{x}',
            {},
            'step_up',
            5,
            { scopes: ['files:read', 'read:public'], permission: 'read:public' },
        ],
        [
            'resources/read:file:///public/a.txt',
            { scope: 'mcp:use files:read' },
            'step_up',
            5,
            { scopes: ['read:public'], permission: 'read:public' },
        ],
        ['resources/read:file:///public/../etc/passwd', {}, 'forbidden', undefined],
        ['resources/read:file:///private', {}, 'forbidden', null],
        ['resources/templates/list', {}, 'step_up', 6, { scopes: ['templates'] }],
        ['vendor/method', {}, 'forbidden', null],
    ];
    for (const [text, claims, verdict, rule, missing = {}] of rows)
        test(`${text} with ${JSON.stringify(claims)}: ${verdict}`, async () => {
            const token = stage.token({ claims });
            const { status, report } = ask(token, text);
            assert.equal(report.verdict, verdict);
            assert.equal(status, verdict === 'allow' ? ALLOWED : DENIED);
            if (rule !== undefined)
                assert.equal(report.rule, rule === null ? null : `/routes/0/rules/${rule}`);
            if (verdict === 'allow' || Object.keys(missing).length > 0)
                assert.deepEqual(report.missing, {
                    scopes: [],
                    permission: null,
                    claims: [],
                    ...missing,
                });
            assert.equal(report.route, RESOURCE);
            assert.equal(report.token.signature, 'verified');
            assert.equal(report.token.key, stage.tenant.key.kid);
            assert.equal(report.token_rule, null);
            assert.equal(report.call.method, split(text).method);
            assert.equal(report.call.name, split(text).name ?? null);
            await assertSameAsGate(stage, token, text, report);
        });

    test('a step-up challenge names every scope of the call in one go', () => {
        const { report } = ask(stage.token({ claims: {} }), 'tools/call:files_get');
        assert.match(report.answer.www_authenticate, / scope="mcp:use files:read files:write"/);
        assert.deepEqual(report.needs.scopes, ['mcp:use', 'files:read', 'files:write']);
    });

    test('a challenge that no consent can answer names nothing but the metadata', () => {
        const { report } = ask(stage.token({ claims: {} }), 'tools/call:admin_reset');
        assert.match(report.answer.www_authenticate, /^Bearer resource_metadata="[^"]*"$/);
        assert.equal(report.answer.error, 'access_denied');
    });

    test('the claims that were used come with their values', () => {
        const act = { sub: 'somebody' };
        const { report } = ask(stage.token({ claims: { act } }), 'tools/call:org_x');
        assert.equal(report.claims.org_id, null);
        assert.equal(report.claims['/act/sub'], 'somebody');
        assert.deepEqual(report.needs.claims, RULES[3].claims);
    });

    test('Auth0 tokens without the RFC 9068 profile are explained, too', async () => {
        const token = stage.token({ profile: 'auth0', claims: { scope: 'mcp:use' } });
        const { report } = ask(token, 'tools/call:echo');
        assert.equal(report.token.client, 'tpc_4f9Kq2mZ');
        assert.deepEqual(report.token.permissions, ['mcp:use']);
        assert.deepEqual(report.token.audience.length, 2);
        await assertSameAsGate(stage, token, 'tools/call:echo', report);
    });
});

describe('a refused token: which rule, and the same answer as the daemon', () => {
    const changed = (claims, header) => () => stage.token({ claims, header });
    const signed = (header, payload) => () =>
        signCompact({
            header: header ?? tokenHeader('rfc9068', stage.tenant.key),
            payload:
                payload ??
                tokenClaims('rfc9068', { issuer: stage.tenant.issuer, resource: RESOURCE }),
            key: stage.tenant.key,
        });
    const now = () => Math.floor(Date.now() / 1000);
    const tampered = () => {
        const [header, payload, signature] = stage.token().split('.');
        const first = signature[0] === 'A' ? 'B' : 'A';
        return `${header}.${payload}.${first}${signature.slice(1)}`;
    };
    // [reason, rule of docs/TOKENS.md, token, what was looked at, does it depend on keys]
    const rows = [
        ['malformed_credential', 3, () => 'abc def'],
        ['token_too_large', 6, () => 'a'.repeat(16 * 1024 + 1)],
        ['token_opaque', 7, () => 'opaque'],
        ['token_encrypted', 7, () => 'a.b.c.d.e'],
        ['token_malformed', 7, () => 'a.b'],
        ['token_encoding', 8, () => `${stage.token()}=`],
        ['bad_header', 9, signed('[]')],
        ['bad_payload', 9, signed(null, '{"sub":1,"sub":2}')],
        ['wrong_algorithm', 10, changed({}, { alg: 'HS256' }), { alg: 'HS256' }],
        ['wrong_algorithm', 10, changed({}, { alg: 'RS512' }), { alg: 'RS512' }],
        ['wrong_type', 11, changed({}, { typ: 'id+jwt' }), { typ: 'id+jwt' }],
        ['critical_header', 12, changed({}, { crit: ['b64'] }), { crit: ['b64'], b64: null }],
        ['bad_key_id', 13, changed({}, { kid: undefined }), { kid: null }],
        ['unknown_key', 13, changed({}, { kid: 'another' }), { kid: 'another' }, true],
        ['bad_signature', 15, tampered, {}, true],
        ['wrong_issuer', 16, changed({ iss: 'https://a.b/' }), { iss: 'https://a.b/' }],
        ['wrong_audience', 17, changed({ aud: 'other' }), { aud: 'other' }],
        ['token_expired', 18, changed({ exp: 1 }), { exp: 1 }],
        ['bad_expiry', 18, changed({ exp: 'soon' }), { exp: 'soon' }],
        ['not_yet_valid', 19, () => stage.token({ claims: { nbf: now() + 600 } })],
        ['issued_ahead', 19, () => stage.token({ claims: { iat: now() + 600 } })],
        ['bad_time', 19, changed({ nbf: 'x' })],
        ['bad_subject', 20, changed({ sub: '' }), { sub: '' }],
        ['bad_client', 20, changed({ azp: 'x' }), { client_id: 'tpc_4f9Kq2mZ', azp: 'x' }],
        ['sender_constrained', 21, changed({ cnf: { jkt: 'x' } }), { cnf: { jkt: 'x' } }],
        ['bad_scope', 22, changed({ scope: 7 }), { scope: 7 }],
    ];
    for (const [reason, rule, make, used, keyed = false] of rows)
        test(`${reason} is rule ${rule}`, async () => {
            const token = make();
            const { status, report } = ask(token, 'tools/call:echo');
            assert.equal(status, DENIED);
            assert.equal(report.verdict, 'token_refused');
            assert.equal(report.reason, reason);
            assert.equal(report.token_rule, rule);
            assert.equal(report.rule, null);
            assert.equal(report.answer.status, 401);
            if (used) assert.deepEqual(report.claims, used);
            await assertSameAsGate(stage, token, 'tools/call:echo', report);

            const unsigned = ask(token, 'prompts/get:x', { keys: null });
            assert.equal(unsigned.report.token.signature, 'not_checked');
            if (keyed) {
                assert.equal(unsigned.status, ALLOWED);
            } else {
                assert.equal(unsigned.status, DENIED);
                assert.equal(unsigned.report.reason, reason);
                assert.deepEqual(unsigned.report.answer, report.answer);
            }
        });

    test('what the policy compares with is shown', () => {
        const { report } = ask(stage.token({ claims: { aud: 'other' } }), 'initialize');
        assert.deepEqual(report.needs.claims, { aud: [RESOURCE] });
        const foreign = ask(stage.token({ claims: { iss: 'https://a.b/' } }), 'initialize');
        assert.deepEqual(foreign.report.needs.claims, { iss: [stage.tenant.issuer] });
    });

    test('how far the signature came is told apart', () => {
        const signature = (token) => ask(token, 'initialize').report.token.signature;
        assert.equal(signature(stage.token({ claims: { exp: 1 } })), 'verified');
        assert.equal(signature(tampered()), 'wrong');
        assert.equal(signature(stage.token({ header: { kid: 'another' } })), 'not_reached');
        assert.equal(signature('opaque'), 'not_reached');
    });

    test('an issuer without keys is a 503 without a challenge', () => {
        const policy = files.add({
            issuers: {
                a: { issuer: 'https://a.example.com/' },
                b: { issuer: 'https://b.example.com/', algorithms: ['PS256'] },
            },
            routes: [{ resource: RESOURCE, upstream: 'http://127.0.0.1:1/mcp' }],
        });
        const token = stage.token({
            claims: { iss: 'https://b.example.com/' },
            header: { alg: 'PS256' },
        });
        const { status, report, stderr } = ask(token, 'ping', { policy });
        assert.equal(status, DENIED);
        assert.match(stderr, /b\.example\.com\/: 1 of 1 keys cannot be used/);
        assert.equal(report.reason, 'no_keys');
        assert.equal(report.token_rule, 24);
        assert.equal(report.answer.status, 503);
        assert.equal(report.answer.www_authenticate, null);
    });
});

describe('on_deny "tool_error"', () => {
    let other;
    before(async () => {
        other = await openStage({
            route: { scopes: SCOPES, rules: RULES, on_deny: 'tool_error' },
        });
    });
    after(() => other?.close());

    const rows = [
        ['tools/call:echo', {}, 200],
        ['tools/call:admin_reset', {}, 200],
        ['tools/call:echo', { scope: 'openid' }, 403],
        ['resources/read:file:///private', {}, 403],
    ];
    for (const [text, claims, expected] of rows)
        test(`${text} with ${JSON.stringify(claims)}: ${expected}`, async () => {
            const token = other.token({ claims });
            const { status, report } = ask(token, text, {
                keys: null,
                policy: other.gate.policyFile,
            });
            assert.equal(status, DENIED);
            assert.equal(report.answer.status, expected);
            assert.equal(report.answer.result?.isError, expected === 200 ? true : undefined);
            await assertSameAsGate(other, token, text, report);
        });
});

describe('authorize_on', () => {
    const rows = [
        // [authorize_on, scope, permissions, verdict]
        ['scope', 'a', [], 'allow'],
        ['scope', 'b', ['a'], 'step_up'],
        ['permissions', 'a', [], 'forbidden'],
        ['permissions', 'b', ['a'], 'allow'],
        ['either', 'b', ['a'], 'allow'],
        ['either', 'b', [], 'step_up'],
        ['both', 'a', ['a'], 'allow'],
        ['both', 'b', ['a'], 'step_up'],
        ['both', 'a', [], 'forbidden'],
    ];
    for (const [from, scope, permissions, verdict] of rows)
        test(`"${from}" with ${scope} and [${permissions}]: ${verdict}`, () => {
            const policy = files.add({
                ...stage.policy(),
                routes: [
                    {
                        resource: RESOURCE,
                        upstream: 'http://127.0.0.1:1/mcp',
                        authorize_on: from,
                        rules: [{ tools: ['*'], scopes: ['a'] }],
                    },
                ],
            });
            const token = stage.token({ claims: { scope, permissions } });
            const { status, report } = ask(token, 'tools/call:x', { policy });
            assert.equal(report.verdict, verdict);
            assert.equal(status, verdict === 'allow' ? ALLOWED : DENIED);
            assert.deepEqual(report.missing.scopes, verdict === 'allow' ? [] : ['a']);
            const one = ['scope', 'permissions'].includes(from);
            assert.deepEqual(Object.keys(report.claims), one ? [from] : ['scope', 'permissions']);
        });
});
