/* SPDX-License-Identifier: Apache-2.0 */
/* What a daemon takes without a word, but an administrator should hear of. */
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "admin/check.h"
#include "common/base/memory.h"
#include "directory/reassign/journal_folder.h"

enum { CERTIFICATE_DAYS_LEFT = 14, DAY_S = 86400 };

struct doubts {
    const struct config *config;
    enum config_program program;
    const struct backend_set *backends;
    check_warning *warn;
    void *context;
};

static void doubt(const struct doubts *doubts, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void doubt(const struct doubts *doubts, const char *format, ...)
{
    char text[CHECK_TEXT_SIZE];
    va_list values;

    va_start(values, format);
    vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    doubts->warn(doubts->context, text);
}

static bool is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 ||
           strcmp(host, "localhost") == 0;
}

static bool is_clear_ldap(const char *uri, bool starttls)
{
    const char *host = uri + strlen("ldap://");

    if (strncmp(uri, "ldap://", strlen("ldap://")) != 0 || starttls)
        return false;
    return strncmp(host, "127.", 4) != 0 && strncmp(host, "localhost", 9) != 0 &&
           strncmp(host, "[::1]", 5) != 0;
}

static void look_at_secret(const struct doubts *doubts, const char *option, const char *file)
{
    struct stat status;

    if (file && stat(file, &status) == 0 && (status.st_mode & (S_IROTH | S_IWOTH)))
        doubt(doubts, "%s: %s can be read by everybody; chmod 600 it", option, file);
}

static void look_at_secrets(const struct doubts *doubts)
{
    const struct config *config = doubts->config;

    look_at_secret(doubts, "directory.bind_password_file", config->directory.bind_password.file);
    look_at_secret(doubts, "admin.bind_password_file", config->admin.bind_password.file);
    look_at_secret(doubts, "relay_host.password_file", config->relay_host.password.file);
    look_at_secret(doubts, "tls.key", config->tls.key_file);
    for (size_t i = 0; i < config->tls.other_count; i++)
        look_at_secret(doubts, "key", config->tls.others[i].key_file);
}

static void look_at_certificate(const struct doubts *doubts, const char *option, const char *pem,
                                const char *file)
{
    struct tls_certificate_facts facts;
    int64_t left_s;

    if (!pem || !tls_certificate_describe(pem, &facts))
        return;
    left_s = facts.expires_s - (int64_t)time(NULL);
    if (left_s < 0)
        doubt(doubts, "%s: %s has expired", option, file);
    else if (left_s < CERTIFICATE_DAYS_LEFT * DAY_S)
        doubt(doubts, "%s: %s expires in %d days", option, file, (int)(left_s / DAY_S));
}

static void look_at_certificates(const struct doubts *doubts)
{
    const struct tls_config *tls = &doubts->config->tls;

    look_at_certificate(doubts, "tls.certificate", tls->pem.certificate, tls->certificate_file);
    for (size_t i = 0; i < tls->other_count; i++)
        look_at_certificate(doubts, "certificate", tls->others[i].pem.certificate,
                            tls->others[i].certificate_file);
}

static bool has_remote_backend(const struct backend_set *backends)
{
    for (size_t i = 0; i < backends->count; i++)
        if (!is_loopback(backend_set_at(backends, i)->addresses[0]))
            return true;
    return false;
}

static void look_at_backends(const struct doubts *doubts)
{
    const struct directory_config *directory = &doubts->config->directory;

    if (directory->backend_base && directory->unverified_backends)
        doubt(doubts,
              "directory.unverified_backends: is on; WHOEVER CAN WRITE AN ENTRY BELOW %s IS GIVEN "
              "PASSWORDS AND MAIL",
              directory->backend_base);
    for (size_t i = 0; i < doubts->backends->count; i++) {
        const struct backend *backend = backend_set_at(doubts->backends, i);

        if (backend->state != BACKEND_UP)
            doubt(doubts, "backend \"%s\": is set %s", backend->name,
                  backend_state_names[backend->state]);
    }
}

static void look_at_backend_tls(const struct doubts *doubts)
{
    const struct backend_tls_config *tls = &doubts->config->backend_tls;

    if (doubts->program != CONFIG_FRONTEND || !has_remote_backend(doubts->backends))
        return;
    if (tls->transport == TLS_MODE_OFF)
        doubt(doubts, "backend_tls.transport: is off; passwords and mail go to the backends in "
                      "the clear");
    else if (!tls->verify)
        doubt(doubts, "backend_tls.verify: is off; whoever is in the path can pose as a backend "
                      "and read passwords");
}

static void look_at_directory(const struct doubts *doubts)
{
    const struct directory_config *directory = &doubts->config->directory;
    const struct admin_config *admin = &doubts->config->admin;

    for (size_t i = 0; i < directory->uri.count; i++)
        if (directory->bind_dn && is_clear_ldap(directory->uri.items[i], directory->starttls))
            doubt(doubts,
                  "directory.uri: the password goes to %s in the clear; set starttls or "
                  "use ldaps://",
                  directory->uri.items[i]);
    if (admin->write_uri && admin->bind_dn && is_clear_ldap(admin->write_uri, admin->starttls))
        doubt(doubts,
              "admin.write_uri: the password goes to %s in the clear; set starttls or "
              "use ldaps://",
              admin->write_uri);
}

/* Better known now than on a bad night. */
static void look_at_journals(const struct doubts *doubts)
{
    const char *directory = doubts->config->admin.journal_directory;
    const char *trouble = directory ? journal_folder_trouble(directory) : NULL;

    if (trouble)
        doubt(doubts,
              "admin.journal_directory: %s: %s; mailstead reassign and restore keep no journal "
              "there, and do not work",
              directory, trouble);
}

static void look_at_admin(const struct doubts *doubts)
{
    const struct admin_config *admin = &doubts->config->admin;

    if (!admin->write_uri)
        doubt(doubts, "admin: there is no admin.write_uri; mailstead reassign and restore do not "
                      "work with this file");
    else if (admin->bind_password.file && access(admin->bind_password.file, R_OK) != 0)
        doubt(doubts,
              "admin.bind_password_file: %s cannot be read here; mailstead reassign and "
              "restore do not work",
              admin->bind_password.file);
    look_at_journals(doubts);
}

static void look_at_listeners(const struct doubts *doubts)
{
    for (size_t i = 0; i < doubts->config->listener_count; i++) {
        const struct listener_config *listener = &doubts->config->listeners[i];

        if (listener->plaintext_allowed && listener->tls != TLS_MODE_IMPLICIT &&
            !is_loopback(listener->endpoint.host))
            doubt(doubts, "listen \"%s\".plaintext_allowed: passwords are taken in the clear",
                  listener->name);
    }
}

/* A folder that the daemon will make itself, if what it stands in is there. */
static void look_at_folder(const struct doubts *doubts, const char *option, const char *path)
{
    struct stat status;

    if (stat(path, &status) != 0)
        doubt(doubts, "%s: %s is not there; the daemon will make it", option, path);
    else if (!S_ISDIR(status.st_mode))
        doubt(doubts, "%s: %s is no folder; the daemon will not start", option, path);
}

static void look_at_machine(const struct doubts *doubts)
{
    const struct config *config = doubts->config;

    look_at_folder(doubts, "run_directory", config->run_directory);
    look_at_folder(doubts, "state_directory", config->state_directory);
    if (doubts->program == CONFIG_FRONTEND)
        look_at_folder(doubts, "queue.directory", config->queue.directory);
    if (*config->user && geteuid() == 0 && !getpwnam(config->user))
        doubt(doubts,
              "user: there is no account \"%s\" on this machine; the daemon will not "
              "start",
              config->user);
}

static void look_at_roles(const struct doubts *doubts)
{
    const struct config *config = doubts->config;

    if (doubts->program == CONFIG_FRONTEND && !config->relay_host.address)
        doubt(doubts, "relay_host: there is none; failure reports to senders outside the cluster "
                      "are held in the queue");
    if (doubts->program == CONFIG_BACKEND && doubts->backends->count > 0 &&
        !backend_set_find(doubts->backends, config->node.name))
        doubt(doubts, "node.name: there is no backend \"%s\"", config->node.name);
}

void check_doubts(const struct config *config, enum config_program program,
                  const struct backend_set *backends, check_warning *warn, void *context)
{
    static void (*const looks[])(const struct doubts *) = {
        look_at_secrets,     look_at_certificates, look_at_backends,
        look_at_backend_tls, look_at_directory,    look_at_admin,
        look_at_listeners,   look_at_machine,      look_at_roles,
    };
    const struct doubts doubts = { config, program, backends, warn, context };

    for (size_t i = 0; i < ARRAY_LENGTH(looks); i++)
        looks[i](&doubts);
}
