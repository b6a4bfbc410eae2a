/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead: the administrator's command. */
#include "admin/command.h"

int main(int argc, char **argv)
{
    return command_main(argc, argv);
}
