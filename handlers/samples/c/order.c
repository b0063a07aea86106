// Reading an order without a JSON library.
//
// The host sends canonical JSON (RFC 8785): no white space, members sorted, one spelling for each number. So an order
// can be spelled in one way only, and whatever is spelled otherwise is not an order.

#include "order.h"

#include <string.h>

typedef struct {
    const char *at;
    const char *end;
} reader_t;

static bool skip(reader_t *reader, const char *expected) {
    size_t length = strlen(expected);
    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, expected, length) != 0) return false;
    reader->at += length;
    return true;
}

static bool digit(char c) { return c >= '0' && c <= '9'; }
static bool capital(char c) { return c >= 'A' && c <= 'Z'; }
static bool name_character(char c) { return digit(c) || capital(c) || (c >= 'a' && c <= 'z') || c == '-'; }

static bool text(reader_t *reader, bool (*allowed)(char), size_t min, size_t max, text_t *text) {
    text->start = reader->at;
    while (reader->at < reader->end && allowed(*reader->at)) reader->at++;
    text->length = (size_t)(reader->at - text->start);
    return text->length >= min && text->length <= max;
}

// At most 16 digits, which is all that fits below 2^53. A fraction or exponent makes the next `skip` fail.
static bool integer(reader_t *reader, int64_t *value) {
    bool negative = skip(reader, "-");
    text_t digits;
    if (!text(reader, digit, 1, 16, &digits)) return false;
    *value = 0;
    for (size_t i = 0; i < digits.length; i++) *value = *value * 10 + (digits.start[i] - '0');
    if (negative) *value = -*value;
    return true;
}

static bool parse_line(reader_t *reader, line_t *line) {
    text_t sku;
    return skip(reader, "{\"quantity\":") && integer(reader, &line->quantity) && skip(reader, ",\"sku\":\"") &&
           text(reader, name_character, 1, 40, &sku) && skip(reader, "\",\"unit_minor\":") &&
           integer(reader, &line->unit_minor) && skip(reader, "}");
}

static bool parse_lines(reader_t *reader, order_t *order) {
    order->n_lines = 0;
    if (skip(reader, "]")) return true;
    do {
        line_t line;
        if (!parse_line(reader, &line)) return false;
        if (order->n_lines < LINES_MAX) order->lines[order->n_lines] = line;
        order->n_lines++;
    } while (skip(reader, ","));
    return skip(reader, "]");
}

bool order_parse(const char *payload, size_t length, order_t *order) {
    reader_t reader = {payload, payload + length};
    return skip(&reader, "{\"currency\":\"") && text(&reader, capital, 3, 3, &order->currency) &&
           skip(&reader, "\",\"lines\":[") && parse_lines(&reader, order) && skip(&reader, ",\"order\":\"") &&
           text(&reader, name_character, 1, 40, &order->name) && skip(&reader, "\"}") && reader.at == reader.end;
}
