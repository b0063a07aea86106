// The sample `order.confirm` in C: checks an order, adds it up, and asks for one effect.
//
// In scope: the contract's two functions and the rules of the action. The shape of an order is ../order/, reading it is
// order.c.
// Out of scope: stock, customers, sending anything. Whoever carries the effect out does that.
//
// What is returned is freed by the bindings, so every string is a copy. abort() is a trap, and recorded as a fault.

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "handler.h" // the contract; made by the build
#include "order.h"

typedef exports_openexec_handler_guest_request_t request_t;
typedef exports_openexec_handler_guest_outcome_t outcome_t;
typedef exports_openexec_handler_guest_failure_t failure_t;
typedef exports_openexec_handler_guest_effect_t effect_t;
typedef exports_openexec_handler_guest_description_t description_t;

static const char PAYLOAD_SCHEMA[] = {
#embed "payload.schema.json"
    , 0};
static const char OUTPUT_SCHEMA[] = {
#embed "output.schema.json"
    , 0};

enum { QUANTITY_MAX = 10000, UNIT_MINOR_MAX = 100000000 };
static const int64_t TOTAL_MINOR_MAX = 10000000000;

// The rule that an order breaks, or NULL. Sums stay far below 2^63: 100 * 10^4 * 10^8 = 10^14.
static const char *add_up(const order_t *order, int64_t *items, int64_t *total) {
    static const char *const currencies[] = {"EUR", "GBP", "USD"};
    bool accepted = false;
    for (size_t i = 0; i < sizeof currencies / sizeof *currencies; i++)
        accepted |= memcmp(order->currency.start, currencies[i], order->currency.length) == 0;
    if (!accepted) return "currency-not-accepted: prices are in EUR, GBP or USD";
    if (order->n_lines == 0) return "order-empty: an order has at least one line";
    if (order->n_lines > LINES_MAX) return "order-too-long: an order has at most 100 lines";

    *items = *total = 0;
    for (size_t i = 0; i < order->n_lines; i++) {
        const line_t *line = &order->lines[i];
        if (line->quantity < 1 || line->quantity > QUANTITY_MAX)
            return "quantity-out-of-range: a quantity is from 1 to 10000";
        if (line->unit_minor < 0 || line->unit_minor > UNIT_MINOR_MAX)
            return "price-out-of-range: a unit price is from 0 to 100000000 minor units";
        *items += line->quantity;
        *total += line->quantity * line->unit_minor;
    }
    if (*total > TOTAL_MINOR_MAX)
        return "total-over-limit: at most 10000000000 minor units are confirmed in one order";
    return NULL;
}

static bool fail(failure_t *failure, uint8_t tag, const char *text) {
    failure->tag = tag;
    handler_string_dup(&failure->val.rejected, text); // every variant carries one string
    return false;
}

bool exports_openexec_handler_guest_handle(request_t *request, outcome_t *outcome, failure_t *failure) {
    static order_t order;
    if (!order_parse((const char *)request->payload.ptr, request->payload.len, &order))
        return fail(failure, EXPORTS_OPENEXEC_HANDLER_GUEST_FAILURE_INVALID_PAYLOAD,
                    "payload-malformed: expected an order as the payload schema says");
    int64_t items, total;
    const char *broken = add_up(&order, &items, &total);
    if (broken) return fail(failure, EXPORTS_OPENEXEC_HANDLER_GUEST_FAILURE_REJECTED, broken);

    // The identity of the execution serves instead of a random id, and the time of its reservation instead of a clock:
    // the same call has the same ones on every run. No string here needs escaping: order_parse has seen to that.
    char confirmation[512];
    snprintf(confirmation, sizeof confirmation,
             "{\"confirmation\":\"%.*s\",\"confirmed_at\":%" PRIu64 ",\"currency\":\"%.*s\",\"items\":%" PRId64
             ",\"order\":\"%.*s\",\"total_minor\":%" PRId64 "}",
             (int)request->exec_id.len, request->exec_id.ptr, request->issued_at, (int)order.currency.length,
             order.currency.start, items, (int)order.name.length, order.name.start, total);

    effect_t *effect = malloc(sizeof *effect);
    if (!effect) abort();
    handler_string_dup(&effect->kind, "order.confirm");
    handler_string_dup(&effect->body, confirmation);
    outcome->effects.ptr = effect;
    outcome->effects.len = 1;
    handler_string_dup(&outcome->output, confirmation);
    return true;
}

void exports_openexec_handler_guest_describe(description_t *description) {
    handler_string_dup(&description->title, "Order confirmation");
    handler_string_dup(&description->summary,
                       "Adds an order up and confirms it, if it keeps the limits. Its one effect is an order.confirm.");
    handler_string_dup(&description->payload_schema, PAYLOAD_SCHEMA);
    handler_string_dup(&description->output_schema, OUTPUT_SCHEMA);
}
