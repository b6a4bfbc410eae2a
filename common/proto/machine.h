/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract that every protocol machine in this folder keeps.
 *
 * A machine is a struct of fixed size that turns bytes into events:
 *
 *     event = X_next(&machine, &in, &out);
 *
 * `in` is all input that has come and is not yet consumed; the machine takes
 * what it used off its front and holds no bytes of it back.  An incomplete unit
 * (half a line) stays in `in`: the caller keeps it and calls again with more
 * behind it.  A unit that is longer than the protocol allows is an error of the
 * machine's own, never a reason to wait for more.  `out` is where it writes what the
 * peer must get; the caller gives at least MACHINE_OUT_ROOM bytes of room and
 * sends what was written after each call, before it acts on the event (or keeps it
 * for a moment, and sends it before anything else).
 *
 * The first events are the same in all machines:
 *   NEED_INPUT  all that could be used is used;
 *   FLUSH       `out` is nearly full: send it and call again;
 *   END         the conversation is over: send `out`, then close.
 * Each other event is a question (LOGIN, RCPT, STARTTLS ...): the machine
 * stops there, and asserts that it is not called, until X_answer... has been called.
 * That one rule gives pipelining, back-pressure and asynchronous lookups.
 *
 * A machine has no clock, no socket, no TLS and no heap; what is secret in it
 * is wiped by X_fini.  Any split of the input gives the same events and output.
 */
#ifndef MAILSTEAD_PROTO_MACHINE_H
#define MAILSTEAD_PROTO_MACHINE_H

#include "common/base/buffer.h"

/* The room that `out` must have at each call of a machine. */
enum { MACHINE_OUT_ROOM = 16384 };

/* A machine asks for FLUSH when it has less room than this left for one more reply. */
enum { MACHINE_REPLY_ROOM = 8192 };

/* The longest command line that a machine may wait for: the session's input never grows past it. */
enum { MACHINE_INPUT_MAX = 16384 };

/*
 * Takes one line off `*in`: `*line` is it without its CRLF or LF.  False, and
 * `*in` untouched, when there is no whole line yet.
 */
bool machine_take_line(struct span *in, struct span *line);

#endif
