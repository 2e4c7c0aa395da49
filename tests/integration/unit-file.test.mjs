// SPDX-License-Identifier: Apache-2.0
// The files for systemd: clean, hardened (T38), and no unit forbids what the program itself does.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { portcullisBinary } from './lib/portcullis.mjs';

const config = path.join(import.meta.dirname, '../../config');
const MOST_EXPOSURE = 1.1; // the best unit of Debian 12 has 1.2

const analyze = (...args) =>
    spawnSync('systemd-analyze', args, {
        encoding: 'utf8',
        env: { ...process.env, SYSTEMD_PAGER: 'cat', SYSTEMD_COLORS: '0' },
    });

describe('the unit', () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portcullis-unit-'));
    const unit = path.join(folder, 'portcullis.service');
    const socket = path.join(folder, 'portcullis.socket');
    const text = fs.readFileSync(path.join(config, 'portcullis.service'), 'utf8');
    before(() => {
        // the program is not installed here
        fs.writeFileSync(unit, text.replace('=/usr/bin/portcullis ', `=${portcullisBinary()} `));
        fs.copyFileSync(path.join(config, 'portcullis.socket'), socket);
    });
    after(() => fs.rmSync(folder, { recursive: true }));

    test(`has an exposure of at most ${MOST_EXPOSURE} (T38)`, (t) => {
        const { stdout, stderr, status } = analyze(
            'security',
            '--offline=true',
            '--no-pager',
            `--threshold=${MOST_EXPOSURE * 10}`,
            unit,
        );
        const exposure = Number(/Overall exposure level for \S+: ([\d.]+)/.exec(stdout)?.[1]);
        t.diagnostic(`exposure ${exposure}`);
        assert.ok(exposure <= MOST_EXPOSURE, stdout + stderr);
        assert.equal(status, 0, stderr);
        assert.equal(stderr.trim(), '');
    });

    test('is verified without a word, and so is the socket', () => {
        const { stdout, stderr, status } = analyze('verify', '--man=no', unit, socket);
        assert.deepEqual([stdout, stderr, status], ['', '', 0]);
    });

    test('allows every system call that the sandbox of the program leaves itself', () => {
        const groups = new Map();
        let group = null;
        for (const line of analyze('syscall-filter', '--no-pager').stdout.split('\n')) {
            if (line.startsWith('@')) groups.set((group = line.trim()), []);
            else if (/^ +[@a-z_]/.test(line)) groups.get(group).push(line.trim());
        }
        const expand = (name) =>
            name.startsWith('@') ? groups.get(name).flatMap((member) => expand(member)) : [name];
        const allowed = new Set();
        for (const [, not, names] of text.matchAll(/^SystemCallFilter=(~?)(.*)$/gm))
            for (const name of names.split(' ').flatMap(expand))
                if (not) allowed.delete(name);
                else allowed.add(name);
        const source = fs.readFileSync(
            path.join(config, '../src/ops/sandbox_rules.c'),
            'utf8',
        );
        const list = /allowed\[\] = \{(.*?)\};/s.exec(source)[1];
        const ours = [...list.matchAll(/"(\w+)"/g)].map((match) => match[1]);
        assert.ok(ours.length > 100 && allowed.size > 200);
        const missing = ours.filter((name) => !allowed.has(name));
        // newer than the systemd of Debian 12, or of other processors: there is another one as well
        assert.deepEqual(missing.filter((name) => !/^(futex_waitv|_newselect)$/.test(name)), []);
    });

    test('has a user that sysusers makes', () => {
        const root = path.join(folder, 'root');
        fs.mkdirSync(path.join(root, 'etc'), { recursive: true });
        execFileSync('systemd-sysusers', [
            `--root=${root}`,
            path.join(config, 'portcullis.sysusers'),
        ]);
        const user = /^User=(\S+)$/m.exec(text)[1];
        const line = fs.readFileSync(path.join(root, 'etc/passwd'), 'utf8');
        assert.match(line, new RegExp(`^${user}:.*:/usr/sbin/nologin$`, 'm'));
    });
});
