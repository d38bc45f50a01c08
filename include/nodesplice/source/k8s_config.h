/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * k8s_config.h - how to reach the API server
 *
 * Layer: source.  Reads a kubeconfig (clientcmd/api/v1) or the service account
 * of a pod.  Fields that we can't honour are refused by name, never skipped
 * silently: exec and auth-provider plugins, username/password are said to be
 * unsupported (basic auth left Kubernetes in 1.19).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "nodesplice/base/err.h"
#include "nodesplice/base/mem.h"

struct k8s_config {
	char *server;	       /* "https://host:port[/path]" */
	char *tls_server_name; /* or NULL */
	bool insecure_skip_tls_verify;
	char *ca_pem; /* inline or read from its file; NULL: system's */
	size_t ca_pem_len;
	char *client_cert_pem, *client_key_pem; /* both or neither */
	size_t client_cert_pem_len, client_key_pem_len;
	/* Where these are from, to be read again; NULL: inline or none. */
	char *client_cert_file, *client_key_file;
	char *token;	  /* fixed, or NULL */
	char *token_file; /* read again before it grows a minute old */
	char *proxy_url;  /* or NULL */
	char *context;	  /* the one in use, for messages; NULL in-cluster */
};

void k8s_config_free(struct k8s_config *c);
DEFINE_FREEP(struct k8s_config, k8s_config_free)

/**
 * k8s_config_load() - Read a kubeconfig file
 * @path:	Relative file names inside are relative to its folder
 * @context:	NULL: current-context
 * @e:		Names the file, the context, cluster or user, and the field
 *
 * Return: 0; -errno
 */
int k8s_config_load(const char *path, const char *context,
		    struct k8s_config **ret_config, struct errbuf *e);

/**
 * k8s_config_read_client() - The client certificate and its key as they are now
 * @c:		With at least one of client_cert_file and client_key_file; what
 *		is inline is taken from here
 * @ret_cert:	Owned by the caller, as is @ret_key; a pair that matches
 *
 * Return: 0; -EINVAL: none, or no pair; -errno of a file; -ENOMEM
 */
int k8s_config_read_client(const struct k8s_config *c, char **ret_cert,
			   size_t *ret_cert_len, char **ret_key,
			   size_t *ret_key_len, struct errbuf *e);

/**
 * k8s_config_in_cluster() - A pod's service account
 * @server:	Overrides KUBERNETES_SERVICE_HOST and _PORT; NULL: these
 * @root:	"/var/run/secrets/kubernetes.io/serviceaccount"; another in tests
 */
int k8s_config_in_cluster(const char *server, const char *root,
			  struct k8s_config **ret_config, struct errbuf *e);
