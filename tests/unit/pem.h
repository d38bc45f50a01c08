/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pem.h - certificates for tests, made on the spot; include check.h first
 */
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

/* A self-signed certificate, its own CA, and its key; both owned. */
struct pem_pair {
	char *cert, *key;
};

static inline char *pem_text(BIO *bio)
{
	char *data, *s;
	long n = BIO_get_mem_data(bio, &data);

	assert_true(n > 0);
	s = strndup(data, (size_t)n);
	assert_non_null(s);
	BIO_free(bio);
	return s;
}

static inline void pem_name(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_non_null(ext);
	X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
}

/* @names: subjectAltName as openssl.cnf has it, "DNS:a,IP:127.0.0.1". */
static inline struct pem_pair pem_make(const char *names)
{
	BIO *cert = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	struct pem_pair pair;

	assert_non_null(pkey);
	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, pkey);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
				   (const unsigned char *)"test", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	pem_name(x, NID_basic_constraints, "critical,CA:TRUE");
	pem_name(x, NID_subject_alt_name, names);
	assert_true(X509_sign(x, pkey, EVP_sha256()) > 0);
	assert_true(PEM_write_bio_X509(cert, x));
	assert_true(
		PEM_write_bio_PrivateKey(key, pkey, NULL, NULL, 0, NULL, NULL));
	pair = (struct pem_pair){pem_text(cert), pem_text(key)};
	X509_free(x);
	EVP_PKEY_free(pkey);
	return pair;
}

static inline void pem_free(struct pem_pair *pair)
{
	free(pair->cert);
	free(pair->key);
}
