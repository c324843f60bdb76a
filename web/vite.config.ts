import { defineConfig } from "vite";

// Each folder of src/ with an index.html is a page; tools/web.sh builds one after the other.
export default defineConfig({
  build: { target: "es2023" },
});
