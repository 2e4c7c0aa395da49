// SPDX-License-Identifier: Apache-2.0
// The Node contender: express, the bearer check of the MCP SDK with a verifier by jose, and a
// streaming proxy. It verifies each request: neither the SDK nor jose has a cache of tokens.
//
// usage: server.mjs CONFIG (contenders/node.json)
import { randomUUID } from 'node:crypto';
import { createWriteStream, readFileSync } from 'node:fs';
import { Agent, createServer } from 'node:http';

import { InvalidTokenError } from '@modelcontextprotocol/sdk/server/auth/errors.js';
import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js';
import express from 'express';
import httpProxy from 'http-proxy';
import { createLocalJWKSet, jwtVerify } from 'jose';

const LOG_FLUSH_BYTES = 64 * 1024;
const LOG_FLUSH_MS = 1000;
const HOUR_MS = 3600 * 1000;

const config = JSON.parse(readFileSync(process.argv[2], 'utf8'));

function makeVerifier({ keys, issuer, audience }) {
    const keySet = createLocalJWKSet(JSON.parse(readFileSync(keys, 'utf8')));
    const rules = { algorithms: ['RS256'], issuer, audience, requiredClaims: ['exp'] };
    return {
        async verifyAccessToken(token) {
            const { payload } = await jwtVerify(token, keySet, rules).catch((error) => {
                throw new InvalidTokenError(error.message);
            });
            return {
                token,
                clientId: payload.client_id ?? '',
                scopes: (payload.scope ?? '').split(' '),
                expiresAt: payload.exp,
            };
        },
    };
}

// One line for each request, written in blocks.
function makeLog(path) {
    const file = createWriteStream(path, { flags: 'a' });
    let pending = '';
    const flush = () => {
        if (pending !== '') file.write(pending);
        pending = '';
    };
    setInterval(flush, LOG_FLUSH_MS).unref();
    return (entry) => {
        pending += JSON.stringify(entry) + '\n';
        if (pending.length >= LOG_FLUSH_BYTES) flush();
    };
}

function logRequests(log) {
    return (request, response, next) => {
        const began = performance.now();
        request.id = randomUUID();
        response.once('close', () =>
            log({
                time: new Date().toISOString(),
                id: request.id,
                client: request.socket.remoteAddress,
                method: request.method,
                path: request.path,
                status: response.statusCode,
                seconds: (performance.now() - began) / 1000,
            }),
        );
        next();
    };
}

function makeForward(upstream) {
    const proxy = httpProxy.createProxyServer({
        target: `http://127.0.0.1:${upstream}`,
        agent: new Agent({ keepAlive: true, maxSockets: Infinity, maxFreeSockets: 16384 }),
        xfwd: true,
    });
    proxy.on('error', (error, request, response) => {
        if (!response.headersSent) response.writeHead(502);
        response.end();
    });
    return (request, response) => {
        delete request.headers.authorization;
        request.headers['x-request-id'] = request.id;
        proxy.web(request, response);
    };
}

const app = express();
app.disable('x-powered-by');
app.disable('etag');
app.set('query parser', false);
app.all(
    '/mcp',
    logRequests(makeLog(config.log)),
    requireBearerAuth({ verifier: makeVerifier(config) }),
    makeForward(config.upstream),
);

const server = createServer({ keepAliveTimeout: HOUR_MS, requestTimeout: 0 }, app);
server.listen({ host: '127.0.0.1', port: config.listen, backlog: 4096 });
process.on('SIGTERM', () => process.exit(0));
