import { defineConfig } from "vite";

// Makes of each test a file that Node.js runs: `vite build --outDir …`.
const TESTS = ["positions", "resume", "state"];

export default defineConfig({
  ssr: { noExternal: true },
  build: {
    target: "node20",
    minify: false,
    ssr: true,
    rollupOptions: { input: TESTS.map((name) => `test/${name}.test.ts`) },
  },
});
