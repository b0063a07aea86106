// The contract (wit/handler.wit) in AssemblyScript. Every build writes this file anew.
//
// In scope: the types that a handler takes and gives, for handler.ts.
// Out of scope: how they cross the boundary (abi.ts).

export class Request {
  constructor(
    readonly action: string,
    /** One JSON object, as canonical text. */
    readonly payload: string,
    readonly execId: string,
    readonly tenant: string,
    readonly nonce: string,
    /** Milliseconds since 1970: the only time that a handler knows. */
    readonly issuedAt: u64,
  ) {}
}

/** What comes of a call: an Outcome or a Failure. */
export abstract class Answer {}

export class Outcome extends Answer {
  constructor(
    /** One JSON object, as text. */
    readonly output: string,
    readonly effects: Effect[] = [],
  ) {
    super();
  }
}

export class Effect {
  constructor(
    readonly kind: string,
    /** JSON text. */
    readonly body: string,
  ) {}
}

/** The text begins with a stable word, then a colon and a sentence. */
export class Failure extends Answer {
  private constructor(
    readonly tag: u8,
    readonly text: string,
  ) {
    super();
  }

  static invalidPayload(text: string): Failure {
    return new Failure(0, text);
  }

  static rejected(text: string): Failure {
    return new Failure(1, text);
  }

  static internal(text: string): Failure {
    return new Failure(2, text);
  }
}

export class Description {
  constructor(
    readonly title: string,
    readonly summary: string,
    /** JSON Schema (2020-12), as text. */
    readonly payloadSchema: string,
    /** JSON Schema (2020-12), as text. */
    readonly outputSchema: string,
  ) {}
}
