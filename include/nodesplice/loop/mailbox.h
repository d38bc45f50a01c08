/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mailbox.h - messages to another thread's loop
 *
 * Layer: loop.  Any thread posts; the receiver's loop hands the messages over
 * in order, outside of the lock.  For the control path: one mutex, one eventfd
 * write per burst.
 */
#pragma once

#include "nodesplice/base/mem.h"
#include "nodesplice/loop/loop.h"

struct mailbox;

/* Embedded in the sender's object; ownership passes with the post. */
struct message {
	struct message *next;
};

typedef void (*mailbox_fn)(struct message *m, void *data);

/**
 * mailbox_new() - Receive on @l
 * @fn:		Called in @l's thread for each message; owns it
 *
 * Return: 0; -errno
 */
int mailbox_new(struct loop *l, mailbox_fn fn, void *data,
		struct mailbox **ret_mailbox);
/* In the receiver's thread; messages still inside are handed to @fn first. */
void mailbox_free(struct mailbox *mb);
DEFINE_FREEP(struct mailbox, mailbox_free)
void mailbox_post(struct mailbox *mb, struct message *m);
