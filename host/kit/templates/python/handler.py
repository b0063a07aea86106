"""{{name}}: the price of an order.

To say no, raise `Err(Failure_...)`. Any other exception is a trap, and recorded as a fault.
Everything is imported here, at the top: there are no files when a handler runs.
"""

import json

from componentize_py_types import Err
from schemas import OUTPUT_SCHEMA, PAYLOAD_SCHEMA  # made by the build
from wit_world import exports
from wit_world.exports.guest import Description, Failure_Rejected, Outcome, Request

TOTAL_MINOR_MAX = 1_000_000_000


class Guest(exports.Guest):
    def handle(self, request: Request) -> Outcome:
        payload = json.loads(request.payload)  # the host has held it to the schema
        total_minor = payload["quantity"] * payload["unit_minor"]
        if total_minor > TOTAL_MINOR_MAX:
            raise Err(Failure_Rejected("total-over-limit: at most 1000000000 minor units in one order"))
        return Outcome(output=json.dumps({"total_minor": total_minor}), effects=[])

    def describe(self) -> Description:
        return Description(
            title="{{name}}",
            summary="The price of an order, up to a limit.",
            payload_schema=PAYLOAD_SCHEMA,
            output_schema=OUTPUT_SCHEMA,
        )
