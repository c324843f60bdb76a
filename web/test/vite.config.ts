import { transformAsync } from "@babel/core";
import { defineConfig } from "vite";

// Makes of a test one file that Node.js runs: `vite build --ssr test/x.test.ts --outDir …`.
export default defineConfig({
  ssr: { noExternal: true },
  build: { target: "node20", minify: false },
  plugins: [
    {
      name: "relay", // puts what relay-compiler made in the place of what stands in graphql`…`
      enforce: "pre",
      async transform(code, id) {
        if (!id.endsWith("/clients/relay.ts")) return null;
        const parserOpts = { plugins: ["typescript" as const] };
        const plugins = [["relay", { eagerEsModules: true }]];
        const made = await transformAsync(code, { filename: id, configFile: false, parserOpts, plugins });
        return { code: made!.code!, map: null };
      },
    },
  ],
});
