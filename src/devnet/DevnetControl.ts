/**
 * Moves the chains of a devnet's peers while they serve: by themselves, block by block, and as lines on
 * standard input say (`control.ts`). Each line is answered by one line on stderr.
 *
 * Invariant: a command is carried out for all the peers that it names at once, or for none.
 */
import { createInterface } from "node:readline"
import { Duration, Effect, type Scope, Stream } from "effect"
import { Terminal } from "../observe/Terminal.ts"
import { parseControl } from "./control.ts"
import type { LiveChain } from "./liveChain.ts"

/** Lets every head rise by one block each `blockTimeMs`, as long as the scope. */
export const growHeads = (
  chains: ReadonlyArray<LiveChain>,
  blockTimeMs: number,
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.sync(() => {
    for (const chain of chains) chain.grow()
  }).pipe(
    Effect.delay(Duration.millis(blockTimeMs)),
    Effect.forever,
    Effect.forkScoped,
    Effect.asVoid,
  )

/** Carries out what `input` says, line by line, until it ends or the scope closes. */
export const obeyLines = (
  chains: ReadonlyArray<LiveChain>,
  input: NodeJS.ReadableStream,
): Effect.Effect<void, never, Scope.Scope | Terminal> =>
  Effect.gen(function* () {
    const terminal = yield* Terminal
    const lines = yield* Effect.acquireRelease(
      Effect.sync(() => createInterface({ input })),
      (lines) => Effect.sync(() => lines.close()),
    )
    yield* Stream.fromAsyncIterable(lines, String).pipe(
      Stream.filter((line) => line.trim() !== ""),
      Stream.runForEach((line) =>
        Effect.suspend(() => terminal.log(`control: ${obey(chains, line)}`)),
      ),
      // A broken input is the end of it: the peers go on serving.
      Effect.ignore,
      Effect.forkScoped,
    )
  })

/** Carries one line out and gives what is to be said of it. */
export const obey = (chains: ReadonlyArray<LiveChain>, line: string): string => {
  const command = parseControl(line, chains.length)
  if (typeof command === "string") return `refused: ${command}`
  const [from, to] = command.peers
  const moves = chains.slice(from, to + 1).map((chain) => ({
    chain,
    position: {
      branch: command.branch ?? chain.position.branch,
      head: command.head ?? chain.position.head,
    },
  }))
  for (const { chain, position } of moves) {
    const refusal = chain.refusalOf(position)
    if (refusal !== undefined) return `refused: ${refusal}`
  }
  const still = command.branch === undefined && command.head === undefined
  if (!still) for (const { chain, position } of moves) chain.moveTo(position)
  const { head, branch } = moves[0]!.position
  return `peers ${from}-${to} at ${head}@${branch}`
}
