// SPDX-License-Identifier: GPL-2.0-or-later
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "nodesplice/source/file_source.h"
#include "nodesplice/source/k8s_source.h"

#include "input.h"

#define SERVICE_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"

struct input {
	struct k8s_config *config; /* owned; NULL with manifests */
	struct k8s_source *k8s;	   /* one of these two, owned */
	struct file_source *file;
};

void input_free(struct input *in)
{
	if (!in)
		return;
	k8s_source_freep(&in->k8s);
	file_source_freep(&in->file);
	k8s_config_freep(&in->config);
	free(in);
}

static int load_config(const struct options *o, struct k8s_config **ret_config,
		       struct errbuf *e)
{
	if (o->kubeconfig)
		return k8s_config_load(o->kubeconfig, o->context, ret_config,
				       e);
	if (o->apiserver || getenv("KUBERNETES_SERVICE_HOST"))
		return k8s_config_in_cluster(o->apiserver, SERVICE_ACCOUNT,
					     ret_config, e);
	return errf(e, -EINVAL,
		    "no source of Services: give --kubeconfig FILE, "
		    "--manifests DIR, or run in a pod");
}

static int open_api(struct loop *l, struct store *st, const struct options *o,
		    const char *node_name, uint32_t socket_mark,
		    const struct source_callbacks *cb, struct input *in,
		    struct errbuf *e)
{
	struct k8s_source_options so = {
		.node_name = node_name,
		.service_proxy_name = o->service_proxy_name,
		.endpoints = o->endpoints_api,
		.socket_mark = socket_mark,
	};
	int r = load_config(o, &in->config, e);

	if (r < 0)
		return r;
	so.config = in->config;
	return k8s_source_new(l, st, &so, cb, &in->k8s, e);
}

int input_open(struct loop *l, struct store *st, const struct options *o,
	       const char *node_name, uint32_t socket_mark,
	       const struct source_callbacks *cb, struct input **ret_input,
	       struct errbuf *e)
{
	cleanup_(input_freep) struct input *in = calloc(1, sizeof(*in));
	int r;

	if (!in)
		return -ENOMEM;
	if (o->manifests)
		r = file_source_new(l, o->manifests, node_name, st, cb,
				    &in->file, e);
	else
		r = open_api(l, st, o, node_name, socket_mark, cb, in, e);
	if (r < 0)
		return r;
	*ret_input = TAKE_PTR(in);
	return 0;
}

size_t input_status(const void *input, const struct source_status **ret_status)
{
	const struct input *in = input;

	return in->k8s ? k8s_source_status(in->k8s, ret_status) :
			 file_source_status(in->file, ret_status);
}

void input_tell(struct input *in, const struct source_note *n)
{
	if (in->k8s)
		k8s_source_tell(in->k8s, n);
}

void input_note_stats(const void *input, struct source_note_stats *ret_stats)
{
	const struct input *in = input;

	*ret_stats = (struct source_note_stats){0};
	if (in->k8s)
		k8s_source_note_stats(in->k8s, ret_stats);
}

const char *input_server(const struct input *in)
{
	return in->config ? in->config->server : NULL;
}

int input_server_at(const struct input *in, struct sockad *ret_server)
{
	const char *url = input_server(in), *host;
	char authority[SOCKAD_STRLEN + 8];
	size_t len;

	host = url ? strstr(url, "://") : NULL;
	if (!host)
		return -EINVAL;
	host += strlen("://");
	len = strcspn(host, "/");
	if (len >= sizeof(authority) - sizeof(":443"))
		return -EINVAL;
	memcpy(authority, host, len);
	authority[len] = '\0';
	if (sockad_parse(authority, ret_server) == 0)
		return 0;
	strcat(authority, ":443");
	return sockad_parse(authority, ret_server);
}

int node_name_of(const struct options *o, char **ret_name, struct errbuf *e)
{
	const char *from = o->node_name ? o->node_name : getenv("NODE_NAME");
	char host[256] = "";
	char *name;

	if (!from || !*from) {
		if (gethostname(host, sizeof(host) - 1) < 0)
			return errf(e, -errno, "the host's name: %s",
				    strerror(errno));
		from = host;
	}
	name = strdup(from);
	if (!name)
		return -ENOMEM;
	for (char *p = name; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	*ret_name = name;
	return 0;
}
