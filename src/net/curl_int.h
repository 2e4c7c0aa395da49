/* SPDX-License-Identifier: Apache-2.0 */
/* A curl multi handle on our loop, shared by net/client.c and net/upstream.c: libcurl says which
 * sockets and which time it waits for, the loop calls it back. */
#ifndef NET_CURL_INT_H
#define NET_CURL_INT_H

#include <curl/curl.h>

#include "net/loop.h"

struct curl_loop;

/* DONE is called for every transfer that ended, outside of libcurl's own callbacks, with the
 * private pointer of the easy handle; it may remove and free handles. */
struct curl_loop *curl_loop_new(struct loop *loop, void (*done)(void *private, CURLcode rc));
struct curl_loop *curl_loop_free(struct curl_loop *curl_loop);

/* Adds and starts a transfer. 0 or -ENOMEM. */
int curl_loop_add(struct curl_loop *curl_loop, CURL *easy);
/* Takes a transfer out; its connection goes with it. Never from inside a libcurl callback. */
void curl_loop_remove(struct curl_loop *curl_loop, CURL *easy);
/* libcurl let go of a connected socket (CURLOPT_CONNECT_ONLY): we watch it ourselves now. */
void curl_loop_forget_socket(struct curl_loop *curl_loop, curl_socket_t fd);

#endif
