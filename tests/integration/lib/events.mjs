// SPDX-License-Identifier: Apache-2.0
// Event streams: written as an upstream would, and read by the parser that the SDKs use.
import { createParser } from 'eventsource-parser';

/** The head of an event stream in chunks. */
export const STREAM_HEAD = Buffer.from(
    [
        'HTTP/1.1 200 OK',
        'Content-Type: text/event-stream',
        'Cache-Control: no-cache',
        'Transfer-Encoding: chunked',
        '',
        '',
    ].join('\r\n'),
);

export const LAST_CHUNK = Buffer.from('0\r\n\r\n');

/** BYTES as one chunk; nothing for no bytes, as an empty chunk would be the last one. */
export function chunk(bytes) {
    const content = Buffer.from(bytes);
    if (content.length === 0) return content;
    return Buffer.concat([
        Buffer.from(`${content.length.toString(16)}\r\n`),
        content,
        Buffer.from('\r\n'),
    ]);
}

/** A whole answer: PARTS are its chunks. */
export const streamOf = (...parts) => Buffer.concat([STREAM_HEAD, ...parts.map(chunk), LAST_CHUNK]);

/** One event whose data is this message. */
export const eventOf = (message, { id, event } = {}) =>
    (event === undefined ? '' : `event: ${event}\n`) +
    (id === undefined ? '' : `id: ${id}\n`) +
    `data: ${typeof message === 'string' ? message : JSON.stringify(message)}\n\n`;

/** What a client reads in TEXT: { event, id, data } of each event, in order. */
export function readEvents(text) {
    const events = [];
    const parser = createParser({
        onEvent: ({ event, id, data }) => events.push({ event, id, data }),
        onError: (error) => events.push({ error: error.message }),
    });
    parser.feed(text);
    return events;
}
