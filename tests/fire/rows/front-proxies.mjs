// SPDX-License-Identifier: Apache-2.0
// T2: every probe of the raw HTTP surface goes through nginx and through HAProxy, which share one
// connection to the gate between their clients; behind each comes a victim, who must get the answer
// to his own request.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

import { eventually, sleep } from '../../integration/lib/observe.mjs';
import { freePort } from '../../integration/lib/ports.mjs';
import { call, openStage } from '../../integration/lib/stage.mjs';
import { Wire } from '../../integration/lib/wire.mjs';

export const row = 'T2';
export const title = 'smuggling through nginx and HAProxy';
export const limitS = 180;

const PROBES = JSON.parse(
    fs.readFileSync(new URL('../../integration/data/http-probes.json', import.meta.url), 'utf8'),
);
const PROBE_MS = 60; // for what the proxy waits for more of

const nginx = (port, gate, folder) => `
daemon off; worker_processes 1; pid ${folder}/nginx.pid; error_log ${folder}/nginx.log;
events { worker_connections 512; }
http {
    access_log off; client_body_temp_path ${folder}; proxy_temp_path ${folder};
    fastcgi_temp_path ${folder}; uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
    ignore_invalid_headers off; underscores_in_headers on; merge_slashes off;
    upstream gate { server 127.0.0.1:${gate}; keepalive 1; }
    server {
        listen 127.0.0.1:${port};
        location / {
            proxy_pass http://gate; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_set_header Host $http_host; proxy_request_buffering off; proxy_buffering off;
            proxy_next_upstream off;
        }
    }
}
`;

const haproxy = (port, gate) => `
global
    maxconn 512
    nbthread 1
defaults
    mode http
    timeout connect 2s
    timeout client 5s
    timeout server 5s
    option accept-invalid-http-request
    option http-no-delay
    http-reuse always
    retries 0
frontend in
    bind 127.0.0.1:${port}
    default_backend gate
backend gate
    option accept-invalid-http-response
    server gate 127.0.0.1:${gate} maxconn 1 pool-max-conn 1
`;

const PROXIES = [
    ['nginx', 'nginx.conf', nginx, (file) => ['nginx', ['-c', file]]],
    ['HAProxy', 'haproxy.cfg', haproxy, (file) => ['haproxy', ['-db', '-f', file]]],
];

const REQUEST_LINE = /^[A-Za-z-]+ [!-~]+ HTTP\/1\.[01]\r\n/;
const part = (piece) => (Array.isArray(piece) ? piece[0].repeat(piece[1]) : piece);

/** The probe as it is, and with a token, so that only strictness stands in its way. */
function formsOf({ raw }, token) {
    const text = Array.isArray(raw) ? raw.map(part).join('') : raw;
    const line = REQUEST_LINE.exec(text)?.[0];
    if (line === undefined || text.length > 30_000) return [text];
    const rest = text.slice(line.length);
    return [text, `${line}Authorization: Bearer ${token}\r\n${rest}`];
}

/** Sends TEXT, and waits for what comes of it for a moment. */
async function sendProbe(port, text) {
    const wire = await Wire.open(port);
    wire.send(Buffer.from(text, 'latin1'));
    const until = performance.now() + PROBE_MS;
    while (!wire.ended && wire.unread === 0 && performance.now() < until) await sleep(2);
    const got = wire.unread > 0;
    wire.close();
    return got;
}

async function throughProxy(report, stage, [name, fileName, configuration, command]) {
    const port = await freePort();
    const file = path.join(stage.folder, fileName);
    fs.writeFileSync(file, configuration(port, stage.gate.port, stage.folder));
    const child = spawn(...command(file), { stdio: ['ignore', 'ignore', 'ignore'] });
    const stolen = [];
    let victims = 0;
    let sent = 0;
    let reached = 0;
    let next = 1_000_000;
    const victim = async (probe) => {
        const id = next++;
        const wire = await Wire.open(port);
        try {
            wire.send(stage.request({ body: call('ping', {}, id), headers: [`X-Victim: ${id}`] }));
            const answer = await wire.answer({ timeoutMs: 8000 });
            victims++;
            if (answer.status !== 200) stolen.push(`${probe}: ${answer.status} ${answer.text}`);
            else if (answer.json.id !== id)
                stolen.push(`${probe}: the answer to ${answer.json.id}`);
            await sleep(1);
            if (wire.unread > 0) stolen.push(`${probe}: ${wire.unread} bytes too many`);
        } catch (error) {
            stolen.push(`${probe}: ${error.message}`);
        } finally {
            wire.close();
        }
    };
    try {
        await eventually(
            () => Wire.open(port).then((wire) => wire.close() ?? true),
            `${name} listens`,
        );
        const before = stage.gate.log.length;
        for (const probe of PROBES)
            for (const text of formsOf(probe, stage.token())) {
                sent++;
                if (await sendProbe(port, text)) reached++;
                await victim(probe.id);
            }
        const links = stage.upstream.requests.filter((r) => r.get('x-victim')).length;
        report.none(
            `${name}: victims who got something else than their own answer`,
            stolen,
            victims,
        );
        report.atLeast(`${name}: probes that were sent`, 278, sent);
        report.note(
            [
                `${name}: ${reached} of ${sent} probes got an answer`,
                `${stage.gate.log.length - before} requests reached the gate`,
                `${links} of victims the upstream`,
            ].join(', '),
        );
    } finally {
        child.kill('SIGTERM');
    }
}

export async function run(report) {
    for (const proxy of PROXIES) {
        const stage = await openStage({ policy: { workers: 1 } });
        try {
            await throughProxy(report, stage, proxy);
            const smuggled = stage.upstream.requests.filter(({ target }) =>
                /smuggled/.test(target),
            );
            report.none(
                `${proxy[0]}: smuggled requests at the upstream`,
                smuggled.map((r) => r.target),
            );
        } finally {
            await stage.close();
        }
    }
}
