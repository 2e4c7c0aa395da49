/* SPDX-License-Identifier: Apache-2.0 */
/* Where the log goes: standard error, or the file of the policy, which is opened anew when the
 * operator has moved it away. The descriptor stays the same, so no thread has to be told. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "gate/fleet_int.h"

/* As for the file, if there is to be one, also while it is not open yet. */
struct log fleet_make_log(const struct config_data *data, const struct service *service)
{
    bool to_stderr = !str_is_set(data->log_file);
    bool terminal = to_stderr && isatty(STDERR_FILENO) == 1;
    enum log_format format = terminal ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON;
    struct log log =
        log_make(STDERR_FILENO, data->log_level, data->log_format_set ? data->log_format : format);
    log.colour = terminal && log.format == LOG_FORMAT_TEXT;
    log.priority = to_stderr && log_is_journal(STDERR_FILENO, service->journal);
    return log;
}

static const char *fault_text(int fault)
{
    return fault == -EMEDIUMTYPE ? "is no regular file" : strerrordesc_np(-fault);
}

static void say_fault(struct fleet *fleet, const char *event, struct str file, int fault)
{
    LOG(&fleet->log, loop_clock(fleet->loop), LOG_LEVEL_ERROR, event, LOG_CSTR("key", "log.file"),
        LOG_STR("file", file), LOG_CSTR("reason", fault_text(fault)));
}

int fleet_open_log(struct fleet *fleet)
{
    const struct str file = fleet->start.log_file;
    if (!str_is_set(file))
        return 0;
    int r = log_open_file(file.ptr, &fleet->log_fd);
    if (r < 0)
        say_fault(fleet, "log_open_failed", file, r);
    return r;
}

/* The lines of the start go there, too: they have waited. When the start fails, they are written to
 * standard error, where whoever started us looks. */
void fleet_use_log(struct fleet *fleet)
{
    if (fleet->log_fd != STDERR_FILENO)
        log_move(&fleet->log, fleet->log_fd);
}

void fleet_reopen_log(struct fleet *fleet)
{
    const struct str file = fleet->start.log_file;
    if (fleet->log_fd == STDERR_FILENO)
        return;
    log_flush(&fleet->log); /* into the old file, as far as it is older */
    int r = log_reopen_file(file.ptr, fleet->log_fd);
    if (r < 0)
        say_fault(fleet, "log_reopen_failed", file, r);
    else
        LOG(&fleet->log, loop_clock(fleet->loop), LOG_LEVEL_INFO, "log_reopened",
            LOG_STR("file", file));
}

void fleet_close_log(struct fleet *fleet)
{
    log_close(&fleet->log);
    if (fleet->log_fd != STDERR_FILENO)
        (void)close(fleet->log_fd);
}
