// SPDX-License-Identifier: Apache-2.0
// What a call through a scene can come to where keys are concerned.
import assert from 'node:assert/strict';

import { openScene } from './scene.mjs';

const UNKNOWN_KEY = 'The access token is signed with a key that its issuer does not publish';

/** Runs BODY with a scene of its own. */
export async function withScene(options, body) {
    const scene = await openScene(options);
    try {
        await body(scene);
    } finally {
        await scene.close();
    }
}

/** Scene options whose policy keeps keys as JWKS says. */
export const jwksPolicy = (jwks) => ({ policy: { jwks } });

/** The status of TARGET on the admin address. */
export const statusOf = async (scene, target) => {
    const answer = await fetch(scene.gate.adminUrl(target));
    await answer.arrayBuffer();
    return answer.status;
};

/** Rule 24: 503 and no challenge, or clients throw good tokens away. */
export async function assertNoKeys(scene, token) {
    const answer = await scene.post(token);
    assert.equal(answer.status, 503, answer.content);
    assert.equal(answer.headers.get('www-authenticate'), null);
    assert.match(answer.headers.get('retry-after'), /^[1-9]\d*$/);
    assert.equal(answer.headers.get('cache-control'), 'no-store');
    assert.equal(JSON.parse(answer.content).error, 'temporarily_unavailable');
}

/** Rule 13: 401, the key is not among those of the issuer. */
export async function assertUnknownKey(scene, token) {
    const answer = await scene.post(token);
    assert.equal(answer.status, 401, answer.content);
    assert.equal(JSON.parse(answer.content).error_description, UNKNOWN_KEY);
}

/** It gets through. */
export const assertGood = async (scene, token) => {
    const answer = await scene.post(token);
    assert.equal(answer.status, 200, answer.content);
};

/** A token that names a key of which nobody has heard. */
export const strangeToken = (scene, n = 0) =>
    scene.tenant.mint({}, { header: { kid: `nobody's ${n}` } });
