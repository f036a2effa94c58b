import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Real sockets and two noisy cores: generous, and still a bound.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: "forks",
    // Half of their time tests wait, for clocks and sockets.
    poolOptions: { forks: { maxForks: 3 } },
  },
})
