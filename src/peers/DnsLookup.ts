/**
 * Asks DNS for the TXT records of a name.
 *
 * In: names. Out: each record's text, its strings joined; or {@link LookupFailed}. Invariants: a
 * lookup ends within its deadline; the servers that the rest of the process asks are not touched;
 * when the scope closes nothing is left under way.
 */
import { Resolver } from "node:dns/promises"
import { Context, Data, Duration, Effect, Layer } from "effect"

/** No answer, or one without TXT records; the network or the name's owner is to blame. */
export class LookupFailed extends Data.TaggedError("LookupFailed")<{
  readonly name: string
  /** The resolver's code (`ENOTFOUND`, `ESERVFAIL`, …), or `deadline`. */
  readonly code: string
}> {}

/** See the module. */
export interface DnsLookupShape {
  readonly txt: (name: string) => Effect.Effect<ReadonlyArray<string>, LookupFailed>
}

/** How to ask. */
export interface DnsLookupOptions {
  /** Addresses with or without port; the machine's own servers without. Others are a defect. */
  readonly servers?: ReadonlyArray<string>
  readonly timeoutMs: number
}

/** See {@link DnsLookupShape}. */
export class DnsLookup extends Context.Tag("annals/DnsLookup")<DnsLookup, DnsLookupShape>() {
  /** Over UDP, and TCP where an answer was cut. */
  static readonly layer = ({ servers, timeoutMs }: DnsLookupOptions): Layer.Layer<DnsLookup> =>
    Layer.scoped(
      DnsLookup,
      Effect.gen(function* () {
        const resolver = yield* Effect.acquireRelease(
          // One try: who asks again, and when, is the walk's business.
          Effect.sync(() => new Resolver({ timeout: timeoutMs, tries: 1 })),
          (resolver) => Effect.sync(() => resolver.cancel()),
        )
        if (servers !== undefined) resolver.setServers(servers)
        const txt = Effect.fn("DnsLookup.txt")((name: string) =>
          Effect.tryPromise({
            try: async () => {
              const records = await resolver.resolveTxt(name)
              return records.map((strings) => strings.join(""))
            },
            catch: (error) => new LookupFailed({ name, code: codeOf(error) }),
          }).pipe(
            // Each server in turn has the resolver's own timeout.
            Effect.timeoutFail({
              duration: Duration.millis(timeoutMs),
              onTimeout: () => new LookupFailed({ name, code: "deadline" }),
            }),
          ),
        )
        return { txt }
      }),
    )
}

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error ? String(error.code) : String(error)
