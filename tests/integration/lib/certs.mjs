// SPDX-License-Identifier: Apache-2.0
// Certificates for a test: two authorities that know nothing of each other, a server's for
// 127.0.0.1 and localhost, and a client's. Made with the openssl command, which ca-certificates
// brings along.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const openssl = (...args) => execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'pipe'] });

const EC_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

function authority(folder, name) {
    const [key, cert] = [`${folder}/${name}.key`, `${folder}/${name}.pem`];
    openssl(
        'req',
        '-x509',
        ...EC_KEY,
        '-keyout',
        key,
        '-out',
        cert,
        '-days',
        '2',
        '-subj',
        `/CN=${name}`,
    );
    return { key, cert };
}

function issue(folder, name, { by, extensions, days = 2 }) {
    const [key, cert] = [`${folder}/${name}.key`, `${folder}/${name}.pem`];
    const [csr, config] = [`${folder}/${name}.csr`, `${folder}/${name}.cnf`];
    fs.writeFileSync(config, extensions);
    openssl('req', ...EC_KEY, '-keyout', key, '-out', csr, '-subj', `/CN=${name}`);
    openssl(
        'x509',
        '-req',
        '-in',
        csr,
        '-CA',
        by.cert,
        '-CAkey',
        by.key,
        '-CAcreateserial',
        '-days',
        `${days}`,
        '-extfile',
        config,
        '-out',
        cert,
    );
    return { key, cert };
}

/**
 * Makes them in FOLDER: { ca, otherCa, server, otherHost, client }, each { key, cert } as paths. The
 * server's is valid for DAYS.
 */
export function makeCertificates(folder, { days = 2 } = {}) {
    const at = path.join(folder, 'certs');
    fs.mkdirSync(at);
    const ca = authority(at, 'authority');
    return {
        ca,
        otherCa: authority(at, 'other-authority'),
        server: issue(at, 'server', {
            by: ca,
            days,
            extensions: 'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n',
        }),
        otherHost: issue(at, 'other-host', {
            by: ca,
            extensions: 'subjectAltName=DNS:other.example\nextendedKeyUsage=serverAuth\n',
        }),
        client: issue(at, 'client', { by: ca, extensions: 'extendedKeyUsage=clientAuth\n' }),
    };
}
