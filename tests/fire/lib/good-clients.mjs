// SPDX-License-Identifier: Apache-2.0
// Clients that behave, in a thread of their own, so that what else goes on does not spoil their
// clocks: each has one connection and one request on it at a time, and never tries one again.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

import { sleep } from '../../integration/lib/observe.mjs';
import { Wire } from '../../integration/lib/wire.mjs';

/** What becomes a number in a request, which has as many digits: the length stays. */
export const NUMBER = '{NUMBER}';

/** The value below which SHARE of the sorted VALUES are. */
export const quantile = (values, share) => values[Math.floor((values.length - 1) * share)] ?? 0;

export class GoodClients {
    #worker;
    #ended;

    /**
     * @param {number} port
     * @param {Buffer[]} requests sent in turn; NUMBER in them becomes a number that is never used
     * again
     * @param {object} [options]
     * @param {number} [options.clients]
     * @param {number} [options.paceMs] between an answer and the next request
     */
    constructor(port, requests, { clients = 8, paceMs = 0, timeoutMs = 30_000 } = {}) {
        const texts = requests.map((bytes) => bytes.toString('latin1'));
        this.#worker = new Worker(new URL(import.meta.url), {
            workerData: { port, texts, clients, paceMs, timeoutMs },
        });
        this.#ended = new Promise((resolve, reject) => {
            this.#worker.once('message', resolve);
            this.#worker.once('error', reject);
        });
    }

    /**
     * Ends them: { served, failures, results, p50, p99, max }, times in ms; FAILURES are texts
     * about
     * whatever was not 200. Each of RESULTS is { id, status, begun, start, end }, in ms since the
     * epoch; BEGUN: the head of an answer came, and not all of its body.
     */
    async stop() {
        this.#worker.postMessage('stop');
        const results = await this.#ended;
        await this.#worker.terminate();
        const good = results.filter(({ status }) => status === 200);
        const times = good.map(({ start, end }) => end - start).sort((a, b) => a - b);
        return {
            results,
            served: good.length,
            failures: results
                .filter(({ status }) => status !== 200)
                .map(({ id, status }) => `request ${id}: ${status}`),
            p50: quantile(times, 0.5),
            p99: quantile(times, 0.99),
            max: times.at(-1) ?? 0,
        };
    }
}

/** What they come to in MS milliseconds. */
export async function measure(port, requests, ms, options) {
    const clients = new GoodClients(port, requests, options);
    await sleep(ms);
    return clients.stop();
}

const numbered = (text, id) => text.replace(NUMBER, String(id));

async function work({ port, texts, clients, paceMs, timeoutMs }) {
    const now = () => performance.timeOrigin + performance.now();
    const results = [];
    let running = true;
    let next = 10_000_000;
    parentPort.once('message', () => (running = false));
    const one = async () => {
        let wire = null;
        while (running) {
            const id = next++;
            const text = numbered(texts[id % texts.length], id);
            const start = now();
            let status;
            let begun = false;
            try {
                wire ??= await Wire.open(port);
                wire.send(Buffer.from(text, 'latin1'));
                const answer = await wire.head({ timeoutMs });
                begun = true;
                await wire.body({ timeoutMs });
                begun = false;
                status = answer.status;
                if (answer.get('connection')?.toLowerCase() === 'close') {
                    wire.close();
                    wire = null;
                }
            } catch (error) {
                status = error.message;
                wire?.close();
                wire = null;
            }
            results.push({ id, status, begun, start, end: now() });
            if (paceMs > 0) await sleep(paceMs);
        }
        wire?.close();
    };
    await Promise.all(Array.from({ length: clients }, one));
    parentPort.postMessage(results);
}

if (!isMainThread && workerData?.texts) await work(workerData);
