// SPDX-License-Identifier: Apache-2.0
// Batches (revision 2025-03-26): every member is decided, one denial refuses all of them, and the
// answer asks for everything that all members need; and the other form of a refusal, a tool's result.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import {
    batch,
    denialResult,
    listen,
    notification,
    openDoors,
    promptGet,
    resourceRead,
    toolCall,
} from './lib/doors.mjs';
import { call } from './lib/stage.mjs';

const MOST = 256; // messages of one batch

const RULES = [
    { tools: ['echo'], allow: true },
    { tools: ['never'], allow: false },
    { tools: ['*'], permission: 'tool:{name}' },
    { prompts: ['*'], scopes: ['prompts'] },
    { resources: ['demo://open'], allow: true },
    { methods: ['notifications/secret'], allow: false },
];
const ROUTES = {
    plain: { scopes: ['mcp:use'], rules: RULES },
    soft: { scopes: ['mcp:use'], rules: RULES, on_deny: 'tool_error' },
    softopen: { default: 'allow', on_deny: 'tool_error' },
};
const USE = 'mcp:use';
const OLD = { headers: ['MCP-Protocol-Version: 2025-03-26'] };
const response = '{"jsonrpc":"2.0","id":9,"result":{"roots":[]}}';
const note = notification('notifications/initialized');

/** [members, caller, outcome, why]. */
const ROWS = [
    [[toolCall('echo', 1)], USE, 'allow', 'a batch of one'],
    [[toolCall('echo', 1), toolCall('echo', 2), call('ping', {}, 3)], USE, 'allow', 'all allowed'],
    [[toolCall('never', 1)], USE, 'forbidden', 'a batch of one is decided like the one'],
    [[toolCall('echo', 1), toolCall('never', 2)], USE, 'forbidden', 'the last of two'],
    [[toolCall('never', 1), toolCall('echo', 2)], USE, 'forbidden', 'the first of two'],
    [[toolCall('a', 1), toolCall('b', 2)], USE, `${USE} tool:a tool:b`, 'the union of scopes'],
    [[toolCall('a', 1), toolCall('a', 2)], USE, `${USE} tool:a`, 'each scope once'],
    [
        [toolCall('a', 1), toolCall('echo', 2), promptGet('p', 3)],
        USE,
        `${USE} tool:a prompts`,
        'over kinds',
    ],
    [
        [toolCall('a', 1), toolCall('b', 2)],
        `${USE} tool:a`,
        `${USE} tool:a tool:b`,
        'also what a member needs that is allowed already',
    ],
    [[toolCall('a', 1), toolCall('b', 2)], `${USE} tool:a tool:b`, 'allow', 'all scopes held'],
    [
        [toolCall('a', 1), toolCall('never', 2)],
        USE,
        'forbidden',
        'no step-up beside a forbidden one',
    ],
    [[toolCall('never', 1), toolCall('a', 2)], USE, 'forbidden', 'in either order'],
    [[toolCall('echo', 1), resourceRead('demo://shut', 2)], USE, 'forbidden', 'a resource'],
    [[note, toolCall('echo', 1)], USE, 'allow', 'with a notification'],
    [[note, note], USE, 'allow', 'notifications only'],
    [[toolCall('echo', 1), notification('notifications/secret')], USE, 'forbidden', 'refused one'],
    [
        [toolCall('echo', 1), notification('tools/call', { name: 'never' })],
        USE,
        'forbidden',
        'a call without an id is a call',
    ],
    [[response, response], USE, 'allow', 'responses only'],
    [[response, toolCall('never', 1)], USE, 'forbidden', 'a response covers up for nothing'],
    [[toolCall('echo', 1), response], USE, 'allow', 'a response beside what is allowed'],
    [[toolCall('echo', 1), toolCall('echo', 2)], '', USE, 'the scopes of the route'],
    [[toolCall('a', 1), promptGet('p', 2)], '', `${USE} tool:a prompts`, 'and of all members'],
    [[toolCall('a', 1), toolCall('never', 2)], '', 'forbidden', 'for nothing, if one is forbidden'],
    [
        [listen({ resourceSubscriptions: ['demo://open'] }, 1), toolCall('echo', 2)],
        USE,
        'allow',
        'a subscription',
    ],
    [
        [listen({ resourceSubscriptions: ['demo://open', 'demo://no'] }, 1), toolCall('echo', 2)],
        USE,
        'forbidden',
        'one of several subscriptions of one of several members',
    ],
    [
        Array.from({ length: MOST }, (_, i) => toolCall('echo', i)),
        USE,
        'allow',
        'as many as there may be',
    ],
    [
        Array.from({ length: MOST }, (_, i) => toolCall(i === MOST - 1 ? 'never' : 'echo', i)),
        USE,
        'forbidden',
        'the last of as many as there may be',
    ],
];

/** [body, why]: no batches; nothing goes upstream. */
const BAD = [
    ['[]', 'empty'],
    [batch(...Array.from({ length: MOST + 1 }, (_, i) => toolCall('echo', i))), 'too many'],
    [batch(batch(toolCall('echo'))), 'a batch in a batch'],
    [batch(toolCall('echo'), batch(toolCall('never'))), 'a batch beside a call'],
    [batch(toolCall('echo'), '1'), 'a number'],
    [batch(toolCall('echo'), 'null'), 'null'],
    [batch(toolCall('echo'), '{}'), 'an empty object'],
    [batch(toolCall('echo'), '{"jsonrpc":"1.0","id":2,"method":"ping"}'), 'JSON-RPC 1.0'],
    [
        batch(toolCall('echo'), '{"jsonrpc":"2.0","id":2,"method":"tools/call"}'),
        'a call of nothing',
    ],
];

describe('batches', () => {
    let stage;
    let doors;
    before(async () => {
        ({ stage, doors } = await openDoors(ROUTES));
    });
    after(() => stage?.close());

    test('every member is decided', async (t) => {
        for (const [members, caller, outcome, why] of ROWS)
            await t.test(`${why}: ${outcome}`, async () => {
                await doors.plain.decides(batch(...members), caller, outcome, OLD);
                await doors.plain.decides(batch(...members), caller, outcome);
            });
    });

    test('what is no batch is refused whole, without an id', async (t) => {
        for (const [body, why] of BAD)
            await t.test(why, async () => {
                const answer = await doors.plain.ask(body, USE, OLD);
                assert.ok([-32600, -32602].includes(answer.json.error.code), answer.text);
                const { code } = answer.json.error;
                await doors.plain.refuses(body, USE, { code, id: null }, OLD);
            });
    });

    test('blanks between members change nothing', async () => {
        const spaced = ` [\n ${toolCall('echo', 1)} ,\t${toolCall('echo', 2)} ] \r\n`;
        await doors.plain.allows(spaced, USE);
        await doors.plain.forbids(spaced.replace('echo', 'never'), USE);
    });

    test('on_deny "tool_error" answers a call with a result', async () => {
        for (const id of [1, 0, -5, 9007199254740991, 'a', '', 'é"\\', '1']) {
            const body = toolCall('never', id);
            await doors.soft.answersItself(body, USE, denialResult('never', id));
        }
        await doors.soft.answersItself(toolCall('a'), USE, denialResult('a'));
        await doors.soft.allows(toolCall('echo'), USE);
        await doors.soft.allows(toolCall('a'), `${USE} tool:a`);
        await doors.softopen.allows(toolCall('never'), '');
    });

    test('a result of 2026-07-28 says its type', async () => {
        const headers = [
            'MCP-Protocol-Version: 2026-07-28',
            'Mcp-Method: tools/call',
            'Mcp-Name: never',
        ];
        const _meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' };
        const message = denialResult('never');
        message.result.resultType = 'complete';
        const body = call('tools/call', { name: 'never', _meta });
        await doors.soft.answersItself(body, USE, message, { headers });
    });

    test('the name of the tool is told as it is', async () => {
        for (const name of ["it's", 'a"b', 'back\\slash', 'é☃', '<b>', 'x'.repeat(300)]) {
            const message = denialResult(name);
            await doors.soft.answersItself(toolCall(name), USE, message);
        }
    });

    test('on_deny "tool_error" is for tools only', async () => {
        await doors.soft.stepsUp(promptGet('p'), USE, `${USE} prompts`);
        await doors.soft.forbids(resourceRead('demo://no'), USE);
        await doors.soft.forbids(notification('notifications/secret'), USE);
        await doors.soft.forbids(call('made/up'), USE);
        await doors.soft.forbids(notification('tools/call', { name: 'never' }), USE);
        await doors.soft.stepsUp(toolCall('echo'), '', USE);
        await doors.soft.stepsUp(toolCall('a'), '', `${USE} tool:a`);
    });

    test('a batch in which only tools are denied is answered member by member', async () => {
        const body = batch(toolCall('never', 1), note, toolCall('echo', 'e'), toolCall('a', 3));
        const answer = await doors.soft.ask(body, USE, OLD);
        assert.equal(answer.status, 200, answer.text);
        const answers = answer.json;
        assert.ok(Array.isArray(answers), answer.text);
        assert.equal(answers.length, 3, 'a notification gets no answer');
        const byId = new Map(answers.map((message) => [message.id, message]));
        assert.deepEqual(byId.get(1), denialResult('never', 1));
        assert.deepEqual(byId.get(3), denialResult('a', 3));
        const other = byId.get('e');
        assert.ok(Number.isInteger(other.error.code), answer.text);
        assert.equal(typeof other.error.message, 'string');
        assert.equal(other.result, undefined);
        assert.equal(stage.upstream.everything.includes('"id":"e"'), false);
    });

    test('a batch of one denied tool is answered by an array', async () => {
        const body = batch(toolCall('never', 5));
        await doors.soft.answersItself(body, USE, [denialResult('never', 5)]);
    });

    test('a batch in which something else is denied gets the challenge', async () => {
        const tool = toolCall('never', 1);
        await doors.soft.forbids(batch(tool, promptGet('p', 2)), USE);
        await doors.soft.stepsUp(
            batch(toolCall('a', 1), promptGet('p', 2)),
            USE,
            `${USE} tool:a prompts`,
        );
        await doors.soft.forbids(batch(tool, notification('notifications/secret')), USE);
    });
});
