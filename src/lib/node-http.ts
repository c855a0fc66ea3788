/**
 * `node:http`, by another way than `import`: that reads every export, and reading `WebSocket` loads the HTTP client that
 * belongs to it, 40 ms and 15 MB at each start (Node.js 26.10).
 */
export const http = process.getBuiltinModule('node:http');
