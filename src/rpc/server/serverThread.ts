/** Where the server's thread starts: serves for the thread that started it. */
import { parentPort } from "node:worker_threads"
import { serveFor } from "./ServeHost.ts"

if (parentPort === null) throw new Error("serverThread is no program: it is started as a thread")
serveFor(parentPort)
