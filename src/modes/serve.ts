/**
 * `annals serve`: the store over JSON-RPC, on this thread, until it is stopped. Whoever writes the
 * store is another process, or none.
 */
import { Effect } from "effect"
import { type ExitCode, exitCodeOfSignal } from "../cli/exitCodes.ts"
import type { ServeOptions } from "../cli/serveOptions.ts"
import { UsageError } from "../cli/UsageError.ts"
import { Stop } from "../observe/Stop.ts"
import { Terminal } from "../observe/Terminal.ts"
import { serveRpc } from "../rpc/server/RpcServer.ts"
import { layerChainReader } from "../write/ChainReaderSession.ts"
import { clientId } from "./clientId.ts"
import { endWithStoreError } from "./storeErrors.ts"

/** Serves until a signal comes; ends with 7 where there is no store, with 2 where the port is taken. */
export const runServe = ({
  dataDir,
  ...settings
}: ServeOptions): Effect.Effect<ExitCode, UsageError, Stop | Terminal> =>
  Effect.scoped(
    Effect.gen(function* () {
      const terminal = yield* Terminal
      const stop = yield* Stop
      const { url } = yield* serveRpc({ ...settings, directory: dataDir, clientVersion: clientId })
      yield* terminal.log(`annals: JSON-RPC of ${dataDir} is served at ${url}`)
      return exitCodeOfSignal(yield* stop.requested)
    }),
  ).pipe(
    Effect.provide(layerChainReader(dataDir)),
    Effect.catchTag("ServeError", ({ message }) => new UsageError({ reason: message })),
    Effect.catchTag("StoreError", endWithStoreError),
  )
