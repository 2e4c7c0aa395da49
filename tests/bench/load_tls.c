/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "load.h"
#include "tool.h"

/* struct tls is OpenSSL's SSL: the rest of the load need not know. */
static SSL *ssl_of(struct tls *tls)
{
    return (SSL *)tls;
}

static SSL_CTX *context(void)
{
    static SSL_CTX *made;
    if (made == NULL) {
        made = SSL_CTX_new(TLS_client_method());
        if (made == NULL || SSL_CTX_set_min_proto_version(made, TLS1_2_VERSION) != 1)
            tool_die("OpenSSL gives no context");
    }
    return made;
}

/* The handshake waits: it is outside of what is measured. */
struct tls *tls_open(int fd)
{
    SSL *ssl = SSL_new(context());
    int flags = fcntl(fd, F_GETFL);
    if (ssl == NULL || flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0 ||
        SSL_set_fd(ssl, fd) != 1)
        tool_die("no TLS over a connection");
    if (SSL_connect(ssl) != 1)
        tool_die("TLS handshake: %s", ERR_reason_error_string(ERR_get_error()));
    if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        tool_die("fcntl");
    return (struct tls *)ssl;
}

bool tls_send(struct tls *tls, const char *bytes, size_t len)
{
    ERR_clear_error();
    return SSL_write(ssl_of(tls), bytes, (int)len) == (int)len;
}

ssize_t tls_receive(struct tls *tls, char *bytes, size_t size)
{
    ERR_clear_error();
    int n = SSL_read(ssl_of(tls), bytes, (int)size);
    if (n > 0)
        return n;
    int error = SSL_get_error(ssl_of(tls), n);
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    errno = error == SSL_ERROR_WANT_READ ? EAGAIN : EIO;
    return -1;
}

struct tls *tls_free(struct tls *tls)
{
    if (tls != NULL)
        SSL_free(ssl_of(tls));
    return NULL;
}
