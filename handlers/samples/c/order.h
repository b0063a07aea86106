// What an order is, and reading one.
//
// In scope: the shape of an order. Out of scope: the rules it must keep (handler.c).

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LINES_MAX = 100 };

// A part of the payload, of characters that JSON does not escape.
typedef struct {
    const char *start;
    size_t length;
} text_t;

typedef struct {
    int64_t quantity;
    int64_t unit_minor;
} line_t;

typedef struct {
    text_t currency;
    text_t name;
    size_t n_lines;          // may be more than LINES_MAX; then only the first ones are kept
    line_t lines[LINES_MAX];
} order_t;

// Whether `payload`, canonical JSON, has the shape of an order.
bool order_parse(const char *payload, size_t length, order_t *order);
