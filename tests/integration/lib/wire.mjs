// SPDX-License-Identifier: Apache-2.0
// A client that speaks bytes: what is sent is exactly what the test says, what comes back is read
// by a strict parser that can tell a complete answer from a broken one. fetch() and node:http can
// do neither: they tidy requests up and take some broken answers for complete.
import net from 'node:net';
import tls from 'node:tls';

const CRLF = '\r\n';

export class BrokenAnswer extends Error {}

// The head of an answer; names are looked up without case.
class Head {
    constructor(text) {
        const [line, ...rest] = text.split(CRLF);
        const match = /^HTTP\/1\.([01]) ([1-5]\d\d) ([\t\x20-\x7e]*)$/.exec(line);
        if (!match) throw new BrokenAnswer(`no status line: ${JSON.stringify(line)}`);
        this.version = `1.${match[1]}`;
        this.status = Number(match[2]);
        this.fields = rest.map((field) => {
            const parts = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*$/.exec(field);
            if (!parts || /[\0\r\n]/.test(parts[2]))
                throw new BrokenAnswer(`no field: ${JSON.stringify(field)}`);
            return [parts[1], parts[2]];
        });
    }

    all(name) {
        const wanted = name.toLowerCase();
        return this.fields.filter(([n]) => n.toLowerCase() === wanted).map(([, value]) => value);
    }

    // The one value of NAME, or null; two of them are an error nobody should have to think of.
    get(name) {
        const values = this.all(name);
        if (values.length > 1) throw new BrokenAnswer(`${name} twice: ${values.join(' | ')}`);
        return values[0] ?? null;
    }
}

// One TCP (or unix socket) connection. Answers are read in order, one head and one body at a time.
export class Wire {
    #socket;
    #raw; // below TLS; else the same
    #chunks = [];
    #size = 0;
    #wake = null;
    #body = null;

    // TO: a port on 127.0.0.1, or the path of a unix socket. SECURE: options of tls.connect().
    static async open(to, { host = '127.0.0.1', secure } = {}) {
        const raw = typeof to === 'number' ? net.connect(to, host) : net.connect(to);
        const socket = secure ? tls.connect({ host, ...secure, socket: raw }) : raw;
        await new Promise((resolve, reject) => {
            socket.once(secure ? 'secureConnect' : 'connect', resolve);
            socket.once('error', reject);
            raw.once('error', reject);
        });
        return new Wire(socket, raw);
    }

    constructor(socket, raw = socket) {
        this.#socket = socket;
        this.#raw = raw;
        this.tls = raw === socket ? null : socket; // to ask it for certificate, protocol, session
        this.ended = false; // the other side has closed, in whatever way
        this.error = null; // its code when it was a reset
        this.excess = 0; // bytes that came when no answer was due: see drainToEnd()
        socket.setNoDelay(true);
        socket.on('data', (bytes) => {
            this.#chunks.push(bytes);
            this.#size += bytes.length;
            this.#signal();
        });
        socket.on('error', (error) => {
            this.error = error.code;
        });
        const over = () => {
            this.ended = true;
            this.#signal();
        };
        socket.on('end', over);
        socket.on('close', over);
    }

    #signal() {
        this.#wake?.();
        this.#wake = null;
    }

    async #more(timeoutMs, what) {
        if (this.ended) return false;
        let timer;
        const timeout = new Promise((_, reject) => {
            timer = setTimeout(() => reject(new Error(`timeout: ${what}`)), timeoutMs);
        });
        try {
            await Promise.race([new Promise((resolve) => (this.#wake = resolve)), timeout]);
        } finally {
            clearTimeout(timer);
        }
        return true;
    }

    #bytes() {
        if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
        return this.#chunks[0] ?? Buffer.alloc(0);
    }

    #take(n) {
        const bytes = this.#bytes();
        this.#chunks = n < bytes.length ? [bytes.subarray(n)] : [];
        this.#size -= n;
        return bytes.subarray(0, n);
    }

    // Everything up to and without MARK.
    async #until(mark, timeoutMs, what) {
        for (;;) {
            const at = this.#bytes().indexOf(mark);
            if (at >= 0) return this.#take(at + mark.length).subarray(0, at);
            if (!(await this.#more(timeoutMs, what)))
                throw new BrokenAnswer(`the connection ended in ${what} (${this.error ?? 'end'})`);
        }
    }

    get port() {
        return this.#socket.localPort;
    }

    get unread() {
        return this.#size;
    }

    send(bytes) {
        return new Promise((resolve) => this.#socket.write(bytes, () => resolve()));
    }

    pause() {
        this.#socket.pause();
    }

    resume() {
        this.#socket.resume();
    }

    // Says that no more will be sent, and goes on reading.
    halfClose() {
        this.#socket.end();
    }

    close() {
        this.#socket.destroy();
    }

    reset() {
        this.#raw.resetAndDestroy();
    }

    // The next head. METHOD is that of the request: HEAD's answers have no body.
    async head({ method = 'POST', timeoutMs = 20_000, interim = false } = {}) {
        for (;;) {
            const text = await this.#until(CRLF + CRLF, timeoutMs, 'the head');
            const head = new Head(text.toString('latin1'));
            if (head.status < 200 && !interim) continue;
            this.#body = framing(head, method);
            return head;
        }
    }

    // The next bytes of the body as they come (one chunk's worth at most); null at its proper end.
    // Throws BrokenAnswer when it ends in another way.
    async part({ timeoutMs = 20_000 } = {}) {
        const body = this.#body;
        if (body.kind === 'none' || body.done) return null;
        if (body.kind === 'chunked' && body.left === 0) {
            const line = (await this.#until(CRLF, timeoutMs, 'a chunk size')).toString('latin1');
            if (!/^[0-9a-f]{1,8}$/i.test(line)) throw new BrokenAnswer(`chunk size ${line}`);
            body.left = parseInt(line, 16);
            if (body.left === 0) {
                if ((await this.#until(CRLF, timeoutMs, 'the last chunk')).length > 0)
                    throw new BrokenAnswer('a trailer');
                body.done = true;
                return null;
            }
        }
        while (this.#size === 0) {
            if (await this.#more(timeoutMs, 'the body')) continue;
            if (body.kind === 'close' && this.error === null) return null;
            throw new BrokenAnswer(`the connection ended in the body (${this.error ?? 'end'})`);
        }
        const bytes = this.#take(Math.min(body.left, this.#size));
        body.left -= bytes.length;
        if (body.left === 0 && body.kind === 'length') body.done = true;
        if (body.left === 0 && body.kind === 'chunked')
            if ((await this.#until(CRLF, timeoutMs, 'the end of a chunk')).length > 0)
                throw new BrokenAnswer('a chunk longer than its size');
        return bytes;
    }

    async body(options) {
        const parts = [];
        for (let part = await this.part(options); part !== null; part = await this.part(options))
            parts.push(part);
        return Buffer.concat(parts);
    }

    // Head and body in one; { status, fields, get, all, bytes, text, json }.
    async answer(options = {}) {
        const head = await this.head(options);
        head.bytes = await this.body(options);
        head.text = head.bytes.toString('utf8');
        Object.defineProperty(head, 'json', { get: () => JSON.parse(head.text) });
        return head;
    }

    // Reads until the other side closes; what comes until then is counted in EXCESS.
    async drainToEnd({ timeoutMs = 20_000 } = {}) {
        do {
            this.excess += this.#take(this.#size).length;
        } while (await this.#more(timeoutMs, 'waiting for the close'));
        this.excess += this.#take(this.#size).length;
        return this.error;
    }
}

function framing(head, method) {
    const encoding = head.get('transfer-encoding');
    const length = head.get('content-length');
    if (encoding !== null && length !== null) throw new BrokenAnswer('two framings');
    const bodiless = head.status < 200 || head.status === 204 || head.status === 304;
    if (method === 'HEAD' || bodiless) return { kind: 'none' };
    if (encoding !== null) {
        if (encoding !== 'chunked') throw new BrokenAnswer(`Transfer-Encoding: ${encoding}`);
        return { kind: 'chunked', left: 0, done: false };
    }
    if (length === null) return { kind: 'close', left: Infinity };
    if (!/^\d{1,15}$/.test(length)) throw new BrokenAnswer(`Content-Length: ${length}`);
    return { kind: 'length', left: Number(length), done: length === '0' };
}

// The bytes of one request. HEADERS are lines as they are to be sent; Host comes by itself unless
// it is null, Content-Length unless the body is null or the lines name a framing.
export function requestBytes({
    method = 'POST',
    target = '/mcp',
    host = 'mcp.example.com',
    headers = [],
    body = null,
} = {}) {
    const lines = [`${method} ${target} HTTP/1.1`];
    if (host !== null) lines.push(`Host: ${host}`);
    lines.push(...headers);
    const framed = headers.some((line) => /^(content-length|transfer-encoding):/i.test(line));
    const bytes = body === null ? Buffer.alloc(0) : Buffer.from(body);
    if (body !== null && !framed) lines.push(`Content-Length: ${bytes.length}`);
    return Buffer.concat([Buffer.from(lines.join(CRLF) + CRLF + CRLF, 'latin1'), bytes]);
}

// The chunked form of BODY, cut into pieces of SIZE bytes.
export function chunked(body, size = 1000) {
    const bytes = Buffer.from(body);
    const parts = [];
    for (let at = 0; at < bytes.length; at += size) {
        const piece = bytes.subarray(at, at + size);
        parts.push(Buffer.from(piece.length.toString(16) + CRLF), piece, Buffer.from(CRLF));
    }
    parts.push(Buffer.from('0\r\n\r\n'));
    return Buffer.concat(parts);
}
