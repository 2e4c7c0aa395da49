// SPDX-License-Identifier: Apache-2.0
// Preloaded (node --import) into servers that would listen on all addresses and cannot be told not to:
// they listen on 127.0.0.1, tell their parent the port, and end when the parent does.
import net from 'node:net';

const listen = net.Server.prototype.listen;

net.Server.prototype.listen = function listenOnLoopback(port, ...rest) {
    const callback = rest.find((argument) => typeof argument === 'function');
    this.once('listening', () => process.send({ port: this.address().port }));
    return listen.call(this, Number(port), '127.0.0.1', callback);
};

process.once('disconnect', () => process.exit());
