// Planted: a stop signal ends the process at once.
process.on('SIGTERM', () => process.exit(0));
