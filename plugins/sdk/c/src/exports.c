/* What the component exports. Under test, outside WebAssembly, this file is left out. */
#include "internal.h"

static wasmill_context *configured;

/* The bindings ask for it, so that the object file with the contract's type is linked. `wasmill build`
 * embeds the type itself. */
void __component_type_object_force_link_everything(void);
void __component_type_object_force_link_everything(void) {}

void exports_wasmill_plugin_lifecycle_describe(exports_wasmill_plugin_lifecycle_description_t *ret) {
    wm_describe(wasmill_exported(), ret);
}

bool exports_wasmill_plugin_lifecycle_configure(
    everything_string_t *config, exports_wasmill_plugin_lifecycle_list_problem_t *err) {
    if (configured != NULL) {
        wm_free(configured);
    }
    configured = wm_configure(wasmill_exported(), wasmill_bytes_of(config->ptr, config->len), err);
    everything_string_free(config);
    return configured != NULL;
}

bool exports_wasmill_plugin_processor_process(
    exports_wasmill_plugin_processor_inbound_t *batch, exports_wasmill_plugin_processor_outbound_t *ret,
    everything_string_t *err) {
    if (configured == NULL) {
        everything_string_dup(err, "the plugin was not configured");
    } else {
        wm_process(configured, batch, ret);
    }
    exports_wasmill_plugin_processor_inbound_free(batch);
    return configured != NULL;
}

/* These two are linked only when the plugin exports them, by WASMILL_QUERIES and WASMILL_MIGRATES. */
bool exports_wasmill_plugin_query_handler_answer(
    exports_wasmill_plugin_query_handler_request_t *request, exports_wasmill_plugin_query_handler_response_t *ret,
    everything_string_t *err) {
    bool answered = false;
    if (configured == NULL) {
        everything_string_dup(err, "the plugin was not configured");
    } else {
        answered = wm_answer_request(configured, request, ret, err);
    }
    exports_wasmill_plugin_query_handler_request_free(request);
    return answered;
}

bool exports_wasmill_plugin_migration_handler_migrate(uint32_t from_version, everything_string_t *err) {
    if (configured == NULL) {
        everything_string_dup(err, "the plugin was not configured");
        return false;
    }
    return wm_migrate_from(configured, from_version, err);
}

bool exports_wasmill_plugin_timer_handler_on_timers(
    exports_wasmill_plugin_timer_handler_due_timers_t *due, exports_wasmill_plugin_timer_handler_outbound_t *ret,
    everything_string_t *err) {
    if (configured == NULL) {
        everything_string_dup(err, "the plugin was not configured");
    } else {
        wm_on_timers(configured, due, ret);
    }
    exports_wasmill_plugin_timer_handler_due_timers_free(due);
    return configured != NULL;
}
