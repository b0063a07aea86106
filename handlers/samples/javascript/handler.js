// The sample `order.confirm` in JavaScript: checks an order, adds it up, and asks for one effect.
//
// In scope: the contract's two functions and the rules of the action. The shape of an order is ../order/.
// Out of scope: stock, customers, sending anything. Whoever carries the effect out does that.
//
// To say no, throw `{ tag, val }`. Anything else that is thrown is a trap, and recorded as a fault.

import outputSchema from "./output.schema.json";
import payloadSchema from "./payload.schema.json";

const NAME = /^[A-Za-z0-9-]{1,40}$/; // made once: where a pattern stands, one is made each time
const CURRENCY = /^[A-Z]{3}$/;
const CURRENCIES = ["EUR", "GBP", "USD"];
const LINES_MAX = 100;
const QUANTITY_MAX = 10_000;
const UNIT_MINOR_MAX = 100_000_000;
const TOTAL_MINOR_MAX = 10_000_000_000;

const rejected = (text) => ({ tag: "rejected", val: text });

function handle(request) {
  const { currency, lines, order } = parseOrder(request.payload);
  if (!CURRENCIES.includes(currency)) throw rejected("currency-not-accepted: prices are in EUR, GBP or USD");
  if (lines.length === 0) throw rejected("order-empty: an order has at least one line");
  if (lines.length > LINES_MAX) throw rejected("order-too-long: an order has at most 100 lines");

  let items = 0;
  let total = 0; // exact: the limits keep it below 2^53 (100 * 10^4 * 10^8 = 10^14)
  for (const { quantity, unit_minor: unitMinor } of lines) {
    if (quantity < 1 || quantity > QUANTITY_MAX) {
      throw rejected("quantity-out-of-range: a quantity is from 1 to 10000");
    }
    if (unitMinor < 0 || unitMinor > UNIT_MINOR_MAX) {
      throw rejected("price-out-of-range: a unit price is from 0 to 100000000 minor units");
    }
    items += quantity;
    total += quantity * unitMinor;
  }
  if (total > TOTAL_MINOR_MAX) {
    throw rejected("total-over-limit: at most 10000000000 minor units are confirmed in one order");
  }

  const confirmation = JSON.stringify({
    confirmation: request.execId, // instead of a random id: the same call has the same one on every run
    confirmed_at: Number(request.issuedAt), // instead of a clock; exact, for it is below 2^53
    currency,
    items,
    order,
    total_minor: total,
  });
  return { output: confirmation, effects: [{ kind: "order.confirm", body: confirmation }] };
}

function parseOrder(text) {
  const payload = JSON.parse(text); // the host sends nothing but JSON objects
  if (hasMembers(payload, 3) && isText(payload.currency, CURRENCY) && isText(payload.order, NAME) &&
      Array.isArray(payload.lines) && payload.lines.every(isLine)) return payload;
  throw { tag: "invalid-payload", val: "payload-malformed: expected an order as the payload schema says" };
}

const isLine = (line) => hasMembers(line, 3) && isText(line.sku, NAME) &&
  Number.isSafeInteger(line.quantity) && Number.isSafeInteger(line.unit_minor);

const isText = (value, pattern) => typeof value === "string" && pattern.test(value);

// As many members as are looked at, so that there are no others.
const hasMembers = (value, n) => typeof value === "object" && value !== null && Object.keys(value).length === n;

const describe = () => ({
  title: "Order confirmation",
  summary: "Adds an order up and confirms it, if it keeps the limits. Its one effect is an order.confirm.",
  payloadSchema,
  outputSchema,
});

export const guest = { handle, describe };
