// {{name}}: the price of an order.

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "handler.h" // the contract; made by the build

static const int64_t TOTAL_MINOR_MAX = 1000000000;

static const char PAYLOAD_SCHEMA[] = {
#embed "payload.schema.json"
    , 0};
static const char OUTPUT_SCHEMA[] = {
#embed "output.schema.json"
    , 0};

// Reads a member. The payload is canonical JSON that the host has held to the schema: no white space, and small whole
// numbers, spelled in digits.
static bool member(const handler_string_t *payload, const char *name, int64_t *value) {
    char text[256], pattern[64];
    if (payload->len >= sizeof text) return false;
    memcpy(text, payload->ptr, payload->len);
    text[payload->len] = 0;
    snprintf(pattern, sizeof pattern, "\"%s\":", name);
    const char *found = strstr(text, pattern);
    char *end = NULL;
    if (found) *value = strtoll(found + strlen(pattern), &end, 10);
    return end && (*end == ',' || *end == '}');
}

static bool fail(exports_openexec_handler_guest_failure_t *failure, uint8_t tag, const char *text) {
    failure->tag = tag;
    handler_string_dup(&failure->val.rejected, text); // each kind of failure carries one text
    return false;
}

// What is returned is freed by the bindings, so every string is a copy.
bool exports_openexec_handler_guest_handle(exports_openexec_handler_guest_request_t *request,
                                           exports_openexec_handler_guest_outcome_t *outcome,
                                           exports_openexec_handler_guest_failure_t *failure) {
    int64_t quantity, unit_minor;
    if (!member(&request->payload, "quantity", &quantity) || !member(&request->payload, "unit_minor", &unit_minor))
        return fail(failure, EXPORTS_OPENEXEC_HANDLER_GUEST_FAILURE_INVALID_PAYLOAD,
                    "payload-malformed: quantity and unit_minor are whole numbers");
    const int64_t total_minor = quantity * unit_minor; // at most 10^4 * 10^8, by the schema
    if (total_minor > TOTAL_MINOR_MAX)
        return fail(failure, EXPORTS_OPENEXEC_HANDLER_GUEST_FAILURE_REJECTED,
                    "total-over-limit: at most 1000000000 minor units in one order");
    char output[64];
    snprintf(output, sizeof output, "{\"total_minor\":%" PRId64 "}", total_minor);
    handler_string_dup(&outcome->output, output);
    outcome->effects.ptr = NULL;
    outcome->effects.len = 0;
    return true;
}

void exports_openexec_handler_guest_describe(exports_openexec_handler_guest_description_t *description) {
    handler_string_dup(&description->title, "{{name}}");
    handler_string_dup(&description->summary, "The price of an order, up to a limit.");
    handler_string_dup(&description->payload_schema, PAYLOAD_SCHEMA);
    handler_string_dup(&description->output_schema, OUTPUT_SCHEMA);
}
