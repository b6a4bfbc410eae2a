/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the options as mdoc(7); the build puts them into mailstead.conf(5). */
#include "common/service/config.h"

int main(void)
{
    config_print_manual();
    return 0;
}
