/** Where the thread that builds the index starts. */
import { parentPort } from "node:worker_threads"
import { serveIndexer } from "./ChainIndexHost.ts"

if (parentPort === null) {
  throw new Error("chainIndexThread is no program: it is started as a thread")
}
serveIndexer(parentPort)
