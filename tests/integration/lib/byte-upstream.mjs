// SPDX-License-Identifier: Apache-2.0
// An upstream that is nothing but a socket: it records what it gets byte for byte, and answers with
// whatever bytes the test gives it, valid HTTP or not.
import net from 'node:net';
import tls from 'node:tls';

const END_OF_HEAD = Buffer.from('\r\n\r\n');

// One accepted connection.
class Link {
    constructor(socket, raw) {
        this.socket = socket;
        this.raw = raw; // below TLS; else the same
        this.received = Buffer.alloc(0); // not yet part of a request
        this.requests = 0;
        this.closed = new Promise((resolve) => {
            const over = () => resolve(performance.now());
            socket.once('end', over);
            socket.once('close', over);
        });
    }

    // Resolves when the bytes left this process; never rejects, a closed peer shows in `closed`.
    send(bytes) {
        return new Promise((resolve) => this.socket.write(bytes, () => resolve()));
    }

    end(bytes) {
        this.socket.end(bytes);
    }

    reset() {
        this.raw.resetAndDestroy();
    }
}

function parseHead(text) {
    const [line, ...lines] = text.split('\r\n');
    const [method, target, version] = line.split(' ');
    const fields = lines.map((field) => {
        const colon = field.indexOf(':');
        return [field.slice(0, colon), field.slice(colon + 1).trim()];
    });
    const all = (name) =>
        fields.filter(([n]) => n.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
    const get = (name) => all(name)[0] ?? null;
    return { method, target, version, lines, fields, all, get, head: text };
}

// Takes one chunked body off BYTES: { body, used }, or null while it is not complete.
function takeChunked(bytes) {
    const parts = [];
    let at = 0;
    for (;;) {
        const end = bytes.indexOf('\r\n', at);
        if (end < 0) return null;
        const size = parseInt(bytes.subarray(at, end).toString('latin1'), 16);
        const next = end + 2 + size + 2;
        if (bytes.length < next) return null;
        if (size === 0) return { body: Buffer.concat(parts), used: next };
        parts.push(bytes.subarray(end + 2, end + 2 + size));
        at = next;
    }
}

// Takes one complete request off BYTES: { request, used }, or null.
function takeRequest(bytes) {
    const end = bytes.indexOf(END_OF_HEAD);
    if (end < 0) return null;
    const request = parseHead(bytes.subarray(0, end).toString('latin1'));
    const start = end + END_OF_HEAD.length;
    let taken;
    if (request.get('transfer-encoding') !== null) {
        taken = takeChunked(bytes.subarray(start));
        if (taken === null) return null;
    } else {
        const length = Number(request.get('content-length') ?? 0);
        if (bytes.length < start + length) return null;
        taken = { body: Buffer.from(bytes.subarray(start, start + length)), used: length };
    }
    request.body = taken.body;
    return { request, used: start + taken.used };
}

export const okJson = (text, headers = []) =>
    Buffer.from(
        [
            'HTTP/1.1 200 OK',
            'Content-Type: application/json',
            `Content-Length: ${Buffer.byteLength(text)}`,
            ...headers,
            '',
            text,
        ].join('\r\n'),
    );

// What a well-behaved MCP server might say: the id of the request comes back.
function answerPolitely(request, link) {
    let id = null;
    try {
        id = JSON.parse(request.body.toString()).id ?? null;
    } catch {
        // no body, or none that is JSON: the answer needs no id
    }
    return link.send(okJson(JSON.stringify({ jsonrpc: '2.0', id, result: {} })));
}

export class ByteUpstream {
    // TLS: the options of tls.createServer(), or null for plain TCP.
    static async open({ tls: tlsOptions = null } = {}) {
        const upstream = new ByteUpstream(tlsOptions);
        await new Promise((resolve) => upstream.server.listen(0, '127.0.0.1', resolve));
        upstream.port = upstream.server.address().port;
        return upstream;
    }

    constructor(tlsOptions) {
        this.requests = []; // every complete request, in order
        this.links = []; // every connection ever accepted
        this.bytes = 0; // received on all connections
        this.respond = answerPolitely; // (request, link) => anything; tests put their own here
        this.server = net.createServer((raw) => {
            const socket = tlsOptions
                ? new tls.TLSSocket(raw, { isServer: true, ...tlsOptions })
                : raw;
            raw.on('error', () => {}); // shows as `closed`
            this.#accept(socket, raw);
        });
    }

    #accept(socket, raw) {
        const link = new Link(socket, raw);
        this.links.push(link);
        socket.setNoDelay(true);
        socket.on('error', () => {}); // shows as `closed`
        socket.on('data', (bytes) => {
            this.bytes += bytes.length;
            link.received = Buffer.concat([link.received, bytes]);
            let taken = takeRequest(link.received);
            for (; taken !== null; taken = takeRequest(link.received)) {
                link.received = link.received.subarray(taken.used);
                link.requests++;
                taken.request.link = link;
                this.requests.push(taken.request);
                this.respond(taken.request, link);
            }
        });
    }

    get last() {
        return this.requests.at(-1);
    }

    // Every byte that is still buffered or was part of a request, as text: for canaries.
    get everything() {
        const heads = this.requests.map((r) => `${r.head}\n${r.body.toString('latin1')}`);
        return heads.concat(this.links.map((l) => l.received.toString('latin1'))).join('\n');
    }

    openLinks() {
        return this.links.filter((link) => !link.socket.destroyed).length;
    }

    forget() {
        this.requests = [];
        this.respond = answerPolitely;
    }

    async close() {
        for (const link of this.links) link.socket.destroy();
        await new Promise((resolve) => this.server.close(resolve));
    }
}
