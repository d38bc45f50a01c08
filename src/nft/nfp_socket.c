// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * nfnetlink takes everything between a batch-begin and a batch-end message of
 * one sendmsg() as one transaction.  It processes it inside sendmsg() and
 * queues its answers before that returns: an error for each message refused
 * (nothing is written then), and an acknowledgement for each message that asks
 * for one.  We ask for one with the last message, so that the answer is either
 * that one or at least one error, however many messages there are.
 *
 * The size of one sendmsg() is limited by the socket's send buffer (EMSGSIZE)
 * and by memory (ENOBUFS); then the batch is split at its cuts into pieces half
 * as large, until the kernel takes them.
 *
 * Relied on: net/netfilter/nfnetlink.c nfnetlink_rcv_batch(), nfnl_err_add().
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "nfp_socket.h"
#include "nodesplice/base/clock.h"
#include "nodesplice/base/mem.h"

/* The most that the kernel lets a buffer be: it doubles what it is told. */
#define SEND_BUFFER_BYTES (1 << 30)
/* Room for the errors of thousands of messages. */
#define RECEIVE_BUFFER_BYTES (4 << 20)
/* A dump's parts are at most 32 KiB, answers far less. */
#define ANSWER_BYTES 65536

struct nfp_socket {
	struct mnl_socket *nl; /* owned */
	uint32_t dump_seq;
	struct nfp_socket_stats stats;
	uint8_t answer[ANSWER_BYTES];
};

static int set_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ?
		       -errno :
		       0;
}

/*
 * Buffers need CAP_NET_ADMIN in the socket's user namespace; without, batches
 * are split.  The others only make errors more precise.
 */
static void set_options(int fd)
{
	if (set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER_BYTES) < 0)
		set_option(fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER_BYTES);
	if (set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES) <
	    0)
		set_option(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
	set_option(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
	set_option(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
}

/*
 * A killed process releases its highest descriptor first
 * (tests/kernel/owner_close_order.c), and its connections take their time:
 * with 15,000 of them and 12 clients connecting, 48 to 188 connects a kill were
 * refused in the milliseconds between the end of the listener and the end of
 * the owner tables when this socket had the lowest number, none in 6 kills when
 * it had the highest.  What begins in the first milliseconds, while threads end
 * and 17,000 descriptors are queued for their release, may still be accepted by
 * the kernel and is reset with its listener (README.md has the figures of
 * tests/bench/kill).  What may lead clients to a dead listener later is in
 * nfp_forget.c.
 * Not higher than this: the kernel's table of descriptors grows with the
 * number, here to 1 MiB.
 */
#define OWNER_FD_MAX 131071

static int raise_fd(int *fd)
{
	struct rlimit limit;
	int highest, raised;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	highest = limit.rlim_cur > OWNER_FD_MAX ? OWNER_FD_MAX :
						  (int)limit.rlim_cur - 1;
	raised = fcntl(*fd, F_DUPFD_CLOEXEC, highest);
	if (raised < 0)
		return -errno;
	close(*fd);
	*fd = raised;
	return 0;
}

static int open_high(struct mnl_socket **ret_nl)
{
	cleanup_(closep) int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	struct mnl_socket *nl;

	if (fd < 0)
		return -errno;
	/* Taken by another socket of ours, or no room: it is no condition. */
	raise_fd(&fd);
	nl = mnl_socket_fdopen(fd);
	if (!nl)
		return -errno;
	fd = -1; /* nl's */
	*ret_nl = nl;
	return 0;
}

int nfp_socket_open(struct nfp_socket **ret_socket, struct errbuf *e)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return errf(e, -ENOMEM, "out of memory");
	r = open_high(&s->nl);
	if (r < 0)
		return errf(e, r,
			    "netlink socket for nf_tables not opened (%s): "
			    "the kernel must have CONFIG_NETFILTER_NETLINK",
			    strerror(-r));
	if (mnl_socket_bind(s->nl, 0, MNL_SOCKET_AUTOPID) < 0)
		return errf(e, -errno, "netlink socket not bound: %s",
			    strerror(errno));
	set_options(mnl_socket_get_fd(s->nl));
	*ret_socket = TAKE_PTR(s);
	return 0;
}

void nfp_socket_free(struct nfp_socket *s)
{
	if (s->nl)
		mnl_socket_close(s->nl);
	free(s);
}

int nfp_socket_fd(const struct nfp_socket *s)
{
	return mnl_socket_get_fd(s->nl);
}

void nfp_socket_stats(const struct nfp_socket *s,
		      struct nfp_socket_stats *ret_stats)
{
	*ret_stats = s->stats;
}

struct batch_mark {
	struct nlmsghdr nlh;
	struct nfgenmsg nfg;
};

static struct batch_mark batch_mark(uint16_t type)
{
	return (struct batch_mark){
		.nlh = {.nlmsg_len = sizeof(struct batch_mark),
			.nlmsg_type = type,
			.nlmsg_flags = NLM_F_REQUEST},
		.nfg = {.nfgen_family = AF_UNSPEC,
			.version = NFNETLINK_V0,
			.res_id = htons(NFNL_SUBSYS_NFTABLES)},
	};
}

/* One piece of the batch as one transaction, or without its end. */
static int send_piece(struct nfp_socket *s, const uint8_t *data, size_t len,
		      bool with_end)
{
	struct batch_mark begin = batch_mark(NFNL_MSG_BATCH_BEGIN);
	struct batch_mark end = batch_mark(NFNL_MSG_BATCH_END);
	struct iovec parts[] = {
		{&begin, sizeof(begin)},
		{(void *)data, len},
		{&end, sizeof(end)},
	};
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	struct msghdr msg = {
		.msg_name = &kernel,
		.msg_namelen = sizeof(kernel),
		.msg_iov = parts,
		.msg_iovlen = ARRAY_SIZE(parts) - !with_end,
	};
	ssize_t n;

	do {
		n = sendmsg(nfp_socket_fd(s), &msg, 0);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

struct answer {
	int error; /* the first message's; 0: none was refused */
	uint32_t seq;
	uint32_t offset; /* of the attribute refused; 0: unknown */
	char text[128];	 /* the kernel's own words, "" if it has none */
	bool acknowledged;
};

static void read_extended(struct answer *a, const struct nlmsghdr *nlh,
			  const struct nlmsgerr *err)
{
	unsigned int skip = sizeof(*err);
	const struct nlattr *attr;

	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		skip += err->msg.nlmsg_len - sizeof(err->msg);
	mnl_attr_for_each(attr, nlh, skip) {
		if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_OFFS &&
		    mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			a->offset = mnl_attr_get_u32(attr);
		if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			strncpy(a->text, mnl_attr_get_str(attr),
				sizeof(a->text) - 1);
	}
}

static void read_message(struct answer *a, const struct nlmsghdr *nlh,
			 uint32_t last_seq)
{
	const struct nlmsgerr *err = mnl_nlmsg_get_payload(nlh);

	if (nlh->nlmsg_type != NLMSG_ERROR ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(*err))
		return;
	if (err->error == 0) {
		a->acknowledged |= nlh->nlmsg_seq == last_seq;
	} else if (a->error == 0) {
		a->error = err->error;
		a->seq = nlh->nlmsg_seq;
		read_extended(a, nlh, err);
	}
}

/* Everything that the kernel said during sendmsg(). */
static int read_answers(struct nfp_socket *s, uint32_t last_seq,
			struct answer *a)
{
	*a = (struct answer){0};
	for (;;) {
		ssize_t n = recv(nfp_socket_fd(s), s->answer, sizeof(s->answer),
				 MSG_DONTWAIT);
		const void *p = s->answer;
		const struct nlmsghdr *nlh = p;
		int left = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n < 0 && errno != ENOBUFS)
			return -errno;
		/* ENOBUFS: more errors than fit; the first ones are queued. */
		for (; n > 0 && mnl_nlmsg_ok(nlh, left);
		     nlh = mnl_nlmsg_next(nlh, &left))
			read_message(a, nlh, last_seq);
	}
	if (a->error)
		return a->error;
	return a->acknowledged ? 0 : -EIO;
}

static int tell(const struct nfp_batch *b, const struct answer *a, int r,
		struct errbuf *e)
{
	const struct nlmsghdr *nlh = nfp_batch_message(b, a->seq);
	struct text t = {0};

	if (nlh)
		nfp_batch_describe(nlh, a->offset, &t);
	errf(e, r, "nf_tables refused the transaction: %s%s%s%s%s",
	     t.data ? t.data : "", t.data ? ": " : "", strerror(-r),
	     a->text[0] ? ": " : "", a->text);
	text_free(&t);
	return r;
}

/* The last message from @start on that ends at or before @end. */
static struct nlmsghdr *last_message(const struct nfp_batch *b, size_t start,
				     size_t end)
{
	struct nlmsghdr *nlh = NULL;

	for (size_t at = start; at < end;) {
		void *p = b->data + at;

		nlh = p;
		at += MNL_ALIGN(nlh->nlmsg_len);
	}
	return nlh;
}

static int commit_piece(struct nfp_socket *s, struct nfp_batch *b, size_t start,
			size_t end, struct errbuf *e)
{
	struct nlmsghdr *last = last_message(b, start, end);
	uint64_t start_us = clock_now_us();
	struct answer a = {0};
	int r;

	last->nlmsg_flags |= NLM_F_ACK;
	r = send_piece(s, b->data + start, end - start, true);
	last->nlmsg_flags &= (uint16_t)~NLM_F_ACK;
	if (r == -EMSGSIZE || r == -ENOBUFS)
		return r; /* too large: told by the caller if it stays so */
	s->stats.transactions++;
	s->stats.last_transaction_bytes = end - start;
	if (r == 0)
		r = read_answers(s, last->nlmsg_seq, &a);
	s->stats.last_transaction_us = clock_now_us() - start_us;
	if (r < 0) {
		s->stats.transactions_failed++;
		return tell(b, &a, r, e);
	}
	return 0;
}

/* The furthest cut within @most bytes, else the next one: progress is made. */
static size_t piece_end(const struct nfp_batch *b, size_t start, size_t most)
{
	size_t end = 0;

	if (b->len - start <= most)
		return b->len;
	for (size_t i = 0; i < b->cuts_n; i++) {
		if (b->cuts[i] <= start)
			continue;
		if (end && b->cuts[i] - start > most)
			break;
		end = b->cuts[i];
	}
	return end ? end : b->len;
}

int nfp_socket_commit(struct nfp_socket *s, struct nfp_batch *b,
		      struct errbuf *e)
{
	size_t most = SIZE_MAX, start = 0;

	if (b->failed)
		return errf(e, -ENOMEM, "transaction: out of memory");
	while (start < b->len) {
		size_t end = piece_end(b, start, most);
		int r = commit_piece(s, b, start, end, e);

		if (r == 0) {
			start = end;
			continue;
		}
		if (r != -EMSGSIZE && r != -ENOBUFS)
			return r;
		most = (end - start) / 2;
		if (piece_end(b, start, most) == end) {
			s->stats.transactions_failed++;
			return errf(e, r,
				    "a transaction of %zu bytes was refused "
				    "and cannot be split further: %s",
				    end - start, strerror(-r));
		}
	}
	return 0;
}

int nfp_socket_check(struct nfp_socket *s, struct nfp_batch *b,
		     struct errbuf *e)
{
	struct nlmsghdr *last = last_message(b, 0, b->len);
	struct answer a = {0};
	int r;

	if (b->failed || !last)
		return errf(e, -ENOMEM, "transaction: out of memory");
	last->nlmsg_flags |= NLM_F_ACK;
	r = send_piece(s, b->data, b->len, false);
	if (r == 0)
		r = read_answers(s, last->nlmsg_seq, &a);
	return r < 0 ? tell(b, &a, r, e) : 0;
}

/* What became of a dump so far. */
struct dump {
	uint32_t seq;
	mnl_cb_t cb;
	void *data;
	int error; /* of the kernel or the callback */
	bool interrupted;
	bool done;
};

static void read_dump_message(struct dump *d, const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *err = mnl_nlmsg_get_payload(nlh);

	if (nlh->nlmsg_seq != d->seq)
		return; /* an answer to an earlier request */
	d->interrupted |= (nlh->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
	if (nlh->nlmsg_type == NLMSG_DONE) {
		d->done = true;
	} else if (nlh->nlmsg_type == NLMSG_ERROR) {
		d->done = true;
		d->error = mnl_nlmsg_get_payload_len(nlh) < sizeof(*err) ?
				   -EBADMSG :
				   err->error;
	} else if (nlh->nlmsg_type >= NLMSG_MIN_TYPE && d->error == 0 &&
		   d->cb(nlh, d->data) < 0) {
		d->done = true;
		d->error = -errno;
	}
}

int nfp_socket_dump(struct nfp_socket *s, struct nlmsghdr *nlh, mnl_cb_t cb,
		    void *data)
{
	/* Apart from a batch's numbers, which start at 1. */
	struct dump d = {
		.seq = 1u << 31 | ++s->dump_seq, .cb = cb, .data = data};

	nlh->nlmsg_seq = d.seq;
	if (mnl_socket_sendto(s->nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (!d.done) {
		ssize_t n =
			recv(nfp_socket_fd(s), s->answer, sizeof(s->answer), 0);
		const void *p = s->answer;
		const struct nlmsghdr *msg = p;
		int left = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		for (; !d.done && mnl_nlmsg_ok(msg, left);
		     msg = mnl_nlmsg_next(msg, &left))
			read_dump_message(&d, msg);
	}
	if (d.interrupted)
		return -EAGAIN;
	return d.error;
}
