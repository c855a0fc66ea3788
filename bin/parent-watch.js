// Loaded into the child of bin/launch.js: ends it when the launcher is gone, even by kill -9, which no handler sees.
const PATIENCE_MS = 5000;

if (process.channel) {
  process.on('disconnect', () => {
    process.kill(process.pid, 'SIGTERM'); // the way an orderly stop begins
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), PATIENCE_MS).unref();
  });
  process.channel.unref(); // watching is no reason to stay
}
