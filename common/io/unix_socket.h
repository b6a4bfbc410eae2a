/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets at a path of the file system; `type` is SOCK_STREAM or SOCK_SEQPACKET. */
#ifndef MAILSTEAD_IO_UNIX_SOCKET_H
#define MAILSTEAD_IO_UNIX_SOCKET_H

/*
 * Connects to the listening socket at `path`: a non-blocking descriptor, or -1 and errno (EAGAIN
 * when its backlog is full).  Never waits.
 */
int unix_socket_connect(const char *path, int type) __attribute__((warn_unused_result));

/*
 * Makes a non-blocking listening socket at `path`, with the permissions `mode` from its first
 * moment on: its descriptor, or -1 and errno.  An old socket there is removed, another kind of
 * file is not.  Changes the process's umask meanwhile, so not beside another thread that makes
 * files.
 */
int unix_socket_listen(const char *path, int type, unsigned mode, int backlog)
    __attribute__((warn_unused_result));

#endif
