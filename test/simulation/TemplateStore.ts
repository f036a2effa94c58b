/**
 * What all worlds of a process share: an empty store with its schema, to be copied, since to migrate
 * costs more than most seeds.
 */
import { Effect } from "effect"
import { spec } from "./chains.ts"
import { checks } from "../../src/process/checks.ts"
import { closeConnections, makeFolder, removeFolder } from "./disk.ts"
import { commitDefaults } from "../../src/write/storeProtocol.ts"
import { openSession } from "../../src/write/StoreSession.ts"
import { loadEciesSession } from "../../src/wire/eciesSession.ts"

let made: Promise<string> | undefined

/** The folder of the template; made once a process and gone with it. */
export const templateStore = (): Promise<string> => (made ??= make())

const make = async (): Promise<string> => {
  const folder = makeFolder()
  process.once("exit", () => removeFolder(folder))
  const purpose = {
    kind: "sync",
    network: "simulated",
    chainId: spec.chainId,
    genesisHash: spec.genesisHash,
    tables: [],
    checks,
    trusted: [],
  } as const
  await Effect.runPromise(
    Effect.scoped(openSession({ directory: folder, purpose, ...commitDefaults })),
  )
  closeConnections()
  // What is loaded late is loaded before the first world: a file takes its time, and not the world's.
  await loadEciesSession()
  return folder
}
