/* SPDX-License-Identifier: Apache-2.0 */
/* The policy file as the program uses it: parsed once, checked whole, then never changed.
 *
 * A struct config is immutable and counted: the fleet holds the current one, every transaction
 * takes a reference at birth, so a reload never touches a request that is under way. All strings
 * live as long as the config. docs/POLICY.md describes every key. */
#ifndef POLICY_CONFIG_H
#define POLICY_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/diag.h"
#include "base/gcra.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "proto/mcp.h"

/* Limits of the file itself. */
#define CONFIG_MAX_FILE_BYTES (4U * 1024 * 1024)
#define CONFIG_MAX_LISTENS 64
#define CONFIG_MAX_ROUTES 1000
#define CONFIG_MAX_ISSUERS 64
#define CONFIG_MAX_WORKERS 64
#define CONFIG_MAX_RULES 1000 /* of one route */
#define CONFIG_MAX_TESTS 10000

struct tls_context;

/* Where to listen: a TCP address, a unix socket, or a socket that the service manager opened. */
struct listen_address {
    struct str text;    /* as written in the policy, for messages */
    struct str fd_name; /* "fd:NAME": there is no address then; else absent */
    struct sockaddr_storage addr;
    socklen_t addr_len;
    bool has_mode; /* of a unix socket's file; without it the umask decides */
    unsigned mode;
    struct tls_context *tls; /* the config's; NULL: plain */
};

struct cidr {
    uint8_t bytes[16]; /* IPv4 as v4-mapped IPv6 */
    unsigned prefix;   /* 0..128, counted in the mapped form */
};

struct issuer_config {
    struct str name;              /* key in the policy, or "auth0" */
    struct str issuer;            /* compared byte for byte with iss */
    struct str jwks_uri;          /* absent: discovered */
    struct str ca_file;           /* absent: the system's */
    struct str trust;             /* SHA-256 of its content, hex; absent without one */
    const struct str *algorithms; /* default: RS256 only */
    size_t n_algorithms;
    bool allow_http; /* loopback host, or insecure.http_issuer */
};

struct name_value {
    struct str name;
    struct str value;
};

/* One request header made from verified claims: the first of CLAIMS that is present. */
struct identity_header {
    struct str name;
    const struct str *claims;
    size_t n_claims;
};

struct jws_signer;

/* The signed statement about the caller that goes upstream (routes[].upstream.assertion). */
struct assertion_config {
    struct str header;              /* name of the field; absent: no assertion */
    struct jws_signer *const *keys; /* the first one signs, all are published */
    size_t n_keys;                  /* 0: no assertion */
    int64_t ttl_s;
    const struct str *claims; /* further claims, copied from the token */
    size_t n_claims;
};

struct upstream_config {
    struct str url; /* as configured, absolute http or https, no fragment, no userinfo */
    bool tls;
    struct str host; /* without brackets */
    uint16_t port;
    struct str authority; /* value of the Host header: host[:port] as in the URL */
    struct str target;    /* path and query of the URL, at least "/" */
    bool has_query;       /* target holds a '?' */
    struct str origin;    /* scheme://host:port, for libcurl */
    struct str ca_file;
    struct str client_certificate;
    struct str client_key;
    const struct name_value *headers; /* sent with every request; values may be secrets */
    size_t n_headers;
    int64_t connect_timeout_ms;
    int64_t response_timeout_ms; /* until the head of the answer */
    int64_t idle_timeout_ms;     /* between bytes of the answer; 0 = none */
    uint32_t max_connections;    /* per worker; 0 = no limit */
    struct assertion_config assertion;
};

/* One entry of scope_implies: holding NAME means holding every one of IMPLIED. */
struct scope_implication {
    struct str name;
    const struct str *implied;
    size_t n_implied;
};

/* Where granted names are read from (routes[].authorize_on). */
enum authorize_on {
    AUTHORIZE_ON_SCOPE,
    AUTHORIZE_ON_PERMISSIONS,
    AUTHORIZE_ON_EITHER,
    AUTHORIZE_ON_BOTH,
};

/* How a denial of a rule looks (routes[].on_deny). */
enum on_deny { ON_DENY_CHALLENGE, ON_DENY_TOOL_ERROR };

/* What a rule says about the calls that it matches. */
enum rule_effect {
    RULE_ALLOW,   /* any caller who passed the route */
    RULE_DENY,    /* nobody */
    RULE_REQUIRE, /* who meets all of scopes, permission and claims */
};

/* CLAIM must have, or be an array with, one of VALUES. */
struct rule_claim {
    struct str name; /* top-level claim; "/act/sub": an RFC 6901 pointer into the claims */
    json_t *values;  /* array of strings, numbers and booleans; the config's, read only */
};

struct globs {
    const struct str *items;
    size_t n;
};

struct rule {
    struct str pointer;                  /* where it stands in the policy: "/routes/0/rules/2" */
    struct globs targets[MCP_N_TARGETS]; /* by kind of target; MCP_NO_TARGET: methods */
    enum rule_effect effect;
    const struct str *scopes;
    size_t n_scopes;
    struct str permission; /* with {name}; absent: none */
    const struct rule_claim *claims;
    size_t n_claims;
};

/* What one caller may ask of a route. */
struct route_limits {
    struct gcra subject_rate; /* calls; interval 0: no limit */
    struct gcra ip_rate;      /* requests, whoever sends them; interval 0: no limit */
    uint32_t subject_streams; /* open at once; 0: no limit */
};

struct route {
    size_t index;
    struct str resource;      /* canonical URI, byte for byte as in the policy */
    struct str mount;         /* its path without a final slash; "" for the root */
    struct str scheme;        /* "https" or "http" of the resource */
    struct str authority;     /* host[:port] of the resource */
    struct str origin;        /* scheme://authority of the resource, default port left out */
    struct str metadata_url;  /* absolute, for WWW-Authenticate */
    struct str metadata_json; /* the RFC 9728 document, ready to send */
    struct str name;          /* resource_name, or absent */
    const struct issuer_config *const *issuers;
    size_t n_issuers;
    const struct str *audiences;
    size_t n_audiences;
    const struct str *scopes;
    size_t n_scopes;
    struct str scope_text; /* scopes joined by SP, for challenges; empty when none */
    const struct str *scopes_supported;
    size_t n_scopes_supported;
    const struct scope_implication *implies; /* already closed: transitive */
    size_t n_implies;
    const struct str *origins; /* further allowed browser origins, normalised to lower case */
    size_t n_origins;
    bool any_origin; /* "*" */
    const struct identity_header *identity;
    size_t n_identity;
    /* Names (lower case, '_' folded to '-') that never pass from the client: identity headers,
     * upstream.headers, and the header of the assertion. */
    const struct str *stripped;
    size_t n_stripped;
    size_t max_body_bytes;
    struct route_limits limits;
    size_t max_inspect_bytes; /* of an answer, or an event, that is looked into */
    /* Each top-level claim that rules, identity headers, the assertion or the permissions of this
     * route look at, once. */
    const struct str *claims_read;
    size_t n_claims_read;
    enum authorize_on authorize_on;
    const struct rule *rules;
    size_t n_rules;
    const struct rules_index *rules_index; /* of these rules (policy/rules.h); NULL: none */
    bool default_allows;                   /* a call that no rule matches */
    bool filters_lists;
    enum on_deny on_deny;
    bool binds_sessions;
    struct upstream_config upstream;
};

struct jwks_config {
    int64_t refresh_ms;
    int64_t unknown_kid_cooldown_ms;
    int64_t max_stale_ms;
    int64_t timeout_ms;
    struct str cache_dir;     /* absent: keys are not kept on disk */
    int64_t cache_max_age_ms; /* 0: as long as keys may be used at all */
};

/* What counts when the shared store does not answer (limits.store_on_error). */
enum store_on_error {
    STORE_ERROR_LOCAL, /* this process counts for itself */
    STORE_ERROR_ALLOW,
    STORE_ERROR_REFUSE,
};

/* The Redis or Valkey that replicas share their rates in. */
struct store_config {
    bool on;
    struct str path; /* of a unix socket; absent: HOST and PORT */
    struct str host; /* name, or address without brackets */
    uint16_t port;
    struct str user;     /* absent: none */
    struct str password; /* absent: none */
    unsigned db;
    int64_t timeout_ms; /* for an answer */
    enum store_on_error on_error;
};
/* The same store, reached in the same way. */
bool store_config_eq(const struct store_config *a, const struct store_config *b);

struct limits_config {
    size_t header_bytes;
    size_t token_bytes;
    uint32_t connections;    /* 0: derived from RLIMIT_NOFILE */
    uint32_t ip_connections; /* of one peer address; 0: no limit */
    int64_t client_timeout_ms;
    size_t min_rate_bytes; /* per second; 0: none */
    int64_t drain_timeout_ms;
    struct store_config store;
};

struct audit_config {
    struct str file; /* absent: no audit; "-": standard output */
    bool fail_open;  /* calls go on when the record cannot be written */
};

/* A file that the policy names and that was read with it; pointer is where it is named. */
struct config_file {
    struct str path;
    struct str pointer;
    const struct config_file *next;
};

/* Whose trace context is gone on with (tracing.trust). */
enum trace_trust { TRACE_TRUST_NEVER, TRACE_TRUST_PROXIES, TRACE_TRUST_ALWAYS };

struct tracing_config {
    bool on;
    struct str endpoint;              /* absent: spans are made for upstreams and the log only */
    const struct name_value *headers; /* values may be secrets */
    size_t n_headers;
    struct str ca_file;
    uint64_t threshold; /* of base/sample.h, for traces begun here */
    enum trace_trust trust;
    struct str service_name;
    bool identity;
    int64_t timeout_ms;
    uint32_t queue; /* spans */
};

struct config; /* counted; see below */

struct config_data {
    const struct listen_address *listens;
    size_t n_listens;
    struct listen_address admin;
    bool has_admin;
    unsigned workers; /* 1..64, resolved */
    const struct issuer_config *issuers;
    size_t n_issuers;
    struct jwks_config jwks;
    int64_t clock_skew_s;
    const struct cidr *trusted_proxies;
    size_t n_trusted_proxies;
    const struct route *routes;
    size_t n_routes;
    struct limits_config limits;
    enum log_level log_level;
    bool log_format_set; /* false: json unless stderr is a terminal */
    enum log_format log_format;
    struct str log_file;        /* absent: standard error */
    uint64_t access_threshold;  /* of base/sample.h, for successes; 0: all are written */
    int64_t access_slow_us;     /* longer ones are always written; INT64_MAX: no matter how long */
    const struct str *insecure; /* names of the switches that are on, to be printed at start */
    size_t n_insecure;
    struct str session_secret; /* absent: random at start */
    struct audit_config audit;
    struct str user; /* "name" or "name:group", to become after the start; absent: nobody else */
    bool no_sandbox; /* insecure.no_sandbox */
    const struct config_file *files; /* a list; NULL: none */
    struct tracing_config tracing;
    struct str assertion_jwks; /* JSON, the public keys of all assertions; absent: there are none */
    size_t n_tests;            /* of the policy itself; all of them passed */
    struct str digest;         /* SHA-256 of the file, hex */
};

/* How names outside the file are looked up; tests give their own. */
struct config_sources {
    const char *(*env)(void *ctx, const char *name); /* NULL: not set */
    /* Appends the content of a regular file of at most MAX_BYTES; 0 or -errno (-EFBIG: larger,
     * -EMEDIUMTYPE: no regular file). NULL: the real file system. */
    int (*read_file)(void *ctx, const char *path, size_t max_bytes, struct buf *out);
    const char *credentials_directory; /* NULL: $cred() is an error */
    void *ctx;
    unsigned cpus; /* default of workers */
    int64_t now_s; /* the wall clock, for certificates; 0: not looked at */
};
/* What a fault of read_file() means to people: "is no regular file". */
const char *config_fault_text(int fault);
/* The process's environment, CREDENTIALS_DIRECTORY, the CPUs of cgroup and affinity mask. */
struct config_sources config_sources_system(void);

/* Reads and checks PATH. Every problem found goes to DIAG. *ret_config only when there is no
 * error; the caller owns one reference. 0, or -errno of the fault (-EINVAL: the policy is wrong,
 * -ENOENT and others: the file could not be read; both are in DIAG too). */
int config_load(const char *path, const struct config_sources *sources, struct diag *diag,
                struct config **ret_config);
/* The same from memory; BASE_DIR is where relative paths start. */
int config_parse(struct str text, const char *base_dir, const struct config_sources *sources,
                 struct diag *diag, struct config **ret_config);

const struct config_data *config_get(const struct config *config);
/* The certificates of the listening ADDRESS, as written; NULL when it is not there, or plain. The
 * config's. */
struct tls_context *config_tls_of(const struct config_data *data, struct str address);
/* Thread-safe counting. config_unref() takes NULL, wipes secrets with the last reference, returns
 * NULL. */
struct config *config_ref(struct config *config);
struct config *config_unref(struct config *config);

/* The effective policy: every key with its value or default; what $env, $file and $cred gave is
 * "[redacted]". New reference. */
json_t *config_print(const struct config *config);

#endif
