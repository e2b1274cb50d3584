/* SPDX-License-Identifier: MIT */
/* The socket of a starter that reads when the test wants it to. */
#ifndef UNIT_SUPPORT_MAILBOX_H
#define UNIT_SUPPORT_MAILBOX_H

typedef struct mailbox {
  int fd;         /* Where messages wait. */
  char name[32];  /* What NOTIFY_SOCKET would say. */
  char text[256]; /* The one taken last. */
} mailbox;

void mailbox_open(mailbox *box);
void mailbox_close(mailbox *box);

/* Leave no room for another message. */
void mailbox_fill(mailbox *box);

/* Throw away what fills it. */
void mailbox_empty(mailbox *box);

/* The next message, "" when there is none. */
const char *mailbox_take(mailbox *box);

#endif
