/** What `annals sync` is asked to do by some flags and no others: for the tests of its options. */
import { assert } from "vitest"
import { nothingGiven } from "../../src/cli/flags.ts"
import {
  syncFlags,
  syncOptions,
  type IngestOptions,
  type ProbeOptions,
  type RawSyncOptions,
  type SyncOptions,
} from "../../src/cli/syncOptions.ts"

/** The cores that the machine is taken to have. */
export const CORES = 3

/** What a sync is asked to do by what it is given. */
export const sync = (given: Partial<RawSyncOptions>, cores = CORES): SyncOptions => {
  const options = syncOptions({ ...nothingGiven(syncFlags), ...given }, cores)
  assert(options.ok, JSON.stringify(options))
  return options.value
}

/** The same for a probe. */
export const probe = (given: Partial<RawSyncOptions>): ProbeOptions => {
  const options = sync({ benchmark: "probe", ...given })
  assert(options.kind === "probe", options.kind)
  return options
}

/** The same for an ingest or a profile. */
export const ingest = (given: Partial<RawSyncOptions>, cores = CORES): IngestOptions => {
  const options = sync(given, cores)
  assert(options.kind !== "probe", options.kind)
  return options
}

/** The one line that an ingest is refused with. */
export const ingestRefusal = (given: Partial<RawSyncOptions>): string => {
  const options = syncOptions({ ...nothingGiven(syncFlags), ...given }, CORES)
  assert(!options.ok, JSON.stringify(options))
  assert.notInclude(options.reason, "\n")
  return options.reason
}

/** The one line that a probe is refused with. */
export const refusal = (given: Partial<RawSyncOptions>): string =>
  ingestRefusal({ benchmark: "probe", ...given })
