"""The sample `order.confirm` in Python: checks an order, adds it up, and asks for one effect.

In scope: the contract's two functions and the rules of the action. The shape of an order is ../order/.
Out of scope: stock, customers, sending anything. Whoever carries the effect out does that.

To say no, raise `Err(Failure_...)`. Any other exception is a trap, and recorded as a fault.
Everything is imported here, at the top: there are no files when a handler runs.
"""

import json
import re

from componentize_py_types import Err
from schemas import OUTPUT_SCHEMA, PAYLOAD_SCHEMA  # made by the build
from wit_world import exports
from wit_world.exports.guest import Description, Effect, Failure_InvalidPayload, Failure_Rejected, Outcome, Request

CURRENCIES = ("EUR", "GBP", "USD")
LINES_MAX = 100
QUANTITY_MAX = 10_000
UNIT_MINOR_MAX = 100_000_000
TOTAL_MINOR_MAX = 10_000_000_000

CURRENCY = re.compile(r"[A-Z]{3}")
NAME = re.compile(r"[A-Za-z0-9-]{1,40}")


class Guest(exports.Guest):
    def handle(self, request: Request) -> Outcome:
        order = parse_order(request.payload)
        items, total = add_up(order)
        confirmation = to_json(
            {
                "confirmation": request.exec_id,  # instead of a random id: the same call has the same one on every run
                "confirmed_at": request.issued_at,  # instead of a clock
                "currency": order["currency"],
                "items": items,
                "order": order["order"],
                "total_minor": total,
            }
        )
        return Outcome(output=confirmation, effects=[Effect(kind="order.confirm", body=confirmation)])

    def describe(self) -> Description:
        return Description(
            title="Order confirmation",
            summary="Adds an order up and confirms it, if it keeps the limits. Its one effect is an order.confirm.",
            payload_schema=PAYLOAD_SCHEMA,
            output_schema=OUTPUT_SCHEMA,
        )


def add_up(order: dict) -> tuple[int, int]:
    """How many items an order has and what they cost, if it keeps the rules."""
    if order["currency"] not in CURRENCIES:
        raise rejected("currency-not-accepted: prices are in EUR, GBP or USD")
    if not order["lines"]:
        raise rejected("order-empty: an order has at least one line")
    if len(order["lines"]) > LINES_MAX:
        raise rejected("order-too-long: an order has at most 100 lines")
    items = total = 0
    for line in order["lines"]:
        if not 1 <= line["quantity"] <= QUANTITY_MAX:
            raise rejected("quantity-out-of-range: a quantity is from 1 to 10000")
        if not 0 <= line["unit_minor"] <= UNIT_MINOR_MAX:
            raise rejected("price-out-of-range: a unit price is from 0 to 100000000 minor units")
        items += line["quantity"]
        total += line["quantity"] * line["unit_minor"]
    if total > TOTAL_MINOR_MAX:
        raise rejected("total-over-limit: at most 10000000000 minor units are confirmed in one order")
    return items, total


def parse_order(text: str) -> dict:
    payload = json.loads(text)  # the host sends nothing but JSON objects
    if (
        has_exactly(payload, "currency", "lines", "order")
        and is_text(payload["currency"], CURRENCY)
        and is_text(payload["order"], NAME)
        and isinstance(payload["lines"], list)
        and all(map(is_line, payload["lines"]))
    ):
        return payload
    raise Err(Failure_InvalidPayload("payload-malformed: expected an order as the payload schema says"))


def is_line(line: object) -> bool:
    return (
        has_exactly(line, "quantity", "sku", "unit_minor")
        and is_text(line["sku"], NAME)
        and type(line["quantity"]) is int  # not isinstance: True is an int as well
        and type(line["unit_minor"]) is int
    )


def has_exactly(value: object, *names: str) -> bool:
    return isinstance(value, dict) and value.keys() == set(names)


def is_text(value: object, pattern: re.Pattern) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def rejected(text: str) -> Err:
    return Err(Failure_Rejected(text))


def to_json(value: dict) -> str:
    return json.dumps(value, separators=(",", ":"))
