/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * limits.h - every bound in the program
 *
 * Layer: base.  Behaviour at each bound is said where the bound is checked;
 * each has a counter that metrics show.
 */
#pragma once

/* What a cluster can grow. */
#define LIMIT_SERVICES		      100000 /* further ones are reported, not served */
#define LIMIT_SLICES		      400000
#define LIMIT_SERVICE_CIDRS	      256 /* of two prefixes each */
#define LIMIT_POD_CIDRS		      16  /* of a node, or of --cluster-cidr */
#define LIMIT_PORTS_PER_SERVICE	      1024
#define LIMIT_ADDRS_PER_SERVICE	      64   /* of each kind */
#define LIMIT_RANGES_PER_SERVICE      1024 /* loadBalancerSourceRanges */
#define LIMIT_BAD_ENTRIES_TOLD	      8	 /* of a Service; others are counted */
#define LIMIT_ANNOTATIONS_PER_SERVICE 64 /* of ours */
#define LIMIT_HINTS_PER_ENDPOINT      8	 /* the API server's own limit */
#define LIMIT_ENDPOINTS_PER_SLICE     1000 /* the API server's own limit */
#define LIMIT_ENDPOINTS_PER_SUBSET    1000 /* of Endpoints, the controller's own */
#define LIMIT_ENDPOINTS_PAIRS	      262144 /* address and port, of one Endpoints */
#define LIMIT_ENDPOINTS_PER_PORT      16384 /* merged; further ones are left out */
#define LIMIT_OBJECT_BYTES	      (3u << 20) /* etcd refuses above 1.5 MiB */
#define LIMIT_SKIPPED_BYTES	      (64u << 20) /* of one larger object */
#define LIMIT_LIST_PAGES	      2000	  /* of 500 objects each */
#define LIMIT_BAD_OBJECTS	      1000	  /* remembered as said */
#define LIMIT_EVENTS		      512 /* told to the API server, or waiting */
#define LIMIT_EVENT_OBJECTS	      1024 /* whose rate is known */
#define LIMIT_JSON_DEPTH	      64
#define LIMIT_JSON_TOKENS	      (1u << 20)
#define LIMIT_MANIFEST_BYTES	      (64u << 20) /* one file */
#define LIMIT_MANIFEST_FILES	      10000
#define LIMIT_KUBECONFIG_BYTES	      (4u << 20)
#define LIMIT_TOKEN_BYTES	      (64u << 10)
#define LIMIT_YAML_ALIASES	      1000 /* expansions in one document */

/* What a client can grow. */
#define LIMIT_CONNECTIONS	 1000000 /* upper end of --max-node-connections */
#define LIMIT_CHUNKS_PER_WORKER	 1024 /* 64 KiB each, held for slow readers */
#define LIMIT_PIPES		 256  /* of all workers; pipe-user-pages-soft */
#define LIMIT_HTTP_CONNECTIONS	 64
#define LIMIT_HTTP_PER_ADDRESS	 16 /* of these, from one client address */
#define LIMIT_CONTROL_CLIENTS	 16
#define LIMIT_HEALTH_LISTENERS	 4096 /* node ports are 2768 by default */
#define LIMIT_CONTROL_LINE_BYTES 4096

/* What the node itself can grow. */
/* Of a --nodeport-addresses list; "all" has no bound. */
#define LIMIT_NODE_PORT_ADDRS 256

/* Clients that keep their endpoint: of one endpoint in the kernel, of one
 * Service port in the proxy. */
#define LIMIT_AFFINITY_CLIENTS 65536
#define LIMIT_AFFINITY_ENTRIES 262144 /* of all Service ports in the proxy */

/* What is shown of the above. */
#define LIMIT_METRIC_SERIES 10000 /* nodesplice_service_*; then summed */
#define LIMIT_PROBLEMS	    32	  /* latest sentences in status */

/* What the proxy's connections grow in the kernel: src/nft/nfp_return.c. */
#define LIMIT_BRIDGE_LEGS     262144 /* legs with a kept source on a bridge */
#define LIMIT_BRIDGE_BACKENDS 65536

/* What is remembered of former frontends, until the next pass over conntrack:
 * src/nft/conntrack_table.c. */
#define LIMIT_CONNTRACK_GONE   65536
#define LIMIT_CONNTRACK_FORMER 65536 /* endpoints of each */

/* Netlink. */
#define LIMIT_ELEMENT_COMMENT 127 /* nft refuses longer comments */

/* Log lines of one rate-limited call site. */
#define LIMIT_LOG_BURST	    10
#define LIMIT_LOG_WINDOW_MS 60000
