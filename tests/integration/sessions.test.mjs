// SPDX-License-Identifier: Apache-2.0
// A session of the older revisions works only for the caller it was given to: issuer, subject, route
// (T11). The id that the client has is the upstream's with a MAC behind it; there is no store.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { after, before, beforeEach, describe, test } from 'node:test';

import { assertOwnError } from './lib/answers.mjs';
import { okJson } from './lib/byte-upstream.mjs';
import { askUnheard, assertRpcRefused, notification } from './lib/doors.mjs';
import { eventOf, streamOf } from './lib/events.mjs';
import { eventually } from './lib/observe.mjs';
import { call, Issuer, openStage, RESOURCE } from './lib/stage.mjs';

const UPSTREAM_ID = '1868a90c-0000-4ab1-9d1e-5a3c';
const NOT_FOUND = { status: 404, code: -32001 };
const SECRET = 'a secret that all replicas of this test share';
const METHODS = ['GET', 'DELETE'];
const INITIALIZE = call('initialize', { protocolVersion: '2025-11-25', capabilities: {} });

const routesOf = (url) => [
    { resource: RESOURCE, upstream: url },
    { resource: 'https://mcp.example.com/other', audiences: [RESOURCE], upstream: url },
    {
        resource: 'https://mcp.example.com/pass',
        audiences: [RESOURCE],
        upstream: url,
        sessions: 'pass',
    },
];

/** The upstream gives ID with every answer. */
const givesSession = (id) => (request, link) =>
    link.send(okJson('{"jsonrpc":"2.0","id":1,"result":{}}', [`Mcp-Session-Id: ${id}`]));

describe('sessions', () => {
    let stage;
    let second; // another issuer
    before(async () => {
        second = await Issuer.open();
        stage = await openStage({
            routes: routesOf,
            policy: { session_secret: SECRET },
            start: false,
        });
        const { policy } = stage.tenant;
        await stage.start({ issuers: { tenant: policy, second: second.policy } });
    });
    beforeEach(() => {
        stage.upstream.forget();
        stage.upstream.respond = givesSession(UPSTREAM_ID);
    });
    after(async () => {
        await stage?.close();
        second?.close();
    });

    const as = (sub, more = {}) => stage.token({ claims: { sub, ...more } });
    const field = (id) => `Mcp-Session-Id: ${id}`;

    /** A new session, as the client sees it. */
    async function opened(token = stage.token(), options = {}) {
        const answer = await stage.ask({ token, body: INITIALIZE, ...options });
        assert.equal(answer.status, 200, answer.text);
        return answer.get('mcp-session-id');
    }

    /** The three ways to use a session: what Stage.request() takes. */
    const uses = (token, headers, more = {}) => [
        { token, headers, body: call('ping'), ...more },
        ...METHODS.map((method) => ({ token, headers, method, body: null, typed: false, ...more })),
    ];

    async function works(token, id, more) {
        for (const options of uses(token, [field(id)], more)) {
            const answer = await stage.ask(options);
            assert.equal(answer.status, 200, answer.text);
            assert.deepEqual(stage.upstream.last.all('mcp-session-id'), [UPSTREAM_ID]);
        }
    }

    /** None of the three methods gets through with these header lines. */
    async function isRefused(token, headers, more) {
        const [post, ...others] = uses(token, headers, more);
        const answer = await assertRpcRefused(stage, post, NOT_FOUND);
        assert.equal(answer.json.error.message, 'Session not found');
        for (const options of others) {
            const refused = await askUnheard(stage, options);
            assertOwnError(refused, 404);
            assert.equal(refused.get('www-authenticate'), null);
        }
    }

    test('the client’s id is the upstream’s with a MAC behind it', async () => {
        const id = await opened();
        assert.match(id, new RegExp(`^${UPSTREAM_ID}\\.[A-Za-z0-9_-]{43}$`));
        assert.equal(await opened(), id, 'the same for the same session');
        assert.notEqual(await opened(as('auth0|eve')), id);
        assert.notEqual(await opened(stage.token(), { target: '/other' }), id);
        const events = streamOf(eventOf({ jsonrpc: '2.0', id: 1, result: {} }));
        const head = `\r\nMcp-Session-Id: ${UPSTREAM_ID}\r\n\r\n`;
        stage.upstream.respond = (request, link) =>
            link.send(Buffer.from(events.toString().replace('\r\n\r\n', head)));
        assert.equal(await opened(), id, 'in the head of a stream, too');
    });

    test('its owner uses it with POST, GET and DELETE, and the upstream sees its own id', async () => {
        await works(stage.token(), await opened());
        const lower = await opened();
        const answer = await stage.ask({ headers: [`mcp-session-id: ${lower}`] });
        assert.equal(answer.status, 200);
        assert.deepEqual(stage.upstream.last.all('mcp-session-id'), [UPSTREAM_ID]);
    });

    test('a new token of the same subject is the same owner', async () => {
        const id = await opened();
        const now = Math.floor(Date.now() / 1000);
        const { sub } = JSON.parse(Buffer.from(stage.token().split('.')[1], 'base64url'));
        await works(as(sub, { exp: now + 60, scope: 'mcp:use mcp:admin', client_id: 'tpc_b' }), id);
        await works(as(sub, { scope: undefined }), id);
    });

    test('another subject, issuer or route gets 404, and the upstream sees nothing', async () => {
        const id = await opened();
        const { sub } = JSON.parse(Buffer.from(stage.token().split('.')[1], 'base64url'));
        for (const other of [
            'auth0|eve',
            `${sub}x`,
            sub.slice(0, -1),
            sub.toUpperCase(),
            `${sub}|`,
        ])
            await isRefused(as(other), [field(id)]);
        await isRefused(second.token({ claims: { sub } }), [field(id)]);
        await isRefused(stage.token(), [field(id)], { target: '/other' });
        const elsewhere = await opened(stage.token(), { target: '/other' });
        await isRefused(stage.token(), [field(elsewhere)]);
        const eves = await opened(as('auth0|eve'));
        await isRefused(stage.token(), [field(eves)]);
        await works(stage.token(), id);
    });

    test('an id that was changed, guessed or never given is not found', async () => {
        const id = await opened();
        const [name, mac] = id.split('.');
        const changed = [...mac].map((letter, i) => {
            const other = letter === 'A' ? 'B' : 'A';
            return `${name}.${mac.slice(0, i)}${other}${mac.slice(i + 1)}`;
        });
        const guesses = Array.from(
            { length: 50 },
            () => `${name}.${crypto.randomBytes(32).toString('base64url')}`,
        );
        const odd = [
            UPSTREAM_ID,
            `${name}.`,
            `.${mac}`,
            mac,
            '.',
            'x',
            `${name}x.${mac}`,
            `${name.slice(1)}.${mac}`,
            `${name.toUpperCase()}.${mac}`,
            `${name}..${mac}`,
            `${id}=`,
            `${id}.`,
            `${id}.${mac}`,
            `${id}A`,
            id.slice(0, -1),
            `${id},${id}`,
            `${id}, ${UPSTREAM_ID}`,
            `"${id}"`,
            `${name}.${Buffer.from(mac, 'base64url').toString('hex')}`,
            id.replaceAll('.', '%2e'),
            `${'x'.repeat(8000)}.${mac}`,
        ];
        for (const wrong of odd) await isRefused(stage.token(), [field(wrong)]);
        for (const wrong of [...changed, ...guesses])
            await assertRpcRefused(stage, { headers: [field(wrong)] }, NOT_FOUND);
        await works(stage.token(), id);
    });

    test('two fields are no session, whatever they say', async () => {
        const id = await opened();
        const eves = await opened(as('auth0|eve'));
        for (const headers of [
            [field(id), field(id)],
            [field(id), field(eves)],
            [field(id), field(UPSTREAM_ID)],
            [field(UPSTREAM_ID), field(id)],
            [field(id), `mcp-session-id: ${UPSTREAM_ID}`],
            ['Mcp-Session-Id:', field(id)],
        ])
            for (const options of uses(stage.token(), headers)) {
                const answer = await askUnheard(stage, options);
                assert.ok([400, 404].includes(answer.status), answer.text);
            }
    });

    test('an id in another spelling of the field does not reach the upstream', async () => {
        for (const name of ['Mcp_Session_Id', 'MCP_SESSION-ID', 'mcp-session_id']) {
            await stage.ask({ headers: [`${name}: ${UPSTREAM_ID}`] });
            assert.ok(!stage.upstream.everything.includes(UPSTREAM_ID), name);
        }
        await isRefused(stage.token(), ['Mcp-Session-Id:']);
    });

    test('the revision that a client claims does not matter', async () => {
        const id = await opened(as('auth0|eve'));
        const revision = '2026-07-28';
        const _meta = {
            'io.modelcontextprotocol/protocolVersion': revision,
            'io.modelcontextprotocol/clientCapabilities': {},
        };
        const headers = [`MCP-Protocol-Version: ${revision}`, 'Mcp-Method: tools/list', field(id)];
        const body = call('tools/list', { _meta }, 1);
        await assertRpcRefused(stage, { headers, body }, NOT_FOUND);
        for (const older of ['2025-03-26', '2025-06-18', 'banana'])
            await isRefused(stage.token(), [`MCP-Protocol-Version: ${older}`, field(id)]);
    });

    test('the refusal has the id of the request', async () => {
        const headers = [field('x')];
        const body = call('ping', {}, 'abc');
        await assertRpcRefused(stage, { headers, body }, { ...NOT_FOUND, id: 'abc' });
        const told = notification('notifications/initialized');
        await assertRpcRefused(stage, { headers, body: told }, { ...NOT_FOUND, id: null });
    });

    test('long and odd ids of the upstream are bound, too', async () => {
        const odd = ['a.b.c', '.', '!~"#$%,;=', `x.${'A'.repeat(43)}`, 'x'.repeat(1024)];
        for (const upstreamId of odd) {
            stage.upstream.respond = givesSession(upstreamId);
            const id = await opened();
            assert.equal(id.slice(0, -44), upstreamId);
            const answer = await stage.ask({ headers: [field(id)] });
            assert.equal(answer.status, 200, answer.text);
            assert.equal(stage.upstream.last.get('mcp-session-id'), upstreamId);
            await isRefused(as('auth0|eve'), [field(id)]);
            await isRefused(stage.token(), [field(upstreamId)]);
        }
    });

    test('an id that cannot be bound is never given out', async () => {
        for (const upstreamId of ['x'.repeat(1025), 'a b', 'é', 'a\tb']) {
            stage.upstream.respond = givesSession(upstreamId);
            const answer = await stage.ask({ body: INITIALIZE });
            assert.deepEqual(answer.all('mcp-session-id'), [], answer.text);
        }
        const twice = okJson('{"jsonrpc":"2.0","id":1,"result":{}}', [field('a'), field('b')]);
        stage.upstream.respond = (request, link) => link.send(twice);
        const answer = await stage.ask({ body: INITIALIZE });
        for (const id of answer.all('mcp-session-id')) assert.match(id, /\.[\w-]{43}$/);
    });

    test('with sessions "pass" the id is the upstream’s', async () => {
        const more = { target: '/pass' };
        assert.equal(await opened(stage.token(), more), UPSTREAM_ID);
        await works(as('auth0|eve'), UPSTREAM_ID, more);
    });

    test('a request without a session is nobody’s', async () => {
        stage.upstream.respond = givesSession(UPSTREAM_ID);
        assert.equal((await stage.ask()).status, 200);
        assert.equal(stage.upstream.last.get('mcp-session-id'), null);
    });
});

describe('the key of the sessions', () => {
    const field = (id) => [`Mcp-Session-Id: ${id}`];
    let stage;
    before(async () => {
        stage = await openStage({ start: false });
        stage.upstream.respond = givesSession(UPSTREAM_ID);
    });
    after(() => stage?.close());

    const begin = async () => (await stage.ask({ body: INITIALIZE })).get('mcp-session-id');

    /** Runs USE with a daemon whose policy has MORE. */
    async function during(more, use, options) {
        await stage.start(more, options);
        const { gate } = stage;
        try {
            return await use(gate);
        } finally {
            await gate.stop();
        }
    }
    const isKnown = async (id) =>
        assert.equal((await stage.ask({ headers: field(id) })).status, 200);
    const isUnknown = (id) => assertRpcRefused(stage, { headers: field(id) }, NOT_FOUND);

    test('is the same after a restart when it is configured', async () => {
        const id = await during({ session_secret: SECRET }, begin);
        await during({ session_secret: SECRET }, () => isKnown(id));
        await during({ session_secret: `${SECRET}.` }, () => isUnknown(id));
        await during({}, () => isUnknown(id));
    });

    test('is another one after a restart otherwise, but the same after a reload', async () => {
        const reloads = async () =>
            (await stage.metrics()).sum('portcullis_reloads_total', { result: 'ok' });
        const id = await during({}, async (gate) => {
            const given = await begin();
            gate.reload(stage.policy({ clock_skew: '31s' }));
            await eventually(async () => (await reloads()) > 0, 'a reload');
            await isKnown(given);
            return given;
        });
        await during({}, () => isUnknown(id));
    });

    test('is shared by replicas', async () => {
        const env = { SHARED: SECRET };
        await during(
            { session_secret: '$env(SHARED)' },
            async () => {
                const id = await begin();
                await during({ session_secret: SECRET }, async () => {
                    await isKnown(id);
                    assert.equal(await begin(), id);
                });
            },
            { env },
        );
    });
});
