// SPDX-License-Identifier: Apache-2.0
// The files for containers, as far as they can be judged without an engine: the Dockerfile against
// rules and against what the build needs, the YAML against what each kind needs, the policies in them
// with `portcullis check`. tests/package/container executes the Dockerfile's steps.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import yaml from 'yaml';

import { brokenRules, execForm, packagesOf, parseDockerfile } from './lib/dockerfile.mjs';
import { runPortcullis } from './lib/portcullis.mjs';

const root = path.join(import.meta.dirname, '../..');
const read = (file) => fs.readFileSync(path.join(root, file), 'utf8');
const text = read('docker/Dockerfile');
const instructions = parseDockerfile(text);
const valueOf = (name) => instructions.findLast((one) => one.name === name).args;
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-container-'));
after(() => fs.rmSync(folder, { recursive: true }));

/** `portcullis check` of POLICY, with a session secret in place of the one that is mounted. */
async function assertGoodPolicy(policy) {
    const secret = path.join(folder, 'session_secret');
    fs.writeFileSync(secret, 'a secret of more than thirty-two bytes');
    const file = path.join(folder, 'policy.json');
    fs.writeFileSync(file, JSON.stringify(policy).replace(/\$file\([^)]*\)/, `$file(${secret})`));
    const { code, stderr } = await runPortcullis(['check', file]);
    assert.equal(code, 0, stderr);
    assert.equal(stderr, '');
}

const portOf = (address) => Number(address.slice(address.lastIndexOf(':') + 1));
const seconds = (duration) => Number(duration.match(/^(\d+)s$/)[1]);

describe('the Dockerfile', () => {
    test('keeps every rule', () => assert.deepEqual(brokenRules(text), []));

    for (const [why, from, to] of [
        ['an image of today', 'debian:12-slim\nARG', 'debian:latest\nARG'],
        ['an image without a tag', 'debian:12-slim\nARG', 'debian\nARG'],
        ['a shell around the program', /^CMD .*$/m, 'CMD serve /etc/portcullis/policy.json'],
        ['a shell around the health check', /^ {4}CMD .*$/m, '    CMD portcullis healthcheck'],
        ['root', /^USER .*$/m, 'USER 0:0'],
        ['a user by name', /^USER .*$/m, 'USER portcullis'],
        ['a user in the wrong stage', /^USER .*\n/m, ''],
        ['ADD', 'COPY . .', 'ADD . .'],
        ['recommended packages', ' --no-install-recommends', ''],
        ['lists that stay', ' \\\n    && rm -rf /var/lib/apt/lists/*\nCOPY', '\nCOPY'],
        ['a misspelt instruction', 'EXPOSE', 'EXPOZE'],
        ['a relative folder', 'WORKDIR /src', 'WORKDIR src'],
        ['a signal that cuts', 'SIGTERM', 'SIGQUIT'],
        ['a secret', 'ARG VERSION', 'ARG TOKEN=1\nARG VERSION'],
    ])
        test(`would not pass with ${why}`, () => {
            const changed = text.replace(from, to);
            assert.notEqual(changed, text);
            assert.equal(brokenRules(changed).length, 1, brokenRules(changed).join());
        });

    test('builds with the packages that ./dev builds with', () => {
        const wanted = read('dev').match(/\[build\]="([^"]*)"/)[1].split(/\s+/);
        const run = instructions.find((one) => one.stage === 0 && one.name === 'RUN');
        assert.deepEqual(packagesOf(run.args).sort(), wanted.sort());
    });

    test('its context has every source of the build, and nothing else', () => {
        const lines = read('.dockerignore').split('\n').filter((line) => line && !line.startsWith('#'));
        assert.equal(lines[0], '*');
        const context = lines.slice(1).map((line) => line.replace(/^!/, ''));
        for (const name of context) assert.ok(fs.existsSync(path.join(root, name)), name);
        for (const name of ['.git', 'build', 'tests']) assert.ok(!context.includes(name));
    });

    test('its health check is that of the policy it serves', () => {
        const policy = execForm(valueOf('CMD'))[1];
        const check = execForm(valueOf('HEALTHCHECK').replace(/^.*?CMD /, ''));
        assert.deepEqual(check, [...execForm(valueOf('ENTRYPOINT')), 'healthcheck', policy]);
    });
});

describe('compose', () => {
    const { services, networks, secrets } = yaml.parse(read('docker/compose.yaml'));
    const gate = services.portcullis;
    const policy = JSON.parse(read('docker/policy.json'));

    test('hardens both containers', () => {
        for (const service of Object.values(services)) {
            assert.equal(service.read_only, true);
            assert.deepEqual(service.cap_drop, ['ALL']);
            assert.deepEqual(service.security_opt, ['no-new-privileges:true']);
        }
    });

    test('lets only the gate reach the server', () => {
        assert.deepEqual(services['mcp-server'].networks, ['back']);
        assert.equal(services['mcp-server'].ports, undefined);
        assert.equal(networks.back.internal, true);
        assert.ok(gate.networks.includes('back') && gate.networks.includes('front'));
        for (const name of gate.networks) assert.ok(name in networks);
    });

    test('serves the policy beside it, on the port that is published', async () => {
        await assertGoodPolicy(policy);
        assert.equal(gate.volumes[0].target, execForm(valueOf('CMD'))[1]);
        assert.equal(gate.volumes[0].read_only, true);
        assert.ok(fs.existsSync(path.join(root, 'docker', gate.volumes[0].source)));
        assert.equal(portOf(gate.ports[0]), portOf(policy.listen));
        const { hostname, port } = new URL(policy.routes[0].upstream);
        assert.ok(hostname in services, hostname);
        assert.equal(services[hostname].environment.PORT, port);
    });

    test('gives the secret as a file that the policy reads', () => {
        assert.deepEqual(gate.secrets, ['session_secret']);
        assert.ok(secrets.session_secret.file);
        assert.equal(policy.session_secret, '$file(/run/secrets/session_secret)');
        assert.equal(gate.environment, undefined);
    });

    test('asks for health as the image does, and waits for the drain', () => {
        assert.deepEqual(gate.healthcheck.test, [
            'CMD',
            ...execForm(valueOf('HEALTHCHECK').replace(/^.*?CMD /, '')),
        ]);
        assert.ok(seconds(gate.stop_grace_period) > 30);
    });
});

describe('kubernetes', () => {
    const all = yaml.parseAllDocuments(read('docker/kubernetes.yaml')).map((doc) => {
        assert.deepEqual(doc.errors, []);
        return doc.toJS();
    });
    const kind = (name) => all.find((one) => one.kind === name);
    const policy = JSON.parse(kind('ConfigMap').data['policy.json']);
    const { metadata, spec: pod } = kind('Deployment').spec.template;
    const [gate, server] = pod.containers;
    const portNamed = (name) => gate.ports.find((port) => port.name === name)?.containerPort;

    test('every object has what its kind needs', () => {
        const versions = {
            ConfigMap: 'v1',
            Service: 'v1',
            Deployment: 'apps/v1',
            NetworkPolicy: 'networking.k8s.io/v1',
        };
        assert.deepEqual(all.map((one) => one.kind).sort(), Object.keys(versions).sort());
        for (const one of all) {
            assert.equal(one.apiVersion, versions[one.kind]);
            assert.match(one.metadata.name, /^[a-z][a-z-]*$/);
        }
    });

    test('selectors select the pod', () => {
        for (const labels of [
            kind('Deployment').spec.selector.matchLabels,
            kind('Service').spec.selector,
            kind('NetworkPolicy').spec.podSelector.matchLabels,
        ])
            assert.deepEqual(labels, metadata.labels);
    });

    test('the policy is good, and its addresses are the ports', async () => {
        await assertGoodPolicy(policy);
        assert.equal(policy.listen, `0.0.0.0:${portNamed('http')}`);
        assert.equal(policy.admin, `0.0.0.0:${portNamed('admin')}`);
    });

    test('volumes hold the policy and the secret where they are looked for', () => {
        const at = (name) => gate.volumeMounts.find((mount) => mount.name === name);
        assert.equal(`${at('policy').mountPath}/policy.json`, execForm(valueOf('CMD'))[1]);
        assert.ok(policy.session_secret.startsWith(`$file(${at('secrets').mountPath}/`));
        assert.deepEqual(pod.volumes.map(({ name }) => name).sort(), ['policy', 'secrets']);
        assert.ok(gate.volumeMounts.every((mount) => mount.readOnly));
    });

    test('probes ask the admin address for life and readiness', () => {
        for (const [probe, where] of [
            ['startupProbe', '/healthz'],
            ['livenessProbe', '/healthz'],
            ['readinessProbe', '/readyz'],
        ])
            assert.deepEqual(gate[probe].httpGet, { path: where, port: 'admin' });
    });

    test('the pod lives longer than preStop and drain together', () => {
        const wait = gate.lifecycle.preStop.sleep.seconds + seconds(policy.limits.drain_timeout);
        assert.ok(pod.terminationGracePeriodSeconds > wait);
        assert.equal(gate.lifecycle.preStop.exec, undefined);
    });

    test('nothing runs as root or with rights', () => {
        assert.equal(pod.securityContext.runAsNonRoot, true);
        assert.equal(`${pod.securityContext.runAsUser}:${pod.securityContext.runAsGroup}`, valueOf('USER'));
        assert.equal(pod.securityContext.seccompProfile.type, 'RuntimeDefault');
        assert.equal(pod.automountServiceAccountToken, false);
        for (const { securityContext } of [gate, server])
            assert.deepEqual(securityContext, {
                allowPrivilegeEscalation: false,
                readOnlyRootFilesystem: true,
                capabilities: { drop: ['ALL'] },
            });
    });

    test('the server is on loopback, and only the gate is in the service', () => {
        const env = Object.fromEntries(server.env.map(({ name, value }) => [name, value]));
        assert.equal(`http://${env.HOST}:${env.PORT}/mcp`, policy.routes[0].upstream);
        assert.equal(server.ports, undefined);
        assert.deepEqual(
            kind('Service').spec.ports.map((port) => port.targetPort),
            ['http'],
        );
    });

    test('the network keeps the admin port for the monitoring', () => {
        const { ingress, policyTypes } = kind('NetworkPolicy').spec;
        assert.deepEqual(policyTypes, ['Ingress', 'Egress']);
        const ports = ingress.map((rule) => rule.ports.map(({ port }) => port));
        assert.deepEqual(ports, [[portNamed('http')], [portNamed('admin')]]);
        for (const rule of ingress) assert.equal(rule.from.length, 1);
    });
});
