// SPDX-License-Identifier: Apache-2.0
// The two things that can happen to a request for authorization reasons, checked in full: it is let
// through, or it is refused with the right status, challenge and body, and the upstream hears nothing.
import assert from 'node:assert/strict';

import { assertOwnError } from './answers.mjs';

export const METADATA_URL = 'https://mcp.example.com/.well-known/oauth-protected-resource/mcp';

/** The one value of WWW-Authenticate that says this, byte for byte (RFC 6750 3, RFC 9728 5.1). */
export function challenge({ metadata = METADATA_URL, scope, error, description }) {
    const parameters = [
        ['resource_metadata', metadata],
        ['scope', scope],
        ['error', error],
        ['error_description', description],
    ].filter(([, value]) => value !== undefined);
    return `Bearer ${parameters.map(([name, value]) => `${name}="${value}"`).join(', ')}`;
}

/** The usual answer to a bad token on the usual route. */
export const invalidToken = (description, scope = 'mcp:use') => ({
    status: 401,
    scope,
    error: 'invalid_token',
    description,
});

/**
 * Sends the request that OPTIONS describe (see Stage.request) and checks that it is refused.
 *
 * @param {object} stage an open Stage
 * @param {object} options
 * @param {object} expected
 * @param {number} expected.status
 * @param {string} [expected.scope] in the challenge
 * @param {string} [expected.error] in the challenge and in the body; none: the challenge of a request
 *     that brought no credentials
 * @param {string} [expected.description] the same
 * @param {boolean} [expected.challenged] false: no challenge at all
 */
export async function assertRefused(stage, options, expected) {
    const { requests, bytes } = stage.upstream;
    const before = { requests: requests.length, bytes };
    const answer = await stage.ask(options);
    const body = assertOwnError(answer, expected.status);
    const wanted = expected.challenged === false ? null : challenge(expected);
    assert.equal(answer.get('www-authenticate'), wanted);
    if (expected.error !== undefined) assert.equal(body.error, expected.error);
    if (expected.description !== undefined)
        assert.equal(body.error_description, expected.description);
    assert.equal(stage.upstream.requests.length, before.requests, 'the upstream was asked');
    assert.equal(stage.upstream.bytes, before.bytes, 'the upstream heard something');
    return answer;
}

/** Sends the request that OPTIONS describe and checks that the upstream got it, once. */
export async function assertAccepted(stage, options) {
    const before = stage.upstream.requests.length;
    const answer = await stage.ask(options);
    assert.equal(answer.status, 200, answer.text);
    assert.equal(stage.upstream.requests.length, before + 1);
    return answer;
}
