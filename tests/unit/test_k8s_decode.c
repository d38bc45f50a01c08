// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * JSON is written with ' for " here, so that it can be read.
 */
#include "check.h"

#include <stdio.h>

#include "nodesplice/base/limits.h"
#include "nodesplice/base/text.h"
#include "nodesplice/source/k8s_decode.h"

static struct json_doc *doc;
static struct errbuf e;
static char *json_text; /* what doc borrows */

static int new_doc(void **state)
{
	(void)state;
	return json_doc_new(&doc);
}

static int free_doc(void **state)
{
	(void)state;
	json_doc_free(doc);
	free(json_text);
	return 0;
}

static struct json parsed(const char *quoted)
{
	struct json root;

	free(json_text);
	json_text = strdup(quoted);
	assert_non_null(json_text);
	for (char *p = json_text; *p; p++) {
		if (*p == '\'')
			*p = '"';
	}
	e.text[0] = '\0';
	if (json_parse(doc, json_text, strlen(json_text), &root, &e) < 0)
		fail_msg("%s in %s", e.text, json_text);
	return root;
}

static int decode_service(const char *quoted, struct service **ret_service)
{
	return k8s_decode_service(parsed(quoted), ret_service, &e);
}

static struct service *service(const char *quoted)
{
	struct service *s = NULL;

	if (decode_service(quoted, &s) < 0)
		fail_msg("%s in %s", e.text, quoted);
	return s;
}

/* A Service "default/web" with this spec. */
static const char *with_spec(const char *spec)
{
	static char buf[4096];

	snprintf(buf, sizeof(buf),
		 "{'metadata':{'name':'web','namespace':'default'},'spec':%s}",
		 spec);
	return buf;
}

static struct endpoint_slice *slice(const char *quoted)
{
	struct endpoint_slice *s = NULL;

	if (k8s_decode_slice(parsed(quoted), &s, &e) < 0)
		fail_msg("%s in %s", e.text, quoted);
	return s;
}

#define SLICE_METADATA                                                         \
	"'metadata':{'name':'web-x1','namespace':'default',"                   \
	"'labels':{'kubernetes.io/service-name':'web'}}"

static const char *slice_with(const char *rest)
{
	static char buf[4096];

	snprintf(buf, sizeof(buf), "{" SLICE_METADATA ",%s}", rest);
	return buf;
}

static void assert_addr(const struct addr *a, const char *want)
{
	char buf[ADDR_STRLEN];

	assert_string_equal(addr_format(a, buf), want);
}

static void kinds_need_their_api_version(void **state)
{
	static const struct {
		const char *object;
		enum k8s_kind kind, item;
	} rows[] = {
		{"{'kind':'Service','apiVersion':'v1'}", K8S_SERVICE,
		 K8S_OTHER},
		{"{'apiVersion':'discovery.k8s.io/v1',"
		 "'kind':'EndpointSlice'}",
		 K8S_ENDPOINT_SLICE, K8S_OTHER},
		{"{'apiVersion':'v1','kind':'Node'}", K8S_NODE, K8S_OTHER},
		{"{'apiVersion':'v1','kind':'List'}", K8S_LIST, K8S_OTHER},
		{"{'apiVersion':'v1','kind':'ServiceList'}", K8S_LIST,
		 K8S_SERVICE},
		{"{'apiVersion':'v1','kind':'Status'}", K8S_STATUS, K8S_OTHER},
		{"{'apiVersion':'v1','kind':'EndpointSlice'}", K8S_OTHER,
		 K8S_OTHER},
		{"{'apiVersion':'serving.knative.dev/v1','kind':'Service'}",
		 K8S_OTHER, K8S_OTHER},
		{"{'kind':'Service'}", K8S_OTHER, K8S_OTHER},
		{"{'kind':1,'apiVersion':[]}", K8S_OTHER, K8S_OTHER},
		{"[]", K8S_OTHER, K8S_OTHER},
		{"'Service'", K8S_OTHER, K8S_OTHER},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(k8s_kind_of(parsed(rows[i].object)),
				 rows[i].kind);
		assert_int_equal(k8s_item_kind_of(parsed(rows[i].object)),
				 rows[i].item);
	}
}

static void a_bare_service_has_the_defaults_of_the_api(void **state)
{
	struct service *s = service("{'metadata':{'name':'web'}}");

	(void)state;
	assert_string_equal(s->key, "default/web");
	assert_string_equal(s->uid, "");
	assert_int_equal(s->created_s, 0);
	assert_int_equal(s->type, SERVICE_TYPE_CLUSTER_IP);
	assert_false(s->headless);
	assert_null(s->proxy_name);
	assert_int_equal(s->internal_policy, TRAFFIC_POLICY_CLUSTER);
	assert_int_equal(s->external_policy, TRAFFIC_POLICY_CLUSTER);
	assert_int_equal(s->affinity, SESSION_AFFINITY_NONE);
	assert_int_equal(s->affinity_timeout_s, 10800);
	assert_int_equal(s->ports_n, 0);
	service_free(s);
}

static void every_field_of_a_service_is_read(void **state)
{
	struct service *s = service(
		"{'status':{'loadBalancer':{'ingress':[{'hostname':'lb.test'},"
		"{'ip':'203.0.113.9','ipMode':'Proxy'},{'ip':'127.0.0.1'},"
		"{'ip':'fd00::9'}]}},"
		"'spec':{'ports':[{'name':'http','port':80,'nodePort':30080,"
		"'targetPort':'web'},{'name':'dns','port':53,'protocol':'UDP',"
		"'targetPort':5353}],'sessionAffinity':'ClientIP',"
		"'sessionAffinityConfig':{'clientIP':{'timeoutSeconds':60}},"
		"'externalTrafficPolicy':'Local','healthCheckNodePort':31000,"
		"'internalTrafficPolicy':'Local','type':'LoadBalancer',"
		"'loadBalancerSourceRanges':[' 10.0.0.0/8 ','','0.0.0.0/0'],"
		"'externalIPs':['192.0.2.1'],'clusterIP':'10.96.0.10',"
		"'clusterIPs':['10.96.0.10','fd00:96::a'],'unknown':[{}]},"
		"'metadata':{'name':'web','namespace':'shop','uid':'u-1',"
		"'creationTimestamp':'2026-01-31T12:00:01Z','labels':{'a':'b',"
		"'service.kubernetes.io/service-proxy-name':'nodesplice'},"
		"'annotations':{'other/x':5,'nodesplice.io/mode':'proxy',"
		"'nodesplice.io/idle-timeout':'1m',"
		"'nodesplice.io/mode':'kernel'}}}");

	(void)state;
	assert_string_equal(s->key, "shop/web");
	assert_string_equal(s->uid, "u-1");
	assert_int_equal(s->created_s, 1769860801);
	assert_int_equal(s->type, SERVICE_TYPE_LOAD_BALANCER);
	assert_string_equal(s->proxy_name, "nodesplice");
	assert_int_equal(s->cluster_ips_n, 2);
	assert_addr(&s->cluster_ips[0], "10.96.0.10");
	assert_addr(&s->cluster_ips[1], "fd00:96::a");
	assert_int_equal(s->external_ips_n, 1);
	assert_addr(&s->external_ips[0], "192.0.2.1");
	assert_int_equal(s->ingress_n, 2);
	assert_addr(&s->ingress[0].addr, "203.0.113.9");
	assert_true(s->ingress[0].proxied_elsewhere);
	assert_addr(&s->ingress[1].addr, "fd00::9");
	assert_false(s->ingress[1].proxied_elsewhere);
	assert_int_equal(s->source_ranges_n, 2);
	assert_int_equal(s->source_ranges[0].prefix_n, 8);
	assert_int_equal(s->source_ranges[1].prefix_n, 0);
	assert_int_equal(s->internal_policy, TRAFFIC_POLICY_LOCAL);
	assert_int_equal(s->external_policy, TRAFFIC_POLICY_LOCAL);
	assert_int_equal(s->affinity, SESSION_AFFINITY_CLIENT_IP);
	assert_int_equal(s->affinity_timeout_s, 60);
	assert_int_equal(s->health_check_node_port, 31000);
	assert_int_equal(s->ports_n, 2);
	assert_string_equal(s->ports[0].name, "http");
	assert_int_equal(s->ports[0].port, 80);
	assert_int_equal(s->ports[0].node_port, 30080);
	assert_int_equal(s->ports[0].protocol, PROTOCOL_TCP);
	assert_int_equal(s->ports[1].protocol, PROTOCOL_UDP);
	assert_int_equal(s->ports[1].node_port, 0);
	assert_int_equal(s->annotations_n, 2);
	assert_string_equal(s->annotations[0].key, "mode");
	assert_string_equal(s->annotations[0].value, "kernel");
	assert_string_equal(s->annotations[1].key, "idle-timeout");
	service_free(s);
}

static void null_is_absent(void **state)
{
	struct service *plain = service("{'metadata':{'name':'web'}}");
	struct service *s = service(
		"{'metadata':{'name':'web','namespace':null,'labels':null,"
		"'annotations':{'nodesplice.io/mode':null},"
		"'creationTimestamp':null},'spec':{'ports':null,"
		"'clusterIP':null,'clusterIPs':null,'type':null,"
		"'sessionAffinityConfig':null,'internalTrafficPolicy':null},"
		"'status':{'loadBalancer':{}}}");

	(void)state;
	assert_true(service_equal(plain, s));
	service_free(plain);
	service_free(s);
}

static void cluster_ip_stands_in_for_cluster_ips(void **state)
{
	static const struct {
		const char *spec;
		const char *want; /* NULL: none */
		bool headless;
	} rows[] = {
		{"{'clusterIP':'10.96.0.1'}", "10.96.0.1", false},
		{"{'clusterIPs':[],'clusterIP':'10.96.0.1'}", "10.96.0.1",
		 false},
		{"{'clusterIPs':[''],'clusterIP':'10.96.0.1'}", "10.96.0.1",
		 false},
		{"{'clusterIP':'10.96.0.1','clusterIPs':['10.96.0.2']}",
		 "10.96.0.2", false},
		{"{'clusterIP':'None'}", NULL, true},
		{"{'clusterIPs':['None']}", NULL, true},
		{"{'clusterIPs':['None'],'clusterIP':'None'}", NULL, true},
		{"{'clusterIP':'','clusterIPs':['']}", NULL, false},
		{"{'type':'ExternalName','externalName':'x.test'}", NULL,
		 false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct service *s = service(with_spec(rows[i].spec));

		assert_int_equal(s->cluster_ips_n, rows[i].want ? 1 : 0);
		if (rows[i].want)
			assert_addr(&s->cluster_ips[0], rows[i].want);
		assert_int_equal(s->headless, rows[i].headless);
		service_free(s);
	}
}

static void what_a_type_gives_no_meaning_gets_its_default(void **state)
{
	struct service *s;

	(void)state;
	s = service(with_spec("{'type':'ClusterIP','healthCheckNodePort':31000,"
			      "'externalTrafficPolicy':'Local'}"));
	assert_int_equal(s->external_policy, TRAFFIC_POLICY_CLUSTER);
	assert_int_equal(s->health_check_node_port, 0);
	service_free(s);
	s = service(with_spec("{'type':'ClusterIP','externalIPs':['192.0.2.1'],"
			      "'externalTrafficPolicy':'Local'}"));
	assert_int_equal(s->external_policy, TRAFFIC_POLICY_LOCAL);
	service_free(s);
	s = service(with_spec("{'type':'NodePort','healthCheckNodePort':31000,"
			      "'externalTrafficPolicy':'Local'}"));
	assert_int_equal(s->external_policy, TRAFFIC_POLICY_LOCAL);
	assert_int_equal(s->health_check_node_port, 0);
	service_free(s);
	s = service(
		with_spec("{'sessionAffinity':'None','sessionAffinityConfig':"
			  "{'clientIP':{'timeoutSeconds':60}}}"));
	assert_int_equal(s->affinity_timeout_s, 10800);
	service_free(s);
}

/* Each refusal names object, field, value and what is allowed. */
static void what_validation_let_in_once_is_read_as_kube_proxy_does(void **state)
{
	struct service *s = service(with_spec(
		"{'clusterIP':'010.96.000.09','externalIPs':['','198.051.100.7'],"
		"'loadBalancerSourceRanges':[' 010.0.0.0/8 ','','fd00::/8\\t']}"));

	(void)state;
	assert_addr(&s->cluster_ips[0], "10.96.0.9");
	assert_int_equal(s->external_ips_n, 1);
	assert_addr(&s->external_ips[0], "198.51.100.7");
	assert_int_equal(s->source_ranges_n, 2);
	assert_addr(&s->source_ranges[0].addr, "10.0.0.0");
	assert_int_equal(s->source_ranges[0].prefix_n, 8);
	assert_int_equal(s->source_ranges[1].addr.family, AF_INET6);
	service_free(s);
}

static void a_bad_field_refuses_the_service_and_is_named(void **state)
{
	static const struct {
		const char *spec, *text;
	} rows[] = {
		{"{'ports':[{'port':80},{'name':'b','port':0}]}",
		 "spec.ports[1].port: 0 is not allowed (1..65535)"},
		{"{'ports':[{'port':65536}]}",
		 "spec.ports[0].port: 65536 is not allowed (1..65535)"},
		{"{'ports':[{'port':-1}]}",
		 "spec.ports[0].port: -1 is not allowed (1..65535)"},
		{"{'ports':[{'port':'80'}]}",
		 "spec.ports[0].port: \"80\" is not allowed (1..65535)"},
		{"{'ports':[{'port':8e1}]}",
		 "spec.ports[0].port: 8e1 is not allowed (1..65535)"},
		{"{'ports':[{'name':'x'}]}",
		 "spec.ports[0]: port is missing (1..65535)"},
		{"{'ports':[{'port':80,'protocol':'ICMP'}]}",
		 "spec.ports[0].protocol: \"ICMP\" is not allowed "
		 "(TCP, UDP or SCTP)"},
		{"{'ports':[{'port':80,'protocol':'tcp'}]}",
		 "spec.ports[0].protocol: \"tcp\" is not allowed "
		 "(TCP, UDP or SCTP)"},
		{"{'ports':[{'port':80,'nodePort':70000}]}",
		 "spec.ports[0].nodePort: 70000 is not allowed (0..65535)"},
		{"{'ports':[{'port':80,'name':'a\\nb'}]}",
		 "spec.ports[0].name: \"a\\nb\" is not allowed (nothing or a "
		 "DNS label: at most 63 of a-z, 0-9 and -)"},
		{"{'ports':[{'port':80},{'port':81}]}",
		 "spec.ports[1]: name \"\" is that of ports[0] already"},
		{"{'ports':[{'port':80},{'port':80,'name':'b'}]}",
		 "spec.ports[1]: tcp port 80 is that of ports[0] already"},
		{"{'ports':[80]}",
		 "spec.ports[0]: 80 is not allowed (an object)"},
		{"{'ports':{}}",
		 "spec.ports: an object is not allowed (a list)"},
		{"[]", "spec: a list is not allowed (an object)"},
		{"{'clusterIPs':['10.96.0.1','10.96.0.256']}",
		 "spec.clusterIPs[1]: \"10.96.0.256\" is not allowed "
		 "(an IP address)"},
		{"{'clusterIP':'10.96.0.1/32'}",
		 "spec.clusterIP: \"10.96.0.1/32\" is not allowed "
		 "(an IP address)"},
		{"{'clusterIP':'127.0.0.1'}",
		 "spec.clusterIP: \"127.0.0.1\" is not allowed (neither "
		 "unspecified, loopback nor multicast)"},
		{"{'clusterIP':7}",
		 "spec.clusterIP: 7 is not allowed (an IP address)"},
		{"{'type':'Magic'}",
		 "spec.type: \"Magic\" is not allowed (ClusterIP, NodePort, "
		 "LoadBalancer or ExternalName)"},
		{"{'internalTrafficPolicy':'local'}",
		 "spec.internalTrafficPolicy: \"local\" is not allowed "
		 "(Cluster or Local)"},
		{"{'externalTrafficPolicy':1}",
		 "spec.externalTrafficPolicy: 1 is not allowed "
		 "(Cluster or Local)"},
		{"{'sessionAffinity':'Cookie'}",
		 "spec.sessionAffinity: \"Cookie\" is not allowed "
		 "(None or ClientIP)"},
		{"{'sessionAffinityConfig':{'clientIP':{'timeoutSeconds':0}}}",
		 "spec.sessionAffinityConfig.clientIP.timeoutSeconds: 0 is "
		 "not allowed (1..86400 seconds)"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct service *s = NULL;
		char want[512];

		snprintf(want, sizeof(want), "Service default/web: %s",
			 rows[i].text);
		assert_int_equal(decode_service(with_spec(rows[i].spec), &s),
				 -EINVAL);
		assert_string_equal(e.text, want);
		assert_null(s);
	}
}

static void a_bad_entry_is_left_out_and_told(void **state)
{
	static const char *const texts[] = {
		"metadata.annotations[nodesplice.io/mode]: 1 is not allowed "
		"(a string)",
		"spec.externalIPs[0]: \"169.254.169.254\" is not allowed "
		"(neither unspecified, loopback, link-local nor multicast)",
		"spec.externalIPs[2]: null is not allowed (an IP address)",
		"spec.loadBalancerSourceRanges[1]: \"10.0.0.0\" is not "
		"allowed (a prefix as 10.0.0.0/8)",
		"status.loadBalancer.ingress[0].ip: \"1.2.3\" is not allowed "
		"(an IP address)",
		"status.loadBalancer.ingress[1].ipMode: \"DSR\" is not "
		"allowed (VIP or Proxy)",
		"status.loadBalancer.ingress[2]: 5 is not allowed (an object)",
	};
	struct service *s = service(
		"{'metadata':{'name':'web','annotations':{"
		"'nodesplice.io/mode':1,'nodesplice.io/idle-timeout':'1h'}},"
		"'spec':{'clusterIP':'10.96.0.1','externalIPs':["
		"'169.254.169.254','192.0.2.1',null,'192.0.2.2'],"
		"'loadBalancerSourceRanges':['10.0.0.0/8','10.0.0.0']},"
		"'status':{'loadBalancer':{'ingress':[{'ip':'1.2.3'},"
		"{'ip':'192.0.2.3','ipMode':'DSR'},5,{'ip':'192.0.2.4'}]}}}");

	(void)state;
	assert_int_equal(s->annotations_n, 1);
	assert_int_equal(s->external_ips_n, 2);
	assert_addr(&s->external_ips[0], "192.0.2.1");
	assert_addr(&s->external_ips[1], "192.0.2.2");
	assert_int_equal(s->source_ranges_n, 1);
	assert_true(s->lost_ranges);
	assert_int_equal(s->ingress_n, 1);
	assert_addr(&s->ingress[0].addr, "192.0.2.4");
	assert_int_equal(s->bad_entries_n, ARRAY_SIZE(texts));
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_string_equal(s->bad_entries[i], texts[i]);
	service_free(s);
}

static void of_many_bad_entries_some_are_told_and_all_counted(void **state)
{
	struct text t = {0};
	struct service *s;

	(void)state;
	text_add(&t, "{'metadata':{'name':'w'},'spec':{'externalIPs':[");
	for (int i = 0; i < 20; i++)
		text_addf(&t, "'x%d',", i);
	text_add(&t, "'192.0.2.1']}}");
	s = service(t.data);
	assert_int_equal(s->external_ips_n, 1);
	assert_int_equal(s->bad_entries_n, LIMIT_BAD_ENTRIES_TOLD);
	assert_int_equal(s->bad_entries_more_n, 20 - LIMIT_BAD_ENTRIES_TOLD);
	service_free(s);
	text_free(&t);
}

static void names_that_are_no_dns_names_are_refused(void **state)
{
	static const char *const objects[] = {
		"{}",
		"[]",
		"{'metadata':{}}",
		"{'metadata':[]}",
		"{'metadata':{'name':''}}",
		"{'metadata':{'name':'Web'}}",
		"{'metadata':{'name':'../etc'}}",
		"{'metadata':{'name':'a b'}}",
		"{'metadata':{'name':'-a'}}",
		"{'metadata':{'name':'a-'}}",
		"{'metadata':{'name':'a.b'}}",
		"{'metadata':{'name':'a\\u0000b'}}",
		"{'metadata':{'name':'a\\\"'}}",
		"{'metadata':{'name':5}}",
		"{'metadata':{'name':'web','namespace':''}}",
		"{'metadata':{'name':'web','namespace':'a/b'}}",
		"{'metadata':{'name':'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'}}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(objects); i++) {
		struct service *s = NULL;

		if (decode_service(objects[i], &s) != -EINVAL)
			fail_msg("taken: %s", objects[i]);
		assert_int_equal(strncmp(e.text, "Service: ", 9), 0);
	}
}

static void a_long_value_is_shortened_in_the_text(void **state)
{
	struct text t = {0};
	struct service *s = NULL;

	(void)state;
	text_add(&t, "{'metadata':{'name':'web'},'spec':{'type':'");
	for (int i = 0; i < 2000; i++)
		text_add(&t, "x");
	text_add(&t, "'}}");
	assert_int_equal(decode_service(t.data, &s), -EINVAL);
	assert_non_null(strstr(e.text, "xxx... is not allowed (ClusterIP, "));
	assert_true(strlen(e.text) < 250);
	text_free(&t);
}

/* @n times @item with commas between @head and @tail */
static void repeat(struct text *t, const char *head, const char *item,
		   const char *tail, size_t n)
{
	text_add(t, head);
	for (size_t i = 0; i < n; i++)
		text_addf(t, "%s%s", i ? "," : "", item);
	text_add(t, tail);
}

static void more_cluster_ips_than_their_limit_are_refused(void **state)
{
	struct text t = {0};
	struct service *s = NULL;

	(void)state;
	repeat(&t, "{'metadata':{'name':'w'},'spec':{'clusterIPs':[",
	       "'10.96.0.1'", "]}}", LIMIT_ADDRS_PER_SERVICE + 1);
	assert_int_equal(decode_service(t.data, &s), -E2BIG);
	assert_non_null(strstr(e.text, "at most "));
	text_free(&t);
}

static void of_longer_lists_the_first_entries_count(void **state)
{
	static const struct {
		const char *head, *item, *tail;
		size_t limit, n_at;
	} rows[] = {
		{"{'metadata':{'name':'w'},'spec':{'externalIPs':[",
		 "'192.0.2.1'", "]}}", LIMIT_ADDRS_PER_SERVICE,
		 offsetof(struct service, external_ips_n)},
		{"{'metadata':{'name':'w'},'status':{'loadBalancer':"
		 "{'ingress':[",
		 "{'ip':'192.0.2.1'}", "]}}}", LIMIT_ADDRS_PER_SERVICE,
		 offsetof(struct service, ingress_n)},
		{"{'metadata':{'name':'w'},"
		 "'spec':{'loadBalancerSourceRanges':[",
		 "'192.0.2.0/24'", "]}}", LIMIT_RANGES_PER_SERVICE,
		 offsetof(struct service, source_ranges_n)},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (size_t more = 0; more < 2; more++) {
			struct text t = {0};
			struct service *s;

			repeat(&t, rows[i].head, rows[i].item, rows[i].tail,
			       rows[i].limit + more);
			s = service(t.data);
			assert_int_equal(*(size_t *)((char *)s + rows[i].n_at),
					 rows[i].limit);
			assert_int_equal(s->bad_entries_n, more);
			if (more)
				assert_non_null(strstr(s->bad_entries[0],
						       "entries the first "));
			service_free(s);
			text_free(&t);
		}
	}
}

static void our_annotations_are_bounded(void **state)
{
	char *whole = NULL;
	struct text t = {0};
	struct service *s = NULL;

	(void)state;
	text_add(&t, "{'metadata':{'name':'w','annotations':{'other/x':'y'");
	for (int i = 0; i < LIMIT_ANNOTATIONS_PER_SERVICE; i++)
		text_addf(&t, ",'nodesplice.io/x%d':'v'", i);
	text_add(&t, ",'nodesplice.io/x0':'again'");
	assert_true(asprintf(&whole, "%s}}}", t.data) > 0);
	assert_int_equal(decode_service(whole, &s), 0);
	assert_string_equal(s->annotations[0].value, "again");
	service_free(s);
	free(whole);
	text_add(&t, ",'nodesplice.io/one-more':'v'}}}");
	s = service(t.data);
	assert_int_equal(s->annotations_n, LIMIT_ANNOTATIONS_PER_SERVICE);
	assert_int_equal(s->bad_entries_n, 1);
	assert_string_equal(s->bad_entries[0],
			    "metadata.annotations[nodesplice.io/one-more]: "
			    "more than 64 of its prefix");
	service_free(s);
	text_free(&t);
}

static void times_are_read_to_the_second_and_zone(void **state)
{
	static const struct {
		const char *time;
		uint64_t created_s; /* 0: refused */
	} rows[] = {
		{"1970-01-01T00:00:01Z", 1},
		{"2026-01-31T12:00:01Z", 1769860801},
		{"2026-01-31T12:00:01.999999Z", 1769860801},
		{"2026-01-31T13:30:01+01:30", 1769860801},
		{"2026-01-31T10:00:01-02:00", 1769860801},
		{"2026-01-31 12:00:01Z", 0},
		{"2026-01-31T12:00:01", 0},
		{"2026-01-31T12:00:01.Z", 0},
		{"2026-13-31T12:00:01Z", 0},
		{"2026-01-31T25:00:01Z", 0},
		{"2026-01-31T12:00:01+1:00", 0},
		{"1969-01-31T12:00:01Z", 0},
		{"", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct service *s = NULL;
		char object[160];

		snprintf(object, sizeof(object),
			 "{'metadata':{'name':'w','creationTimestamp':'%s'}}",
			 rows[i].time);
		if (rows[i].created_s == 0) {
			assert_int_equal(decode_service(object, &s), -EINVAL);
			continue;
		}
		assert_int_equal(decode_service(object, &s), 0);
		assert_int_equal(s->created_s, rows[i].created_s);
		service_free(s);
	}
}

static void every_field_of_a_slice_is_read(void **state)
{
	struct endpoint_slice *s =
		slice("{'endpoints':[{'addresses':['10.244.1.5','10.244.1.6'],"
		      "'nodeName':'node-1.example','zone':'z1',"
		      "'conditions':{'ready':false,'serving':true,"
		      "'terminating':true},'hints':{'forZones':[{'name':'z1'},"
		      "{'name':'z2'}],'forNodes':[{'name':'n1'}]}},"
		      "{'addresses':['10.244.1.7']}],"
		      "'ports':[{'name':'http','port':8080,'protocol':'TCP'},"
		      "{'name':null,'port':null,'protocol':null},"
		      "{'name':'dns','port':53,'protocol':'UDP'}],"
		      "'addressType':'IPv4','metadata':{'name':'web.x1',"
		      "'namespace':'shop','labels':"
		      "{'kubernetes.io/service-name':'web'},'annotations':"
		      "{'endpoints.kubernetes.io/last-change-trigger-time':"
		      "'2026-01-31T12:00:01.25Z'}}}");

	(void)state;
	assert_string_equal(s->key, "shop/web.x1");
	assert_string_equal(s->service_key, "shop/web");
	assert_int_equal(s->family, AF_INET);
	assert_true(s->changed_ms == 1769860801250ull);
	assert_int_equal(s->ports_n, 3);
	assert_string_equal(s->ports[0].name, "http");
	assert_int_equal(s->ports[0].port, 8080);
	assert_string_equal(s->ports[1].name, "");
	assert_int_equal(s->ports[1].port, 0);
	assert_int_equal(s->ports[1].protocol, PROTOCOL_TCP);
	assert_int_equal(s->ports[2].protocol, PROTOCOL_UDP);
	assert_int_equal(s->endpoints_n, 2);
	assert_addr(&s->endpoints[0].addr, "10.244.1.5");
	assert_string_equal(s->endpoints[0].node, "node-1.example");
	assert_false(s->endpoints[0].ready);
	assert_true(s->endpoints[0].serving);
	assert_true(s->endpoints[0].terminating);
	assert_int_equal(s->endpoints[0].zone_hints_n, 2);
	assert_string_equal(s->endpoints[0].zone_hints[1], "z2");
	assert_int_equal(s->endpoints[0].node_hints_n, 1);
	assert_string_equal(s->endpoints[0].node_hints[0], "n1");
	assert_addr(&s->endpoints[1].addr, "10.244.1.7");
	assert_null(s->endpoints[1].node);
	endpoint_slice_free(s);
}

/* endpointslicecache.go: each condition has a default of its own */
static void absent_conditions_mean_ready_serving_not_terminating(void **state)
{
	static const struct {
		const char *conditions;
		bool ready, serving, terminating;
	} rows[] = {
		{"{}", true, true, false},
		{"null", true, true, false},
		{"{'ready':null,'serving':null,'terminating':null}", true, true,
		 false},
		{"{'ready':false}", false, true, false},
		{"{'serving':false}", true, false, false},
		{"{'terminating':true}", true, true, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct endpoint_slice *s;
		char rest[256];

		snprintf(rest, sizeof(rest),
			 "'addressType':'IPv4','endpoints':[{'addresses':"
			 "['10.0.0.1'],'conditions':%s}]",
			 rows[i].conditions);
		s = slice(slice_with(rest));
		assert_int_equal(s->endpoints[0].ready, rows[i].ready);
		assert_int_equal(s->endpoints[0].serving, rows[i].serving);
		assert_int_equal(s->endpoints[0].terminating,
				 rows[i].terminating);
		endpoint_slice_free(s);
	}
}

static void a_slice_of_no_service_is_told_apart(void **state)
{
	static const char *const objects[] = {
		"{'metadata':{'name':'x'},'addressType':'FQDN'}",
		"{'metadata':{'name':'x','labels':{}}}",
		"{'metadata':{'name':'x','labels':null}}",
		"{'metadata':{'name':'x','labels':"
		"{'kubernetes.io/service-name':''}}}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(objects); i++) {
		struct endpoint_slice *s = NULL;

		assert_int_equal(k8s_decode_slice(parsed(objects[i]), &s, &e),
				 -ENOENT);
		assert_string_equal(e.text,
				    "EndpointSlice default/x: metadata: no "
				    "label kubernetes.io/service-name");
	}
}

static void a_slice_of_a_headless_service_is_told_apart(void **state)
{
	static const char *const values[] = {"''", "'true'", "'false'"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		struct endpoint_slice *s = NULL;
		char object[256];

		snprintf(object, sizeof(object),
			 "{'metadata':{'name':'x','labels':{"
			 "'kubernetes.io/service-name':'web',"
			 "'service.kubernetes.io/headless':%s}},"
			 "'addressType':'IPv4'}",
			 values[i]);
		assert_int_equal(k8s_decode_slice(parsed(object), &s, &e),
				 -ENOENT);
		assert_null(s);
	}
}

static void a_bad_field_refuses_the_slice_and_is_named(void **state)
{
	static const struct {
		const char *rest, *text;
	} rows[] = {
		{"'addressType':'FQDN'",
		 "addressType: \"FQDN\" is not allowed (IPv4 or IPv6)"},
		{"'addressType':'IPv9'",
		 "addressType: \"IPv9\" is not allowed (IPv4 or IPv6)"},
		{"'ports':[]", "addressType is missing (IPv4 or IPv6)"},
		{"'addressType':'IPv4','endpoints':[{'addresses':"
		 "['fd00::1']}]",
		 "endpoints[0].addresses[0]: \"fd00::1\" is not allowed "
		 "(IPv4, as addressType says)"},
		{"'addressType':'IPv6','endpoints':[{'addresses':"
		 "['::ffff:10.0.0.1']}]",
		 "endpoints[0].addresses[0]: \"::ffff:10.0.0.1\" is not "
		 "allowed (IPv6, as addressType says)"},
		{"'addressType':'IPv4','endpoints':[{'addresses':"
		 "['127.0.0.1']}]",
		 "endpoints[0].addresses[0]: \"127.0.0.1\" is not allowed "
		 "(neither unspecified, loopback, link-local nor "
		 "multicast)"},
		{"'addressType':'IPv4','endpoints':[{'addresses':[]}]",
		 "endpoints[0].addresses: a list is not allowed (a list of "
		 "at least one address)"},
		{"'addressType':'IPv4','endpoints':[{}]",
		 "endpoints[0]: addresses is missing"},
		{"'addressType':'IPv4','endpoints':[{'addresses':"
		 "['10.0.0.1'],'conditions':{'ready':'yes'}}]",
		 "endpoints[0].conditions.ready: \"yes\" is not allowed "
		 "(true or false)"},
		{"'addressType':'IPv4','endpoints':[{'addresses':"
		 "['10.0.0.1'],'hints':{'forZones':[{'name':'a'},{}]}}]",
		 "endpoints[0].hints.forZones[1]: name is missing"},
		{"'addressType':'IPv4','endpoints':[{'addresses':"
		 "['10.0.0.1'],'nodeName':'No Node'}]",
		 "endpoints[0].nodeName: \"No Node\" is not allowed (a DNS "
		 "name: 1..253 of a-z, 0-9, - and .)"},
		{"'addressType':'IPv4','ports':[{'port':65536}]",
		 "ports[0].port: 65536 is not allowed (0..65535)"},
		{"'addressType':'IPv4','ports':[{'protocol':'DCCP'}]",
		 "ports[0].protocol: \"DCCP\" is not allowed (TCP, UDP or "
		 "SCTP)"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct endpoint_slice *s = NULL;
		char want[512];

		snprintf(want, sizeof(want), "EndpointSlice default/web-x1: %s",
			 rows[i].text);
		assert_int_equal(
			k8s_decode_slice(parsed(slice_with(rows[i].rest)), &s,
					 &e),
			-EINVAL);
		assert_string_equal(e.text, want);
		assert_null(s);
	}
}

static void a_slice_holds_as_many_endpoints_as_the_api_allows(void **state)
{
	static const char *const head = "{" SLICE_METADATA
					",'addressType':'IPv4','endpoints':[";
	struct endpoint_slice *s = NULL;
	struct text t = {0};

	(void)state;
	repeat(&t, head, "{'addresses':['10.0.0.1']}", "]}",
	       LIMIT_ENDPOINTS_PER_SLICE);
	assert_int_equal(k8s_decode_slice(parsed(t.data), &s, &e), 0);
	assert_int_equal(s->endpoints_n, 1000);
	endpoint_slice_free(s);
	text_free(&t);
	repeat(&t, head, "{'addresses':['10.0.0.1']}", "]}",
	       LIMIT_ENDPOINTS_PER_SLICE + 1);
	assert_int_equal(k8s_decode_slice(parsed(t.data), &s, &e), -E2BIG);
	assert_string_equal(e.text,
			    "EndpointSlice default/web-x1: endpoints: 1001 "
			    "entries are not allowed (at most 1000)");
	text_free(&t);
}

static void a_bad_trigger_time_is_as_good_as_none(void **state)
{
	struct endpoint_slice *s =
		slice("{'metadata':{'name':'x','labels':"
		      "{'kubernetes.io/service-name':'web'},'annotations':"
		      "{'endpoints.kubernetes.io/last-change-trigger-time':"
		      "'yesterday'}},'addressType':'IPv6'}");

	(void)state;
	assert_true(s->changed_ms == 0);
	assert_int_equal(s->family, AF_INET6);
	endpoint_slice_free(s);
}

static void every_field_of_a_node_is_read(void **state)
{
	struct node *n = NULL;
	struct json object = parsed(
		"{'metadata':{'name':'n1.example','deletionTimestamp':"
		"'2026-01-31T12:00:01Z','labels':"
		"{'topology.kubernetes.io/zone':'z1'}},'spec':{'podCIDR':"
		"'10.244.9.0/24','podCIDRs':['10.244.1.0/24','fd00:1::/64'],"
		"'taints':[{'effect':'NoSchedule','key':'x'},"
		"{'key':'ToBeDeletedByClusterAutoscaler','value':'1'}]},"
		"'status':{'addresses':[{'type':'Hostname','address':'n1'},"
		"{'type':'InternalIP','address':'192.0.2.7'},"
		"{'type':'ExternalIP','address':'203.0.113.1'},"
		"{'address':'fd00::7','type':'InternalIP'}]}}");

	(void)state;
	assert_int_equal(k8s_decode_node(object, &n, &e), 0);
	assert_string_equal(n->name, "n1.example");
	assert_string_equal(n->zone, "z1");
	assert_true(n->being_deleted);
	assert_true(n->to_be_deleted);
	assert_int_equal(n->ips_n, 3);
	assert_addr(&n->ips[0], "192.0.2.7");
	assert_addr(&n->ips[1], "fd00::7");
	assert_addr(&n->ips[2], "203.0.113.1");
	assert_int_equal(n->pod_cidrs_n, 2);
	assert_int_equal(n->pod_cidrs[0].prefix_n, 24);
	node_free(n);
}

static void a_service_cidr_is_read(void **state)
{
	struct service_cidr *c = NULL;
	struct json object = parsed(
		"{'apiVersion':'networking.k8s.io/v1','kind':'ServiceCIDR',"
		"'metadata':{'name':'kubernetes'},'spec':{'cidrs':"
		"['10.96.0.0/12','fd00:96::/108']}}");

	(void)state;
	assert_int_equal(k8s_kind_of(object), K8S_SERVICE_CIDR);
	assert_int_equal(k8s_decode_service_cidr(object, &c, &e), 0);
	assert_string_equal(c->name, "kubernetes");
	assert_int_equal(c->cidrs_n, 2);
	assert_int_equal(c->cidrs[0].prefix_n, 12);
	assert_int_equal(c->cidrs[1].addr.family, AF_INET6);
	service_cidr_free(c);
}

static void a_bad_service_cidr_is_refused(void **state)
{
	struct service_cidr *c = NULL;

	(void)state;
	assert_int_equal(
		k8s_decode_service_cidr(parsed("{'metadata':{'name':'x'},"
					       "'spec':{'cidrs':['10.96.0.1']}"
					       "}"),
					&c, &e),
		-EINVAL);
	assert_string_equal(e.text,
			    "ServiceCIDR x: spec.cidrs[0]: \"10.96.0.1\" is "
			    "not allowed (a prefix as 10.0.0.0/8)");
	/* It would discard whatever is sent to anybody. */
	assert_int_equal(
		k8s_decode_service_cidr(parsed("{'metadata':{'name':'x'},"
					       "'spec':{'cidrs':['0.0.0.0/0']}"
					       "}"),
					&c, &e),
		-EINVAL);
	assert_int_equal(
		k8s_decode_service_cidr(
			parsed("{'metadata':{'name':'x'},'spec':{'cidrs':"
			       "['10.0.0.0/8','11.0.0.0/8','12.0.0.0/8']}}"),
			&c, &e),
		-E2BIG);
	assert_null(c);
}

static void a_bare_node_and_an_old_one_are_read(void **state)
{
	struct node *n = NULL;

	(void)state;
	assert_int_equal(k8s_decode_node(parsed("{'metadata':{'name':'n1'}}"),
					 &n, &e),
			 0);
	assert_null(n->zone);
	assert_false(n->being_deleted);
	assert_false(n->to_be_deleted);
	node_free(n);
	assert_int_equal(
		k8s_decode_node(parsed("{'metadata':{'name':'n1'},'spec':"
				       "{'podCIDR':'10.244.9.0/24'}}"),
				&n, &e),
		0);
	assert_int_equal(n->pod_cidrs_n, 1);
	node_free(n);
	assert_int_equal(
		k8s_decode_node(parsed("{'metadata':{'name':'n1'},'status':"
				       "{'addresses':[{'type':'InternalIP',"
				       "'address':'none'},"
				       "{'type':'InternalIP','address':''},"
				       "{'type':'ExternalIP','address':7},"
				       "{'type':'ExternalIP',"
				       "'address':'192.0.2.1'}]}}"),
				&n, &e),
		0);
	assert_int_equal(n->ips_n, 1);
	assert_addr(&n->ips[0], "192.0.2.1");
	node_free(n);
	n = NULL;
	assert_int_equal(k8s_decode_node(parsed("{'metadata':{'name':'n1'},"
						"'spec':{'podCIDRs':['x']}}"),
					 &n, &e),
			 -EINVAL);
	assert_string_equal(e.text, "Node n1: spec.podCIDRs[0]: \"x\" is not "
				    "allowed (a prefix as 10.0.0.0/8)");
}

static void metadata_of_objects_and_lists_are_read(void **state)
{
	struct k8s_meta m;

	(void)state;
	assert_int_equal(
		k8s_decode_meta(parsed("{'metadata':{'namespace':'a','name':'b',"
				       "'resourceVersion':'7'}}"),
				&m, &e),
		0);
	assert_string_equal(m.key, "a/b");
	assert_string_equal(m.resource_version, "7");
	assert_string_equal(m.continue_token, "");
	k8s_meta_free(&m);
	assert_int_equal(
		k8s_decode_meta(parsed("{'metadata':{'continue':'c'}}"), &m,
				&e),
		0);
	assert_string_equal(m.key, "");
	assert_string_equal(m.continue_token, "c");
	k8s_meta_free(&m);
	assert_int_equal(k8s_decode_meta(parsed("{'metadata':{'name':'n'}}"),
					 &m, &e),
			 0);
	assert_string_equal(m.key, "n");
	k8s_meta_free(&m);
	assert_int_equal(k8s_decode_meta(parsed("{}"), &m, &e), 0);
	k8s_meta_free(&m);
	assert_int_equal(k8s_decode_meta(parsed("{'metadata':7}"), &m, &e),
			 -EINVAL);
	assert_int_equal(k8s_decode_meta(parsed("7"), &m, &e), -EINVAL);
}

static struct endpoint_slice *endpoints(const char *quoted)
{
	struct endpoint_slice *s = NULL;

	if (k8s_decode_endpoints(parsed(quoted), &s, &e) < 0)
		fail_msg("%s in %s", e.text, quoted);
	return s;
}

/* Endpoints "default/web" with these subsets. */
static const char *with_subsets(const char *subsets)
{
	static char buf[4096];

	snprintf(buf, sizeof(buf),
		 "{'metadata':{'name':'web','namespace':'default'},"
		 "'subsets':%s}",
		 subsets);
	return buf;
}

/* "4 a=TCP:80 b=TCP:81|+10.0.0.1@n1 -10.0.0.2", a line each slice; + is ready */
static void assert_slices(const struct endpoint_slice *s, const char *want)
{
	cleanup_(text_free) struct text t = {0};
	char buf[ADDR_STRLEN];

	for (; s; s = s->next) {
		assert_string_equal(s->key, "default/web");
		assert_string_equal(s->service_key, "default/web");
		text_addf(&t, "%c", addr_family_digit(s->family));
		for (size_t i = 0; i < s->ports_n; i++)
			text_addf(&t, " %s=%s:%u", s->ports[i].name,
				  protocol_name(s->ports[i].protocol),
				  s->ports[i].port);
		text_add(&t, "|");
		for (size_t i = 0; i < s->endpoints_n; i++) {
			const struct slice_endpoint *ep = &s->endpoints[i];

			assert_true(ep->serving);
			assert_false(ep->terminating);
			text_addf(&t, "%s%c%s%s%s", i ? " " : "",
				  ep->ready ? '+' : '-',
				  addr_format(&ep->addr, buf),
				  ep->node ? "@" : "",
				  ep->node ? ep->node : "");
		}
		text_add(&t, "\n");
	}
	assert_string_equal(t.data, want);
}

static void assert_converted(const char *subsets, const char *want)
{
	struct endpoint_slice *s = endpoints(with_subsets(subsets));

	assert_slices(s, want);
	endpoint_slice_free(s);
}

static void endpoints_become_a_slice_for_each_family(void **state)
{
	(void)state;
	assert_converted(
		"[{'addresses':[{'ip':'10.0.0.2','nodeName':'n1','hostname':"
		"'x'},{'ip':'fd00::1'},{'ip':'10.0.0.1'}],"
		"'notReadyAddresses':[{'ip':'10.0.0.0'}],"
		"'ports':[{'name':'b','port':81,'protocol':'UDP'},"
		"{'name':'a','port':80}]}]",
		"4 a=tcp:80 b=udp:81|+10.0.0.1 +10.0.0.2@n1 -10.0.0.0\n"
		"6 a=tcp:80 b=udp:81|+fd00::1\n");
	assert_converted("[{'addresses':[{'ip':'10.0.0.1'}],"
			 "'ports':[{'port':80}]}]",
			 "4 =tcp:80|+10.0.0.1\n");
}

static void subsets_of_equal_ports_are_one_and_others_are_not(void **state)
{
	(void)state;
	assert_converted("[{'addresses':[{'ip':'10.0.0.1'}],"
			 "'ports':[{'port':80}]},"
			 "{'addresses':[{'ip':'10.0.0.2'}],"
			 "'ports':[{'port':81}]},"
			 "{'addresses':[{'ip':'10.0.0.3'}],"
			 "'ports':[{'port':80}]}]",
			 "4 =tcp:80|+10.0.0.1 +10.0.0.3\n"
			 "4 =tcp:81|+10.0.0.2\n");
	/* One address in two subsets has the ports of both. */
	assert_converted("[{'addresses':[{'ip':'10.0.0.1'}],"
			 "'ports':[{'name':'a','port':80}]},"
			 "{'addresses':[{'ip':'10.0.0.1'}],"
			 "'ports':[{'name':'b','port':81}]}]",
			 "4 a=tcp:80 b=tcp:81|+10.0.0.1\n");
}

static void not_ready_in_one_subset_is_not_ready(void **state)
{
	(void)state;
	assert_converted("[{'addresses':[{'ip':'10.0.0.1'}],"
			 "'notReadyAddresses':[{'ip':'10.0.0.1'}],"
			 "'ports':[{'port':80}]}]",
			 "4 =tcp:80|-10.0.0.1\n");
	assert_converted("[{'addresses':[{'ip':'10.0.0.1'}],"
			 "'ports':[{'name':'a','port':80},"
			 "{'name':'b','port':81}]},"
			 "{'notReadyAddresses':[{'ip':'10.0.0.1'}],"
			 "'ports':[{'name':'b','port':81}]}]",
			 "4 a=tcp:80|+10.0.0.1\n"
			 "4 b=tcp:81|-10.0.0.1\n");
}

static void endpoints_without_any_are_one_empty_slice(void **state)
{
	(void)state;
	assert_converted("[]", "4|\n");
	assert_converted("null", "4|\n");
	assert_converted("[{'ports':[{'port':80}]}]", "4|\n");
	assert_converted("[{'addresses':[{'ip':'10.0.0.1'}]}]", "4|\n");
}

static void endpoints_that_are_no_services_are_skipped(void **state)
{
	static const char *const metadata[] = {
		"'labels':{'endpointslice.kubernetes.io/skip-mirror':'true'}",
		"'labels':{'service.kubernetes.io/headless':''}",
		"'annotations':{'control-plane.alpha.kubernetes.io/leader':"
		"'{}'}",
	};
	struct endpoint_slice *s = NULL;
	char object[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(metadata); i++) {
		snprintf(object, sizeof(object),
			 "{'metadata':{'name':'web',%s}}", metadata[i]);
		assert_int_equal(k8s_decode_endpoints(parsed(object), &s, &e),
				 -ENOENT);
		assert_null(s);
	}
	s = endpoints("{'metadata':{'name':'web','labels':{"
		      "'endpointslice.kubernetes.io/skip-mirror':'false'},"
		      "'annotations':{'endpoints.kubernetes.io/"
		      "last-change-trigger-time':'1970-01-01T00:00:02Z'}}}");
	assert_int_equal(s->changed_ms, 2000);
	endpoint_slice_free(s);
}

static void bad_endpoints_are_refused_by_field(void **state)
{
	static const struct {
		const char *subsets, *says;
	} rows[] = {
		{"[{'addresses':[{'ip':'10.0.0.256'}]}]",
		 "Endpoints default/web: subsets[0].addresses[0].ip: "
		 "\"10.0.0.256\""},
		{"[{'addresses':[{'ip':'127.0.0.1'}]}]", "neither unspecified"},
		{"[{'notReadyAddresses':[{}]}]",
		 "subsets[0].notReadyAddresses[0]: ip is missing"},
		{"[{'ports':[{'name':'a'}]}]",
		 "subsets[0].ports[0]: port is missing"},
		{"[{'ports':[{'port':0}]}]", "(1..65535)"},
		{"{}", "a list"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct endpoint_slice *s = NULL;

		assert_int_equal(k8s_decode_endpoints(
					 parsed(with_subsets(rows[i].subsets)),
					 &s, &e),
				 -EINVAL);
		assert_null(s);
		if (!strstr(e.text, rows[i].says))
			fail_msg("\"%s\" does not say \"%s\"", e.text,
				 rows[i].says);
	}
}

/* @addresses_n of each family in one subset of @ports_n ports. */
static void large_endpoints(struct text *t, size_t addresses_n, size_t ports_n)
{
	text_add(t, "{'metadata':{'name':'web'},'subsets':[{"
		    "'notReadyAddresses':[{'ip':'10.0.0.1'}],'addresses':[");
	for (size_t i = 0; i < addresses_n; i++)
		text_addf(t, "%s{'ip':'10.1.%zu.%zu'},{'ip':'fd00::%zx'}",
			  i ? "," : "", i / 250, i % 250 + 1, i + 1);
	text_add(t, "],'ports':[");
	for (size_t i = 0; i < ports_n; i++)
		text_addf(t, "%s{'name':'p%zu','port':%zu}", i ? "," : "", i,
			  i + 1);
	text_add(t, "]}]}");
}

static void
a_subset_has_a_thousand_of_both_families_ready_ones_first(void **state)
{
	cleanup_(text_free) struct text t = {0};
	struct endpoint_slice *s, *other;

	(void)state;
	large_endpoints(&t, 700, 1);
	s = endpoints(t.data);
	other = endpoints(t.data);
	assert_int_equal(s->endpoints_n, 700);
	assert_true(s->endpoints[0].ready);
	assert_int_equal(s->left_out_n, 1); /* the one that is not ready */
	assert_int_equal(s->next->family, AF_INET6);
	assert_int_equal(s->next->endpoints_n, 300);
	assert_int_equal(s->next->left_out_n, 400);
	assert_null(s->next->next);
	assert_true(endpoint_slice_equal(s, other));
	other->next->left_out_n = 0;
	assert_false(endpoint_slice_equal(s, other));
	endpoint_slice_free(TAKE_PTR(other->next));
	assert_false(endpoint_slice_equal(s, other));
	assert_false(endpoint_slice_equal(other, s));
	endpoint_slice_free(other);
	endpoint_slice_free(s);
}

static void endpoints_of_too_many_pairs_are_refused(void **state)
{
	cleanup_(text_free) struct text t = {0};
	struct endpoint_slice *s = NULL;

	(void)state;
	large_endpoints(&t, 1000, 500);
	assert_int_equal(k8s_decode_endpoints(parsed(t.data), &s, &e), -E2BIG);
	assert_non_null(strstr(e.text, "1000500 pairs"));
	assert_null(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds_need_their_api_version),
		cmocka_unit_test(endpoints_become_a_slice_for_each_family),
		cmocka_unit_test(
			subsets_of_equal_ports_are_one_and_others_are_not),
		cmocka_unit_test(not_ready_in_one_subset_is_not_ready),
		cmocka_unit_test(endpoints_without_any_are_one_empty_slice),
		cmocka_unit_test(endpoints_that_are_no_services_are_skipped),
		cmocka_unit_test(bad_endpoints_are_refused_by_field),
		cmocka_unit_test(
			a_subset_has_a_thousand_of_both_families_ready_ones_first),
		cmocka_unit_test(endpoints_of_too_many_pairs_are_refused),
		cmocka_unit_test(a_bare_service_has_the_defaults_of_the_api),
		cmocka_unit_test(every_field_of_a_service_is_read),
		cmocka_unit_test(null_is_absent),
		cmocka_unit_test(cluster_ip_stands_in_for_cluster_ips),
		cmocka_unit_test(what_a_type_gives_no_meaning_gets_its_default),
		cmocka_unit_test(
			what_validation_let_in_once_is_read_as_kube_proxy_does),
		cmocka_unit_test(a_bad_field_refuses_the_service_and_is_named),
		cmocka_unit_test(names_that_are_no_dns_names_are_refused),
		cmocka_unit_test(a_long_value_is_shortened_in_the_text),
		cmocka_unit_test(a_bad_entry_is_left_out_and_told),
		cmocka_unit_test(
			of_many_bad_entries_some_are_told_and_all_counted),
		cmocka_unit_test(more_cluster_ips_than_their_limit_are_refused),
		cmocka_unit_test(of_longer_lists_the_first_entries_count),
		cmocka_unit_test(our_annotations_are_bounded),
		cmocka_unit_test(times_are_read_to_the_second_and_zone),
		cmocka_unit_test(every_field_of_a_slice_is_read),
		cmocka_unit_test(
			absent_conditions_mean_ready_serving_not_terminating),
		cmocka_unit_test(a_slice_of_no_service_is_told_apart),
		cmocka_unit_test(a_slice_of_a_headless_service_is_told_apart),
		cmocka_unit_test(a_bad_field_refuses_the_slice_and_is_named),
		cmocka_unit_test(
			a_slice_holds_as_many_endpoints_as_the_api_allows),
		cmocka_unit_test(a_bad_trigger_time_is_as_good_as_none),
		cmocka_unit_test(every_field_of_a_node_is_read),
		cmocka_unit_test(a_service_cidr_is_read),
		cmocka_unit_test(a_bad_service_cidr_is_refused),
		cmocka_unit_test(a_bare_node_and_an_old_one_are_read),
		cmocka_unit_test(metadata_of_objects_and_lists_are_read),
	};

	return cmocka_run_group_tests(tests, new_doc, free_doc);
}
