/* SPDX-License-Identifier: Apache-2.0 */
/* The certificates that are in use, for people and for the metrics. Workers take them from the
 * snapshot, by the same rule (worker.c). */
#include <stdlib.h>
#include <time.h>

#include "gate/fleet_int.h"
#include "proto/tls.h"

#define DATE_LEN 32

/* An address that the policy lacks now, or has without TLS, goes on with what it had. */
void fleet_take_certificates(struct fleet *fleet)
{
    for (size_t i = 0; i < fleet->start.n_listens; i++) {
        struct listen_address *listen = &fleet->start.listens[i];
        struct tls_context *fresh = config_tls_of(fleet->snapshot->data, listen->text);
        if (listen->tls == NULL || fresh == NULL)
            continue;
        (void)tls_context_unref(listen->tls);
        listen->tls = tls_context_ref(fresh);
    }
}

size_t fleet_certificates(const struct fleet *fleet, struct metrics_certificate *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < fleet->start.n_listens; i++) {
        const struct listen_address *listen = &fleet->start.listens[i];
        if (listen->tls == NULL)
            continue;
        ret[n++] = (struct metrics_certificate){
            .address = listen->text,
            .expires_s = tls_context_validity(listen->tls).until_s,
        };
    }
    return n;
}

static void say(struct fleet *fleet, const struct metrics_certificate *certificate)
{
    time_t expires = (time_t)certificate->expires_s;
    char date[DATE_LEN] = "";
    struct tm tm;
    if (gmtime_r(&expires, &tm) != NULL)
        (void)strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm);
    LOG(&fleet->log, loop_clock(fleet->loop), LOG_LEVEL_INFO, "certificate",
        LOG_STR("address", certificate->address), LOG_CSTR("expires", date));
}

void fleet_say_certificates(struct fleet *fleet)
{
    size_t n = fleet->start.n_listens;
    struct metrics_certificate *certificates = calloc(n, sizeof(*certificates));
    if (certificates == NULL)
        return;
    n = fleet_certificates(fleet, certificates);
    for (size_t i = 0; i < n; i++)
        say(fleet, &certificates[i]);
    free(certificates);
}
