// SPDX-License-Identifier: Apache-2.0
// What there is to show: the table of each part, and the curves.

// Key -> title and digits behind the point. A figure with `spread` is shown with its quartiles.
export const columns = {
    cpu_us: { title: 'CPU µs/request', digits: 1, spread: true },
    any_cpu_us: { title: 'CPU µs/request of any kind', digits: 1, spread: true },
    each_event_cpu_us: { title: 'CPU µs/event', digits: 1 },
    event_cpu_us: { title: 'CPU µs/event', digits: 1, spread: true },
    kib_cpu_us: { title: 'CPU µs/KiB', digits: 2 },
    syscalls: { title: 'system calls/request', digits: 2 },
    judge_us: { title: 'in between I/O', digits: 2 },
    loop_us: { title: 'in a loop', digits: 2 },
    loop_json_us: { title: 'its JSON check', digits: 2 },
    loop_inspect_us: { title: 'all inspection', digits: 2 },
    loop_decide_us: { title: 'decision', digits: 2 },
    busy: { title: 'CPUs busy', digits: 2 },
    rps: { title: 'requests/s', digits: 0 },
    flood_rps: { title: 'refused/s', digits: 0 },
    reconnects: { title: 'reconnects', digits: 0 },
    p50_us: { title: 'p50 µs', digits: 0 },
    p90_us: { title: 'p90 µs', digits: 0 },
    p99_us: { title: 'p99 µs', digits: 0 },
    event_p50_us: { title: 'latency p50 µs', digits: 0 },
    event_p90_us: { title: 'p90 µs', digits: 0 },
    event_p99_us: { title: 'p99 µs', digits: 0 },
    event_added_us: { title: 'added p50 µs', digits: 0 },
    rss_before_mib: { title: 'MiB before', digits: 2 },
    rss_after_mib: { title: 'MiB at the end', digits: 2 },
    rss_growth_mib: { title: 'growth MiB', digits: 2 },
    rss_rest_mib: { title: 'all closed', digits: 2 },
    rss_kept_mib: { title: 'growth MiB', digits: 2 },
    stream_kib: { title: 'KiB per stream', digits: 1 },
    slow_kib: { title: 'KiB per slow reader', digits: 1 },
};

const calls = 'cpu_us ratio busy rps p50_us p90_us p99_us';
const events = 'event_cpu_us ratio event_p50_us event_p90_us event_p99_us event_added_us';

// Part, the contender its ratios are against, what it is, and its columns.
export const parts = [
    [
        'small',
        'nginx',
        'tools/call of 199 bytes, answer of 300 bytes, 256 tokens, 64 connections',
        `${calls} rss_after_mib`,
    ],
    ['syscalls', '', 'the same, 10,000 calls, their system calls counted', 'syscalls'],
    ['fresh', 'haproxy', 'the same, every token new (12,000 requests)', calls],
    [
        'rules',
        'nginx',
        'tools/call of 300 bytes; +rules: on a route with ten rules, of which the last decides',
        calls,
    ],
    [
        'inspection',
        '',
        'CPU µs of inspection and decision alone for such a call; inspect_cost.c says how',
        'judge_us loop_us loop_json_us loop_inspect_us loop_decide_us',
    ],
    [
        'list-json',
        'portcullis+pass',
        'tools/list in JSON, 50 tools in 20 kB; +filter: 5 of them are left',
        calls,
    ],
    ['list-sse', 'portcullis+pass', 'the same as an event stream', calls],
    [
        'sse-burst',
        'nginx',
        'a POST answered by 20 events of 200 bytes, in one piece',
        'cpu_us ratio each_event_cpu_us busy rps p50_us p90_us p99_us',
    ],
    [
        'sse-spaced',
        'nginx',
        'the same, one event each 5 ms: each travels alone',
        'cpu_us ratio each_event_cpu_us busy rps',
    ],
    ['alone', 'nginx', 'as small, to compare with the next', calls],
    ['beside', 'nginx', 'the same with 2,000 idle streams beside', calls],
    [
        'beside-many',
        'nginx',
        'the same with 10,000 idle streams beside (or as many as descriptors allow)',
        calls,
    ],
    ['events', 'nginx', '200 streams with 10 events/s each, 2,000 idle streams beside', events],
    ['active', 'nginx', '200 streams with 10 events/s each, nothing beside', events],
    [
        'requests',
        '',
        'memory of a new process, before and after 100,000 requests',
        'rss_before_mib rss_after_mib rss_growth_mib rss_rest_mib rss_kept_mib',
    ],
    [
        'idle',
        '',
        'memory and CPU time of 2,000 idle streams, in a process that has served 5,000 requests',
        'stream_kib busy',
    ],
    [
        'idle-many',
        '',
        'the same for 10,000 idle streams (or as many as descriptors allow)',
        'stream_kib busy',
    ],
    [
        'paced',
        'nginx',
        '4,000 requests/s at a fixed rate, latency counted from when each was due',
        'cpu_us ratio p50_us p90_us p99_us',
    ],
    ['64KiB', 'nginx', 'answers of 64 KiB, 16 connections', calls],
    ['1MiB', 'nginx', 'answers of 1 MiB, 16 connections', calls],
    ['fast', 'nginx', 'as small, in a new process, to compare with the next', calls],
    [
        'fast-slow',
        'nginx',
        'the same beside 200 readers that take 1 KiB/s of an answer of 1 MiB',
        `${calls} slow_kib`,
    ],
    [
        'fast-slow10',
        'nginx',
        'the same beside 50 readers that take 1 KiB/s of an answer of 10 MiB',
        `${calls} slow_kib`,
    ],
    [
        'flood-good',
        '',
        'good calls on 32 connections, to compare with the next two',
        'cpu_us busy rps p50_us p90_us p99_us',
    ],
    [
        'flood-bad',
        '',
        'calls with wrong signatures alone, 20,000 different tokens, on 32 connections',
        'cpu_us busy rps p50_us p90_us p99_us reconnects',
    ],
    [
        'flood',
        '',
        'both at once: latency is that of the good calls',
        'any_cpu_us busy rps flood_rps p50_us p90_us p99_us reconnects',
    ],
    [
        'two',
        'nginx-2w',
        'as small, two workers on two CPUs that upstream and load need as well',
        calls,
    ],
    ['tls', 'nginx-tls', 'as small, TLS towards the load', calls],
].map(([name, base, title, keys]) => ({ name, base, title, keys: keys.split(' ') }));

// Curves: points "NAME@X". panels are [key, title].
export const curves = [
    { name: 'connections', title: 'Connections', x: 'connections, one call in flight on each' },
    { name: 'idle-streams', title: 'Idle streams', x: 'idle streams beside 64 connections' },
    { name: 'n-rules', title: 'Rules', x: 'rules of the route, of which the last decides' },
    { name: 'n-tokens', title: 'Tokens in the cache', x: 'different tokens, all cached' },
    {
        name: 'answer-kib',
        title: 'Size of the answer',
        x: 'KiB of the answer, 16 connections',
        panels: [
            { key: 'cpu_us', title: 'CPU µs per request', isLog: true },
            { key: 'kib_cpu_us', title: 'CPU µs per KiB', isLog: true },
        ],
    },
].map((curve) => ({
    panels: [
        { key: 'cpu_us', title: 'CPU µs per request' },
        { key: 'p99_us', title: 'p99 latency in µs', isLog: curve.name === 'connections' },
    ],
    ...curve,
}));

// Bars: one part, one figure, all contenders.
export const bars = [
    {
        part: 'small',
        key: 'cpu_us',
        file: 'small',
        title: 'CPU time of a call',
        x: 'CPU µs per request',
    },
    {
        part: 'syscalls',
        key: 'syscalls',
        file: 'syscalls',
        title: 'System calls of a call',
        x: 'system calls per request',
    },
    {
        part: 'fresh',
        key: 'cpu_us',
        file: 'fresh',
        title: 'CPU time of a call with a new token',
        x: 'CPU µs per request',
    },
    {
        part: 'events',
        key: 'event_cpu_us',
        file: 'events',
        title: 'CPU time of an SSE event',
        x: 'CPU µs per event, 200 active and 2,000 idle streams',
    },
    {
        part: 'idle',
        key: 'stream_kib',
        file: 'idle',
        title: 'Memory of an idle stream',
        x: 'KiB per stream',
    },
];
