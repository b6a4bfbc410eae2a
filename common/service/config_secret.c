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
    bool is_secret;    /* others should not be able to read it */
    size_t index;      /* of the section, when it has a title */
    const char *title; /* NULL: it has none */
};

static const struct source directory_source = {
    .section = "directory",
    .option = "bind_password_file",
    .programs = CONFIG_BIT(CONFIG_FRONTEND) | CONFIG_BIT(CONFIG_BACKEND) | CONFIG_BIT(CONFIG_ADMIN),
    .is_secret = true,
};
static const struct source relay_host_source = {
    .section = "relay_host",
    .option = "password_file",
    .programs = CONFIG_BIT(CONFIG_FRONTEND),
    .is_secret = true,
};
static const struct source master_source = {
    .section = "master",
    .option = "password_file",
    .programs = CONFIG_BIT(CONFIG_FRONTEND),
    .is_secret = true,
};
static const struct source admin_source = {
    .section = "admin",
    .option = "bind_password_file",
    .programs = CONFIG_BIT(CONFIG_ADMIN),
    .is_secret = true,
};

static const struct source dovecot_source = {
    .section = "dovecot",
    .option = "bind_password_file",
    .programs = CONFIG_BIT(CONFIG_ADMIN),
    .is_secret = true,
};
static const struct source replica_source = {
    .section = "replica",
    .option = "password_file",
    .programs = CONFIG_BIT(CONFIG_BACKEND) | CONFIG_BIT(CONFIG_ADMIN),
    .is_secret = true,
};

static struct source certificate_source(const char *section, size_t index, const char *title)
{
    return (struct source){ .section = section,
                            .option = "certificate",
                            .programs = CONFIG_BIT(CONFIG_FRONTEND) | CONFIG_BIT(CONFIG_BACKEND),
                            .index = index,
                            .title = title };
}

static void warn_if_open(const struct source *source, const char *file)
{
    struct stat status;

    if (source->is_secret && stat(file, &status) == 0 && (status.st_mode & S_IROTH))
        LOG_EVENT(LOG_LEVEL_WARNING, NULL, "secret_is_world_readable",
                  LOG_TEXT("section", source->section), LOG_TEXT("option", source->option),
                  LOG_TEXT("file", file));
}

static void complain_content(struct config_loader *loader, const struct source *source,
                             const char *file, const char *fault)
{
    bool has_title = source->title != NULL;

    config_loader_complain(
        loader, config_loader_line(loader, source->section, source->index, source->option),
        "%s%s%.127s%s.%s: %.200s %s", source->section, has_title ? " \"" : "",
        has_title ? source->title : "", has_title ? "\"" : "", source->option, file, fault);
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
        complain_content(loader, source, file, error);
    return content;
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

static void read_pair(struct config_loader *loader, struct source source, struct pem_config *pem,
                      const char *certificate_file, const char *key_file)
{
    pem->certificate = read_pem(loader, &source, certificate_file);
    source.option = "key";
    source.is_secret = true;
    pem->key = read_pem(loader, &source, key_file);
}

/* One that this program does not use is not read. */
static void read_admin_port(struct config_loader *loader)
{
    struct admin_port_config *port = &loader->config->admin_port;
    struct source authorities = certificate_source("admin_port", 0, NULL);

    if (!*port->endpoint.host)
        return;
    read_pair(loader, certificate_source("admin_port", 0, NULL), &port->pem, port->certificate_file,
              port->key_file);
    authorities.option = "client_ca";
    port->client_ca = read_pem(loader, &authorities, port->client_ca_file);
}

static void read_certificates(struct config_loader *loader)
{
    struct tls_config *tls = &loader->config->tls;
    struct backend_tls_config *own = &loader->config->backend_tls;

    read_pair(loader, certificate_source("tls", 0, NULL), &tls->pem, tls->certificate_file,
              tls->key_file);
    read_pair(loader, certificate_source("backend_tls", 0, NULL), &own->pem, own->certificate_file,
              own->key_file);
    for (size_t i = 0; i < tls->other_count; i++) {
        struct certificate_config *other = &tls->others[i];

        read_pair(loader, certificate_source("certificate", i, other->title), &other->pem,
                  other->certificate_file, other->key_file);
    }
}

/* A certificate that does not fit its key would otherwise show in a worker, at a client's
 * connection. */
static void check_certificates(struct config_loader *loader)
{
    const struct tls_config *tls = &loader->config->tls;
    struct source source = certificate_source("tls", 0, NULL);
    char error[TLS_ERROR_SIZE];
    size_t wrong;

    if (!tls->pem.certificate || !tls->pem.key ||
        config_certificates_are_usable(tls, &wrong, error))
        return;
    if (wrong == 0) {
        complain_content(loader, &source, tls->certificate_file, error);
    } else if (wrong <= tls->other_count) {
        const struct certificate_config *other = &tls->others[wrong - 1];

        source = certificate_source("certificate", wrong - 1, other->title);
        complain_content(loader, &source, other->certificate_file, error);
    } else {
        config_loader_complain(loader, config_loader_line(loader, "tls", 0, NULL), "tls: %s",
                               error);
    }
}

/* Judged as those towards mail clients are, so that a wrong one refuses the start or the reload. */
static void check_pem(struct config_loader *loader, const char *section,
                      const struct pem_config *pem, const char *file, char *client_ca_file)
{
    const struct tls_config tls = { .pem = *pem,
                                    .min_version = TLS_VERSION_1_2,
                                    .ciphers = loader->config->tls.ciphers,
                                    .client_ca = client_ca_file };
    struct source source = certificate_source(section, 0, NULL);
    char error[TLS_ERROR_SIZE];
    size_t wrong;

    if (pem->certificate && pem->key && !config_certificates_are_usable(&tls, &wrong, error))
        complain_content(loader, &source, file, error);
}

static void check_admin_port_certificate(struct config_loader *loader)
{
    const struct admin_port_config *port = &loader->config->admin_port;

    if (port->client_ca)
        check_pem(loader, "admin_port", &port->pem, port->certificate_file, port->client_ca_file);
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
    read_secret(loader, &master_source, &config->master.password);
    read_secret(loader, &admin_source, &config->admin.bind_password);
    read_secret(loader, &dovecot_source, &config->dovecot.bind_password);
    read_secret(loader, &replica_source, &config->replica.password);
    read_certificates(loader);
    read_admin_port(loader);
    if (loader->complaints == 0)
        check_certificates(loader);
    if (loader->complaints == 0)
        check_admin_port_certificate(loader);
    if (loader->complaints == 0)
        check_pem(loader, "backend_tls", &config->backend_tls.pem,
                  config->backend_tls.certificate_file, NULL);
    check_authorities(loader, "directory", config->directory.ca);
    check_authorities(loader, "backend_tls", config->backend_tls.ca);
    check_authorities(loader, "relay_host", config->relay_host.ca);
}

static void wipe_key(struct pem_config *pem)
{
    if (pem->key)
        explicit_bzero(pem->key, strlen(pem->key));
    free(pem->key);
    pem->key = NULL;
}

static void wipe_keys(struct tls_config *tls)
{
    wipe_key(&tls->pem);
    for (size_t i = 0; i < tls->other_count; i++)
        wipe_key(&tls->others[i].pem);
}

void config_wipe_secrets(struct config *config, unsigned keep)
{
    if (!(keep & CONFIG_SECRET_DIRECTORY))
        explicit_bzero(config->directory.bind_password.value, CONFIG_SECRET_SIZE);
    if (!(keep & CONFIG_SECRET_TLS_KEY)) {
        wipe_keys(&config->tls);
        wipe_key(&config->backend_tls.pem);
    }
    if (!(keep & CONFIG_SECRET_ADMIN_PORT))
        wipe_key(&config->admin_port.pem);
    if (!(keep & CONFIG_SECRET_RELAY_HOST))
        explicit_bzero(config->relay_host.password.value, CONFIG_SECRET_SIZE);
    if (!(keep & CONFIG_SECRET_MASTER))
        explicit_bzero(config->master.password.value, CONFIG_SECRET_SIZE);
    if (!(keep & CONFIG_SECRET_REPLICA))
        explicit_bzero(config->replica.password.value, CONFIG_SECRET_SIZE);
    if (!(keep & CONFIG_SECRET_ADMIN)) {
        explicit_bzero(config->admin.bind_password.value, CONFIG_SECRET_SIZE);
        explicit_bzero(config->dovecot.bind_password.value, CONFIG_SECRET_SIZE);
    }
}
