/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "net/client.h"
#include "net/server.h"
#include "proto/jws.h"
#include "store/shared_rate.h"

#define MAX_VERSION_BYTES 1024

static int run(int argc, char **argv)
{
    if (cli_wants_help(argc, argv)) {
        cli_print_help(&command_version, stdout);
        return CLI_OK;
    }
    if (argc > 1)
        return cli_bad_usage(&command_version, "it takes no arguments");
    struct buf text = buf_make(MAX_VERSION_BYTES);
    (void)buf_printf(&text,
                     "portcullis %s\n"
                     "libmicrohttpd %s\n"
                     "libcurl %s\n"
                     "OpenSSL %s\n"
                     "jansson %s\n"
                     "hiredis %s",
                     PORTCULLIS_VERSION, server_library_version(), client_library_version(),
                     jws_library_version(), json_library_version(), shared_rate_library_version());
    int status = cli_answer(buf_str(&text));
    buf_free(&text);
    return status;
}

const struct command command_version = {
    .name = "version",
    .synopsis = "version",
    .help = "Prints the version and those of the libraries it runs on.\n"
            "\n"
            "Example:\n"
            "  portcullis version\n",
    .run = run,
};
