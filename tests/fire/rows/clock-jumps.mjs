// SPDX-License-Identifier: Apache-2.0
// T24: the wall clock jumps while the daemon runs (libfaketime; the monotonic clock goes on as it
// is).
// Decisions about exp, nbf and iat follow it at once, and nothing else changes.
import fs from 'node:fs';
import path from 'node:path';

import { eventually, sleep } from '../../integration/lib/observe.mjs';
import { openStage } from '../../integration/lib/stage.mjs';

export const row = 'T24';
export const title = 'jumps of the clock';

const LIBRARY = '/usr/$LIB/faketime/libfaketimeMT.so.1';
const HOUR_S = 3600;
const SKEW_S = 30;
const IAT_AHEAD_S = 300;
const JUMPS_S = [0, HOUR_S, -HOUR_S, 24 * HOUR_S, 0];
const SSE = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n';

/** Claims relative to the true time, in seconds. */
const TOKENS = [
    { iat: -60, exp: 30 * HOUR_S },
    { iat: -60, exp: 1800 },
    { iat: -2 * HOUR_S, nbf: -2 * HOUR_S, exp: 1800 },
    { iat: -2 * HOUR_S, exp: -1800 },
    { iat: -2 * HOUR_S, nbf: 1800, exp: 2 * HOUR_S },
    { iat: 1800, exp: 2 * HOUR_S },
    { iat: -25 * HOUR_S, exp: -24 * HOUR_S },
    { iat: -25 * HOUR_S, nbf: -25 * HOUR_S, exp: 48 * HOUR_S },
    { iat: 12 * HOUR_S, nbf: 12 * HOUR_S, exp: 48 * HOUR_S },
];

const ALWAYS = 7; // one of them that is good at all these times

const isGood = ({ iat, nbf = -Infinity, exp }, jumpS) =>
    jumpS < exp + SKEW_S && jumpS >= nbf - SKEW_S && iat <= jumpS + IAT_AHEAD_S;

export async function run(report) {
    const folder = fs.mkdtempSync('/tmp/portcullis-fire-');
    const file = path.join(folder, 'offset');
    const jump = (seconds) => {
        fs.writeFileSync(`${file}.new`, `${seconds < 0 ? '' : '+'}${seconds}s\n`);
        fs.renameSync(`${file}.new`, file);
    };
    jump(0);
    const stage = await openStage({
        policy: {
            workers: 1,
            session_secret: 's'.repeat(32),
            insecure: { no_sandbox: true }, // else the library could not read the time
        },
        env: {
            LD_PRELOAD: LIBRARY,
            FAKETIME_TIMESTAMP_FILE: file,
            FAKETIME_NO_CACHE: '1',
            DONT_FAKE_MONOTONIC: '1',
            FAKETIME_DONT_FAKE_MONOTONIC: '1',
        },
    });
    try {
        await judge(report, stage, jump);
    } finally {
        await stage.close();
        fs.rmSync(folder, { recursive: true });
    }
}

async function judge(report, stage, jump) {
    const now = Math.floor(Date.now() / 1000);
    const tokens = TOKENS.map((claims) =>
        stage.token({
            claims: Object.fromEntries(Object.entries(claims).map(([k, v]) => [k, now + v])),
        }),
    );
    stage.upstream.respond = (request, link) => link.send(SSE);
    const stream = await stage.wire();
    stream.send(stage.request({ method: 'GET', body: null, token: tokens[ALWAYS] }));
    await stream.head({ method: 'GET' });
    const { link } = stage.upstream.last;
    const idle = await stage.wire(); // half a request, whose deadline is not the wall clock's
    idle.send(stage.request({ token: tokens[ALWAYS] }).subarray(0, 100));
    stage.upstream.forget();
    const wrong = [];
    const others = [];
    let decisions = 0;
    const fetches = stage.tenant.fetches;
    for (const seconds of JUMPS_S) {
        jump(seconds);
        await sleep(50);
        for (const round of ['new', 'known'])
            for (const [i, token] of tokens.entries()) {
                const { status } = await stage.ask({ token });
                const wanted = isGood(TOKENS[i], seconds) ? 200 : 401;
                decisions++;
                if (status !== wanted)
                    wrong.push(`${JSON.stringify(TOKENS[i])} at ${seconds} s, ${round}: ${status}`);
            }
        if ((await stage.ask({ token: null })).status !== 401) others.push('no token');
        if ((await stage.ask({ token: tokens[ALWAYS], body: '{' })).status !== 400)
            others.push('no JSON');
        if ((await fetch(stage.gate.adminUrl('/readyz'))).status !== 200) others.push('not ready');
        await link.send(`data: ${seconds}\n\n`);
        const part = await Promise.race([stream.part().catch((e) => e), sleep(1000)]);
        if (String(part) !== `data: ${seconds}\n\n`)
            others.push(`the stream at ${seconds} s: ${part}`);
        if (idle.ended) others.push(`half a request was ended at ${seconds} s`);
    }
    await eventually(() => stage.gate.log.length > 0, 'a log line');
    report.none(
        'decisions about exp, nbf and iat that are not those of the new time',
        wrong,
        decisions,
    );
    report.none('other things that changed', others);
    report.equal('fetches of keys because of a jump', 0, stage.tenant.fetches - fetches);
    stream.close();
    idle.close();
}
