import { it } from "@effect/vitest"
import { Effect } from "effect"
import { freshDirectory } from "../support/ingestRun.ts"
import { at, honest, seeded, main, fork } from "./forkedChain.ts"
import { withFollower } from "../support/followRun.ts"
import { toHex } from "../../src/domain/hex.ts"
it.scoped("zz", () =>
    Effect.gen(function* () {
      const directory = yield* freshDirectory
      yield* seeded(directory)
      const peers = [at("l", "fork", 400), ...honest("main", 400)]
      yield* withFollower(peers, { directory, historyEnd: 392 }, (run) =>
        Effect.gen(function* () {
          for (let i = 0; i < 7; i++) {
            yield* run.pass(2000)
            const hs = yield* run.store.hashes([0, 1000])
            const t = hs.map(({blockNumber: n, hash}) => toHex(hash) === toHex(main.hashAt(n)!) ? "m" : toHex(hash) === toHex(fork.hashAt(n)!) ? "f" : "?")
            const line: string[] = Array.from({length: 401}, () => ".")
            hs.forEach(({blockNumber: n}, k) => { line[n] = t[k]! })
            console.log(line.join("").slice(55, 130), hs.length, run.tip().number, JSON.stringify(run.state.facts()), JSON.stringify(Object.fromEntries(run.stats.failures)), run.stats.blocksSucceeded, JSON.stringify(run.log))
          }
        }),
      )
    }), 60000)
