// SPDX-License-Identifier: Apache-2.0
// What a daemon holds while nothing is under way: it has to be the same before and after.
import { eventually, openFds } from '../../integration/lib/observe.mjs';

/** Descriptors of PID once their number stays the same for a moment. */
async function settledFds(pid) {
    let last = -1;
    return eventually(
        () => {
            const was = last;
            last = openFds(pid);
            return was === last && last;
        },
        'the number of descriptors settles',
        { everyMs: 250 },
    );
}

/**
 * How many descriptors the daemon of STAGE has at rest: idle connections of the upstream are
 * closed.
 */
export async function fdsAtRest(stage) {
    for (const link of stage.upstream.links) link.socket.destroy();
    return settledFds(stage.gate.pid);
}

/** Figures that say that nothing is left of what went on since there were FDS descriptors. */
export async function reportLeaks(report, stage, fds) {
    const gauge = async (name) => (await stage.metrics()).sum(name);
    await eventually(
        async () =>
            (await gauge('portcullis_open_streams')) === 0 && openFds(stage.gate.pid) <= fds,
        'everything is given back',
    ).catch(() => {});
    report.equal('streams left open', 0, await gauge('portcullis_open_streams'));
    report.equal('client connections left open', 0, await gauge('portcullis_connections'));
    report.atMost('descriptors at rest', fds, await fdsAtRest(stage));
}
