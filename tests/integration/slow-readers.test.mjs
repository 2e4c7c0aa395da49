// SPDX-License-Identifier: Apache-2.0
// Readers that take 1 KiB a second of a large answer, beside clients that are quick: what waits for a
// slow one stays at the upstream, the others are served as if it were not there, it loses no byte, and
// it takes its request along when it leaves.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { afterEach, beforeEach, describe, test } from 'node:test';

import { okJson } from './lib/byte-upstream.mjs';
import { eventually, openFds, peakKib, resetPeak, rssKib, SANITIZED } from './lib/observe.mjs';
import { SlowReaders } from './lib/slow-readers.mjs';
import { call, openStage } from './lib/stage.mjs';

const MIB = 1024 * 1024;
/** Twice what may wait for a reader: 64 KiB, and one read of 64 KiB. */
const MOST_KIB_PER_READER = 256;
const FAST_CLIENTS = 8;
const CALLS_EACH = 50;
/** 1 KiB a second for longer than any of these tests lasts; no answer is as short. */
const MOST_READ_SO_FAR = 256 * 1024;

const SLOW = call('tools/call', { name: 'large' });
const bodyOf = (bytes) => crypto.createHash('shake256', { outputLength: bytes }).update('s').digest();
const head = (field) => `HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n${field}\r\n\r\n`;

/**
 * Each row: how many readers, of how large an answer, and how it is framed: the parts to send. The
 * kernel's buffers may take several MiB of an answer: whether it FITS there, so that it may be over
 * for the daemon before the reader has it.
 */
const CASES = [
    { n: 64, bytes: MIB, how: 'with a Content-Length', fits: true },
    { n: 48, bytes: 10 * MIB, how: 'with a Content-Length' },
    { n: 16, bytes: 10 * MIB, how: 'in chunks' },
];

function partsOf(body, how) {
    if (how !== 'in chunks') return [head(`Content-Length: ${body.length}`), body];
    const size = `${body.length.toString(16)}\r\n`;
    return [head('Transfer-Encoding: chunked'), size, body, '\r\n0\r\n\r\n'];
}

/** What LOOK gives once it has given it twice. */
async function settled(look, what) {
    let last = null;
    await eventually(
        () => {
            const was = last;
            last = look();
            return was === last;
        },
        `${what} has settled`,
        { everyMs: 300 },
    );
    return last;
}

describe('slow readers', () => {
    let stage;
    // a daemon for each, so that none finds memory that an earlier one has made
    beforeEach(async () => (stage = await openStage({ policy: { workers: 1 } })));
    afterEach(() => stage?.close());

    const gauge = async (name) => (await stage.metrics()).sum(`portcullis_${name}`);
    const slowLinks = () =>
        stage.upstream.requests.filter((r) => r.body.equals(Buffer.from(SLOW))).map((r) => r.link);

    /** Large answers to calls like SLOW, small ones with their id to all others. */
    function answerWith(parts) {
        stage.upstream.respond = (request, link) => {
            const { id, params } = JSON.parse(request.body);
            if (params.name !== 'large')
                return link.send(okJson(JSON.stringify({ jsonrpc: '2.0', id, result: {} })));
            for (const part of parts) link.send(part);
        };
    }

    /** N readers have the beginning of their answers; nothing moves but what they read. */
    async function openReaders(n, fits) {
        const request = stage.request({ body: SLOW });
        const readers = await SlowReaders.open({ port: stage.gate.port, n, request });
        try {
            await eventually(
                async () => (await readers.counts()).every((count) => count > 0),
                'every slow reader has read something',
                { everyMs: 250 },
            );
            assert.equal(slowLinks().length, n);
            if (!fits)
                await eventually(
                    async () => (await gauge('open_streams')) === n,
                    'all are streams',
                );
            await settled(() => rssKib(stage.gate.pid), 'memory');
        } catch (error) {
            readers.close();
            throw error;
        }
        return readers;
    }

    /** CALLS_EACH calls of one client after the other, each with the answer to its own. */
    async function callQuickly(client) {
        const wire = await stage.wire();
        for (let i = 0; i < CALLS_EACH; i++) {
            const id = client * CALLS_EACH + i;
            wire.send(stage.request({ body: call('tools/call', { name: 'small' }, id) }));
            assert.equal((await wire.answer()).json.id, id);
        }
        wire.close();
    }

    for (const { n, bytes, how, fits = false } of CASES) {
        const what = `${n} of ${bytes / MIB} MiB ${how}`;

        test(`${what}: memory is bounded, quick calls go on, no byte is lost`, async (t) => {
            const body = bodyOf(bytes);
            const sha256 = crypto.createHash('sha256').update(body).digest('hex');
            answerWith(partsOf(body, how));
            await Promise.all(Array.from({ length: FAST_CLIENTS }, (_, i) => callQuickly(i)));
            const baseKib = rssKib(stage.gate.pid);
            resetPeak(stage.gate.pid);
            const readers = await openReaders(n, fits);
            try {
                await Promise.all(Array.from({ length: FAST_CLIENTS }, (_, i) => callQuickly(i)));
                const perReaderKib = (peakKib(stage.gate.pid) - baseKib) / n;
                const counts = await readers.counts();
                assert.ok(Math.max(...counts) < MOST_READ_SO_FAR, `${counts}: they are not slow`);
                if (!fits)
                    assert.equal(await gauge('open_streams'), n, 'all are still going on');
                t.diagnostic(`${perReaderKib.toFixed(0)} KiB for each reader; read: ${counts}`);
                // what AddressSanitizer keeps of freed memory says nothing about the daemon
                if (!SANITIZED)
                    assert.ok(perReaderKib < MOST_KIB_PER_READER, `${perReaderKib} KiB for each`);
                for (const answer of await readers.finish())
                    assert.deepEqual(answer, { status: 200, length: bytes, sha256 });
            } finally {
                readers.close();
            }
        });

        if (fits) continue; // nothing of it is left to be taken along

        test(`${what}: who leaves takes the request along, and nothing stays`, async () => {
            answerWith(partsOf(bodyOf(bytes), how));
            await stage.ask();
            for (const link of stage.upstream.links) link.socket.destroy();
            await eventually(async () => (await gauge('connections')) === 0, 'nobody is there');
            const restFds = await settled(() => openFds(stage.gate.pid), 'their number');
            const readers = await openReaders(n, fits);
            try {
                const links = slowLinks();
                await readers.leave();
                await Promise.all(links.map((link) => link.closed));
            } finally {
                readers.close();
            }
            for (const name of ['open_streams', 'connections'])
                await eventually(async () => (await gauge(name)) === 0, `${name}: none`);
            await eventually(() => openFds(stage.gate.pid) <= restFds, 'no descriptor stays open');
            assert.equal((await stage.ask()).status, 200);
        });
    }
});
