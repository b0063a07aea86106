// {{name}}: the price of an order.
//
// To say no, throw `{ tag, val }`. Anything else that is thrown is a trap, and recorded as a fault.

import outputSchema from "./output.schema.json"; // as text
import payloadSchema from "./payload.schema.json";

const TOTAL_MINOR_MAX = 1_000_000_000;

function handle(request) {
  const { quantity, unit_minor: unitMinor } = JSON.parse(request.payload); // the host has held it to the schema
  const totalMinor = quantity * unitMinor; // exact: at most 10^4 * 10^8, by the schema
  if (totalMinor > TOTAL_MINOR_MAX) {
    throw { tag: "rejected", val: "total-over-limit: at most 1000000000 minor units in one order" };
  }
  return { output: JSON.stringify({ total_minor: totalMinor }), effects: [] };
}

const describe = () => ({
  title: "{{name}}",
  summary: "The price of an order, up to a limit.",
  payloadSchema,
  outputSchema,
});

export const guest = { handle, describe };
