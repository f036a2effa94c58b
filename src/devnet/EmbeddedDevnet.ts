/**
 * `--network devnet`: peers of our own in one process of their own, for trying annals without a
 * network. 10 peers on loopback serve a generated chain of 2,000 blocks; they end with the scope.
 */
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { Data, Effect, type Scope } from "effect"
import type { ChainSpec } from "../chain/chainSpec.ts"
import { type Enode, isEnodeInvalid, parseEnode } from "../chain/enode.ts"
import { generatedChainSpec } from "./generatedChain.ts"

/** The peers' process did not come up. */
export class DevnetFailed extends Data.TaggedError("DevnetFailed")<{ readonly reason: string }> {}

/** The chain and where its peers listen. */
export interface EmbeddedDevnet {
  readonly chain: ChainSpec
  readonly peers: ReadonlyArray<Enode>
}

/** Peers that are started. */
export const DEVNET_PEERS = 10
/** Blocks above genesis that they serve. */
export const DEVNET_BLOCKS = 2_000

/** How long the process may take to make its chain and listen. */
const START_MS = 60_000

/** Starts the peers; their process is ended with the scope. */
export const startEmbeddedDevnet: Effect.Effect<EmbeddedDevnet, DevnetFailed, Scope.Scope> =
  Effect.gen(function* () {
    const program = process.argv[1] ?? fileURLToPath(import.meta.url)
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(
          process.execPath,
          [
            program,
            "devnet",
            `--generate=${DEVNET_BLOCKS}`,
            "--shape=light",
            `--peers=${DEVNET_PEERS}`,
          ],
          // Detached: Ctrl-C reaches the whole process group, and the peers must outlive our stop.
          // The channel tells them when we are gone, however we went.
          // A port that is set for all commands is that of the program, not of its peers.
          {
            detached: true,
            stdio: ["ignore", "pipe", "pipe", "ipc"],
            env: { ...process.env, ANNALS_PORT: "" },
          },
        ),
      ),
      (child) => Effect.sync(() => child.kill("SIGTERM")),
    )
    const peers = yield* Effect.async<ReadonlyArray<Enode>, DevnetFailed>((resume) => {
      const found: Array<Enode> = []
      let said = ""
      const fail = (reason: string): void => resume(Effect.fail(new DevnetFailed({ reason })))
      child.once("error", (error) => fail(error.message))
      child.once("exit", (code) => fail(said || `its process ended with code ${code ?? "none"}`))
      // Its words matter only when it does not come up; they are read on so that it never blocks.
      child.stderr!.on("data", (chunk: Buffer) => {
        said = chunk.toString("utf8").trim()
      })
      createInterface({ input: child.stdout! }).on("line", (line) => {
        const enode = parseEnode(line)
        if (isEnodeInvalid(enode)) return fail(`it said ${line.slice(0, 100)}`)
        found.push(enode)
        if (found.length === DEVNET_PEERS) resume(Effect.succeed(found))
      })
    }).pipe(
      Effect.timeoutFail({
        duration: START_MS,
        onTimeout: () => new DevnetFailed({ reason: `no peers after ${START_MS / 1000} s` }),
      }),
    )
    return { chain: generatedChainSpec(), peers }
  })
