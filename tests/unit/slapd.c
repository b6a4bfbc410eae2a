/* SPDX-License-Identifier: Apache-2.0 */
/* Failures of the surroundings end the test program: they are no result. */
#include "tests/unit/slapd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char program[] = "/usr/sbin/slapd";

static const char configuration[] =
    "include /etc/ldap/schema/core.schema\n"
    "include /etc/ldap/schema/cosine.schema\n"
    "include /etc/ldap/schema/inetorgperson.schema\n"
    "include %s/contrib/mailstead.schema\n"
    "modulepath /usr/lib/ldap\n"
    "moduleload back_mdb\n"
    "moduleload syncprov\n"
    "sizelimit unlimited\n"
    "conn_max_pending 100\n"
    "database mdb\n"
    "suffix \"" SLAPD_SUFFIX "\"\n"
    "rootdn \"" SLAPD_ROOT "\"\n"
    "rootpw " SLAPD_SECRET "\n"
    "directory %s/data\n"
    "maxsize 268435456\n"
    "dbnosync\n"
    "index objectClass,entryUUID,entryCSN,hostServer,oldHostServer,mail,uid eq\n"
    "overlay syncprov\n"
    "%s";

static void die(const char *what)
{
    fprintf(stderr, "slapd for tests: %s: %s\n", what, strerror(errno));
    exit(99);
}

bool slapd_is_installed(void)
{
    return access(program, X_OK) == 0 && access("/usr/bin/ldapmodify", X_OK) == 0;
}

static void run_shell(const char *command)
{
    if (system(command) != 0)
        die(command);
}

static FILE *open_file(const struct slapd *slapd, const char *name)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", slapd->folder, name);
    file = fopen(path, "w");
    if (!file)
        die(path);
    return file;
}

static void write_configuration(const struct slapd *slapd, const char *more)
{
    const char *source = getenv("top_srcdir");
    char *absolute = realpath(source ? source : ".", NULL);
    FILE *file = open_file(slapd, "slapd.conf");

    fprintf(file, configuration, absolute, slapd->folder, more);
    fclose(file);
    free(absolute);
}

static void load_base(const struct slapd *slapd)
{
    char command[512];
    FILE *pipe;

    snprintf(command, sizeof(command), "%s/slapd -Tadd -q -w -f %s/slapd.conf", slapd->folder,
             slapd->folder);
    pipe = popen(command, "w");
    if (!pipe)
        die(command);
    fputs("dn: " SLAPD_SUFFIX "\nobjectClass: dcObject\nobjectClass: organization\n"
          "dc: example\no: Example\n\n"
          "dn: " SLAPD_PEOPLE "\nobjectClass: organizationalUnit\nou: people\n",
          pipe);
    if (pclose(pipe) != 0)
        die(command);
}

void slapd_init(struct slapd *slapd, const char *more)
{
    char command[256];

    memset(slapd, 0, sizeof(*slapd));
    strcpy(slapd->folder, "/tmp/mailstead-slapd-XXXXXX");
    if (!mkdtemp(slapd->folder))
        die("mkdtemp");
    snprintf(slapd->uri, sizeof(slapd->uri), "ldapi://%%2Ftmp%%2F%s%%2Fsocket",
             slapd->folder + strlen("/tmp/"));
    /* A copy: where a profile confines the program at its usual path, it may not read this folder.
     */
    snprintf(command, sizeof(command), "mkdir %s/data && cp %s %s/slapd", slapd->folder, program,
             slapd->folder);
    run_shell(command);
    write_configuration(slapd, more);
    load_base(slapd);
}

/* Adds lines at the start of the configuration, where the global ones are. */
static void prepend_configuration(const struct slapd *slapd, const char *lines)
{
    char command[1024];

    snprintf(command, sizeof(command),
             "cd %s && { printf '%s'; cat slapd.conf; } >new && mv new slapd.conf", slapd->folder,
             lines);
    run_shell(command);
}

static void make_certificates(const struct slapd *slapd)
{
    char command[2048];

    snprintf(command, sizeof(command),
             "cd %s && exec >edit.log 2>&1 &&"
             "for ca in ca other; do openssl req -x509 -newkey ec -pkeyopt "
             "ec_paramgen_curve:P-256 -nodes -subj /CN=$ca -keyout $ca.key -out $ca.pem -days 2 "
             "|| exit 1; done &&"
             "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=server "
             "-keyout server.key -out server.csr &&"
             "echo subjectAltName=IP:127.0.0.1 >extensions &&"
             "openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
             "-extfile extensions -out server.pem",
             slapd->folder);
    run_shell(command);
}

void slapd_add_tls(struct slapd *slapd, unsigned port, unsigned tls_port)
{
    char lines[512];

    make_certificates(slapd);
    snprintf(lines, sizeof(lines),
             "TLSCACertificateFile %1$s/ca.pem\\nTLSCertificateFile %1$s/server.pem\\n"
             "TLSCertificateKeyFile %1$s/server.key\\n",
             slapd->folder);
    prepend_configuration(slapd, lines);
    snprintf(slapd->more_uris, sizeof(slapd->more_uris),
             " ldap://127.0.0.1:%u ldaps://127.0.0.1:%u ldaps://127.0.0.2:%u", port, tls_port,
             tls_port);
}

void slapd_fini(struct slapd *slapd)
{
    char command[128];

    if (slapd->pid)
        slapd_stop(slapd, SIGKILL);
    snprintf(command, sizeof(command), "rm -rf %s", slapd->folder);
    run_shell(command);
}

static bool can_connect(const struct slapd *slapd)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool connected;

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", slapd->folder);
    connected = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return connected;
}

static void execute(const struct slapd *slapd)
{
    char path[128], file[128], uris[512];
    int log;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(path, sizeof(path), "%s/log", slapd->folder);
    log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(log, STDERR_FILENO);
    dup2(log, STDOUT_FILENO);
    snprintf(path, sizeof(path), "%s/slapd", slapd->folder);
    snprintf(file, sizeof(file), "%s/slapd.conf", slapd->folder);
    snprintf(uris, sizeof(uris), "%s%s", slapd->uri, slapd->more_uris);
    execl(path, "slapd", "-d", "0", "-f", file, "-h", uris, NULL);
    _exit(98);
}

void slapd_start(struct slapd *slapd)
{
    slapd->pid = fork();
    if (slapd->pid < 0)
        die("fork");
    if (slapd->pid == 0)
        execute(slapd);
    while (!can_connect(slapd)) {
        if (waitpid(slapd->pid, NULL, WNOHANG) != 0)
            die("it ended");
        usleep(5000);
    }
}

static void remove_socket(const struct slapd *slapd)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/socket", slapd->folder);
    unlink(path);
}

void slapd_stop(struct slapd *slapd, int signal)
{
    kill(slapd->pid, signal);
    if (waitpid(slapd->pid, NULL, 0) != slapd->pid)
        die("waitpid");
    slapd->pid = 0;
    remove_socket(slapd);
}

void slapd_revive(struct slapd *slapd)
{
    if (!slapd->pid || waitpid(slapd->pid, NULL, WNOHANG) != slapd->pid)
        return;
    slapd->deaths++;
    remove_socket(slapd);
    slapd_start(slapd);
}

void slapd_freeze(struct slapd *slapd)
{
    int status;

    kill(slapd->pid, SIGSTOP);
    if (waitpid(slapd->pid, &status, WUNTRACED) != slapd->pid || !WIFSTOPPED(status))
        die("waitpid");
}

/* A pipe into ldapmodify of the running server, or slapadd of the stopped one. */
static FILE *open_editor(const struct slapd *slapd)
{
    char command[512];
    FILE *pipe;

    if (slapd->pid)
        snprintf(command, sizeof(command),
                 "ldapmodify -x -H %s -D " SLAPD_ROOT " -w " SLAPD_SECRET " >%s/edit.log 2>&1",
                 slapd->uri, slapd->folder);
    else
        snprintf(command, sizeof(command), "%s/slapd -Tadd -q -w -f %s/slapd.conf 2>%s/edit.log",
                 slapd->folder, slapd->folder, slapd->folder);
    pipe = popen(command, "w");
    if (!pipe)
        die(command);
    return pipe;
}

void slapd_modify(const struct slapd *slapd, const char *ldif)
{
    FILE *pipe = open_editor(slapd);

    fputs(ldif, pipe);
    if (pclose(pipe) != 0)
        die(ldif);
}

void slapd_hide(const struct slapd *slapd, const char *filter)
{
    char command[512];

    snprintf(command, sizeof(command), "sed -i '/^access /d' %s/slapd.conf", slapd->folder);
    run_shell(command);
    if (!filter)
        return;
    snprintf(command, sizeof(command),
             "sed -i '/^overlay /i access to filter=%s by * none\\naccess to * by * read' "
             "%s/slapd.conf",
             filter, slapd->folder);
    run_shell(command);
}

FILE *slapd_begin_transaction(const struct slapd *slapd, const char *ldif)
{
    char command[512];
    FILE *pipe;

    snprintf(command, sizeof(command),
             "ldapmodify -x -E txn=commit -H %s -D " SLAPD_ROOT " -w " SLAPD_SECRET
             " >%s/edit.log 2>&1",
             slapd->uri, slapd->folder);
    pipe = popen(command, "w");
    if (!pipe)
        die(command);
    fputs(ldif, pipe);
    fflush(pipe);
    return pipe;
}

void slapd_add_accounts(const struct slapd *slapd, unsigned first, unsigned last, const char *host)
{
    FILE *pipe = open_editor(slapd);

    for (unsigned i = first; i <= last; i++)
        fprintf(pipe,
                "dn: uid=user%u," SLAPD_PEOPLE "\n%sobjectClass: account\n"
                "objectClass: mailsteadAccount\nuid: user%u\nmail: user%u@example.org\n%s%s%s\n",
                i, slapd->pid ? "changetype: add\n" : "", i, i, host ? "hostServer: " : "",
                host ? host : "", host ? "\n" : "");
    if (pclose(pipe) != 0)
        die("adding accounts");
}

unsigned slapd_count(const struct slapd *slapd, const char *filter)
{
    char command[1024];
    unsigned count = 0;
    FILE *pipe;

    snprintf(command, sizeof(command),
             "ldapsearch -x -LLL -H %s -D " SLAPD_ROOT " -w " SLAPD_SECRET " -b " SLAPD_PEOPLE
             " '%s' 1.1 | grep -c '^dn:'",
             slapd->uri, filter);
    pipe = popen(command, "r");
    if (!pipe || fscanf(pipe, "%u", &count) != 1)
        die(command);
    pclose(pipe);
    return count;
}
