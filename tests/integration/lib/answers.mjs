// SPDX-License-Identifier: Apache-2.0
// What every answer that Portcullis makes itself has in common.
import assert from 'node:assert/strict';

// An error of ours: the status, never cached, a request id, and a JSON body that is either an OAuth
// error or a JSON-RPC error.
export function assertOwnError(answer, status) {
    assert.equal(answer.status, status, answer.text);
    assert.equal(answer.get('cache-control'), 'no-store');
    assert.match(answer.get('x-request-id') ?? '', /^[\x21-\x7e]{8,64}$/);
    assert.equal(answer.get('content-type'), 'application/json');
    const body = answer.json;
    if (body.jsonrpc === undefined) {
        assert.equal(typeof body.error, 'string', answer.text);
        assert.equal(typeof body.error_description, 'string', answer.text);
        assert.ok(!body.error_description.endsWith('.'), 'a sentence without its full stop');
        assert.equal(body.request_id, answer.get('x-request-id'));
    } else {
        assert.equal(body.jsonrpc, '2.0');
        assert.ok(Number.isInteger(body.error.code), answer.text);
        assert.equal(typeof body.error.message, 'string', answer.text);
        assert.equal(body.error.data.request_id, answer.get('x-request-id'));
    }
    return body;
}

// A failure behind the gate, told in the caller's own terms: a JSON-RPC error with its id, and the
// code that MCP SDKs have for it ("request timed out", else "connection closed").
export function assertRpcError(answer, status, id) {
    const body = assertOwnError(answer, status);
    assert.equal(body.jsonrpc, '2.0', answer.text);
    assert.deepEqual(body.id, id);
    assert.equal(body.error.code, status === 504 ? -32001 : -32000);
    return body;
}
