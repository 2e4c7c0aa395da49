// SPDX-License-Identifier: Apache-2.0
// A small MCP server of revision 2026-07-28 (npm @modelcontextprotocol/server): stateless, POST only,
// with the headers Mcp-Method and Mcp-Name. What it got is kept for the tests.
import { once } from 'node:events';
import http from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import { createMcpHandler, fromJsonSchema, McpServer } from '@modelcontextprotocol/server';

/** Its resource, and its prompts. No header field takes the letters of the second as they are. */
export const NOTE = 'test://note';
export const PROMPTS = { greet: 'Hello', grüße: 'Hallo' };

const text = (value) => ({ content: [{ type: 'text', text: String(value) }] });

const object = (properties) =>
    fromJsonSchema({ type: 'object', properties, required: Object.keys(properties) });

function makeServer() {
    const server = new McpServer(
        { name: 'portcullis-test', version: '1.0.0' },
        { capabilities: { logging: {} } },
    );
    server.registerTool(
        'echo',
        { description: 'Says it again', inputSchema: object({ message: { type: 'string' } }) },
        ({ message }) => text(message),
    );
    server.registerTool(
        'add',
        {
            description: 'Adds two numbers',
            inputSchema: object({ a: { type: 'number' }, b: { type: 'number' } }),
        },
        ({ a, b }) => text(a + b),
    );
    server.registerTool(
        'count',
        {
            description: 'Reports progress up to a number, as server-sent events',
            inputSchema: object({ to: { type: 'number' } }),
        },
        async ({ to }, context) => {
            const { progressToken } = context.mcpReq._meta ?? {};
            for (let progress = 1; progress <= to; progress++)
                await context.mcpReq.notify({
                    method: 'notifications/progress',
                    params: { progressToken, progress, total: to },
                });
            return text(to);
        },
    );
    for (const [name, greeting] of Object.entries(PROMPTS))
        server.registerPrompt(name, { description: 'Says hello' }, () => ({
            messages: [{ role: 'user', content: { type: 'text', text: greeting } }],
        }));
    server.registerResource('note', NOTE, {}, () => ({ contents: [{ uri: NOTE, text: 'note' }] }));
    return server;
}

// node:http on one side, the web's Request and Response on the other.
async function answer(handler, request, response) {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const { method, headers } = request;
    const answered = await handler.fetch(
        new Request(`http://${headers.host}${request.url}`, {
            method,
            headers: Object.entries(headers).flatMap(([name, value]) =>
                [value].flat().map((one) => [name, one]),
            ),
            body: method === 'POST' ? Readable.toWeb(request) : undefined,
            duplex: 'half',
            signal: gone.signal,
        }),
    );
    response.writeHead(answered.status, Object.fromEntries(answered.headers));
    if (answered.body === null) response.end();
    else await pipeline(Readable.fromWeb(answered.body), response).catch(() => response.destroy());
}

/**
 * Starts the server on 127.0.0.1.
 *
 * @returns {Promise<{ url: string, requests: object[], close: () => Promise<void> }>} REQUESTS are
 *     { method, headers } in the order in which they came
 */
export async function startMcp2026() {
    const handler = createMcpHandler(makeServer, { legacy: 'reject' });
    const requests = [];
    const server = http.createServer((request, response) => {
        requests.push({ method: request.method, headers: request.headers });
        answer(handler, request, response);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return {
        url: `http://127.0.0.1:${server.address().port}/mcp`,
        requests,
        close: async () => {
            await handler.close();
            server.closeAllConnections();
            server.close();
            await once(server, 'close');
        },
    };
}
