// SPDX-License-Identifier: Apache-2.0
// What the authorization server remembers (an oidc-provider adapter), in memory. It is kept outside of
// the provider because a key rotation makes a new provider, and logins must survive that.

/** One model's view ("Session", "Grant", ...) of RECORDS, a Map that the models share. */
export class TenantStore {
    #records;
    #prefix;

    constructor(records, model) {
        this.#records = records;
        this.#prefix = `${model}:`;
    }

    upsert(id, payload) {
        // What a client says about scopes when it registers is no limit at Auth0.
        if (this.#prefix === 'Client:') delete payload.scope;
        this.#records.set(this.#prefix + id, payload);
    }

    find(id) {
        return this.#records.get(this.#prefix + id);
    }

    findByUid(uid) {
        const mine = [...this.#records].filter(([key]) => key.startsWith(this.#prefix));
        return mine.find(([, payload]) => payload.uid === uid)?.[1];
    }

    consume(id) {
        this.find(id).consumed = Math.floor(Date.now() / 1000);
    }

    destroy(id) {
        this.#records.delete(this.#prefix + id);
    }

    revokeByGrantId(grantId) {
        for (const [key, payload] of this.#records)
            if (payload.grantId === grantId) this.#records.delete(key);
    }
}
