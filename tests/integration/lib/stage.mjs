// SPDX-License-Identifier: Apache-2.0
// Everything a test of the raw HTTP surface needs, in one object: an upstream that speaks bytes, an
// issuer that serves one key, the daemon between them, and tokens that it accepts.
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';

import { ByteUpstream } from './byte-upstream.mjs';
import { Metrics } from './observe.mjs';
import { portcullisBinary, startPortcullis } from './portcullis.mjs';
import { newSigningKey, signCompact, tokenClaims, tokenHeader, withChanges } from './tokens.mjs';
import { requestBytes, Wire } from './wire.mjs';

export const RESOURCE = 'https://mcp.example.com/mcp';

/** The body of a JSON-RPC request. */
export const call = (method, params = {}, id = 1) =>
    JSON.stringify({ jsonrpc: '2.0', id, method, params });

/** An issuer as small as can be: one key, served at the place that the policy names. */
export class Issuer {
    static async open() {
        const issuer = new Issuer();
        issuer.key = await newSigningKey();
        issuer.keys = [issuer.key.publicJwk];
        issuer.fetches = 0;
        issuer.server = http.createServer((request, response) => {
            issuer.fetches++;
            response.writeHead(200, { 'Content-Type': 'application/json' });
            response.end(JSON.stringify({ keys: issuer.keys }));
        });
        issuer.server.listen(0, '127.0.0.1');
        await once(issuer.server, 'listening');
        issuer.issuer = `http://127.0.0.1:${issuer.server.address().port}/`;
        return issuer;
    }

    get policy() {
        return { issuer: this.issuer, jwks_uri: `${this.issuer}jwks.json` };
    }

    /** An access token for RESOURCE; CLAIMS and HEADER are merged over the usual ones. */
    token({ claims = {}, header = {}, profile = 'rfc9068' } = {}) {
        const payload = tokenClaims(profile, { issuer: this.issuer, resource: RESOURCE });
        return signCompact({
            header: withChanges(tokenHeader(profile, this.key), header),
            payload: withChanges(payload, claims),
            key: this.key,
        });
    }

    close() {
        this.server.closeAllConnections();
        this.server.close();
    }
}

/**
 * A shell script that starts the binary after PRELUDE ("ulimit -n 64"): limits that only a parent can
 * set.
 */
function wrapper(folder, prelude) {
    const file = path.join(folder, 'start');
    fs.writeFileSync(file, `#!/bin/sh\n${prelude}\nexec '${portcullisBinary()}' "$@"\n`, {
        mode: 0o755,
    });
    return file;
}

export class Stage {
    /** OPTIONS: see openStage(). */
    constructor(options, upstream, tenant) {
        this.options = options;
        this.upstream = upstream;
        this.tenant = tenant;
        this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-stage-'));
        this.gate = null;
        this.usual = tenant.token();
    }

    get upstreamUrl() {
        const scheme = this.options.upstreamTls ? 'https' : 'http';
        return `${scheme}://127.0.0.1:${this.upstream.port}${this.options.upstreamPath ?? '/mcp'}`;
    }

    /** The policy that the daemon runs with; MORE is merged over its top level. */
    policy(more = {}) {
        const { policy = {}, route = {}, routes } = this.options;
        const url = this.upstreamUrl;
        const upstream = route.upstream ? { url, ...route.upstream } : url;
        return {
            issuers: { tenant: this.tenant.policy },
            routes: routes ? routes(url) : [{ resource: RESOURCE, ...route, upstream }],
            ...policy,
            ...more,
        };
    }

    async start(more = {}, { ready = true, env = {} } = {}) {
        const { prelude } = this.options;
        this.gate = await startPortcullis({
            policy: this.policy(more),
            env: { ...this.options.env, ...env },
            binary: prelude ? wrapper(this.folder, prelude) : undefined,
            ready,
            tls: this.options.tls,
        });
    }

    /** A valid token, the same at each call unless OPTIONS ask for another one. */
    token(options) {
        return options ? this.tenant.token(options) : this.usual;
    }

    /** The bytes of a request with a token (null: none) and, unless told, a ping as its body. */
    request(options = {}) {
        const {
            token = this.usual,
            typed = true,
            headers = [],
            method = 'POST',
            ...rest
        } = options;
        const { body = call('ping') } = options;
        const lines = [...headers];
        const hasType = lines.some((line) => /^content-type:/i.test(line));
        if (typed && body !== null && !hasType) lines.unshift('Content-Type: application/json');
        if (token !== null) lines.unshift(`Authorization: Bearer ${token}`);
        return requestBytes({ ...rest, method, headers: lines, body });
    }

    /** A connection; with TLS, SECURE are options of tls.connect(), merged over the authority's. */
    wire(secure = {}) {
        const options = this.options.tls ? { secure: { ca: this.options.ca, ...secure } } : {};
        return Wire.open(this.gate.port, options);
    }

    /** One request on a connection of its own, and its answer. */
    async ask(options = {}) {
        const wire = await this.wire();
        try {
            wire.send(this.request(options));
            return await wire.answer({ method: options.method ?? 'POST' });
        } finally {
            wire.close();
        }
    }

    async metrics() {
        return new Metrics(await this.gate.metrics());
    }

    /** The log line about the request with this id, or undefined. */
    event(requestId) {
        return this.gate.log.find((line) => line.request_id === requestId);
    }

    async close() {
        try {
            if (this.gate && !this.gate.exit) await this.gate.stop();
        } finally {
            this.tenant.close();
            await this.upstream.close();
            fs.rmSync(this.folder, { recursive: true, force: true });
        }
    }
}

/**
 * Opens a stage, with a daemon that is ready.
 *
 * @param {object} options
 * @param {object} [options.policy] merged over the top level of the policy
 * @param {object} [options.route] merged over its only route; its `upstream` over that object
 * @param {(upstream: string) => object[]} [options.routes] all routes, instead
 * @param {string} [options.upstreamPath] path and query of the upstream URL; default "/mcp"
 * @param {object} [options.tls] the daemon speaks TLS: `listen.tls`
 * @param {Buffer} [options.ca] the authority of its certificate
 * @param {object} [options.upstreamTls] the upstream speaks TLS with these options
 * @param {string} [options.prelude] shell commands that run before the daemon, in its process
 * @param {object} [options.env] environment variables of the daemon
 * @param {boolean} [options.start] false: start() comes later
 */
export async function openStage(options = {}) {
    const upstream = await ByteUpstream.open({ tls: options.upstreamTls });
    const stage = new Stage(options, upstream, await Issuer.open());
    try {
        if (options.start !== false) await stage.start();
    } catch (error) {
        await stage.close();
        throw error;
    }
    return stage;
}
