/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nfp.h - the nft programmer: the floor, the intercept and the gate
 *
 * Layer: nft; the only user of libnftnl and libmnl.  Control thread only.
 *
 *   table inet nodesplice               the floor; stays when we go
 *   table inet nodesplice-intercept-a   flags owner; the kernel removes it
 *   table bridge nodesplice-intercept-a when our socket closes
 *   table inet nodesplice-forget        stays: what the intercept's connections
 *                                       leave in conntrack
 *
 * Whatever was written is held as the plan that it came from; a change is the
 * difference of two service plans, and one transaction.
 */
#pragma once

#include "nodesplice/base/err.h"
#include "nodesplice/plan/plan.h"

enum nfp_entry { /* as enum px_entry; nft/ and proxy/ don't know each other */
		 NFP_FROM_NODE,
		 NFP_FROM_POD,
		 NFP_FROM_OUTSIDE,
		 NFP_ENTRY_MAX_,
};

struct nfp_options {
	bool intercept;	       /* false: the floor alone */
	char intercept_suffix; /* 'a' or 'b' */
	uint16_t port[NFP_ENTRY_MAX_];
	uint32_t masquerade_mark; /* one bit, as kube-proxy's 0x4000 */
	uint32_t own_mark;	  /* one bit: second legs, our API sockets,
					heartbeats */
	uint32_t divert_mark;	  /* one bit: replies to kept sources */
	uint32_t kept_connmark;	  /* one bit of the connection mark */
	uint32_t rule_priority;	  /* of the ip rule */
	uint32_t route_table;
	/* Who is a pod of this node: whose source address is in local_pods,
	 * or, if pod_interface is given, who comes in by that interface. */
	const struct cidr *local_pods; /* borrowed for the call */
	size_t local_pods_n;
	char pod_interface[16];	      /* IFNAMSIZ; "": none */
	bool pod_interface_is_prefix; /* any whose name begins so */
	bool masquerade_all;
	struct addr node_addr[2]; /* [0] IPv4, [1] IPv6: where intercepted
					traffic of prerouting goes; AF_UNSPEC:
					that family is not intercepted */
	const struct addr *node_port_addrs; /* local addresses that node ports
					are served on; borrowed for the call */
	size_t node_port_addrs_n;
	bool node_ports_everywhere[2];	/* on each local address but loopback,
					  whatever node_port_addrs says; [0]
					  IPv4, [1] IPv6 */
	bool node_ports_on_loopback[2]; /* and there: by the intercept alone */
	const struct cidr *service_cidrs; /* where nobody else's services are:
					an address in there that is no
					Service's is dropped; borrowed for the
					call */
	size_t service_cidrs_n;
};

struct nfp;

/* Open the sockets; writes nothing.  -EPERM, -EPROTONOSUPPORT, -EOPNOTSUPP
 * (no owner flag) with a sentence that says what is missing. */
int nfp_open(const struct nfp_options *o, struct nfp **ret_nfp,
	     struct errbuf *e);
void nfp_free(struct nfp *n); /* the floor stays, the intercept goes */
DEFINE_FREEP(struct nfp, nfp_free)

/**
 * nfp_set_held() - Be told what flows an earlier plan sent where
 * @fn:		In nfp_sync(), for each UDP frontend (of node ports: the
 *		unspecified address) and endpoint that the table held before it;
 *		none of sets above NFP_READBACK_ELEMENTS
 */
typedef void (*nfp_held_fn)(const struct sockad *frontend,
			    const struct sockad *endpoint, void *data);
void nfp_set_held(struct nfp *n, nfp_held_fn fn, void *data);

/**
 * nfp_sync() - Make the kernel hold @plan, whatever it holds now
 *
 * Full read-back of our tables, then one transaction with the difference:
 * at start, after a refused transaction and for drift.
 * Return: 0; -errno with text; the kernel's state is as before then
 */
int nfp_sync(struct nfp *n, const struct plan *plan, struct errbuf *e);

/**
 * nfp_apply() - Write plan changes in one transaction
 *
 * Return: 0; -errno: nothing was written, and nfp_sync() is due
 */
int nfp_apply(struct nfp *n, const struct plan_changes *changes,
	      struct errbuf *e);

/* Node addresses, local pods or bridges changed: the static part again. */
int nfp_update_options(struct nfp *n, const struct nfp_options *o,
		       struct errbuf *e);

/* Whether conntrack forgets at once what the proxy resets.  Where the kernel
 * cannot (CONFIG_NF_CONNTRACK_TIMEOUT), a client that takes a port again within
 * 10 seconds may be led to the listener of a daemon that was killed. */
bool nfp_forgets(const struct nfp *n);

/**
 * nfp_heartbeat() - Refresh the gate by a packet per family
 * @ret_error:	By plan_family(): 0, also for a family without node address;
 *		-errno, -ENOENT if nothing caught the packet
 *
 * Never a transaction.  Return: 0: the gate of one family at least is open;
 * -errno
 */
int nfp_heartbeat(struct nfp *n, int ret_error[2]);
/* Packets that the intercept sent to the listeners, ever.  Reads its other
 * counters as well, for nfp_stats(). */
int nfp_intercepted_n(struct nfp *n, uint64_t *ret_n);
/* Remove the intercept (shutdown, lasting trouble); put it back. */
int nfp_close_intercept(struct nfp *n, struct errbuf *e);
int nfp_open_intercept(struct nfp *n, const struct plan *plan,
		       struct errbuf *e);

/* A client that keeps its endpoint: sessionAffinity ClientIP. */
struct nfp_client {
	const struct plan_port *port; /* borrowed for the call */
	struct addr client;
	struct sockad at;     /* the endpoint */
	struct sockad before; /* where it is to be forgotten; family 0: none */
	uint64_t left_ms;     /* until it ends, if the client stays quiet */
};

/**
 * nfp_clients_write() - Have the floor remember clients, in one transaction
 * @clients:	Of ports as the kernel has them; what it does not have is
 *		skipped
 *
 * Nothing else changes: clients that the floor serves itself are known to it
 * by their packets.
 * Return: 0; -ESTALE: a full sync is due; -errno with text (nothing was
 * written, and no sync is due for it)
 */
int nfp_clients_write(struct nfp *n, const struct nfp_client *clients,
		      size_t clients_n, struct errbuf *e);

typedef int (*nfp_client_fn)(const struct nfp_client *c, void *data);
/**
 * nfp_clients_read() - Tell which clients the floor remembers
 * @ports:	Those without anything in the kernel are skipped
 * @fn:		0, or -errno to end
 *
 * Return: 0; -errno
 */
int nfp_clients_read(const struct plan_port *const *ports, size_t ports_n,
		     nfp_client_fn fn, void *data);

struct nfp_stats {
	uint64_t transactions, transactions_failed, full_syncs, repairs;
	uint64_t elements_added, elements_deleted, elements_n;
	uint64_t last_transaction_bytes, last_transaction_us;
	uint64_t heartbeats, heartbeats_failed;
	uint64_t clients_written, clients_failed; /* nfp_clients_write() */
	/* As of the last nfp_intercepted_n(). */
	uint64_t intercepted;	   /* connections sent to the proxy */
	uint64_t direct_dropped;   /* packets for a listener itself */
	uint64_t bridge_legs_lost; /* packets of legs above LIMIT_BRIDGE_LEGS */
};
void nfp_stats(const struct nfp *n, struct nfp_stats *ret_stats);
