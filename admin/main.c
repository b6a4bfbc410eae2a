/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead: the administrator's command. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "admin/command.h"
#include "common/service/confine.h"

int main(int argc, char **argv)
{
    if (!confine_memory()) /* reassign holds the password of who may write */
        fprintf(stderr, "mailstead: a core file cannot be ruled out: %s\n", strerror(errno));
    return command_main(argc, argv);
}
