// SPDX-License-Identifier: Apache-2.0
// T26: a resolver that fails, is silent, late, or names another address, in a network of its own.
// The documented status comes in time, and meanwhile everybody else is served as if nothing were.
import { eventually, sleep } from '../../integration/lib/observe.mjs';
import { openStage, RESOURCE } from '../../integration/lib/stage.mjs';
import { Resolver } from '../lib/dns.mjs';
import { GoodClients } from '../lib/good-clients.mjs';
import { fdsAtRest, reportLeaks } from '../lib/leaks.mjs';
import { isInside } from '../lib/namespace.mjs';

export const row = 'T26';
export const title = 'faults of the name service';

const CONNECT_TIMEOUT_MS = 1000;
const SLACK_MS = 500; // of the machine
const SET_UP = `
    f=$(mktemp) && echo 'nameserver 127.0.0.1' >"$f" &&
    mount --make-rprivate / && mount --bind "$f" /etc/resolv.conf &&`;

/** What the resolver does, and which answers are right. */
const FAULTS = [
    ['nothing is wrong', {}, [200]],
    ['SERVFAIL', { rcode: 'servfail' }, [502]],
    ['no such name', { rcode: 'nxdomain' }, [502]],
    ['late by 300 ms', { delayMs: 300 }, [200]],
    ['an address where nobody listens', { address: '127.0.0.77' }, [502]],
    ['silence', null, [502, 504]],
    ['later than connect_timeout', { delayMs: 3000 }, [502, 504]],
    ['nothing is wrong any more', {}, [200]],
];

export async function run(report) {
    if (!isInside(report, 'dns-faults', SET_UP)) return;
    const resolver = await Resolver.open();
    const stage = await openStage({
        policy: { workers: 1 },
        routes: (url) => [
            { resource: RESOURCE, upstream: url },
            // names of their own, as libcurl remembers an address for a minute
            ...FAULTS.map((_, i) => ({
                resource: `https://mcp.example.com/named/${i}`,
                audiences: [RESOURCE],
                upstream: {
                    url: url.replace('127.0.0.1', `upstream-${i}.test`),
                    connect_timeout: `${CONNECT_TIMEOUT_MS}ms`,
                },
            })),
        ],
    });
    try {
        for (let i = 0; i < 8; i++) await stage.ask({});
        const fds = await fdsAtRest(stage);
        for (const [i, [what, mode, statuses]] of FAULTS.entries()) {
            resolver.mode = mode;
            for (const link of stage.upstream.links) link.socket.destroy();
            const beside = new GoodClients(stage.gate.port, [stage.request()], {
                clients: 2,
                paceMs: 5,
            });
            await sleep(100);
            const times = [];
            const seen = await Promise.all(
                Array.from({ length: 8 }, async () => {
                    const start = performance.now();
                    const { status } = await stage.ask({ target: `/named/${i}` });
                    times.push(performance.now() - start);
                    return status;
                }),
            );
            const { failures, max } = await beside.stop();
            const wrong = seen.filter((status) => !statuses.includes(status));
            report.none(`${what}: answers other than ${statuses.join(' or ')}`, wrong, seen.length);
            report.atMost(
                `${what}: longest`,
                CONNECT_TIMEOUT_MS + SLACK_MS,
                Math.max(...times),
                ' ms',
            );
            report.none(`${what}: failures of the other route`, failures);
            report.atMost(`${what}: longest on the other route`, 250, max, ' ms');
            stage.upstream.forget();
        }
        await sleep(3500); // what is late has come
        await reportLeaks(report, stage, fds);
    } finally {
        await stage.close();
        resolver.close();
    }
}
