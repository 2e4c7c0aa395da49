// SPDX-License-Identifier: Apache-2.0
// An OpenTelemetry collector that believes nothing: every request must be OTLP/HTTP JSON to the letter,
// and every span valid. Tests say how it answers.
import assert from 'node:assert/strict';
import http from 'node:http';

const ATTRIBUTE_TYPES = { stringValue: 'string', intValue: 'string', boolValue: 'boolean' };

function readAttributes(list) {
    const attributes = {};
    for (const { key, value, ...more } of list) {
        assert.deepEqual(more, {});
        assert.ok(!(key in attributes), `${key} twice`);
        const [[type, content], ...others] = Object.entries(value);
        assert.deepEqual(others, []);
        assert.equal(typeof content, ATTRIBUTE_TYPES[type], `${key}: ${type}`);
        if (type === 'intValue') assert.match(content, /^-?\d+$/);
        attributes[key] = type === 'intValue' ? Number(content) : content;
    }
    return attributes;
}

const assertId = (id, length) => {
    assert.match(id, new RegExp(`^[0-9a-f]{${length}}$`));
    assert.doesNotMatch(id, /^0+$/);
};

function readTime(text) {
    assert.match(text, /^\d{19}$/);
    return BigInt(text);
}

const MEMBERS = new Set(
    'traceId spanId parentSpanId flags name kind startTimeUnixNano endTimeUnixNano attributes events links status'.split(' '),
);

function readSpan(span, resource) {
    for (const member of Object.keys(span)) assert.ok(MEMBERS.has(member), member);
    assertId(span.traceId, 32);
    assertId(span.spanId, 16);
    if ('parentSpanId' in span) assertId(span.parentSpanId, 16);
    assert.ok(span.name.length > 0);
    assert.ok([2, 3].includes(span.kind));
    assert.ok(Number.isInteger(span.flags) && span.flags >= 0 && span.flags < 256);
    const start = readTime(span.startTimeUnixNano);
    const end = readTime(span.endTimeUnixNano);
    assert.ok(end >= start, 'it ends after it began');
    assert.ok(Math.abs(Number(start / 1000000n) - Date.now()) < 300_000, 'times are those of now');
    const events = (span.events ?? []).map(({ timeUnixNano, name, ...more }) => {
        assert.deepEqual(more, {});
        const at = readTime(timeUnixNano);
        assert.ok(at >= start && at <= end, `${name} lies in the span`);
        return name;
    });
    for (const { traceId, spanId, ...more } of span.links ?? []) {
        assert.deepEqual(more, {});
        assertId(traceId, 32);
        assertId(spanId, 16);
    }
    if ('status' in span) assert.deepEqual(span.status, { code: 2 });
    return {
        traceId: span.traceId,
        spanId: span.spanId,
        parent: span.parentSpanId ?? null,
        flags: span.flags,
        name: span.name,
        kind: span.kind,
        ms: Number(end - start) / 1e6,
        attributes: readAttributes(span.attributes),
        events,
        links: span.links ?? [],
        failed: 'status' in span,
        resource,
    };
}

export class Collector {
    static async open() {
        const collector = new Collector();
        await new Promise((resolve) => collector.server.listen(0, '127.0.0.1', resolve));
        collector.port = collector.server.address().port;
        collector.url = `http://127.0.0.1:${collector.port}/v1/traces`;
        return collector;
    }

    constructor() {
        this.spans = []; // of requests that were answered with 200
        this.requests = []; // { at_ms, headers, bytes } of every one
        this.faults = []; // what was not as it should be
        this.answer = null; // (response, request) => true when it has answered
        this.connections = 0;
        this.server = http.createServer((request, response) => this.#take(request, response));
        this.server.on('connection', () => this.connections++);
    }

    async #take(request, response) {
        const parts = [];
        for await (const part of request) parts.push(part);
        const bytes = Buffer.concat(parts);
        this.requests.push({ at_ms: performance.now(), headers: request.headers, bytes });
        let spans = [];
        try {
            assert.equal(request.method, 'POST');
            assert.equal(request.url, '/v1/traces');
            assert.equal(request.headers['content-type'], 'application/json');
            spans = Collector.read(bytes);
        } catch (error) {
            this.faults.push(error);
        }
        if (this.answer?.(response, request, spans)) return;
        this.spans.push(...spans);
        response.writeHead(200, { 'Content-Type': 'application/json' });
        response.end('{"partialSuccess":{}}');
    }

    static read(bytes) {
        const { resourceSpans, ...more } = JSON.parse(bytes.toString());
        assert.deepEqual(more, {});
        assert.equal(resourceSpans.length, 1);
        const [{ resource, scopeSpans, ...others }] = resourceSpans;
        assert.deepEqual(others, {});
        const about = readAttributes(resource.attributes);
        assert.equal(scopeSpans.length, 1);
        assert.equal(scopeSpans[0].scope.name, 'portcullis');
        assert.ok(scopeSpans[0].spans.length > 0);
        return scopeSpans[0].spans.map((span) => readSpan(span, about));
    }

    /** All bytes that it was ever sent, heads included. */
    get received() {
        return this.requests
            .map(({ headers, bytes }) => JSON.stringify(headers) + bytes.toString('latin1'))
            .join('\n');
    }

    /** The spans of the request with this X-Request-Id: { server, client }. */
    of(requestId) {
        const server = this.spans.find((s) => s.attributes['portcullis.request_id'] === requestId);
        const client = server && this.spans.find((s) => s.parent === server.spanId);
        return { server, client };
    }

    forget() {
        this.spans = [];
        this.requests = [];
        this.answer = null;
    }

    async close() {
        this.server.closeAllConnections();
        await new Promise((resolve) => this.server.close(resolve));
        assert.deepEqual(this.faults, []);
    }
}
