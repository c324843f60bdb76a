import { defineConfig } from "vite";

// Makes of a test one file that Node.js runs: `vite build --ssr test/x.test.ts --outDir …`.
export default defineConfig({
  ssr: { noExternal: true },
  build: { target: "node20", minify: false },
});
