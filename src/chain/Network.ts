/**
 * From what the user calls a network to its {@link ChainSpec}: a known name, or the path of a
 * genesis.json as geth reads it.
 */
import { readFile } from "node:fs/promises"
import { Data, Effect } from "effect"
import type { ChainSpec } from "./chainSpec.ts"
import { knownNetworks } from "./networks.ts"

/** The name is no known network and no readable genesis.json; the user is to blame. */
export class NetworkUnknown extends Data.TaggedError("NetworkUnknown")<{
  readonly name: string
  /** One line that says what was wrong. */
  readonly reason: string
}> {}

/** Resolves a network's name or the path of a genesis.json. */
export const resolveNetwork = (name: string): Effect.Effect<ChainSpec, NetworkUnknown> => {
  const known = knownNetworks.get(name)
  return known === undefined ? fromGenesisFile(name) : Effect.succeed(known)
}

const fromGenesisFile = Effect.fn("Network.fromGenesisFile")(function* (path: string) {
  const names = [...knownNetworks.keys()].join(", ")
  const text = yield* Effect.tryPromise({
    try: () => readFile(path, "utf8"),
    catch: (error) => {
      const code = error instanceof Error && "code" in error ? String(error.code) : "unreadable"
      const reason = `it is none of ${names}, devnet, and no file that can be read (${code})`
      return new NetworkUnknown({ name: path, reason })
    },
  })
  return yield* Effect.tryPromise({
    try: async () => {
      // The state root of `alloc` needs a trie library that other networks do not pay for.
      const { parseGenesis } = await import("./genesis.ts")
      return (await parseGenesis(path, text)).chain
    },
    catch: (error) =>
      new NetworkUnknown({
        name: path,
        reason: error instanceof Error ? error.message : String(error),
      }),
  })
})
