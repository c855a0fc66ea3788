import { type SettingTable, setting, whole } from './setting.ts';

/** How the server stops. */
export const STOPPING = {
  drainSeconds: setting({
    variable: 'LINARITE_DRAIN_SECONDS',
    standard: '0',
    prose:
      'After a stop signal the server reports that it is not ready, and accepts new connections for this many seconds. Set it to the time that your load balancer needs to notice that the server is not ready.',
    read: whole(0, 600),
  }),
  stopSeconds: setting({
    variable: 'LINARITE_STOP_SECONDS',
    standard: '30',
    prose: 'Seconds that requests under way have to finish after a stop signal.',
    read: whole(1, 600),
  }),
} satisfies SettingTable;
