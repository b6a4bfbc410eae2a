/* SPDX-License-Identifier: Apache-2.0 */
/* A new file takes the place of the old one when it is whole. */
#include "backend/node_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buffer.h"

#define NODE_HEAD "mailstead node 1"

enum { NODE_PATH_SIZE = 1100, NODE_FILE_MAX = 64 + BOARD_STORAGES * (BOARD_SERVER_SIZE + 16) };

static const char *const memory_words[] = { "here", "leaving", "left" };

static bool take_memory(struct span word, enum node_memory *memory)
{
    for (unsigned i = 0; i < sizeof(memory_words) / sizeof(memory_words[0]); i++)
        if (span_equals(word, span_from_string(memory_words[i]))) {
            *memory = (enum node_memory)i;
            return true;
        }
    return false;
}

static bool take_line(struct span line, struct node_file *file)
{
    struct span word = span_split(&line, ' ');
    char *server = file->servers[file->server_count];

    if (span_equals(word, SPAN_LITERAL("state")))
        return take_memory(line, &file->memory);
    if (file->server_count == BOARD_STORAGES ||
        !span_copy_string(line, server, BOARD_SERVER_SIZE) || !storage_server_is_good(server))
        return false;
    file->is_held[file->server_count++] = span_equals(word, SPAN_LITERAL("held"));
    return file->is_held[file->server_count - 1] || span_equals(word, SPAN_LITERAL("storage"));
}

bool node_file_read(const char *state_directory, struct node_file *file)
{
    char path[NODE_PATH_SIZE], text[NODE_FILE_MAX];
    struct span rest;
    ssize_t count;
    int fd;

    *file = (struct node_file){ .memory = NODE_MEMORY_HERE };
    snprintf(path, sizeof(path), "%s/node", state_directory);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT;
    count = read(fd, text, sizeof(text));
    close(fd);
    rest = span_of(text, count > 0 ? (size_t)count : 0);
    if (!span_equals(span_split(&rest, '\n'), SPAN_LITERAL(NODE_HEAD)))
        return false;
    while (rest.length > 0)
        if (!take_line(span_split(&rest, '\n'), file))
            return false;
    return true;
}

static bool write_all(const char *path, struct span text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool is_written =
        fd >= 0 && write(fd, text.data, text.length) == (ssize_t)text.length && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    return is_written;
}

static bool sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool is_synced = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    return is_synced;
}

bool node_file_write(const char *state_directory, const struct node_file *file)
{
    char path[NODE_PATH_SIZE], fresh[NODE_PATH_SIZE], memory[NODE_FILE_MAX];
    struct buffer text = buffer_over(memory, sizeof(memory));

    buffer_append_format(&text, NODE_HEAD "\nstate %s\n", memory_words[file->memory]);
    for (unsigned i = 0; i < file->server_count; i++)
        buffer_append_format(&text, "%s %s\n", file->is_held[i] ? "held" : "storage",
                             file->servers[i]);
    snprintf(path, sizeof(path), "%s/node", state_directory);
    snprintf(fresh, sizeof(fresh), "%s/node.new", state_directory);
    return write_all(fresh, buffer_span(&text)) && rename(fresh, path) == 0 &&
           sync_folder(state_directory);
}
