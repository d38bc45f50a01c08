// SPDX-License-Identifier: GPL-2.0-or-later
/* What a Service is in the floor, without a kernel. */
#include "floor_rig.h"

#include "../../src/nft/nfp_elements.h"
#include "nodesplice/plan/slots.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

static struct nfp_elements elements_of(const struct service_plan *sp)
{
	struct nfp_elements e = {0};

	assert_int_equal(nfp_elements_add_service(&e, sp), 0);
	nfp_elements_sort(&e);
	return e;
}

static size_t count(const struct nfp_elements *e, uint32_t set)
{
	size_t n = 0;

	for (size_t i = 0; i < e->n; i++)
		n += e->items[i].set == set;
	return n;
}

static const struct nfp_element *first(const struct nfp_elements *e,
				       uint32_t set)
{
	for (size_t i = 0; i < e->n; i++) {
		if (e->items[i].set == set)
			return &e->items[i];
	}
	fail_msg("no element in set %08x", set);
	return NULL;
}

static uint32_t set4(enum nfp_set_kind kind)
{
	return nfp_set_id(kind, AF_INET, 0);
}

/* n endpoints of which every second one is local */
static struct service_plan *web(unsigned int n)
{
	struct service_plan *sp =
		rig_service("default/web", PROTOCOL_TCP, AF_INET);

	for (unsigned int i = 0; i < n; i++) {
		struct sockad where = at("10.244.0.0:8080");

		where.addr.v4.s_addr = htonl(0x0af40001 + i);
		rig_endpoint_unsorted(sp, where, i % 2 == 0);
	}
	return sp;
}

static void each_slot_of_a_frontend_leads_to_an_endpoint(void **state)
{
	const uint32_t map = nfp_set_id(NFP_SET_CLUSTER, AF_INET, 3);
	cleanup_(service_plan_freep) struct service_plan *sp = web(3);
	cleanup_(nfp_elements_free) struct nfp_elements e = {0};
	const struct nfp_element *slot;

	(void)state;
	rig_frontend(sp, PLAN_CLUSTER_IP, at("10.96.0.10:80"),
		     pick(SELECT_SCOPE_CLUSTER, PLAN_UNLESS_POD),
		     pick(SELECT_SCOPE_CLUSTER, PLAN_UNLESS_POD));
	e = elements_of(sp);
	/* 3 slots, once although both views use them; 2 views; 2 hairpins;
	 * the cluster IP */
	assert_int_equal(e.n, 3 + 2 + 2 + 1);
	assert_int_equal(count(&e, map), 3);
	slot = first(&e, map);
	for (uint32_t i = 0; i < 3; i++) {
		const uint8_t key[] = {10, 96, 0, 10, 6,	  0, 0, 0,
				       0,  80, 0, 0,  (uint8_t)i, 0, 0, 0};
		const uint8_t value[] = {10,   244,  0, (uint8_t)(1 + i),
					 0x1f, 0x90, 0, 0};

		assert_memory_equal(slot[i].key, key, sizeof(key));
		assert_memory_equal(slot[i].value, value, sizeof(value));
		assert_string_equal(slot[i].comment, "default/web:http");
	}
}

static void verdict_says_scope_count_and_masquerading(void **state)
{
	cleanup_(service_plan_freep) struct service_plan *sp = web(5);
	cleanup_(nfp_elements_free) struct nfp_elements e = {0};
	char name[NFP_NAME_BYTES];

	(void)state;
	rig_frontend(sp, PLAN_LOAD_BALANCER, at("192.0.2.80:80"),
		     pick(SELECT_SCOPE_CLUSTER, PLAN_IF_NODE),
		     pick(SELECT_SCOPE_LOCAL, PLAN_KEEP));
	rig_frontend(sp, PLAN_NODE_PORT, at("0.0.0.0:30080"),
		     pick(SELECT_SCOPE_CLUSTER, PLAN_MASQUERADE),
		     pick(SELECT_SCOPE_LOCAL, PLAN_UNLESS_POD));
	e = elements_of(sp);
	nfp_chain_name(first(&e, set4(NFP_SET_INSIDE))->chain, name);
	assert_string_equal(name, "cluster4-5-masquerade-if-node");
	nfp_chain_name(first(&e, set4(NFP_SET_OUTSIDE))->chain, name);
	assert_string_equal(name, "local4-3");
	nfp_chain_name(first(&e, set4(NFP_SET_NODE_PORTS_INSIDE))->chain, name);
	assert_string_equal(name, "node-port-cluster4-5-masquerade");
	nfp_chain_name(first(&e, set4(NFP_SET_NODE_PORTS_OUTSIDE))->chain,
		       name);
	assert_string_equal(name, "node-port-local4-3-masquerade-unless-pod");
	/* A scope's slots for each frontend that a view picks from. */
	assert_int_equal(count(&e, nfp_set_id(NFP_SET_CLUSTER, AF_INET, 5)), 5);
	assert_int_equal(count(&e, nfp_set_id(NFP_SET_LOCAL, AF_INET, 3)), 3);
	assert_int_equal(
		count(&e, nfp_set_id(NFP_SET_NODE_PORT_CLUSTER, AF_INET, 5)),
		5);
	assert_int_equal(
		count(&e, nfp_set_id(NFP_SET_NODE_PORT_LOCAL, AF_INET, 3)), 3);
}

static void only_cluster_ips_refuse_their_other_ports(void **state)
{
	cleanup_(service_plan_freep) struct service_plan *sp = web(1);
	cleanup_(nfp_elements_free) struct nfp_elements e = {0};
	const struct nfp_element *element;

	(void)state;
	rig_frontend(sp, PLAN_CLUSTER_IP, at("10.96.0.10:80"),
		     pick(SELECT_SCOPE_CLUSTER, PLAN_KEEP),
		     pick(SELECT_SCOPE_CLUSTER, PLAN_KEEP));
	rig_frontend(sp, PLAN_EXTERNAL_IP, at("198.51.100.7:80"),
		     pick(SELECT_SCOPE_CLUSTER, PLAN_KEEP),
		     pick(SELECT_SCOPE_CLUSTER, PLAN_KEEP));
	rig_frontend(sp, PLAN_LOAD_BALANCER, at("192.0.2.80:80"),
		     pick(SELECT_SCOPE_CLUSTER, PLAN_KEEP),
		     pick(SELECT_SCOPE_CLUSTER, PLAN_KEEP));
	e = elements_of(sp);
	assert_int_equal(count(&e, set4(NFP_SET_CLUSTER_IPS)), 1);
	element = first(&e, set4(NFP_SET_CLUSTER_IPS));
	assert_memory_equal(element->key, ((uint8_t[]){10, 96, 0, 10, 0}), 5);
	assert_true(nfp_element_shared(element));
}

static void what_leads_nowhere_is_not_translated(void **state)
{
	cleanup_(service_plan_freep) struct service_plan *sp =
		rig_service("default/web", PROTOCOL_TCP, AF_INET);
	cleanup_(nfp_elements_free) struct nfp_elements e = {0};

	(void)state;
	rig_endpoint(sp, at("10.244.2.1:8080"), false);
	rig_frontend(sp, PLAN_NODE_PORT, at("0.0.0.0:30080"),
		     pick(SELECT_SCOPE_CLUSTER, PLAN_IF_NODE),
		     pick(SELECT_SCOPE_LOCAL, PLAN_KEEP));
	e = elements_of(sp);
	assert_int_equal(count(&e, set4(NFP_SET_NODE_PORTS_OUTSIDE)), 0);
	assert_true(first(&e, set4(NFP_SET_NO_ENDPOINTS_NODE_PORTS_OUTSIDE))
			    ->chain == NFP_CHAIN_DISCARD);
	assert_int_equal(count(&e, set4(NFP_SET_NODE_PORTS_INSIDE)), 1);
	assert_int_equal(count(&e, set4(NFP_SET_HAIRPIN)), 0);
}

static void service_without_endpoints_is_refused_in_both_views(void **state)
{
	cleanup_(service_plan_freep) struct service_plan *sp = web(0);
	cleanup_(nfp_elements_free) struct nfp_elements e = {0};

	(void)state;
	rig_frontend(sp, PLAN_CLUSTER_IP, at("10.96.0.10:80"),
		     pick(SELECT_SCOPE_CLUSTER, PLAN_UNLESS_POD),
		     pick(SELECT_SCOPE_CLUSTER, PLAN_UNLESS_POD));
	e = elements_of(sp);
	assert_int_equal(e.n, 3);
	assert_int_equal(count(&e, set4(NFP_SET_CLUSTER_IPS)), 1);
	assert_true(first(&e, set4(NFP_SET_NO_ENDPOINTS_INSIDE))->chain ==
		    NFP_CHAIN_REFUSE);
	assert_true(first(&e, set4(NFP_SET_NO_ENDPOINTS_OUTSIDE))->chain ==
		    NFP_CHAIN_REFUSE);
}

static void service_without_frontends_is_nothing(void **state)
{
	cleanup_(service_plan_freep) struct service_plan *sp = web(4);
	cleanup_(nfp_elements_free) struct nfp_elements e = elements_of(sp);

	(void)state;
	assert_int_equal(e.n, 0);
}

static void many_endpoints_share_a_fixed_number_of_slots(void **state)
{
	cleanup_(service_plan_freep) struct service_plan *sp = web(100);
	cleanup_(nfp_elements_free) struct nfp_elements e = {0};
	const uint32_t map =
		nfp_set_id(NFP_SET_CLUSTER, AF_INET, slots_count(100));
	unsigned int shares[101] = {0};

	(void)state;
	rig_frontend(sp, PLAN_CLUSTER_IP, at("10.96.0.10:80"),
		     pick(SELECT_SCOPE_CLUSTER, PLAN_KEEP),
		     pick(SELECT_SCOPE_CLUSTER, PLAN_KEEP));
	e = elements_of(sp);
	assert_int_equal(count(&e, map), slots_count(100));
	for (size_t i = 0; i < e.n; i++) {
		if (e.items[i].set == map)
			shares[e.items[i].value[3]]++;
	}
	for (unsigned int i = 1; i <= 100; i++)
		assert_in_range(shares[i], 4, 6);
}

static void source_range_ends_at_the_prefixs_last_address(void **state)
{
	static const struct {
		const char *prefix;
		uint8_t last[4];
	} rows[] = {
		{"198.51.100.0/24", {198, 51, 100, 255}},
		{"198.51.100.7/32", {198, 51, 100, 7}},
		{"128.0.0.0/1", {255, 255, 255, 255}},
		{"198.51.96.0/19", {198, 51, 127, 255}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_(service_plan_freep) struct service_plan *sp = web(1);
		cleanup_(nfp_elements_free) struct nfp_elements e = {0};
		struct plan_port *p = &sp->ports[0];

		p->source_ranges = calloc(1, sizeof(*p->source_ranges));
		assert_non_null(p->source_ranges);
		p->source_ranges[p->source_ranges_n++] = prefix(rows[i].prefix);
		rig_frontend(sp, PLAN_LOAD_BALANCER, at("192.0.2.80:80"),
			     pick(SELECT_SCOPE_CLUSTER, PLAN_MASQUERADE),
			     pick(SELECT_SCOPE_CLUSTER, PLAN_MASQUERADE))
			->firewalled = true;
		e = elements_of(sp);
		assert_int_equal(count(&e, set4(NFP_SET_FIREWALLED)), 1);
		assert_memory_equal(
			first(&e, set4(NFP_SET_SOURCE_RANGES))->last,
			rows[i].last, 4);
	}
}

/* Written and read again, an element of any set is the same. */
static void what_is_written_is_read_as_the_same(void **state)
{
	(void)state;
	for (unsigned int k = NFP_SET_NONE + 1; k < NFP_SET_KIND_MAX_; k++) {
		const uint32_t set = nfp_set_id(
			k, AF_INET6, nfp_set_is_counted(k) ? 300 : 0);
		struct nfp_element in = {.set = set, .comment = "ns/name:p"};
		struct nfp_element out;
		cleanup_(nfp_batch_free) struct nfp_batch b = {0};
		const struct nlattr *a, *list = NULL;
		char name[NFP_NAME_BYTES];
		struct nfp_emitter m;
		struct nfp_set def;
		uint32_t key_n;

		nfp_set_define(set, name, &def);
		key_n = nfp_fields_bytes(def.key);
		memset(in.key, 0xa5, key_n);
		if (def.value[0] == NFP_FIELD_VERDICT)
			in.chain = nfp_chain_pick(nfp_set_id(NFP_SET_LOCAL,
							     AF_INET6, 7),
						  PLAN_IF_NODE);
		else if (k == NFP_SET_SOURCE_RANGES)
			memset(in.last, 0x5a, sizeof(in.last));
		else
			memset(in.value, 0x5a, nfp_fields_bytes(def.value));
		nfp_emit_begin(&m, &b, NFT_MSG_NEWSETELEM, NFPROTO_INET,
			       NFP_FLOOR_TABLE, name);
		nfp_element_emit(&m, &in, true);
		nfp_emit_end(&m);
		mnl_attr_for_each(a, nfp_batch_message(&b, 1),
				  sizeof(struct nfgenmsg)) {
			if (mnl_attr_get_type(a) == NFTA_SET_ELEM_LIST_ELEMENTS)
				list = a;
		}
		assert_non_null(list);
		assert_int_equal(nfp_element_parse(mnl_attr_get_payload(list),
						   set, &out),
				 0);
		assert_int_equal(nfp_element_compare(&in, &out), 0);
		assert_true(nfp_element_same(&in, &out));
	}
}

static void elements_fill_messages_and_begin_new_ones(void **state)
{
	cleanup_(nfp_batch_free) struct nfp_batch b = {0};
	struct nfp_element e = {
		.set = nfp_set_id(NFP_SET_CLUSTER, AF_INET6, 64),
		.comment = "a/b:c",
	};
	struct nfp_emitter m;

	(void)state;
	nfp_emit_begin(&m, &b, NFT_MSG_NEWSETELEM, NFPROTO_INET,
		       NFP_FLOOR_TABLE, "cluster6-64");
	for (uint32_t i = 0; i < 5000; i++) {
		memcpy(e.key, &i, sizeof(i));
		nfp_element_emit(&m, &e, true);
	}
	nfp_emit_end(&m);
	assert_false(b.failed);
	assert_in_range(b.messages_n, 6, 12);
	for (uint32_t seq = 1; seq <= b.messages_n; seq++)
		assert_in_range(nfp_batch_message(&b, seq)->nlmsg_len, 100,
				65535);
}

static void name_is_cut_and_cleaned_for_its_comment(void **state)
{
	char buf[NFP_COMMENT_BYTES], name[300];

	(void)state;
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(nfp_comment(name, buf), LIMIT_ELEMENT_COMMENT);
	assert_int_equal(strlen(buf), LIMIT_ELEMENT_COMMENT);
	assert_int_equal(nfp_comment("ns/na\"me:\n\xff", buf), 11);
	assert_string_equal(buf, "ns/na_me:__");
	assert_int_equal(nfp_comment("kube-system/dns.v2:dns-tcp_0", buf), 28);
	assert_string_equal(buf, "kube-system/dns.v2:dns-tcp_0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_slot_of_a_frontend_leads_to_an_endpoint),
		cmocka_unit_test(verdict_says_scope_count_and_masquerading),
		cmocka_unit_test(only_cluster_ips_refuse_their_other_ports),
		cmocka_unit_test(what_leads_nowhere_is_not_translated),
		cmocka_unit_test(
			service_without_endpoints_is_refused_in_both_views),
		cmocka_unit_test(service_without_frontends_is_nothing),
		cmocka_unit_test(many_endpoints_share_a_fixed_number_of_slots),
		cmocka_unit_test(source_range_ends_at_the_prefixs_last_address),
		cmocka_unit_test(what_is_written_is_read_as_the_same),
		cmocka_unit_test(elements_fill_messages_and_begin_new_ones),
		cmocka_unit_test(name_is_cut_and_cleaned_for_its_comment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
