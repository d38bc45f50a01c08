// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include <stdio.h>
#include <sys/stat.h>

#include "pem.h"

#include "../../src/source/k8s_client.h"
#include "nodesplice/base/text.h"
#include "nodesplice/source/k8s_config.h"

static char folder[64];
static struct pem_pair pair, other;

static const char *at(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void write_file(const char *name, const char *content)
{
	FILE *f = fopen(at(name), "w");

	assert_non_null(f);
	assert_true(fputs(content, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static char *base64(const char *s)
{
	size_t n = strlen(s);
	char *out = malloc(n * 4 / 3 + 8);

	assert_non_null(out);
	EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)s, (int)n);
	return out;
}

static int group_setup(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/test_k8s_config.XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	pair = pem_make("DNS:example");
	other = pem_make("DNS:example");
	write_file("ca.pem", pair.cert);
	write_file("client.pem", pair.cert);
	write_file("client.key", pair.key);
	write_file("other.key", other.key);
	write_file("empty.pem", "nothing here\n");
	return 0;
}

static int group_teardown(void **state)
{
	static const char *const names[] = {"ca.pem",	  "client.pem",
					    "client.key", "other.key",
					    "empty.pem",  "config"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		remove(at(names[i]));
	pem_free(&pair);
	pem_free(&other);
	return rmdir(folder);
}

/* Write @content as a kubeconfig and read it. */
static int load(const char *content, const char *context,
		struct k8s_config **ret_config, struct errbuf *e)
{
	write_file("config", content);
	return k8s_config_load(at("config"), context, ret_config, e);
}

#define TWO_CONTEXTS                                                           \
	"apiVersion: v1\n"                                                     \
	"kind: Config\n"                                                       \
	"current-context: one\n"                                               \
	"contexts:\n"                                                          \
	"- name: one\n"                                                        \
	"  context: {cluster: c1, user: u1, namespace: x}\n"                   \
	"- name: two\n"                                                        \
	"  context: {cluster: c2, user: u2}\n"                                 \
	"clusters:\n"                                                          \
	"- name: c1\n"                                                         \
	"  cluster: {server: 'https://10.0.0.1:6443',"                         \
	" certificate-authority: ca.pem}\n"                                    \
	"- name: c2\n"                                                         \
	"  cluster: {server: 'https://[fd00::1]:6443/prefix',"                 \
	" insecure-skip-tls-verify: true, tls-server-name: kubernetes,"        \
	" proxy-url: 'http://proxy:3128'}\n"                                   \
	"users:\n"                                                             \
	"- name: u1\n"                                                         \
	"  user: {token: abc.def}\n"                                           \
	"- name: u2\n"                                                         \
	"  user: {tokenFile: dir/token, client-certificate: client.pem,"       \
	" client-key: client.key}\n"

static void the_current_context_is_taken(void **state)
{
	cleanup_(k8s_config_freep) struct k8s_config *c = NULL;
	struct errbuf e = {""};

	(void)state;
	assert_int_equal(load(TWO_CONTEXTS, NULL, &c, &e), 0);
	assert_string_equal(c->context, "one");
	assert_string_equal(c->server, "https://10.0.0.1:6443");
	assert_string_equal(c->token, "abc.def");
	assert_string_equal(c->ca_pem, pair.cert);
	assert_int_equal(c->ca_pem_len, strlen(pair.cert));
	assert_null(c->token_file);
	assert_null(c->client_cert_pem);
	assert_null(c->tls_server_name);
	assert_false(c->insecure_skip_tls_verify);
}

static void another_context_can_be_chosen(void **state)
{
	cleanup_(k8s_config_freep) struct k8s_config *c = NULL;
	struct errbuf e = {""};

	(void)state;
	assert_int_equal(load(TWO_CONTEXTS, "two", &c, &e), 0);
	assert_string_equal(c->context, "two");
	assert_string_equal(c->server, "https://[fd00::1]:6443/prefix");
	assert_string_equal(c->tls_server_name, "kubernetes");
	assert_string_equal(c->proxy_url, "http://proxy:3128");
	assert_string_equal(c->token_file, at("dir/token"));
	assert_string_equal(c->client_cert_pem, pair.cert);
	assert_string_equal(c->client_key_pem, pair.key);
	assert_string_equal(c->client_cert_file, at("client.pem"));
	assert_string_equal(c->client_key_file, at("client.key"));
	assert_null(c->ca_pem);
	assert_null(c->token);
	assert_true(c->insecure_skip_tls_verify);
}

static void inline_data_wins_over_files(void **state)
{
	cleanup_(freep) char *cert = base64(pair.cert);
	cleanup_(freep) char *key = base64(pair.key);
	cleanup_(k8s_config_freep) struct k8s_config *c = NULL;
	struct errbuf e = {""};
	struct text t = {0};

	(void)state;
	text_addf(&t,
		  "current-context: x\n"
		  "contexts: [{name: x, context: {cluster: x, user: x}}]\n"
		  "clusters: [{name: x, cluster: {server: 'https://h',"
		  " certificate-authority: /nowhere,"
		  " certificate-authority-data: %s}}]\n"
		  "users: [{name: x, user: {client-certificate: /nowhere,"
		  " client-certificate-data: %s, client-key: /nowhere,"
		  " client-key-data: %s}}]\n",
		  cert, cert, key);
	assert_int_equal(load(t.data, NULL, &c, &e), 0);
	assert_string_equal(c->ca_pem, pair.cert);
	assert_string_equal(c->client_cert_pem, pair.cert);
	assert_string_equal(c->client_key_pem, pair.key);
	assert_null(c->client_cert_file);
	assert_null(c->client_key_file);
	text_free(&t);
}

/* --- the client certificate that is presented --- */

static void write_client(const struct pem_pair *of, const char *key)
{
	write_file("client.pem", of->cert);
	write_file("client.key", key);
}

static void a_replaced_client_certificate_is_read_when_it_is_time(void **state)
{
	cleanup_(k8s_config_freep) struct k8s_config *c = NULL;
	cleanup_(k8s_client_release) struct k8s_client now = {0};
	struct errbuf e = {""};

	(void)state;
	assert_int_equal(load(TWO_CONTEXTS, "two", &c, &e), 0);
	k8s_client_refresh(&now, c, 60000, 1000000);
	assert_string_equal(now.cert_pem, pair.cert);
	write_client(&other, other.key);
	k8s_client_refresh(&now, c, 60000, 1059999);
	assert_string_equal(now.cert_pem, pair.cert);
	k8s_client_refresh(&now, c, 60000, 1060000);
	assert_string_equal(now.cert_pem, other.cert);
	assert_string_equal(now.key_pem, other.key);
	assert_int_equal(now.cert_pem_len, strlen(other.cert));
	/* At once after a request that failed. */
	write_client(&pair, pair.key);
	now.suspect = true;
	k8s_client_refresh(&now, c, 60000, 1060001);
	assert_string_equal(now.cert_pem, pair.cert);
	assert_false(now.suspect);
}

static void half_a_replacement_leaves_the_former_pair_in_use(void **state)
{
	cleanup_(k8s_config_freep) struct k8s_config *c = NULL;
	cleanup_(k8s_client_release) struct k8s_client now = {0};
	struct errbuf e = {""};

	(void)state;
	assert_int_equal(load(TWO_CONTEXTS, "two", &c, &e), 0);
	k8s_client_refresh(&now, c, 60000, 1000000);
	write_client(&other, pair.key);
	k8s_client_refresh(&now, c, 60000, 1060000);
	assert_string_equal(now.cert_pem, pair.cert);
	assert_string_equal(now.error.text,
			    "client-key is not the key of client-certificate");
	remove(at("client.key"));
	k8s_client_refresh(&now, c, 60000, 1060001);
	assert_string_equal(now.key_pem, pair.key);
	assert_non_null(strstr(now.error.text, "client-key: "));
	/* Looked at for each request until it is one. */
	write_client(&other, other.key);
	k8s_client_refresh(&now, c, 60000, 1060002);
	assert_string_equal(now.cert_pem, other.cert);
	assert_string_equal(now.error.text, "");
	write_client(&pair, pair.key);
}

static void what_is_inline_is_never_read_again(void **state)
{
	cleanup_(freep) char *key = base64(pair.key);
	cleanup_(k8s_config_freep) struct k8s_config *c = NULL;
	cleanup_(k8s_client_release) struct k8s_client now = {0};
	const struct k8s_config none = {0};
	struct errbuf e = {""};
	struct text t = {0};

	(void)state;
	k8s_client_refresh(&now, &none, 0, 1000000);
	assert_null(now.cert_pem);
	text_addf(&t,
		  "current-context: x\n"
		  "contexts: [{name: x, context: {cluster: x, user: x}}]\n"
		  "clusters: [{name: x, cluster: {server: 'https://h'}}]\n"
		  "users: [{name: x, user: {client-certificate: client.pem,"
		  " client-key-data: %s}}]\n",
		  key);
	assert_int_equal(load(t.data, NULL, &c, &e), 0);
	assert_null(c->client_key_file);
	k8s_client_refresh(&now, c, 0, 1000000);
	assert_string_equal(now.cert_pem, pair.cert);
	assert_string_equal(now.key_pem, pair.key);
	text_free(&t);
}

static void json_is_read_as_well(void **state)
{
	cleanup_(k8s_config_freep) struct k8s_config *c = NULL;
	struct errbuf e = {""};

	(void)state;
	assert_int_equal(
		load("{\"current-context\":\"x\",\"contexts\":[{\"name\":\"x\","
		     "\"context\":{\"cluster\":\"x\"}}],\"clusters\":[{\"name\""
		     ":\"x\",\"cluster\":{\"server\":\"localhost:8443\"}}]}",
		     NULL, &c, &e),
		0);
	assert_string_equal(c->server, "https://localhost:8443");
	assert_null(c->token);
}

/* A kubeconfig whose only cluster and user have these fields. */
static int load_fields(const char *cluster, const char *user, struct errbuf *e)
{
	cleanup_(k8s_config_freep) struct k8s_config *c = NULL;
	struct text t = {0};
	int r;

	text_addf(&t,
		  "current-context: x\n"
		  "contexts: [{name: x, context: {cluster: x, user: x}}]\n"
		  "clusters: [{name: x, cluster: {%s}}]\n"
		  "users: [{name: x, user: {%s}}]\n",
		  cluster, user);
	r = load(t.data, NULL, &c, e);
	text_free(&t);
	return r;
}

#define SERVER "server: 'https://h:6443'"

static void what_we_cannot_honour_is_refused_by_name(void **state)
{
	static const struct {
		const char *user, *text;
	} rows[] = {
		{"exec: {command: aws}", "user \"x\": exec: not supported"},
		{"auth-provider: {name: gcp}",
		 "user \"x\": auth-provider: not supported"},
		{"username: a, password: b",
		 "user \"x\": username: not supported"},
		{"password: b", "user \"x\": password: not supported"},
		{"as: root", "user \"x\": as: not supported"},
		{"as-groups: [a]", "user \"x\": as-groups: not supported"},
	};
	struct errbuf e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(load_fields(SERVER, rows[i].user, &e),
				 -ENOTSUP);
		assert_non_null(strstr(e.text, rows[i].text));
		assert_ptr_equal(strstr(e.text, folder), e.text);
	}
}

static void bad_fields_are_named_with_their_owner(void **state)
{
	static const struct {
		const char *cluster, *user, *text;
	} rows[] = {
		{"", "", "cluster \"x\": server is missing"},
		{"server: 'ftp://h'", "",
		 "cluster \"x\": server: \"ftp://h\" is not allowed"},
		{"server: 'https://'", "", "cluster \"x\": server: "},
		{"server: 'https://h/?a=b'", "", "behind its path"},
		{"server: 7", "", "cluster \"x\": server: 7 is not allowed"},
		{SERVER ", certificate-authority-data: '%%%'", "",
		 "cluster \"x\": certificate-authority-data: not base64"},
		{SERVER ", certificate-authority-data: bm8=", "",
		 "cluster \"x\": certificate-authority-data: holds no PEM"},
		{SERVER ", certificate-authority: nowhere.pem", "",
		 "nowhere.pem: No such file"},
		{SERVER ", certificate-authority: empty.pem", "",
		 "cluster \"x\": certificate-authority: holds no PEM"},
		{SERVER ", certificate-authority: ca.pem,"
			" insecure-skip-tls-verify: true",
		 "",
		 "insecure-skip-tls-verify: not allowed together with "
		 "certificate-authority"},
		{SERVER ", insecure-skip-tls-verify: maybe", "",
		 "insecure-skip-tls-verify: "},
		{SERVER, "client-certificate: client.pem",
		 "user \"x\": client-certificate: without client-key"},
		{SERVER, "client-key: client.key",
		 "user \"x\": client-key: without client-certificate"},
		{SERVER,
		 "client-certificate: client.pem, client-key: other.key",
		 "user \"x\": client-key is not the key of client-certificate"},
		{SERVER, "client-certificate: client.pem, client-key: ca.pem",
		 "user \"x\": client-key: holds no PEM private key"},
	};
	struct errbuf e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_true(load_fields(rows[i].cluster, rows[i].user, &e) < 0);
		if (!strstr(e.text, rows[i].text))
			fail_msg("\"%s\" is not in \"%s\"", rows[i].text,
				 e.text);
	}
}

static void an_error_never_shows_a_secret(void **state)
{
	static const char *const users[] = {
		"token: \"se cret\"",
		"token: \"secret\\r\\nX: y\"",
		"token: {secret: secret}",
		"client-key-data: secret, client-certificate: client.pem",
		"client-key-data: [secret]",
		"password: secret",
	};
	struct errbuf e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
		assert_true(load_fields(SERVER, users[i], &e) < 0);
		assert_null(strstr(e.text, "secret"));
	}
	assert_true(load_fields("server: 'https://u:secret@h'", "", &e) < 0);
	assert_null(strstr(e.text, "secret"));
}

static void names_that_lead_nowhere_are_listed(void **state)
{
	struct k8s_config *c = NULL;
	struct errbuf e;

	(void)state;
	assert_int_equal(load(TWO_CONTEXTS, "three", &c, &e), -ENOENT);
	assert_non_null(strstr(
		e.text, "contexts: no \"three\" (there: \"one\", \"two\")"));
	assert_true(load("contexts: [{name: one}]", NULL, &c, &e) < 0);
	assert_non_null(strstr(e.text,
			       "current-context is missing; choose a context "
			       "(\"one\")"));
	assert_true(load("current-context: x\n"
			 "contexts: [{name: x, context: {cluster: gone}}]\n",
			 NULL, &c, &e) < 0);
	assert_non_null(strstr(e.text, "context \"x\": clusters: no \"gone\" "
				       "(there: there is none)"));
	assert_true(load("current-context: x\n"
			 "contexts: [{name: x, context: {}}]\n",
			 NULL, &c, &e) < 0);
	assert_non_null(strstr(e.text, "context \"x\": cluster is missing"));
	assert_true(load("current-context: x\n"
			 "contexts: [{name: x, context: {cluster: a}},"
			 " {name: x, context: {cluster: b}}]\n",
			 NULL, &c, &e) < 0);
	assert_non_null(strstr(e.text, "\"x\" is there 2 times"));
	assert_null(c);
}

static void what_is_no_kubeconfig_is_refused(void **state)
{
	static const char *const contents[] = {
		"",
		"[]",
		"just text",
		"contexts: 7\ncurrent-context: x",
		"contexts: [7, {}, {name: 7}]\ncurrent-context: x",
		"current-context: [x]",
		"a: b: c",
		TWO_CONTEXTS "---\na: b\n",
	};
	struct k8s_config *c = NULL;
	struct errbuf e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
		e.text[0] = '\0';
		assert_true(load(contents[i], NULL, &c, &e) < 0);
		assert_ptr_equal(strstr(e.text, at("config")), e.text);
		assert_null(c);
	}
	assert_int_equal(k8s_config_load("/nowhere/config", NULL, &c, &e),
			 -ENOENT);
}

static void a_broken_entry_of_another_context_does_not_matter(void **state)
{
	cleanup_(k8s_config_freep) struct k8s_config *c = NULL;
	struct errbuf e = {""};

	(void)state;
	assert_int_equal(load(TWO_CONTEXTS "- name: u3\n"
					   "  user: {exec: {command: aws}}\n"
					   "- 7\n",
			      NULL, &c, &e),
			 0);
	assert_string_equal(c->token, "abc.def");
}

static void a_pod_uses_its_service_account(void **state)
{
	cleanup_(k8s_config_freep) struct k8s_config *c = NULL, *named = NULL;
	struct errbuf e = {""};

	(void)state;
	write_file("ca.crt", pair.cert);
	write_file("token", "abc\n");
	setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
	setenv("KUBERNETES_SERVICE_PORT", "443", 1);
	assert_int_equal(k8s_config_in_cluster(NULL, folder, &c, &e), 0);
	assert_string_equal(c->server, "https://[fd00::1]:443");
	assert_string_equal(c->token_file, at("token"));
	assert_string_equal(c->ca_pem, pair.cert);
	assert_int_equal(
		k8s_config_in_cluster("10.0.0.1:6443", folder, &named, &e), 0);
	assert_string_equal(named->server, "https://10.0.0.1:6443");
	remove(at("token"));
	remove(at("ca.crt"));
}

static void outside_of_a_pod_there_is_none(void **state)
{
	struct k8s_config *c = NULL;
	struct errbuf e;

	(void)state;
	unsetenv("KUBERNETES_SERVICE_HOST");
	assert_int_equal(k8s_config_in_cluster(NULL, folder, &c, &e), -ENOENT);
	assert_non_null(strstr(e.text, "KUBERNETES_SERVICE_HOST"));
	assert_int_equal(k8s_config_in_cluster("h:1", folder, &c, &e), -ENOENT);
	assert_non_null(strstr(e.text, at("token")));
	assert_null(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_current_context_is_taken),
		cmocka_unit_test(another_context_can_be_chosen),
		cmocka_unit_test(inline_data_wins_over_files),
		cmocka_unit_test(
			a_replaced_client_certificate_is_read_when_it_is_time),
		cmocka_unit_test(
			half_a_replacement_leaves_the_former_pair_in_use),
		cmocka_unit_test(what_is_inline_is_never_read_again),
		cmocka_unit_test(json_is_read_as_well),
		cmocka_unit_test(what_we_cannot_honour_is_refused_by_name),
		cmocka_unit_test(bad_fields_are_named_with_their_owner),
		cmocka_unit_test(an_error_never_shows_a_secret),
		cmocka_unit_test(names_that_lead_nowhere_are_listed),
		cmocka_unit_test(what_is_no_kubeconfig_is_refused),
		cmocka_unit_test(
			a_broken_entry_of_another_context_does_not_matter),
		cmocka_unit_test(a_pod_uses_its_service_account),
		cmocka_unit_test(outside_of_a_pod_there_is_none),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
