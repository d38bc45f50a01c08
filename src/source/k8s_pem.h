/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * k8s_pem.h - certificates and keys, inline or in files
 *
 * Layer: source, private to it.  Errors begin with the name of the field and
 * never show what it holds.
 */
#pragma once

#include <stddef.h>

#include "nodesplice/base/err.h"

/* Where a PEM comes from, and what its fields are called; borrowed. */
struct k8s_pem_source {
	const char *kubeconfig; /* files are beside it */
	const char *field, *data_field;
	const char *file, *data; /* either or both; NULL or "": not given */
};

/* Beside the kubeconfig, unless absolute.  0; -ENOMEM.  @ret_path is owned. */
int k8s_pem_resolve(const char *kubeconfig, const char *file, char **ret_path);

/**
 * k8s_pem_read() - Get the bytes; inline data wins over the file
 * @ret_pem:	NUL-terminated and owned; unchanged if nothing is given
 *
 * Return: 0; -EINVAL (not base64); -errno of the file; -ENOMEM
 */
int k8s_pem_read(const struct k8s_pem_source *from, char **ret_pem,
		 size_t *ret_len, struct errbuf *e);

/* The name of the field that k8s_pem_read() takes. */
const char *k8s_pem_field(const struct k8s_pem_source *from);

/* Whether there is a certificate inside: 0; -EINVAL. */
int k8s_pem_check(const struct k8s_pem_source *from, const char *pem,
		  size_t len, struct errbuf *e);

struct k8s_pem_pair {
	const struct k8s_pem_source *cert_from, *key_from;
	const char *cert, *key;
	size_t cert_len, key_len;
};

/* Whether it is a certificate and its unencrypted key: 0; -EINVAL. */
int k8s_pem_check_pair(const struct k8s_pem_pair *pair, struct errbuf *e);
