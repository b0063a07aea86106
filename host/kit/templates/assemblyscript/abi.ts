// How the contract crosses the boundary: the canonical ABI of wit/handler.wit. Every build writes this file anew.
//
// In scope: arguments to objects, objects to memory, memory for the host to put strings into. A string is its address and
// how many UTF-16 code units it has, which is what a string is in AssemblyScript as well.
// Out of scope: giving anything back. Every call has an instance of its own.

import { describe as describeHandler, handle as handleRequest } from "../handler";
import { Effect, Failure, Outcome, Request } from "./contract";

const STRING_BYTES: usize = 8; // and so is a list: address, length
const EFFECT_BYTES: usize = 2 * STRING_BYTES;
const DESCRIPTION_BYTES: usize = 4 * STRING_BYTES;
/** A byte that says which, at 4 the larger of the two: an outcome (a string, a list), a failure (a byte, at 8 a string). */
const RESULT_BYTES: usize = 4 + 2 * STRING_BYTES;

export function cabi_realloc(old: usize, oldBytes: usize, align: usize, bytes: usize): usize {
  if (bytes == 0) return align;
  const address = heap.alloc(bytes); // aligned to 16
  memory.copy(address, old, min(oldBytes, bytes));
  return address;
}

export function handle(
  action: usize, actionUnits: i32,
  payload: usize, payloadUnits: i32,
  execId: usize, execIdUnits: i32,
  tenant: usize, tenantUnits: i32,
  nonce: usize, nonceUnits: i32,
  issuedAt: u64,
): usize {
  const answer = handleRequest(new Request(
    text(action, actionUnits),
    text(payload, payloadUnits),
    text(execId, execIdUnits),
    text(tenant, tenantUnits),
    text(nonce, nonceUnits),
    issuedAt,
  ));
  const result = heap.alloc(RESULT_BYTES);
  if (answer instanceof Outcome) {
    const outcome = answer as Outcome;
    store<u8>(result, 0);
    putText(result + 4, outcome.output);
    putEffects(result + 4 + STRING_BYTES, outcome.effects);
  } else {
    const failure = answer as Failure;
    store<u8>(result, 1);
    store<u8>(result + 4, failure.tag);
    putText(result + 8, failure.text);
  }
  return result;
}

export function describe(): usize {
  const description = describeHandler();
  const result = heap.alloc(DESCRIPTION_BYTES);
  putText(result, description.title);
  putText(result + STRING_BYTES, description.summary);
  putText(result + 2 * STRING_BYTES, description.payloadSchema);
  putText(result + 3 * STRING_BYTES, description.outputSchema);
  return result;
}

function text(address: usize, units: i32): string {
  return String.UTF16.decodeUnsafe(address, <usize>units << 1);
}

function putText(at: usize, value: string): void {
  put(at, changetype<usize>(value), value.length);
}

function putEffects(at: usize, effects: Effect[]): void {
  const list = heap.alloc(EFFECT_BYTES * effects.length);
  for (let i = 0; i < effects.length; i++) {
    const effect = list + EFFECT_BYTES * i;
    putText(effect, effects[i].kind);
    putText(effect + STRING_BYTES, effects[i].body);
  }
  put(at, list, effects.length);
}

function put(at: usize, address: usize, length: i32): void {
  store<usize>(at, address);
  store<i32>(at, length, 4);
}
