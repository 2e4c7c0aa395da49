// SPDX-License-Identifier: Apache-2.0
// The ways in which an HTTP endpoint can be out of order, to be switched on by a test.
import zlib from 'node:zlib';

const MIB = 1024 * 1024;

// Keeps writing the same block until TOTAL bytes are out or the other side has had enough.
function pour(response, block, total) {
    let left = total;
    const more = () => {
        while (left > 0 && !response.destroyed) {
            left -= block.length;
            if (!response.write(block)) return;
        }
        response.end();
    };
    response.on('drain', more);
    more();
}

const JSON_TYPE = { 'Content-Type': 'application/json' };

/**
 * Each fault is { kind, ... } and answers instead of the endpoint, but for `slow`, which answers late.
 * The table is the list of kinds and of their parameters.
 */
const KINDS = {
    /** { status }: an error page. */
    status: (fault, request, response) => {
        response.writeHead(fault.status, { 'Content-Type': 'text/html' });
        response.end('<!doctype html><title>Something went wrong</title>');
    },
    /** { body, type? }: 200 with this text. */
    body: (fault, request, response) => {
        response.writeHead(200, { 'Content-Type': fault.type ?? 'application/json' });
        response.end(fault.body);
    },
    /** { to }: a redirect, to a place that should never be asked. */
    redirect: (fault, request, response) => {
        response.writeHead(302, { Location: fault.to });
        response.end();
    },
    /** Takes the request and never answers. */
    hang: () => {},
    /** { bytes? }: a JSON text that goes on and on. */
    huge: (fault, request, response) => {
        response.writeHead(200, JSON_TYPE);
        response.write('{"keys":["');
        pour(response, Buffer.alloc(MIB, 'a'), fault.bytes ?? 300 * MIB);
    },
    /** { bytes? }: a small answer that would unpack to BYTES. */
    gzip_bomb: (fault, request, response) => {
        const bomb = zlib.gzipSync(Buffer.alloc(fault.bytes ?? 300 * MIB, ' '), { level: 9 });
        response.writeHead(200, { ...JSON_TYPE, 'Content-Encoding': 'gzip' });
        response.end(bomb);
    },
    /** Half of an announced answer, then the connection breaks. */
    truncated: (fault, request, response) => {
        response.writeHead(200, { ...JSON_TYPE, 'Content-Length': '1000' });
        response.write('{"keys":[', () => response.destroy());
    },
};

/**
 * Lets FAULT answer. False when the endpoint itself is to answer now: there is no fault, or it was only
 * to be slow ({ kind: 'slow', ms }).
 */
export async function applyFault(fault, request, response) {
    if (!fault) return false;
    if (fault.kind === 'slow') {
        await new Promise((resolve) => setTimeout(resolve, fault.ms));
        return false;
    }
    KINDS[fault.kind](fault, request, response);
    return true;
}
