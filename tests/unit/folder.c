/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/folder.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

void folder_make(char path[FOLDER_SIZE])
{
    snprintf(path, FOLDER_SIZE, "/tmp/mailstead-test-XXXXXX");
    if (!mkdtemp(path))
        abort();
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

void folder_remove(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
