// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include <stdio.h>

#include "model.h"
#include "nodesplice/observe/metrics.h"
#include "nodesplice/observe/pages.h"
#include "observing.h"

static int setup(void **state)
{
	*state = observing_new();
	return 0;
}

static int teardown(void **state)
{
	observing_free(*state);
	return 0;
}

/* The page with a newline before it, so that "\nname " finds a line's start. */
static char *page(struct observing *ob)
{
	const struct process_stats process = {
		.resident_bytes = 4096,
		.cpu_seconds = 1.5,
	};
	struct text t = {0};
	char *data;

	text_add(&t, "\n");
	metrics_text(&ob->o, &process, NOW_MS, REALTIME_MS, &t);
	assert_int_equal(text_take(&t, &data), 0);
	return data;
}

static void assert_line(const char *page, const char *line)
{
	char sought[512];

	snprintf(sought, sizeof(sought), "\n%s\n", line);
	if (!strstr(page, sought))
		fail_msg("no line \"%s\" in:%s", line, page);
}

static void assert_no_name(const char *page, const char *name)
{
	char sought[512];

	snprintf(sought, sizeof(sought), "\n%s", name);
	assert_null(strstr(page, sought));
}

/* Length of the metric a sample belongs to: without _bucket, _sum, _count of
 * a histogram and without labels. */
static size_t base_n(const char *line, bool histogram)
{
	static const char *const suffixes[] = {"_bucket", "_sum", "_count"};
	size_t n = strcspn(line, "{ ");

	for (size_t i = 0; histogram && i < 3; i++) {
		size_t s = strlen(suffixes[i]);

		if (n > s && strncmp(line + n - s, suffixes[i], s) == 0)
			return n - s;
	}
	return n;
}

static void every_sample_stands_under_its_own_type(void **state)
{
	struct observing *ob = *state;
	char *all, *line, *rest;
	char type[256] = "";
	bool histogram = false;

	with_proxy(ob);
	ob->px.port_names[0] = "default/web:http";
	ob->px.services[0].connections = 1;
	ob->px.services_n = 1;
	all = page(ob);
	for (line = strtok_r(all, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		if (sscanf(line, "# TYPE %255s", type) == 1) {
			histogram = strstr(line, " histogram") != NULL;
			continue;
		}
		if (line[0] == '#')
			continue;
		assert_int_equal(base_n(line, histogram), strlen(type));
		assert_memory_equal(line, type, strlen(type));
	}
	free(all);
}

static void no_metric_is_declared_twice(void **state)
{
	struct observing *ob = *state;
	char *all, *at, *next;

	with_proxy(ob);
	all = page(ob);
	for (at = strstr(all, "\n# TYPE "); at; at = next) {
		char head[256];
		size_t n = strcspn(at + 8, " ") + 9;

		snprintf(head, sizeof(head), "%.*s", (int)n, at);
		next = strstr(at + 1, "\n# TYPE ");
		assert_null(strstr(at + 1, head));
	}
	free(all);
}

static void kube_proxys_names_carry_our_numbers(void **state)
{
	struct observing *ob = *state;
	char *all;

	observed_queued(&ob->o, NOW_MS, REALTIME_MS);
	observed_synced(&ob->o, true, 1500, NOW_MS, REALTIME_MS + 1);
	observed_sync_failed(&ob->o);
	observed_reconciled(&ob->o, AF_INET6, 2500, 3);
	observed_programmed(&ob->o, AF_INET, REALTIME_MS - 400, REALTIME_MS);
	all = page(ob);
	assert_line(all, "kubeproxy_sync_proxy_rules_duration_seconds_bucket"
			 "{ip_family=\"IPv4\",le=\"0.001\"} 0");
	assert_line(all, "kubeproxy_sync_proxy_rules_duration_seconds_bucket"
			 "{ip_family=\"IPv4\",le=\"0.002\"} 1");
	assert_line(all, "kubeproxy_sync_proxy_rules_duration_seconds_bucket"
			 "{ip_family=\"IPv4\",le=\"16.384\"} 1");
	assert_line(all, "kubeproxy_sync_full_proxy_rules_duration_seconds_sum"
			 "{ip_family=\"IPv6\"} 0.0015");
	assert_line(all,
		    "kubeproxy_sync_partial_proxy_rules_duration_seconds_count"
		    "{ip_family=\"IPv6\"} 0");
	assert_line(all, "kubeproxy_network_programming_duration_seconds_bucket"
			 "{ip_family=\"IPv4\",le=\"0.25\"} 0");
	assert_line(all, "kubeproxy_network_programming_duration_seconds_bucket"
			 "{ip_family=\"IPv4\",le=\"0.5\"} 1");
	assert_line(all, "kubeproxy_sync_proxy_rules_last_timestamp_seconds"
			 "{ip_family=\"IPv4\"} 1700000000.124");
	assert_line(all,
		    "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds"
		    "{ip_family=\"IPv4\"} 1700000000.123");
	assert_line(all,
		    "kubeproxy_sync_proxy_rules_nftables_sync_failures_total"
		    "{ip_family=\"IPv6\"} 1");
	assert_line(all,
		    "kubeproxy_conntrack_reconciler_sync_duration_seconds_sum"
		    "{ip_family=\"IPv6\"} 0.0025");
	assert_line(all, "kubeproxy_conntrack_reconciler_sync_duration_seconds_"
			 "bucket{ip_family=\"IPv6\",le=\"16.384\"} 1");
	assert_line(all, "kubeproxy_conntrack_reconciler_deleted_entries_total"
			 "{ip_family=\"IPv4\"} 0");
	assert_line(all, "kubeproxy_conntrack_reconciler_deleted_entries_total"
			 "{ip_family=\"IPv6\"} 3");
	free(all);
}

static void changes_are_pending_until_the_next_sync(void **state)
{
	struct observing *ob = *state;
	char *all;

	ob->sources[0].objects_n = 3;
	ob->sources[1].objects_n = 5;
	observed_synced(&ob->o, true, 1, NOW_MS, REALTIME_MS);
	ob->sources[1].objects_n = 7;
	all = page(ob);
	assert_line(all, "kubeproxy_sync_proxy_rules_service_changes_total 3");
	assert_line(all,
		    "kubeproxy_sync_proxy_rules_service_changes_pending 0");
	assert_line(all, "kubeproxy_sync_proxy_rules_endpoint_changes_total 7");
	assert_line(all,
		    "kubeproxy_sync_proxy_rules_endpoint_changes_pending 2");
	free(all);
}

static void each_probe_is_counted_by_its_status(void **state)
{
	struct observing *ob = *state;
	struct http_answer a;
	char *all;

	pages_health("GET", "/healthz", NOW_MS, REALTIME_MS, &a, &ob->o);
	assert_int_equal(a.status, 503);
	assert_string_equal(a.content_type, "application/json");
	text_free(&a.body);
	pages_health("HEAD", "/livez", NOW_MS, REALTIME_MS, &a, &ob->o);
	assert_int_equal(a.status, 200);
	text_free(&a.body);
	with_node(ob);
	pages_health("GET", "/healthz", NOW_MS, REALTIME_MS, &a, &ob->o);
	assert_int_equal(a.status, 200);
	text_free(&a.body);
	all = page(ob);
	assert_line(all, "kubeproxy_proxy_healthz_total{code=\"200\"} 1");
	assert_line(all, "kubeproxy_proxy_healthz_total{code=\"503\"} 1");
	assert_line(all, "kubeproxy_proxy_livez_total{code=\"200\"} 1");
	assert_line(all, "kubeproxy_proxy_livez_total{code=\"503\"} 0");
	free(all);
}

static void the_metrics_port_answers_as_kube_proxys(void **state)
{
	static const struct {
		const char *method, *path;
		unsigned int status;
		const char *body; /* NULL: any */
	} rows[] = {
		{"GET", "/healthz", 200, "ok"},
		{"GET", "/proxyMode", 200, "nftables"},
		{"GET", "/metrics", 200, NULL},
		{"HEAD", "/metrics", 200, NULL},
		{"POST", "/metrics", 405, NULL},
		{"GET", "/livez", 404, NULL},
		{"GET", "/metrics/", 404, NULL},
		{"GET", "", 404, NULL},
	};
	struct observing *ob = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct http_answer a;

		pages_metrics(rows[i].method, rows[i].path, NOW_MS, REALTIME_MS,
			      &a, &ob->o);
		assert_int_equal(a.status, rows[i].status);
		assert_int_equal(a.allow != NULL, rows[i].status == 405);
		if (rows[i].body)
			assert_string_equal(a.body.data, rows[i].body);
		text_free(&a.body);
	}
	assert_int_equal(ob->o.http.refused_n, 4);
}

static void the_health_port_answers_every_method(void **state)
{
	static const char *const methods[] = {"GET", "HEAD", "POST", "OPTIONS",
					      "DELETE"};
	struct observing *ob = *state;

	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		struct http_answer a;

		pages_health(methods[i], "/livez", NOW_MS, REALTIME_MS, &a,
			     &ob->o);
		assert_true(a.status == 200 || a.status == 503);
		text_free(&a.body);
		pages_health(methods[i], "/metrics", NOW_MS, REALTIME_MS, &a,
			     &ob->o);
		assert_int_equal(a.status, 404);
		text_free(&a.body);
	}
}

/* default/web on 10.96.0.1 with one endpoint on another node. */
static void with_service(struct observing *ob, enum traffic_policy internal)
{
	struct plan_changes changes = {0};
	struct service *s = a_service("web", "10.96.0.1");
	struct endpoint_slice *slice = a_slice("web-1", "web", AF_INET);

	s->internal_policy = internal;
	with_endpoint(slice, "10.244.1.1", "node-b");
	assert_int_equal(store_put_service(ob->store, s), 0);
	assert_int_equal(store_put_slice(ob->store, slice), 0);
	assert_int_equal(
		plan_update(ob->plan, ob->store, &ob->context, &changes), 0);
	plan_changes_free(&changes);
}

static void a_local_policy_without_local_endpoints_is_counted(void **state)
{
	struct observing *ob = *state;
	char *all;

	with_service(ob, TRAFFIC_POLICY_LOCAL);
	all = page(ob);
	assert_line(all, "kubeproxy_sync_proxy_rules_no_local_endpoints_total"
			 "{ip_family=\"IPv4\",traffic_policy=\"internal\"} 1");
	assert_line(all, "kubeproxy_sync_proxy_rules_no_local_endpoints_total"
			 "{ip_family=\"IPv4\",traffic_policy=\"external\"} 0");
	assert_line(all, "kubeproxy_sync_proxy_rules_no_local_endpoints_total"
			 "{ip_family=\"IPv6\",traffic_policy=\"internal\"} 0");
	assert_line(all, "nodesplice_services 1");
	assert_line(all, "nodesplice_frontends 1");
	assert_line(all, "nodesplice_endpoints 1");
	free(all);
}

static void a_cluster_policy_has_no_need_of_local_endpoints(void **state)
{
	struct observing *ob = *state;
	char *all;

	with_service(ob, TRAFFIC_POLICY_CLUSTER);
	all = page(ob);
	assert_line(all, "kubeproxy_sync_proxy_rules_no_local_endpoints_total"
			 "{ip_family=\"IPv4\",traffic_policy=\"internal\"} 0");
	free(all);
}

static void a_service_port_has_labels_of_its_own(void **state)
{
	struct observing *ob = *state;
	char *all;

	with_proxy(ob);
	ob->px.port_names[0] = "default/web:http";
	ob->px.services[0] =
		(struct px_service_stats){.connections = 7, .ejected_n = 2};
	ob->px.port_names[1] = "kube-system/plain";
	ob->px.services[1].failures = 3;
	ob->px.services_n = 2;
	all = page(ob);
	assert_line(all, "nodesplice_service_connections_total"
			 "{namespace=\"default\",service=\"web\","
			 "port=\"http\",ip_family=\"IPv4\"} 7");
	assert_line(all, "nodesplice_service_ejected_endpoints"
			 "{namespace=\"default\",service=\"web\","
			 "port=\"http\",ip_family=\"IPv4\"} 2");
	assert_line(all, "nodesplice_service_connect_failures_total"
			 "{namespace=\"kube-system\",service=\"plain\","
			 "port=\"\",ip_family=\"IPv4\"} 3");
	free(all);
}

static void a_label_is_escaped(void **state)
{
	struct observing *ob = *state;
	char *all;

	with_proxy(ob);
	ob->px.port_names[0] = "a\"b/c\\d:e\nf";
	ob->px.services[0].connections = 1;
	ob->px.services_n = 1;
	all = page(ob);
	assert_line(all, "nodesplice_service_connections_total"
			 "{namespace=\"a\\\"b\",service=\"c\\\\d\","
			 "port=\"e\\nf\",ip_family=\"IPv4\"} 1");
	free(all);
}

static void an_unused_service_port_has_no_series(void **state)
{
	struct observing *ob = *state;
	char *all;

	with_proxy(ob);
	ob->px.port_names[0] = "default/web:http";
	ob->px.services[0].endpoints_n = 3;
	ob->px.services_n = 1;
	all = page(ob);
	assert_no_name(all, "nodesplice_service_endpoints{");
	assert_line(all, "nodesplice_service_rows_aggregated 0");
	free(all);
}

static bool starts_with(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static void above_the_limit_service_ports_are_summed(void **state)
{
	struct observing *ob = *state;
	char *all, *at;
	char others[128];
	size_t series_n = 0, rows_n = 0;

	with_proxy(ob);
	for (size_t i = 0; i < 2000; i++) {
		ob->px.port_names[i] = "default/web:http";
		ob->px.services[i].connections = 1;
	}
	ob->px.services_n = 2000;
	all = page(ob);
	for (at = all; (at = strstr(at, "\nnodesplice_service_")); at++) {
		if (strcspn(at, "{") < strcspn(at + 1, "\n"))
			series_n++;
		rows_n += starts_with(at + 1,
				      "nodesplice_service_connections_total"
				      "{namespace=\"default\"");
	}
	assert_in_range(series_n, LIMIT_METRIC_SERIES - 20,
			LIMIT_METRIC_SERIES + 20);
	assert_in_range(rows_n, 1, 1999);
	snprintf(others, sizeof(others),
		 "nodesplice_service_connections_total"
		 "{namespace=\"\",service=\"\",port=\"\","
		 "ip_family=\"\"} %zu",
		 2000 - rows_n);
	assert_line(all, others);
	snprintf(others, sizeof(others),
		 "nodesplice_service_rows_aggregated %zu", 2000 - rows_n);
	assert_line(all, others);
	free(all);
}

static void workers_and_counters_of_the_proxy_are_shown(void **state)
{
	struct observing *ob = *state;
	char *all;

	all = page(ob);
	assert_line(all, "nodesplice_proxy_enabled 0");
	assert_no_name(all, "nodesplice_proxy_accepted_total");
	free(all);
	with_proxy(ob);
	ob->px.sum.accepted = 12;
	ob->px.sum.pipe_failed = 4;
	ob->px.worker[1].open = 9;
	observed_gate(&ob->o, true, NULL, NOW_MS);
	all = page(ob);
	assert_line(all, "nodesplice_proxy_enabled 1");
	assert_line(all, "nodesplice_gate_open 1");
	assert_line(all, "nodesplice_proxy_accepted_total 12");
	assert_line(all, "nodesplice_proxy_pipe_failed_total 4");
	assert_line(all, "nodesplice_worker_open_connections{worker=\"1\"} 9");
	assert_line(all, "nodesplice_worker_heartbeat_age_seconds"
			 "{worker=\"1\"} 0.200");
	free(all);
}

static void each_kind_of_object_shows_its_freshness(void **state)
{
	struct observing *ob = *state;
	char *all;

	ob->sources[0].listed = true;
	ob->sources[0].heard_ms = NOW_MS - 1000;
	ob->sources[1].errors_n = 4;
	all = page(ob);
	assert_line(all, "nodesplice_source_listed{kind=\"services\"} 1");
	assert_line(all, "nodesplice_source_errors_total"
			 "{kind=\"endpointslices\"} 4");
	assert_line(all, "nodesplice_source_last_heard_seconds"
			 "{kind=\"services\"} 1699999999.123");
	assert_no_name(all, "nodesplice_source_last_heard_seconds"
			    "{kind=\"endpointslices\"}");
	free(all);
}

static void process_stats_are_those_of_this_process(void **state)
{
	struct process_stats s, more;
	int fd;

	(void)state;
	process_stats_read(&s);
	assert_true(s.resident_bytes > 0);
	assert_true(s.virtual_bytes >= s.resident_bytes);
	assert_int_equal(s.threads_n, 1);
	assert_true(s.max_fds_n >= s.open_fds_n);
	fd = dup(0);
	assert_true(fd >= 0);
	process_stats_read(&more);
	assert_int_equal(more.open_fds_n, s.open_fds_n + 1);
	close(fd);
}

#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(every_sample_stands_under_its_own_type),
		CLAIM(no_metric_is_declared_twice),
		CLAIM(kube_proxys_names_carry_our_numbers),
		CLAIM(changes_are_pending_until_the_next_sync),
		CLAIM(each_probe_is_counted_by_its_status),
		CLAIM(the_metrics_port_answers_as_kube_proxys),
		CLAIM(the_health_port_answers_every_method),
		CLAIM(a_local_policy_without_local_endpoints_is_counted),
		CLAIM(a_cluster_policy_has_no_need_of_local_endpoints),
		CLAIM(a_service_port_has_labels_of_its_own),
		CLAIM(a_label_is_escaped),
		CLAIM(an_unused_service_port_has_no_series),
		CLAIM(above_the_limit_service_ports_are_summed),
		CLAIM(workers_and_counters_of_the_proxy_are_shown),
		CLAIM(each_kind_of_object_shows_its_freshness),
		CLAIM(process_stats_are_those_of_this_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
