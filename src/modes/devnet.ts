/**
 * `annals devnet`: starts the peers, names each on stdout when all of them listen, and serves until
 * it is told to stop, or the program that started it with a channel to it is gone.
 */
import { Effect } from "effect"
import type { ChainSpec } from "../chain/chainSpec.ts"
import { type Enode, formatEnode } from "../chain/enode.ts"
import { resolveNetwork } from "../chain/Network.ts"
import { ExitCode, exitCodeOfSignal } from "../cli/exitCodes.ts"
import type { DevnetOptions } from "../cli/devnetOptions.ts"
import { UsageError } from "../cli/UsageError.ts"
import { Stop } from "../observe/Stop.ts"
import { Terminal } from "../observe/Terminal.ts"
import { readChainFile, readChainFiles } from "../devnet/chainFiles.ts"
import { growHeads, obeyLines } from "../devnet/DevnetControl.ts"
import { startDevnetPeer } from "../devnet/DevnetPeers.ts"
import { type FaultKind, faultKinds } from "../devnet/faults.ts"
import { generateChain, generatedChainSpec, generateFork } from "../devnet/generatedChain.ts"
import { type Branches, LiveChain } from "../devnet/liveChain.ts"
import { branchOff, ChainFileInvalid } from "../devnet/servedChain.ts"

/** Runs the devnet; see the module. */
export const runDevnet = Effect.fn("runDevnet")(function* (
  options: DevnetOptions,
): Effect.fn.Return<ExitCode, UsageError, Stop | Terminal> {
  const stop = yield* Stop
  const terminal = yield* Terminal
  const chain = yield* chainSpecOf(options)
  const branches = yield* branchesOf(options, chain)
  const faults = assignFaults(options)
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const enodes: Array<Enode> = []
      const chains: Array<LiveChain> = []
      for (const [index, fault] of faults.entries()) {
        // The first one is the others' bootnode where none was named.
        const bootnodes = options.bootnodes.length > 0 ? options.bootnodes : enodes.slice(0, 1)
        const served = yield* startOf(options, branches)
        chains.push(served)
        const enode = yield* startDevnetPeer({
          chain,
          served,
          ethVersions: options.ethVersions,
          port: options.port === undefined ? 0 : options.port + index,
          latencyMs: options.latencyMs,
          bandwidthMbit: options.bandwidthMbit,
          fault,
          discovery: options.discovery ? { bootnodes } : undefined,
        })
        enodes.push(enode)
      }
      if (options.control) yield* obeyLines(chains, process.stdin)
      for (const enode of enodes) yield* terminal.data(formatEnode(enode))
      if (options.blockTimeMs !== undefined) yield* growHeads(chains, options.blockTimeMs)
      const { numbers, firstBlock, lastBlock } = chains[0]!.current
      yield* terminal.log(
        `${enodes.length} peers serve ${numbers.length} blocks, ${firstBlock} to ${lastBlock}`,
      )
      return yield* Effect.raceFirst(
        Effect.map(stop.requested, exitCodeOfSignal),
        Effect.as(orphaned, ExitCode.complete),
      )
    }),
  ).pipe(
    Effect.catchTag("ListenError", ({ host, port, reason }) =>
      Effect.fail(
        new UsageError({
          reason:
            reason === "EADDRINUSE"
              ? `--port: ${host}:${port} is in use by another program; choose another port`
              : `--port: cannot listen on ${host}:${port} (${reason})`,
        }),
      ),
    ),
  )
})

/** Waits for the end of the program that started this one, where there is a channel to it. */
const orphaned: Effect.Effect<void> = Effect.async((resume) => {
  const gone = (): void => resume(Effect.void)
  // It may have gone while the chain was made.
  if (process.send !== undefined && !process.connected) return gone()
  process.on("disconnect", gone)
  return Effect.sync(() => process.off("disconnect", gone))
})

/** The chain that the peers say they are on. */
const chainSpecOf = (options: DevnetOptions): Effect.Effect<ChainSpec, UsageError> =>
  options.network === undefined
    ? Effect.succeed(generatedChainSpec())
    : resolveNetwork(options.network).pipe(
        Effect.mapError(
          ({ name, reason }) => new UsageError({ reason: `--network ${name}: ${reason}` }),
        ),
      )

/** The blocks that they serve. Block 0 comes from the network where its header is known. */
const branchesOf = (
  options: DevnetOptions,
  { genesisHeader }: ChainSpec,
): Effect.Effect<Branches, UsageError> =>
  Effect.try({
    try: (): Branches => {
      const genesis = genesisHeader === undefined ? {} : { genesisHeader }
      const { generate, forkFiles } = options
      if (generate === undefined) {
        const main = readChainFiles(options.chainFiles, genesis)
        const fork = forkFiles.flatMap((file) => readChainFile(file))
        return { main, fork: fork.length > 0 ? branchOff(main, fork) : undefined }
      }
      const main = generateChain({ ...generate, ...genesis })
      const { forkAt } = generate
      // The next seed: the branches have nothing in common but what lies below the fork.
      const other = { ...generate, seed: generate.seed + 1 }
      return { main, fork: forkAt === undefined ? undefined : generateFork(main, forkAt, other) }
    },
    catch: (error) => error,
  }).pipe(
    Effect.catchAll((error) =>
      error instanceof ChainFileInvalid
        ? Effect.fail(new UsageError({ reason: `--chain ${error.message}` }))
        : Effect.die(error),
    ),
  )

/** A peer's own chain, as it is at first. */
const startOf = (
  { head }: DevnetOptions,
  branches: Branches,
): Effect.Effect<LiveChain, UsageError> => {
  const { main } = branches
  if (head !== undefined && !main.has(head)) {
    return new UsageError({ reason: `--head ${head}: the chain has no such block` })
  }
  return Effect.succeed(new LiveChain(branches, { branch: "main", head: head ?? main.lastBlock }))
}

/** A fault or none for each peer: the faulty ones come first. */
const assignFaults = (options: DevnetOptions): ReadonlyArray<FaultKind | undefined> => {
  const faulty = faultKinds.flatMap((kind) =>
    Array.from({ length: options.faults[kind] }, () => kind),
  )
  return Array.from({ length: options.peers }, (_, index) => faulty[index])
}
