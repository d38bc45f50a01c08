// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include "model.h"
#include "nodesplice/observe/explain.h"
#include "nodesplice/source/json.h"
#include "observing.h"

/* default/web: 10.96.0.10:80 and node port 30080, one endpoint here, one
 * elsewhere, one that is not ready; and others that are not served. */
static int setup(void **state)
{
	struct observing *ob = observing_new();
	struct plan_changes changes = {0};
	struct service *web = a_service("web", "10.96.0.10");
	struct service *headless = a_service("headless", "10.96.0.11");
	struct endpoint_slice *slice = a_slice("web-1", "web", AF_INET);

	ob->context.intercept = true;
	ob->context.has_pod_detector[0] = true;
	web->type = SERVICE_TYPE_NODE_PORT;
	web->ports[0].node_port = 30080;
	with_annotation(web, "connect-timeout", "2s");
	with_endpoint(slice, "10.244.1.1", "node-a");
	with_endpoint(slice, "10.244.2.1", "node-b");
	with_endpoint(slice, "10.244.3.1", NULL)->ready = false;
	slice->endpoints[2].serving = false;
	headless->headless = true;
	headless->cluster_ips_n = 0;
	assert_int_equal(store_put_service(ob->store, web), 0);
	assert_int_equal(store_put_service(ob->store, headless), 0);
	assert_int_equal(store_put_slice(ob->store, slice), 0);
	assert_int_equal(
		plan_update(ob->plan, ob->store, &ob->context, &changes), 0);
	plan_changes_free(&changes);
	with_proxy(ob);
	observed_gate(&ob->o, true, NULL, NOW_MS);
	ob->px.endpoint = a_sockad("10.244.1.1:8080");
	ob->px.endpoint_stats = (struct px_endpoint_stats){
		.state = PX_ENDPOINT_EJECTED,
		.share_percent = 100,
		.open = 3,
		.connections = 120,
		.failures = 7,
		.consecutive_failures = 5,
		.ejections_n = 2,
		.ejected_until_ms = NOW_MS + 12000,
	};
	*state = ob;
	return 0;
}

static int teardown(void **state)
{
	observing_free(*state);
	return 0;
}

static char *explained(struct observing *ob, const char *target)
{
	struct text t = {0};
	struct errbuf e = {0};
	char *data;
	int r = explain_text(&ob->o, target, NOW_MS, &t, &e);

	if (r < 0)
		fail_msg("%s: %s", target, e.text);
	assert_int_equal(text_take(&t, &data), 0);
	return data;
}

static void assert_says(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in:\n%s", part, text ? text : "");
}

static void a_service_reads_from_frontend_to_endpoint(void **state)
{
	char *text = explained(*state, "default/web");
	char *settings = strstr(text, "\nsettings\n");

	assert_non_null(settings);
	assert_says(settings,
		    "\n  connect-timeout               2s (annotation)\n");
	assert_says(settings,
		    "\n  connect-attempts              3 (built-in)\n");
	*settings = '\0';
	assert_string_equal(
		text,
		"Service default/web, NodePort, internalTrafficPolicy Cluster, externalTrafficPolicy Cluster\n"
		"mode proxy (auto: no NetworkPolicies are watched)\n"
		"\n"
		"default/web:http 80/tcp IPv4\n"
		"  frontends\n"
		"    10.96.0.10:80 ClusterIP\n"
		"      from anywhere        one of 2 Cluster endpoints, masqueraded unless the client is a pod of this node, by the proxy\n"
		"    :30080 NodePort\n"
		"      from anywhere        one of 2 Cluster endpoints, masqueraded, by the proxy\n"
		"  endpoints\n"
		"    10.244.1.1:8080 on node-a (this node), chosen\n"
		"      3 open, 120 connections, 7 failures, 5 in a row; ejected for another 12.0s (ejection 2)\n"
		"    10.244.2.1:8080 on node-b, chosen\n"
		"    10.244.3.1:8080 on an unknown node, not chosen: not ready\n");
	free(text);
}

static void an_endpoint_in_rotation_says_why_it_stays(void **state)
{
	struct observing *ob = *state;
	char *text;

	ob->px.endpoint_stats.state = PX_ENDPOINT_IN;
	ob->px.endpoint_stats.not_ejected_why = "max-ejection-percent reached";
	text = explained(ob, "default/web");
	assert_says(text, "5 in a row; in rotation, not ejected: "
			  "max-ejection-percent reached\n");
	free(text);
	ob->px.endpoint_stats.state = PX_ENDPOINT_PROBING;
	ob->px.endpoint_stats.not_ejected_why = NULL;
	text = explained(ob, "default/web");
	assert_says(text, "; probed: one connection at a time until one "
			  "succeeds\n");
	free(text);
}

static void an_endpoint_says_why_it_gets_less(void **state)
{
	struct observing *ob = *state;
	char *text;

	ob->px.endpoint_stats.state = PX_ENDPOINT_IN;
	ob->px.endpoint_stats.share_percent = 35;
	ob->px.endpoint_stats.full = true;
	text = explained(ob, "default/web");
	assert_says(text, "in rotation, in its slow start: 35% of its share, "
			  "full: max-endpoint-connections\n");
	free(text);
}

static void a_closed_gate_is_told(void **state)
{
	struct observing *ob = *state;
	char *text;

	observed_gate(&ob->o, false, "short of descriptors", NOW_MS);
	text = explained(ob, "default/web");
	assert_says(text, "\nthe gate is closed, new connections go by the "
			  "kernel: short of descriptors\n");
	free(text);
}

static void replan(struct observing *ob)
{
	struct plan_changes changes = {0};

	store_mark_all_dirty(ob->store);
	assert_int_equal(
		plan_update(ob->plan, ob->store, &ob->context, &changes), 0);
	plan_changes_free(&changes);
}

static void a_local_policy_shows_both_choices(void **state)
{
	struct observing *ob = *state;
	struct service *web = a_service("web", "10.96.0.10");
	char *text;

	web->type = SERVICE_TYPE_NODE_PORT;
	web->ports[0].node_port = 30080;
	web->external_policy = TRAFFIC_POLICY_LOCAL;
	assert_int_equal(store_put_service(ob->store, web), 0);
	replan(ob);
	text = explained(ob, ":30080");
	assert_says(text, "\n      from node and pods   one of 2 Cluster "
			  "endpoints, ");
	assert_says(text, "\n      from elsewhere       one of 1 Local "
			  "endpoints, ");
	assert_says(text, "\n    10.244.1.1:8080 on node-a (this node), "
			  "Cluster: chosen; Local: chosen\n");
	assert_says(text, "\n    10.244.2.1:8080 on node-b, Cluster: chosen; "
			  "Local: on another node\n");
	free(text);
}

static void without_endpoints_the_verdict_is_told(void **state)
{
	struct observing *ob = *state;
	char *text;

	store_delete_slice(ob->store, "default/web-1");
	replan(ob);
	text = explained(ob, "default/web");
	assert_says(text, "\n      from anywhere        rejected: there is no "
			  "endpoint\n");
	assert_says(text, "\n  endpoints: none\n");
	free(text);
}

static void a_bad_annotation_is_among_the_problems(void **state)
{
	struct observing *ob = *state;
	struct service *web = a_service("web", "10.96.0.10");
	char *text;

	with_annotation(web, "idle-timeout", "soon");
	assert_int_equal(store_put_service(ob->store, web), 0);
	replan(ob);
	text = explained(ob, "default/web");
	assert_says(text, "\nproblem: ");
	assert_says(text, "idle-timeout");
	free(text);
}

static void every_form_of_target_finds_its_service(void **state)
{
	static const char *const targets[] = {
		"default/web",	     "default/web:http", "10.96.0.10:80",
		"10.96.0.10:80/tcp", ":30080",		 ":30080/tcp",
	};

	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		char *text = explained(*state, targets[i]);

		assert_says(text, "Service default/web, ");
		assert_says(text, "\ndefault/web:http 80/tcp IPv4\n");
		free(text);
	}
}

static void what_is_unknown_is_named(void **state)
{
	static const struct {
		const char *target, *error;
	} rows[] = {
		{"default/db", "no Service default/db is known"},
		{"default/web:https", "Service default/web has no port https"},
		{"10.96.0.9:80", "no Service has the frontend 10.96.0.9:80; "
				 "a node port is :80"},
		{"10.96.0.10:80/udp",
		 "no Service has the frontend 10.96.0.10:80/udp; it is "
		 "refused, because the address is the cluster IP of "
		 "default/web"},
		{"10.97.0.1:80", "no Service has the frontend 10.97.0.1:80; it "
				 "is dropped, because the address is of "
				 "ServiceCIDR more and no Service's"},
		{"[fd00::1]:80", "no Service has the frontend [fd00::1]:80; "
				 "a node port is :80"},
		{":30081", "no Service has node port 30081"},
		{":30080/udp", "no Service has node port 30080/udp"},
	};
	struct observing *ob = *state;
	struct service_cidr *more = calloc(1, sizeof(*more));

	more->name = strdup("more");
	more->cidrs = calloc(1, sizeof(*more->cidrs));
	more->cidrs_n = 1;
	assert_int_equal(cidr_parse("10.97.0.0/16", more->cidrs), 0);
	assert_int_equal(store_put_service_cidr(ob->store, more), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct text t = {0};
		struct errbuf e;

		assert_int_equal(explain_text(&ob->o, rows[i].target, NOW_MS,
					      &t, &e),
				 -ENOENT);
		assert_string_equal(e.text, rows[i].error);
		assert_null(t.data);
	}
}

static void what_is_no_target_is_refused_with_the_forms(void **state)
{
	static const char *const targets[] = {
		"",	 "web",	       "/web",	     "default/",
		":0",	 ":65536",     ":80x",	     "10.96.0.10",
		"a/b/c", "default/:x", "fd00::1:80", "10.96.0.10:80/icmp/x",
		"/tcp",	 ":",	       ":-1",
	};
	struct observing *ob = *state;
	char endless[5000];
	struct text t = {0};
	struct errbuf e;

	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		if (explain_text(&ob->o, targets[i], NOW_MS, &t, &e) != -EINVAL)
			fail_msg("taken: \"%s\"", targets[i]);
		assert_says(e.text, "is no target; use namespace/name");
	}
	memset(endless, 'a', sizeof(endless) - 1);
	endless[sizeof(endless) - 1] = '\0';
	endless[10] = '/';
	assert_int_equal(explain_text(&ob->o, endless, NOW_MS, &t, &e),
			 -EINVAL);
}

static void what_is_not_served_has_a_reason(void **state)
{
	struct observing *ob = *state;
	char *text = explained(ob, "default/headless");

	assert_says(text, "\nnot served: it is headless: ");
	free(text);
}

static void one_address_of_two_services_explains_both(void **state)
{
	struct observing *ob = *state;
	struct service *dns = a_service("dns", "10.96.0.10");
	char *text;

	dns->ports[0].protocol = PROTOCOL_UDP;
	assert_int_equal(store_put_service(ob->store, dns), 0);
	replan(ob);
	text = explained(ob, "10.96.0.10:80");
	assert_says(text, "Service default/web, ");
	assert_says(text, "\n\nService default/dns, ");
	assert_says(text, "\ndefault/dns:http 80/udp IPv4\n");
	free(text);
	text = explained(ob, "10.96.0.10:80/udp");
	assert_null(strstr(text, "Service default/web, "));
	free(text);
}

/* The member of an object, which must be there once. */
static struct json member(struct json object, const char *name)
{
	struct json key, value, found = {0};
	unsigned int n = 0;

	for (int it = 0; json_next_member(object, &it, &key, &value);) {
		if (!json_equals(key, name))
			continue;
		found = value;
		n++;
	}
	if (n != 1)
		fail_msg("%u members \"%s\"", n, name);
	return found;
}

static struct json item(struct json array, size_t i)
{
	struct json value = {0};

	for (int it = 0; json_next_item(array, &it, &value) && i > 0;)
		i--;
	return value;
}

static void assert_is(struct json v, const char *raw)
{
	const char *data;
	size_t n;

	json_raw(v, &data, &n);
	if (json_type(v) == JSON_STRING)
		assert_true(json_equals(v, raw));
	else if (n != strlen(raw) || strncmp(data, raw, n) != 0)
		fail_msg("%.*s is not %s", (int)n, data, raw);
}

static void json_holds_the_same_facts(void **state)
{
	struct observing *ob = *state;
	cleanup_(json_doc_freep) struct json_doc *doc = NULL;
	struct json root, service, port, frontend, endpoint, proxy;
	struct text t = {0};
	struct errbuf e;

	assert_int_equal(json_doc_new(&doc), 0);
	assert_int_equal(explain_json(&ob->o, "default/web", NOW_MS,
				      REALTIME_MS, &t, &e),
			 0);
	assert_int_equal(json_parse(doc, t.data, t.len, &root, &e), 0);
	assert_is(member(root, "target"), "default/web");
	service = item(member(root, "services"), 0);
	assert_is(member(service, "mode"), "proxy");
	assert_is(member(member(member(service, "settings"), "connect-timeout"),
			 "value"),
		  "2s");
	assert_is(member(member(member(service, "settings"), "connect-timeout"),
			 "source"),
		  "annotation");
	port = item(member(service, "ports"), 0);
	assert_is(member(port, "port"), "80");
	frontend = item(member(port, "frontends"), 1);
	assert_is(member(frontend, "kind"), "NodePort");
	assert_is(member(member(frontend, "outside"), "proxied"), "true");
	assert_int_equal(json_size(member(port, "endpoints")), 3);
	endpoint = item(member(port, "endpoints"), 0);
	proxy = member(endpoint, "proxy");
	assert_is(member(proxy, "state"), "ejected");
	assert_is(member(proxy, "ejectedForSeconds"), "12.000");
	assert_is(member(proxy, "ejectedUntil"), "2023-11-14T22:13:32.123Z");
	endpoint = item(member(port, "endpoints"), 2);
	assert_is(member(endpoint, "node"), "null");
	assert_is(member(endpoint, "proxy"), "null");
	assert_is(member(member(endpoint, "clusterSet"), "chosen"), "false");
	assert_is(member(member(endpoint, "clusterSet"), "reason"),
		  "not ready");
	text_free(&t);
}

static void json_of_what_is_not_served_has_the_reason(void **state)
{
	struct observing *ob = *state;
	struct text t = {0};
	struct errbuf e;

	assert_int_equal(explain_json(&ob->o, "default/headless", NOW_MS,
				      REALTIME_MS, &t, &e),
			 0);
	assert_says(t.data, "\"notServedBecause\":\"it is headless");
	text_free(&t);
}

/* The source deleted it; the plan follows at the next sync. */
static void a_service_deleted_but_still_planned_is_explained(void **state)
{
	struct observing *ob = *state;
	char *text;

	store_delete_service(ob->store, "default/web");
	text = explained(ob, "10.96.0.10:80");
	assert_says(text, "Service default/web\nmode proxy");
	assert_says(text, "\n  endpoints: none\n");
	free(text);
}

#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_service_reads_from_frontend_to_endpoint),
		CLAIM(an_endpoint_in_rotation_says_why_it_stays),
		CLAIM(an_endpoint_says_why_it_gets_less),
		CLAIM(a_closed_gate_is_told),
		CLAIM(a_local_policy_shows_both_choices),
		CLAIM(without_endpoints_the_verdict_is_told),
		CLAIM(a_bad_annotation_is_among_the_problems),
		CLAIM(every_form_of_target_finds_its_service),
		CLAIM(what_is_unknown_is_named),
		CLAIM(what_is_no_target_is_refused_with_the_forms),
		CLAIM(what_is_not_served_has_a_reason),
		CLAIM(one_address_of_two_services_explains_both),
		CLAIM(json_holds_the_same_facts),
		CLAIM(json_of_what_is_not_served_has_the_reason),
		CLAIM(a_service_deleted_but_still_planned_is_explained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
