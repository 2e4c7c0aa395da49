// SPDX-License-Identifier: Apache-2.0
// Signing keys and access tokens as an Auth0 tenant makes them, and wrong ones on purpose: header and
// payload may be any bytes, which no JWT library would sign. Hence node:crypto and not jose.
import crypto from 'node:crypto';

import { calculateJwkThumbprint } from 'jose';

/** The two access token profiles that an Auth0 API can be set to. */
export const PROFILES = ['rfc9068', 'auth0'];

const base64url = (bytes) => Buffer.from(bytes).toString('base64url');

/**
 * A fresh RSA key: { kid, privateKey, privateJwk, publicJwk }. MORE is merged into the public JWK.
 */
export async function newSigningKey({ bits = 2048, exponent = 65537, kid, more = {} } = {}) {
    const { privateKey } = await new Promise((resolve, reject) =>
        crypto.generateKeyPair(
            'rsa',
            { modulusLength: bits, publicExponent: exponent },
            (error, publicKey, privateKey) => (error ? reject(error) : resolve({ privateKey })),
        ),
    );
    const jwk = privateKey.export({ format: 'jwk' });
    const name = kid ?? (await calculateJwkThumbprint({ kty: jwk.kty, n: jwk.n, e: jwk.e }));
    const common = { kid: name, use: 'sig', alg: 'RS256' };
    return {
        kid: name,
        privateKey,
        privateJwk: { ...jwk, ...common },
        publicJwk: { kty: 'RSA', n: jwk.n, e: jwk.e, ...common, ...more },
    };
}

/** Objects become JSON, everything else is taken as the bytes it is. */
const asBytes = (part) =>
    typeof part === 'string' || Buffer.isBuffer(part) ? Buffer.from(part) : JSON.stringify(part);

/** A compact JWS (RFC 7515 7.1), RS256 whatever the header says. */
export function signCompact({ header, payload, key }) {
    const input = `${base64url(asBytes(header))}.${base64url(asBytes(payload))}`;
    return `${input}.${base64url(crypto.sign('RSA-SHA256', Buffer.from(input), key.privateKey))}`;
}

/** What Auth0 puts into the header. */
export function tokenHeader(profile, key) {
    return { alg: 'RS256', typ: profile === 'rfc9068' ? 'at+jwt' : 'JWT', kid: key.kid };
}

/** What Auth0 puts into a user's access token for the API whose identifier is RESOURCE. */
export function tokenClaims(profile, { issuer, resource }) {
    const now = Math.floor(Date.now() / 1000);
    const common = { iss: issuer, sub: 'auth0|64b7c1', iat: now, exp: now + 3600 };
    const client = 'tpc_4f9Kq2mZ';
    if (profile === 'rfc9068')
        return {
            ...common,
            aud: resource,
            scope: 'mcp:use',
            jti: crypto.randomUUID(),
            client_id: client,
        };
    return {
        ...common,
        aud: [resource, `${issuer}userinfo`],
        scope: 'openid mcp:use',
        azp: client,
        permissions: ['mcp:use'],
    };
}

/** COMMON with CHANGES on top; what is changed to undefined is left out. */
export function withChanges(common, changes) {
    const all = Object.entries({ ...common, ...changes });
    return Object.fromEntries(all.filter(([, value]) => value !== undefined));
}
