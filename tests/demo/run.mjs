// SPDX-License-Identifier: Apache-2.0
// The demo behind `./dev run`: a demo tenant, the MCP project's reference server, and Portcullis
// between that server and its clients. It prints what to try, and ends with Ctrl-C.
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { startEverything } from '../integration/lib/everything.mjs';
import { portcullisBinary, startPortcullis } from '../integration/lib/portcullis.mjs';
import { choosePort } from '../integration/lib/ports.mjs';
import { startTenant } from '../integration/lib/tenant.mjs';
import { checkSteps } from './check.mjs';
import { steps } from './steps.mjs';

const USAGE = `usage: tests/node tests/demo/run.mjs [--portcullis PATH] [--any-port] [--check]

  --portcullis PATH  the binary (default: PORTCULLIS_BIN, else build/dev/portcullis)
  --any-port         take any free ports, not 8080, 9090, 9000 and 3000
  --check            run the printed commands, say whether they work, and end
`;

const PORTS = { gate: 8080, admin: 9090, tenant: 9000, server: 3000 };

/** The ports people expect, as far as they are free. */
async function choosePorts(anyPort) {
    const chosen = {};
    for (const [name, usual] of Object.entries(PORTS))
        chosen[name] = await choosePort(anyPort ? null : usual);
    return chosen;
}

const demoPolicy =
    ({ tenant, server, quiet }) =>
    ({ port }) => ({
        issuers: { demo: { issuer: tenant.issuer, jwks_uri: tenant.jwksUri } },
        routes: [
            {
                resource: `http://127.0.0.1:${port}/mcp`,
                name: 'Portcullis demo',
                upstream: server.url,
                scopes: ['mcp:use'],
                rules: [
                    { tools: ['echo', 'get-sum'], allow: true },
                    { tools: ['*'], permission: 'tool:{name}' },
                    { prompts: ['*'], resources: ['*'], methods: ['*'], allow: true },
                ],
                identity: { 'X-User': 'sub' },
                origins: ['http://localhost:6274', 'http://127.0.0.1:6274'], // MCP Inspector
            },
        ],
        log: { level: quiet ? 'warn' : 'info', format: 'text' },
    });

/** Starts the three parts; what was started before a failure is ended. */
async function startAll({ binary, anyPort, quiet }) {
    const ports = await choosePorts(anyPort);
    const parts = [];
    try {
        const tenant = await startTenant({ port: ports.tenant });
        parts.push(tenant);
        const server = await startEverything({ port: ports.server, foreground: true });
        parts.push(server);
        const gate = await startPortcullis({
            policy: demoPolicy({ tenant, server, quiet }),
            port: ports.gate,
            adminPort: ports.admin,
            binary,
            ready: true,
            foreground: true,
        });
        parts.push({ close: () => gate.stop() });
        return { tenant, server, gate, parts };
    } catch (error) {
        await stopAll(parts);
        throw error;
    }
}

/** Ends the parts, the gate first. */
async function stopAll(parts) {
    for (const part of [...parts].reverse()) await part.close();
}

const say = (text = '') => process.stdout.write(`${text}\n`);
const indent = (text) => text.replace(/^(?=.)/gm, '    ');
const bold = (text) => (process.stdout.isTTY ? `\x1b[1m${text}\x1b[0m` : text);
const heading = (text) => say(`\n${bold(text)}\n`);

function print({ tenant, server, gate }, todo) {
    heading('Portcullis demo');
    say(
        indent(
            [
                `MCP client   >   Portcullis   >   MCP server    ${server.url}`,
                `            \\        |`,
                `             authorization server            ${tenant.issuer}`,
            ].join('\n'),
        ),
    );
    say();
    say(`    MCP URL              ${gate.url()}`);
    say(`    health and metrics   ${gate.adminUrl('/readyz')}  ${gate.adminUrl('/metrics')}`);
    heading('The policy it runs with');
    say(indent(fs.readFileSync(gate.policyFile, 'utf8')));
    for (const [i, step] of todo.entries()) {
        heading(`${i + 1}. ${step.title}`);
        say(indent(step.command));
    }
    heading('Ctrl-C stops all of it. From here on, what Portcullis logs:');
}

function readArguments() {
    try {
        return parseArgs({
            options: {
                portcullis: { type: 'string' },
                'any-port': { type: 'boolean', default: false },
                check: { type: 'boolean', default: false },
                help: { type: 'boolean', short: 'h', default: false },
            },
        }).values;
    } catch (error) {
        process.stderr.write(`${error.message}\n${USAGE}`);
        process.exit(2);
    }
}

const END_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Resolves when somebody asks for the end, or a part has come to its own: then with its name. */
function theEnd({ server, gate }) {
    // A second Ctrl-C must not end us before the parts have ended.
    for (const name of END_SIGNALS) process.on(name, () => {});
    return Promise.race([
        ...END_SIGNALS.map((name) => once(process, name).then(() => null)),
        gate.exited.then(() => 'Portcullis'),
        server.exited.then(() => 'The MCP server'),
    ]);
}

async function main() {
    const options = readArguments();
    if (options.help) {
        process.stdout.write(USAGE);
        return 0;
    }
    const { check } = options;
    const demo = await startAll({
        binary: options.portcullis ? path.resolve(options.portcullis) : portcullisBinary(),
        anyPort: options['any-port'],
        quiet: check,
    });
    const todo = steps({
        url: demo.gate.url(),
        metadataUrl: demo.gate.url('/.well-known/oauth-protected-resource/mcp'),
        token: demo.tenant.mint({}, { resource: demo.gate.url() }),
    });
    if (check) {
        const good = await checkSteps(todo).finally(() => stopAll(demo.parts));
        return good ? 0 : 1;
    }
    print(demo, todo);
    const ended = await theEnd(demo);
    if (ended) process.stderr.write(`${ended} ended by itself.\n`);
    await stopAll(demo.parts);
    say('Stopped.');
    return ended ? 1 : 0;
}

try {
    process.exitCode = await main();
} catch (error) {
    process.stderr.write(`The demo did not start: ${error.message}\n`);
    process.exitCode = 1;
}
