/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nfp_expr.h - rules, built from the few expressions that we use
 *
 * Layer: nft, private.  The sequence of expressions and registers is the one
 * that nft 1.0.6 makes from the same text, so that it prints the text again.
 *
 * Registers are counted in words of 4 bytes, 0 to 15.  A key of several fields
 * starts at word 0, each field padded to words, as nft lays concatenations out.
 */
#pragma once

#include <linux/netfilter/nf_tables.h>
#include <stdbool.h>
#include <stdint.h>

#include "nfp_batch.h"

struct nftnl_expr;
struct nftnl_rule;

/* A rule under construction: nfp_rule_begin(), expressions, nfp_rule_end(). */
struct nfp_rule {
	struct nfp_batch *batch; /* borrowed */
	struct nftnl_rule *rule; /* owned; NULL: out of memory */
};

void nfp_rule_begin(struct nfp_rule *r, struct nfp_batch *b, uint8_t family,
		    const char *table, const char *chain);
/* Append it to its chain.  @comment may be NULL. */
void nfp_rule_end(struct nfp_rule *r, const char *comment);

enum nfp_address {
	NFP_SADDR,
	NFP_DADDR,
	NFP_ADDRESS_MAX_,
};

/*
 * Loads.  Each returns the word after what it loaded, so that a key is a chain
 * of them.  @family is AF_INET or AF_INET6.
 */
unsigned int nfp_load_addr(struct nfp_rule *r, uint8_t family,
			   enum nfp_address which, unsigned int word);
unsigned int nfp_load_l4proto(struct nfp_rule *r, unsigned int word);
unsigned int nfp_load_sport(struct nfp_rule *r, unsigned int word);
unsigned int nfp_load_dport(struct nfp_rule *r, unsigned int word);
unsigned int nfp_load_ether_saddr(struct nfp_rule *r, unsigned int word);
unsigned int nfp_load_slot(struct nfp_rule *r, uint32_t slots_n,
			   unsigned int word);
unsigned int nfp_load_meta(struct nfp_rule *r, enum nft_meta_keys key,
			   unsigned int word);
/* @direction: IP_CT_DIR_*, or -1 for keys that have none */
unsigned int nfp_load_ct(struct nfp_rule *r, enum nft_ct_keys key,
			 int direction, unsigned int word);
/* @flags: NFTA_FIB_F_*; @result: NFT_FIB_RESULT_* */
unsigned int nfp_load_fib(struct nfp_rule *r, uint32_t flags, uint32_t result,
			  unsigned int word);
/* A constant: bytes as they stand in a packet. */
unsigned int nfp_load_data(struct nfp_rule *r, const void *data,
			   uint32_t data_n, unsigned int word);
/* reg = (reg & mask) ^ xor, on one word in host order */
void nfp_bitwise(struct nfp_rule *r, uint32_t mask, uint32_t xor_,
		 unsigned int word);

/* Conditions: the rest of the rule is skipped where they do not hold. */
void nfp_compare(struct nfp_rule *r, enum nft_cmp_ops op, const void *data,
		 uint32_t data_n, unsigned int word);
void nfp_match_family(struct nfp_rule *r, uint8_t family); /* meta nfproto */
/* meta protocol: the same where there is no nfproto (bridge) */
void nfp_match_protocol(struct nfp_rule *r, uint8_t family);
void nfp_match_l4proto(struct nfp_rule *r, uint8_t proto);
void nfp_match_dport(struct nfp_rule *r, uint16_t port);
/* tcp flags & flags != 0, or == 0: TH_*; after a match of l4proto */
void nfp_match_tcp_flags(struct nfp_rule *r, uint8_t flags, bool is_set);
/* meta mark & bit != 0, or == 0 */
void nfp_match_mark(struct nfp_rule *r, uint32_t bit, bool is_set);
void nfp_match_ct_mark(struct nfp_rule *r, uint32_t bit, bool is_set);
/* ct state & bits != 0: NF_CT_STATE_*_BIT */
void nfp_match_ct_state(struct nfp_rule *r, uint32_t bits);
/* ct status & bits != 0, or == 0: IPS_* */
void nfp_match_ct_status(struct nfp_rule *r, uint32_t bits, bool is_set);
void nfp_match_ct_direction(struct nfp_rule *r, uint8_t direction);
/* fib saddr type local, or != local; fib daddr */
void nfp_match_local(struct nfp_rule *r, enum nfp_address which, bool is_local);
/* iifname, oifname, ibrname: NFT_META_IIFNAME ... */
void nfp_match_ifname(struct nfp_rule *r, enum nft_meta_keys key,
		      const char *name);
/* The key that starts at @word is in the set, or is not. */
void nfp_match_in(struct nfp_rule *r, const char *set, unsigned int word,
		  bool is_in);
/* meta nfproto F, ip saddr @set; or != @set */
void nfp_match_addr_in(struct nfp_rule *r, uint8_t family,
		       enum nfp_address which, const char *set, bool is_in);

/* Actions. */
/* Replace the key at @word by the map's value. */
void nfp_map(struct nfp_rule *r, const char *map, unsigned int word,
	     unsigned int value_word);
/* Do what the verdict map says; go on where it has no such key. */
void nfp_verdict_map(struct nfp_rule *r, const char *map, unsigned int word);
void nfp_counter(struct nfp_rule *r);
/* counter name: one of the table's, see nfp_batch_new_counter() */
void nfp_counter_named(struct nfp_rule *r, const char *name);
/* ct timeout set name: see nfp_batch_new_ct_timeout() */
void nfp_set_ct_timeout(struct nfp_rule *r, const char *name);
/* NF_ACCEPT, NF_DROP, NFT_RETURN, or NFT_JUMP, NFT_GOTO with a chain. */
void nfp_verdict(struct nfp_rule *r, int verdict, const char *chain);
void nfp_set_mark(struct nfp_rule *r, unsigned int word);
void nfp_set_ct_mark(struct nfp_rule *r, unsigned int word);
/* meta mark set meta mark | bit; ct mark set ct mark | bit */
void nfp_add_mark(struct nfp_rule *r, uint32_t bit);
void nfp_add_ct_mark(struct nfp_rule *r, uint32_t bit);
/* meta mark set meta mark ^ bit */
void nfp_flip_mark(struct nfp_rule *r, uint32_t bit);
void nfp_set_pkttype_host(struct nfp_rule *r);
/* Write bytes of the ethernet header (bridge): ether daddr set. */
void nfp_set_ether_daddr(struct nfp_rule *r, unsigned int word);
/* dnat to the address at one word and the port at another */
void nfp_dnat(struct nfp_rule *r, uint8_t family, unsigned int addr_word,
	      unsigned int port_word);
/* redirect to :port, the port at a word */
void nfp_redirect(struct nfp_rule *r, unsigned int port_word);
void nfp_masquerade(struct nfp_rule *r); /* fully-random */
void nfp_reject_reset(struct nfp_rule *r);
void nfp_reject_port(struct nfp_rule *r); /* icmpx port-unreachable */
/* update @set { key at word timeout T }; 0: the set's own timeout */
void nfp_update_set(struct nfp_rule *r, const char *set, uint64_t timeout_ms,
		    unsigned int word);
/* delete @set { key at word } */
void nfp_delete_from_set(struct nfp_rule *r, const char *set,
			 unsigned int word);
/* update @map { key at word : value at value_word } */
void nfp_update_map(struct nfp_rule *r, const char *map, unsigned int word,
		    unsigned int value_word);
