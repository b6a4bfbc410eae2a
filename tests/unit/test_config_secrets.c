/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/config_support.h"

#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509.h>

#include "common/base/log.h"

static struct config *load_secret(const char *content, size_t length)
{
    char text[2048];

    config_write_file("secret", content, length, 0600);
    snprintf(text, sizeof(text),
             GOOD "directory { bind_dn = \"cn=x\"\n"
                  " bind_password_file = \"%s/secret\" }\n",
             config_folder);
    return config_load_text(text, CONFIG_FRONTEND, true);
}

static void assert_secret_refused(const char *content, size_t length, const char *fault)
{
    char expected[512];

    assert_null(load_secret(content, length));
    snprintf(expected, sizeof(expected), "5: directory.bind_password_file: %s/secret %s\n",
             config_folder, fault);
    assert_string_equal(config_complaints, expected);
}

static void test_a_secret_is_one_line_without_its_end(void **unused)
{
    char longest[CONFIG_SECRET_SIZE];
    struct config *config = load_secret("geheim \n", 8);

    (void)unused;
    assert_non_null(config);
    assert_string_equal(config->directory.bind_password.value, "geheim ");
    config_wipe_secrets(config, CONFIG_SECRET_DIRECTORY);
    assert_string_equal(config->directory.bind_password.value, "geheim ");
    config_wipe_secrets(config, ~0U & ~(unsigned)CONFIG_SECRET_DIRECTORY);
    for (size_t i = 0; i < CONFIG_SECRET_SIZE; i++)
        assert_int_equal(config->directory.bind_password.value[i], 0);
    config_free(config);

    memset(longest, 'x', sizeof(longest));
    config = load_secret(longest, 255);
    assert_non_null(config);
    config_free(config);
    assert_secret_refused(longest, 256, "is no password; expected one line of at most 255 bytes");
    assert_secret_refused("a\nb\n", 4, "is no password; expected one line of at most 255 bytes");
    assert_secret_refused("a\0b", 3, "is no password; expected one line of at most 255 bytes");
    assert_secret_refused("\n", 1, "is empty; expected a password");
}

static void test_each_process_keeps_its_own_secrets_alone(void **unused)
{
    struct config config = { .workers = 1 };

    (void)unused;
    strcpy(config.replica.password.value, "of copies");
    strcpy(config.admin.bind_password.value, "of the command");
    config_wipe_secrets(&config, CONFIG_SECRET_REPLICA);
    assert_string_equal(config.replica.password.value, "of copies");
    assert_string_equal(config.admin.bind_password.value, "");
    config_wipe_secrets(&config, CONFIG_SECRET_ADMIN);
    assert_string_equal(config.replica.password.value, "");
}

static void test_a_secret_that_is_not_there_is_an_error_only_for_who_reads_it(void **unused)
{
    const char *text =
        GOOD "admin { bind_dn = \"cn=a\"\n bind_password_file = \"/nonexistent/s\" }\n";
    struct config *config = config_load_text(text, CONFIG_FRONTEND, true);

    (void)unused;
    assert_non_null(config);
    config_free(config);
    assert_null(config_load_text(text, CONFIG_ADMIN, true));
    assert_string_equal(config_complaints,
                        "5: admin.bind_password_file: /nonexistent/s cannot be opened: "
                        "No such file or directory\n");
    config = config_load_text(text, CONFIG_ADMIN, false);
    assert_non_null(config);
    config_free(config);
}

/* Writes a new key and a certificate for it. */
static void make_certificate(const char *certificate_name, const char *key_name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    BIO *texts[2] = { BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()) };
    const char *names[2] = { certificate_name, key_name };

    assert_non_null(key);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    assert_int_equal(X509_set_pubkey(certificate, key), 1);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_bio_X509(texts[0], certificate), 1);
    assert_int_equal(PEM_write_bio_PrivateKey(texts[1], key, NULL, NULL, 0, NULL, NULL), 1);
    for (int i = 0; i < 2; i++) {
        char *content;
        long length = BIO_get_mem_data(texts[i], &content);

        config_write_file(names[i], content, (size_t)length, 0600);
        BIO_free(texts[i]);
    }
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void test_pem_files_are_read_and_the_key_wiped(void **unused)
{
    char text[2048];
    struct config *config;

    (void)unused;
    make_certificate("c.pem", "k.pem");
    snprintf(text, sizeof(text), GOOD "tls { certificate = \"%s/c.pem\"\n key = \"%s/k.pem\" }\n",
             config_folder, config_folder);
    config = config_load_text(text, CONFIG_FRONTEND, true);
    assert_string_equal(config_complaints, "");
    assert_non_null(config);
    assert_non_null(strstr(config->tls.pem.key, "-----BEGIN PRIVATE KEY-----"));
    config_wipe_secrets(config, CONFIG_SECRET_DIRECTORY);
    assert_null(config->tls.pem.key);
    assert_non_null(config->tls.pem.certificate);
    config_free(config);
}

static void test_more_certificates_are_read_and_their_keys_wiped(void **unused)
{
    char text[2048];
    struct config *config;

    (void)unused;
    make_certificate("c.pem", "k.pem");
    make_certificate("c2.pem", "k2.pem");
    snprintf(text, sizeof(text),
             GOOD "tls { certificate = \"%s/c.pem\" key = \"%s/k.pem\" min_version = 1.3\n"
                  "ciphers = HIGH client_identity = common_name ticket_key_s = 60 }\n"
                  "certificate \"shop\" { certificate = \"%s/c2.pem\" key = \"%s/k2.pem\" }\n",
             config_folder, config_folder, config_folder, config_folder);
    config = config_load_text(text, CONFIG_FRONTEND, true);
    assert_string_equal(config_complaints, "");
    assert_non_null(config);
    assert_int_equal(config->tls.min_version, TLS_VERSION_1_3);
    assert_int_equal(config->tls.client_identity, TLS_IDENTITY_COMMON_NAME);
    assert_int_equal(config->tls.ticket_key_s, 60);
    assert_int_equal(config->tls.expiry_warning_days, 14);
    assert_int_equal(config->tls.other_count, 1);
    assert_string_equal(config->tls.others[0].title, "shop");
    assert_non_null(strstr(config->tls.others[0].pem.key, "-----BEGIN PRIVATE KEY-----"));
    config_wipe_secrets(config, CONFIG_SECRET_DIRECTORY);
    assert_null(config->tls.others[0].pem.key);
    assert_non_null(config->tls.others[0].pem.certificate);
    config_free(config);
}

static void test_what_is_wrong_with_a_certificate_is_said_of_its_section(void **unused)
{
    char text[2048];

    (void)unused;
    make_certificate("c.pem", "k.pem");
    make_certificate("c2.pem", "k2.pem");
    snprintf(text, sizeof(text),
             GOOD "tls { certificate = \"%s/c.pem\" key = \"%s/k.pem\" }\n"
                  "certificate \"a\" { certificate = \"%s/c2.pem\" key = \"%s/k2.pem\" }\n"
                  "certificate \"b\" {\n certificate = \"%s/c.pem\" key = \"%s/k2.pem\" }\n",
             config_folder, config_folder, config_folder, config_folder, config_folder,
             config_folder);
    assert_null(config_load_text(text, CONFIG_FRONTEND, true));
    assert_non_null(strstr(config_complaints, "7: certificate \"b\".certificate: "));
    snprintf(text, sizeof(text),
             GOOD "tls { certificate = \"%s/c.pem\" key = \"%s/k.pem\"\n ciphers = NONE-SUCH }\n",
             config_folder, config_folder);
    assert_null(config_load_text(text, CONFIG_FRONTEND, true));
    assert_non_null(strstr(config_complaints, "tls: ciphers: "));
    assert_config_refused(
        GOOD "certificate \"a\" {\n certificate = \"/c\" key = \"/k\" }\n",
        "5: certificate \"a\": there is no tls.certificate; expected one, for clients "
        "that ask for no name\n");
}

static void test_a_key_that_is_none_or_of_another_certificate_is_refused(void **unused)
{
    char text[2048];

    (void)unused;
    make_certificate("c.pem", "k.pem");
    make_certificate("ca.pem", "k.pem");
    snprintf(text, sizeof(text),
             GOOD "tls { certificate = \"%s/c.pem\"\n key = \"%s/k.pem\" }\n"
                  "backend_tls {\n ca = \"%s/k.pem\" }\n",
             config_folder, config_folder, config_folder);
    assert_null(config_load_text(text, CONFIG_FRONTEND, true));
    assert_non_null(strstr(config_complaints, "4: tls.certificate: "));
    assert_non_null(strstr(config_complaints, "7: backend_tls.ca: "));
    config_write_file("k.pem", "hello\n", 6, 0600);
    assert_null(config_load_text(text, CONFIG_FRONTEND, true));
    assert_non_null(strstr(config_complaints, "5: tls.key: "));
    assert_non_null(strstr(config_complaints, "k.pem is no PEM file; expected -----BEGIN\n"));
}

static void test_a_secret_that_all_can_read_is_a_warning(void **unused)
{
    char text[2048], line[512];
    int log[2];
    ssize_t length;
    struct config *config;

    (void)unused;
    config_write_file("open", "x\n", 2, 0644);
    snprintf(text, sizeof(text), GOOD "relay_host { user = u password_file = \"%s/open\" }",
             config_folder);
    assert_int_equal(pipe(log), 0);
    log_set_descriptor(log[1]);
    config = config_load_text(text, CONFIG_FRONTEND, true);
    log_set_descriptor(STDERR_FILENO);
    assert_non_null(config);
    config_free(config);
    length = read(log[0], line, sizeof(line) - 1);
    assert_true(length > 0);
    line[length] = '\0';
    assert_non_null(strstr(line, " warning event=secret_is_world_readable section=relay_host "
                                 "option=password_file file="));
    close(log[0]);
    close(log[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_process_keeps_its_own_secrets_alone),
        cmocka_unit_test(test_a_secret_is_one_line_without_its_end),
        cmocka_unit_test(test_a_secret_that_is_not_there_is_an_error_only_for_who_reads_it),
        cmocka_unit_test(test_pem_files_are_read_and_the_key_wiped),
        cmocka_unit_test(test_more_certificates_are_read_and_their_keys_wiped),
        cmocka_unit_test(test_what_is_wrong_with_a_certificate_is_said_of_its_section),
        cmocka_unit_test(test_a_key_that_is_none_or_of_another_certificate_is_refused),
        cmocka_unit_test(test_a_secret_that_all_can_read_is_a_warning),
    };

    return cmocka_run_group_tests(tests, config_folder_make, config_folder_remove);
}
