/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/plan.h"

#include "admin/daemon.h"
#include "admin/output.h"

enum command_status plan_run(const struct arguments *arguments)
{
    struct config *config = daemon_config(arguments, true);
    struct plan plan;
    json_t *problems, *all;
    bool is_well;

    if (!config)
        return COMMAND_FAILED;
    plan_gather(&plan, config);
    problems = plan_problems(&plan);
    is_well = json_array_size(problems) == 0;
    if (arguments->is_json) {
        all = plan_to_json(&plan, problems);
        print_json(all);
        json_decref(all);
    } else {
        if (!arguments->is_check)
            plan_print(&plan);
        print_problems(problems, arguments->is_check);
    }
    json_decref(problems);
    plan_fini(&plan);
    config_free(config);
    return arguments->is_check && !is_well ? COMMAND_FAILED : COMMAND_OK;
}
