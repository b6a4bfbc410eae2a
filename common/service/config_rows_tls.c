/* SPDX-License-Identifier: Apache-2.0 */
/* TLS, towards clients and towards backends. */
#include "common/service/config_rows.h"

const char *const config_tls_words[] = { "off", "starttls", "implicit", NULL };
static const char *const tls_version_words[] = { "1.2", "1.3", NULL };
static const char *const identity_words[] = { "email", "common_name", NULL };

static const struct config_option tls_options[] = {
    PATH(tls_config, certificate_file, "certificate", NULL, TEXT_MAX,
         "The PEM file with the certificate and its chain, shown to clients."),
    PATH(tls_config, key_file, "key", NULL, TEXT_MAX, "The PEM file with the private key."),
    WORD(tls_config, min_version, "1.2", tls_version_words, 0,
         "The oldest version of TLS that clients may use."),
    TEXT(
        tls_config, ciphers, "ECDHE+AESGCM:ECDHE+CHACHA20", 0,
        "The ciphers of TLS 1.2, as a list of OpenSSL's (openssl-ciphers(1)); those of TLS 1.3 are "
        "all good."),
    PATH(tls_config, client_ca, "client_ca", NULL, TEXT_MAX,
         "The PEM file of the authorities of clients: each is asked for a certificate, and none "
         "needs to have one; without it, nobody is asked."),
    WORD(tls_config, client_identity, "email", identity_words, 0,
         "Which name of a client's certificate is who it is, for the mechanism EXTERNAL: the first "
         "rfc822Name of its subjectAltName, or the common name of its subject."),
    NUMBER(tls_config, ticket_key_s, "3600", 1, DAY_S,
           "Seconds after which session tickets are sealed with a new key; they are still opened "
           "under the two keys before it."),
    NUMBER(tls_config, expiry_warning_days, "14", 0, 365,
           "Days before the end of a certificate from which on the log warns of it; 0: never."),
};

const struct config_section config_tls_section =
    SINGLE("tls", "", offsetof(struct config, tls), tls_options, "TLS towards clients.");

static const struct config_option certificate_options[] = {
    ROW(PATH, certificate_config, certificate_file, "certificate", NULL, 1, TEXT_MAX, NULL, ~0U,
        "The PEM file with the certificate and its chain."),
    ROW(PATH, certificate_config, key_file, "key", NULL, 1, TEXT_MAX, NULL, ~0U,
        "The PEM file with its private key."),
};

const struct config_section config_certificate_section = TITLED(
    "certificate", "", tls.others, tls.other_count, certificate_config, certificate_options,
    "One more certificate beside that of section tls, shown to clients that ask for one of its "
    "names (SNI); its title is only for people, and two with the same names and keys of "
    "different algorithms, RSA and ECDSA, go together.");

static const struct config_option backend_tls_options[] = {
    WORD(backend_tls_config, transport, "starttls", config_tls_words, 0,
         "How connections to backends are protected."),
    BOOLEAN(backend_tls_config, verify, "true", "Whether a backend's certificate must be valid."),
    PATH(backend_tls_config, ca, "ca", NULL, TEXT_MAX,
         "The PEM file of the authorities of backends; without it, the system's."),
    PATH(backend_tls_config, certificate_file, "certificate", NULL, TEXT_MAX,
         "The PEM file with the certificate, and its chain, that is shown to backends that ask for "
         "one; without it, none is."),
    PATH(backend_tls_config, key_file, "key", NULL, TEXT_MAX,
         "The PEM file with the private key of certificate."),
    TEXT(backend_tls_config, name, "%b", 0,
         "The name that the certificate of a backend from the directory must have; %b stands for "
         "the backend's name."),
};

const struct config_section config_backend_tls_section =
    SINGLE("backend_tls", "", offsetof(struct config, backend_tls), backend_tls_options,
           "TLS towards backends.");
