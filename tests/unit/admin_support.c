/* SPDX-License-Identifier: Apache-2.0 */
/* The stand-ins take the place of the library's functions of the same name at link time. */
#include "tests/unit/unit.h"

#include "tests/unit/admin_support.h"

#include <stdlib.h>
#include <unistd.h>

#include "admin/command.h"
#include "common/base/memory.h"
#include "common/service/control_ask.h"

enum { ANSWERS_MAX = 16, OUTPUT_MAX = 65536, WORDS_MAX = 32 };

struct daemon_answer {
    char *command, *lines, *error, *request;
};

static char folder[] = "/tmp/mailstead-admin-XXXXXX";
static char config_file[64];
static char frontends[1024]; /* in the section cluster */
static const char *backend_options[2];
static uint16_t ports[3] = { 1, 1, 1 };
static struct daemon_answer answers[ANSWERS_MAX];
static size_t answer_count;

struct reassign_result admin_reassign_result;
struct reassign_plan admin_reassign_plan;
unsigned admin_reassign_runs;
void (*admin_reassign_during)(const struct reassign_plan *plan);

static const char configuration[] =
    "cluster {\n"
    "    hostname = \"mx1.example.org\"\n"
    "    domains = { \"example.org\" }\n"
    "    backend \"sv1\" { address = \"127.0.0.1\" lmtp_port = %u "
    "imap_port = %u pop3_port = %u %s }\n"
    "    backend \"sv2\" { address = \"127.0.0.1\" lmtp_port = 1 "
    "imap_port = 1 pop3_port = 1 %s }\n"
    "%s}\n"
    "directory {\n"
    "    uri = { \"ldap://127.0.0.1\" }\n"
    "    base = \"dc=example,dc=org\"\n"
    "}\n"
    "listen \"mx\" { protocol = \"smtp\" address = \"127.0.0.1:25\" "
    "tls = \"off\" }\n"
    "relay_host { address = \"127.0.0.1\" tls = \"off\" }\n"
    "state_directory = \"%s\"\n"
    "run_directory = \"%s\"\n"
    "queue { directory = \"%s\" }\n"
    "user = \"\"\n";

void admin_write_config(const char *more)
{
    FILE *file = fopen(config_file, "w");

    assert_non_null(file);
    fprintf(file, configuration, ports[0], ports[1], ports[2], backend_options[0],
            backend_options[1], frontends, folder, folder, folder);
    fputs(more, file);
    assert_int_equal(fclose(file), 0);
}

void admin_set_ports(uint16_t lmtp, uint16_t imap, uint16_t pop3)
{
    ports[0] = lmtp;
    ports[1] = imap;
    ports[2] = pop3;
    admin_write_config("admin { write_uri = \"ldap://127.0.0.1\" }\n");
}

void admin_set_backends(const char *sv1, const char *sv2)
{
    backend_options[0] = sv1;
    backend_options[1] = sv2;
    admin_set_ports(ports[0], ports[1], ports[2]);
}

void admin_add_frontend(const char *name, bool is_here)
{
    size_t length = strlen(frontends);
    char *end = frontends + length;

    if (is_here)
        snprintf(end, sizeof(frontends) - length,
                 "    frontend \"%s\" { address = \"127.0.0.1\" control_socket = "
                 "\"%s/%s/control.sock\" }\n",
                 name, folder, name);
    else
        snprintf(end, sizeof(frontends) - length,
                 "    frontend \"%s\" { address = \"192.0.2.1\" }\n", name);
    admin_set_ports(ports[0], ports[1], ports[2]);
}

const char *admin_config_file(void)
{
    return config_file;
}

int admin_setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/mailstead-admin-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(config_file, sizeof(config_file), "%s/mailstead.conf", folder);
    admin_reassign_result = (struct reassign_result){ .end = REASSIGN_DONE };
    admin_reassign_runs = 0;
    admin_reassign_during = NULL;
    admin_provider_csn = NULL;
    frontends[0] = '\0';
    backend_options[0] = backend_options[1] = "";
    admin_set_ports(1, 1, 1);
    return 0;
}

int admin_teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < answer_count; i++) {
        free(answers[i].command);
        free(answers[i].lines);
        free(answers[i].error);
        free(answers[i].request);
    }
    answer_count = 0;
    unlink(config_file);
    return rmdir(folder);
}

/* --- the daemon --------------------------------------------------------------------- */

static struct daemon_answer *find_answer(const char *command)
{
    for (size_t i = 0; i < answer_count; i++)
        if (strcmp(answers[i].command, command) == 0)
            return &answers[i];
    return NULL;
}

/* Of FOLDER/NAME/control.sock: the answer to "COMMAND@NAME". */
static struct daemon_answer *find_answer_at(const char *path, const char *command)
{
    const char *name = path + strlen(folder) + 1;
    char key[256];

    if (!strchr(name, '/'))
        return find_answer(command);
    snprintf(key, sizeof(key), "%s@%.*s", command, (int)strcspn(name, "/"), name);
    return find_answer(key);
}

void admin_daemon_answers(const char *command, const char *lines, const char *error)
{
    struct daemon_answer *answer = &answers[answer_count++];

    assert_true(answer_count <= ANSWERS_MAX);
    *answer = (struct daemon_answer){ .command = memory_copy_string(command),
                                      .lines = memory_copy_string(lines),
                                      .error = error ? memory_copy_string(error) : NULL };
}

const char *admin_daemon_was_asked(const char *command)
{
    const struct daemon_answer *answer = find_answer(command);

    return answer ? answer->request : NULL;
}

static bool answer_request(const char *path, const json_t *request, struct control_answer *answer)
{
    struct daemon_answer *given =
        find_answer_at(path, json_string_value(json_object_get(request, "command")));
    char end[512];

    assert_memory_equal(path, folder, strlen(folder));
    if (!given)
        return false;
    free(given->request);
    given->request = json_dumps(request, JSON_COMPACT | JSON_SORT_KEYS);
    control_answer_take(answer, span_from_string(given->lines));
    if (*given->lines && given->lines[strlen(given->lines) - 1] != '\n')
        control_answer_take(answer, SPAN_LITERAL("\n"));
    if (given->error)
        snprintf(end, sizeof(end), "{\"end\":true,\"error\":\"%s\"}\n", given->error);
    else
        snprintf(end, sizeof(end), "{\"end\":true}\n");
    control_answer_take(answer, span_from_string(end));
    return true;
}

void control_asking_start(struct control_asking *asking, const char *path, const json_t *request,
                          struct control_answer *answer)
{
    *asking = (struct control_asking){ .fd = -1, .answer = answer };
    if (!answer_request(path, request, answer))
        control_answer_break(answer, "Connection refused");
}

short control_asking_events(const struct control_asking *asking)
{
    (void)asking;
    abort();
}

void control_asking_go_on(struct control_asking *asking)
{
    (void)asking;
    abort();
}

void control_asking_end(struct control_asking *asking)
{
    (void)asking;
}

/* --- the directory ------------------------------------------------------------------ */

void reassign_run(const struct config *config, const struct reassign_plan *plan,
                  struct reassign_result *result)
{
    assert_non_null(config->admin.write_uri);
    admin_reassign_runs++;
    admin_reassign_plan = *plan;
    if (admin_reassign_during)
        admin_reassign_during(plan);
    *result = admin_reassign_result;
}

const char *admin_provider_csn;

bool provider_csn_read(const struct config *config, struct csn_set *csns,
                       char error[PROVIDER_CSN_ERROR_SIZE])
{
    assert_non_null(config->directory.base);
    snprintf(error, PROVIDER_CSN_ERROR_SIZE, "the server shows no contextCSN");
    *csns = (struct csn_set){ .count = 0 };
    return admin_provider_csn && csn_set_add(csns, span_from_string(admin_provider_csn));
}

/* --- the command -------------------------------------------------------------------- */

/* Redirects `fd` to a file without a name; the duplicate of what it was. */
static int catch_output(FILE *stream, int fd, FILE **caught)
{
    int saved;

    fflush(stream);
    *caught = tmpfile();
    saved = dup(fd);
    assert_true(*caught && saved >= 0);
    assert_true(dup2(fileno(*caught), fd) >= 0);
    return saved;
}

static void release_output(FILE *stream, int fd, int saved, FILE *caught, char *text)
{
    size_t length;

    fflush(stream);
    dup2(saved, fd);
    close(saved);
    rewind(caught);
    length = fread(text, 1, OUTPUT_MAX - 1, caught);
    text[length] = '\0';
    fclose(caught);
}

struct admin_result admin_run(const char *words)
{
    static char out[OUTPUT_MAX], err[OUTPUT_MAX], program[] = "mailstead", option[] = "-c";
    char *copy = memory_copy_string(words), *argv[WORDS_MAX] = { program, option, config_file };
    int argc = 3, saved_out, saved_err;
    FILE *caught_out, *caught_err;
    struct admin_result result = { .out = out, .err = err };

    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    saved_out = catch_output(stdout, STDOUT_FILENO, &caught_out);
    saved_err = catch_output(stderr, STDERR_FILENO, &caught_err);
    result.status = command_main(argc, argv);
    release_output(stdout, STDOUT_FILENO, saved_out, caught_out, out);
    release_output(stderr, STDERR_FILENO, saved_err, caught_err, err);
    free(copy);
    return result;
}
