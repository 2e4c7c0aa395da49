/* SPDX-License-Identifier: Apache-2.0 */
/* The certificates that are in use, for people and for the metrics. Workers take them from the
 * snapshot (worker.c). */
#include <stdlib.h>
#include <time.h>

#include "gate/fleet_int.h"
#include "proto/tls.h"

#define DATE_LEN 32

size_t fleet_certificates(const struct fleet *fleet, struct metrics_certificate *ret)
{
    const struct config_data *start = config_get(fleet->start_config);
    size_t n = 0;
    for (size_t i = 0; i < start->n_listens; i++) {
        const struct listen_address *listen = &start->listens[i];
        const struct tls_context *tls = config_tls_of(fleet->snapshot->data, listen->text);
        if (listen->tls == NULL)
            continue;
        ret[n++] = (struct metrics_certificate){
            .address = listen->text,
            .expires_s = tls_context_validity(tls != NULL ? tls : listen->tls).until_s,
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
    size_t n = config_get(fleet->start_config)->n_listens;
    struct metrics_certificate *certificates = calloc(n, sizeof(*certificates));
    if (certificates == NULL)
        return;
    n = fleet_certificates(fleet, certificates);
    for (size_t i = 0; i < n; i++)
        say(fleet, &certificates[i]);
    free(certificates);
}
