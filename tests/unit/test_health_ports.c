// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "model.h"
#include "observing.h"

#include "nodesplice/base/clock.h"
#include "nodesplice/observe/pages.h"
#include "nodesplice/plan/local_ready.h"

#include "../../src/app/health_ports.h"

#define DEADLINE_MS 8000

struct fixture {
	struct observing *ob;
	struct loop *loop;
	struct health_ports *ports;
	unsigned int problems_n;
	char problem[ERRBUF_BYTES];
	uint16_t port; /* free when the test began */
};

static void on_problem(const char *key, const char *sentence, void *data)
{
	struct fixture *f = data;

	assert_string_equal(key, "default/web");
	f->problems_n++;
	snprintf(f->problem, sizeof(f->problem), "%s", sentence);
}

static int bind_loopback(uint16_t port, uint16_t *ret_port)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				 .sin_port = htons(port)};
	socklen_t in_n = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&in, in_n), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &in_n), 0);
	*ret_port = ntohs(in.sin_port);
	return fd;
}

/* Node ports are served on one or two addresses, or none. */
static void serve_at(struct fixture *f, const char *first, const char *second)
{
	struct node_port_places places = {0};

	if (first)
		places.addrs[places.addrs_n++] = an_addr(first);
	if (second)
		places.addrs[places.addrs_n++] = an_addr(second);
	health_ports_places(f->ports, &places);
}

/* A namespace of its own: in the machine's, a port that was free is somebody
 * else's in the next moment.  Who may not make one takes that chance. */
static int own_ports(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNET) < 0)
		return 0;
	return system("ip link set lo up") == 0 ? 0 : -1;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->ob = observing_new();
	assert_int_equal(loop_new(&f->loop), 0);
	assert_int_equal(health_ports_new(f->loop, &f->ob->o, on_problem, f,
					  &f->ports),
			 0);
	serve_at(f, "127.0.0.1", NULL);
	close(bind_loopback(0, &f->port));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	health_ports_free(f->ports);
	loop_free(f->loop);
	observing_free(f->ob);
	free(f);
	return 0;
}

static void change(struct fixture *f, struct service *s)
{
	struct plan_changes changes = {0};

	assert_int_equal(store_put_service(f->ob->store, s), 0);
	assert_int_equal(plan_update(f->ob->plan, f->ob->store, &f->ob->context,
				     &changes),
			 0);
	for (size_t i = 0; i < changes.n; i++)
		health_ports_update(f->ports, changes.items[i].key,
				    changes.items[i].after);
	plan_changes_free(&changes);
}

/* default/web with a health check node port. */
static struct service *web(uint16_t port)
{
	struct service *s = a_service("web", "10.96.0.1");

	s->type = SERVICE_TYPE_LOAD_BALANCER;
	s->external_policy = TRAFFIC_POLICY_LOCAL;
	s->health_check_node_port = port;
	return s;
}

static struct endpoint_slice *slice_of_web(const char *name)
{
	return a_slice(name, "web", AF_INET);
}

static bool can_connect(uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				 .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	bool yes = connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0;

	close(fd);
	return yes;
}

static void answer(struct fixture *f, uint64_t now_ms, struct http_answer *a)
{
	struct pages_service page = {&f->ob->o, "default/web", AF_INET};

	pages_service("POST", "/anything", now_ms, REALTIME_MS, a, &page);
}

static void the_port_is_open_as_long_as_the_service_has_it(void **state)
{
	struct fixture *f = *state;
	struct service *without = web(0);

	assert_false(can_connect(f->port));
	change(f, web(f->port));
	assert_true(can_connect(f->port));
	assert_int_equal(f->ob->o.health_ports.listeners_n, 1);
	change(f, without);
	assert_false(can_connect(f->port));
	assert_int_equal(f->ob->o.health_ports.listeners_n, 0);
	assert_int_equal(f->problems_n, 0);
}

static void a_deleted_service_gives_its_port_back(void **state)
{
	struct fixture *f = *state;

	change(f, web(f->port));
	health_ports_update(f->ports, "default/web", NULL);
	assert_false(can_connect(f->port));
	/* Once more changes nothing. */
	health_ports_update(f->ports, "default/web", NULL);
	assert_int_equal(f->ob->o.health_ports.listeners_n, 0);
}

static void a_changed_port_moves_the_listener(void **state)
{
	struct fixture *f = *state;
	uint16_t other;

	close(bind_loopback(0, &other));
	change(f, web(f->port));
	change(f, web(other));
	assert_false(can_connect(f->port));
	assert_true(can_connect(other));
}

static void listeners_follow_the_addresses_of_node_ports(void **state)
{
	struct node_port_places places = {.on_loopback = {true}};
	struct fixture *f = *state;

	change(f, web(f->port));
	serve_at(f, "127.0.0.2", "127.0.0.3");
	assert_false(can_connect(f->port));
	assert_int_equal(f->ob->o.health_ports.listeners_n, 2);
	/* None of the family: every address. */
	serve_at(f, NULL, NULL);
	assert_true(can_connect(f->port));
	assert_int_equal(f->ob->o.health_ports.listeners_n, 1);
	serve_at(f, "127.0.0.2", NULL);
	assert_false(can_connect(f->port));
	/* localhost alone. */
	health_ports_places(f->ports, &places);
	assert_true(can_connect(f->port));
	/* Everywhere includes it. */
	places.everywhere[0] = true;
	health_ports_places(f->ports, &places);
	assert_int_equal(f->ob->o.health_ports.listeners_n, 1);
	assert_true(can_connect(f->port));
}

static void a_taken_port_is_told_once_and_taken_over_when_free(void **state)
{
	struct fixture *f = *state;
	uint64_t deadline_ms = clock_now_ms() + DEADLINE_MS;
	int fd = bind_loopback(f->port, &f->port);

	change(f, web(f->port));
	assert_int_equal(f->problems_n, 1);
	assert_non_null(strstr(f->problem, "node node-a failed to start "
					   "healthcheck \"default/web\" on "
					   "port "));
	assert_non_null(strstr(f->problem, "Address already in use"));
	assert_int_equal(f->ob->o.health_ports.failing_n, 1);
	close(fd);
	while (f->ob->o.health_ports.failing_n && clock_now_ms() < deadline_ms)
		loop_turn(f->loop, 1000);
	assert_true(can_connect(f->port));
	assert_int_equal(f->problems_n, 1);
	assert_int_equal(f->ob->o.health_ports.failures_n, 1);
}

static void a_node_port_of_the_same_number_is_not_shadowed(void **state)
{
	struct fixture *f = *state;
	struct service *other = a_service("other", "10.96.0.2");

	other->type = SERVICE_TYPE_NODE_PORT;
	other->ports[0].node_port = f->port;
	change(f, other);
	change(f, web(f->port));
	assert_int_equal(f->problems_n, 1);
	assert_non_null(strstr(f->problem,
			       "it is a node port of Service default/"
			       "other"));
	assert_false(can_connect(f->port));
}

static void listeners_are_bounded(void **state)
{
	struct fixture *f = *state;

	f->ob->o.health_ports.listeners_n = LIMIT_HEALTH_LISTENERS;
	change(f, web(f->port));
	assert_false(can_connect(f->port));
	assert_int_equal(f->ob->o.health_ports.over_limit_n, 1);
	assert_non_null(strstr(f->problem, "more than 4096"));
	f->ob->o.health_ports.listeners_n = 0;
}

static void ready_endpoints_of_this_node_count_by_address(void **state)
{
	struct fixture *f = *state;
	struct endpoint_slice *s = slice_of_web("web-1");
	struct endpoint_slice *again = slice_of_web("web-2");
	struct endpoint_slice *portless = slice_of_web("web-3");
	struct slice_endpoint *ep;
	struct http_answer a;

	change(f, web(0));
	with_endpoint(s, "10.244.1.1", "node-a");
	with_endpoint(s, "10.244.1.2", "node-a");
	with_endpoint(s, "10.244.1.9", "node-b");
	with_endpoint(s, "10.244.1.8", NULL);
	ep = with_endpoint(s, "10.244.1.3", "node-a");
	ep->ready = false;
	ep->terminating = true; /* and serving */
	with_endpoint(again, "10.244.1.1", "node-a");
	with_endpoint(portless, "10.244.1.4", "node-a");
	portless->ports[0].port = 0;
	assert_int_equal(store_put_slice(f->ob->store, s), 0);
	assert_int_equal(store_put_slice(f->ob->store, again), 0);
	assert_int_equal(store_put_slice(f->ob->store, portless), 0);
	assert_int_equal(local_ready_n(f->ob->store, "default/web", AF_INET,
				       "node-a"),
			 2);
	assert_int_equal(local_ready_n(f->ob->store, "default/web", AF_INET6,
				       "node-a"),
			 0);
	answer(f, NOW_MS, &a);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.content_type, "application/json");
	assert_string_equal(a.extra_name, "X-Load-Balancing-Endpoint-Weight");
	assert_string_equal(a.extra_value, "2");
	assert_string_equal(a.body.data, "{\n"
					 "\t\"service\": {\n"
					 "\t\t\"namespace\": \"default\",\n"
					 "\t\t\"name\": \"web\"\n"
					 "\t},\n"
					 "\t\"localEndpoints\": 2,\n"
					 "\t\"serviceProxyHealthy\": true\n"
					 "}");
	text_free(&a.body);
}

static void without_local_endpoints_or_rules_it_is_503(void **state)
{
	struct fixture *f = *state;
	struct endpoint_slice *s = slice_of_web("web-1");
	struct http_answer a;

	answer(f, NOW_MS, &a);
	assert_int_equal(a.status, 503);
	assert_string_equal(a.extra_value, "0");
	text_free(&a.body);
	with_endpoint(s, "10.244.1.1", "node-a");
	assert_int_equal(store_put_slice(f->ob->store, s), 0);
	observed_synced(&f->ob->o, true, 1, NOW_MS, REALTIME_MS);
	observed_queued(&f->ob->o, NOW_MS, REALTIME_MS);
	answer(f, NOW_MS + 60000, &a);
	assert_int_equal(a.status, 503);
	assert_string_equal(a.extra_value, "1");
	assert_non_null(strstr(a.body.data, "\"serviceProxyHealthy\": false"));
	text_free(&a.body);
	assert_int_equal(f->ob->o.http.service_failed_n, 2);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_port_is_open_as_long_as_the_service_has_it),
		T(a_deleted_service_gives_its_port_back),
		T(a_changed_port_moves_the_listener),
		T(listeners_follow_the_addresses_of_node_ports),
		T(a_taken_port_is_told_once_and_taken_over_when_free),
		T(a_node_port_of_the_same_number_is_not_shadowed),
		T(listeners_are_bounded),
		T(ready_endpoints_of_this_node_count_by_address),
		T(without_local_endpoints_or_rules_it_is_503),
	};

	return cmocka_run_group_tests(tests, own_ports, NULL);
}
