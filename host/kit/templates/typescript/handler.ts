// {{name}}: the price of an order.
//
// To say no, throw a failure. Anything else that is thrown is a trap, and recorded as a fault.

import type { Failure, Guest, Outcome, Request } from "openexec:handler/guest@1.0.0";

import outputSchema from "./output.schema.json"; // as text
import payloadSchema from "./payload.schema.json";

const TOTAL_MINOR_MAX = 1_000_000_000;

interface Payload {
  quantity: number;
  unit_minor: number;
}

const rejected = (text: string): Failure => ({ tag: "rejected", val: text });

function handle(request: Request): Outcome {
  const payload: Payload = JSON.parse(request.payload); // the host has held it to the schema
  const totalMinor = payload.quantity * payload.unit_minor; // exact: at most 10^4 * 10^8, by the schema
  if (totalMinor > TOTAL_MINOR_MAX) {
    throw rejected("total-over-limit: at most 1000000000 minor units in one order");
  }
  return { output: JSON.stringify({ total_minor: totalMinor }), effects: [] };
}

const describe = () => ({
  title: "{{name}}",
  summary: "The price of an order, up to a limit.",
  payloadSchema,
  outputSchema,
});

export const guest: Guest = { handle, describe };
