// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "nodesplice/base/mem.h"
#include "nodesplice/plan/plan.h"

#include "node_ports.h"

void node_ports_init(struct node_ports *np)
{
	*np = (struct node_ports){.primary = true};
}

void node_ports_free(struct node_ports *np)
{
	free(np->cidrs);
	*np = (struct node_ports){0};
}

static int parse_word(struct node_ports *np, const char *word)
{
	struct cidr c;

	if (strcmp(word, "primary") == 0)
		np->primary = true;
	else if (strcmp(word, "localhost") == 0)
		np->localhost = true;
	else if (strcmp(word, "all") == 0)
		np->all = true;
	else if (cidr_parse(word, &c) == 0)
		return ARRAY_APPEND(np->cidrs, np->cidrs_n, np->cidrs_room, c);
	else
		return -EINVAL;
	return 0;
}

int node_ports_parse(struct node_ports *np, const char *list, char *bad,
		     size_t bad_n)
{
	cleanup_(freep) char *copy = strdup(list);
	char *rest = copy, *word;
	int r = 0;

	node_ports_free(np);
	if (!copy)
		return -ENOMEM;
	/* An empty list is no list, as in a configuration file. */
	np->primary = !*list;
	while (*list && r == 0 && (word = strsep(&rest, ","))) {
		r = parse_word(np, word);
		if (r == -EINVAL)
			snprintf(bad, bad_n, "%s", word);
	}
	return r;
}

static void add(struct node_port_places *to, const struct addr *a)
{
	if (addr_is_loopback(a))
		return;
	for (size_t i = 0; i < to->addrs_n; i++) {
		if (addr_equal(&to->addrs[i], a))
			return;
	}
	if (to->addrs_n < LIMIT_NODE_PORT_ADDRS)
		to->addrs[to->addrs_n++] = *a;
	else
		to->left_out_n++;
}

static void find_of_prefix(const struct cidr *c,
			   const struct netdev_addr *local, size_t local_n,
			   struct node_port_places *to)
{
	for (size_t i = 0; i < local_n; i++) {
		if (cidr_contains(c, &local[i].addr))
			add(to, &local[i].addr);
	}
}

static void find_of_family(const struct node_ports *np, uint8_t family,
			   const struct netdev_addr *local, size_t local_n,
			   const struct addr *primary,
			   struct node_port_places *to)
{
	bool *everywhere = &to->everywhere[plan_family(family)];
	bool *on_loopback = &to->on_loopback[plan_family(family)];
	bool has_primary = np->primary && primary->family == family;
	bool named = has_primary || np->localhost;

	*everywhere = np->all;
	*on_loopback = np->localhost;
	for (size_t i = 0; i < np->cidrs_n; i++) {
		const struct cidr *c = &np->cidrs[i];

		if (c->addr.family != family)
			continue;
		named = true;
		*everywhere |= c->prefix_n == 0;
		*on_loopback |= addr_is_loopback(&c->addr);
	}
	*everywhere |= !named;
	if (*everywhere)
		return;
	if (has_primary) {
		const struct cidr own = {
			.addr = *primary,
			.prefix_n = (uint8_t)(8 * addr_bytes_n(family)),
		};

		find_of_prefix(&own, local, local_n, to);
	}
	for (size_t i = 0; i < np->cidrs_n; i++) {
		if (np->cidrs[i].addr.family == family)
			find_of_prefix(&np->cidrs[i], local, local_n, to);
	}
}

void node_ports_find(const struct node_ports *np,
		     const struct netdev_addr *local, size_t local_n,
		     const struct addr primary[2],
		     struct node_port_places *ret_places)
{
	memset(ret_places, 0, sizeof(*ret_places)); /* compared as bytes */
	find_of_family(np, AF_INET, local, local_n, &primary[0], ret_places);
	find_of_family(np, AF_INET6, local, local_n, &primary[1], ret_places);
}
