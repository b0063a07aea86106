// {{name}}: the price of an order.
//
// To say no, return a failure. An exception is a trap, and recorded as a fault.

import { Answer, Description, Failure, Outcome, Request } from "./build/contract"; // made by the build
import { outputSchema, payloadSchema } from "./build/schemas"; // the same

const TOTAL_MINOR_MAX: i64 = 1_000_000_000;

export function handle(request: Request): Answer {
  const quantity = member(request.payload, "quantity");
  const unitMinor = member(request.payload, "unit_minor");
  if (quantity < 0 || unitMinor < 0) {
    return Failure.invalidPayload("payload-malformed: quantity and unit_minor are whole numbers");
  }
  const totalMinor = quantity * unitMinor; // at most 10^4 * 10^8, by the schema
  if (totalMinor > TOTAL_MINOR_MAX) {
    return Failure.rejected("total-over-limit: at most 1000000000 minor units in one order");
  }
  return new Outcome('{"total_minor":' + totalMinor.toString() + "}");
}

export function describe(): Description {
  return new Description("{{name}}", "The price of an order, up to a limit.", payloadSchema, outputSchema);
}

// A member that is a whole number from 0 up, else -1. The payload is canonical JSON that the host has held to the schema: no
// white space, and small whole numbers, spelled in digits.
function member(payload: string, name: string): i64 {
  const pattern = '"' + name + '":';
  const begin = payload.indexOf(pattern) + pattern.length;
  let end = begin;
  while (end < payload.length && payload.charCodeAt(end) >= 0x30 && payload.charCodeAt(end) <= 0x39) end++;
  return begin >= pattern.length && end > begin ? I64.parseInt(payload.slice(begin, end)) : -1;
}
