// SPDX-License-Identifier: Apache-2.0
// The demo behind `./dev run`: what it prints works, and Ctrl-C ends all of it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { eventually } from './lib/observe.mjs';
import { portcullisBinary } from './lib/portcullis.mjs';

const DEMO = fileURLToPath(new URL('../demo/run.mjs', import.meta.url));
const INSPECTOR = 'http://127.0.0.1:6274';

/** Starts the demo with ARGS for test T; `output` grows as it prints. */
function startDemo(t, ...args) {
    const child = spawn(
        process.execPath,
        [DEMO, '--any-port', '--portcullis', portcullisBinary(), ...args],
        { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const demo = { child, output: '', errors: '', ended: once(child, 'close') };
    child.stdout.setEncoding('utf8').on('data', (text) => (demo.output += text));
    child.stderr.setEncoding('utf8').on('data', (text) => (demo.errors += text));
    t.after(() => child.exitCode === null && child.kill('SIGTERM'));
    return demo;
}

const isRefused = (url) =>
    fetch(url).then(
        () => false,
        (error) => error.cause?.code === 'ECONNREFUSED',
    );

test('every command that it prints does what it says', async (t) => {
    const demo = startDemo(t, '--check');
    const [code] = await demo.ended;
    assert.equal(code, 0, demo.output + demo.errors);
    assert.equal(demo.output.match(/^ok /gm).length, 8, demo.output);
    assert.doesNotMatch(demo.errors, /AddressSanitizer|LeakSanitizer|runtime error/);
});

for (const signal of ['SIGINT', 'SIGTERM'])
    test(`${signal} ends every part of it`, async (t) => {
        const demo = startDemo(t);
        await eventually(() => demo.output.includes('Ctrl-C'), 'it is up', { timeoutMs: 60_000 });
        const named = new Set(demo.output.match(/http:\/\/127\.0\.0\.1:\d+/g));
        named.delete(INSPECTOR); // an allowed origin, not a part
        const urls = [...named];
        assert.equal(urls.length, 4, urls.join(' '));
        for (const url of urls) assert.equal(await isRefused(url), false, url);
        assert.doesNotMatch(demo.output, /\x1b/, 'no colours when this is no terminal');

        // Twice, as impatient people do.
        demo.child.kill(signal);
        await delay(50);
        demo.child.kill(signal);
        const [code, killedBy] = await demo.ended;
        // Node lets go of its signal handlers at its end: the second may find it past its work.
        assert.ok(code === 0 || killedBy === signal, `${code} ${killedBy} ${demo.errors}`);
        assert.match(demo.output, /\nStopped\.\n$/);
        for (const url of urls) assert.equal(await isRefused(url), true, url);
    });
