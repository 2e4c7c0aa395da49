// SPDX-License-Identifier: Apache-2.0
// What the demo invites its reader to do: shell commands, in order, and what each of them shows. The
// same commands are what `--check` runs, so that what is printed is what works.
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const INSPECTOR =
    'tests/node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js';

const rpc = (id, method, params) => JSON.stringify({ jsonrpc: '2.0', id, method, params });

const INITIALIZE = rpc(1, 'initialize', {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'curl', version: '1' },
});
const CALL = rpc(2, 'tools/call', {
    name: 'echo',
    arguments: { message: 'Hello through the gate' },
});
const LIST = rpc(3, 'tools/list', {});
const FOREIGN_CALL = rpc(4, 'tools/call', { name: 'get-env', arguments: {} });

/** One shell command over several lines. */
const lines = (...parts) => parts.join(' \\\n    ');

const JSON_TYPES = [
    `-H 'Content-Type: application/json'`,
    `-H 'Accept: application/json, text/event-stream'`,
];
const TOKEN = `-H "Authorization: Bearer $TOKEN"`;

/**
 * @param {object} demo { url, metadataUrl, token }
 * @returns {object[]} { title, command, shows } each; SHOWS matches what the command prints
 */
export function steps({ url, metadataUrl, token }) {
    const inspector = `${path.relative(process.cwd(), ROOT) || '.'}/`.replace(/^\.\//, '');
    const inspect = (...args) => lines(`${inspector}tests/node ${inspector}${INSPECTOR}`, ...args);
    return [
        {
            title: 'Without a token: 401, and the challenge says where to go',
            command: lines(`curl -si ${url}`, ...JSON_TYPES, `-d '${INITIALIZE}'`),
            shows: /HTTP\/1\.1 401 [^]*WWW-Authenticate: Bearer resource_metadata="[^"]+"/i,
        },
        {
            title: 'Where that leads: the metadata names the authorization server',
            command: `curl -s ${metadataUrl}`,
            shows: /"authorization_servers":/,
        },
        {
            title: 'A token, good for an hour',
            command: `TOKEN=${token}`,
            shows: /^$/,
        },
        {
            title: 'With it: open a session',
            command: [
                lines(
                    `SESSION=$(curl -s -o /dev/null -D - ${url}`,
                    TOKEN,
                    ...JSON_TYPES,
                    `-d '${INITIALIZE}'`,
                    `| tr -d '\\r' | sed -n 's/^mcp-session-id: //Ip')`,
                ),
                'echo "$SESSION"',
            ].join('\n'),
            shows: /^[0-9a-f-]{36}\.[\w-]{43}\s*$/,
        },
        {
            title: 'and call a tool',
            command: lines(
                `curl -s ${url}`,
                TOKEN,
                `-H "Mcp-Session-Id: $SESSION"`,
                ...JSON_TYPES,
                `-d '${CALL}'`,
            ),
            shows: /Echo: Hello through the gate/,
        },
        {
            title: 'The list shows only the tools that this token may use',
            command: lines(
                `curl -s ${url}`,
                TOKEN,
                `-H "Mcp-Session-Id: $SESSION"`,
                ...JSON_TYPES,
                `-d '${LIST}'`,
            ),
            shows: /^(?!.*"name":"get-env")(?=.*"name":"echo")/s,
        },
        {
            title: 'Another tool: 403, and the challenge names the scope to ask for',
            command: lines(
                `curl -si ${url}`,
                TOKEN,
                `-H "Mcp-Session-Id: $SESSION"`,
                ...JSON_TYPES,
                `-d '${FOREIGN_CALL}'`,
            ),
            shows: /HTTP\/1\.1 403 [^]*scope="mcp:use tool:get-env"[^]*error="insufficient_scope"/,
        },
        {
            title: 'The same with the command line of MCP Inspector',
            command: inspect(
                `--cli ${url} --transport http`,
                `--header "Authorization: Bearer $TOKEN"`,
                `--method tools/call --tool-name echo --tool-arg message=Hello`,
            ),
            shows: /Echo: Hello/,
        },
        {
            title: 'MCP Inspector in a browser: connect, log in as anybody, allow',
            command: inspect(`--server-url ${url} --transport http`),
            shows: null, // for people only
        },
    ];
}
