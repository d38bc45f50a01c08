/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * addr.h - IP addresses, prefixes and address-port pairs
 *
 * Layer: base, pure.  Addresses are in network order inside struct addr, ports
 * in host order everywhere; both are converted only where a system call or a
 * netlink message is filled.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDR_STRLEN   INET6_ADDRSTRLEN
#define SOCKAD_STRLEN (INET6_ADDRSTRLEN + 8) /* [addr]:65535 */
#define CIDR_STRLEN   (INET6_ADDRSTRLEN + 4)

/* Unused bytes are always zero, so that equal addresses are equal memory. */
struct addr {
	union {
		struct in_addr v4;
		struct in6_addr v6;
		uint8_t bytes[16];
	};
	uint8_t family; /* AF_INET, AF_INET6; AF_UNSPEC (0): no address */
	uint8_t zero[3];
};

struct sockad {
	struct addr addr;
	uint16_t port;
	uint16_t zero;
};

struct cidr {
	struct addr addr; /* host bits are zero */
	uint8_t prefix_n; /* bits */
};

/**
 * addr_parse() - Read an address as Kubernetes prints it
 * @text:	Dotted quad without leading zeros, or IPv6 without zone
 * @ret_addr:	Unchanged on error; an IPv4-mapped IPv6 address becomes IPv4
 *
 * Return: 0; -EINVAL
 */
int addr_parse(const char *text, struct addr *ret_addr);

/**
 * addr_format() - Print an address
 * @buf:	ADDR_STRLEN bytes
 *
 * Return: @buf; "-" for AF_UNSPEC
 */
const char *addr_format(const struct addr *a, char buf[ADDR_STRLEN]);

/* Return: as memcmp(), by family, then by bytes. */
int addr_compare(const struct addr *a, const struct addr *b);
bool addr_equal(const struct addr *a, const struct addr *b);
bool addr_is_loopback(const struct addr *a);
bool addr_is_unspecified(const struct addr *a);
bool addr_is_link_local(const struct addr *a);
bool addr_is_multicast(const struct addr *a);

/* Bytes of an address of this family: 4 or 16. */
static inline unsigned int addr_bytes_n(uint8_t family)
{
	return family == AF_INET ? 4 : 16;
}

/* "4" or "6", the suffix of names in the ruleset. */
static inline char addr_family_digit(uint8_t family)
{
	return family == AF_INET ? '4' : '6';
}

/**
 * cidr_parse() - Read "address/bits"; host bits are cleared
 *
 * Return: 0; -EINVAL (@ret_cidr unchanged)
 */
int cidr_parse(const char *text, struct cidr *ret_cidr);
const char *cidr_format(const struct cidr *c, char buf[CIDR_STRLEN]);
/* Return: as memcmp(), by address, then by prefix. */
int cidr_compare(const struct cidr *a, const struct cidr *b);
bool cidr_contains(const struct cidr *c, const struct addr *a);

/* Return: as memcmp(), by address, then by port. */
int sockad_compare(const struct sockad *a, const struct sockad *b);
/* "10.0.0.1:80" or "[fd00::1]:80". */
const char *sockad_format(const struct sockad *s, char buf[SOCKAD_STRLEN]);
/* Return: 0; -EINVAL.  The reverse of sockad_format(). */
int sockad_parse(const char *text, struct sockad *ret_sockad);
/* Fill @ret_ss; return its length. */
socklen_t sockad_to_sockaddr(const struct sockad *s,
			     struct sockaddr_storage *ret_ss);
/* Return: 0; -EAFNOSUPPORT.  IPv4-mapped addresses become IPv4. */
int sockad_from_sockaddr(const struct sockaddr_storage *ss,
			 struct sockad *ret_sockad);

/* A well mixed 64-bit hash of bytes; not against an adversary. */
uint64_t hash_bytes(const void *data, size_t data_n, uint64_t seed);
