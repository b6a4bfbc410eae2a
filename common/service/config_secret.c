/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that the configuration names: passwords and PEM texts.  Read once
 * by who may (the supervisor, before privileges are dropped), wiped in each
 * process that has no use for them.  A text here is never in a message.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/io/tls.h"
#include "common/service/config_certificate.h"
#include "common/service/config_loader.h"
#include "common/service/config_text.h"

enum { PEM_MAX = 262144 };

/* One file to read: where it is configured, and the programs that use it. */
struct source {
    const char *section, *option;
    unsigned programs;
    bool is_secret; /* others should not be able to read it */
};

static const struct source directory_source = {
    "directory", "bind_password_file",
    CONFIG_BIT(CONFIG_FRONTEND) | CONFIG_BIT(CONFIG_BACKEND) | CONFIG_BIT(CONFIG_ADMIN), true
};
static const struct source relay_host_source = { "relay_host", "password_file",
                                                 CONFIG_BIT(CONFIG_FRONTEND), true };
static const struct source admin_source = { "admin", "bind_password_file", CONFIG_BIT(CONFIG_ADMIN),
                                            true };
static const struct source certificate_source = {
    "tls", "certificate", CONFIG_BIT(CONFIG_FRONTEND) | CONFIG_BIT(CONFIG_BACKEND), false
};
static const struct source key_source = { "tls", "key",
                                          CONFIG_BIT(CONFIG_FRONTEND) | CONFIG_BIT(CONFIG_BACKEND),
                                          true };

static void warn_if_open(const struct source *source, const char *file)
{
    struct stat status;

    if (source->is_secret && stat(file, &status) == 0 && (status.st_mode & S_IROTH))
        LOG_EVENT(LOG_LEVEL_WARNING, NULL, "secret_is_world_readable",
                  LOG_TEXT("section", source->section), LOG_TEXT("option", source->option),
                  LOG_TEXT("file", file));
}

/* The content of `file`, NULL when it has none to read, when this program does not use it or it is
 * wrong. */
static char *read_source(struct config_loader *loader, const struct source *source,
                         const char *file, size_t limit, size_t *length)
{
    char error[CONFIG_ERROR_SIZE / 2];
    char *content;

    if (!file || !(source->programs & CONFIG_BIT(loader->program)))
        return NULL;
    warn_if_open(source, file);
    content = config_text_read(file, limit, length, error, sizeof(error));
    if (!content)
        config_loader_complain(loader,
                               config_loader_line(loader, source->section, 0, source->option),
                               "%s.%s: %.200s %s", source->section, source->option, file, error);
    return content;
}

static void complain_content(struct config_loader *loader, const struct source *source,
                             const char *file, const char *fault)
{
    config_loader_complain(loader, config_loader_line(loader, source->section, 0, source->option),
                           "%s.%s: %.200s %s", source->section, source->option, file, fault);
}

static void read_secret(struct config_loader *loader, const struct source *source,
                        struct secret *secret)
{
    size_t length;
    char *content = read_source(loader, source, secret->file, CONFIG_SECRET_SIZE, &length);

    if (!content)
        return;
    if (length > 0 && content[length - 1] == '\n')
        content[--length] = '\0';
    if (length > 0 && content[length - 1] == '\r')
        content[--length] = '\0';
    if (length == 0)
        complain_content(loader, source, secret->file, "is empty; expected a password");
    else if (length >= CONFIG_SECRET_SIZE || span_has_line_break_or_nul(span_of(content, length)))
        complain_content(loader, source, secret->file,
                         "is no password; expected one line of at most 255 bytes");
    else
        memcpy(secret->value, content, length + 1);
    explicit_bzero(content, CONFIG_SECRET_SIZE);
    free(content);
}

static char *read_pem(struct config_loader *loader, const struct source *source, const char *file)
{
    size_t length;
    char *content = read_source(loader, source, file, PEM_MAX, &length);
    char *text;

    if (!content)
        return NULL;
    if (!strstr(content, "-----BEGIN "))
        complain_content(loader, source, file, "is no PEM file; expected -----BEGIN");
    text = memory_copy_string(content);
    explicit_bzero(content, length);
    free(content);
    return text;
}

/* A certificate that does not fit its key would otherwise show in a worker, at a client's
 * connection. */
static void check_certificate(struct config_loader *loader)
{
    const struct tls_config *tls = &loader->config->tls;
    char error[TLS_ERROR_SIZE];

    if (tls->certificate && tls->key &&
        !config_certificate_is_usable(tls->certificate, tls->key, error))
        complain_content(loader, &certificate_source, tls->certificate_file, error);
}

static void check_authorities(struct config_loader *loader, const char *section, const char *file)
{
    char error[TLS_ERROR_SIZE];
    SSL_CTX *context;

    if (!file || loader->program == CONFIG_ADMIN)
        return;
    context = tls_client_context(file, true, error);
    if (!context)
        config_loader_complain(loader, config_loader_line(loader, section, 0, "ca"),
                               "%s.ca: %.200s %s", section, file, error);
    SSL_CTX_free(context);
}

void config_loader_read_secrets(struct config_loader *loader)
{
    struct config *config = loader->config;

    read_secret(loader, &directory_source, &config->directory.bind_password);
    read_secret(loader, &relay_host_source, &config->relay_host.password);
    read_secret(loader, &admin_source, &config->admin.bind_password);
    config->tls.certificate = read_pem(loader, &certificate_source, config->tls.certificate_file);
    config->tls.key = read_pem(loader, &key_source, config->tls.key_file);
    if (loader->complaints == 0)
        check_certificate(loader);
    check_authorities(loader, "directory", config->directory.ca);
    check_authorities(loader, "backend_tls", config->backend_tls.ca);
    check_authorities(loader, "relay_host", config->relay_host.ca);
}

static void wipe_key(struct tls_config *tls)
{
    if (tls->key)
        explicit_bzero(tls->key, strlen(tls->key));
    free(tls->key);
    tls->key = NULL;
}

void config_wipe_secrets(struct config *config, unsigned keep)
{
    if (!(keep & CONFIG_SECRET_DIRECTORY))
        explicit_bzero(config->directory.bind_password.value, CONFIG_SECRET_SIZE);
    if (!(keep & CONFIG_SECRET_TLS_KEY))
        wipe_key(&config->tls);
    if (!(keep & CONFIG_SECRET_RELAY_HOST))
        explicit_bzero(config->relay_host.password.value, CONFIG_SECRET_SIZE);
    if (!(keep & CONFIG_SECRET_ADMIN))
        explicit_bzero(config->admin.bind_password.value, CONFIG_SECRET_SIZE);
}
