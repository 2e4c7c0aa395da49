// SPDX-License-Identifier: Apache-2.0
// A stage whose upstream is a process of its own.
import { openStage, RESOURCE } from '../../integration/lib/stage.mjs';
import { freePort } from '../../integration/lib/ports.mjs';
import { NUMBER } from './good-clients.mjs';
import { PlainUpstream } from './plain-upstream.mjs';

/** A POST whose JSON-RPC id is different each time that GoodClients send it, PAD bytes longer. */
export const numberedRequest = (stage, { pad = 0, ...options } = {}) => {
    const params = pad > 0 ? `{"pad":"${'p'.repeat(pad)}"}` : '{}';
    return stage.request({
        ...options,
        body: `{"jsonrpc":"2.0","id":${NUMBER},"method":"ping","params":${params}}`,
    });
};

/**
 * { stage, upstream, close }. OPTIONS are those of openStage(); UPSTREAM is merged into the
 * route's.
 * ID_FILE gets the ids of all requests that reach the upstream; VARIED: see PlainUpstream.
 */
export async function openGate({
    idFile = null,
    varied = false,
    upstream: more = {},
    ...options
} = {}) {
    const upstream = new PlainUpstream(await freePort(), { file: idFile, varied });
    await upstream.start();
    const routes = () => [
        {
            resource: RESOURCE,
            ...options.route,
            upstream: { url: `http://127.0.0.1:${upstream.port}/mcp`, ...more },
        },
    ];
    const stage = await openStage({ ...options, routes });
    const close = async () => {
        await stage.close();
        await upstream.kill();
    };
    return { stage, upstream, close };
}
