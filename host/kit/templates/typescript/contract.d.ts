// The contract (wit/handler.wit) as types, for the compiler and for editors. What each member means stands there.

declare module "openexec:handler/guest@1.0.0" {
  export interface Guest {
    /** Performs one call. Throws a `Failure` to say no. */
    handle(request: Request): Outcome;
    describe(): Description;
  }

  export interface Request {
    readonly action: string;
    /** One JSON object, as canonical text. */
    readonly payload: string;
    readonly execId: string;
    readonly tenant: string;
    readonly nonce: string;
    /** Milliseconds since 1970: the only time that a handler knows. */
    readonly issuedAt: number;
  }

  export interface Outcome {
    /** One JSON object, as text. */
    output: string;
    effects: Effect[];
  }

  export interface Effect {
    kind: string;
    /** JSON text. */
    body: string;
  }

  /** `val` begins with a stable word, then a colon and a sentence. */
  export interface Failure {
    tag: "invalid-payload" | "rejected" | "internal";
    val: string;
  }

  export interface Description {
    title: string;
    summary: string;
    /** JSON Schema (2020-12), as text. */
    payloadSchema: string;
    /** JSON Schema (2020-12), as text. */
    outputSchema: string;
  }
}

/** The build gives a schema as the text that it is. */
declare module "*.schema.json" {
  const text: string;
  export default text;
}
