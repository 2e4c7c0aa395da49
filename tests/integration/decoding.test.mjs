// SPDX-License-Identifier: Apache-2.0
// What the gate reads in a body is what a server reads in it that decodes bodies by their headers, as
// express.json() does: in UTF-7 "+ACI-" is a quotation mark, so one body could say two things.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, beforeEach, describe, test } from 'node:test';

import express from 'express';

import { openScene } from './lib/scene.mjs';

// To UTF-8 a call of "echo" with an argument, to UTF-7 a call of "drop".
const BODY =
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":' +
    '{"a":"+ACIAfQAs-+ACI-name+ACI-:+ACI-drop+ACI-,+ACI-x+ACI-:{+ACI-b+ACI-:+ACI-"}}}';

describe('a body that decodes to another one', () => {
    let scene;
    let calls;

    async function startExpress() {
        const app = express();
        app.use(express.json());
        app.post('/mcp', (request, response) => {
            calls.push(request.body.params.name);
            response.json({ jsonrpc: '2.0', id: 1, result: {} });
        });
        const server = http.createServer(app).listen(0, '127.0.0.1');
        await once(server, 'listening');
        return {
            url: `http://127.0.0.1:${server.address().port}/mcp`,
            close: () => {
                server.closeAllConnections();
                server.close();
            },
        };
    }

    before(async () => {
        const rules = [{ tools: ['echo'], allow: true }];
        scene = await openScene({ server: startExpress, route: { rules } });
    });
    beforeEach(() => (calls = []));
    after(() => scene?.close());

    const post = (url, type) =>
        fetch(url, {
            method: 'POST',
            headers: {
                'Content-Type': type,
                Accept: 'application/json, text/event-stream',
                Authorization: `Bearer ${scene.tenant.mint()}`,
            },
            body: BODY,
        });

    test('the server of this test does decode', async () => {
        await post(scene.server.url, 'application/json; charset=utf-7');
        assert.deepEqual(calls, ['drop']);
    });

    test('in UTF-8 it is what the gate has read', async () => {
        for (const type of ['application/json', 'application/json; charset=utf-8']) {
            const answer = await post(scene.gate.url(), type);
            assert.equal(answer.status, 200);
        }
        assert.deepEqual(calls, ['echo', 'echo']);
    });

    test('in anything else it never gets there', async () => {
        for (const charset of ['utf-7', 'UTF-7', '"utf-7"', 'utf-7-imap', 'utf-16le', 'utf-32']) {
            const answer = await post(scene.gate.url(), `application/json; charset=${charset}`);
            assert.equal(answer.status, 415);
        }
        assert.deepEqual(calls, []);
    });
});
