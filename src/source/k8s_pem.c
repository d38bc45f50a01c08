// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "nodesplice/base/fd.h"
#include "nodesplice/base/limits.h"
#include "nodesplice/base/mem.h"

#include "k8s_pem.h"

static void ctx_freep(EVP_ENCODE_CTX **p)
{
	EVP_ENCODE_CTX_free(*p);
}

/* Base64, possibly in several lines; strict otherwise. */
static int decode_base64(const char *text, char **ret_data, size_t *ret_len)
{
	cleanup_(ctx_freep) EVP_ENCODE_CTX *ctx = EVP_ENCODE_CTX_new();
	size_t text_n = strlen(text);
	cleanup_(freep) char *data = malloc(text_n + 1);
	int n = 0, rest_n = 0;

	if (!ctx || !data)
		return -ENOMEM;
	EVP_DecodeInit(ctx);
	if (EVP_DecodeUpdate(ctx, (unsigned char *)data, &n,
			     (const unsigned char *)text, (int)text_n) < 0 ||
	    EVP_DecodeFinal(ctx, (unsigned char *)data + n, &rest_n) < 0) {
		explicit_bzero(data, text_n);
		return -EINVAL;
	}
	data[n + rest_n] = '\0';
	*ret_len = (size_t)(n + rest_n);
	*ret_data = TAKE_PTR(data);
	return 0;
}

int k8s_pem_resolve(const char *kubeconfig, const char *file, char **ret_path)
{
	const char *slash = strrchr(kubeconfig, '/');
	char *path;

	if (*file == '/' || !slash)
		path = strdup(file);
	else if (asprintf(&path, "%.*s/%s", (int)(slash - kubeconfig),
			  kubeconfig, file) < 0)
		path = NULL;
	if (!path)
		return -ENOMEM;
	*ret_path = path;
	return 0;
}

int k8s_pem_read(const struct k8s_pem_source *from, char **ret_pem,
		 size_t *ret_len, struct errbuf *e)
{
	cleanup_(freep) char *path = NULL;
	int r;

	if (from->data && *from->data) {
		r = decode_base64(from->data, ret_pem, ret_len);
		return r < 0 ? errf(e, r, "%s: not base64", from->data_field) :
			       0;
	}
	if (!from->file || !*from->file)
		return 0;
	r = k8s_pem_resolve(from->kubeconfig, from->file, &path);
	if (r < 0)
		return errf(e, r, "out of memory");
	r = fd_read_file(path, LIMIT_KUBECONFIG_BYTES, ret_pem, ret_len, e);
	return r < 0 ? errf_context(e, r, "%s", from->field) : 0;
}

const char *k8s_pem_field(const struct k8s_pem_source *from)
{
	return from->data && *from->data ? from->data_field : from->field;
}

static void biop(BIO **p)
{
	BIO_free(*p);
}

static void x509p(X509 **p)
{
	X509_free(*p);
}

static void pkeyp(EVP_PKEY **p)
{
	EVP_PKEY_free(*p);
}

/* The first certificate of a PEM; NULL: none. */
static X509 *parse_certificate(const char *pem, size_t len)
{
	cleanup_(biop) BIO *bio = BIO_new_mem_buf(pem, (int)len);
	X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

	ERR_clear_error();
	return cert;
}

/* OpenSSL would ask at the terminal. */
static int no_password(char *buf, int size, int writing, void *data)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)data;
	return 0;
}

static EVP_PKEY *parse_key(const char *pem, size_t len)
{
	cleanup_(biop) BIO *bio = BIO_new_mem_buf(pem, (int)len);
	EVP_PKEY *key =
		bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) :
		      NULL;

	ERR_clear_error();
	return key;
}

int k8s_pem_check(const struct k8s_pem_source *from, const char *pem,
		  size_t len, struct errbuf *e)
{
	cleanup_(x509p) X509 *cert = parse_certificate(pem, len);

	return cert ? 0 :
		      errf(e, -EINVAL, "%s: holds no PEM certificate",
			   k8s_pem_field(from));
}

int k8s_pem_check_pair(const struct k8s_pem_pair *pair, struct errbuf *e)
{
	cleanup_(x509p)
		X509 *cert = parse_certificate(pair->cert, pair->cert_len);
	cleanup_(pkeyp) EVP_PKEY *key = parse_key(pair->key, pair->key_len);
	int matching;

	if (!cert)
		return errf(e, -EINVAL, "%s: holds no PEM certificate",
			    k8s_pem_field(pair->cert_from));
	if (!key)
		return errf(e, -EINVAL,
			    "%s: holds no PEM private key, or an encrypted one",
			    k8s_pem_field(pair->key_from));
	matching = X509_check_private_key(cert, key);
	ERR_clear_error();
	if (matching != 1)
		return errf(e, -EINVAL, "%s is not the key of %s",
			    k8s_pem_field(pair->key_from),
			    k8s_pem_field(pair->cert_from));
	return 0;
}
