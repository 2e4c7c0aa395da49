// SPDX-License-Identifier: Apache-2.0
// Ports for servers that have to know theirs before they listen.
import net from 'node:net';

// Below the range from which the kernel takes ports for outgoing connections (32768 and up), so that
// nothing but another test can take a port between the probe and its use.
const PORTS = { first: 10_240, count: 22_000 };
let nextPort = PORTS.first + Math.floor(Math.random() * PORTS.count);

const canBind = (port) =>
    new Promise((resolve) => {
        const probe = net.createServer();
        probe.once('error', () => resolve(false));
        probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
    });

/** A TCP port that is free on 127.0.0.1. */
export async function freePort() {
    for (;;) {
        const port = nextPort;
        nextPort = PORTS.first + ((nextPort + 1 - PORTS.first) % PORTS.count);
        if (await canBind(port)) return port;
    }
}

/** PORT if it is free on 127.0.0.1, else (or for null) another one. */
export async function choosePort(port) {
    return port !== null && (await canBind(port)) ? port : freePort();
}
