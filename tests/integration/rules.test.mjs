// SPDX-License-Identifier: Apache-2.0
// Who may call what: the first rule that matches a call decides, by tool, prompt, resource or method;
// what is refused says what would help, all of it at once, or that nothing would.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import {
    complete,
    listen,
    notification,
    openDoors,
    promptGet,
    resourceRead,
    toolCall,
} from './lib/doors.mjs';
import { call } from './lib/stage.mjs';
import { chunked } from './lib/wire.mjs';

const USE = 'mcp:use';

const ROUTES = {
    open: {},
    shut: { default: 'deny' },
    lenient: { default: 'allow', rules: [{ tools: ['drop'], allow: false }] },
    tools: {
        scopes: [USE],
        rules: [
            { tools: ['echo', 'get-*'], allow: true },
            { tools: ['admin_*'], allow: false },
            { tools: ['first_not'], allow: false },
            { tools: ['first_*'], allow: true },
            { tools: ['write'], scopes: ['files:write', 'files:read'] },
            { tools: ['deploy'], scopes: ['ops'], permission: 'tool:{name}' },
            { tools: ['v?'], scopes: ['version'] },
            { tools: ['star\\*'], allow: true },
            { tools: ['*_free'], allow: true, scopes: ['free'] },
            { tools: ['twice'], scopes: [USE, 'once'] },
            { tools: ['tool *', 'per-*'], permission: 'tool:{name}' },
        ],
    },
    claims: {
        rules: [
            { tools: ['org'], claims: { org_id: ['org_a', 'org_b'] } },
            { tools: ['all'], claims: { org_id: ['org_a'], tier: ['gold'] } },
            { tools: ['vault'], scopes: ['vault'], claims: { org_id: ['org_a'] } },
            { tools: ['agent'], claims: { '/act/sub': ['agt_1'] } },
            { tools: ['role'], claims: { 'https://example.com/roles': ['admin'] } },
            { tools: ['level'], claims: { level: [3, true] } },
        ],
    },
    kinds: {
        rules: [
            { prompts: ['public', 'p-*'], allow: true },
            { prompts: ['*'], permission: 'prompt:{name}' },
            { resources: ['demo://public/*', 'demo://pub/../exact'], allow: true },
            { resources: ['demo://*'], permission: 'read:{name}' },
            { methods: ['logging/setLevel'], permission: 'call:{name}' },
            { methods: ['tools/list'], scopes: ['listing'] },
            { methods: ['tools/call'], scopes: ['calling'] },
            { methods: ['notifications/secret', 'ping'], allow: false },
            { tools: ['*'], allow: true },
        ],
    },
    sealed: { rules: [{ methods: ['*'], allow: false }] },
    nomention: { rules: [{ methods: ['resources/*'], allow: true }] },
};

/** [what is called, by whom, OUTCOME of Door.decides(), why] for each door. */
const ROWS = {
    open: [
        [toolCall('anything'), '', 'allow', 'no rules, no default: everything is allowed'],
        [call('some/method'), '', 'allow', 'also what is not known'],
    ],
    shut: [
        [toolCall('anything'), '', 'forbidden', 'default deny holds without rules'],
        [promptGet('p'), '', 'forbidden', 'for prompts'],
        [resourceRead('demo://x'), '', 'forbidden', 'for resources'],
        [call('tasks/get', { taskId: '1' }), '', 'forbidden', 'for unknown methods'],
        [notification('tools/call', { name: 'x' }), '', 'forbidden', 'no id is no way around'],
        ...['initialize', 'ping', 'server/discover', 'tools/list', 'prompts/list'].map((method) => [
            call(method),
            '',
            'allow',
            'what every session needs stays free',
        ]),
        [call('resources/list'), '', 'allow', 'lists are free'],
        [call('resources/templates/list'), '', 'allow', 'lists are free'],
        [notification('notifications/initialized'), '', 'allow', 'notifications are free'],
        [notification('notifications/made/up'), '', 'allow', 'all of them'],
        [listen({ toolsListChanged: true }), '', 'allow', 'a subscription without resources'],
        [listen({ resourceSubscriptions: ['demo://x'] }), '', 'forbidden', 'but not with one'],
    ],
    lenient: [
        [toolCall('drop'), '', 'forbidden', 'a rule of its own'],
        [toolCall('other'), '', 'allow', 'default allow, although there are rules'],
    ],
    tools: [
        [toolCall('echo'), USE, 'allow', 'a name without wildcards'],
        [toolCall('get-sum'), USE, 'allow', 'a star'],
        [toolCall('get-'), USE, 'allow', 'a star matches nothing, too'],
        [toolCall('Echo'), USE, 'forbidden', 'names are case-sensitive'],
        [toolCall('echo '), USE, 'forbidden', 'the whole name has to match'],
        [toolCall('ech'), USE, 'forbidden', 'the whole name has to match'],
        [toolCall('admin_all'), `${USE} admin_all`, 'forbidden', 'allow false: nobody'],
        [toolCall('first_not'), USE, 'forbidden', 'the first match decides'],
        [toolCall('first_yes'), USE, 'allow', 'the next rule for what the first does not match'],
        [toolCall('write'), USE, `${USE} files:write files:read`, 'all scopes in one go'],
        [
            toolCall('write'),
            `${USE} files:read`,
            `${USE} files:write files:read`,
            'also those that the token has',
        ],
        [toolCall('write'), `${USE} files:read files:write`, 'allow', 'in any order'],
        [toolCall('write'), `${USE} files:WRITE files:read`, `${USE} files:write files:read`, ''],
        [toolCall('deploy'), USE, `${USE} ops tool:deploy`, 'scopes and permission together'],
        [toolCall('deploy'), `${USE} ops`, `${USE} ops tool:deploy`, 'permission missing'],
        [toolCall('deploy'), `${USE} ops tool:deploy`, 'allow', 'both'],
        [toolCall('v1'), `${USE} version`, 'allow', 'one character'],
        [toolCall('vé'), `${USE} version`, 'allow', 'one character of two bytes'],
        [toolCall('v12'), `${USE} version`, 'forbidden', 'two characters match no rule'],
        [toolCall('star*'), USE, 'allow', 'an escaped star is a star'],
        [toolCall('starling'), USE, 'forbidden', 'and nothing else'],
        [toolCall('a_free'), USE, `${USE} free`, 'requirements hold beside allow true'],
        [toolCall('twice'), USE, `${USE} once`, 'each scope is named once'],
        [toolCall('per-a'), `${USE} tool:per-b`, `${USE} tool:per-a`, 'the name is the call’s own'],
        [toolCall('per-{name}'), USE, `${USE} tool:per-{name}`, 'a name is not a pattern'],
        [toolCall('tool x'), USE, 'forbidden', 'a permission that is no scope cannot be asked for'],
        [toolCall('per-"x'), USE, 'forbidden', 'nor one with a quote'],
        [toolCall('per-é'), USE, 'forbidden', 'nor one with other letters'],
        [toolCall('unknown'), `${USE} tool:unknown`, 'forbidden', 'rules make deny the default'],
        [promptGet('echo'), USE, 'forbidden', 'a tools rule is for tools only'],
        [resourceRead('echo'), USE, 'forbidden', 'a tools rule is for tools only'],
        ['{"jsonrpc":"2.0","id":1,"result":{}}', USE, 'allow', 'responses need no rule'],
        [`{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}`, USE, 'allow', 'nor errors'],
    ],
    claims: [
        [toolCall('org'), { org_id: 'org_a' }, 'allow', 'one of the values'],
        [toolCall('org'), { org_id: 'org_b' }, 'allow', 'another one'],
        [toolCall('org'), { org_id: 'org_c' }, 'forbidden', 'none'],
        [toolCall('org'), {}, 'forbidden', 'no such claim'],
        [toolCall('org'), { org_id: ['x', 'org_b'] }, 'allow', 'an array with one of them'],
        [toolCall('org'), { org_id: [['org_b']] }, 'forbidden', 'not deeper'],
        [toolCall('org'), { org_id: { org_a: true } }, 'forbidden', 'an object is no value'],
        [toolCall('all'), { org_id: 'org_a', tier: 'gold' }, 'allow', 'all claims'],
        [toolCall('all'), { org_id: 'org_a' }, 'forbidden', 'one of two is not enough'],
        [toolCall('vault'), { org_id: 'org_b' }, 'forbidden', 'claims first: no step-up'],
        [toolCall('vault'), { org_id: 'org_a' }, 'vault', 'then the scope'],
        [toolCall('vault'), { org_id: 'org_a', scope: 'vault' }, 'allow', 'both'],
        [toolCall('agent'), { act: { sub: 'agt_1' } }, 'allow', 'a pointer into the claims'],
        [toolCall('agent'), { act: { sub: 'agt_2' } }, 'forbidden', 'another agent'],
        [toolCall('agent'), { '/act/sub': 'agt_1' }, 'forbidden', 'the pointer is no name'],
        [toolCall('agent'), { act: 'agt_1' }, 'forbidden', 'nothing there'],
        [toolCall('role'), { 'https://example.com/roles': ['admin'] }, 'allow', 'a URL as a name'],
        [toolCall('level'), { level: 3 }, 'allow', 'a number'],
        [toolCall('level'), { level: '3' }, 'forbidden', 'text is no number'],
        [toolCall('level'), { level: true }, 'allow', 'true'],
        [toolCall('level'), { level: 1 }, 'forbidden', '1 is not true'],
    ],
    kinds: [
        [promptGet('public'), '', 'allow', 'a prompt'],
        [promptGet('p-1'), '', 'allow', 'a prompt by a glob'],
        [promptGet('other'), '', 'prompt:other', 'permission of a prompt'],
        [complete({ type: 'ref/prompt', name: 'public' }), '', 'allow', 'its completion'],
        [complete({ type: 'ref/prompt', name: 'other' }), '', 'prompt:other', 'its completion'],
        [resourceRead('demo://public/a/b'), '', 'allow', 'a star goes over slashes'],
        [resourceRead('demo://x/y'), '', 'read:demo://x/y', 'permission of a resource'],
        [resourceRead('demo://x/y'), 'read:demo://x/y', 'allow', 'permission of a resource'],
        [call('resources/subscribe', { uri: 'demo://x' }), '', 'read:demo://x', 'subscribing'],
        [call('resources/unsubscribe', { uri: 'demo://x' }), '', 'read:demo://x', 'and back'],
        [complete({ type: 'ref/resource', uri: 'demo://public/{id}' }), '', 'allow', 'a template'],
        [complete({ type: 'ref/resource', uri: 'demo://t/{id}' }), '', 'read:demo://t/{id}', ''],
        [
            listen({ resourceSubscriptions: ['demo://public/a', 'demo://a', 'demo://b'] }),
            'read:demo://a',
            'read:demo://a read:demo://b',
            'each resource of a subscription',
        ],
        [listen({ resourceSubscriptions: ['demo://public/a'] }), '', 'allow', 'one that is fine'],
        [
            listen({ resourceSubscriptions: ['demo://a', 'file:///x'] }),
            '',
            'forbidden',
            'one that nobody may have is the end of it',
        ],
        [call('logging/setLevel', { level: 'debug' }), '', 'call:logging/setLevel', 'a method'],
        [call('tools/list'), '', 'listing', 'a rule can name a free method'],
        [call('prompts/list'), '', 'allow', 'others stay free'],
        [call('ping'), '', 'forbidden', 'also to forbid it'],
        [notification('notifications/secret'), '', 'forbidden', 'also a notification'],
        [notification('notifications/other'), '', 'allow', 'others stay free'],
        [toolCall('any'), '', 'calling', 'methods govern calls with a target, too'],
        [toolCall('any'), 'calling', 'allow', 'and allow them'],
        ['{"jsonrpc":"2.0","id":1,"result":{}}', '', 'allow', 'responses need no rule'],
    ],
    sealed: [
        [call('initialize'), '', 'forbidden', 'a rule for all methods matches free ones'],
        [toolCall('echo'), '', 'forbidden', 'and calls'],
        [notification('notifications/initialized'), '', 'forbidden', 'and notifications'],
        ['{"jsonrpc":"2.0","id":1,"result":{}}', '', 'allow', 'responses have no method'],
    ],
};

/** URIs that a wildcard must not be walked out of, below demo://public/. */
const CROOKED = [
    'demo://public/../secret',
    'demo://public/..',
    'demo://public/./x',
    'demo://public/%2e%2e/secret',
    'demo://public/%2E./secret',
    'demo://public/.%2e',
    'demo://public/%2e/x',
    'demo://public/a%2fb',
    'demo://public/a%2Fb',
    'demo://public/a%5cb',
    'demo://public/a\\b',
];
const STRAIGHT = [
    'demo://public/...',
    'demo://public/..x',
    'demo://public/x..',
    'demo://public/.x',
];

describe('rules', () => {
    let stage;
    let doors;
    before(async () => {
        ({ stage, doors } = await openDoors(ROUTES));
    });
    after(() => stage?.close());

    for (const [name, rows] of Object.entries(ROWS))
        test(`every row of the table "${name}" is decided as it says`, async (t) => {
            for (const [body, caller, outcome, why] of rows)
                await t.test(`${body} ${JSON.stringify(caller)}: ${outcome} (${why})`, () =>
                    doors[name].decides(body, caller, outcome),
                );
        });

    test('a resource is refused when its path has more than one reading', async () => {
        for (const uri of CROOKED) {
            const answer = await doors.kinds.forbids(resourceRead(uri), 'read:demo://public/x');
            const id = answer.get('x-request-id');
            const line = await stage.gate.logged((one) => one.request_id === id, uri);
            assert.equal(line.reason, 'resource_not_plain', uri);
            await doors.kinds.forbids(call('resources/subscribe', { uri }), '');
            await doors.kinds.forbids(listen({ resourceSubscriptions: [uri] }), '');
        }
    });

    test('dots that are no segment, and a rule that names the very URI, are fine', async () => {
        for (const uri of STRAIGHT) await doors.kinds.allows(resourceRead(uri), '');
        await doors.kinds.allows(resourceRead('demo://pub/../exact'), '');
        for (const uri of CROOKED) {
            await doors.open.allows(resourceRead(uri), '');
            await doors.nomention.allows(resourceRead(uri), '');
        }
    });

    test('the scopes of the route are asked for together with those of the call', async () => {
        await doors.tools.stepsUp(toolCall('echo'), '', USE);
        await doors.tools.stepsUp(call('ping'), '', USE);
        await doors.tools.stepsUp(toolCall('write'), '', `${USE} files:write files:read`);
        await doors.tools.stepsUp(toolCall('deploy'), 'ops', `${USE} ops tool:deploy`);
        await doors.tools.stepsUp(toolCall('deploy'), 'ops tool:deploy', `${USE} ops tool:deploy`);
        await doors.tools.forbids(toolCall('admin_all'), '');
        await doors.tools.stepsUp('{"jsonrpc":"2.0","id":1,"result":{}}', 'other', USE);
    });

    test('rules look at POST only: GET and DELETE need what the route needs', async () => {
        for (const method of ['GET', 'DELETE']) {
            const more = { method, typed: false };
            const answer = await doors.sealed.ask(null, '', more);
            assert.equal(answer.status, 200, answer.text);
            await doors.tools.stepsUp(null, '', USE, more);
        }
    });

    test('only the body of a POST, which the rules have looked at, goes upstream', async () => {
        for (const method of ['GET', 'DELETE'])
            for (const door of ['open', 'tools'])
                for (const chunks of [false, true]) {
                    const body = chunks ? chunked(toolCall('drop')) : toolCall('drop');
                    const headers = chunks ? ['Transfer-Encoding: chunked'] : [];
                    await doors[door].ask(body, USE, { method, headers });
                    const { last } = stage.upstream;
                    assert.equal(last.method, method);
                    assert.equal(last.body.length, 0);
                    assert.equal(last.get('content-length'), null);
                    assert.equal(last.get('transfer-encoding'), null);
                }
    });
});
