import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Child } from '../child.ts';
import { requestText, sendRaw } from '../raw.ts';
import { sign } from '../sign.ts';
import type { Report } from './overload.ts';
import { Requests } from './requests.ts';
import { Wire } from './wire.ts';

const CLIENTS = 16;
/** How long a client goes on trying to reach a server that no longer listens. */
const GIVE_UP_MS = 300;

/** Stops a server under load and looks at what every client was told (O1). */
export async function stopUnderLoad(server: Child): Promise<Report> {
  const requests = new Requests(server.port, server.key);
  const created: string[] = [];
  const counts = { answered: 0, refused: 0, cut: 0, readyAfterNotReady: 0, notReadySeen: 0 };
  let exited = false;

  const work = async (): Promise<void> => {
    const wire = new Wire(server.port);
    while (!exited) {
      const reused = wire.isOpen;
      try {
        const { status, text } = await wire.ask(requests.create());
        counts.answered += 1;
        if (status === 201) created.push(JSON.parse(text).identity.id);
        else counts.refused += 1;
      } catch {
        if (reused) counts.cut += 1;
        await sleep(GIVE_UP_MS);
      }
    }
    wire.close();
  };
  const watch = async (): Promise<void> => {
    let seen = false;
    while (!exited) {
      const wire = new Wire(server.port);
      const status = await wire.ask(ready(server.port)).then(
        (answer) => answer.status,
        () => 0,
      );
      wire.close();
      if (status === 503) counts.notReadySeen += 1;
      if (status === 200 && seen) counts.readyAfterNotReady += 1;
      seen ||= status === 503;
      await sleep(10);
    }
  };

  const clients = Array.from({ length: CLIENTS }, work);
  const watching = watch();
  await sleep(1000);
  const stuck = sendRaw(server.port, unfinished(server), 60_000).then(
    ({ status }) => status,
    () => 0,
  );
  await sleep(200); // so that it is read
  const code = await server.end('SIGTERM');
  exited = true;
  await Promise.all([...clients, watching]);

  const rows = new DatabaseSync(join(server.folder, 'data', 'linarite.db'), { readOnly: true });
  const kept = new Set(
    rows
      .prepare('select id from identities')
      .all()
      .map(({ id }) => id),
  );
  rows.close();
  const lost = created.filter((id) => !kept.has(id)).length;
  const stuckStatus = await stuck;
  const figures = {
    ...counts,
    acknowledged: created.length,
    lost,
    exitCode: code ?? -1,
    unfinishedRequest: stuckStatus,
  };
  const rules: [boolean, string][] = [
    [code === 0, `the exit code is ${code}`],
    [created.length > 0, 'nothing was done'],
    [lost === 0, `${lost} acknowledged identities are lost`],
    [counts.cut === 0, `${counts.cut} requests were cut without an answer`],
    [counts.notReadySeen > 0 && counts.readyAfterNotReady === 0, 'the health check did not say that it stops'],
    [stuckStatus === 503, `a request under way to the end was answered ${stuckStatus}`],
  ];
  return { figures, broken: rules.filter(([kept]) => !kept).map(([, words]) => words) };
}

const ready = (port: number): string => `GET /-/health/ready HTTP/1.1\r\nHost: localhost:${port}\r\n\r\n`;

/** A request whose body does not come to its end. */
function unfinished({ port, key }: Child): Buffer {
  const target = '/identities?api-version=2023-10-01';
  const host = `localhost:${port}`;
  const headers = sign({ method: 'POST', target, host, body: '{}', key });
  return requestText(
    `POST ${target}`,
    [['Host', host], ['Content-Type', 'application/json'], ['Content-Length', '2'], ...Object.entries(headers)],
    '{',
  );
}
