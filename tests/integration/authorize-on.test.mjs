// SPDX-License-Identifier: Apache-2.0
// Where granted names are read from: the scope claim, Auth0's permissions, either, or both; and what
// one scope implies. A step-up is asked for only where consent could bring it about.
import { after, before, describe, test } from 'node:test';

import { openDoors, toolCall } from './lib/doors.mjs';

const PLACES = ['scope', 'permissions', 'either', 'both'];
const RULES = [{ tools: ['*'], permission: 'tool:{name}' }];
const HIERARCHY = {
    owner: ['editor'],
    editor: ['viewer', 'tool:b'],
    loop: ['ring'],
    ring: ['loop'],
};
const HIERARCHY_RULES = [
    { tools: ['view'], scopes: ['viewer'] },
    { tools: ['ring'], scopes: ['ring', 'loop'] },
    ...RULES,
];

const routes = {};
for (const place of PLACES) {
    routes[place] = { authorize_on: place, rules: RULES };
    routes[`${place}-scoped`] = { authorize_on: place, rules: RULES, scopes: ['mcp:use'] };
    routes[`${place}-tree`] = {
        authorize_on: place,
        rules: HIERARCHY_RULES,
        scope_implies: HIERARCHY,
    };
}

const A = 'tool:a';
const granted = (scope, permissions) => ({ scope, permissions });
const YES = 'allow';
const NO = 'forbidden';

/** What tools/call of "a" gives by scope, permissions, either, both; a scope list is a step-up. */
const PLAIN = [
    ['nothing', granted(undefined, undefined), [A, NO, A, NO]],
    ['in the scope', granted(A, undefined), [YES, NO, YES, NO]],
    ['in the scope, permissions empty', granted(A, []), [YES, NO, YES, NO]],
    ['in the permissions', granted(undefined, [A]), [A, YES, YES, A]],
    ['in the permissions, another scope', granted('tool:b', [A]), [A, YES, YES, A]],
    ['in both', granted(A, [A]), [YES, YES, YES, YES]],
    ['others in both', granted('tool:b', ['tool:b']), [A, NO, A, NO]],
    ['a string for permissions', granted(undefined, A), [A, NO, A, NO]],
    ['an object for permissions', granted(undefined, { [A]: A }), [A, NO, A, NO]],
    ['strings among other things', granted(A, [1, null, [A], A]), [YES, YES, YES, YES]],
    ['only other things', granted(undefined, [[A], { a: A }, 7]), [A, NO, A, NO]],
    ['two names in one string', granted(undefined, [`x ${A}`]), [A, NO, A, NO]],
    ['another case', granted('TOOL:A', ['Tool:a']), [A, NO, A, NO]],
    ['a prefix', granted('tool:', ['tool:']), [A, NO, A, NO]],
    ['a longer name', granted('tool:aa', ['tool:aa']), [A, NO, A, NO]],
];

const BOTH_NAMES = `mcp:use ${A}`;
/** The same on a route that has a scope of its own. */
const SCOPED = [
    ['both in the scope', granted(BOTH_NAMES, undefined), [YES, NO, YES, NO]],
    [
        'both in the permissions',
        granted(undefined, ['mcp:use', A]),
        [BOTH_NAMES, YES, YES, BOTH_NAMES],
    ],
    ['one here, one there', granted('mcp:use', [A]), [BOTH_NAMES, NO, YES, NO]],
    ['both in both', granted(BOTH_NAMES, ['mcp:use', A]), [YES, YES, YES, YES]],
    ['only the route’s', granted('mcp:use', ['mcp:use']), [BOTH_NAMES, NO, BOTH_NAMES, NO]],
    ['consent is missing', granted('mcp:use', ['mcp:use', A]), [BOTH_NAMES, YES, YES, BOTH_NAMES]],
];

/** [tool, granted, outcomes] with scope_implies. */
const TREE = [
    ['view', granted('viewer', ['viewer']), [YES, YES, YES, YES]],
    ['view', granted('editor', ['editor']), [YES, YES, YES, YES]],
    ['view', granted('owner', ['owner']), [YES, YES, YES, YES]],
    ['view', granted('owner', ['viewer']), [YES, YES, YES, YES]],
    ['view', granted('owner', ['other']), [YES, NO, YES, NO]],
    ['view', granted('other', ['owner']), ['viewer', YES, YES, 'viewer']],
    ['b', granted('owner', undefined), [YES, NO, YES, NO]],
    ['a', granted('owner', ['owner']), [A, NO, A, NO]],
    ['ring', granted('loop', ['ring']), [YES, YES, YES, YES]],
];

describe('authorize_on', () => {
    let stage;
    let doors;
    before(async () => {
        ({ stage, doors } = await openDoors(routes));
    });
    after(() => stage?.close());

    for (const [column, place] of PLACES.entries()) {
        test(`"${place}" decides on rules`, async (t) => {
            for (const [why, caller, outcomes] of PLAIN)
                await t.test(`${why}: ${outcomes[column]}`, () =>
                    doors[place].decides(toolCall('a'), caller, outcomes[column]),
                );
        });

        test(`"${place}" decides on the route's scopes`, async (t) => {
            for (const [why, caller, outcomes] of SCOPED)
                await t.test(`${why}: ${outcomes[column]}`, () =>
                    doors[`${place}-scoped`].decides(toolCall('a'), caller, outcomes[column]),
                );
        });

        test(`"${place}" knows what a scope implies, over several steps`, async (t) => {
            for (const [tool, caller, outcomes] of TREE)
                await t.test(`${tool} ${JSON.stringify(caller)}: ${outcomes[column]}`, () =>
                    doors[`${place}-tree`].decides(toolCall(tool), caller, outcomes[column]),
                );
        });
    }

    test('a permission that cannot be asked for can be held', async () => {
        const name = 'two words';
        const caller = granted('mcp:use', [`tool:${name}`]);
        await doors.permissions.allows(toolCall(name), caller);
        await doors.either.allows(toolCall(name), caller);
        await doors.scope.forbids(toolCall(name), caller);
        await doors.both.forbids(toolCall(name), caller);
    });
});
