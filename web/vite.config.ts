import { defineConfig } from "vite";

// Each folder of src/ is one page: tools/web.sh builds it as /<folder>/ into parley/web/<folder>/.
export default defineConfig({
  build: {
    target: "es2023",
    emptyOutDir: true,
    chunkSizeWarningLimit: 4_000, // Monaco is 3 MB, loaded after the page has begun to show
  },
});
