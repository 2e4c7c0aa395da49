// SPDX-License-Identifier: Apache-2.0
// MCP Inspector's command line through Portcullis, as a developer would use it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { startEverything } from './lib/everything.mjs';
import { openScene } from './lib/scene.mjs';

const INSPECTOR = fileURLToPath(
    new URL(
        '../node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js',
        import.meta.url,
    ),
);

let scene;
let home; // the Inspector keeps files there
before(async () => {
    home = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-inspector-'));
    scene = await openScene({ server: startEverything, route: { scopes: ['mcp:use'] } });
});
after(async () => {
    await scene?.close();
    fs.rmSync(home, { recursive: true, force: true });
});

/** Runs `inspector --cli URL ARGS`: { code, stdout, stderr }, both texts being JSON. */
async function inspect(token, ...args) {
    const login = token ? ['--header', `Authorization: Bearer ${token}`] : ['--stored-auth-only'];
    const child = spawn(
        process.execPath,
        [INSPECTOR, '--cli', scene.gate.url(), '--transport', 'http', '--format', 'json']
            .concat(login)
            .concat(args),
        { env: { ...process.env, HOME: home }, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const output = { stdout: '', stderr: '' };
    for (const name of Object.keys(output))
        child[name].setEncoding('utf8').on('data', (text) => (output[name] += text));
    const [code] = await once(child, 'close');
    return { code, ...output };
}

test('tools/list', async () => {
    const { code, stdout, stderr } = await inspect(scene.tenant.mint(), '--method', 'tools/list');
    assert.equal(code, 0, stderr);
    assert.ok(JSON.parse(stdout).result.tools.some((tool) => tool.name === 'echo'));
});

test('tools/call', async () => {
    const { code, stdout, stderr } = await inspect(
        scene.tenant.mint(),
        ...['--method', 'tools/call', '--tool-name', 'echo', '--tool-arg', 'message=hello'],
    );
    assert.equal(code, 0, stderr);
    assert.deepEqual(JSON.parse(stdout).result.content, [{ type: 'text', text: 'Echo: hello' }]);
});

test('without a token it is told to log in', async () => {
    const { code, stderr } = await inspect(null, '--method', 'tools/list');
    assert.notEqual(code, 0);
    assert.equal(JSON.parse(stderr).error.code, 'auth_required');
});
