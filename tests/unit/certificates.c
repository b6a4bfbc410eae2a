/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include "common/base/memory.h"
#include "tests/unit/certificates.h"

static char *bio_take_text(BIO *bio)
{
    char *bytes;
    long length = BIO_get_mem_data(bio, &bytes);
    char *text = memory_new((size_t)length + 1);

    memcpy(text, bytes, (size_t)length);
    BIO_free(bio);
    return text;
}

static void certificate_write(struct test_certificate *certificate)
{
    BIO *x509 = BIO_new(BIO_s_mem());
    BIO *pkey = BIO_new(BIO_s_mem());

    assert_int_equal(PEM_write_bio_X509(x509, certificate->x509), 1);
    assert_int_equal(PEM_write_bio_PrivateKey(pkey, certificate->pkey, NULL, NULL, 0, NULL, NULL),
                     1);
    certificate->certificate = bio_take_text(x509);
    certificate->key = bio_take_text(pkey);
}

static void certificate_extend(X509 *x509, int kind, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, kind, value);

    assert_non_null(extension);
    assert_int_equal(X509_add_ext(x509, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* With a key of its own that is there already, or a new one. */
static void certificate_make(struct test_certificate *certificate,
                             const struct test_certificate *authority, const char *name,
                             const char *alternative_names)
{
    static long serial;
    X509 *x509 = X509_new();
    X509_NAME *subject = X509_get_subject_name(x509);
    const X509 *issuer = authority ? authority->x509 : x509;

    certificate->x509 = x509;
    if (!certificate->pkey)
        certificate->pkey = EVP_EC_gen("P-256");
    assert_non_null(certificate->pkey);
    X509_set_version(x509, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x509), -TEST_CERTIFICATE_S);
    X509_gmtime_adj(X509_getm_notAfter(x509), TEST_CERTIFICATE_S);
    X509_set_pubkey(x509, certificate->pkey);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x509, X509_get_subject_name(issuer));
    if (alternative_names)
        certificate_extend(x509, NID_subject_alt_name, alternative_names);
    else
        certificate_extend(x509, NID_basic_constraints, "critical,CA:TRUE");
    assert_true(X509_sign(x509, authority ? authority->pkey : certificate->pkey, EVP_sha256()) > 0);
    certificate_write(certificate);
}

void test_authority_make(struct test_certificate *authority)
{
    authority->pkey = NULL;
    certificate_make(authority, NULL, "Test authority", NULL);
}

void test_authority_issue(struct test_certificate *certificate,
                          const struct test_certificate *authority)
{
    certificate->pkey = NULL;
    certificate_make(certificate, authority, "Test intermediate", NULL);
}

void test_certificate_issue(struct test_certificate *certificate,
                            const struct test_certificate *authority, const char *alternative_names)
{
    certificate->pkey = NULL;
    certificate_make(certificate, authority, "Test server", alternative_names);
}

void test_certificate_issue_rsa(struct test_certificate *certificate,
                                const struct test_certificate *authority,
                                const char *alternative_names)
{
    certificate->pkey = EVP_RSA_gen(2048);
    certificate_make(certificate, authority, "Test server", alternative_names);
}

SSL_CTX *test_server_context(const struct test_certificate *certificate, char error[TLS_ERROR_SIZE])
{
    const struct tls_certificate pem = { certificate->certificate, certificate->key };
    size_t wrong;

    return tls_server_context(
        &(struct tls_server_options){ .certificates = &pem, .certificate_count = 1 }, &wrong,
        error);
}

void test_certificate_free(struct test_certificate *certificate)
{
    X509_free(certificate->x509);
    EVP_PKEY_free(certificate->pkey);
    free(certificate->certificate);
    free(certificate->key);
}

void test_pem_write(const char *pem, char *path)
{
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, pem, strlen(pem)), strlen(pem));
    close(fd);
}
