/**
 * The process of `npm run stress -- --only cycles`: goes through as many connections as its argument
 * says, and prints what is left of them as one JSON object.
 */
import { Effect } from "effect"
import { leaksOf, runCycles } from "./cycles.ts"

const end = await Effect.runPromise(Effect.scoped(runCycles(Number(process.argv[2]))))
console.log(JSON.stringify({ ...end, leaks: leaksOf(end) }))
