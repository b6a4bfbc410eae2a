/* SPDX-License-Identifier: Apache-2.0 */
/* The words for how a run ended: apart from the run, for those who only tell it. */
#include "directory/reassign/reassign.h"

const char *reassign_end_name(enum reassign_end end)
{
    static const char *const names[] = {
        [REASSIGN_DONE] = "done",
        [REASSIGN_FAILED] = "failed",
        [REASSIGN_REFUSED] = "refused",
        [REASSIGN_INCOMPLETE] = "incomplete",
        [REASSIGN_INTERRUPTED] = "interrupted",
        [REASSIGN_CONTENDED] = "contended",
    };

    return names[end];
}
