// Loaded into every test process by scripts/test.ts. The runner's own --test-timeout fails a test that hangs, but then
// waits for ever for the process around it (Node.js 26.10).
const USUAL_MS = process.argv[1]?.endsWith('.slow.test.ts') ? 600_000 : 120_000;
const FILE_TIMEOUT_MS = Number(process.env.TEST_FILE_TIMEOUT_MS ?? USUAL_MS);

if (process.env.NODE_TEST_CONTEXT) {
  setTimeout(() => {
    console.error(`${process.argv[1]} took longer than ${FILE_TIMEOUT_MS / 1000} s`);
    process.exit(1);
  }, FILE_TIMEOUT_MS).unref();
}
