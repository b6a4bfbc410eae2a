/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A running store is asked, not its files: LMTP up to RCPT and no further, the greetings of the
 * others, and Dovecot's doveadm whether anything is cached.  What a store does is told only when
 * it was seen; one that does not run is a doubt.
 *
 * The accounts to ask about are any of this node and any of another, from the directory.
 */
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "admin/check_report.h"
#include "admin/store_talk.h"
#include "common/proto/proxy_header.h"
#include "directory/errand.h"

enum {
    TALK_MS = 5000,
    SILENCE_MS = 300,
    ADDRESS_SIZE = 320,
    FILTER_SIZE = 3200,
    ANSWER_SIZE = 256
};

struct samples {
    char own[ADDRESS_SIZE], foreign[ADDRESS_SIZE]; /* canonical names; empty: there is none */
    const char *attribute;
};

struct sample {
    const char *attribute;
    char *address;
};

/* --- accounts ------------------------------------------------------------------------ */

static void keep_address(void *context, const struct ldap_entry *entry)
{
    struct sample *sample = context;
    const struct ldap_attribute *attribute = ldap_entry_find(entry, sample->attribute);

    if (attribute && attribute->value_count > 0 && !*sample->address &&
        !span_copy_string(attribute->values[0], sample->address, ADDRESS_SIZE))
        *sample->address = '\0';
}

static void find_sample(struct errand *errand, const struct config *config, bool is_own,
                        char address[ADDRESS_SIZE])
{
    const struct directory_config *directory = &config->directory;
    const char *attributes[] = { directory->store_name_attribute, NULL };
    struct sample sample = { directory->store_name_attribute, address };
    char filter[FILTER_SIZE];
    struct ldap_search search = { .base = directory->base,
                                  .scope = LDAP_SCOPE_OF_SUBTREE,
                                  .filter = filter,
                                  .attributes = attributes,
                                  .size_limit = 1 };
    int length =
        snprintf(filter, sizeof(filter), "(&%s(%s=*)(%s=*)%s(%s=%s)%s)", directory->filter,
                 directory->store_name_attribute, directory->host_attribute, is_own ? "" : "(!",
                 directory->host_attribute, config->node.name, is_own ? "" : ")");

    *address = '\0';
    if (length < FILTER_SIZE)
        (void)errand_search(errand, &search, keep_address, &sample);
    if (strpbrk(address, "<> \r\n"))
        *address = '\0';
}

static void find_samples(const struct config *config, struct samples *samples)
{
    struct errand errand;

    *samples = (struct samples){ .own = "" };
    if (errand_begin(&errand, config, ERRAND_READER)) {
        find_sample(&errand, config, true, samples->own);
        find_sample(&errand, config, false, samples->foreign);
    }
    errand_end(&errand);
}

/* --- LMTP ------------------------------------------------------------------------------ */

static bool ask(struct store_talk *talk, const char *address, int *code)
{
    *code = 0;
    if (!*address || !store_talk_say(talk, "RCPT TO:<%s>", address))
        return false;
    *code = store_talk_reply(talk, NULL, NULL);
    return *code != 0;
}

static void judge_fence(const struct check *check, struct store_talk *talk,
                        const struct samples *samples)
{
    char unknown[] = "mailstead-check-nobody@invalid";
    int code;

    if (ask(talk, samples->own, &code) && code / 100 != 2)
        check_fault(check,
                    "node.lmtp_store: it says %d to %s, an account of this node (%.200s); expected "
                    "250",
                    code, samples->own, talk->line);
    if (ask(talk, samples->foreign, &code) && code / 100 == 2)
        check_fault(check,
                    "node.lmtp_store: it takes mail for %s, an account of another node; expected "
                    "451: the fence in the user databases is missing",
                    samples->foreign);
    else if (code / 100 == 5)
        check_fault(check,
                    "node.lmtp_store: it says %d to %s, an account of another node; expected 451: "
                    "mail for it would bounce",
                    code, samples->foreign);
    if (ask(talk, unknown, &code) && code / 100 == 2)
        check_doubt(check, "node.lmtp_store: it takes mail for nobody's address, %s", unknown);
}

/* No setting of Dovecot helps: its trusted networks hold no unix socket. */
static void doubt_socket(const struct check *check, const char *option)
{
    check_doubt(check,
                "node.%s: Dovecot believes nothing that is said of the client at a unix socket: "
                "logs, limits and Sieve do not know it; a port on loopback tells them",
                option);
}

/* Whether it is a Dovecot that answers. */
static bool check_lmtp(const struct check *check, const struct samples *samples)
{
    const struct endpoint *store = &check->config->node.lmtp_store;
    char error[STORE_TALK_ERROR_SIZE];
    struct store_talk talk;
    bool is_dovecot = false, may_say_who = false;

    if (!store_talk_begin(&talk, store, TALK_MS, error)) {
        check_doubt(check, "node.lmtp_store: it does not answer, and was not looked at: %s", error);
        return false;
    }
    if (store_talk_reply(&talk, NULL, NULL) == 220) {
        is_dovecot = strstr(talk.line, "Dovecot") != NULL;
        if (store_talk_say(&talk, "LHLO mailstead-check") &&
            store_talk_reply(&talk, "XCLIENT", &may_say_who) == 250 &&
            store_talk_say(&talk, "MAIL FROM:<>") && store_talk_reply(&talk, NULL, NULL) == 250 &&
            is_dovecot)
            judge_fence(check, &talk, samples);
        if (is_dovecot && store->is_unix)
            doubt_socket(check, "lmtp_store");
        else if (is_dovecot && !may_say_who)
            check_fault(check, "node.lmtp_store: it does not offer XCLIENT here; "
                               "login_trusted_networks must have the address of the gate");
        if (store_talk_say(&talk, "QUIT"))
            (void)!store_talk_hear(&talk);
    } else {
        check_fault(check, "node.lmtp_store: what answers there does not speak LMTP");
    }
    store_talk_end(&talk);
    return is_dovecot;
}

/* --- the greetings of the others --------------------------------------------------------- */

/*
 * Where the PROXY protocol is expected nothing is said before its header; this one says that the
 * connection is for nobody.
 */
static bool introduce(const struct check *check, const char *option, struct store_talk *talk)
{
    if (!store_talk_is_silent(talk, SILENCE_MS)) {
        check_fault(check,
                    "node.%s: it does not wait for the PROXY header that node.pass_client promises",
                    option);
        return false;
    }
    return store_talk_send(talk, SPAN_LITERAL(PROXY_HEADER_NOBODY));
}

static void check_greeting(const struct check *check, const char *option,
                           const struct endpoint *store, const char *start, const char *mark)
{
    char error[STORE_TALK_ERROR_SIZE];
    struct store_talk talk;

    if (!*store->host)
        return;
    if (!store_talk_begin(&talk, store, TALK_MS, error)) {
        check_doubt(check, "node.%s: it does not answer, and was not looked at: %s", option, error);
        return;
    }
    if (check->config->node.pass_client == PASS_CLIENT_PROXY && !introduce(check, option, &talk)) {
        store_talk_end(&talk);
        return;
    }
    if (!store_talk_hear(&talk) || strncmp(talk.line, start, strlen(start)) != 0)
        check_fault(check, "node.%s: what answers there does not greet with \"%s\"", option, start);
    else if (store->is_unix && strstr(talk.line, "Dovecot"))
        doubt_socket(check, option);
    else if (mark && strstr(talk.line, "Dovecot") && !strstr(talk.line, mark))
        check_fault(check,
                    "node.%s: its greeting has no %s; login_trusted_networks must have the address "
                    "of the gate, or all clients have one address",
                    option, mark);
    store_talk_end(&talk);
}

/* --- the cache --------------------------------------------------------------------------- */

/* What `doveadm -c FILE auth cache flush ADDRESS` prints. */
static bool run_doveadm(const char *file, const char *address, char answer[ANSWER_SIZE])
{
    char program[] = "doveadm", option[] = "-c", flush[] = "flush", cache[] = "cache",
         auth[] = "auth";
    char *words[] = { program, option, NULL, auth, cache, flush, NULL, NULL };
    posix_spawn_file_actions_t actions;
    int ends[2], fault;
    bool is_ready;
    ssize_t length;
    pid_t pid;

    if (pipe(ends) != 0)
        return false;
    words[2] = strdup(file);
    words[6] = strdup(address);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    fault = posix_spawnp(&pid, program, &actions, NULL, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    free(words[2]);
    free(words[6]);
    close(ends[1]);
    is_ready = !fault && poll(&(struct pollfd){ .fd = ends[0], .events = POLLIN }, 1, TALK_MS) == 1;
    length = is_ready ? read(ends[0], answer, ANSWER_SIZE - 1) : -1;
    close(ends[0]);
    if (!fault) {
        if (!is_ready)
            kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    answer[length > 0 ? length : 0] = '\0';
    return length > 0;
}

/* After a question about `address`, which a cache would have kept. */
static void check_cache(const struct check *check, const char *address)
{
    char file[ANSWER_SIZE], answer[ANSWER_SIZE];

    snprintf(file, sizeof(file), "%s/dovecot.conf", check->config->dovecot.run_directory);
    if (access(file, R_OK) != 0) {
        check_doubt(check,
                    "dovecot.run_directory: %.150s has no dovecot.conf of a running Dovecot; "
                    "whether it caches was not looked at",
                    check->config->dovecot.run_directory);
        return;
    }
    if (!*address || !run_doveadm(file, address, answer) || strspn(answer, "0123456789") == 0)
        check_doubt(check, "dovecot: doveadm auth cache flush does not say whether it caches");
    else if (strtoul(answer, NULL, 10) > 0)
        check_fault(check,
                    "dovecot: auth_cache_size is not 0: it would go on serving accounts that "
                    "were moved away");
}

void check_store(const struct check *check)
{
    const struct node_config *node = &check->config->node;
    struct samples samples;
    /* Who is there may be said in POP3, or before the greeting. */
    const char *mark = node->pass_client == PASS_CLIENT_COMMAND ? "[XCLIENT]" : NULL;

    if (*node->lmtp_store.host) {
        find_samples(check->config, &samples);
        if (check_lmtp(check, &samples))
            check_cache(check, samples.own);
    }
    check_greeting(check, "imap_store", &node->imap_store, "* OK", NULL);
    check_greeting(check, "pop3_store", &node->pop3_store, "+OK", mark);
    check_greeting(check, "sieve_store", &node->sieve_store, "\"", NULL);
}
