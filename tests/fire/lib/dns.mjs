// SPDX-License-Identifier: Apache-2.0
// A resolver that answers every question for an address alike, or not at all.
import dgram from 'node:dgram';
import { once } from 'node:events';

import { sleep } from '../../integration/lib/observe.mjs';

const TYPE_A = 1;
const RCODE = { ok: 0, servfail: 2, nxdomain: 3 };

/** Where the question, which is the only one, ends in QUERY. */
function questionEnd(query) {
    let at = 12;
    while (query[at] !== 0) at += query[at] + 1;
    return at + 5;
}

function answerTo(query, rcode, address) {
    const end = questionEnd(query);
    const type = query.readUInt16BE(end - 4);
    const hasAnswer = rcode === RCODE.ok && type === TYPE_A;
    const head = Buffer.from(query.subarray(0, end));
    head.writeUInt16BE(0x8180 | rcode, 2);
    head.writeUInt16BE(hasAnswer ? 1 : 0, 6);
    head.fill(0, 8, 12);
    if (!hasAnswer) return head;
    const record = Buffer.from([
        0xc0,
        12,
        0,
        TYPE_A,
        0,
        1,
        0,
        0,
        0,
        0,
        0,
        4,
        ...address.split('.').map(Number),
    ]);
    return Buffer.concat([head, record]);
}

export class Resolver {
    /** On PORT of 127.0.0.1; `mode` is what it does, and may be changed at any time. */
    static async open(port = 53) {
        const resolver = new Resolver();
        resolver.socket.bind(port, '127.0.0.1');
        await once(resolver.socket, 'listening');
        return resolver;
    }

    constructor() {
        this.mode = { rcode: 'ok', address: '127.0.0.1', delayMs: 0 }; // null: silence
        this.questions = 0;
        this.socket = dgram.createSocket('udp4');
        this.socket.on('message', async (query, peer) => {
            this.questions++;
            if (this.mode === null) return;
            const { rcode = 'ok', address = '127.0.0.1', delayMs = 0 } = this.mode;
            if (delayMs > 0) await sleep(delayMs);
            this.socket.send(answerTo(query, RCODE[rcode], address), peer.port, peer.address);
        });
    }

    close() {
        this.socket.close();
    }
}
