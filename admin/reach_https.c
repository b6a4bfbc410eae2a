/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl does it.  A node is connected to by its address, and its certificate is verified for its
 * name; connections are kept for the next request as long as the command runs.  What the peer can
 * make us hold is bounded by struct control_answer.
 */
#include "admin/reach_https.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/memory.h"

enum { HTTP_OK = 200, PLACE_SIZE = 600 };

struct reach_https {
    const struct admin_config *config;
    CURLM *multi;
    struct curl_slist *headers;
};

struct reach_https_asking {
    struct reach_https *https;
    struct control_answer *answer;
    CURL *easy;
    struct curl_slist *connect_to;
    char *request; /* owned */
    bool is_over;  /* as far as libcurl is concerned */
    char trouble[CURL_ERROR_SIZE];
};

struct reach_https *reach_https_new(const struct admin_config *config)
{
    struct reach_https *https = memory_new(sizeof(*https));

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        abort();
    https->config = config;
    https->multi = curl_multi_init();
    https->headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (!https->multi || !https->headers)
        memory_exhausted();
    return https;
}

void reach_https_free(struct reach_https *https)
{
    if (!https)
        return;
    curl_multi_cleanup(https->multi);
    curl_slist_free_all(https->headers);
    free(https);
    curl_global_cleanup();
}

/* --- what went wrong --------------------------------------------------------------------- */

static void explain_connect(struct reach_https_asking *asking)
{
    long number = 0;

    curl_easy_getinfo(asking->easy, CURLINFO_OS_ERRNO, &number);
    control_answer_break(asking->answer, number ? strerror((int)number) : asking->trouble);
}

/* What is said before the words of libcurl or OpenSSL. */
static const char *prelude_of(CURLcode code, const char *trouble)
{
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        return "it does not prove who it is: ";
    if (code == CURLE_SSL_CERTPROBLEM)
        return "admin.client_certificate or client_key: ";
    if (code == CURLE_SSL_CACERT_BADFILE)
        return "admin.node_ca: ";
    if (strstr(trouble, " alert ")) /* in TLS 1.3 after the handshake */
        return "our certificate is refused: ";
    /* A wrong signature by an authority of the same name is an error of its own to OpenSSL. */
    return code == CURLE_SSL_CONNECT_ERROR
               ? "TLS with it failed, or its certificate is not of admin.node_ca: "
               : "";
}

static void explain(struct reach_https_asking *asking, CURLcode code)
{
    const char *trouble = *asking->trouble ? asking->trouble : curl_easy_strerror(code);
    char text[CONFIG_ERROR_SIZE];

    if (code == CURLE_COULDNT_CONNECT) {
        explain_connect(asking);
        return;
    }
    if (code == CURLE_GOT_NOTHING) {
        control_answer_break(asking->answer, "the daemon " CONTROL_ASK_AGAIN);
        return;
    }
    snprintf(text, sizeof(text), "%s%.300s", prelude_of(code, trouble), trouble);
    control_answer_break(asking->answer, text);
}

/* A refusal may come without the JSON that says why. */
static void judge_status(struct reach_https_asking *asking)
{
    char text[CONFIG_ERROR_SIZE];
    long status = 0;

    curl_easy_getinfo(asking->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status == HTTP_OK)
        control_answer_break(asking->answer, "the answer has no end");
    if (status == HTTP_OK || asking->answer->state == CONTROL_ANSWER_REFUSED)
        return;
    snprintf(text, sizeof(text),
             status == 403 ? "our certificate may not do that (HTTP status %ld)"
                           : "it answers with HTTP status %ld",
             status);
    asking->answer->state = CONTROL_ANSWER_OPEN;
    control_answer_break(asking->answer, text);
}

static void request_ended(CURL *easy, CURLcode code)
{
    struct reach_https_asking *asking = NULL;

    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&asking);
    asking->is_over = true;
    if (code == CURLE_OK)
        judge_status(asking);
    else
        explain(asking, code);
}

/* --- a request --------------------------------------------------------------------------- */

static size_t take_body(char *data, size_t size, size_t count, void *context)
{
    struct reach_https_asking *asking = context;

    control_answer_take(asking->answer, span_of(data, size * count));
    return size * count;
}

/* An IPv6 address stands in brackets. */
static void format_place(const char *host, uint16_t port, char place[PLACE_SIZE])
{
    snprintf(place, PLACE_SIZE, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
}

static void set_destination(struct reach_https_asking *asking, const struct reach_node *node)
{
    char name[PLACE_SIZE], place[PLACE_SIZE], url[PLACE_SIZE + 32], route[PLACE_SIZE + 8];

    format_place(node->tls_name, node->admin_port, name);
    format_place(node->address, node->admin_port, place);
    snprintf(url, sizeof(url), "https://%s/v1/order", name);
    snprintf(route, sizeof(route), "::%s", place);
    asking->connect_to = curl_slist_append(NULL, route);
    curl_easy_setopt(asking->easy, CURLOPT_URL, url);
    curl_easy_setopt(asking->easy, CURLOPT_CONNECT_TO, asking->connect_to);
    curl_easy_setopt(asking->easy, CURLOPT_PROXY, "");
    curl_easy_setopt(asking->easy, CURLOPT_PROTOCOLS_STR, "https");
}

static void set_tls(struct reach_https_asking *asking)
{
    const struct admin_config *config = asking->https->config;

    curl_easy_setopt(asking->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(asking->easy, CURLOPT_SSLCERT, config->client_certificate);
    curl_easy_setopt(asking->easy, CURLOPT_SSLKEY, config->client_key);
    if (!config->node_ca)
        return;
    curl_easy_setopt(asking->easy, CURLOPT_CAINFO, config->node_ca);
    curl_easy_setopt(asking->easy, CURLOPT_CAPATH, NULL); /* not the system's as well */
}

static void set_request(struct reach_https_asking *asking)
{
    CURL *easy = asking->easy;

    curl_easy_setopt(easy, CURLOPT_PRIVATE, asking);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, asking->trouble);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, asking->https->headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, asking->request);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, asking);
}

/* False, and the answer is broken, when the configuration does not say who we are. */
static bool has_identity(const struct admin_config *config, struct control_answer *answer)
{
    const char *const files[] = { config->client_certificate, config->client_key };
    char text[CONFIG_ERROR_SIZE];

    for (size_t i = 0; i < 2; i++) {
        if (!files[i])
            control_answer_break(answer, "the configuration has no admin.client_certificate");
        else if (access(files[i], R_OK) != 0) {
            snprintf(text, sizeof(text), "%.300s cannot be read: %s", files[i], strerror(errno));
            control_answer_break(answer, text);
        }
    }
    return answer->state == CONTROL_ANSWER_OPEN;
}

struct reach_https_asking *reach_https_start(struct reach_https *https,
                                             const struct reach_node *node, const json_t *request,
                                             struct control_answer *answer)
{
    struct reach_https_asking *asking;

    if (!has_identity(https->config, answer))
        return NULL;
    asking = memory_new(sizeof(*asking));
    asking->https = https;
    asking->answer = answer;
    asking->easy = curl_easy_init();
    asking->request = json_dumps(request, JSON_COMPACT);
    if (!asking->easy || !asking->request)
        memory_exhausted();
    set_destination(asking, node);
    set_tls(asking);
    set_request(asking);
    curl_multi_add_handle(https->multi, asking->easy);
    return asking;
}

void reach_https_end(struct reach_https_asking *asking)
{
    if (!asking)
        return;
    curl_multi_remove_handle(asking->https->multi, asking->easy);
    curl_easy_cleanup(asking->easy);
    curl_slist_free_all(asking->connect_to);
    free(asking->request);
    free(asking);
}

bool reach_https_is_over(const struct reach_https_asking *asking)
{
    return !asking || asking->is_over;
}

/* --- all of them --------------------------------------------------------------------------- */

static void go_on(struct reach_https *https)
{
    int running, left;
    CURLMsg *message;

    curl_multi_perform(https->multi, &running);
    while ((message = curl_multi_info_read(https->multi, &left)))
        if (message->msg == CURLMSG_DONE)
            request_ended(message->easy_handle, message->data.result);
}

void reach_https_wait(struct reach_https *https, struct pollfd *others, size_t count,
                      unsigned timeout_ms)
{
    struct curl_waitfd *descriptors;

    if (!https) {
        poll(others, count, (int)timeout_ms);
        return;
    }
    descriptors = memory_new((count + 1) * sizeof(*descriptors));

    for (size_t i = 0; i < count; i++)
        descriptors[i] =
            (struct curl_waitfd){ .fd = others[i].fd,
                                  .events = others[i].events == POLLOUT ? CURL_WAIT_POLLOUT
                                                                        : CURL_WAIT_POLLIN };
    curl_multi_poll(https->multi, descriptors, (unsigned)count, (int)timeout_ms, NULL);
    for (size_t i = 0; i < count; i++)
        others[i].revents = descriptors[i].revents;
    free(descriptors);
    go_on(https);
}
