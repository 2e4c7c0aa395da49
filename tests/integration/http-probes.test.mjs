// SPDX-License-Identifier: Apache-2.0
// T1: every probe of data/http-probes.json against the real daemon, as it is, with a valid token in
// it (so that nothing but the strict filter stands between a bad request and the upstream), and cut
// in two. What must be refused gets one error of ours and the end of the connection; what must
// pass, passes; and no second request is ever found in the bytes of a first.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { assertOwnError } from './lib/answers.mjs';
import { makeCertificates } from './lib/certs.mjs';
import { eventually, sleep } from './lib/observe.mjs';
import { openStage } from './lib/stage.mjs';

const PROBES = JSON.parse(fs.readFileSync(new URL('data/http-probes.json', import.meta.url)));
const GROUPS = [...new Set(PROBES.map((probe) => probe.group))];
const AT_ONCE = 16;
const REQUEST_LINE = /^[A-Za-z-]+ [!-~]+ HTTP\/1\.[01]\r\n/;

const part = (piece) => (Array.isArray(piece) ? piece[0].repeat(piece[1]) : piece);
const textOf = ({ raw }) => (Array.isArray(raw) ? raw.map(part).join('') : raw);

// What an accepted probe may be answered with: anything that is not the filter's. Two credentials
// are refused too, but by a later stage and on purpose.
const PASSED = [200, 202, 204, 401, 403, 404, 405, 415];
const answersOf = ({ why }) => (/two requests|another request/.test(why) ? 2 : 1);
const mayBe = ({ why }) => (/two Authorization/.test(why) ? [400] : PASSED);

for (const through of ['TCP', 'TLS'])
    describe(`raw HTTP probes through ${through} (T1)`, () => {
        const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-probes-'));
        let stage;
        before(async () => (stage = await openStage(through === 'TLS' ? secured() : {})));
        after(async () => {
            await stage?.close();
            fs.rmSync(folder, { recursive: true });
        });

        function secured() {
            const { server, ca } = makeCertificates(folder);
            const tls = { certificate: server.cert, key: server.key };
            return { tls, ca: fs.readFileSync(ca.cert) };
        }

        // TEXT with a token behind its request line; null where there is no such line, or no room.
        function withToken(text) {
            const line = REQUEST_LINE.exec(text)?.[0];
            if (line === undefined || text.length > 30_000 || text.split('\r\n').length > 90)
                return null;
            return `${line}Authorization: Bearer ${stage.token()}\r\n${text.slice(line.length)}`;
        }

        // The forms in which TEXT is sent: a list of lists of segments.
        function formsOf(text) {
            const cut = 1 + ((text.length * 7919) % Math.max(1, text.length - 1));
            const forms = [[text], [text.slice(0, cut), text.slice(cut)]];
            const authorized = withToken(text);
            if (authorized !== null)
                forms.push([authorized], [authorized.slice(0, -3), authorized.slice(-3)]);
            return forms;
        }

        async function sendSegments(wire, segments) {
            for (const [index, segment] of segments.entries()) {
                if (index > 0) await sleep(3);
                wire.send(Buffer.from(segment, 'latin1'));
            }
        }

        async function assertRefused(probe, segments) {
            const wire = await stage.wire();
            await sendSegments(wire, segments);
            const answer = await wire.answer();
            assertOwnError(answer, answer.status);
            // without a token the head may be answered before the bad byte of the body has come
            if (answer.status !== 401 || probe.group !== 'chunks' || segments.length === 1) {
                assert.equal(answer.status, probe.status);
                assert.equal(answer.get('connection')?.toLowerCase(), 'close');
            }
            await wire.drainToEnd();
            assert.equal(wire.excess, 0, 'more than one answer');
            return answer.get('x-request-id');
        }

        async function assertPassed(probe, segments) {
            const wire = await stage.wire();
            await sendSegments(wire, segments);
            const method = /^\S*/.exec(segments[0])[0];
            let left = answersOf(probe);
            while (left-- > 0) {
                const answer = await wire.answer({ method });
                assert.ok(mayBe(probe).includes(answer.status), `${answer.status} ${answer.text}`);
                // refused before its body was read: what follows is not looked at
                if (answer.get('connection')?.toLowerCase() === 'close') break;
            }
            await sleep(20);
            assert.equal(wire.unread, 0, 'more answers than requests');
            wire.close();
        }

        async function forAll(probes, run) {
            const queue = [...probes];
            const worker = async () => {
                for (let probe = queue.shift(); probe; probe = queue.shift())
                    await run(probe).catch((error) => {
                        error.message = `${probe.id}, ${probe.why}: ${error.message}`;
                        throw error;
                    });
            };
            await Promise.all(Array.from({ length: AT_ONCE }, worker));
        }

        for (const group of GROUPS) {
            const probes = PROBES.filter((probe) => probe.group === group);
            const refused = probes.filter((probe) => probe.expect === 'refuse');
            const accepted = probes.filter((probe) => probe.expect === 'accept');
            assert.equal(refused.length + accepted.length, probes.length);

            if (refused.length > 0)
                test(`${group}: all ${refused.length} are refused, and the log says why`, async () => {
                    stage.upstream.forget();
                    await forAll(refused, async (probe) => {
                        const [plain, ...others] = formsOf(textOf(probe));
                        const id = await assertRefused(probe, plain);
                        const line = await eventually(
                            () => stage.event(id),
                            `${probe.id} is in the log`,
                        );
                        assert.equal(line.reason, probe.reason);
                        for (const segments of others) await assertRefused(probe, segments);
                    });
                    assert.equal(stage.upstream.requests.length, 0, 'something reached the upstream');
                });

            if (accepted.length > 0)
                test(`${group}: all ${accepted.length} pass`, async () => {
                    await forAll(accepted, async (probe) => {
                        for (const segments of formsOf(textOf(probe)))
                            await assertPassed(probe, segments);
                    });
                    assert.ok(stage.upstream.requests.length > 0, 'nothing reached the upstream');
                });
        }

        test('no request was found inside of another one', () => {
            const targets = stage.upstream.requests.map((request) => request.target);
            assert.deepEqual(
                targets.filter((target) => /smuggled/.test(target)),
                [],
            );
            assert.ok(!stage.gate.log.some((line) => /smuggled/.test(line.path ?? '')));
        });

        test('the daemon serves on', async () => {
            assert.equal((await stage.ask({})).status, 200);
        });
    });
