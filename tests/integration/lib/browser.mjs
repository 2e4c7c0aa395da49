// SPDX-License-Identifier: Apache-2.0
// A person with a browser, without either: follows redirects with a cookie jar, fills in the tenant's
// login form, and stops at the client's redirect URI.
import assert from 'node:assert/strict';

const MOST_STEPS = 20;

class CookieJar {
    #cookies = new Map(); // name -> { value, path }

    take(answer) {
        for (const line of answer.headers.getSetCookie()) {
            const [pair, ...attributes] = line.split(/; */);
            const [, name, value] = /^([^=]+)=(.*)$/.exec(pair);
            const path = attributes.find((a) => /^path=/i.test(a))?.slice(5) ?? '/';
            if (value === '') this.#cookies.delete(name + path);
            else this.#cookies.set(name + path, { name, value, path });
        }
    }

    header(url) {
        const mine = [...this.#cookies.values()].filter(({ path }) =>
            url.pathname.startsWith(path),
        );
        return mine.map(({ name, value }) => `${name}=${value}`).join('; ');
    }
}

/**
 * Opens AUTHORIZATION_URL, logs in as USERNAME and answers with ANSWER (allow or deny).
 *
 * @returns {Promise<URL>} where the browser was sent in the end: the redirect URI with code or error
 */
export async function logIn(authorizationUrl, { username = 'ada', answer = 'allow' } = {}) {
    const home = new URL(authorizationUrl).origin;
    const jar = new CookieJar();
    let url = new URL(authorizationUrl);
    let form = null;
    for (let step = 0; step < MOST_STEPS; step++) {
        const page = await fetch(url, {
            method: form ? 'POST' : 'GET',
            body: form,
            headers: { Cookie: jar.header(url) },
            redirect: 'manual',
        });
        const text = await page.text();
        jar.take(page);
        const location = page.headers.get('location');
        if (location !== null) {
            url = new URL(location, url);
            form = null;
            if (url.origin !== home) return url;
            continue;
        }
        assert.equal(page.status, 200, `${url}: ${text}`);
        assert.match(text, /<form method="post">/, `no form at ${url}`);
        form = new URLSearchParams({ username, answer });
    }
    throw new Error(`no end of redirects at ${url}`);
}
