// SPDX-License-Identifier: Apache-2.0
// What is shipped beside the program says the same as the program: man pages, completions, and one
// version everywhere.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';

import { portcullisBinary, runPortcullis } from './lib/portcullis.mjs';

const root = path.join(import.meta.dirname, '../..');
const read = (file) => fs.readFileSync(path.join(root, file), 'utf8');
const manPage = (name) =>
    fs.readFileSync(path.join(path.dirname(portcullisBinary()), 'man', name), 'utf8');
const captures = (text, regex) => [...text.matchAll(regex)].map((match) => match[1]);
const sorted = (names) => [...new Set(names)].sort();

/** { COMMAND: [OPTION...] }, as --help tells. */
async function commandsOfHelp() {
    const help = async (args) => (await runPortcullis([...args, '--help'])).stdout;
    const [, overview] = (await help([])).split('\nusage:\n');
    const names = sorted(captures(overview.split('\n\n')[0], /^ {2}portcullis (\w+)/gm));
    const options = {};
    for (const name of names)
        options[name] = sorted([...captures(await help([name]), /(--[a-z-]+)/g), '--help']);
    return options;
}

let commands;
before(async () => {
    commands = await commandsOfHelp();
    assert.ok(Object.keys(commands).length >= 8, Object.keys(commands).join());
    assert.ok(commands.explain.includes('--token-file') && commands.audit.includes('--head'));
});

describe('portcullis(8)', () => {
    test('has every command, and no other', () => {
        const page = manPage('portcullis.8');
        assert.deepEqual(sorted(captures(page, /^\.It Cm (\w+)/gm)), Object.keys(commands).sort());
        assert.deepEqual(sorted(captures(page, /^\.Cm (\w+)/gm)), Object.keys(commands).sort());
    });

    test('has every option, and no other', () => {
        const described = captures(manPage('portcullis.8'), /\bFl (-[a-z][a-z-]+)/g);
        const own = sorted([...Object.values(commands).flat(), '--version']);
        assert.deepEqual(sorted(described.map((name) => `-${name}`)), own);
    });
});

describe('portcullis(8) and docs/OPERATIONS.md', () => {
    test('name the same signals', () => {
        const table = read('docs/OPERATIONS.md').split('## Signals')[1].split('\n## ')[0];
        const documented = captures(table, /\b(SIG(?!KILL)[A-Z0-9]+)\b/g);
        const described = captures(manPage('portcullis.8'), /\b(SIG(?!NALS)[A-Z0-9]+)\b/g);
        assert.ok(documented.length >= 4, documented.join());
        assert.deepEqual(sorted(described), sorted(documented));
    });
});

describe('portcullis(8) and the sources', () => {
    test('name the same environment variables', () => {
        const sources = fs
            .readdirSync(path.join(root, 'src'), { recursive: true })
            .filter((name) => name.endsWith('.c'))
            .map((name) => read(`src/${name}`));
        const asked = captures(sources.join('\n'), /\b(?:getenv|take)\("([A-Z_]+)"\)/g);
        const described = captures(manPage('portcullis.8'), /^\.It Ev (.*)$/gm);
        assert.ok(asked.length > 0);
        assert.deepEqual(sorted(described.flatMap((names) => names.split(' , '))), sorted(asked));
    });
});

describe('portcullis-policy(5)', () => {
    test('has every key of the policy, and no other', () => {
        const table = read('docs/POLICY.md').split('## Every key')[1].split('\n### ')[0];
        const keys = captures(table, /^\| `([^`]+)` \|/gm);
        assert.ok(keys.length > 80, `${keys.length} keys`);
        const described = captures(manPage('portcullis-policy.5'), /^\.It Sy (\S+)$/gm);
        const references = (name) => !/^\$(env|file|cred|\$)/.test(name) && name !== '$$';
        const rules = ['scopes', 'permission', 'claims']; // of the section about rules
        assert.deepEqual(
            sorted(described.filter(references).filter((name) => !rules.includes(name))),
            sorted(keys),
        );
    });

    test('has their defaults and ranges', () => {
        const page = manPage('portcullis-policy.5').replaceAll('\n', ' ');
        assert.match(page, /\.It Sy jwks\.refresh .{0,200}default: \\fB"10m"\\fP; 1s to 1d\./);
        assert.match(page, /\.It Sy routes\[\]\.resource .{0,200}Type: URL; required\./);
    });
});

describe('completion', () => {
    const complete = (...words) =>
        execFileSync(
            'bash',
            [
                '--norc',
                '-c',
                'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _portcullis; printf "%s\\n" "${COMPREPLY[@]}"',
                'bash',
                path.join(root, 'config/completion/portcullis.bash'),
                'portcullis',
                ...words,
            ],
            { cwd: path.join(root, 'config'), encoding: 'utf8' },
        )
            .split('\n')
            .filter((word) => word !== '');

    test('of bash proposes every command', () => {
        const proposed = complete('').filter((word) => !word.startsWith('-'));
        assert.deepEqual(sorted(proposed), Object.keys(commands).sort());
        assert.deepEqual(complete('he'), ['healthcheck']);
    });

    test('of bash proposes every option of each command, and no other', () => {
        for (const [command, options] of Object.entries(commands))
            assert.deepEqual(sorted(complete(command, '-')), options, command);
    });

    test('of bash proposes files where a file is wanted', () => {
        assert.deepEqual(complete('serve', 'mini'), ['minimal.json']);
        assert.deepEqual(complete('explain', 'x.json', '--jwks', 'mini'), ['minimal.json']);
        assert.deepEqual(complete('audit', ''), ['verify']);
        assert.deepEqual(complete('audit', 'verify', 'mini'), ['minimal.json']);
        assert.deepEqual(complete('version', ''), []);
    });

    for (const [shell, file, option] of [
        ['zsh', '_portcullis', (name) => name],
        ['fish', 'portcullis.fish', (name) => `-l ${name.slice(2)}`],
    ])
        test(`of ${shell} has every command and option`, () => {
            const text = read(`config/completion/${file}`);
            for (const [command, options] of Object.entries(commands)) {
                assert.match(text, new RegExp(`\\b${command}\\b`));
                for (const name of options) assert.ok(text.includes(option(name)), `${command} ${name}`);
            }
        });
});

test('the version is the same everywhere', async () => {
    const version = read('CMakeLists.txt').match(/^project\(portcullis VERSION ([\d.]+)/m)[1];
    const { stdout } = await runPortcullis(['version']);
    const said = {
        program: captures(stdout, /^portcullis (.*)$/gm),
        'portcullis(8)': captures(manPage('portcullis.8'), /about version (.*)\.$/gm),
        'portcullis-policy(5)': captures(manPage('portcullis-policy.5'), /about version (.*)\.$/gm),
        image: captures(read('docker/Dockerfile'), /^ARG VERSION=(.*)$/gm),
        compose: captures(read('docker/compose.yaml'), /image: portcullis:(\S+)/g),
        kubernetes: captures(read('docker/kubernetes.yaml'), /image: portcullis:(\S+)/g),
        news: captures(read('NEWS.md'), /^## (\S+)/gm).slice(0, 1),
    };
    for (const [where, found] of Object.entries(said)) assert.deepEqual(found, [version], where);
});
