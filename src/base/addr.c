// SPDX-License-Identifier: GPL-2.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nodesplice/base/addr.h"

static void addr_set_v4(struct addr *a, const void *bytes)
{
	*a = (struct addr){.family = AF_INET};
	memcpy(a->bytes, bytes, 4);
}

static void addr_set_v6(struct addr *a, const struct in6_addr *v6)
{
	if (IN6_IS_ADDR_V4MAPPED(v6)) {
		addr_set_v4(a, &v6->s6_addr[12]);
		return;
	}
	*a = (struct addr){.v6 = *v6, .family = AF_INET6};
}

int addr_parse(const char *text, struct addr *ret_addr)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1) {
		addr_set_v4(ret_addr, &v4);
		return 0;
	}
	if (inet_pton(AF_INET6, text, &v6) == 1) {
		addr_set_v6(ret_addr, &v6);
		return 0;
	}
	return -EINVAL;
}

const char *addr_format(const struct addr *a, char buf[ADDR_STRLEN])
{
	if (a->family == AF_UNSPEC ||
	    !inet_ntop(a->family, a->bytes, buf, ADDR_STRLEN))
		strcpy(buf, "-");
	return buf;
}

int addr_compare(const struct addr *a, const struct addr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return addr_compare(a, b) == 0;
}

bool addr_is_loopback(const struct addr *a)
{
	if (a->family == AF_INET)
		return a->bytes[0] == 127;
	return a->family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&a->v6);
}

bool addr_is_unspecified(const struct addr *a)
{
	static const uint8_t zero[16];

	return memcmp(a->bytes, zero, sizeof(zero)) == 0;
}

bool addr_is_link_local(const struct addr *a)
{
	if (a->family == AF_INET)
		return a->bytes[0] == 169 && a->bytes[1] == 254;
	return a->family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&a->v6);
}

bool addr_is_multicast(const struct addr *a)
{
	if (a->family == AF_INET)
		return (a->bytes[0] & 0xf0) == 0xe0;
	return a->family == AF_INET6 && IN6_IS_ADDR_MULTICAST(&a->v6);
}

/* The mask of byte i under a prefix of n bits. */
static uint8_t prefix_mask(unsigned int prefix_n, unsigned int i)
{
	if (prefix_n >= 8 * (i + 1))
		return 0xff;
	if (prefix_n <= 8 * i)
		return 0;
	return (uint8_t)(0xff << (8 - (prefix_n - 8 * i)));
}

/* Digits only, no sign, no spaces; -EINVAL above @max. */
static int parse_number(const char *text, unsigned long max,
			unsigned long *ret_value)
{
	unsigned long value;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || *end || value > max)
		return -EINVAL;
	*ret_value = value;
	return 0;
}

int cidr_parse(const char *text, struct cidr *ret_cidr)
{
	char host[ADDR_STRLEN];
	const char *slash = strchr(text, '/');
	struct cidr c = {0};
	unsigned long bits;

	if (!slash || (size_t)(slash - text) >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, (size_t)(slash - text));
	host[slash - text] = '\0';
	if (addr_parse(host, &c.addr) < 0)
		return -EINVAL;
	if (parse_number(slash + 1, 8ul * addr_bytes_n(c.addr.family), &bits))
		return -EINVAL;
	c.prefix_n = (uint8_t)bits;
	for (unsigned int i = 0; i < sizeof(c.addr.bytes); i++)
		c.addr.bytes[i] &= prefix_mask(c.prefix_n, i);
	*ret_cidr = c;
	return 0;
}

const char *cidr_format(const struct cidr *c, char buf[CIDR_STRLEN])
{
	char host[ADDR_STRLEN];

	snprintf(buf, CIDR_STRLEN, "%s/%u", addr_format(&c->addr, host),
		 c->prefix_n);
	return buf;
}

int cidr_compare(const struct cidr *a, const struct cidr *b)
{
	int r = addr_compare(&a->addr, &b->addr);

	return r ? r : (int)a->prefix_n - (int)b->prefix_n;
}

bool cidr_contains(const struct cidr *c, const struct addr *a)
{
	if (c->addr.family != a->family)
		return false;
	for (unsigned int i = 0; i < addr_bytes_n(a->family); i++) {
		if ((a->bytes[i] & prefix_mask(c->prefix_n, i)) !=
		    c->addr.bytes[i])
			return false;
	}
	return true;
}

int sockad_compare(const struct sockad *a, const struct sockad *b)
{
	int r = addr_compare(&a->addr, &b->addr);

	if (r)
		return r;
	return (a->port > b->port) - (a->port < b->port);
}

const char *sockad_format(const struct sockad *s, char buf[SOCKAD_STRLEN])
{
	char host[ADDR_STRLEN];

	addr_format(&s->addr, host);
	snprintf(buf, SOCKAD_STRLEN,
		 s->addr.family == AF_INET6 ? "[%s]:%u" : "%s:%u", host,
		 s->port);
	return buf;
}

int sockad_parse(const char *text, struct sockad *ret_sockad)
{
	char host[ADDR_STRLEN];
	struct sockad s = {0};
	const char *colon = strrchr(text, ':'), *start = text, *end = colon;
	unsigned long port;

	if (!colon)
		return -EINVAL;
	if (*text == '[') {
		start++;
		if (--end <= start || *end != ']')
			return -EINVAL;
	}
	if ((size_t)(end - start) >= sizeof(host))
		return -EINVAL;
	memcpy(host, start, (size_t)(end - start));
	host[end - start] = '\0';
	if (addr_parse(host, &s.addr) < 0 ||
	    parse_number(colon + 1, 65535, &port) < 0)
		return -EINVAL;
	if ((*text == '[') != (strchr(host, ':') != NULL))
		return -EINVAL;
	s.port = (uint16_t)port;
	*ret_sockad = s;
	return 0;
}

socklen_t sockad_to_sockaddr(const struct sockad *s,
			     struct sockaddr_storage *ret_ss)
{
	memset(ret_ss, 0, sizeof(*ret_ss));
	if (s->addr.family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)ret_ss;

		in->sin_family = AF_INET;
		in->sin_addr = s->addr.v4;
		in->sin_port = htons(s->port);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret_ss;

	in6->sin6_family = AF_INET6;
	in6->sin6_addr = s->addr.v6;
	in6->sin6_port = htons(s->port);
	return sizeof(*in6);
}

int sockad_from_sockaddr(const struct sockaddr_storage *ss,
			 struct sockad *ret_sockad)
{
	struct sockad s = {0};

	if (ss->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)ss;

		addr_set_v4(&s.addr, &in->sin_addr);
		s.port = ntohs(in->sin_port);
	} else if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 =
			(const struct sockaddr_in6 *)ss;

		addr_set_v6(&s.addr, &in6->sin6_addr);
		s.port = ntohs(in6->sin6_port);
	} else {
		return -EAFNOSUPPORT;
	}
	*ret_sockad = s;
	return 0;
}

uint64_t hash_bytes(const void *data, size_t data_n, uint64_t seed)
{
	const uint8_t *p = data;
	uint64_t h = seed ^ 0xcbf29ce484222325ULL;

	/* FNV-1a, then the finaliser of splitmix64 for the high bits. */
	for (size_t i = 0; i < data_n; i++)
		h = (h ^ p[i]) * 0x100000001b3ULL;
	h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ULL;
	h = (h ^ (h >> 27)) * 0x94d049bb133111ebULL;
	return h ^ (h >> 31);
}
