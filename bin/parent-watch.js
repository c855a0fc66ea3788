// Ends the process it is loaded into, in the orderly way, once nobody is there any more who could.
const PATIENCE_MS = 5000;
const LOOK_MS = 250;

const end = () => {
  process.kill(process.pid, 'SIGTERM');
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), PATIENCE_MS).unref();
};

if (process.channel) {
  // The child of bin/launch.js: the channel breaks when the launcher is gone, even by kill -9, which no handler sees.
  process.on('disconnect', end);
  process.channel.unref(); // watching is no reason to stay
} else {
  // Under npm: it passes a signal on to the shell in between, which dies of it without a word to us.
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    end();
  }, LOOK_MS).unref();
}
