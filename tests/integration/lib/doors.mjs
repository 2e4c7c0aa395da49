// SPDX-License-Identifier: Apache-2.0
// Routes with rules, many of them behind one daemon: each is a door, asked with the tokens of callers
// who differ, and its answer is checked in full. What is refused must never reach the upstream; what
// is let through must reach it byte for byte.
import assert from 'node:assert/strict';

import { assertOwnError } from './answers.mjs';
import { call, openStage, RESOURCE } from './stage.mjs';
import { challenge } from './verdict.mjs';

const SITE = 'https://mcp.example.com';

// ---- calls, as JSON text ----

export const toolCall = (name, id = 1) => call('tools/call', { name, arguments: {} }, id);
export const promptGet = (name, id = 1) => call('prompts/get', { name }, id);
export const resourceRead = (uri, id = 1) => call('resources/read', { uri }, id);
export const complete = (ref, id = 1) =>
    call('completion/complete', { ref, argument: { name: 'a', value: '' } }, id);
export const listen = (notifications, id = 1) =>
    call('subscriptions/listen', { notifications }, id);
export const notification = (method, params = {}) =>
    JSON.stringify({ jsonrpc: '2.0', method, params });
export const batch = (...messages) => `[${messages.join(',')}]`;

/** The text of the answer that on_deny "tool_error" gives for a tool of this name. */
export const denialText = (name) => `You don't have permission to use the '${name}' tool.`;
export const denialResult = (name, id = 1) => ({
    jsonrpc: '2.0',
    id,
    result: { content: [{ type: 'text', text: denialText(name) }], isError: true },
});

/** Sends OPTIONS (see Stage.request) and fails if the upstream hears anything of it. */
export async function askUnheard(stage, options) {
    const { requests, bytes } = stage.upstream;
    const before = { requests: requests.length, bytes };
    const answer = await stage.ask(options);
    assert.equal(stage.upstream.requests.length, before.requests, 'the upstream was asked');
    assert.equal(stage.upstream.bytes, before.bytes, 'the upstream heard something');
    return answer;
}

/** A refusal on the JSON-RPC level: STATUS, CODE, and the ID of the request (null: unknown). */
export async function assertRpcRefused(stage, options, { status = 400, code, id = 1 }) {
    const answer = await askUnheard(stage, options);
    const body = assertOwnError(answer, status);
    assert.equal(answer.get('www-authenticate'), null);
    assert.equal(body.jsonrpc, '2.0', answer.text);
    assert.equal(body.error.code, code, answer.text);
    assert.deepEqual(body.id, id, answer.text);
    return answer;
}

/** One route of an open stage, and the callers who come to it. */
class Door {
    #stage;
    #name;
    #tokens = new Map(); // of callers, by their claims

    constructor(stage, name) {
        this.#stage = stage;
        this.#name = name;
    }

    #challenge(parameters) {
        const metadata = `${SITE}/.well-known/oauth-protected-resource/${this.#name}`;
        return challenge({ metadata, ...parameters });
    }

    /** The token of a caller: the text of its scope claim, or claims that are merged over a token
     *  without scope. */
    token(caller) {
        const claims = typeof caller === 'string' ? { scope: caller || undefined } : caller;
        const key = JSON.stringify(claims);
        if (!this.#tokens.has(key))
            this.#tokens.set(key, this.#stage.token({ claims: { scope: undefined, ...claims } }));
        return this.#tokens.get(key);
    }

    options(body, caller, more = {}) {
        return { target: `/${this.#name}`, token: this.token(caller), body, ...more };
    }

    ask(body, caller, more) {
        return this.#stage.ask(this.options(body, caller, more));
    }

    async allows(body, caller, more) {
        const before = this.#stage.upstream.requests.length;
        const answer = await this.ask(body, caller, more);
        assert.equal(answer.status, 200, answer.text);
        assert.equal(this.#stage.upstream.requests.length, before + 1);
        assert.deepEqual(this.#stage.upstream.last.body, Buffer.from(body), 'the same bytes');
        return answer;
    }

    /** Refused, with a challenge that asks for SCOPE: all that this request needs. */
    async stepsUp(body, caller, scope, more) {
        const answer = await askUnheard(this.#stage, this.options(body, caller, more));
        const said = assertOwnError(answer, 403);
        assert.equal(said.error, 'insufficient_scope', answer.text);
        assert.equal(
            answer.get('www-authenticate'),
            this.#challenge({
                scope,
                error: 'insufficient_scope',
                description: said.error_description,
            }),
        );
        return answer;
    }

    /** Refused for good: neither a scope nor an error that would send a client to log in anew. */
    async forbids(body, caller, more) {
        const answer = await askUnheard(this.#stage, this.options(body, caller, more));
        const said = assertOwnError(answer, 403);
        assert.equal(said.error, 'access_denied', answer.text);
        assert.equal(answer.get('www-authenticate'), this.#challenge({}));
        return answer;
    }

    /** Answered by the gate itself with HTTP 200 and this JSON-RPC MESSAGE. */
    async answersItself(body, caller, message, more) {
        const answer = await askUnheard(this.#stage, this.options(body, caller, more));
        assert.equal(answer.status, 200, answer.text);
        assert.equal(answer.get('www-authenticate'), null);
        assert.equal(answer.get('content-type'), 'application/json');
        assert.equal(answer.get('cache-control'), 'no-store');
        assert.deepEqual(answer.json, message);
        return answer;
    }

    /** Refused with a JSON-RPC error; EXPECTED: see assertRpcRefused(). */
    refuses(body, caller, expected, more) {
        return assertRpcRefused(this.#stage, this.options(body, caller, more), expected);
    }

    /** A row of a table: OUTCOME is "allow", "forbidden" or the scope of the step-up challenge. */
    async decides(body, caller, outcome, more) {
        if (outcome === 'allow') return this.allows(body, caller, more);
        if (outcome === 'forbidden') return this.forbids(body, caller, more);
        return this.stepsUp(body, caller, outcome, more);
    }
}

/**
 * Opens a stage with one route for each member of ROUTES, by the last part of its resource.
 *
 * @param {object} routes name -> what is merged over the route
 * @param {object} [policy] merged over the top level of the policy
 * @returns {Promise<{ stage: object, doors: object }>} name -> Door
 */
export async function openDoors(routes, policy = {}) {
    const stage = await openStage({
        policy,
        routes: (url) =>
            Object.entries(routes).map(([name, route]) => ({
                resource: `${SITE}/${name}`,
                audiences: [RESOURCE],
                upstream: url,
                ...route,
            })),
    });
    const doors = Object.fromEntries(
        Object.keys(routes).map((name) => [name, new Door(stage, name)]),
    );
    return { stage, doors };
}
