// SPDX-License-Identifier: Apache-2.0
// Trace context and spans: what upstreams are told, what a collector gets, and that no call ever waits
// for it or fails with it.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';

import { okJson } from './lib/byte-upstream.mjs';
import { Collector } from './lib/collector.mjs';
import { toolCall } from './lib/doors.mjs';
import { eventually, Metrics, rounds, sleep } from './lib/observe.mjs';
import { openScene } from './lib/scene.mjs';
import { call } from './lib/stage.mjs';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';
const parentOf = (flags, trace = TRACE) => `00-${trace}-${SPAN}-${flags}`;
const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-(0[0-3])$/;

/** A scene whose spans go to a collector. TRACING is merged over the endpoint; null: tracing is off. */
async function withTracing(tracing, body, { policy = {}, ...more } = {}) {
    const collector = await Collector.open();
    const settings = (changes) =>
        changes === null ? null : { endpoint: collector.url, trust: 'always', ...changes };
    const options = { policy: { tracing: settings(tracing), ...policy }, ...more };
    const scene = await openScene(options);
    scene.collector = collector;
    scene.settings = settings;
    scene.trace = async (headers = {}, options = {}) => {
        const answer = await scene.post(scene.tenant.mint(), { headers, ...options });
        answer.id = answer.headers.get('x-request-id');
        answer.upstream = scene.server.requests.at(-1);
        return answer;
    };
    scene.spans = (id, wanted = 2) =>
        eventually(
            () => {
                const found = collector.of(id);
                return (wanted === 1 ? found.server : found.client) && found;
            },
            `spans of ${id}`,
        );
    scene.metric = async (name) => new Metrics(await scene.gate.metrics()).sum(name);
    scene.reloaded = async (tracing) => {
        const from = scene.gate.log.length;
        scene.gate.reload(scene.policy(scene.gate.port, { tracing: settings(tracing) }));
        await scene.gate.logged((line) => line.event === 'reloaded', 'reloaded', { from });
    };
    try {
        await body(scene, collector);
    } finally {
        await scene.close();
        await collector.close();
    }
}

describe('trace context', () => {
    test('with tracing off passes as it came, and its id is in the log', async () => {
        await withTracing(null, async (scene) => {
            const headers = { traceparent: parentOf('01'), tracestate: 'a=1', baggage: 'k=v' };
            const good = await scene.trace(headers);
            assert.equal(good.upstream.get('traceparent'), headers.traceparent);
            assert.equal(good.upstream.get('tracestate'), headers.tracestate);
            assert.equal(good.upstream.get('baggage'), headers.baggage);
            const bad = await scene.trace({ traceparent: 'nonsense' });
            assert.equal(bad.upstream.get('traceparent'), 'nonsense');
            const none = await scene.trace();
            assert.equal(none.upstream.get('traceparent'), null);
            const line = (id) => scene.gate.logged((l) => l.request_id === id, 'logged');
            assert.equal((await line(good.id)).trace_id, TRACE);
            assert.equal((await line(bad.id)).trace_id, undefined);
            assert.equal((await line(none.id)).trace_id, undefined);
            assert.equal(scene.collector.requests.length, 0);
        });
    });

    test('client, our spans and the upstream are one trace', async () => {
        await withTracing({}, async (scene) => {
            const state = 'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE';
            const answer = await scene.trace({ traceparent: parentOf('01'), tracestate: state });
            const { server, client } = await scene.spans(answer.id);
            assert.equal(server.traceId, TRACE);
            assert.equal(server.parent, SPAN);
            assert.equal(client.traceId, TRACE);
            const [, trace, parent, flags] = answer.upstream.get('traceparent').match(TRACEPARENT);
            assert.deepEqual([trace, parent, flags], [TRACE, client.spanId, '01']);
            assert.equal(answer.upstream.all('traceparent').length, 1);
            assert.deepEqual(answer.upstream.all('tracestate'), [state]);
            const line = await scene.gate.logged((l) => l.request_id === answer.id, 'logged');
            assert.equal(line.trace_id, TRACE);
        });
    });

    const NEW = [
        ['none', {}],
        ['version ff', { traceparent: `ff${parentOf('01').slice(2)}` }],
        ['an id of zeros', { traceparent: parentOf('01', '0'.repeat(32)) }],
        ['capitals', { traceparent: parentOf('01').toUpperCase() }],
        ['a byte more', { traceparent: `${parentOf('01')}0` }],
        ['a state alone', { tracestate: 'a=1' }],
        ['one that is no more than a word', { traceparent: 'x', tracestate: 'a=1' }],
    ];
    test('a new trace is begun when what came is no trace', async () => {
        await withTracing({}, async (scene) => {
            const seen = new Set();
            for (const [why, headers] of NEW) {
                const answer = await scene.trace(headers);
                const { server, client } = await scene.spans(answer.id);
                assert.equal(server.parent, null, why);
                assert.deepEqual(server.links, [], why);
                const [, trace, parent, flags] = answer.upstream.get('traceparent').match(TRACEPARENT);
                assert.deepEqual([trace, parent, flags], [server.traceId, client.spanId, '03'], why);
                assert.equal(answer.upstream.get('tracestate'), null, why);
                assert.notEqual(trace, TRACE);
                seen.add(trace);
            }
            assert.equal(seen.size, NEW.length);
        });
    });

    test('a version of the future is read as far as we know it', async () => {
        await withTracing({}, async (scene) => {
            const traceparent = `cc${parentOf('01').slice(2)}-what-comes`;
            const answer = await scene.trace({ traceparent });
            const [, trace] = answer.upstream.get('traceparent').match(TRACEPARENT);
            assert.equal(trace, TRACE);
        });
    });

    test('a state that is none, or too long, is left out; the trace goes on', async () => {
        await withTracing({}, async (scene) => {
            const many = Array.from({ length: 33 }, (_, i) => `k${i}=1`).join(',');
            for (const tracestate of ['A=1', 'a', `a=${'x'.repeat(256)},b=${'x'.repeat(256)}`, many]) {
                const answer = await scene.trace({ traceparent: parentOf('01'), tracestate });
                assert.equal(answer.upstream.get('tracestate'), null);
                assert.equal(answer.upstream.get('traceparent').match(TRACEPARENT)[1], TRACE);
            }
        });
    });

    test('the wish of a client is followed: sampled or not', async () => {
        await withTracing({}, async (scene, collector) => {
            const not = await scene.trace({ traceparent: parentOf('00') });
            assert.equal(not.upstream.get('traceparent').match(TRACEPARENT)[3], '00');
            const yes = await scene.trace({ traceparent: parentOf('01') });
            await scene.spans(yes.id);
            assert.equal(collector.of(not.id).server, undefined);
            const line = await scene.gate.logged((l) => l.request_id === not.id, 'logged');
            assert.equal(line.trace_id, TRACE);
        });
    });

    test('no trace id of a client keeps its line out of a sampled log', async () => {
        const policy = { log: { access: { sample: 0.5, slow: null } } };
        await withTracing({}, async (scene) => {
            // below every threshold
            const headers = { traceparent: parentOf('00', '4bf92f3577b34da6a300000000000001') };
            const ids = new Set();
            for (let i = 0; i < 60; i++) ids.add((await scene.trace(headers)).id);
            await scene.gate.logged((line) => ids.has(line.request_id), 'one of them');
        }, { policy });
    });

    for (const [trust, proxies, trusted] of [
        [undefined, undefined, false],
        ['proxies', ['127.0.0.1'], true],
        ['proxies', ['10.0.0.0/8'], false],
        ['never', ['127.0.0.1'], false],
        ['always', undefined, true],
    ])
        test(`trust ${trust ?? '(default)'} with proxies ${proxies}: ${trusted}`, async () => {
            const policy = proxies ? { trusted_proxies: proxies } : {};
            await withTracing({ trust, sample: 0 }, async (scene, collector) => {
                const headers = { traceparent: parentOf('01'), tracestate: 'a=1' };
                const answer = await scene.trace(headers);
                const [, trace, , flags] = answer.upstream.get('traceparent').match(TRACEPARENT);
                assert.equal(trace === TRACE, trusted);
                assert.equal(flags, trusted ? '01' : '02', 'nobody else makes us record');
                assert.equal(answer.upstream.get('tracestate'), trusted ? 'a=1' : null);
                if (trusted) return;
                await scene.reloaded({ trust, sample: 1 });
                const recorded = await scene.trace(headers);
                const { server } = await scene.spans(recorded.id);
                assert.equal(server.parent, null);
                assert.deepEqual(server.links, [{ traceId: TRACE, spanId: SPAN }]);
                assert.equal(collector.of(answer.id).server, undefined);
            }, { policy });
        });

    test('it works without a collector', async () => {
        await withTracing({ endpoint: null }, async (scene, collector) => {
            const answer = await scene.trace();
            const [, trace] = answer.upstream.get('traceparent').match(TRACEPARENT);
            const line = await scene.gate.logged((l) => l.request_id === answer.id, 'logged');
            assert.equal(line.trace_id, trace);
            assert.equal(collector.requests.length, 0);
            assert.ok(!(await scene.gate.metrics()).includes('portcullis_spans'));
        });
    });
});

describe('spans', () => {
    test('say what happened, and whose service it was', async () => {
        await withTracing({ service_name: 'gate-7' }, async (scene) => {
            const answer = await scene.trace({}, { body: toolCall('echo') });
            const { server, client } = await scene.spans(answer.id);
            assert.equal(server.resource['service.name'], 'gate-7');
            assert.match(server.resource['service.instance.id'], /^[0-9a-f]{32}$/);
            assert.ok(server.resource['service.version']);
            assert.equal(server.name, 'POST /mcp');
            assert.equal(server.kind, 2);
            assert.deepEqual(server.attributes, {
                'http.request.method': 'POST',
                'url.scheme': 'http',
                'url.path': '/mcp',
                'http.route': '/mcp',
                'http.response.status_code': 200,
                'server.address': '127.0.0.1',
                'client.address': '127.0.0.1',
                'mcp.method.name': 'tools/call',
                'gen_ai.tool.name': 'echo',
                'portcullis.reason': 'ok',
                'portcullis.stage': 'forward',
                'portcullis.request_id': answer.id,
            });
            assert.equal(server.failed, false);
            assert.equal(client.name, 'POST');
            assert.equal(client.kind, 3);
            assert.deepEqual(client.attributes, {
                'http.request.method': 'POST',
                'server.address': '127.0.0.1',
                'server.port': scene.server.port,
                'url.scheme': 'http',
                'http.response.status_code': 200,
                'portcullis.connection.reused': false,
                'portcullis.response.bytes': answer.content.length,
            });
            assert.deepEqual(client.events, ['connected', 'first byte']);
            assert.ok(client.ms <= server.ms);
            const again = await scene.trace({}, { body: toolCall('echo') });
            const { client: second } = await scene.spans(again.id);
            assert.equal(second.attributes['portcullis.connection.reused'], true);
        });
    });

    test('of refusals have no call, of failures are errors', async () => {
        await withTracing({}, async (scene) => {
            const denied = await scene.post(null);
            const id = denied.headers.get('x-request-id');
            const refused = await scene.spans(id, 1);
            assert.equal(refused.client, undefined);
            assert.equal(refused.server.attributes['http.response.status_code'], 401);
            assert.equal(refused.server.attributes['portcullis.reason'], 'no_token');
            assert.equal(refused.server.failed, false, 'a refusal is no fault of the server');

            scene.server.respond = (request, link) => link.reset();
            const broken = await scene.trace();
            const { server, client } = await scene.spans(broken.id);
            assert.equal(server.attributes['http.response.status_code'], 502);
            assert.equal(server.attributes['error.type'], '502');
            assert.equal(server.failed, true);
            assert.equal(client.attributes['error.type'], 'upstream_closed');
            assert.equal(client.failed, true);
            assert.deepEqual(client.events, ['connected']);

            scene.server.respond = (request, link) =>
                link.send('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n');
            const missing = await scene.trace();
            const found = await scene.spans(missing.id);
            assert.equal(found.client.attributes['error.type'], '404');
            assert.equal(found.server.failed, false);
        });
    });

    test('without a route, of odd methods and of batches', async () => {
        await withTracing({}, async (scene) => {
            const odd = await fetch(scene.gate.url('/nowhere?secret=1'), { method: 'PURGE' });
            const { server } = await scene.spans(odd.headers.get('x-request-id'), 1);
            assert.equal(server.name, 'HTTP');
            assert.equal(server.attributes['http.request.method'], '_OTHER');
            assert.equal(server.attributes['url.path'], '/nowhere');
            assert.equal(server.attributes['http.route'], undefined);
        });
    });

    test('name the caller only when the policy says so', async () => {
        await withTracing({ identity: true }, async (scene) => {
            const token = scene.tenant.mint({ sub: 'auth0|somebody' });
            const answer = await scene.post(token);
            const { server } = await scene.spans(answer.headers.get('x-request-id'));
            assert.equal(server.attributes['enduser.id'], 'auth0|somebody');
            assert.ok(server.attributes['portcullis.client_id']);
        });
    });

    test('hold nothing secret: no token, query, argument, cookie, session or header', async () => {
        const canary = 'canary-9f3a';
        const headers = { 'X-Api-Key': `key-${canary}` };
        await withTracing({ headers }, async (scene, collector) => {
            const token = scene.tenant.mint({ sub: canary, email: canary });
            const body = JSON.stringify({
                jsonrpc: '2.0',
                id: canary,
                method: 'tools/call',
                params: { name: 'echo', arguments: { text: canary }, _meta: { key: canary } },
            });
            scene.server.respond = (request, link) =>
                link.send(okJson(`{"jsonrpc":"2.0","id":1,"result":{"text":"${canary}"}}`));
            const ids = [];
            for (const [target, more] of [
                [`/mcp?q=${canary}`, {}],
                ['/mcp', { Cookie: canary, 'Mcp-Session-Id': canary, 'X-Other': canary }],
                ['/mcp', { Authorization: `Bearer ${canary}` }],
                ['/mcp', { 'User-Agent': canary, baggage: `k=${canary}` }],
            ]) {
                const answer = await fetch(scene.gate.url(target), {
                    method: 'POST',
                    headers: {
                        'Content-Type': 'application/json',
                        Authorization: `Bearer ${token}`,
                        ...more,
                    },
                    body,
                });
                await answer.text();
                ids.push(answer.headers.get('x-request-id'));
            }
            for (const id of ids) await scene.spans(id, 1);
            assert.ok(collector.requests.every((r) => r.headers['x-api-key'] === `key-${canary}`));
            const sent = collector.received.replaceAll(`key-${canary}`, '');
            assert.ok(!sent.includes(canary));
            for (const part of token.split('.')) assert.ok(!sent.includes(part));
            const printed = scene.gate.stderr.replaceAll(`"subject":"${canary}"`, '');
            assert.ok(!printed.includes(canary), 'nor does the log');
        });
    });

    test('of a stream that its client closes are no failures', async () => {
        await withTracing({}, async (scene) => {
            scene.server.respond = (request, link) =>
                link.send(
                    'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n' +
                        'Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n',
                );
            const leaves = new AbortController();
            const answer = await fetch(scene.gate.url('/mcp'), {
                headers: {
                    Authorization: `Bearer ${scene.tenant.mint()}`,
                    Accept: 'text/event-stream',
                },
                signal: leaves.signal,
            });
            assert.equal(answer.status, 200);
            await answer.body.getReader().read();
            leaves.abort();
            const id = answer.headers.get('x-request-id');
            const { server, client } = await scene.spans(id);
            assert.equal(server.attributes['portcullis.reason'], 'client_gone');
            assert.equal(server.failed, false);
            assert.equal(client.attributes['error.type'], undefined);
            assert.equal(client.failed, false);
        });
    });

    test('a share of the traces begun here', async () => {
        await withTracing({ sample: 0.25 }, async (scene, collector) => {
            const total = rounds(400);
            const token = scene.tenant.mint();
            for (let i = 0; i < total; i++) await scene.post(token);
            const flagged = scene.server.requests
                .map((request) => request.get('traceparent').match(TRACEPARENT))
                .filter(([, , , flags]) => flags === '03')
                .map(([, trace]) => trace);
            const wanted = total / 4;
            // six standard deviations
            assert.ok(Math.abs(flagged.length - wanted) < 6 * Math.sqrt(wanted), `${flagged.length}`);
            await eventually(() => collector.spans.length === 2 * flagged.length, 'all are recorded');
            assert.deepEqual(new Set(collector.spans.map((s) => s.traceId)), new Set(flagged));
        });
    });

    test('of a stream come at its end', async () => {
        await withTracing({}, async (scene, collector) => {
            scene.server.respond = (request, link) => {
                link.send(
                    'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n' +
                        'Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n',
                );
                setTimeout(() => link.send('9\r\ndata: 2\n\n\r\n0\r\n\r\n'), 300);
            };
            const answer = await scene.trace();
            const { server, client } = await scene.spans(answer.id);
            assert.ok(server.ms >= 290 && client.ms >= 290, `${server.ms} ${client.ms}`);
            assert.equal(collector.of(answer.id).server.attributes['portcullis.reason'], 'ok');
        });
    });
});

describe('a collector that', () => {
    const exported = (scene) => scene.metric('portcullis_spans_exported_total');
    const failed = (scene) => scene.metric('portcullis_spans_failed_total');
    const dropped = (scene) => scene.metric('portcullis_spans_dropped_total');
    const waiting = (scene) => scene.metric('portcullis_spans_waiting');

    async function callsGoOn(scene, count = 50) {
        const token = scene.tenant.mint();
        const start = performance.now();
        for (let i = 0; i < count; i++) assert.equal((await scene.post(token)).status, 200);
        return performance.now() - start;
    }

    test('takes everything gets everything, once', async () => {
        await withTracing({}, async (scene, collector) => {
            await callsGoOn(scene, rounds(500));
            const total = 2 * rounds(500);
            await eventually(async () => (await exported(scene)) === total, 'exported');
            assert.equal(collector.spans.length, total);
            assert.equal(new Set(collector.spans.map((span) => span.spanId)).size, total);
            assert.equal(await waiting(scene), 0);
            assert.equal(await dropped(scene), 0);
            assert.ok(collector.connections < collector.requests.length || total < 300);
        });
    });

    test('is away is told of once; what waited comes when it is back', async () => {
        await withTracing({ timeout: '500ms' }, async (scene, collector) => {
            collector.answer = (response) => {
                response.socket.destroy();
                return true;
            };
            await callsGoOn(scene);
            const events = (event) => scene.gate.log.filter((line) => line.event === event);
            await eventually(() => events('trace_export_failing').length === 1, 'told');
            assert.equal(await waiting(scene), 100);
            collector.answer = null;
            await eventually(async () => (await exported(scene)) === 100, 'all came');
            assert.equal(events('trace_export_failing').length, 1);
            await eventually(() => events('trace_export_works_again').length === 1, 'told, too');
            assert.equal(await failed(scene), 0);
        });
    });

    for (const status of [429, 502, 503, 504])
        test(`says ${status} and when to come again is obeyed`, async () => {
            await withTracing({}, async (scene, collector) => {
                let refusals = 0;
                collector.answer = (response) => {
                    if (refusals++ > 0) return false;
                    response.writeHead(status, { 'Retry-After': '2' });
                    response.end();
                    return true;
                };
                await callsGoOn(scene, 5);
                await eventually(async () => (await exported(scene)) === 10, 'exported');
                const [first, second] = collector.requests;
                assert.ok(second.at_ms - first.at_ms >= 1990, 'not before');
                assert.equal(second.bytes.toString(), first.bytes.toString());
            });
        });

    for (const status of [400, 401, 404, 413, 500, 301])
        test(`says ${status} is not asked again`, async () => {
            await withTracing({}, async (scene, collector) => {
                collector.answer = (response) => {
                    response.writeHead(status, { Location: collector.url });
                    response.end();
                    return true;
                };
                await callsGoOn(scene, 5);
                await eventually(async () => (await failed(scene)) === 10, 'given up');
                await sleep(100);
                const bodies = collector.requests.map(({ bytes }) => bytes.toString());
                assert.equal(new Set(bodies).size, bodies.length, 'no batch came twice');
                assert.equal(await waiting(scene), 0);
            });
        });

    test('answers garbage, or much of it, has taken the spans', async () => {
        await withTracing({}, async (scene, collector) => {
            for (const [n, body] of ['not json', '\xff\xfe', 'x'.repeat(1_000_000)].entries()) {
                collector.answer = (response) => {
                    response.writeHead(200);
                    response.end(body);
                    return true;
                };
                await callsGoOn(scene, 5);
                await eventually(async () => (await exported(scene)) === 10 * (n + 1), body.slice(0, 9));
            }
        });
    });

    test('refuses some says so, and they count as failed', async () => {
        await withTracing({}, async (scene, collector) => {
            // once: two workers may make two batches
            let rejected = 2;
            collector.answer = (response) => {
                const text = `{"partialSuccess":{"rejectedSpans":"${rejected}","errorMessage":"no"}}`;
                rejected = 0;
                response.writeHead(200);
                response.end(text);
                return true;
            };
            await callsGoOn(scene, 5);
            await eventually(async () => (await exported(scene)) === 8, 'counted');
            assert.equal(await failed(scene), 2);
        });
    });

    test('hangs holds nobody up; past the queue spans are dropped, and counted', async () => {
        await withTracing({ queue: 256, timeout: '60s' }, async (scene, collector) => {
            collector.answer = () => true; // never
            const calls = 128 + rounds(100);
            await callsGoOn(scene, calls);
            await eventually(async () => (await dropped(scene)) === 2 * calls - 256, 'dropped');
            assert.equal(await waiting(scene), 256);
            assert.equal(await exported(scene), 0);
        });
    });

    test('is slow gets the last spans at the stop', async () => {
        await withTracing({}, async (scene, collector) => {
            collector.answer = (response, request, spans) => {
                setTimeout(() => {
                    collector.spans.push(...spans);
                    response.writeHead(200);
                    response.end();
                }, 300);
                return true;
            };
            await callsGoOn(scene, 20);
            await scene.gate.stop(); // while they wait for others
            assert.equal(collector.spans.length, 40);
        });
    });

    test('hangs does not hold up the stop for longer than the drain', async () => {
        const limits = { drain_timeout: '1s' };
        await withTracing({ timeout: '60s' }, async (scene, collector) => {
            collector.answer = () => true;
            await callsGoOn(scene, 5);
            const start = performance.now();
            await scene.gate.stop();
            assert.ok(performance.now() - start < 3500, `${performance.now() - start} ms`);
        }, { policy: { limits } });
    });

    test('is switched on and off by a reload', async () => {
        await withTracing(null, async (scene, collector) => {
            const before = await scene.trace();
            assert.equal(before.upstream.get('traceparent'), null);
            await scene.reloaded({});
            const on = await scene.trace();
            await scene.spans(on.id);
            await scene.reloaded(null);
            const off = await scene.trace({ traceparent: parentOf('01') });
            assert.equal(off.upstream.get('traceparent'), parentOf('01'));
            const other = await Collector.open();
            await scene.reloaded({ endpoint: other.url });
            const moved = await scene.trace();
            await eventually(() => other.of(moved.id).client, 'the other one has it');
            assert.equal(collector.of(off.id).server, undefined);
            assert.equal(collector.of(moved.id).server, undefined);
            await other.close();
            // the sandbox of a process that began without a collector has no port for one
        }, { policy: { insecure: { no_sandbox: true } } });
    });
});

test('audit records name the trace', async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-trace-'));
    const audit = { file: path.join(folder, 'audit.log') };
    await withTracing({}, async (scene) => {
        await scene.trace({ traceparent: parentOf('01') }, { body: call('tools/list') });
        const text = () => fs.readFileSync(audit.file, 'utf8');
        await eventually(() => text().endsWith('\n'), 'written');
        assert.equal(JSON.parse(text()).trace_id, TRACE);
    }, { policy: { audit } });
    fs.rmSync(folder, { recursive: true });
});
