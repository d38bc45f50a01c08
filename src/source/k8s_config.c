// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A kubeconfig (client-go: tools/clientcmd/api/v1/types.go) is three lists of
 * named things and the name of a context, which names one thing of each of the
 * two other lists.  Only the chosen ones are read, so that a broken entry of
 * another cluster does not matter.  What is read is checked here, not when
 * the first connection fails: certificates and keys are parsed, and must belong
 * together.
 *
 * As in client-go: inline data wins over a file, a token file over a token, and
 * a name that is there twice is an error.
 *
 * Secrets are never part of an error's text.
 */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "nodesplice/base/fd.h"
#include "nodesplice/base/limits.h"
#include "nodesplice/base/text.h"
#include "nodesplice/source/json.h"
#include "nodesplice/source/k8s_config.h"
#include "nodesplice/source/yaml.h"

#include "k8s_field.h"
#include "k8s_pem.h"

static void secret_free(char *s)
{
	if (s)
		explicit_bzero(s, strlen(s));
	free(s);
}

static void secret_freep(char **p)
{
	secret_free(*p);
}

void k8s_config_free(struct k8s_config *c)
{
	if (!c)
		return;
	free(c->server);
	free(c->tls_server_name);
	free(c->ca_pem);
	free(c->client_cert_pem);
	secret_free(c->client_key_pem);
	free(c->client_cert_file);
	free(c->client_key_file);
	secret_free(c->token);
	free(c->token_file);
	free(c->proxy_url);
	free(c->context);
	free(c);
}

/* ---- values ---- */

static void curl_freep(char **p)
{
	curl_free(*p);
}

static void curl_urlp(CURLU **p)
{
	curl_url_cleanup(*p);
}

static bool url_has(CURLU *url, CURLUPart part)
{
	cleanup_(curl_freep) char *s = NULL;

	return curl_url_get(url, part, &s, 0) == CURLUE_OK;
}

/* "https://" is understood where no scheme is given. */
static int set_server(struct k8s_config *c, const char *text, struct errbuf *e)
{
	cleanup_(curl_urlp) CURLU *url = curl_url();
	cleanup_(curl_freep) char *scheme = NULL;
	cleanup_(freep) char *server = NULL;

	if (asprintf(&server, "%s%s", strstr(text, "://") ? "" : "https://",
		     text) < 0 ||
	    !url)
		return errf(e, -ENOMEM, "out of memory");
	if (curl_url_set(url, CURLUPART_URL, server, 0) != CURLUE_OK ||
	    curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0))
		return errf(e, -EINVAL,
			    "server: \"%s\" is not allowed "
			    "(https://host:port[/path])",
			    text);
	/* Not shown: it may hold a password. */
	if (url_has(url, CURLUPART_USER) || url_has(url, CURLUPART_PASSWORD))
		return errf(e, -EINVAL,
			    "server: a user in the URL is not supported");
	if (url_has(url, CURLUPART_QUERY) || url_has(url, CURLUPART_FRAGMENT))
		return errf(e, -EINVAL,
			    "server: \"%s\" has something behind its path",
			    text);
	c->server = TAKE_PTR(server);
	return 0;
}

/* Of a header's value: anything else would end it, and begin another. */
static int set_token(struct k8s_config *c, char **token, struct errbuf *e)
{
	for (const char *s = *token; s && *s; s++) {
		if ((unsigned char)*s <= ' ' || (unsigned char)*s >= 0x7f)
			return errf(e, -EINVAL,
				    "token: holds a blank or what is no "
				    "printable ASCII");
	}
	if (*token && **token)
		c->token = TAKE_PTR(*token);
	return 0;
}

/* ---- cluster ---- */

struct cluster_fields {
	char *server, *ca_file, *ca_data, *tls_server_name, *proxy_url;
	bool insecure;
};

static void cluster_fields_free(struct cluster_fields *f)
{
	free(f->server);
	free(f->ca_file);
	free(f->ca_data);
	free(f->tls_server_name);
	free(f->proxy_url);
}

static int read_cluster(struct json v, struct cluster_fields *ret_fields,
			struct errbuf *e)
{
	static const struct k8s_field fields[] = {
		{"server", k8s_read_string,
		 offsetof(struct cluster_fields, server)},
		{"certificate-authority", k8s_read_string,
		 offsetof(struct cluster_fields, ca_file)},
		{"certificate-authority-data", k8s_read_string,
		 offsetof(struct cluster_fields, ca_data)},
		{"tls-server-name", k8s_read_string,
		 offsetof(struct cluster_fields, tls_server_name)},
		{"proxy-url", k8s_read_string,
		 offsetof(struct cluster_fields, proxy_url)},
		{"insecure-skip-tls-verify", k8s_read_bool,
		 offsetof(struct cluster_fields, insecure)},
	};
	struct k8s_reader r = {.e = e};

	return K8S_READ_FIELDS(&r, v, fields, ret_fields);
}

static int set_ca(struct k8s_config *c, const struct k8s_pem_source *from,
		  struct errbuf *e)
{
	int r = k8s_pem_read(from, &c->ca_pem, &c->ca_pem_len, e);

	if (r < 0 || !c->ca_pem)
		return r;
	return k8s_pem_check(from, c->ca_pem, c->ca_pem_len, e);
}

static char *take_unless_empty(char **s)
{
	return *s && **s ? TAKE_PTR(*s) : NULL;
}

static int set_cluster(struct k8s_config *c, struct json v,
		       const char *kubeconfig, struct errbuf *e)
{
	cleanup_(cluster_fields_free) struct cluster_fields f = {0};
	struct k8s_pem_source ca = {kubeconfig, "certificate-authority",
				    "certificate-authority-data", NULL, NULL};
	int r = read_cluster(v, &f, e);

	if (r < 0)
		return r;
	if (!f.server || !*f.server)
		return errf(e, -EINVAL, "server is missing");
	ca.file = f.ca_file;
	ca.data = f.ca_data;
	r = set_server(c, f.server, e);
	if (r == 0)
		r = set_ca(c, &ca, e);
	if (r < 0)
		return r;
	c->insecure_skip_tls_verify = f.insecure;
	if (f.insecure && c->ca_pem)
		return errf(e, -EINVAL,
			    "insecure-skip-tls-verify: not allowed together "
			    "with %s",
			    k8s_pem_field(&ca));
	c->tls_server_name = take_unless_empty(&f.tls_server_name);
	c->proxy_url = take_unless_empty(&f.proxy_url);
	return 0;
}

/* ---- user ---- */

struct user_fields {
	char *token, *token_file, *cert_file, *cert_data, *key_file, *key_data;
};

static void user_fields_free(struct user_fields *f)
{
	secret_free(f->token);
	free(f->token_file);
	free(f->cert_file);
	free(f->cert_data);
	free(f->key_file);
	secret_free(f->key_data);
}

/* As k8s_read_string(), which shows the value that it refuses. */
static int read_secret(struct k8s_reader *r, struct json v, void *out)
{
	int error = json_string(v, out);

	return error == -EINVAL ? k8s_refuse_at(r, error, "is no string") :
				  error;
}

static int refuse_plugin(struct k8s_reader *r, struct json v, void *out)
{
	(void)v;
	(void)out;
	return k8s_refuse_at(r, -ENOTSUP,
			     "not supported: a daemon runs no credential "
			     "plugin (use token, tokenFile or a client "
			     "certificate)");
}

static int refuse_basic(struct k8s_reader *r, struct json v, void *out)
{
	(void)v;
	(void)out;
	return k8s_refuse_at(r, -ENOTSUP,
			     "not supported: Kubernetes 1.19 removed basic "
			     "authentication");
}

static int refuse_impersonation(struct k8s_reader *r, struct json v, void *out)
{
	(void)v;
	(void)out;
	return k8s_refuse_at(r, -ENOTSUP,
			     "not supported: impersonation is for people");
}

static int read_user(struct json v, struct user_fields *ret_fields,
		     struct errbuf *e)
{
	static const struct k8s_field fields[] = {
		{"exec", refuse_plugin, 0},
		{"auth-provider", refuse_plugin, 0},
		{"username", refuse_basic, 0},
		{"password", refuse_basic, 0},
		{"as", refuse_impersonation, 0},
		{"as-uid", refuse_impersonation, 0},
		{"as-groups", refuse_impersonation, 0},
		{"as-user-extra", refuse_impersonation, 0},
		{"token", read_secret, offsetof(struct user_fields, token)},
		{"tokenFile", k8s_read_string,
		 offsetof(struct user_fields, token_file)},
		{"client-certificate", k8s_read_string,
		 offsetof(struct user_fields, cert_file)},
		{"client-certificate-data", k8s_read_string,
		 offsetof(struct user_fields, cert_data)},
		{"client-key", k8s_read_string,
		 offsetof(struct user_fields, key_file)},
		{"client-key-data", read_secret,
		 offsetof(struct user_fields, key_data)},
	};
	struct k8s_reader r = {.e = e};

	return K8S_READ_FIELDS(&r, v, fields, ret_fields);
}

/* Where the bytes are from, if from a file. */
static int keep_path(const struct k8s_pem_source *from, char **ret_path)
{
	if ((from->data && *from->data) || !from->file || !*from->file)
		return 0;
	return k8s_pem_resolve(from->kubeconfig, from->file, ret_path);
}

static int set_client_certificate(struct k8s_config *c,
				  const struct user_fields *f,
				  const char *kubeconfig, struct errbuf *e)
{
	const struct k8s_pem_source cert = {kubeconfig, "client-certificate",
					    "client-certificate-data",
					    f->cert_file, f->cert_data};
	const struct k8s_pem_source key = {kubeconfig, "client-key",
					   "client-key-data", f->key_file,
					   f->key_data};
	int r = k8s_pem_read(&cert, &c->client_cert_pem,
			     &c->client_cert_pem_len, e);

	if (r == 0)
		r = k8s_pem_read(&key, &c->client_key_pem,
				 &c->client_key_pem_len, e);
	if (r == 0)
		r = keep_path(&cert, &c->client_cert_file);
	if (r == 0)
		r = keep_path(&key, &c->client_key_file);
	if (r < 0 || (!c->client_cert_pem && !c->client_key_pem))
		return r;
	if (!c->client_key_pem)
		return errf(e, -EINVAL, "%s: without client-key",
			    k8s_pem_field(&cert));
	if (!c->client_cert_pem)
		return errf(e, -EINVAL, "%s: without client-certificate",
			    k8s_pem_field(&key));
	return k8s_pem_check_pair(
		&(struct k8s_pem_pair){
			&cert,
			&key,
			c->client_cert_pem,
			c->client_key_pem,
			c->client_cert_pem_len,
			c->client_key_pem_len,
		},
		e);
}

/* The file's bytes, else a copy of what was inline. */
static int read_again(const struct k8s_pem_source *from, const char *pem,
		      size_t pem_len, char **ret_pem, size_t *ret_len,
		      struct errbuf *e)
{
	char *copy;

	if (from->file)
		return k8s_pem_read(from, ret_pem, ret_len, e);
	copy = malloc(pem_len + 1);
	if (!copy)
		return errf(e, -ENOMEM, "out of memory");
	memcpy(copy, pem, pem_len + 1);
	*ret_pem = copy;
	*ret_len = pem_len;
	return 0;
}

int k8s_config_read_client(const struct k8s_config *c, char **ret_cert,
			   size_t *ret_cert_len, char **ret_key,
			   size_t *ret_key_len, struct errbuf *e)
{
	const struct k8s_pem_source cert_from = {"", "client-certificate", "",
						 c->client_cert_file, NULL};
	const struct k8s_pem_source key_from = {"", "client-key", "",
						c->client_key_file, NULL};
	struct k8s_pem_pair pair = {.cert_from = &cert_from,
				    .key_from = &key_from};
	cleanup_(freep) char *cert = NULL;
	cleanup_(secret_freep) char *key = NULL;
	int r = read_again(&cert_from, c->client_cert_pem,
			   c->client_cert_pem_len, &cert, &pair.cert_len, e);

	if (r == 0)
		r = read_again(&key_from, c->client_key_pem,
			       c->client_key_pem_len, &key, &pair.key_len, e);
	if (r < 0)
		return r;
	pair.cert = cert;
	pair.key = key;
	r = k8s_pem_check_pair(&pair, e);
	if (r < 0)
		return r;
	*ret_cert_len = pair.cert_len;
	*ret_key_len = pair.key_len;
	*ret_cert = TAKE_PTR(cert);
	*ret_key = TAKE_PTR(key);
	return 0;
}

static int set_user(struct k8s_config *c, struct json v, const char *kubeconfig,
		    struct errbuf *e)
{
	cleanup_(user_fields_free) struct user_fields f = {0};
	int r = read_user(v, &f, e);

	if (r == 0)
		r = set_token(c, &f.token, e);
	if (r == 0 && f.token_file && *f.token_file)
		r = k8s_pem_resolve(kubeconfig, f.token_file, &c->token_file);
	return r < 0 ? r : set_client_certificate(c, &f, kubeconfig, e);
}

/* ---- the three lists ---- */

/* "contexts", and "context" inside of each entry. */
struct named_list {
	const char *name, *member;
	struct json array; /* doc NULL: absent */
};

/* The next entry; false at the end.  @ret_name has no doc if it is absent. */
static bool next_named(const struct named_list *list, int *it,
		       struct json *ret_name, struct json *ret_value)
{
	struct json entry, key, value;

	if (!list->array.doc || json_type(list->array) != JSON_ARRAY ||
	    !json_next_item(list->array, it, &entry))
		return false;
	*ret_name = *ret_value = (struct json){0};
	if (json_type(entry) != JSON_OBJECT)
		return true;
	for (int at = 0; json_next_member(entry, &at, &key, &value);) {
		if (json_equals(key, "name") && json_type(value) == JSON_STRING)
			*ret_name = value;
		else if (json_equals(key, list->member))
			*ret_value = value;
	}
	return true;
}

/* "a, b, c" for a person who has to choose. */
static void add_names(struct text *t, const struct named_list *list)
{
	const char *separator = "";
	struct json name, value;

	for (int it = 0; next_named(list, &it, &name, &value);) {
		cleanup_(freep) char *s = NULL;

		if (!name.doc || json_string(name, &s) < 0)
			continue;
		text_addf(t, "%s\"%s\"", separator, s);
		separator = ", ";
	}
	if (!*separator)
		text_add(t, "there is none");
}

static int find_named(const struct named_list *list, const char *wanted,
		      struct json *ret_value, struct errbuf *e)
{
	struct json name, value, found = {0};
	unsigned int found_n = 0;

	for (int it = 0; next_named(list, &it, &name, &value);) {
		if (name.doc && json_equals(name, wanted)) {
			found = value;
			found_n++;
		}
	}
	if (found_n > 1)
		return errf(e, -EINVAL, "%s: \"%s\" is there %u times",
			    list->name, wanted, found_n);
	if (!found_n) {
		struct text t = {0};

		add_names(&t, list);
		errf(e, -ENOENT, "%s: no \"%s\" (there: %s)", list->name,
		     wanted, t.data ? t.data : "");
		text_free(&t);
		return -ENOENT;
	}
	if (!found.doc || json_type(found) != JSON_OBJECT)
		return errf(e, -EINVAL, "%s: \"%s\" has no %s", list->name,
			    wanted, list->member);
	*ret_value = found;
	return 0;
}

/* ---- a file ---- */

struct kubeconfig {
	const char *path;
	const char *wanted_context; /* or NULL */
	struct errbuf *e;
	unsigned int documents_n;
	struct k8s_config *config; /* owned; NULL until it is read */
};

struct kubeconfig_top {
	char *current_context; /* owned */
	struct json contexts, clusters, users;
};

struct context_fields {
	char *cluster, *user; /* owned */
};

static void context_fields_free(struct context_fields *f)
{
	free(f->cluster);
	free(f->user);
}

static int keep_value(struct k8s_reader *r, struct json v, void *out)
{
	(void)r;
	*(struct json *)out = v;
	return 0;
}

static int read_top(struct json root, struct kubeconfig_top *ret_top,
		    struct errbuf *e)
{
	static const struct k8s_field fields[] = {
		{"current-context", k8s_read_string,
		 offsetof(struct kubeconfig_top, current_context)},
		{"contexts", keep_value,
		 offsetof(struct kubeconfig_top, contexts)},
		{"clusters", keep_value,
		 offsetof(struct kubeconfig_top, clusters)},
		{"users", keep_value, offsetof(struct kubeconfig_top, users)},
	};
	struct k8s_reader r = {.e = e};

	return K8S_READ_FIELDS(&r, root, fields, ret_top);
}

static int read_context(struct json v, struct context_fields *ret_fields,
			struct errbuf *e)
{
	static const struct k8s_field fields[] = {
		{"cluster", k8s_read_string,
		 offsetof(struct context_fields, cluster)},
		{"user", k8s_read_string,
		 offsetof(struct context_fields, user)},
	};
	struct k8s_reader r = {.e = e};

	return K8S_READ_FIELDS(&r, v, fields, ret_fields);
}

static int no_context(const struct named_list *contexts, struct errbuf *e)
{
	struct text t = {0};

	add_names(&t, contexts);
	errf(e, -EINVAL, "current-context is missing; choose a context (%s)",
	     t.data ? t.data : "");
	text_free(&t);
	return -EINVAL;
}

static int choose(struct k8s_config *c, const struct kubeconfig *k,
		  const struct kubeconfig_top *top,
		  struct context_fields *ret_fields)
{
	const struct named_list contexts = {"contexts", "context",
					    top->contexts};
	const char *name = k->wanted_context ? k->wanted_context :
					       top->current_context;
	struct json v;
	int r;

	if (!name || !*name)
		return no_context(&contexts, k->e);
	c->context = strdup(name);
	if (!c->context)
		return errf(k->e, -ENOMEM, "out of memory");
	r = find_named(&contexts, name, &v, k->e);
	if (r < 0)
		return r;
	r = read_context(v, ret_fields, k->e);
	if (r == 0 && (!ret_fields->cluster || !*ret_fields->cluster))
		r = errf(k->e, -EINVAL, "cluster is missing");
	return r < 0 ? errf_context(k->e, r, "context \"%s\"", name) : 0;
}

static int build(struct kubeconfig *k, const struct kubeconfig_top *top)
{
	const struct named_list clusters = {"clusters", "cluster",
					    top->clusters};
	const struct named_list users = {"users", "user", top->users};
	cleanup_(k8s_config_freep) struct k8s_config *c = calloc(1, sizeof(*c));
	cleanup_(context_fields_free) struct context_fields context = {0};
	struct json v;
	int r;

	if (!c)
		return errf(k->e, -ENOMEM, "out of memory");
	r = choose(c, k, top, &context);
	if (r < 0)
		return r;
	r = find_named(&clusters, context.cluster, &v, k->e);
	if (r < 0)
		return errf_context(k->e, r, "context \"%s\"", c->context);
	r = set_cluster(c, v, k->path, k->e);
	if (r < 0)
		return errf_context(k->e, r, "cluster \"%s\"", context.cluster);
	/* A server may let anybody in. */
	if (context.user && *context.user) {
		r = find_named(&users, context.user, &v, k->e);
		if (r < 0)
			return errf_context(k->e, r, "context \"%s\"",
					    c->context);
		r = set_user(c, v, k->path, k->e);
		if (r < 0)
			return errf_context(k->e, r, "user \"%s\"",
					    context.user);
	}
	k->config = TAKE_PTR(c);
	return 0;
}

static int read_document(const char *json, size_t len, size_t line, void *data)
{
	cleanup_(json_doc_freep) struct json_doc *doc = NULL;
	struct kubeconfig_top top = {0};
	struct kubeconfig *k = data;
	struct json root;
	int r;

	if (k->documents_n++)
		return errf(k->e, -EINVAL,
			    "line %zu: a second document is not allowed", line);
	if (json_doc_new(&doc) < 0)
		return errf(k->e, -ENOMEM, "out of memory");
	r = json_parse(doc, json, len, &root, k->e);
	if (r == 0)
		r = read_top(root, &top, k->e);
	if (r == 0)
		r = build(k, &top);
	free(top.current_context);
	return r;
}

int k8s_config_load(const char *path, const char *context,
		    struct k8s_config **ret_config, struct errbuf *e)
{
	cleanup_(secret_freep) char *data = NULL;
	struct kubeconfig k = {.path = path, .wanted_context = context, .e = e};
	size_t len;
	int r = fd_read_file(path, LIMIT_KUBECONFIG_BYTES, &data, &len, e);

	if (r < 0)
		return r;
	r = yaml_to_json(data, len, read_document, &k, e);
	if (r == 0 && !k.config)
		r = errf(e, -EINVAL, "the file is empty");
	if (r < 0) {
		k8s_config_free(k.config);
		return errf_context(e, r, "%s", path);
	}
	*ret_config = k.config;
	return 0;
}

/* ---- in a pod ---- */

static int server_of_environment(char **ret_server, struct errbuf *e)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST");
	const char *port = getenv("KUBERNETES_SERVICE_PORT");

	if (!host || !*host || !port || !*port)
		return errf(e, -ENOENT,
			    "not in a pod (KUBERNETES_SERVICE_HOST and "
			    "KUBERNETES_SERVICE_PORT are not set), and no "
			    "kubeconfig is given");
	if (asprintf(ret_server,
		     strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s",
		     host, port) < 0)
		return errf(e, -ENOMEM, "out of memory");
	return 0;
}

int k8s_config_in_cluster(const char *server, const char *root,
			  struct k8s_config **ret_config, struct errbuf *e)
{
	cleanup_(k8s_config_freep) struct k8s_config *c = calloc(1, sizeof(*c));
	cleanup_(freep) char *ca_file = NULL, *from_environment = NULL;
	cleanup_(secret_freep) char *token = NULL;
	struct k8s_pem_source ca = {root, "certificate-authority", "", NULL,
				    NULL};
	int r;

	if (!c || asprintf(&ca_file, "%s/ca.crt", root) < 0 ||
	    asprintf(&c->token_file, "%s/token", root) < 0)
		return errf(e, -ENOMEM, "out of memory");
	if (!server) {
		r = server_of_environment(&from_environment, e);
		if (r < 0)
			return r;
		server = from_environment;
	}
	r = set_server(c, server, e);
	/* Only whether it can be read: it is read again for its first use. */
	if (r == 0)
		r = fd_read_file(c->token_file, LIMIT_TOKEN_BYTES, &token, NULL,
				 e);
	ca.file = ca_file;
	if (r == 0)
		r = set_ca(c, &ca, e);
	if (r < 0)
		return errf_context(e, r, "service account");
	*ret_config = TAKE_PTR(c);
	return 0;
}
