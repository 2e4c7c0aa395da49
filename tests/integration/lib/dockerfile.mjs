// SPDX-License-Identifier: Apache-2.0
// A Dockerfile as instructions, and the rules that ours has to keep.

/** [{ name, args, stage }], with continued lines joined and comments left out. */
export function parseDockerfile(text) {
    const lines = text
        .split('\n')
        .filter((line) => !/^\s*#/.test(line))
        .join('\n')
        .replace(/\\\n/g, ' ')
        .split('\n')
        .filter((line) => line.trim() !== '');
    let stage = -1;
    return lines.map((line) => {
        const [, name, args] = line.match(/^\s*([A-Za-z]+)\s+(.*?)\s*$/) ?? [null, line, ''];
        if (name === 'FROM') stage++;
        return { name, args: args.replace(/\s+/g, ' '), stage };
    });
}

/** The words of the exec form, or null for the shell form. */
export function execForm(args) {
    try {
        const words = JSON.parse(args);
        return Array.isArray(words) && words.every((word) => typeof word === 'string') ? words : null;
    } catch {
        return null;
    }
}

/** The packages of every `apt-get install` in ARGS. */
export function packagesOf(args) {
    return [...args.matchAll(/apt-get install ([^&|;]*)/g)].flatMap(([, words]) =>
        words.split(' ').filter((word) => word !== '' && !word.startsWith('-')),
    );
}

const one = (instructions, name) => instructions.filter((one) => one.name === name);

const RULES = {
    'every image has a tag that is not latest': (all) => {
        const stages = one(all, 'FROM').map(({ args }) => args.match(/ AS (\S+)$/i)?.[1]);
        return one(all, 'FROM')
            .map(({ args }) => args.split(' ')[0])
            .every((image) => stages.includes(image) || /:(?!latest$)[\w.-]+$/.test(image));
    },
    'the program is started without a shell': (all) =>
        one(all, 'ENTRYPOINT').length === 1 &&
        [...one(all, 'ENTRYPOINT'), ...one(all, 'CMD')].every(({ args }) => execForm(args)),
    'health is asked without a shell': (all) =>
        one(all, 'HEALTHCHECK').length === 1 &&
        execForm(one(all, 'HEALTHCHECK')[0].args.replace(/^.*?CMD /, '')) !== null,
    'the last stage runs as a number that is not root': (all) => {
        const last = all.at(-1).stage;
        const user = all.filter(({ name, stage }) => name === 'USER' && stage === last).at(-1);
        return /^[1-9]\d*:[1-9]\d*$/.test(user?.args ?? '');
    },
    'files are copied, not added': (all) => one(all, 'ADD').length === 0,
    'packages come without recommendations, after an update, and leave no lists': (all) =>
        one(all, 'RUN')
            .filter(({ args }) => /apt(-get)? /.test(args))
            .every(
                ({ args }) =>
                    /^apt-get update && apt-get install -y --no-install-recommends /.test(args) &&
                    args.endsWith('rm -rf /var/lib/apt/lists/*'),
            ),
    'each instruction is known': (all) =>
        all.every(({ name }) =>
            /^(FROM|ARG|ENV|LABEL|RUN|WORKDIR|ADD|COPY|USER|EXPOSE|STOPSIGNAL|HEALTHCHECK|ENTRYPOINT|CMD)$/.test(
                name,
            ),
        ),
    'folders to work in are absolute': (all) =>
        one(all, 'WORKDIR').every(({ args }) => args.startsWith('/')),
    'it is told to stop by the signal that drains': (all) =>
        one(all, 'STOPSIGNAL').map(({ args }) => args).join() === 'SIGTERM',
    'no secret is built in': (all) =>
        all.every(({ name, args }) => !/^(ARG|ENV)$/.test(name) || !/secret|token|key|passw/i.test(args)),
};

/** The promises that TEXT breaks. */
export function brokenRules(text) {
    const instructions = parseDockerfile(text);
    return Object.entries(RULES)
        .filter(([, keeps]) => !keeps(instructions))
        .map(([promise]) => promise);
}
