// SPDX-License-Identifier: Apache-2.0
// A whole scene with real parts: a tenant, an MCP server, and Portcullis between it and the clients.
import { ByteUpstream } from './byte-upstream.mjs';
import { startPortcullis } from './portcullis.mjs';
import { call } from './stage.mjs';
import { startTenant } from './tenant.mjs';

class Scene {
    /** OPTIONS: see openScene(). */
    constructor(options, tenant, server) {
        this.options = options;
        this.tenant = tenant;
        this.server = server;
        this.gate = null;
    }

    /** The policy for a daemon on PORT; MORE is merged over its top level. */
    policy(port, more = {}) {
        const { route = {}, policy = {}, discover = false, tls } = this.options;
        const { issuer, jwksUri } = this.tenant;
        return {
            issuers: { tenant: discover ? { issuer } : { issuer, jwks_uri: jwksUri } },
            routes: [
                {
                    resource: `http${tls ? 's' : ''}://127.0.0.1:${port}/mcp`,
                    upstream: this.server.url,
                    ...route,
                },
            ],
            ...policy,
            ...more,
        };
    }

    async start({ ready = true } = {}) {
        const policy = ({ port }) => this.policy(port);
        this.gate = await startPortcullis({ policy, ready, tls: this.options.tls });
        this.tenant.resource = this.gate.url();
    }

    /** POSTs one JSON-RPC request with TOKEN (null: none). The body of the answer is read. */
    async post(token, { body = call('ping'), headers = {} } = {}) {
        const answer = await fetch(this.gate.url(), {
            method: 'POST',
            headers: {
                'Content-Type': 'application/json',
                Accept: 'application/json, text/event-stream',
                ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
                ...headers,
            },
            body,
        });
        answer.content = await answer.text();
        return answer;
    }

    async close() {
        try {
            if (this.gate && !this.gate.exit) await this.gate.stop();
        } finally {
            await this.tenant.close();
            await this.server.close();
        }
    }
}

async function openByteUpstream() {
    const upstream = await ByteUpstream.open();
    upstream.url = `http://127.0.0.1:${upstream.port}/mcp`;
    return upstream;
}

/**
 * Opens a scene.
 *
 * @param {object} [options]
 * @param {object} [options.tenant] options of startTenant()
 * @param {() => Promise<object>} [options.server] starts the MCP server, which has url and close();
 *     default: a ByteUpstream
 * @param {object} [options.route] merged over the only route
 * @param {object} [options.policy] merged over the top level of the policy
 * @param {object} [options.tls] the daemon speaks TLS: `listen.tls`
 * @param {boolean} [options.discover] leave jwks_uri out of the policy
 * @param {boolean} [options.start] false: start() comes later
 * @returns {Promise<Scene>} to be ended with close()
 */
export async function openScene(options = {}) {
    const tenant = await startTenant(options.tenant);
    const server = await (options.server ?? openByteUpstream)();
    const scene = new Scene(options, tenant, server);
    try {
        if (options.start !== false) await scene.start();
    } catch (error) {
        await scene.close();
        throw error;
    }
    return scene;
}
