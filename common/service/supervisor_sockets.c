/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sockets that outlive children: one listening TCP socket with SO_REUSEPORT
 * for each address and worker number, and the unix sockets of the roles.  The
 * kernel shares an address's connections out over its sockets; each has a
 * backlog of its own, which waits while its worker is started again.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/io/channel.h"
#include "common/io/keepalive.h"
#include "common/io/unix_socket.h"
#include "common/service/supervisor_state.h"

enum { LISTEN_BACKLOG = 4096, CONTROL_BACKLOG = 16, SOCKET_PATH_SIZE = 108 };

void supervisor_sockets_init(struct supervisor_sockets *sockets)
{
    list_init(&sockets->listening);
    for (size_t i = 0; i < SUPERVISOR_ROLES_MAX; i++)
        sockets->services[i] = -1;
    sockets->control = -1;
}

static void free_listening(struct listening_socket *listening)
{
    list_remove(&listening->node);
    close(listening->fd);
    free(listening);
}

static void close_if_open(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void supervisor_sockets_close(struct supervisor_sockets *sockets)
{
    LIST_EACH (node, &sockets->listening) {
        free_listening(LIST_ELEMENT(node, struct listening_socket, node));
    }
    for (size_t i = 0; i < SUPERVISOR_ROLES_MAX; i++)
        close_if_open(&sockets->services[i]);
    close_if_open(&sockets->control);
}

static bool is_same_endpoint(const struct endpoint *a, const struct endpoint *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

static struct listening_socket *find_listening(const struct supervisor_sockets *sockets,
                                               const struct endpoint *endpoint, unsigned number)
{
    LIST_EACH (node, &sockets->listening) {
        struct listening_socket *listening = LIST_ELEMENT(node, struct listening_socket, node);

        if (listening->number == number && is_same_endpoint(&listening->endpoint, endpoint))
            return listening;
    }
    return NULL;
}

int supervisor_find_socket(const struct supervisor_sockets *sockets,
                           const struct endpoint *endpoint, unsigned number)
{
    const struct listening_socket *listening = find_listening(sockets, endpoint, number);

    return listening ? listening->fd : -1;
}

static void set_option(int fd, int level, int option, int value)
{
    if (setsockopt(fd, level, option, &value, sizeof(value)) != 0)
        LOG_EVENT(LOG_LEVEL_WARNING, NULL, "socket_option_refused", LOG_INTEGER("option", option),
                  LOG_TEXT("error", strerror(errno)));
}

/* A bound TCP socket, or -1 and errno. */
static int bind_socket(const struct endpoint *endpoint, bool is_shared)
{
    struct sockaddr_storage address;
    socklen_t length;
    int fd, error;

    if (!endpoint_to_sockaddr(endpoint, &address, &length)) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (is_shared)
        set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (address.ss_family == AF_INET6)
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, strcmp(endpoint->host, "*") != 0);
    if (bind(fd, (const struct sockaddr *)&address, length) == 0)
        return fd;
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* With SO_REUSEPORT another daemon of ours would silently share the address: ask without it first.
 */
static bool address_is_free(const struct endpoint *endpoint)
{
    int fd = bind_socket(endpoint, false);

    if (fd < 0)
        return false;
    close(fd);
    return true;
}

static bool has_endpoint(const struct supervisor_sockets *sockets, const struct endpoint *endpoint)
{
    LIST_EACH (node, &sockets->listening) {
        if (is_same_endpoint(&LIST_ELEMENT(node, struct listening_socket, node)->endpoint,
                             endpoint))
            return true;
    }
    return false;
}

static bool add_listening(struct supervisor_sockets *sockets, const struct endpoint *endpoint,
                          unsigned number, uint64_t generation)
{
    struct listening_socket *listening;
    int fd;

    if (!has_endpoint(sockets, endpoint) && !address_is_free(endpoint))
        return false;
    fd = bind_socket(endpoint, true);
    if (fd < 0)
        return false;
    nodelay_set(fd); /* before anybody is in the backlog */
    if (listen(fd, LISTEN_BACKLOG) != 0) {
        close(fd);
        return false;
    }
    listening = memory_new(sizeof(*listening));
    listening->endpoint = *endpoint;
    listening->number = number;
    listening->generation = generation;
    listening->fd = fd;
    list_append(&sockets->listening, &listening->node);
    return true;
}

static void drop_generation(struct supervisor_sockets *sockets, uint64_t generation)
{
    LIST_EACH (node, &sockets->listening) {
        struct listening_socket *listening = LIST_ELEMENT(node, struct listening_socket, node);

        if (listening->generation == generation)
            free_listening(listening);
    }
}

/* `name`, for the operator, is the listener's title, NULL for the admin port. */
static bool bind_endpoint(struct supervisor_sockets *sockets, const struct endpoint *endpoint,
                          unsigned number, uint64_t generation, const char *name,
                          char error[CONFIG_ERROR_SIZE])
{
    char text[ENDPOINT_TEXT_SIZE];

    if (find_listening(sockets, endpoint, number) ||
        add_listening(sockets, endpoint, number, generation))
        return true;
    endpoint_format(endpoint, text);
    snprintf(error, CONFIG_ERROR_SIZE, "%s%s%s: cannot listen on %s: %s",
             name ? "listen \"" : "admin_port", name ? name : "", name ? "\"" : "", text,
             strerror(errno));
    drop_generation(sockets, generation);
    return false;
}

static bool has_admin_port(const struct config *config)
{
    return *config->admin_port.endpoint.host != '\0';
}

bool supervisor_bind(struct supervisor_sockets *sockets, const struct config *config,
                     unsigned workers, uint64_t generation, char error[CONFIG_ERROR_SIZE])
{
    for (size_t i = 0; i < config->listener_count; i++)
        for (unsigned number = 0; number < workers; number++)
            if (!bind_endpoint(sockets, &config->listeners[i].endpoint, number, generation,
                               config->listeners[i].name, error))
                return false;
    return !has_admin_port(config) ||
           bind_endpoint(sockets, &config->admin_port.endpoint, 0, generation, NULL, error);
}

void supervisor_keep_sockets(struct supervisor_sockets *sockets, const struct config *config,
                             unsigned workers, uint64_t generation)
{
    for (size_t i = 0; i < config->listener_count; i++)
        for (unsigned number = 0; number < workers; number++)
            find_listening(sockets, &config->listeners[i].endpoint, number)->generation =
                generation;
    if (has_admin_port(config))
        find_listening(sockets, &config->admin_port.endpoint, 0)->generation = generation;
    LIST_EACH (node, &sockets->listening) {
        struct listening_socket *listening = LIST_ELEMENT(node, struct listening_socket, node);

        if (listening->generation != generation)
            free_listening(listening);
    }
}

static bool open_service(struct supervisor *supervisor, size_t role, char path[SOCKET_PATH_SIZE])
{
    const struct service_account *account = &supervisor->account;
    const char *name = supervisor->program->roles[role].socket_name;
    int *fd = &supervisor->sockets.services[role];

    child_run_path(supervisor->config, name, path, SOCKET_PATH_SIZE);
    *fd = channel_listen(path, 0660);
    return *fd >= 0 && (!account->is_switched_to || lchown(path, (uid_t)-1, account->gid) == 0);
}

static bool open_control(struct supervisor *supervisor, char path[SOCKET_PATH_SIZE])
{
    child_run_path(supervisor->config, "control.sock", path, SOCKET_PATH_SIZE);
    supervisor->sockets.control = unix_socket_listen(path, SOCK_STREAM, 0600, CONTROL_BACKLOG);
    return supervisor->sockets.control >= 0;
}

static bool role_has_control(const struct supervisor_role *role)
{
    return strcmp(role->name, "control") == 0;
}

bool supervisor_open_services(struct supervisor *supervisor, char error[CONFIG_ERROR_SIZE])
{
    const struct supervisor_program *program = supervisor->program;
    char path[SOCKET_PATH_SIZE];

    for (size_t i = 0; i < program->role_count; i++) {
        const struct supervisor_role *role = &program->roles[i];

        if ((role->socket_name && !open_service(supervisor, i, path)) ||
            (role_has_control(role) && !open_control(supervisor, path))) {
            snprintf(error, CONFIG_ERROR_SIZE, "run_directory: cannot listen on %s: %s", path,
                     strerror(errno));
            return false;
        }
    }
    return true;
}

void supervisor_unlink_services(const struct supervisor *supervisor)
{
    const struct supervisor_program *program = supervisor->program;
    char path[SOCKET_PATH_SIZE];

    for (size_t i = 0; i < program->role_count; i++) {
        if (program->roles[i].socket_name) {
            child_run_path(supervisor->config, program->roles[i].socket_name, path, sizeof(path));
            unlink(path);
        }
        if (role_has_control(&program->roles[i])) {
            child_run_path(supervisor->config, "control.sock", path, sizeof(path));
            unlink(path);
        }
    }
}
